//! A file as what differs from another one, its base.
//!
//! A delta has the digests of both files and a list of instructions: bytes that are copied from the base, bytes that
//! are new, zeros, and tables whose words differ from those of a table of the base. `docs/delta-format.md` says it byte
//! by byte. [`make`] finds the instructions in one pass over each file, in memory that does not depend on their sizes;
//! [`apply`] carries them out in a stream, and accepts nothing but the identical bytes. A delta may come from anybody:
//! what it claims is checked before it is done.
//!
//! ```
//! use storage::{FileStorage, Memory};
//!
//! let bytes: Vec<u8> = (0..100_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
//! let base = Memory::from(bytes.clone());
//! let image = Memory::from([&b"and a change"[..], &bytes].concat());
//! let file = tempfile::tempfile()?;
//! let made = delta::make(&base, &image, &file)?;
//! assert!(made.summary.copied_bytes > 390_000 && file.metadata()?.len() < 10_000);
//!
//! let rebuilt = tempfile::tempfile()?;
//! delta::apply(&base, &FileStorage::new(file)?, &rebuilt, delta::DEFAULT_LIMIT_BYTES)?;
//! assert_eq!(rebuilt.metadata()?.len(), 400_012);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod compare;
mod digest;
mod error;
mod gear;
mod index;
mod instruction;
mod layout;
mod make;
mod sparse;
mod tables;
mod window;

pub use apply::{apply, info};
pub use digest::Digest;
pub use error::{Error, Result};
pub use make::make;

/// How large a file a delta may make, in bytes, where nobody says: 256 GiB.
pub const DEFAULT_LIMIT_BYTES: u64 = 256 << 30;

/// What the instructions of a delta make the file of. All but the first are in bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many instructions there are.
    pub instructions: u64,
    /// Copied from the base.
    pub copied_bytes: u64,
    /// New.
    pub literal_bytes: u64,
    /// Zeros.
    pub zero_bytes: u64,
    /// Words of tables, as differences.
    pub table_bytes: u64,
}

/// What a delta says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The version of the format.
    pub version: u32,
    /// The size of the base.
    pub base_bytes: u64,
    /// The base's SHA-256.
    pub base_sha256: Digest,
    /// The size of the file that is made.
    pub image_bytes: u64,
    /// Its SHA-256.
    pub image_sha256: Digest,
    /// What its instructions are.
    pub summary: Summary,
}
