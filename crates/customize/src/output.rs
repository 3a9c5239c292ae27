//! The output of a command, as lines that steer no terminal.

use storage::Printable;

/// How much of a line is shown, in bytes.
const LINE_LIMIT_BYTES: usize = 4096;

/// Makes lines of what a command writes, however that is cut into pieces.
///
/// What a carriage return lets the next text paint over is left out, and so are the sequences that set colors. What
/// else is no text is escaped. Of a very long line, only the begin is kept.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    escape: Escape,
    /// Whether the next byte begins the line anew, unless it ends it.
    returned: bool,
}

/// Where in an escape sequence a command's output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    /// In none.
    #[default]
    None,
    /// After the escape.
    Begun,
    /// In a control sequence, which a letter ends.
    Control,
}

impl Lines {
    /// Takes the next piece, and hands each line that it ends to `each`, without the end.
    pub fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            match (self.escape, byte) {
                (Escape::Begun, b'[') => self.escape = Escape::Control,
                (Escape::Control, 0x20..=0x3f) => {}
                (Escape::Begun | Escape::Control, 0x20..=0x7e) => self.escape = Escape::None,
                (_, 0x1b) => self.escape = Escape::Begun,
                (_, b'\n') => {
                    self.escape = Escape::None;
                    each(&self.end());
                }
                (_, b'\r') => self.returned = true,
                (_, byte) => {
                    self.escape = Escape::None;
                    if std::mem::take(&mut self.returned) {
                        self.line.clear();
                    }
                    match byte {
                        b'\t' => self.line.extend(b"    "),
                        _ if self.line.len() < LINE_LIMIT_BYTES => self.line.push(byte),
                        _ => {}
                    }
                }
            }
        }
    }

    /// The line that was begun, if there is one.
    pub fn rest(&mut self) -> Option<String> {
        let is_begun = !self.line.is_empty();
        is_begun.then(|| self.end())
    }

    fn end(&mut self) -> String {
        self.returned = false;
        Printable(&std::mem::take(&mut self.line)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, &mut |line| all.push(line.to_owned()));
        }
        all.extend(lines.rest());
        all
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        assert_eq!(lines(&[b"a\nb", b"c\n", b"\xc3", b"\xa9"]), ["a", "bc", "\u{e9}"]);
        assert_eq!(lines(&[b"\n\r\n"]), ["", ""]);
        assert_eq!(lines(&[]), [""; 0]);
    }

    #[test]
    fn only_the_last_state_of_a_line_that_is_painted_over_counts() {
        assert_eq!(
            lines(&[b"Reading... 0%\rReading... 50%", b"\rReading... Done\r\nnext\r"]),
            ["Reading... Done", "next"]
        );
    }

    #[test]
    fn a_command_cannot_steer_the_terminal() {
        assert_eq!(lines(&[b"\x1b[1;31mred\x1b", b"[0m\x1b]0;title\x07 \x9b\x00"]), ["red0;title\\x07 \\x9b\\x00"]);
        assert_eq!(lines(&[b"\x1b[12\nnext"]), ["", "next"]);
        let long = lines(&[&[b'x'; 3 * LINE_LIMIT_BYTES][..], b"\ny"]);
        assert_eq!((long[0].len(), long[1].as_str()), (LINE_LIMIT_BYTES, "y"));
    }
}
