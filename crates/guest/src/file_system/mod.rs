//! The file systems that a guest can have, behind one trait.
//!
//! [`FileSystem`] is what the rest of the crate knows of ext4, of FAT and of whatever comes next: a file is a
//! [`Node`], a node is found by its name in a directory, and the edits take nodes and names. What an
//! implementation must have is short, the facts and the reading; each edit has a default that refuses it by
//! name, so that a file system that is only read needs nothing more. A further one takes two steps:
//!
//! 1. a file or a folder here with `impl FileSystem for …` and a constant `KIND` that tells how its bytes are
//!    recognised and opened;
//! 2. a line in [`KINDS`]. Most file systems that are common have a line already, which only names them.
//!
//! Some things that such an implementation will meet, and where they go:
//!
//! - *A feature that it does not know*: if the file system can still be read, it opens, and
//!   [`read_only`](FileSystem::read_only) names the feature; each edit is then refused with that name. If it
//!   cannot be read, opening fails with [`FileSystemProblem::Unsupported`].
//! - *A checksum that does not match*: the reading method fails with [`FileSystemProblem::Damaged`].
//! - *Blocks that several files share* (reflinks): [`content_extents`](FileSystem::content_extents) gives the
//!   same place on the disk for both. Content that is stored compressed or encrypted has no such place.
//! - *Several trees in one file system* (subvolumes): a [`Node::Inode`] has the number of its tree, and
//!   [`mount_root`](FileSystem::mount_root) finds the directory that `subvol=` in fstab means. The guest's root is
//!   looked for in [`roots`](FileSystem::roots): the default subvolume, then the others.
//! - *A library that reads it*: behind a `Fence`, which bounds what it reads and catches its panics.

mod btrfs;
mod error;
mod ext4;
mod fat;
mod fence;
mod kind;
mod node;
mod xfs;

use std::any::Any;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use storage::{Finding, ReadAt};

use crate::diff::{Accounted, Explanation};
use crate::metadata::{Attributes, FileKind, FreeSpace, Metadata, Special, Time, Times};

pub use ::metadata::ContentExtent;
pub use error::{FileSystemError, FileSystemProblem, NoSpace};
pub(crate) use kind::recognise;
pub use kind::{Bytes, KINDS, Kind, Signature, Support};
pub use node::Node;
pub(crate) use node::NodeSet;

/// How much of a file is held while it is read, in bytes.
const READ_BUFFER_BYTES: u64 = 1 << 20;

type Result<T> = std::result::Result<T, FileSystemError>;

/// A file in a directory: its name and what has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The name, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The file.
    pub node: Node,
    /// What kind of file it is.
    pub kind: FileKind,
}

/// What a consistency check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be checked, and why.
    pub not_checked: Vec<String>,
}

/// What some file systems know of a file that has no place in [`Metadata`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The flags that `lsattr` shows.
    pub flags: u32,
    /// The project whose quota it counts for.
    pub project: u32,
}

/// Says of a node whether it may differ between two states of a file system.
pub type MayDiffer<'a> = Box<dyn Fn(&Node) -> bool + 'a>;

/// A file system of the guest.
///
/// The methods up to [`read_link`](Self::read_link) are what each implementation has to have. The others have
/// defaults for a file system that is only read, has no journal and no check. Nodes are the implementation's own:
/// it gets none that another file system gave.
pub trait FileSystem: Any + Send {
    /// The kind as users call it: `ext2`, `ext3`, `ext4`, `fat`.
    fn kind(&self) -> &'static str;

    /// The label as its bytes are; empty if there is none.
    fn label(&self) -> &[u8];

    /// The UUID as it stands in fstab. The serial number of a FAT takes its place: `4C3C-9F1D`.
    fn uuid(&self) -> String;

    /// The features, by the names that the file system's own tools print.
    fn features(&self) -> Vec<String>;

    /// Size in bytes of a block, the unit in which files take up space.
    fn block_size_bytes(&self) -> u32;

    /// How much is free, and how much there is.
    ///
    /// # Errors
    ///
    /// If it has to be counted and cannot be read.
    fn free_space(&self) -> Result<FreeSpace>;

    /// Whether files have owners, modes and symlinks.
    fn is_unix(&self) -> bool;

    /// The root directory.
    fn root(&self) -> Node;

    /// The directories that can be the root of a guest, the most likely one first.
    fn roots(&self) -> Vec<Node> {
        vec![self.root()]
    }

    /// The file called `name` in `directory`, and its kind; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>>;

    /// Kind, owner, mode, size and times of a file.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn metadata(&self, node: &Node) -> Result<Metadata>;

    /// The files in a directory, in any order.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    fn children(&self, directory: &Node) -> Result<Vec<Child>>;

    /// Reads from `offset` of a regular file on; returns fewer bytes than `buffer` takes only at the file's end.
    ///
    /// # Errors
    ///
    /// If the content cannot be read.
    fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// The target of a symlink.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or there are no symlinks here.
    fn read_link(&self, _link: &Node) -> Result<Vec<u8>> {
        Err(FileSystemProblem::Unsupported { feature: format!("a symlink on {}", self.kind()) }.into())
    }

    /// The extended attributes: whole names and values.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn xattrs(&self, _node: &Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(Vec::new())
    }

    /// What else this kind of file system knows of a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn extras(&self, _node: &Node) -> Result<Extras> {
        Ok(Extras::default())
    }

    /// The same bytes for all spellings of a name: on a FAT, `GRUB.CFG` and `grub.cfg` are one file.
    fn folded(&self, name: &[u8]) -> Vec<u8> {
        name.to_vec()
    }

    /// The directory that a mount with these options of fstab shows; `None` if there is no such directory, as with
    /// `subvol=` and a name that no subvolume has.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn mount_root(&self, _options: &str) -> Result<Option<Node>> {
        Ok(Some(self.root()))
    }

    /// Why nothing can be written here; `None` if edits are carried out.
    fn read_only(&self) -> Option<String> {
        Some(format!("imgraft can only read {}", self.kind()))
    }

    /// The error of an edit that cannot be done; `what` names it: `a symlink`, `renaming`.
    fn refuse(&self, what: &str) -> FileSystemError {
        match self.read_only() {
            Some(reason) => FileSystemProblem::ReadOnly { reason }.into(),
            None => FileSystemProblem::Unsupported { feature: format!("{what} on {}", self.kind()) }.into(),
        }
    }

    /// Whether errors were noted in it that nothing has repaired since.
    fn has_errors(&self) -> bool {
        false
    }

    /// Lets edits go on although errors were noted.
    fn allow_errors(&mut self) {}

    /// Whether a journal was left dirty and has been replayed when the file system was opened.
    fn journal_replayed(&self) -> bool {
        false
    }

    /// Whether deletions were left unfinished when it was last used, and still are.
    fn has_orphans(&self) -> bool {
        false
    }

    /// Finishes such deletions.
    ///
    /// # Errors
    ///
    /// If something cannot be read or written.
    fn recover(&mut self) -> Result<()> {
        Ok(())
    }

    /// When it was last written to, if it says so.
    fn written(&self) -> Option<Time> {
        None
    }

    /// What a consistency check finds; `None` if there is no check for this kind. `progress` is told how much of it is
    /// done, of how much.
    ///
    /// # Errors
    ///
    /// If the file system could not be read.
    fn examine(&self, progress: &dyn Fn(u64, u64)) -> Result<Option<Checked>> {
        let _ = progress;
        Ok(None)
    }

    /// The findings of [`examine`](Self::examine).
    ///
    /// # Errors
    ///
    /// If the file system could not be read.
    fn check(&self) -> Result<Option<Vec<Finding>>> {
        Ok(self.examine(&|_, _| ())?.map(|checked| checked.findings))
    }

    /// Creates a regular file of `size_bytes` bytes, which `content` gives.
    ///
    /// # Errors
    ///
    /// Here and in all edits: if the file system refuses it, has no space, is damaged or cannot be written.
    fn create_file(
        &mut self,
        _parent: &Node,
        _name: &[u8],
        _attributes: &Attributes,
        _size_bytes: u64,
        _content: &mut dyn Read,
    ) -> Result<()> {
        Err(self.refuse("a new file"))
    }

    /// Creates a regular file with the content of `source`, which may be kept in place of its bytes.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn create_file_from(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<()> {
        let mut content = storage::Reader::new(source);
        self.create_file(parent, name, attributes, source.size_bytes(), &mut content)
    }

    /// Creates an empty directory.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn create_directory(&mut self, _parent: &Node, _name: &[u8], _attributes: &Attributes) -> Result<()> {
        Err(self.refuse("a new directory"))
    }

    /// Creates a symlink to `target`, which need not exist.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn create_symlink(&mut self, _parent: &Node, _name: &[u8], _target: &[u8], _attributes: &Attributes) -> Result<()> {
        Err(self.refuse("a symlink"))
    }

    /// Creates a device, a FIFO or a socket.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn create_special(
        &mut self,
        _parent: &Node,
        _name: &[u8],
        _special: Special,
        _attributes: &Attributes,
    ) -> Result<()> {
        Err(self.refuse("a device, FIFO or socket"))
    }

    /// Gives a file that is no directory one more name.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn link(&mut self, _file: &Node, _parent: &Node, _name: &[u8]) -> Result<()> {
        Err(self.refuse("a second name of a file"))
    }

    /// Renames what `from`, a directory and a name in it, names; what `to` names and is of the same sort goes.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn rename(&mut self, _from: (&Node, &[u8]), _to: (&Node, &[u8])) -> Result<()> {
        Err(self.refuse("renaming"))
    }

    /// Removes a name of something that is no directory.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn remove_file(&mut self, _parent: &Node, _name: &[u8]) -> Result<()> {
        Err(self.refuse("removing a file"))
    }

    /// Removes what has the name, and all that is below it.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn remove_tree(&mut self, _parent: &Node, _name: &[u8]) -> Result<()> {
        Err(self.refuse("removing a directory"))
    }

    /// Sets mode, owner and times.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn set_attributes(&mut self, _node: &Node, _attributes: &Attributes) -> Result<()> {
        Err(self.refuse("an owner or a mode"))
    }

    /// Sets the times that are given.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn set_times(&mut self, _node: &Node, _times: &Times) -> Result<()> {
        Err(self.refuse("changing a file's times"))
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn set_xattr(&mut self, _node: &Node, _name: &[u8], _value: &[u8]) -> Result<()> {
        Err(self.refuse("extended attributes"))
    }

    /// Removes an extended attribute that the file has.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn remove_xattr(&mut self, _node: &Node, _name: &[u8]) -> Result<()> {
        Err(self.refuse("extended attributes"))
    }

    /// Sets the flags that `chattr` sets; the others stay.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn set_flags(&mut self, _node: &Node, _flags: u32) -> Result<()> {
        Err(self.refuse("the flags of `chattr`"))
    }

    /// Writes `data` at `offset` of a regular file.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn write_at(&mut self, _file: &Node, _offset: u64, _data: &[u8]) -> Result<()> {
        Err(self.refuse("changing a part of a file"))
    }

    /// Makes a regular file `size_bytes` long.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn truncate(&mut self, _file: &Node, _size_bytes: u64) -> Result<()> {
        Err(self.refuse("changing a file's size"))
    }

    /// Gives a regular file other content, and the time `modified`; the rest of it stays.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn replace_content(&mut self, file: &Node, content: &[u8], modified: Time) -> Result<()> {
        // The old content gives its room back first: the new one may need it.
        self.truncate(file, 0)?;
        self.write_at(file, 0, content)?;
        self.set_times(file, &Times { accessed: None, modified: Some(modified), changed: Some(modified) })
    }

    /// Grows to as many whole blocks as fit into `size_bytes` bytes.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    fn grow(&mut self, _size_bytes: u64) -> Result<()> {
        Err(self.refuse("growing"))
    }

    /// Writes every change that is not on the disk yet.
    ///
    /// # Errors
    ///
    /// If something cannot be written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Where on the disk the content of a file is; what no extent covers reads as zeros. `None` if it is not on the
    /// disk as it is: stored within the file's metadata, compressed, encrypted.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn content_extents(&self, _file: &Node) -> Result<Option<Vec<ContentExtent>>> {
        Ok(None)
    }

    /// Which files may differ between `self` and `image`, another state of the same partition, that differs in
    /// these byte ranges only. `None` if all may.
    ///
    /// # Errors
    ///
    /// If it has to be looked up and cannot be read.
    fn may_differ(&self, _image: &dyn FileSystem, _differing: &[Range<u64>]) -> Result<Option<MayDiffer<'_>>> {
        Ok(None)
    }

    /// The names of the fields that differ between `self` and `image` and belong to the file system as a whole, but
    /// for label, UUID, features and sizes.
    fn differing_fields(&self, _image: &dyn FileSystem) -> Vec<&'static str> {
        Vec::new()
    }

    /// Accounts for every block in the byte ranges `within`, in which `self` and `image`, a later state of the
    /// same partition, differ: what it is, and whether `explanation` explains it. `None` if this kind cannot say,
    /// or `image` is of another: then no byte of it is explained.
    ///
    /// # Errors
    ///
    /// If something cannot be read.
    fn account(
        &self,
        _image: &dyn FileSystem,
        _within: &[Range<u64>],
        _explanation: &Explanation<'_>,
    ) -> Result<Option<Accounted>> {
        Ok(None)
    }
}

impl dyn FileSystem {
    /// Fills `buffer` with a file's content from `offset` on.
    pub(crate) fn read_exact_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let left = &mut buffer[done..];
            let read = self.read_at(file, offset + done as u64, left)?;
            if read == 0 {
                // The size says that there is more, which reads as zeros.
                left.fill(0);
                break;
            }
            done += read;
        }
        Ok(())
    }

    /// Gives the parts of a file of `size_bytes` bytes that are not holes to `visit`, each with its offset, and returns
    /// the result of `visit`.
    pub(crate) fn read_data(
        &self,
        file: &Node,
        size_bytes: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>> {
        let whole = 0..size_bytes;
        let parts = self.content_extents(file)?.map_or(vec![whole], |extents| {
            extents.into_iter().map(|extent| extent.offset..extent.offset + extent.length_bytes).collect()
        });
        self.read_parts(file, size_bytes, parts, visit)
    }

    /// Gives the content of a file of `size_bytes` bytes to `out`, and returns what `out` says.
    pub(crate) fn read_to(&self, file: &Node, size_bytes: u64, out: &mut dyn Write) -> Result<std::io::Result<()>> {
        let whole = 0..size_bytes;
        self.read_parts(file, size_bytes, vec![whole], &mut |_, bytes| out.write_all(bytes))
    }

    fn read_parts(
        &self,
        file: &Node,
        size_bytes: u64,
        parts: Vec<Range<u64>>,
        visit: &mut dyn FnMut(u64, &[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>> {
        let mut buffer = vec![0; size_bytes.min(READ_BUFFER_BYTES) as usize];
        for part in parts {
            let (mut at, end) = (part.start, part.end.min(size_bytes));
            while at < end {
                let length = (end - at).min(READ_BUFFER_BYTES) as usize;
                let read = self.read_at(file, at, &mut buffer[..length])?;
                if read == 0 {
                    break;
                }
                if let Err(error) = visit(at, &buffer[..read]) {
                    return Ok(Err(error));
                }
                at += read as u64;
            }
        }
        Ok(Ok(()))
    }

    /// What has these names on the way to it from `directory`; links are not followed. `None` if there is nothing.
    pub(crate) fn walk(&self, directory: &Node, names: &[&[u8]]) -> Result<Option<(Node, FileKind)>> {
        let mut found = (directory.clone(), FileKind::Directory);
        for name in names {
            if found.1 != FileKind::Directory {
                return Ok(None);
            }
            let Some(child) = self.lookup(&found.0, name)? else { return Ok(None) };
            found = child;
        }
        Ok(Some(found))
    }

    /// The file system as the implementation `T`, if it is one.
    fn of<T: FileSystem>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
