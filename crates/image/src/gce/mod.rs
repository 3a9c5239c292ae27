//! The image that Google Compute Engine takes: one file `disk.raw` in a tar archive of GNU's old format,
//! compressed with gzip. `gcloud compute images import` and the bucket's `--source-uri` want just that.
//!
//! Google asks for a disk of whole GiB: a new file has zeros behind the disk up to there.

mod write;

pub(crate) use write::{SIZE_UNIT_BYTES, write};

/// The name of the only member.
pub(crate) const MEMBER: &str = "disk.raw";
