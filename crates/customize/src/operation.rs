use crate::put::Put;

/// One thing that is done to a guest. Flags and recipes all become these, and nothing else changes
/// a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Puts a file or a tree of the host into the guest.
    Put(Put),
}
