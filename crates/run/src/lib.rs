//! Commands run with a guest's own programs, and what they changed grafted onto the guest.
//!
//! 1. The guest's files become [trees](scratch::View), in which what a command changes is kept apart.
//! 2. A command runs in them, in a [sandbox]: with [`Namespaces`] they are mounted through FUSE in namespaces of its own;
//!    with [`Unpacked`], for root who may not mount, they are unpacked into a folder that it enters by `chroot`. For its
//!    time there are a few files more: a `resolv.conf` if it has the network, a `policy-rc.d` that has no service
//!    started.
//! 3. When the command has succeeded, what differs becomes edits of the guest; all of it, or nothing if it failed.
//!
//! Some things are left out: `/run`, `/tmp`, logs of package managers, caches with dates in them (`leftover.rs` has the
//! list). What a command wrote gets the build's time in place of the clock's.

mod auto;
mod leftover;
mod log;
mod machine;
mod namespaces;
mod unpack;

pub use auto::Auto;
pub use machine::{Machine, Network, SpillFile};
pub use namespaces::Namespaces;
pub use unpack::{ScratchFolder, Unpacked};
