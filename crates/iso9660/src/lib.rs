//! ISO 9660 with Rock Ridge and Joliet, written reproducibly and read in user space: the medium that most
//! seeds of cloud-init come on.
//!
//! # The format by an example
//!
//! `genisoimage -volid cidata -joliet -rock -o seed.iso user-data meta-data` writes, in blocks of 2048 bytes:
//!
//! ```text
//! block 16  0x8000  01 "CD001" …  primary volume descriptor: "cidata" at 0x28; at 0x50 183 blocks, b7 00 00 00 00 00 00 b7;
//!                                 at 0x9c the record of the root: block 28, 2048 bytes
//! block 17  0x8800  02 "CD001" …  supplementary descriptor: the same tree with Joliet's names, root in block 29
//! block 18  0x9000  ff "CD001" …  the end of the descriptors
//! block 28  0xe000  the root's records: `.`, `..`, META_DAT.;1 and USER_DAT.;1
//! block 31 and 32   the two files
//! ```
//!
//! Numbers are written in both byte orders, one after the other. A record has a length, a place, a size, a date and a
//! name. That of `user-data` has 0x7e bytes:
//!
//! ```text
//! 7e 00 | 20 00 00 00 00 00 00 20 | 1c 00 00 00 00 00 00 1c | 7e 0b 1d … | 0b "USER_DAT.;1" | "RR" … "NM" … "PX" … "TF" …
//!         block 32                  28 bytes                  2026-11-29   11 letters         the system use area
//! ```
//!
//! A plain name has capitals, digits and `_` only, so the name `user-data` is stored twice more: for Linux in the
//! record's system use area, where Rock Ridge has an entry `NM` with the name and `PX` with mode and owner; for Windows
//! in the tree of block 29, in UTF-16. cloud-init needs one of these, because a plain name cannot have the `-`.
//!
//! # This crate
//!
//! [`create`] makes an image of a tree; its bytes depend on the tree and the [`Options`] alone.
//! [`Iso::open`] reads one from whatever wrote it, by the names of Rock Ridge, of Joliet, or its plain
//! ones.
//!
//! Refused in writing: names that Joliet cannot have, files of 4 GiB, directories more than eight deep.
//! Refused in reading, by name: logical blocks of other than 2048 bytes, interleaved files, compressed
//! files (zisofs), directories of more than 16 MiB.
//!
//! ```
//! use std::sync::Arc;
//! use iso9660::{Directory, Iso, Names, Node, Options};
//! use storage::Memory;
//!
//! let content = Arc::new(Memory::from(b"#cloud-config\n".to_vec()));
//! let entries = [("user-data".to_owned(), Node::File { permissions: 0o644, content })].into();
//! let root = Directory { permissions: 0o755, entries };
//! let image = iso9660::create(&root, &Options { volume_id: "cidata", seconds: 1_700_000_000 })?;
//!
//! let iso = Iso::open(image)?;
//! assert_eq!(iso.volume_id(), "cidata");
//! let found = iso.find(Names::RockRidge, &["user-data"])?;
//! assert_eq!(found.size_bytes, 14);
//! # Ok::<(), iso9660::Error>(())
//! ```

mod create;
mod error;
mod layout;
mod read;
mod time;
mod tree;

pub use create::{Options, create};
pub use error::Error;
pub use read::{Content, Entry, Iso, Kind, Names};
pub use tree::{Directory, Node};

/// Logical sectors and, here, logical blocks.
const BLOCK_BYTES: u64 = 2048;
/// The system area before it does not belong to the format.
const FIRST_DESCRIPTOR_BLOCK: u64 = 16;
