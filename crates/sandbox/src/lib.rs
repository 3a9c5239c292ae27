//! A guest's command in namespaces of its own.

mod chroot;
mod doors;
mod emulator;
mod error;
mod first;
mod group;
mod helper;
mod ids;
mod loopback;
mod message;
mod mounts;
mod owners;
mod program;
mod spec;
mod start;
mod supervisor;
mod survey;
mod usage;
mod watch;

pub use emulator::Emulator;
pub use error::{Error, NoNamespaces};
pub use helper::enter_if_asked;
pub use ids::IdFile;
pub use owners::Owners;
pub use program::{Kind, NotRunnable, Runs, runs};
pub use spec::{Confinement, Ended, File, Ids, Limits, Root, Spec};
pub use start::{Started, start};
pub use survey::{Check, Survey, survey};
pub use watch::{Enforced, Stopper};
