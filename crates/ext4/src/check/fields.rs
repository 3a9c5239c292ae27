//! What the fields of an inode say of each other and of the super block.

use storage::ReadAt;

use super::Check;
use crate::error::{Error, Object, Result};
use crate::features::{compat, incompat, ro_compat};
use crate::inode::{FileKind, Inode, InodeNumber};
use crate::layout::inode::{EXT4_EXTENTS_FL, EXT4_INDEX_FL};
use crate::layout::jbd2::JBD2_MAGIC_NUMBER;

/// The largest file without the `large_file` feature, in bytes.
const MAX_SMALL_BYTES: u64 = i32::MAX as u64;

impl<S: ReadAt> Check<'_, S> {
    /// Checks an inode that has no names any more: it was deleted at some time.
    pub(super) fn deleted(&mut self, inode: &Inode) {
        let filesystem = self.filesystem;
        let has_orphans = filesystem.superblock().raw.s_last_orphan.get() != 0 || filesystem.has_orphans_in_file();
        if inode.raw.i_mode.get() != 0 && inode.raw.i_dtime.get() == 0 && !has_orphans {
            self.report(Object::Inode(inode.number()), "i_links_count=0, but it was never deleted: i_dtime=0");
        }
    }

    pub(super) fn fields(&mut self, inode: &Inode) -> Result<()> {
        let superblock = self.filesystem.superblock();
        let object = Object::Inode(inode.number());
        let Ok(kind) = inode.kind() else { return Ok(()) };
        let is_indexed = inode.has_flag(EXT4_INDEX_FL);
        let mut wrong = Vec::new();
        // On the list of orphans it is the number of the next one.
        if inode.raw.i_dtime.get() != 0 && superblock.raw.s_last_orphan.get() == 0 {
            wrong.push(format!("in use, but i_dtime={}", inode.raw.i_dtime));
        }
        if inode.has_flag(EXT4_EXTENTS_FL) && !superblock.has_incompat(incompat::EXTENTS) {
            wrong.push("has an extent tree, but the file system is without extents".to_owned());
        }
        if is_indexed && (kind != FileKind::Directory || !superblock.has_compat(compat::DIR_INDEX)) {
            wrong.push("has an index, which only directories with dir_index have".to_owned());
        }
        if kind == FileKind::Regular
            && inode.size_bytes() > MAX_SMALL_BYTES
            && !superblock.has_ro_compat(ro_compat::LARGE_FILE)
        {
            wrong.push(format!("i_size={}, but the file system is without large_file", inode.size_bytes()));
        }
        let is_special =
            matches!(kind, FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket);
        if is_special && (inode.size_bytes() != 0 || inode.has_flag(EXT4_EXTENTS_FL | EXT4_INDEX_FL)) {
            wrong.push(format!("a {kind:?} with a size or a block map").to_lowercase());
        }
        wrong.into_iter().for_each(|problem| self.report(object, problem));
        match kind {
            FileKind::Symlink => self.symlink(inode),
            FileKind::Directory => self.directory_map(inode),
            _ => Ok(()),
        }
    }

    /// A symbolic link's target is as long as its size says.
    fn symlink(&mut self, inode: &Inode) -> Result<()> {
        let target = match self.filesystem.read_link(inode.number()) {
            Ok(target) => target,
            Err(Error::Corrupt { problem, .. }) => {
                self.report(Object::Inode(inode.number()), problem);
                return Ok(());
            }
            Err(Error::Unsupported { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_terminated = !inode.is_short_symlink() || inode.raw.i_block.get(target.len()) == Some(&0);
        if target.contains(&0) || !is_terminated {
            self.report(Object::Inode(inode.number()), format!("its target is not {} bytes long", target.len()));
        }
        Ok(())
    }

    /// A directory has each of its blocks.
    fn directory_map(&mut self, inode: &Inode) -> Result<()> {
        let Some(map) = Self::readable(self.filesystem.read_map(inode))? else { return Ok(()) };
        let blocks = u64::from(self.filesystem.directory_blocks(inode));
        let holes: u64 = map.holes(0..blocks).iter().map(|hole| hole.end - hole.start).sum();
        if holes > 0 || map.extents.iter().any(|extent| extent.unwritten) {
            self.report(Object::Inode(inode.number()), format!("a directory with {holes} blocks missing or unwritten"));
        }
        Ok(())
    }

    /// The journal is a file with a journal's beginning.
    pub(super) fn journal(&mut self) -> Result<()> {
        let superblock = self.filesystem.superblock();
        let number = InodeNumber(superblock.raw.s_journal_inum.get());
        if !superblock.has_compat(compat::HAS_JOURNAL) || number.0 == 0 {
            return Ok(());
        }
        let mut magic = [0; 4];
        let read = self.filesystem.inode(number).and_then(|inode| match inode.kind()? {
            FileKind::Regular => self.filesystem.read_content(&inode, 0, &mut magic),
            _ => Ok(0),
        });
        match read {
            Ok(4) if magic == JBD2_MAGIC_NUMBER.to_be_bytes() => Ok(()),
            Ok(_) => {
                self.report(Object::Inode(number), "is to be the journal, but does not begin as one");
                Ok(())
            }
            Err(error) => self.report_error(error),
        }
    }
}
