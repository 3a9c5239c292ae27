//! Whether the fields of an inode fit each other and the super block.

use metadata::FileKind;
use storage::ReadAt;

use super::Check;
use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::{compat, incompat, ro_compat};
use crate::inode::{Inode, InodeNumber};
use crate::journal;
use crate::layout::inode::{EXT4_EXTENTS_FL, EXT4_INDEX_FL};
use crate::layout::jbd2::JBD2_SUPERBLOCK_V1;

/// The largest file without the `large_file` feature, in bytes.
const MAX_SMALL_BYTES: u64 = i32::MAX as u64;
/// The most file systems that share a journal.
const MAX_JOURNAL_USERS: u32 = 48;
/// `mmp_magic`.
const MMP_MAGIC: u32 = 0x004D_4D50;
/// Where `mmp_checksum` is, of what is before it.
const MMP_CHECKSUM_OFFSET: usize = 1020;

impl<S: ReadAt> Check<'_, S> {
    /// Checks an inode without names: it was deleted at some time.
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
        if kind == FileKind::Symlink && inode.is_short_symlink() && inode.has_flag(EXT4_EXTENTS_FL) {
            wrong.push("a short symbolic link with an extent tree".to_owned());
        }
        wrong.into_iter().for_each(|problem| self.report(object, problem));
        match kind {
            FileKind::Symlink => self.symlink(inode),
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

    /// The journal is a file with a journal's beginning, and all its blocks. One on another device is not looked at.
    pub(super) fn journal(&mut self) -> Result<()> {
        let superblock = self.filesystem.superblock();
        let raw = &superblock.raw;
        let number = InodeNumber(raw.s_journal_inum.get());
        match (superblock.has_compat(compat::HAS_JOURNAL), number.0) {
            (false, 0) => return Ok(()),
            (false, _) => {
                self.report(
                    Object::Superblock,
                    format!("s_journal_inum={number}, but the file system is without has_journal"),
                );
                return Ok(());
            }
            (true, 0) if raw.s_journal_dev.get() == 0 && raw.s_journal_uuid == [0; 16] => {
                self.report(Object::Superblock, "has_journal, but neither an inode nor a device has the journal");
                return Ok(());
            }
            (true, 0) => {
                self.not_checked.push("the journal, which is on another device".to_owned());
                return Ok(());
            }
            (true, _) => {}
        }
        let (inode, journal) = match journal::read_superblock(self.filesystem) {
            Ok(read) => read,
            Err(error) => return self.report_error(error),
        };
        if !inode.kind().is_ok_and(|kind| kind == FileKind::Regular) || inode.links() == 0 {
            self.report(Object::Inode(number), "should be the journal, but is not a file in use");
        }
        // Linux looks at none of these in the first version, but another reader may.
        let later = [
            journal.s_feature_compat.get(),
            journal.s_feature_incompat.get(),
            journal.s_feature_ro_compat.get(),
            journal.s_nr_users.get(),
        ];
        if journal.s_header.h_blocktype.get() == JBD2_SUPERBLOCK_V1 && later != [0; 4] {
            self.report(Object::Journal, "a super block of the first version with fields of the second");
        }
        if journal.s_nr_users.get() > MAX_JOURNAL_USERS {
            let users = journal.s_nr_users.get();
            self.report(Object::Journal, format!("s_nr_users={users}, expected at most {MAX_JOURNAL_USERS}"));
        }
        Ok(())
    }

    /// Checks the block of multi-mount protection.
    pub(super) fn multi_mount(&mut self) -> Result<()> {
        let filesystem = self.filesystem;
        let superblock = filesystem.superblock();
        if !superblock.has_incompat(incompat::MMP) {
            return Ok(());
        }
        let Some(block) = filesystem.multi_mount_block() else {
            let block = superblock.raw.s_mmp_block.get();
            self.report(Object::Superblock, format!("s_mmp_block={block} is outside the file system"));
            return Ok(());
        };
        let bytes = filesystem.read_block(block)?;
        if bytes[..4] != MMP_MAGIC.to_le_bytes() {
            self.report(Object::Block(block), format!("mmp_magic={:02x?}, expected 50 4d 4d 00", &bytes[..4]));
        } else if superblock.has_metadata_checksums() {
            let computed = crc32c(superblock.checksum_seed(), &bytes[..MMP_CHECKSUM_OFFSET]).to_le_bytes();
            let stored = &bytes[MMP_CHECKSUM_OFFSET..MMP_CHECKSUM_OFFSET + 4];
            if stored != computed {
                self.report(Object::Block(block), format!("mmp_checksum={stored:02x?}, computed {computed:02x?}"));
            }
        }
        Ok(())
    }
}
