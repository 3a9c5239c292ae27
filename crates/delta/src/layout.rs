//! The header of a delta, as it is in the file.

use storage::ReadAt;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::{Info, Summary};

/// What a delta begins with.
pub(crate) const MAGIC: [u8; 8] = *b"IMGDELTA";
/// The only version that there is.
pub(crate) const VERSION: u32 = 1;
/// The largest file that a header may speak of, in bytes: 64 TiB.
const MAX_FILE_BYTES: u64 = 64 << 40;

/// The first bytes of a delta. What follows is one zstd frame.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    /// 0: [`MAGIC`].
    pub(crate) magic: [u8; 8],
    /// 8: [`VERSION`].
    pub(crate) version: U32,
    /// 12: zero.
    pub(crate) reserved: U32,
    /// 16: the size of the base.
    pub(crate) base_bytes: U64,
    /// 24: the size of the file that is made.
    pub(crate) image_bytes: U64,
    /// 32: the base's SHA-256.
    pub(crate) base_sha256: [u8; 32],
    /// 64: the SHA-256 of the file that is made.
    pub(crate) image_sha256: [u8; 32],
}

/// The size of a header.
pub(crate) const HEADER_BYTES: u64 = 96;
const _: () = assert!(size_of::<Header>() as u64 == HEADER_BYTES);

impl Header {
    /// Reads and checks the header of `delta`.
    pub(crate) fn read(delta: &dyn ReadAt) -> Result<Self> {
        let mut header = [0; HEADER_BYTES as usize];
        let there = delta.size_bytes().min(HEADER_BYTES) as usize;
        delta.read_at(0, &mut header[..there]).map_err(Error::Delta)?;
        if header[..8] != MAGIC {
            return Err(Error::NotADelta);
        }
        if there < header.len() {
            return Err(Error::corrupt("it ends in its header"));
        }
        let header: Self = zerocopy::transmute!(header);
        if header.version.get() != VERSION {
            return Err(Error::Version { found: header.version.get() });
        }
        if header.reserved.get() != 0 {
            return Err(Error::corrupt("reserved bytes of its header are not zero"));
        }
        if header.base_bytes.get().max(header.image_bytes.get()) > MAX_FILE_BYTES {
            return Err(Error::corrupt("its header speaks of a file of more than 64 TiB"));
        }
        Ok(header)
    }

    /// What a delta with this header and such instructions says about itself.
    pub(crate) fn info(&self, summary: Summary) -> Info {
        Info {
            version: self.version.get(),
            base_bytes: self.base_bytes.get(),
            base_sha256: Digest(self.base_sha256),
            image_bytes: self.image_bytes.get(),
            image_sha256: Digest(self.image_sha256),
            summary,
        }
    }
}
