//! SHA-256 of whole files.

use std::fmt;

use sha2::{Digest as _, Sha256};
use storage::ReadAt;

use crate::sparse;

/// How much is read at a time, in bytes.
const STEP_BYTES: u64 = 1 << 20;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of all of `storage`.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn of(storage: &dyn ReadAt) -> storage::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; STEP_BYTES.min(storage.size_bytes()) as usize];
        let mut at = 0;
        while at < storage.size_bytes() {
            let step = &mut buffer[..(storage.size_bytes() - at).min(STEP_BYTES) as usize];
            sparse::read(storage, at, step)?;
            hasher.update(&*step);
            at += step.len() as u64;
        }
        Ok(Self(hasher.finalize().into()))
    }
}

/// In hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
