//! Directives, anchors, aliases and tags.

use super::Error;
use super::scanner::{Placed, Scanner, Token};
use super::text::{END, is_blank, is_line_end};

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_')
}

impl Scanner<'_> {
    pub(super) fn scan_directive(&mut self) -> Result<Placed, Error> {
        let start = self.text.mark;
        self.text.forward();
        let name = self.text.take_while(is_name);
        if name.is_empty() || !(self.text.peek() == ' ' || is_line_end(self.text.peek())) {
            return Err(self
                .text
                .unexpected("a directive's name is needed after `%`")
                .hint("put a text that begins with `%` in quotes"));
        }
        let token = match name {
            "YAML" => self.scan_version()?,
            "TAG" => self.scan_tag_directive()?,
            _ => {
                self.text.take_while(|character| !is_line_end(character));
                Token::Directive
            }
        };
        let span = self.text.since(start);
        self.skip_to_line_end()?;
        Ok(Placed { token, span })
    }

    /// Skips a comment; nothing else may be in the rest of the line.
    pub(super) fn skip_to_line_end(&mut self) -> Result<(), Error> {
        self.text.take_while(|character| character == ' ');
        if self.text.peek() == '#' {
            self.text.take_while(|character| !is_line_end(character));
        }
        if !is_line_end(self.text.peek()) {
            return Err(self.text.unexpected("a comment or the end of the line is needed here"));
        }
        self.text.line_break();
        Ok(())
    }

    fn scan_version(&mut self) -> Result<Token, Error> {
        self.text.take_while(|character| character == ' ');
        let start = self.text.mark;
        let version = self.text.take_while(|character| character.is_ascii_digit() || character == '.');
        let is_known = version.strip_prefix("1.").is_some_and(|minor| minor.parse::<u32>().is_ok());
        if !is_known || !(self.text.peek() == ' ' || is_line_end(self.text.peek())) {
            return Err(Error::new("this version of YAML is unknown", self.text.since(start)).hint("PyYAML knows 1.1"));
        }
        Ok(Token::VersionDirective)
    }

    fn scan_tag_directive(&mut self) -> Result<Token, Error> {
        self.text.take_while(|character| character == ' ');
        let handle = self.scan_tag_handle()?;
        if self.text.peek() != ' ' {
            return Err(self.text.unexpected("a space is needed after a tag's handle"));
        }
        self.text.take_while(|character| character == ' ');
        let prefix = self.scan_tag_uri()?;
        if !(self.text.peek() == ' ' || is_line_end(self.text.peek())) {
            return Err(self.text.unexpected("the end of the line is needed here"));
        }
        Ok(Token::TagDirective { handle, prefix })
    }

    /// An anchor or an alias.
    pub(super) fn scan_anchor(&mut self) -> Result<Placed, Error> {
        let start = self.text.mark;
        let is_alias = self.text.forward() == '*';
        let name = self.text.take_while(is_name).to_owned();
        let is_end = |next: char| is_blank(next) || "?:,]}%@`".contains(next);
        if name.is_empty() || !is_end(self.text.peek()) {
            let error = self.text.unexpected("an anchor's name has letters, digits, `-` and `_`");
            return Err(error.hint("put a text that begins with `*` or `&` in quotes"));
        }
        let token = if is_alias { Token::Alias(name) } else { Token::Anchor(name) };
        Ok(Placed { token, span: self.text.since(start) })
    }

    pub(super) fn scan_tag(&mut self) -> Result<Placed, Error> {
        let start = self.text.mark;
        let next = self.text.peek_at(1);
        let (handle, suffix) = if next == '<' {
            self.text.forward_by(2);
            let suffix = self.scan_tag_uri()?;
            if self.text.peek() != '>' {
                return Err(self.text.unexpected("a `>` is needed after a tag"));
            }
            self.text.forward();
            (None, suffix)
        } else if is_blank(next) {
            self.text.forward();
            (None, "!".to_owned())
        } else {
            let word = self.text.rest().split(|character| character == ' ' || is_line_end(character)).next();
            let handle = match word.unwrap_or_default()[1..].contains('!') {
                true => self.scan_tag_handle()?,
                false => {
                    self.text.forward();
                    "!".to_owned()
                }
            };
            (Some(handle), self.scan_tag_uri()?)
        };
        if !(self.text.peek() == ' ' || is_line_end(self.text.peek())) {
            return Err(self
                .text
                .unexpected("a space is needed after a tag")
                .hint("put a text that begins with `!` in quotes"));
        }
        Ok(Placed { token: Token::Tag { handle, suffix }, span: self.text.since(start) })
    }

    /// `!`, `!!` or `!name!`.
    fn scan_tag_handle(&mut self) -> Result<String, Error> {
        let start = self.text.mark;
        if self.text.peek() != '!' {
            return Err(self.text.unexpected("a `!` is needed here"));
        }
        self.text.forward();
        if self.text.peek() != ' ' {
            self.text.take_while(is_name);
            if self.text.peek() != '!' {
                return Err(self.text.unexpected("a `!` is needed here"));
            }
            self.text.forward();
        }
        Ok(self.text.text[self.text.since(start)].to_owned())
    }

    fn scan_tag_uri(&mut self) -> Result<String, Error> {
        let is_part =
            |character: char| character.is_ascii_alphanumeric() || "-;/?:@&=+$,_.!~*'()[]%".contains(character);
        let start = self.text.mark;
        let uri = self.text.take_while(is_part);
        if uri.is_empty() {
            return Err(self.text.unexpected("a tag is needed here").hint("put a text that begins with `!` in quotes"));
        }
        unescaped(uri).ok_or_else(|| Error::new("this tag has an invalid escape", self.text.since(start)))
    }
}

/// The text with `%41` as `A`.
fn unescaped(uri: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next().unwrap_or(END as u8)).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
