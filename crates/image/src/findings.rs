//! The findings of a check, in bounded memory.

use storage::Finding;

use crate::error::{Error, Result};

/// The most findings that are listed, not counting the first one about a cut file and the last one about more findings.
const LISTED_MAX: usize = 999;
/// The most findings of one cause that are listed for a file that was cut off, which has them by the thousand.
pub(crate) const CUT_OFF_MAX: u64 = 10;

/// The findings of one image. Those about bytes past the file's end are counted. If there are any, the first finding is
/// that the file was cut off.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The name of the format, for messages.
    format: &'static str,
    file_size_bytes: u64,
    listed: Vec<Finding>,
    unlisted: u64,
    /// How many references lead past the file's end.
    outside: u64,
    /// Where the farthest of them ends.
    needed_bytes: u64,
}

impl Findings {
    pub(crate) fn new(format: &'static str, file_size_bytes: u64) -> Self {
        Self { format, file_size_bytes, listed: Vec::new(), unlisted: 0, outside: 0, needed_bytes: 0 }
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds and returns the finding that `object` is in the bytes `offset..end`, which are not all in the file.
    pub(crate) fn push_outside(&mut self, object: impl Into<String>, offset: u64, end: u64) -> Finding {
        self.count_outside(end);
        let size = self.file_size_bytes;
        let problem = format!("{offset:#x}..{end:#x} is not inside the file, file_size={size:#x}");
        let finding = Finding::new(object, problem);
        if self.outside <= CUT_OFF_MAX {
            self.push(finding.clone());
        }
        finding
    }

    /// Counts a reference to bytes before `end`, which are not all in the file, and does not list it.
    fn count_outside(&mut self, end: u64) {
        self.outside += 1;
        self.needed_bytes = self.needed_bytes.max(end);
    }

    /// As [`push_outside`](Self::push_outside) for a reference that need not be listed. Returns `false`, and does
    /// nothing, while such references are listed: a file may have many millions of them, and a text for each takes time.
    pub(crate) fn has_counted_outside(&mut self, offset: u64, end: u64) -> bool {
        let is_counted = offset >= self.file_size_bytes && self.outside >= CUT_OFF_MAX;
        if is_counted {
            self.count_outside(end);
        }
        is_counted
    }

    /// Adds and returns the finding that `error` is; an error of the host remains one.
    pub(crate) fn push_error(&mut self, error: Error) -> Result<Finding> {
        match error {
            Error::Corrupt { object, problem } => {
                let finding = Finding::new(object, problem);
                self.push(finding.clone());
                Ok(finding)
            }
            Error::Truncated { object, offset, length_bytes, .. } => {
                Ok(self.push_outside(object, offset, offset.saturating_add(length_bytes)))
            }
            other => Err(other),
        }
    }

    /// Whether a reference leads past the file's end: then what else is missing or in excess follows from that.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.outside > 0
    }

    /// All findings, with what explains the others first.
    pub(crate) fn into_list(self) -> Vec<Finding> {
        let mut list = Vec::new();
        if self.is_cut_off() {
            let wrong = match self.outside {
                1 => "1 reference is wrong".to_owned(),
                many => format!("{many} references are wrong"),
            };
            let shown =
                if self.outside > CUT_OFF_MAX { format!("; the first {CUT_OFF_MAX} follow") } else { String::new() };
            let (size, needed) = (self.file_size_bytes, self.needed_bytes);
            let problem = format!("the file ends at {size} of {needed} bytes: it was cut off, or {wrong}{shown}");
            list.push(Finding::new(format!("{} file", self.format), problem));
        }
        list.extend(self.listed);
        if self.unlisted > 0 {
            list.push(Finding::new(
                format!("{} file", self.format),
                format!("{} more findings are not listed", self.unlisted),
            ));
        }
        list
    }
}
