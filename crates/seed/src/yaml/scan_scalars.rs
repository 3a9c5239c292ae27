//! Scalars: plain, in quotes, and in blocks.

use super::Error;
use super::node::Style;
use super::scanner::{Placed, Scanner, Token};
use super::text::{END, Mark, is_blank, is_break, is_line_end};

/// What happens to line breaks at a block's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chomping {
    /// One is kept.
    Clip,
    /// None is kept: `-`.
    Strip,
    /// All are kept: `+`.
    Keep,
}

impl Scanner<'_> {
    fn scalar(&self, start: Mark, text: String, style: Style) -> Placed {
        Placed { token: Token::Scalar { text, style }, span: self.text.since(start) }
    }

    pub(super) fn scan_block_scalar(&mut self) -> Result<Placed, Error> {
        let start = self.text.mark;
        let is_folded = self.text.forward() == '>';
        let (chomping, increment) = self.scan_block_header()?;
        self.skip_to_line_end()?;
        let least = (self.indent + 1).max(1) as usize;
        let mut breaks = String::new();
        let mut end = self.text.mark;
        let indent = match increment {
            Some(increment) => {
                let indent = least + increment - 1;
                self.block_breaks(indent, &mut breaks, &mut end);
                indent
            }
            None => least.max(self.block_indentation(&mut breaks, &mut end)),
        };
        let mut text = String::new();
        let mut line_break = None;
        while self.text.mark.column == indent && self.text.peek() != END {
            text.push_str(&breaks);
            let is_text = !matches!(self.text.peek(), ' ' | '\t');
            text.push_str(self.text.take_while(|character| !is_line_end(character)));
            end = self.text.mark;
            line_break = self.text.line_break();
            breaks.clear();
            self.block_breaks(indent, &mut breaks, &mut end);
            if self.text.mark.column != indent || self.text.peek() == END {
                break;
            }
            let joins = is_folded && line_break == Some('\n') && is_text && !matches!(self.text.peek(), ' ' | '\t');
            match line_break {
                _ if joins && breaks.is_empty() => text.push(' '),
                Some(line_break) if !joins => text.push(line_break),
                _ => {}
            }
        }
        if chomping != Chomping::Strip {
            text.extend(line_break);
        }
        if chomping == Chomping::Keep {
            text.push_str(&breaks);
        }
        Ok(Placed { token: Token::Scalar { text, style: Style::Block }, span: start.at..end.at })
    }

    fn scan_block_header(&mut self) -> Result<(Chomping, Option<usize>), Error> {
        let (mut chomping, mut increment) = (None, None);
        loop {
            match self.text.peek() {
                '+' if chomping.is_none() => chomping = Some(Chomping::Keep),
                '-' if chomping.is_none() => chomping = Some(Chomping::Strip),
                digit @ '1'..='9' if increment.is_none() => increment = digit.to_digit(10),
                ' ' => break,
                character if is_line_end(character) => break,
                _ => {
                    let error = self.text.unexpected("the text of a block must begin on the next line");
                    return Err(error.hint("put a text that begins with `|` or `>` in quotes"));
                }
            }
            self.text.forward();
        }
        Ok((chomping.unwrap_or(Chomping::Clip), increment.map(|digit| digit as usize)))
    }

    /// Skips empty lines; returns the deepest indentation, including that of the first line with text.
    fn block_indentation(&mut self, breaks: &mut String, end: &mut Mark) -> usize {
        let mut deepest = 0;
        loop {
            match self.text.peek() {
                ' ' => {
                    self.text.forward();
                    deepest = deepest.max(self.text.mark.column);
                }
                character if is_break(character) => {
                    breaks.extend(self.text.line_break());
                    *end = self.text.mark;
                }
                _ => return deepest,
            }
        }
    }

    fn block_breaks(&mut self, indent: usize, breaks: &mut String, end: &mut Mark) {
        loop {
            while self.text.mark.column < indent && self.text.peek() == ' ' {
                self.text.forward();
            }
            match self.text.line_break() {
                Some(line_break) => {
                    breaks.push(line_break);
                    *end = self.text.mark;
                }
                None => return,
            }
        }
    }

    pub(super) fn scan_quoted(&mut self) -> Result<Placed, Error> {
        let start = self.text.mark;
        let quote = self.text.forward();
        let mut text = String::new();
        self.quoted_words(quote, &mut text)?;
        while self.text.peek() != quote {
            self.quoted_blanks(start, &mut text)?;
            self.quoted_words(quote, &mut text)?;
        }
        self.text.forward();
        Ok(self.scalar(start, text, Style::Quoted))
    }

    fn quoted_words(&mut self, quote: char, text: &mut String) -> Result<(), Error> {
        loop {
            text.push_str(self.text.take_while(|character| !is_blank(character) && !"'\"\\".contains(character)));
            let character = self.text.peek();
            match (quote, character) {
                ('\'', '\'') if self.text.peek_at(1) == '\'' => {
                    text.push('\'');
                    self.text.forward_by(2);
                }
                ('"', '\'') | ('\'', '"' | '\\') => {
                    text.push(character);
                    self.text.forward();
                }
                ('"', '\\') => self.escape(text)?,
                _ => return Ok(()),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), Error> {
        let start = self.text.mark;
        self.text.forward();
        let character = self.text.peek();
        let digits = match character {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ if is_break(character) => {
                self.text.line_break();
                return self.quoted_breaks(start, text);
            }
            _ => {
                let Some(meant) = escaped(character) else {
                    self.text.forward();
                    let hint = "write a backslash twice in double quotes, or use single quotes";
                    return Err(Error::new("unknown escape", self.text.since(start)).hint(hint));
                };
                text.push(meant);
                self.text.forward();
                return Ok(());
            }
        };
        self.text.forward();
        let number = self.text.rest().get(..digits).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
        let Some(number) = number.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return Err(self.text.unexpected(&format!("{digits} hexadecimal digits are needed here")));
        };
        if number > u32::from(char::MAX) {
            return Err(Error::new("there is no such character", self.text.since(start)));
        }
        // Python allows surrogates; cloud-init cannot use them.
        text.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
        self.text.forward_by(digits);
        Ok(())
    }

    fn quoted_blanks(&mut self, start: Mark, text: &mut String) -> Result<(), Error> {
        let blanks = self.text.take_while(|character| matches!(character, ' ' | '\t'));
        if self.text.peek() == END {
            return Err(unclosed(start));
        }
        let Some(line_break) = self.text.line_break() else {
            text.push_str(blanks);
            return Ok(());
        };
        let before = text.len();
        self.quoted_breaks(start, text)?;
        if line_break != '\n' {
            text.insert(before, line_break);
        } else if text.len() == before {
            text.push(' ');
        }
        Ok(())
    }

    fn quoted_breaks(&mut self, start: Mark, text: &mut String) -> Result<(), Error> {
        loop {
            if self.text.is_document_end() {
                return Err(unclosed(start));
            }
            self.text.take_while(|character| matches!(character, ' ' | '\t'));
            match self.text.line_break() {
                Some(line_break) => text.push(line_break),
                None => return Ok(()),
            }
        }
    }

    pub(super) fn scan_plain(&mut self) -> Result<Placed, Error> {
        let start = self.text.mark;
        let mut end = start;
        let is_flow = self.flow_level > 0;
        let least_column = self.indent + 1;
        let mut text = String::new();
        let mut blanks = String::new();
        loop {
            if self.text.peek() == '#' {
                break;
            }
            let length = self.plain_length(is_flow);
            if length == 0 {
                break;
            }
            self.allows_key = false;
            text.push_str(&blanks);
            let from = self.text.mark.at;
            while self.text.mark.at < from + length {
                self.text.forward();
            }
            text.push_str(&self.text.text[from..from + length]);
            end = self.text.mark;
            blanks.clear();
            self.plain_blanks(&mut blanks);
            let column = self.text.mark.column as isize;
            if blanks.is_empty() || self.text.peek() == '#' || !is_flow && column < least_column {
                break;
            }
        }
        Ok(Placed { token: Token::Scalar { text, style: Style::Plain }, span: start.at..end.at })
    }

    /// How many bytes a word of a plain scalar has.
    fn plain_length(&self, is_flow: bool) -> usize {
        let rest = self.text.rest();
        let mut characters = rest.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map_or(END, |(_, next)| *next);
            let is_end = is_blank(character)
                || character == ':' && (is_blank(next) || is_flow && ",[]{}".contains(next))
                || is_flow && ",?[]{}".contains(character);
            if is_end {
                return at;
            }
        }
        rest.len()
    }

    /// What the white space before the next word becomes; `None` if the scalar ends.
    fn plain_blanks(&mut self, blanks: &mut String) {
        let spaces = self.text.take_while(|character| character == ' ');
        let Some(line_break) = self.text.line_break() else {
            blanks.push_str(spaces);
            return;
        };
        self.allows_key = true;
        if self.text.is_document_end() {
            return;
        }
        let mut breaks = String::new();
        loop {
            self.text.take_while(|character| character == ' ');
            let Some(line_break) = self.text.line_break() else { break };
            breaks.push(line_break);
            if self.text.is_document_end() {
                return;
            }
        }
        match line_break {
            '\n' if breaks.is_empty() => blanks.push(' '),
            '\n' => {}
            _ => blanks.push(line_break),
        }
        blanks.push_str(&breaks);
    }
}

fn unclosed(start: Mark) -> Error {
    Error::new("this quote is not closed", start.at..start.at + 1)
}

fn escaped(character: char) -> Option<char> {
    Some(match character {
        '0' => '\0',
        'a' => '\x07',
        'b' => '\x08',
        't' | '\t' => '\t',
        'n' => '\n',
        'v' => '\x0b',
        'f' => '\x0c',
        'r' => '\r',
        'e' => '\x1b',
        ' ' | '"' | '\\' | '/' => character,
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        _ => return None,
    })
}
