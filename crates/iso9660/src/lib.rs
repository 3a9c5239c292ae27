//! ISO 9660 with Rock Ridge and Joliet, written reproducibly and read in user space: the medium that most
//! seeds of cloud-init come on.
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
/// In front of it is the system area, which is not the format's.
const FIRST_DESCRIPTOR_BLOCK: u64 = 16;
