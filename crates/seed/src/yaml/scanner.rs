//! From a text to tokens, by PyYAML's rules for YAML 1.1.
//!
//! A key is recognised when its `:` is reached. Until then a token that may be a key is remembered, for a line and
//! 1024 characters; then the tokens that the key needs are inserted before it.

use std::collections::VecDeque;
use std::ops::Range;

use super::Error;
use super::node::Style;
use super::text::{END, Mark, Text, is_blank, is_line_end, named};

/// How far after its beginning a key's `:` may be.
const MAX_KEY_LENGTH: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `%YAML`.
    VersionDirective,
    /// A directive without a meaning.
    Directive,
    /// `%TAG`: what a handle stands for.
    TagDirective {
        handle: String,
        prefix: String,
    },
    DocumentStart,
    DocumentEnd,
    StreamEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    FlowEntry,
    BlockEntry,
    Key,
    Value,
    Alias(String),
    Anchor(String),
    Tag {
        handle: Option<String>,
        suffix: String,
    },
    Scalar {
        text: String,
        style: Style,
    },
}

/// A token and its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) span: Range<usize>,
}

/// A token that is a key if a `:` follows.
#[derive(Clone, Copy, Debug)]
struct PossibleKey {
    mark: Mark,
    token_number: usize,
    /// Nothing but a key can be here.
    is_required: bool,
}

pub(super) struct Scanner<'text> {
    pub(super) text: Text<'text>,
    tokens: VecDeque<Placed>,
    tokens_taken: usize,
    is_done: bool,
    /// How many brackets and braces are open.
    pub(super) flow_level: usize,
    /// The column of the innermost block; -1 outside of all.
    pub(super) indent: isize,
    indents: Vec<isize>,
    pub(super) allows_key: bool,
    /// One for each flow level.
    possible_keys: Vec<Option<PossibleKey>>,
}

impl<'text> Scanner<'text> {
    pub(super) fn new(text: &'text str) -> Result<Self, Error> {
        Ok(Self {
            text: Text::new(text)?,
            tokens: VecDeque::new(),
            tokens_taken: 0,
            is_done: false,
            flow_level: 0,
            indent: -1,
            indents: Vec::new(),
            allows_key: true,
            possible_keys: vec![None],
        })
    }

    /// The next token, which stays.
    pub(super) fn peek(&mut self) -> Result<&Placed, Error> {
        while self.needs_more()? {
            self.fetch()?;
        }
        // A text has at least one token, its end, which is never removed.
        self.tokens.front().ok_or_else(|| Error::new("the text ends here", self.text.here()))
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Placed, Error> {
        let placed = self.peek()?.clone();
        if placed.token != Token::StreamEnd {
            self.tokens.pop_front();
            self.tokens_taken += 1;
        }
        Ok(placed)
    }

    fn needs_more(&mut self) -> Result<bool, Error> {
        if self.is_done {
            return Ok(false);
        }
        if self.tokens.is_empty() {
            return Ok(true);
        }
        // The next token may turn out to be a key.
        self.drop_stale_keys()?;
        let next = self.possible_keys.iter().flatten().map(|key| key.token_number).min();
        Ok(next == Some(self.tokens_taken))
    }

    fn fetch(&mut self) -> Result<(), Error> {
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.unwind_indent(self.column());
        let (first, second) = (self.text.peek(), self.text.peek_at(1));
        let is_flow = self.flow_level > 0;
        match first {
            END => self.fetch_stream_end(),
            '%' if self.text.mark.column == 0 => {
                self.end_blocks()?;
                let token = self.scan_directive()?;
                self.tokens.push_back(token);
                Ok(())
            }
            '-' | '.' if self.text.mark.column == 0 && self.text.is_document_end() => {
                self.end_blocks()?;
                self.push(if first == '-' { Token::DocumentStart } else { Token::DocumentEnd }, 3);
                Ok(())
            }
            '[' => self.fetch_flow_start(Token::FlowSequenceStart),
            '{' => self.fetch_flow_start(Token::FlowMappingStart),
            ']' => self.fetch_flow_end(Token::FlowSequenceEnd),
            '}' => self.fetch_flow_end(Token::FlowMappingEnd),
            ',' => {
                self.forget_key()?;
                self.allows_key = true;
                self.push(Token::FlowEntry, 1);
                Ok(())
            }
            '-' if is_blank(second) => self.fetch_block_entry(),
            '?' if is_flow || is_blank(second) => self.fetch_key(),
            ':' if is_flow || is_blank(second) => self.fetch_value(),
            '*' | '&' => self.fetch_with(Self::scan_anchor),
            '!' => self.fetch_with(Self::scan_tag),
            '|' | '>' if !is_flow => {
                self.forget_key()?;
                self.allows_key = true;
                let token = self.scan_block_scalar()?;
                self.tokens.push_back(token);
                Ok(())
            }
            '\'' | '"' => self.fetch_with(Self::scan_quoted),
            _ if self.begins_plain(first, second) => self.fetch_with(Self::scan_plain),
            _ => Err(self.nothing_begins_with(first)),
        }
    }

    fn begins_plain(&self, first: char, second: char) -> bool {
        let is_free = !is_blank(first) && !"-?:,[]{}#&*!|>'\"%@`".contains(first);
        let is_followed = !is_blank(second) && (first == '-' || self.flow_level == 0 && matches!(first, '?' | ':'));
        is_free || is_followed
    }

    fn nothing_begins_with(&self, character: char) -> Error {
        let error = Error::new(format!("no value can begin with {} here", named(character)), self.text.here());
        match character {
            '\t' => error.hint("indent and separate with spaces; put a text with a tab in quotes"),
            _ => error.hint("put a text that begins with it in quotes"),
        }
    }

    fn column(&self) -> isize {
        // Texts are shorter than 2^31 by far.
        self.text.mark.column as isize
    }

    fn push(&mut self, token: Token, length: usize) {
        let start = self.text.mark;
        self.text.forward_by(length);
        self.tokens.push_back(Placed { token, span: self.text.since(start) });
    }

    /// A token that may be a key.
    fn fetch_with(&mut self, scan: impl FnOnce(&mut Self) -> Result<Placed, Error>) -> Result<(), Error> {
        self.remember_key()?;
        self.allows_key = false;
        let token = scan(self)?;
        self.tokens.push_back(token);
        Ok(())
    }

    fn skip_to_token(&mut self) {
        loop {
            self.text.take_while(|character| character == ' ');
            if self.text.peek() == '#' {
                self.text.take_while(|character| !is_line_end(character));
            }
            match self.text.line_break() {
                Some(_) if self.flow_level == 0 => self.allows_key = true,
                Some(_) => {}
                None => return,
            }
        }
    }

    fn drop_stale_keys(&mut self) -> Result<(), Error> {
        let (line, at) = (self.text.mark.line, self.text.mark.at);
        for place in &mut self.possible_keys {
            let Some(key) = place else { continue };
            if key.mark.line == line && at - key.mark.at <= MAX_KEY_LENGTH {
                continue;
            }
            // Characters are counted only if there are too many bytes.
            let is_near = || self.text.text[key.mark.at..at].chars().count() <= MAX_KEY_LENGTH;
            if key.mark.line == line && is_near() {
                continue;
            }
            if key.is_required {
                return Err(no_colon(self.text.text, key.mark));
            }
            *place = None;
        }
        Ok(())
    }

    fn remember_key(&mut self) -> Result<(), Error> {
        if !self.allows_key {
            return Ok(());
        }
        let is_required = self.flow_level == 0 && self.indent == self.column();
        self.forget_key()?;
        let token_number = self.tokens_taken + self.tokens.len();
        let key = PossibleKey { mark: self.text.mark, token_number, is_required };
        if let Some(place) = self.possible_keys.last_mut() {
            *place = Some(key);
        }
        Ok(())
    }

    fn forget_key(&mut self) -> Result<(), Error> {
        match self.possible_keys.last_mut().and_then(Option::take) {
            Some(key) if key.is_required => Err(no_colon(self.text.text, key.mark)),
            _ => Ok(()),
        }
    }

    fn unwind_indent(&mut self, column: isize) {
        if self.flow_level > 0 {
            return;
        }
        while self.indent > column {
            self.indent = self.indents.pop().unwrap_or(-1);
            self.push(Token::BlockEnd, 0);
        }
    }

    fn add_indent(&mut self, column: isize) -> bool {
        let is_deeper = self.indent < column;
        if is_deeper {
            self.indents.push(self.indent);
            self.indent = column;
        }
        is_deeper
    }

    fn end_blocks(&mut self) -> Result<(), Error> {
        self.unwind_indent(-1);
        self.forget_key()?;
        self.allows_key = false;
        Ok(())
    }

    fn fetch_stream_end(&mut self) -> Result<(), Error> {
        self.end_blocks()?;
        self.possible_keys.clear();
        self.push(Token::StreamEnd, 0);
        self.is_done = true;
        Ok(())
    }

    fn fetch_flow_start(&mut self, token: Token) -> Result<(), Error> {
        self.remember_key()?;
        self.flow_level += 1;
        self.possible_keys.push(None);
        self.allows_key = true;
        self.push(token, 1);
        Ok(())
    }

    fn fetch_flow_end(&mut self, token: Token) -> Result<(), Error> {
        self.forget_key()?;
        if self.flow_level == 0 {
            return Err(Error::new(format!("{} closes nothing", named(self.text.peek())), self.text.here()));
        }
        self.flow_level -= 1;
        self.possible_keys.pop();
        self.allows_key = false;
        self.push(token, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.allows_key {
                return Err(Error::new("a list cannot begin here", self.text.here())
                    .hint("begin the list on a line of its own; put a text that begins with `- ` in quotes"));
            }
            if self.add_indent(self.column()) {
                self.push(Token::BlockSequenceStart, 0);
            }
        }
        self.allows_key = true;
        self.forget_key()?;
        self.push(Token::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.allows_key {
                return Err(Error::new("a key cannot begin here", self.text.here()));
            }
            if self.add_indent(self.column()) {
                self.push(Token::BlockMappingStart, 0);
            }
        }
        self.allows_key = self.flow_level == 0;
        self.forget_key()?;
        self.push(Token::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Error> {
        let is_block = self.flow_level == 0;
        if let Some(key) = self.possible_keys.last_mut().and_then(Option::take) {
            let place = key.token_number - self.tokens_taken;
            let span = key.mark.at..key.mark.at;
            self.tokens.insert(place, Placed { token: Token::Key, span: span.clone() });
            // A column is less than 2^31.
            if is_block && self.add_indent(key.mark.column as isize) {
                self.tokens.insert(place, Placed { token: Token::BlockMappingStart, span });
            }
            self.allows_key = false;
        } else {
            if is_block {
                if !self.allows_key {
                    return Err(Error::new("unexpected `:`: the line has a key and a value already", self.text.here())
                        .hint("put the value in quotes, or begin a new line for the key"));
                }
                if self.add_indent(self.column()) {
                    self.push(Token::BlockMappingStart, 0);
                }
            }
            self.allows_key = is_block;
            self.forget_key()?;
        }
        self.push(Token::Value, 1);
        Ok(())
    }
}

/// A line that should have been a key.
fn no_colon(text: &str, mark: Mark) -> Error {
    let line = text[mark.at..].lines().next().unwrap_or_default().trim_end();
    let error = Error::new("a `:` is missing after this key", mark.at..mark.at + line.len());
    match line.find(':') {
        Some(_) => error.hint("a key's `:` must be followed by a space"),
        None => error,
    }
}
