//! The verbs, one a file. A verb's file has all of it: what it is, its flags, its step of a recipe, and how it is
//! carried out. A new verb is a file and a line of [`verbs!`].
//!
//! `cargo fmt` does not look into the macro: run `rustfmt` on the files here.

mod syntax;

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use guest::GuestPath;
use recipe::SyntaxError;

use crate::carry_out::Work;
use crate::command::Need;
use crate::error::Error;
use crate::report::Report;
use crate::step::StepReader;

pub use edit::Filter;
pub use hostname::HostnameAlso;
pub use install::Snapshot;
pub use password::Secret;
pub use put::{Destination, PutOwner};
pub use ssh_key::{KeySource, authorized_keys};
pub(crate) use syntax::{known, mode, owner, path, split, utf8};

/// Declares the verbs: the modules, one operation for each, and the table of all.
macro_rules! verbs {
    ($($module:ident: $Verb:ident,)*) => {
        $(mod $module;)*
        $(pub use $module::$Verb;)*

        /// One thing that is done to a guest. Flags and recipes all become operations, and nothing else changes a
        /// guest.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = concat!("[`", stringify!($Verb), "`]")] $Verb($Verb),)*
        }

        $(impl From<$Verb> for Operation {
            fn from(operation: $Verb) -> Self {
                Self::$Verb(operation)
            }
        })*

        impl Operation {
            pub(crate) fn inner(&self) -> &dyn Apply {
                match self { $(Self::$Verb(operation) => operation,)* }
            }

            pub(crate) fn inner_mut(&mut self) -> &mut dyn Apply {
                match self { $(Self::$Verb(operation) => operation,)* }
            }

            /// The file or the tree of the host that it uses, if it uses one.
            pub fn source(&self) -> Option<PathBuf> {
                self.clone().inner_mut().source_mut().cloned()
            }
        }

        /// All verbs, in the order in which they are documented. Some operations have several.
        pub const VERBS: &[&[Verb]] = &[$($Verb::VERBS,)*];
    };
}

verbs! {
    put: Put,
    tar: Tar,
    write: Write,
    append: Append,
    replace: Replace,
    edit: Edit,
    mkdir: Mkdir,
    touch: Touch,
    link: Link,
    hardlink: Hardlink,
    copy: Copy,
    rename: Move,
    remove: Remove,
    truncate: Truncate,
    scrub: Scrub,
    clean: Clean,
    chmod: Chmod,
    chown: Chown,
    hostname: Hostname,
    timezone: Timezone,
    user: User,
    password: Password,
    ssh_key: SshKey,
    first_boot: FirstBoot,
    run: Run,
    run_script: RunScript,
    install: Install,
    uninstall: Uninstall,
    update: Update,
    relabel: Relabel,
}

/// A verb: what flags and a step of a recipe can say.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its flags.
    pub flags: &'static [Flag],
    /// Its step.
    pub step: StepForm,
}

/// A verb as a flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The name, without dashes.
    pub name: &'static str,
    /// The form of the value: `PATH:LINE`. A flag without a value has none.
    pub value: Option<&'static str>,
    /// What the verb does, without a full stop.
    pub help: &'static str,
    /// Reads the value, which is empty for a flag without one.
    pub parse: fn(&OsStr, &Host) -> Result<Operation, SyntaxError>,
}

/// What flags need of the host.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Makes up a password.
    pub random_password: fn() -> io::Result<String>,
}

/// A verb as a step of a recipe.
#[derive(Clone, Copy, Debug)]
pub struct StepForm {
    /// The key that makes a table this step: `append`.
    pub name: &'static str,
    /// The form of that key's value: `PATH`.
    pub value: &'static str,
    /// The other keys.
    pub keys: &'static [&'static str],
    /// Reads the step.
    pub(crate) read: fn(&mut StepReader<'_, '_>) -> Option<Operation>,
}

/// All verbs, in the order in which they are documented.
pub fn verbs() -> impl Iterator<Item = &'static Verb> + Clone {
    VERBS.iter().copied().flatten()
}

/// An operation, carried out.
pub(crate) trait Apply {
    /// Carries it out.
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error>;

    /// The paths whose folders must be there where [`Options::existing_parents`](crate::Options::existing_parents)
    /// is set.
    fn targets(&self) -> Vec<&GuestPath> {
        Vec::new()
    }

    /// What it needs of whoever carries it out.
    fn need(&self) -> Need {
        Need::Nothing
    }

    /// The file of the host that it uses. A recipe names an input instead, whose file is known later.
    fn source_mut(&mut self) -> Option<&mut PathBuf> {
        None
    }
}
