//! Inodes: read, changed, taken and given back.

use metadata::{Attributes, FileKind, S_IFMT, Time, Times};
use storage::{ReadAt, WriteAt};

use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::group::{NULLAGINO, XFS_RMAP_OWN_INODES};
use crate::layout::inode::{
    CRC_AT, LITERAL_AT, RawInode, XFS_DIFLAG_PROJINHERIT, XFS_DIFLAG2_BIGTIME, XFS_DIFLAG2_KNOWN, XFS_DIFLAG2_NREXT64,
    XFS_DIFLAG2_REFLINK, XFS_DINODE_FMT_DEV, XFS_DINODE_FMT_EXTENTS, XFS_DINODE_MAGIC,
};
use crate::layout::superblock::incompat;
use crate::layout::{has_checksum, header, header_mut, set_checksum};
use crate::superblock::Superblock;

/// With `bigtime` a time is nanoseconds since 1901: the smallest that 32 bits of seconds had.
const BIGTIME_EPOCH: i64 = 1 << 31;
const NANOSECONDS: u64 = 1_000_000_000;
/// Inodes come in chunks of so many.
const CHUNK_INODES: u32 = 64;

/// Which of the two maps of an inode is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fork {
    Data,
    Attributes,
}

/// An inode as it was read.
#[derive(Clone)]
pub struct Inode {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Inode {
    pub(crate) fn raw(&self) -> &RawInode {
        header(&self.bytes)
    }

    pub(crate) fn raw_mut(&mut self) -> &mut RawInode {
        header_mut(&mut self.bytes)
    }

    pub(crate) fn corrupt(&self, problem: impl Into<String>) -> Error {
        Error::corrupt(Object::Inode(self.number), problem)
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The kind of file.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the mode has none.
    pub fn kind(&self) -> Result<FileKind> {
        let mode = self.raw().di_mode.get();
        FileKind::from_mode(mode).ok_or_else(|| self.corrupt(format!("invalid mode {mode:o}")))
    }

    /// Permission bits.
    pub fn permissions(&self) -> u16 {
        self.raw().di_mode.get() & !S_IFMT
    }

    /// Owner.
    pub fn uid(&self) -> u32 {
        self.raw().di_uid.get()
    }

    /// Group.
    pub fn gid(&self) -> u32 {
        self.raw().di_gid.get()
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.raw().di_size.get()
    }

    /// How many names it has.
    pub fn links(&self) -> u32 {
        self.raw().di_nlink.get()
    }

    /// `di_flags`.
    pub fn flags(&self) -> u16 {
        self.raw().di_flags.get()
    }

    /// The project whose quota it counts for.
    pub fn project(&self) -> u32 {
        let raw = self.raw();
        u32::from(raw.di_projid_hi.get()) << 16 | u32::from(raw.di_projid_lo.get())
    }

    /// Access time.
    pub fn accessed(&self) -> Time {
        self.time(self.raw().di_atime.get())
    }

    /// Modification time.
    pub fn modified(&self) -> Time {
        self.time(self.raw().di_mtime.get())
    }

    /// Change time.
    pub fn changed(&self) -> Time {
        self.time(self.raw().di_ctime.get())
    }

    /// Major and minor number, if it is a device.
    pub fn device(&self) -> Option<(u32, u32)> {
        if !matches!(self.kind(), Ok(FileKind::CharDevice | FileKind::BlockDevice)) {
            return None;
        }
        let number = crate::layout::be32(&self.bytes, LITERAL_AT);
        // The kernel takes 9 of the 14 bits of the major number.
        Some((number >> 18 & 0x1ff, number & 0x3_ffff))
    }

    fn time(&self, raw: u64) -> Time {
        if self.has_flag2(XFS_DIFLAG2_BIGTIME) {
            let seconds = (raw / NANOSECONDS) as i64 - BIGTIME_EPOCH;
            return Time { seconds, nanoseconds: (raw % NANOSECONDS) as u32 };
        }
        Time { seconds: ((raw >> 32) as i32).into(), nanoseconds: (raw as u32).min(999_999_999) }
    }

    fn raw_time(&self, time: Time) -> u64 {
        let nanoseconds = u64::from(time.nanoseconds.min(999_999_999));
        if self.has_flag2(XFS_DIFLAG2_BIGTIME) {
            let most = (u64::MAX / NANOSECONDS - 1) as i64 - BIGTIME_EPOCH;
            let seconds = time.seconds.clamp(-BIGTIME_EPOCH, most) + BIGTIME_EPOCH;
            return seconds as u64 * NANOSECONDS + nanoseconds;
        }
        let seconds = time.seconds.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        u64::from(seconds as u32) << 32 | nanoseconds
    }

    pub(crate) fn has_flag2(&self, flag: u64) -> bool {
        self.raw().di_flags2.get() & flag != 0
    }

    /// Sets the times that are given.
    pub(crate) fn set_times(&mut self, times: &Times) {
        for (index, time) in [times.accessed, times.modified, times.changed].into_iter().enumerate() {
            let Some(time) = time else { continue };
            let value = self.raw_time(time);
            let raw = self.raw_mut();
            [&mut raw.di_atime, &mut raw.di_mtime, &mut raw.di_ctime][index].set(value);
        }
    }

    pub(crate) fn set_permissions(&mut self, permissions: u16) {
        let mode = self.raw().di_mode.get() & S_IFMT | permissions & 0o7777;
        self.raw_mut().di_mode.set(mode);
    }

    /// Sets mode, owner and times.
    pub(crate) fn set_attributes(&mut self, attributes: &Attributes) {
        self.set_permissions(attributes.permissions);
        let raw = self.raw_mut();
        raw.di_uid.set(attributes.uid);
        raw.di_gid.set(attributes.gid);
        let time = Some(attributes.modified);
        self.set_times(&Times { accessed: time, modified: time, changed: time });
    }

    /// Length in bytes of what is behind the fields: both forks.
    pub(crate) fn literal_bytes(&self) -> usize {
        self.bytes.len() - LITERAL_AT
    }

    /// Whether it has a place for attributes.
    pub(crate) fn has_attribute_fork(&self) -> bool {
        self.raw().di_forkoff != 0
    }

    /// Where a fork is in the inode.
    fn fork_range(&self, fork: Fork) -> std::ops::Range<usize> {
        let offset = usize::from(self.raw().di_forkoff) * 8;
        match fork {
            Fork::Data if offset == 0 => LITERAL_AT..self.bytes.len(),
            Fork::Data => LITERAL_AT..LITERAL_AT + offset,
            Fork::Attributes if offset == 0 => self.bytes.len()..self.bytes.len(),
            Fork::Attributes => LITERAL_AT + offset..self.bytes.len(),
        }
    }

    pub(crate) fn fork(&self, fork: Fork) -> &[u8] {
        &self.bytes[self.fork_range(fork)]
    }

    /// Fills a fork with `bytes` and zeros.
    pub(crate) fn set_fork(&mut self, fork: Fork, bytes: &[u8]) {
        let range = self.fork_range(fork);
        let place = &mut self.bytes[range];
        place.fill(0);
        place[..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn format(&self, fork: Fork) -> u8 {
        match fork {
            Fork::Data => self.raw().di_format,
            Fork::Attributes => self.raw().di_aformat,
        }
    }

    pub(crate) fn set_format(&mut self, fork: Fork, format: u8) {
        match fork {
            Fork::Data => self.raw_mut().di_format = format,
            Fork::Attributes => self.raw_mut().di_aformat = format,
        }
    }

    /// How many extents a fork has.
    pub(crate) fn extents(&self, fork: Fork) -> u64 {
        let (raw, is_large) = (self.raw(), self.has_flag2(XFS_DIFLAG2_NREXT64));
        match (fork, is_large) {
            (Fork::Data, true) => raw.di_big_nextents.get(),
            (Fork::Data, false) => raw.di_nextents.get().into(),
            (Fork::Attributes, true) => raw.di_nextents.get().into(),
            (Fork::Attributes, false) => raw.di_anextents.get().into(),
        }
    }

    pub(crate) fn set_extents(&mut self, fork: Fork, count: u64) -> Result<()> {
        let is_large = self.has_flag2(XFS_DIFLAG2_NREXT64);
        let most = match (fork, is_large) {
            (Fork::Data, true) => 1 << 48,
            (Fork::Data, false) => i32::MAX as u64,
            (Fork::Attributes, true) => u32::MAX.into(),
            (Fork::Attributes, false) => i16::MAX as u64,
        };
        if count > most {
            return Err(Error::TooLarge {
                what: format!("inode {} would have {count} extents, of {most}", self.number),
            });
        }
        let raw = self.raw_mut();
        match (fork, is_large) {
            (Fork::Data, true) => raw.di_big_nextents.set(count),
            (Fork::Data, false) | (Fork::Attributes, true) => raw.di_nextents.set(count as u32),
            (Fork::Attributes, false) => raw.di_anextents.set(count as u16),
        }
        Ok(())
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Reads an inode that is in use.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if there is none with the number, or it breaks a rule.
    pub fn inode(&self, number: u64) -> Result<Inode> {
        let corrupt = |problem: String| Err(Error::corrupt(Object::Inode(number), problem));
        let Some(offset) = self.superblock.inode_offset(number) else {
            return corrupt("no such inode".to_owned());
        };
        let mut bytes = vec![0; self.superblock.inode_bytes()];
        self.storage.read_at(offset, &mut bytes)?;
        let inode = Inode { number, bytes };
        let raw = inode.raw();
        if raw.di_magic.get() != XFS_DINODE_MAGIC || raw.di_version != 3 || !has_checksum(&inode.bytes, CRC_AT) {
            return corrupt(format!(
                "di_magic={:#06x} di_version={}, or a wrong di_crc",
                raw.di_magic.get(),
                raw.di_version
            ));
        }
        if raw.di_ino.get() != number || raw.di_uuid != self.superblock.metadata_uuid() {
            return corrupt(format!("it says that it is inode {}", raw.di_ino.get()));
        }
        if raw.di_mode.get() == 0 {
            return corrupt("it is free".to_owned());
        }
        if usize::from(raw.di_forkoff) * 8 >= inode.literal_bytes() || i64::try_from(raw.di_size.get()).is_err() {
            return corrupt(format!("di_forkoff={} di_size={}", raw.di_forkoff, raw.di_size.get()));
        }
        Ok(inode)
    }

    /// The same, to be changed.
    pub(crate) fn inode_to_edit(&mut self, number: u64) -> Result<Inode> {
        self.prepare_to_write()?;
        let inode = self.inode(number)?;
        if inode.raw().di_flags2.get() & !XFS_DIFLAG2_KNOWN != 0 {
            let feature = format!("di_flags2={:#x}", inode.raw().di_flags2.get());
            return Err(Error::unsupported(Object::Inode(number), feature));
        }
        Ok(inode)
    }

    pub(crate) fn write_inode(&mut self, inode: &mut Inode) -> Result<()> {
        set_checksum(&mut inode.bytes, CRC_AT);
        match self.superblock.inode_offset(inode.number) {
            Some(offset) => Ok(self.storage.write_at(offset, &inode.bytes)?),
            None => Err(inode.corrupt("no such inode")),
        }
    }

    /// A new inode with one name, from the group of its directory on.
    pub(crate) fn new_inode(&mut self, parent: &Inode, kind: FileKind, attributes: &Attributes) -> Result<Inode> {
        let number = self.take_inode(parent.number)?;
        let superblock = &self.superblock;
        // A number that is free was in use before, or its chunk was made with zeros.
        let before = self.inode_bytes(number)?;
        let generation = header::<RawInode>(&before).di_gen.get();
        let mut inode = empty_inode(superblock, number);
        let raw = inode.raw_mut();
        raw.di_gen.set(generation.wrapping_add(1));
        raw.di_mode.set(kind.mode_bits());
        raw.di_format = XFS_DINODE_FMT_EXTENTS;
        raw.di_nlink.set(1);
        let mut flags = 0;
        if superblock.has_incompat(incompat::BIGTIME) {
            flags |= XFS_DIFLAG2_BIGTIME;
        }
        if superblock.has_incompat(incompat::NREXT64) {
            flags |= XFS_DIFLAG2_NREXT64;
        }
        raw.di_flags2.set(flags);
        if parent.flags() & XFS_DIFLAG_PROJINHERIT != 0 {
            raw.di_projid_lo = parent.raw().di_projid_lo;
            raw.di_projid_hi = parent.raw().di_projid_hi;
            if kind == FileKind::Directory {
                raw.di_flags.set(XFS_DIFLAG_PROJINHERIT);
            }
        }
        inode.set_attributes(attributes);
        let created = inode.raw_time(attributes.modified);
        inode.raw_mut().di_crtime.set(created);
        Ok(inode)
    }

    fn inode_bytes(&self, number: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.superblock.inode_bytes()];
        let offset = self
            .superblock
            .inode_offset(number)
            .ok_or_else(|| Error::corrupt(Object::Inode(number), "no such inode"))?;
        self.storage.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The number of an inode that nobody has, near `near`.
    fn take_inode(&mut self, near: u64) -> Result<u64> {
        let (goal, _) = self.superblock.split_inode(near).unwrap_or_default();
        let groups = self.superblock.groups();
        for group in (0..groups).map(|index| (goal + index) % groups) {
            let found = match self.group(group)?.take_inode() {
                Some(within) => Some(within),
                None => match self.add_chunk(group)? {
                    true => self.group(group)?.take_inode(),
                    false => None,
                },
            };
            if let Some(within) = found {
                return Ok(self.superblock.inode(group, within));
            }
        }
        Err(self.no_space(self.superblock.chunk_blocks().into()))
    }

    /// Makes 64 more inodes in a group, or as many as a block has; says whether there was room.
    fn add_chunk(&mut self, group: u32) -> Result<bool> {
        let per_block = u32::from(self.superblock.raw.sb_inopblock.get());
        let blocks = self.superblock.chunk_blocks();
        let alignment = self.superblock.raw.sb_inoalignmt.get().max(1).next_power_of_two().max(blocks);
        let is_sparse = self.superblock.has_incompat(incompat::SPINODES);
        let uuid_source = self.superblock.clone();
        let there = self.group(group)?;
        if there.usable_blocks() < blocks {
            return Ok(false);
        }
        let Some(run) = there.find(blocks, alignment) else { return Ok(false) };
        there.take(run, XFS_RMAP_OWN_INODES, 0)?;
        let first = run.start * per_block;
        for start in (first..first + blocks * per_block).step_by(CHUNK_INODES as usize) {
            there.add_chunk(start, is_sparse);
        }
        for within in first..first + blocks * per_block {
            let number = uuid_source.inode(group, within);
            let mut inode = empty_inode(&uuid_source, number);
            // The kernel draws it at random; this is the same each time.
            let seed = crc32c::crc32c_append(crc32c::crc32c(&number.to_be_bytes()), &uuid_source.metadata_uuid());
            inode.raw_mut().di_gen.set(seed);
            self.write_inode(&mut inode)?;
        }
        Ok(true)
    }

    /// Gives an inode back whose content is gone already.
    pub(crate) fn free_inode(&mut self, mut inode: Inode) -> Result<()> {
        let raw = inode.raw_mut();
        raw.di_mode.set(0);
        raw.di_nlink.set(0);
        raw.di_flags.set(0);
        raw.di_flags2.set(raw.di_flags2.get() & XFS_DIFLAG2_NREXT64);
        raw.di_size.set(0);
        raw.di_forkoff = 0;
        raw.di_format = XFS_DINODE_FMT_EXTENTS;
        raw.di_aformat = XFS_DINODE_FMT_EXTENTS;
        raw.di_gen.set(raw.di_gen.get().wrapping_add(1));
        inode.bytes[LITERAL_AT..].fill(0);
        inode.set_extents(Fork::Data, 0)?;
        inode.set_extents(Fork::Attributes, 0)?;
        self.write_inode(&mut inode)?;
        let (group, within) =
            self.superblock.split_inode(inode.number).ok_or_else(|| inode.corrupt("no such inode"))?;
        self.group(group)?.give_inode(within)
    }

    /// Changes mode, owner and times.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the file system cannot be written, [`Error::Corrupt`], [`Error::Storage`].
    pub fn set_attributes(&mut self, number: u64, attributes: &Attributes) -> Result<()> {
        let mut inode = self.inode_to_edit(number)?;
        inode.set_attributes(attributes);
        self.write_inode(&mut inode)
    }

    /// Changes `di_flags`: those that users set.
    ///
    /// # Errors
    ///
    /// As [`set_attributes`](Self::set_attributes).
    pub fn set_flags(&mut self, number: u64, flags: u16) -> Result<()> {
        let mut inode = self.inode_to_edit(number)?;
        inode.raw_mut().di_flags.set(flags);
        self.write_inode(&mut inode)
    }

    /// Changes the times that are given.
    ///
    /// # Errors
    ///
    /// As [`set_attributes`](Self::set_attributes).
    pub fn set_times(&mut self, number: u64, times: &Times) -> Result<()> {
        let mut inode = self.inode_to_edit(number)?;
        inode.set_times(times);
        self.write_inode(&mut inode)
    }
}

/// An inode that nobody has.
fn empty_inode(superblock: &Superblock, number: u64) -> Inode {
    let mut inode = Inode { number, bytes: vec![0; superblock.inode_bytes()] };
    let raw = inode.raw_mut();
    raw.di_magic.set(XFS_DINODE_MAGIC);
    raw.di_version = 3;
    raw.di_format = XFS_DINODE_FMT_DEV;
    raw.di_aformat = XFS_DINODE_FMT_EXTENTS;
    raw.di_next_unlinked.set(NULLAGINO);
    raw.di_ino.set(number);
    raw.di_uuid = superblock.metadata_uuid();
    inode
}

impl Inode {
    /// Whether blocks of it may be shared with other files.
    pub(crate) fn may_share(&self) -> bool {
        self.has_flag2(XFS_DIFLAG2_REFLINK)
    }
}
