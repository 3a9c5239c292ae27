//! A text, read a character at a time.

use std::ops::Range;

use super::Error;

/// A place in a text: the byte, and what indentation is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: usize,
    pub(super) line: usize,
    /// In characters, from 0.
    pub(super) column: usize,
}

/// A text and the current place in it.
pub(super) struct Text<'text> {
    pub(super) text: &'text str,
    pub(super) mark: Mark,
}

/// [`Text::peek`] at the end of the text. No text has this character.
pub(super) const END: char = '\0';

/// The line breaks of YAML 1.1; in later versions the last three are letters.
pub(super) fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A break, or the end.
pub(super) fn is_line_end(character: char) -> bool {
    is_break(character) || character == END
}

/// A space, a tab, a break, or the end.
pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t') || is_line_end(character)
}

impl<'text> Text<'text> {
    /// The text, from its beginning on.
    ///
    /// # Errors
    ///
    /// For characters that PyYAML does not allow anywhere, not even in quotes.
    pub(super) fn new(text: &'text str) -> Result<Self, Error> {
        if let Some((at, character)) = text.char_indices().find(|(_, character)| !is_printable(*character)) {
            let message = format!("the character U+{:04X} is not allowed in YAML", u32::from(character));
            let hint = "write it as an escape in double quotes, such as `\\x1b`";
            return Err(Error::new(message, at..at + character.len_utf8()).hint(hint));
        }
        let mut text = Self { text, mark: Mark { at: 0, line: 0, column: 0 } };
        if text.peek() == '\u{feff}' {
            text.mark.at += text.peek().len_utf8();
        }
        Ok(text)
    }

    pub(super) fn rest(&self) -> &'text str {
        &self.text[self.mark.at..]
    }

    /// The next character.
    pub(super) fn peek(&self) -> char {
        self.rest().chars().next().unwrap_or(END)
    }

    /// The character `ahead` of the next one.
    pub(super) fn peek_at(&self, ahead: usize) -> char {
        self.rest().chars().nth(ahead).unwrap_or(END)
    }

    /// Moves past a character and returns it.
    pub(super) fn forward(&mut self) -> char {
        let character = self.peek();
        if character == END {
            return END;
        }
        self.mark.at += character.len_utf8();
        if is_break(character) && !(character == '\r' && self.peek() == '\n') {
            self.mark.line += 1;
            self.mark.column = 0;
        } else if character != '\u{feff}' {
            self.mark.column += 1;
        }
        character
    }

    /// Moves past `count` characters.
    pub(super) fn forward_by(&mut self, count: usize) {
        for _ in 0..count {
            self.forward();
        }
    }

    /// Moves past characters that are `is_one` and returns them.
    pub(super) fn take_while(&mut self, is_one: impl Fn(char) -> bool) -> &'text str {
        let start = self.mark.at;
        while self.peek() != END && is_one(self.peek()) {
            self.forward();
        }
        &self.text[start..self.mark.at]
    }

    /// Moves past a line break and returns what it is in a value, if there is one.
    pub(super) fn line_break(&mut self) -> Option<char> {
        let character = self.peek();
        if !is_break(character) {
            return None;
        }
        self.forward();
        if character == '\r' && self.peek() == '\n' {
            self.forward();
        }
        Some(if matches!(character, '\u{2028}' | '\u{2029}') { character } else { '\n' })
    }

    /// Whether `---` or `...` is next, which end a document.
    pub(super) fn is_document_end(&self) -> bool {
        let rest = self.rest();
        (rest.starts_with("---") || rest.starts_with("...")) && is_blank(self.peek_at(3))
    }

    /// From `start` to here.
    pub(super) fn since(&self, start: Mark) -> Range<usize> {
        start.at..self.mark.at
    }

    /// The next character's place.
    pub(super) fn here(&self) -> Range<usize> {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        self.mark.at..self.mark.at + length
    }

    /// An error at the next character, which it names.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        Error::new(format!("{expected}, but found {}", named(self.peek())), self.here())
    }
}

/// A character, for people.
pub(crate) fn named(character: char) -> String {
    match character {
        END => "the end of the text".to_owned(),
        '\t' => "a tab".to_owned(),
        ' ' => "a space".to_owned(),
        '`' => "a backtick".to_owned(),
        _ if is_break(character) => "the end of the line".to_owned(),
        _ => format!("`{character}`"),
    }
}

fn is_printable(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        | '\u{10000}'..='\u{10ffff}')
}
