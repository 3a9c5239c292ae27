//! A guest's files as a tree that programs change, and what they changed grafted onto the guest.

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
