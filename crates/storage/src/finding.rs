use std::fmt;

/// One problem that a consistency check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which object, in words and with the number that other tools take: `inode 12`,
    /// `cluster at 0x50000`, `partition 1`.
    pub object: String,
    /// The problem: what was found, and what was expected.
    pub problem: String,
}

impl Finding {
    /// A finding about `object`.
    pub fn new(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { object: object.into(), problem: problem.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.problem)
    }
}
