//! A serial console's bytes as lines of text.

/// The longest line, in bytes; a longer one continues in the next.
const MAX_LINE_BYTES: usize = 4096;

/// Cuts a console's bytes into lines, without the sequences that move a terminal's cursor or set its colours.
///
/// Chunks may end anywhere, in the middle of a character or of an escape sequence too. Empty lines are left out, and
/// a carriage return ends a line: the text that overwrites it is the next.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    state: State,
}

/// Where in an escape sequence the last byte was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and a byte that one more follows: the choice of a character set.
    OneMore,
    /// In a control sequence, after ESC `[`.
    Control,
    /// In an operating system command, after ESC `]`, up to BEL or ESC `\`.
    Command,
}

impl Lines {
    /// The lines that end in `bytes`.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            self.byte(byte, &mut lines);
        }
        lines
    }

    /// The line that has not ended, such as a prompt.
    pub fn unfinished(&self) -> String {
        printable(&self.line)
    }

    fn byte(&mut self, byte: u8, lines: &mut Vec<String>) {
        self.state = match (self.state, byte) {
            (State::Command, 0x07) => State::Text,
            (_, 0x1b) => State::Escape,
            (State::Command, _) => State::Command,
            (State::Escape, b'[') => State::Control,
            (State::Escape, b']') => State::Command,
            (State::Escape, b'(' | b')' | b'*' | b'+' | b'#' | b'%') => State::OneMore,
            // The final byte of a control sequence.
            (State::Control, 0x40..=0x7e) | (State::Escape | State::OneMore, _) => State::Text,
            // A line's end within a sequence: it was not a sequence.
            (State::Control, b'\n') | (State::Text, b'\n' | b'\r') => {
                self.end(lines);
                State::Text
            }
            (State::Control, _) => State::Control,
            (State::Text, b'\t' | b' '..=0x7e | 0x80..) => {
                self.line.push(byte);
                if self.line.len() >= MAX_LINE_BYTES {
                    self.end(lines);
                }
                State::Text
            }
            (State::Text, _) => State::Text,
        };
    }

    fn end(&mut self, lines: &mut Vec<String>) {
        let line = printable(&self.line);
        self.line.clear();
        if !line.trim_end().is_empty() {
            lines.push(line.trim_end().to_owned());
        }
    }
}

/// The bytes as text that is harmless to a terminal: the control characters U+0080 to U+009F are sequences of two bytes
/// in UTF-8, and one of them has the effect of ESC `[`.
fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().filter(|letter| *letter == '\t' || !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOURED: &[u8] = b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\r\n[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh.service\x1b[0m \xe2\x80\xa6\r\n\x1b]0;title\x07\x1b(Bgrub> ";

    #[test]
    fn escape_sequences_are_left_out() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(COLOURED), ["SeaBIOS", "[  OK  ] Started ssh.service …"]);
        assert_eq!(lines.unfinished(), "grub> ");
    }

    #[test]
    fn it_does_not_matter_where_chunks_end() {
        let mut whole = Lines::default();
        let expected = whole.feed(COLOURED);
        for cut in 0..COLOURED.len() {
            let mut lines = Lines::default();
            let mut found = lines.feed(&COLOURED[..cut]);
            found.extend(lines.feed(&COLOURED[cut..]));
            assert_eq!((found, lines.unfinished()), (expected.clone(), whole.unfinished()), "cut at {cut}");
        }
    }

    #[test]
    fn a_line_written_over_is_a_line_of_its_own_and_none_is_endless() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"[*  ] A job\r\x1b[K[ * ] A job\r\n\n\r"), ["[*  ] A job", "[ * ] A job"]);
        assert_eq!(lines.feed(&[b'x'; 3 * MAX_LINE_BYTES]).len(), 3);
        assert_eq!(lines.unfinished(), "");
    }
}
