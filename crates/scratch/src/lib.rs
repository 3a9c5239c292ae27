//! A guest's files as a tree that programs change, and what they changed grafted onto the guest.
//!
//! # From writes to edits: an example
//!
//! In the guest, `/etc` is inode 258 and has inode 273, `hosts`, 20 bytes. A program appends `10.0.0.1 db` to
//! `hosts`, writes `lock` and removes it again, and renames `motd` to `motd.old`.
//!
//! 1. *Names.* The [`Tree`] has no inode at first but the root. The kernel asks for `etc` in inode 2: the guest's own
//!    file system finds inode 258, and the tree has it from now on, under the same number.
//! 2. *Content.* The write comes for inode 273. Its 20 bytes are copied to the [spill file](Spill), say to page 0,
//!    and the 12 new ones come after them. The inode is marked as changed, and 258 and 2 as having changes below
//!    them.
//! 3. *A name that goes.* `lock` gets the first new number, 2,147,483,648. To make it, `/etc` is listed once: its
//!    names are in the tree from now on. When `lock` is removed, its number and its page are gone, and the page is a
//!    hole in the spill file.
//! 4. *A name that moves.* `motd` is taken out of the list of `/etc`, and `motd.old` put in, with the same number.
//! 5. *The difference.* From the root, only what is marked is looked into: `etc`. Its names are compared with the
//!    guest's: `motd` is gone, `motd.old` is new, and `hosts` has another content. What was made and removed again
//!    leaves no trace.
//! 6. *The graft.* `/etc/hosts` and `/etc/motd` are removed, then `/etc/hosts` and `/etc/motd.old` are made, then
//!    `/etc` gets its time. These are edits as those of any verb, and each block that they change is accounted for.
//!
//! [`View`] has a tree for each mounted file system of a guest. The guest itself stays as it is until
//! [`Difference::graft`].
//!
//! # Limits
//!
//! What is written is bounded by the free blocks and inodes of the guest's file system. Directories may be deeper
//! than a path can say while programs run; what cannot be named at the end is refused. A file system that is mounted
//! in two places is in the first of them only.

mod acl;
mod content;
mod difference;
mod edit;
mod graft;
mod holes;
mod inode;
mod phantom;
mod spill;
mod tree;
mod view;

pub use difference::{ChangeKind, Difference, Error, FileChange, Times};
pub use edit::{IfTaken, New, Owner, Settings};
pub use inode::{InodeNumber, Xattrs};
pub use spill::Spill;
pub use tree::{Facts, Result, SharedGuest, Space, Tree, Visit};
pub use view::{SharedTree, View};
