//! A digest of a seed's content, which makes its instance-id.

use sha2::{Digest, Sha256};
use storage::ReadAt;

use crate::{Content, Error};

/// How much of a content is in memory at a time, in bytes.
const STEP_BYTES: u64 = 256 << 10;

/// SHA-256 over names and content, each after its length, so that no two seeds hash the same bytes
/// with another meaning.
pub(crate) struct ContentDigest(Sha256);

impl ContentDigest {
    pub(crate) fn of_files<'a>(files: impl Iterator<Item = (&'static str, &'a Content)>) -> Result<Self, Error> {
        let mut digest = Self(Sha256::new_with_prefix("imgraft seed 1"));
        for (name, content) in files {
            digest.add_name(name, content.size_bytes());
            digest.add_content(content)?;
        }
        Ok(digest)
    }

    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        self.add_name(name, value.len() as u64);
        self.0.update(value);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    fn add_name(&mut self, name: &str, length_bytes: u64) {
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name);
        self.0.update(length_bytes.to_le_bytes());
    }

    fn add_content(&mut self, content: &dyn ReadAt) -> Result<(), Error> {
        let size_bytes = content.size_bytes();
        let mut buffer = vec![0; size_bytes.min(STEP_BYTES) as usize];
        let mut at = 0;
        while at < size_bytes {
            let step = (size_bytes - at).min(STEP_BYTES) as usize;
            content.read_at(at, &mut buffer[..step])?;
            self.0.update(&buffer[..step]);
            at += step as u64;
        }
        Ok(())
    }
}
