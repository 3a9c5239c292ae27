//! What can be done to a guest: the verbs, how flags and recipes say them, and carrying them out.
//!
//! Flags and recipes become one list of [`Operation`]s, and [`carry_out`] does them in a guest, in their order. The
//! guest's disk must be one that can be thrown away: if an operation fails, those before it are done already.
//!
//! # What is refused
//!
//! Sockets, FIFOs and devices of the host; a directory in place of a file and the reverse; owners and links on a FAT
//! file system; names of users and groups that the guest does not have; a path through a symlink to nothing. Hard
//! links of the host become separate files, and extended attributes are not copied from the host.
//!
//! ```no_run
//! use customize::{Options, Put, carry_out};
//!
//! # fn example(mut guest: guest::Guest) -> Result<(), Box<dyn std::error::Error>> {
//! let put = Put::parse("dist/app:/usr/local/bin/app:0755".as_ref())?;
//! let done = carry_out(&mut guest, &[put.into()], &Options::default(), &|_, _| {})?;
//! println!("{}", done.reports[0].text);
//! # Ok(())
//! # }
//! ```

mod account;
mod carry_out;
mod command;
mod error;
mod inherit;
mod keep;
mod labels;
mod output;
mod owner;
mod package_changes;
mod package_manager;
mod report;
mod runner;
mod source;
mod space;
mod step;
mod tree;
mod verb;

pub use account::Scheme;
pub use carry_out::{Done, Options, ReadFile, Room, Warning, Watch, carry_out};
pub use error::Error;
pub use keep::check_packages;
pub use labels::{FileLabel, label_new};
pub use output::Lines;
pub use package_changes::{PackageChanges, Upgrade};
pub use report::{Executed, MadeUp, PutReport, Report};
pub use runner::{Change, Ended, FileChange, Outcome, Program, RunError, Runner, Task};
pub use step::Step;
// Runners need nothing else of recipes.
pub use recipe::{MemoryLimit, TimeLimit};
pub use verb::{
    Append, Chmod, Chown, Clean, Copy, Destination, Edit, Filter, FirstBoot, Flag, Hardlink, Host, Hostname,
    HostnameAlso, Install, KeySource, Link, Mkdir, Move, Operation, Password, Put, PutOwner, Relabel, Remove, Replace,
    Run, RunScript, Scrub, Secret, Snapshot, SshKey, StepForm, Tar, Timezone, Touch, Truncate, Uninstall, Update, User,
    VERBS, Verb, Write, authorized_keys, verbs,
};

/// A recipe whose steps are verbs.
pub type Recipe = recipe::Recipe<Step>;
