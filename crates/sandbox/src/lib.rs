//! A guest's command in namespaces of its own.

mod chroot;
mod doors;
mod error;
mod first;
mod group;
mod helper;
mod ids;
mod loopback;
mod message;
mod mounts;
mod owners;
mod spec;
mod start;
mod survey;
mod usage;
mod watch;

pub use error::{Error, NoNamespaces};
pub use helper::enter_if_asked;
pub use ids::IdFile;
pub use owners::Owners;
pub use spec::{Confinement, Ended, File, Ids, Limits, Root, Spec};
pub use start::{Started, start};
pub use watch::{Enforced, Stopper};
