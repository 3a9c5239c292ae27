//! What a place needs beside the disk of an image, so that machines can start from it there: descriptions of a machine,
//! metadata, archives, and the commands that bring them in.
//!
//! [`TARGETS`] is the table of places. A [`Target`] says in which format it takes disks. Given a [`Subject`], the image
//! and how it boots, and its converted [`Disk`], it makes the other files and the commands. The same input always makes
//! the same bytes: no clock is asked, and nothing is random.
//!
//! Nothing is read, written or started here, but for [`write_ova`], which copies from one stream to another. Texts come
//! from templates that escape what they are given, and a [`Name`] has no control characters: it cannot break out of
//! XML, YAML, JSON or a line of a shell. Files are named by [`Name::slug`], which has letters, digits and `-` only.
//!
//! ```
//! use export::{Disk, Firmware, Name, Subject, target};
//!
//! let name = Name::new("my image")?;
//! let subject = Subject::new(name, vm::Architecture::X86_64, Firmware { bios: true, uefi: true });
//! let lima = target("lima").unwrap();
//! let disk = Disk { file_name: lima.disk_name(&subject), size_bytes: 1 << 30, file_size_bytes: 1 << 20, sha256: "0".repeat(64) };
//! let files = (lima.files)(&subject, &disk);
//! assert_eq!(files[0].name, "my-image.yaml");
//! assert_eq!((lima.commands)(&subject, &disk), ["limactl start --name=my-image ./my-image.yaml"]);
//! # Ok::<(), export::BadName>(())
//! ```

mod archive;
mod name;
mod readme;
mod subject;
mod targets;
mod yaml;

pub use archive::{Member, TooLarge, write_ova};
pub use name::{BadName, Bucket, Name};
pub use readme::{README, SUMS, readme, sums};
pub use subject::{Disk, Firmware, Subject, System, Text};
pub use targets::{Format, Package, Placeholder, Seed, TARGETS, Target, target};
