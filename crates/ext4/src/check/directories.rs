//! The tree from the root: every directory's blocks, names and index.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;

use metadata::FileKind;
use storage::{Printable, ReadAt};

use super::{Check, KIND_DIRECTORY};
use crate::directory::hash::{self, HashVersion};
use crate::directory::htree::{NODE_ENTRIES_OFFSET, ROOT_ENTRIES_OFFSET};
use crate::directory::{DirectoryEntry, slots, tail};
use crate::error::{Error, Object, Result};
use crate::features::{compat, incompat};
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_CASEFOLD_FL, EXT4_ENCRYPT_FL, EXT4_INDEX_FL};
use crate::layout::superblock::EXT2_OS_HURD;

/// The shortest name that an encryption makes, in bytes: a block of its cipher.
const MIN_ENCRYPTED_NAME_BYTES: usize = 16;

/// Hashes from the first to the last, including the last.
type HashRange = std::ops::RangeInclusive<u32>;

/// The kind of a file in words.
fn kind_name(kind: Option<FileKind>) -> &'static str {
    match kind {
        Some(FileKind::Regular) => "a regular file",
        Some(FileKind::Directory) => "a directory",
        Some(FileKind::Symlink) => "a symbolic link",
        Some(FileKind::CharDevice) => "a character device",
        Some(FileKind::BlockDevice) => "a block device",
        Some(FileKind::Fifo) => "a FIFO",
        Some(FileKind::Socket) => "a socket",
        None => "of no known kind",
    }
}

impl<S: ReadAt> Check<'_, S> {
    pub(super) fn directories(&mut self) -> Result<()> {
        if self.state(InodeNumber::ROOT).kind != KIND_DIRECTORY {
            self.report(Object::Inode(InodeNumber::ROOT), "the root is not a directory");
            return Ok(());
        }
        let mut seen = HashSet::from([InodeNumber::ROOT]);
        let mut queue = VecDeque::from([(InodeNumber::ROOT, InodeNumber::ROOT)]);
        while let Some((number, parent)) = queue.pop_front() {
            self.steps.next();
            let below = match self.filesystem.any_directory(number) {
                Ok(directory) => {
                    let blocks = u64::from(self.filesystem.directory_blocks(&directory));
                    // Directories can share blocks, and have holes.
                    let Some(left) = self.left_directory_blocks.checked_sub(blocks) else {
                        let problem = "not looked at: directories have more blocks than the file system";
                        self.report(Object::Inode(number), problem);
                        continue;
                    };
                    self.left_directory_blocks = left;
                    self.directory(&directory, parent)?
                }
                Err(error) => {
                    self.report_error(error)?;
                    continue;
                }
            };
            for child in below {
                if seen.insert(child) {
                    queue.push_back((child, number));
                } else {
                    self.report(
                        Object::Inode(child),
                        format!("a directory with two names; one is in directory inode {number}"),
                    );
                }
            }
        }
        Ok(())
    }

    /// Checks one directory and returns the directories in it.
    fn directory(&mut self, directory: &Inode, parent: InodeNumber) -> Result<Vec<InodeNumber>> {
        let number = directory.number();
        self.blocks_have_tails(directory)?;
        let mut entries: Vec<DirectoryEntry> = Vec::new();
        let walked = self.filesystem.walk_directory(directory, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        });
        if let Err(error) = walked {
            self.report_error(error)?;
        }
        for (index, name, expected) in [(0, &b"."[..], number), (1, b"..", parent)] {
            if entries.get(index).is_none_or(|entry| entry.name != name || entry.inode != expected) {
                let name = Printable(name);
                self.report(
                    Object::Inode(number),
                    format!("its entry {} is not `{name}` with inode {expected}", index + 1),
                );
            }
        }
        let mut names: HashSet<&[u8]> = HashSet::new();
        let mut below = Vec::new();
        for entry in &entries {
            if !names.insert(&entry.name) {
                self.report(Object::Inode(number), format!("two entries are named `{}`", Printable(&entry.name)));
            }
            self.entry(directory, entry);
            let is_dots = entry.name == b"." || entry.name == b"..";
            if !is_dots {
                self.entry_encryption(directory, entry);
            }
            if !is_dots && entry.inode.0 < self.filesystem.superblock().first_inode() {
                let name = Printable(&entry.name);
                self.report(
                    Object::Inode(number),
                    format!("`{name}` names inode {}, which the file system keeps for itself", entry.inode),
                );
            }
            if !is_dots && self.state(entry.inode).kind == KIND_DIRECTORY {
                below.push(entry.inode);
            }
        }
        if directory.has_flag(EXT4_INDEX_FL) && self.filesystem.superblock().has_compat(compat::DIR_INDEX) {
            match self.index(directory) {
                Ok(()) | Err(Error::Unsupported { .. }) => {}
                Err(error) => self.report_error(error)?,
            }
        }
        Ok(below)
    }

    fn entry(&mut self, directory: &Inode, entry: &DirectoryEntry) {
        let is_casefolded = directory.has_flag(EXT4_CASEFOLD_FL) && !directory.has_flag(EXT4_ENCRYPT_FL);
        let is_encrypted = directory.has_flag(EXT4_ENCRYPT_FL) && entry.name != b"." && entry.name != b"..";
        let directory = directory.number();
        let state = self.state(entry.inode);
        state.names = state.names.saturating_add(1);
        let kind = state.kind;
        let name = Printable(&entry.name).to_string();
        // The Hurd leaves types out.
        let may_be_untyped = self.filesystem.superblock().raw.s_creator_os.get() == EXT2_OS_HURD;
        if is_encrypted && entry.name.len() < MIN_ENCRYPTED_NAME_BYTES {
            let length = entry.name.len();
            self.report(
                Object::Inode(directory),
                format!("`{name}` has {length} bytes, an encrypted name has {MIN_ENCRYPTED_NAME_BYTES} or more"),
            );
        }
        if is_casefolded && std::str::from_utf8(&entry.name).is_err() {
            self.report(
                Object::Inode(directory),
                format!("`{name}` is not UTF-8, as names without regard to case are"),
            );
        }
        if kind == 0 {
            self.report(Object::Inode(directory), format!("`{name}` names inode {}, which is not in use", entry.inode));
        } else if self.filesystem.superblock().has_incompat(incompat::FILETYPE)
            && entry.kind != FileKind::from_entry_type(kind)
            && !(may_be_untyped && entry.kind.is_none())
        {
            self.report(
                Object::Inode(directory),
                format!(
                    "`{name}` is listed as {}, but inode {} is {}",
                    kind_name(entry.kind),
                    entry.inode,
                    kind_name(FileKind::from_entry_type(kind))
                ),
            );
        }
    }

    /// With checksums, each block of entries ends in one.
    fn blocks_have_tails(&mut self, directory: &Inode) -> Result<()> {
        if !self.filesystem.superblock().has_metadata_checksums() || directory.has_flag(EXT4_INDEX_FL) {
            return Ok(());
        }
        for logical in 0..self.filesystem.directory_blocks(directory) {
            let block = Self::readable(self.filesystem.read_directory_block(directory, logical))?;
            if let Some(Some((_, block))) = block
                && tail(&block).is_none()
            {
                self.report(Object::DirectoryBlock { inode: directory.number(), logical }, "no checksum");
            }
        }
        Ok(())
    }

    /// Checks that each leaf is in the index once and holds the hashes that the index says.
    fn index(&mut self, directory: &Inode) -> Result<()> {
        let filesystem = self.filesystem;
        let root = filesystem.htree_path(directory, b"")?;
        let levels = root.nodes.len() - 1;
        let version = root.version;
        let mut leaves = 0;
        let mut index_blocks = 0;
        let mut left = vec![(0, 0, 0..=u32::MAX)];
        while let Some((logical, level, range)) = left.pop() {
            if leaves + index_blocks > filesystem.directory_blocks(directory) {
                return Err(Error::corrupt(
                    Object::Inode(directory.number()),
                    "its index has more blocks than the directory",
                ));
            }
            index_blocks += 1;
            let offset = if level == 0 { ROOT_ENTRIES_OFFSET } else { NODE_ENTRIES_OFFSET };
            let node = filesystem.dx_block(directory, logical, offset)?;
            let object = Object::DirectoryBlock { inode: directory.number(), logical };
            for index in 0..node.count() {
                let low = if index == 0 { *range.start() } else { node.hash(index) };
                // Where the next one's lowest bit is set, names with this one's last hash are there, too.
                let high = if index + 1 == node.count() { *range.end() } else { node.hash(index + 1) };
                if low < *range.start() || low > *range.end() || (index > 0 && low & !1 < node.hash(index - 1) & !1) {
                    return Err(Error::corrupt(object, format!("index entry {index}: hash {low:#x} out of order")));
                }
                if level < levels {
                    left.push((node.child(index), level + 1, low..=high));
                } else {
                    leaves += 1;
                    self.leaf(directory, node.child(index), low..=high, version)?;
                }
            }
        }
        let blocks = filesystem.directory_blocks(directory);
        if leaves + index_blocks != blocks {
            self.report(
                Object::Inode(directory.number()),
                format!("its index has {} blocks, the directory {blocks}", leaves + index_blocks),
            );
        }
        Ok(())
    }

    fn leaf(&mut self, directory: &Inode, logical: u32, range: HashRange, version: HashVersion) -> Result<()> {
        let filesystem = self.filesystem;
        let object = Object::DirectoryBlock { inode: directory.number(), logical };
        if logical >= filesystem.directory_blocks(directory) {
            return Err(Error::corrupt(object, "in the index, but past the directory's end"));
        }
        let Some((_, block)) = filesystem.read_directory_block(directory, logical)? else {
            return Err(Error::corrupt(object, "in the index, but a hole"));
        };
        if filesystem.superblock().has_metadata_checksums() && tail(&block).is_none() {
            self.report(object, "no checksum");
        }
        for slot in slots(&block, object) {
            let slot = slot?;
            let hash = hash::hash(slot.name(&block), version, filesystem.superblock());
            let is_known = !directory.has_flag(EXT4_CASEFOLD_FL);
            if is_known && slot.inode != 0 && !(range.start() & !1..=*range.end()).contains(&hash) {
                let name = Printable(slot.name(&block)).to_string();
                self.report(object, format!("`{name}` has hash {hash:#x}, the index expects {range:#x?} here"));
            }
        }
        Ok(())
    }
}
