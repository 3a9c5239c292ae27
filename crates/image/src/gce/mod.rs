//! The image that Google Compute Engine takes: one file `disk.raw` in a tar archive of GNU's old format,
//! compressed with gzip. `gcloud compute images import` and the bucket's `--source-uri` expect exactly that.
//!
//! # How it works, by an example
//!
//! Google asks for a disk of whole GiB, so that zeros follow the disk of 1 MiB that the [qcow2 example](crate::qcow2)
//! has. Inside the gzip file is this archive, in blocks of 512 bytes:
//!
//! ```text
//! 0x00000000 header of the member  name="disk.raw" size="10000000000", in octal: 0x40000000 bytes
//! 0x00000200 the disk              "graft" at 0x200 + 0xa1234 = 0xa1434
//! 0x40000200 zeros                 two blocks end the archive; more fill it up to a multiple of 10,240 bytes
//! ```
//!
//! The guest's byte 0xa1234 is byte 0xa1434 of the archive. Where that is in the gzip file cannot be calculated:
//! everything before it has to be decompressed.
//!
//! Each MiB of the disk is compressed by itself, so that several threads can work and the file's bytes do not depend
//! on their number. A MiB of zeros is always the same few bytes: they are made once and written 1,023 times here.

mod write;

pub(crate) use write::{SIZE_UNIT_BYTES, write};

/// The name of the only member.
pub(crate) const MEMBER: &str = "disk.raw";
