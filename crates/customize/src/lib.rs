//! What is to become of an image: operations, the recipes that say them, and carrying them out.
//!
//! Flags and recipes all become one list of [`Operation`]s, and [`carry_out`] does them in a guest, in
//! their order. The disk behind the guest is to be one that can be thrown away: where one of them cannot
//! be done, those before it are done already.
//!
//! # What is refused
//!
//! Sockets, FIFOs and devices of the host; a directory in place of a file and the reverse; owners
//! and symlinks on a FAT; names of users and groups that the guest does not have; a path through a
//! symlink to nothing. Hard links of the host become files of their own, and extended attributes stay
//! behind.
//!
//! ```no_run
//! use customize::{Operation, Options, Put, carry_out};
//!
//! # fn example(mut guest: guest::Guest) -> Result<(), Box<dyn std::error::Error>> {
//! let put = Put::parse("dist/app:/usr/local/bin/app:0755".as_ref())?;
//! let done = carry_out(&mut guest, &[Operation::Put(put)], &Options::default(), &|_, _| {})?;
//! println!("{}", done.reports[0].text);
//! # Ok(())
//! # }
//! ```

mod account;
mod carry_out;
mod elsewhere;
mod error;
mod form;
mod inherit;
mod keep;
mod mode;
mod operation;
mod owner;
pub mod recipe;
mod report;
mod size;
mod source;
mod space;
mod tree;
mod verb;

pub use account::Scheme;
pub use carry_out::{Done, Options, Room, Warning, Watch, carry_out};
pub use elsewhere::Elsewhere;
pub use error::Error;
pub use form::{ClusterSize, Form, FormError};
pub use keep::check_packages;
pub use mode::{Mode, ModeError};
pub use operation::Operation;
pub use owner::{Owner, OwnerError, Principal};
pub use report::{MadeUp, PutReport, Report};
pub use size::{ByteSize, DiskSize, DiskSizeError};
pub use verb::{
    Append, Chmod, Chown, Copy, Destination, Edit, Filter, FirstBoot, Hostname, HostnameAlso, KeySource, Link, Mkdir,
    Move, Password, Pattern, Put, PutError, PutOwner, Remove, Replace, Scrub, Secret, SshKey, SyntaxError, Tar,
    Timezone, Touch, Truncate, User, Write, authorized_keys,
};
