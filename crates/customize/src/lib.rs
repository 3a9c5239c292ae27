//! What is to become of an image: operations, the recipes that say them, the plan they come to, and
//! carrying it out.
//!
//! Flags and recipes all become one list of [`Operation`]s. [`Plan::new`] finds out everything that
//! can be found out without changing anything: what is missing on the host, in the way in the guest,
//! or too large for it. [`Plan::apply`] then does it.
//!
//! # What is refused
//!
//! Sockets, FIFOs and devices of the host; a directory in place of a file and the reverse; owners
//! and symlinks on a FAT; names of users and groups that the guest does not have; a path through a
//! symlink to nothing. Hard links become files of their own, and extended attributes stay behind.
//!
//! ```no_run
//! use std::sync::Arc;
//! use customize::{Operation, Options, Plan, Put};
//!
//! # fn example(mut guest: guest::Guest) -> Result<(), Box<dyn std::error::Error>> {
//! let put = Put::parse("dist/app:/usr/local/bin/app:0755".as_ref())?;
//! let plan = Plan::new(&guest, &[Operation::Put(put)], &Options::default())?;
//! plan.apply(&mut guest, &|_, _| {})?;
//! # Ok(())
//! # }
//! ```

mod apply;
mod error;
mod keep;
mod mode;
mod operation;
mod owner;
mod plan;
mod put;
pub mod recipe;
mod report;
mod size;
mod source;
mod space;

pub use error::Error;
pub use keep::check_packages;
pub use mode::{Mode, ModeError};
pub use operation::Operation;
pub use owner::{Owner, OwnerError, Principal};
pub use plan::{Options, Plan, Warning};
pub use put::{Destination, Put, PutError};
pub use report::PutReport;
pub use size::{ByteSize, DiskSize, DiskSizeError};
