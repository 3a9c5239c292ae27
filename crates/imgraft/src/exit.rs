//! How a command ends: the only place that knows of exit codes.

use std::process::ExitCode;

/// How a command ended, by the codes that `grep`, `cmp` and `diff` have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It was done, or nothing is wrong.
    Done = 0,
    /// The answer is no: the image is damaged or not what its manifest says, the images differ, the boot or the seed is
    /// not as it should be.
    No = 1,
    /// It could not be done, or not be looked at, or the command line is wrong.
    Trouble = 2,
}

impl Exit {
    /// What a question that was looked into ends with.
    pub(crate) fn of_answer(is_yes: bool) -> Self {
        if is_yes { Self::Done } else { Self::No }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
