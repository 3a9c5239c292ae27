//! Bytes of a text as lines and columns.

/// A place as people count it: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub struct Positions<'text> {
    text: &'text str,
    starts: Vec<usize>,
}

impl<'text> Positions<'text> {
    /// The lines of `text`.
    pub fn new(text: &'text str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The place of the byte at `offset`: past the end it is the end, within a character that character.
    pub fn of(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary_(offset);
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line.saturating_sub(1)];
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }
}

/// As in the standard library from Rust 1.91 on.
trait FloorCharBoundary {
    fn floor_char_boundary_(&self, offset: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_(&self, offset: usize) -> usize {
        (0..=offset.min(self.len())).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_begin_at_one_and_columns_are_characters() {
        let positions = Positions::new("a\nüb\n");
        let of = |offset| (positions.of(offset).line, positions.of(offset).column);
        assert_eq!([of(0), of(1), of(2), of(3), of(4), of(5)], [(1, 1), (1, 2), (2, 1), (2, 1), (2, 2), (2, 3)]);
        assert_eq!([of(6), of(99)], [(3, 1), (3, 1)]);
    }
}
