//! The text of a console in bounded memory: its beginning and its end.

use std::collections::VecDeque;
use std::time::Duration;

/// How much of the beginning is kept, in bytes, including what each line takes besides its text.
const MAX_HEAD_BYTES: usize = 2 << 20;
/// How much of the end is kept, likewise.
const MAX_TAIL_BYTES: usize = 2 << 20;
/// What a line takes besides its text, roughly: its time, its length, its heap block.
const LINE_BYTES: usize = 64;

/// A line of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it ended, from the machine's start on.
    pub at: Duration,
    /// Its text, without escape sequences.
    pub text: String,
}

/// The lines of a console: all of them if they are few, otherwise the first and the last.
///
/// It holds no more than [`MAX_BYTES`](Self::MAX_BYTES), whatever a guest writes.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    head: Vec<Line>,
    tail: VecDeque<Line>,
    head_bytes: usize,
    tail_bytes: usize,
    left_out: u64,
}

impl Transcript {
    /// The most memory that the lines take, roughly.
    pub const MAX_BYTES: usize = MAX_HEAD_BYTES + MAX_TAIL_BYTES;

    /// Adds a line.
    pub(crate) fn push(&mut self, line: Line) {
        let bytes = size(&line);
        if self.tail.is_empty() && self.head_bytes + bytes <= MAX_HEAD_BYTES {
            self.head_bytes += bytes;
            self.head.push(line);
            return;
        }
        self.tail_bytes += bytes;
        self.tail.push_back(line);
        while self.tail_bytes > MAX_TAIL_BYTES {
            let Some(oldest) = self.tail.pop_front() else { return };
            self.tail_bytes -= size(&oldest);
            self.left_out += 1;
        }
    }

    /// The lines that are kept, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Line> + Clone {
        self.head.iter().chain(&self.tail)
    }

    /// How many lines are kept.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there has been no line.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// How many lines between the first and the last ones are left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The lines as a text, with the time of each, and with a note where some are left out.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let push = |text: &mut String, line: &Line| {
            text.push_str(&format!("{:8.2}  {}\n", line.at.as_secs_f64(), line.text));
        };
        self.head.iter().for_each(|line| push(&mut text, line));
        if self.left_out > 0 {
            let left_out = self.left_out;
            text.push_str(&format!("{:8}  … {left_out} lines left out; `--console FILE` keeps all of them\n", ""));
        }
        self.tail.iter().for_each(|line| push(&mut text, line));
        text
    }
}

fn size(line: &Line) -> usize {
    LINE_BYTES + line.text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: usize, text: &str) -> Transcript {
        let mut transcript = Transcript::default();
        for index in 0..count {
            transcript.push(Line { at: Duration::from_secs(index as u64), text: text.to_owned() });
        }
        transcript
    }

    #[test]
    fn few_lines_are_all_kept() {
        let transcript = of(1000, "a line");
        assert_eq!((transcript.len(), transcript.left_out()), (1000, 0));
        assert_eq!(transcript.text().lines().count(), 1000);
    }

    #[test]
    fn of_many_lines_the_first_and_the_last_are_kept_in_their_order() {
        let count = 100_000;
        let transcript = of(count, "a line of some forty letters, as they are");
        assert_eq!(transcript.len() as u64 + transcript.left_out(), count as u64);
        assert!(transcript.left_out() > 0 && transcript.len() > 10_000, "{}", transcript.len());
        let times: Vec<u64> = transcript.iter().map(|line| line.at.as_secs()).collect();
        assert_eq!((times[0], times[times.len() - 1]), (0, count as u64 - 1));
        assert!(times.is_sorted());
        let held: usize = transcript.iter().map(|line| line.text.len() + LINE_BYTES).sum();
        assert!(held <= Transcript::MAX_BYTES, "{held}");
        let text = transcript.text();
        let gap = format!("… {} lines left out", transcript.left_out());
        assert!(text.contains(&gap) && text.lines().count() == transcript.len() + 1);
    }
}
