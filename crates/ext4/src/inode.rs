//! Inodes: one file, directory or link each. Their names are in directories.
//!
//! An inode has a place in a table and no name; its number is its place. In the example (see
//! [`group`](crate::group)) inode 12 is the file `hello`, whose content is the 12 bytes `hello, ext4\n`. Its 256 bytes
//! begin at byte 768 of block 136 (`debugfs -R "inode_dump hello"`):
//!
//! ```text
//! 0x00  a481       i_mode = 0x81a4: 0x8 is a regular file, 0x1a4 is 0644
//! 0x04  0c00 0000  i_size_lo = 12
//! 0x1a  0100       i_links_count = 1 name
//! 0x1c  0200 0000  i_blocks_lo = 2: units of 512 bytes, one block of 1,024
//! 0x20  0000 0800  i_flags = 0x80000: i_block is the root of an extent tree
//! 0x28  0af3 ...   i_block: 60 bytes that say where the content is
//! 0x80  2000       i_extra_isize = 32: bytes 128 to 159 have fields, too
//! ```
//!
//! The first 128 bytes are those of ext2. Then come newer fields: nanoseconds and two bits more for each time, when the
//! file was made, its project. What is left, here bytes 160 to 255, can hold extended attributes. `i_block` is a block
//! map ([`block_map`](crate::block_map)); of a short symbolic link it is the target, of a device the numbers, and with
//! `inline_data` the content itself.

use std::fmt;

use metadata::{Attributes, FileKind, Time, Times};
use zerocopy::{FromBytes, IntoBytes};

use storage::{ReadAt, WriteAt};

use crate::checksum::crc32c;
use crate::error::{Error, Object, Result};
use crate::features::ro_compat;
use crate::filesystem::FileSystem;
use crate::layout::inode::{EXT4_HUGE_FILE_FL, EXT4_INLINE_DATA_FL, RawInode, RawInodeExtra};
use crate::superblock::Superblock;

/// Size in bytes of the part that every inode has.
const BASE_BYTES: usize = 128;
/// Where the extra parts of access, modification and change time end, counted from there.
const EXTRA_TIMES_END: usize = std::mem::offset_of!(RawInodeExtra, i_atime_extra) + 4;

/// The number of an inode; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNumber(pub u32);

impl InodeNumber {
    /// The root directory.
    pub const ROOT: Self = Self(2);
    /// Holds the blocks that cannot be used; it has no kind.
    pub(crate) const BAD_BLOCKS: Self = Self(1);
}

impl fmt::Display for InodeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time from its low part and its extra part.
fn decode_time(low: u32, extra: u32) -> Time {
    // The low part is signed; two epoch bits extend it upwards.
    let seconds = i64::from(low as i32) + (i64::from(extra & 3) << 32);
    Time { seconds, nanoseconds: extra >> 2 }
}

/// The low part and the extra part of a time. A time that is out of range becomes the nearest that is not; without the
/// extra part the range is that of the low part.
fn encode_time(time: Time, has_extra: bool) -> (u32, u32) {
    let last = i64::from(i32::MAX) + if has_extra { 3 << 32 } else { 0 };
    let seconds = time.seconds.clamp(i64::from(i32::MIN), last);
    let epoch = ((seconds - i64::from(seconds as i32)) >> 32) & 3;
    (seconds as u32, (time.nanoseconds.min(999_999_999) << 2) | epoch as u32)
}

/// An inode as it was read.
#[derive(Clone)]
pub struct Inode {
    number: InodeNumber,
    pub(crate) raw: RawInode,
    /// What follows the first 128 bytes.
    tail: Vec<u8>,
}

impl Inode {
    /// A new inode with nothing in it.
    pub(crate) fn new(number: InodeNumber, kind: FileKind, attributes: &Attributes, superblock: &Superblock) -> Self {
        let mut inode = Self::zeroed(number, superblock);
        inode.raw.i_mode.set(kind.mode_bits());
        inode.raw.i_links_count.set(1);
        if inode.tail.len() >= size_of::<RawInodeExtra>() {
            let wanted = superblock.raw.s_want_extra_isize.get().max(superblock.raw.s_min_extra_isize.get());
            let room = inode.tail.len() as u16;
            let size = if wanted.is_multiple_of(4) && (32..=room).contains(&wanted) { wanted } else { 32 };
            inode.change_extra(|extra| {
                let (low, high) = encode_time(attributes.modified, true);
                extra.i_extra_isize.set(size);
                extra.i_crtime.set(low);
                extra.i_crtime_extra.set(high);
            });
        }
        inode.set_attributes(attributes);
        inode
    }

    /// An inode that is all zeros: one that was never used.
    pub(crate) fn zeroed(number: InodeNumber, superblock: &Superblock) -> Self {
        let tail = vec![0; usize::from(superblock.inode_size_bytes()) - BASE_BYTES];
        let raw = RawInode::read_from_bytes(&[0; BASE_BYTES]).unwrap_or_else(|_| unreachable!("128 bytes"));
        Self { number, raw, tail }
    }

    pub(crate) fn parse(number: InodeNumber, bytes: &[u8]) -> Result<Self> {
        let (raw, tail) = RawInode::read_from_prefix(bytes)
            .map_err(|_| Error::corrupt(Object::Inode(number), "fewer than 128 bytes"))?;
        let inode = Self { number, raw, tail: tail.to_vec() };
        let extra = inode.extra_size();
        if extra != 0 && (extra < 4 || extra > inode.tail.len() || !extra.is_multiple_of(4)) {
            return Err(Error::corrupt(
                Object::Inode(number),
                format!("i_extra_isize={extra}, expected a multiple of 4 up to {}", inode.tail.len()),
            ));
        }
        Ok(inode)
    }

    /// Its number.
    pub fn number(&self) -> InodeNumber {
        self.number
    }

    /// What kind of file it is.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where the type bits of `i_mode` stand for none of the seven kinds.
    pub fn kind(&self) -> Result<FileKind> {
        FileKind::from_mode(self.raw.i_mode.get()).ok_or_else(|| {
            Error::corrupt(Object::Inode(self.number), format!("i_mode={:#o} has no file type", self.raw.i_mode.get()))
        })
    }

    /// Permission bits, set-id and sticky bits included.
    pub fn permissions(&self) -> u16 {
        self.raw.i_mode.get() & 0o7777
    }

    /// Owner.
    pub fn uid(&self) -> u32 {
        u32::from(self.raw.i_uid_high.get()) << 16 | u32::from(self.raw.i_uid.get())
    }

    /// Group.
    pub fn gid(&self) -> u32 {
        u32::from(self.raw.i_gid_high.get()) << 16 | u32::from(self.raw.i_gid.get())
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.raw.i_size_high.get()) << 32 | u64::from(self.raw.i_size_lo.get())
    }

    /// Number of names. 1 may stand for "more than 65,000 subdirectories".
    pub fn links(&self) -> u16 {
        self.raw.i_links_count.get()
    }

    /// Access time.
    pub fn accessed(&self) -> Time {
        decode_time(self.raw.i_atime.get(), self.extra().map_or(0, |extra| extra.i_atime_extra.get()))
    }

    /// Modification time.
    pub fn modified(&self) -> Time {
        decode_time(self.raw.i_mtime.get(), self.extra().map_or(0, |extra| extra.i_mtime_extra.get()))
    }

    /// Change time.
    pub fn changed(&self) -> Time {
        decode_time(self.raw.i_ctime.get(), self.extra().map_or(0, |extra| extra.i_ctime_extra.get()))
    }

    /// Major and minor number, of a device.
    pub fn device(&self) -> Option<(u32, u32)> {
        let kind = FileKind::from_mode(self.raw.i_mode.get())?;
        if !matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| self.raw.i_block[at + i]));
        // The old encoding is in the first word; a number that it cannot hold is in the second.
        Some(match word(0) {
            0 => ((word(4) & 0xF_FF00) >> 8, (word(4) & 0xFF) | ((word(4) >> 12) & 0xF_FF00)),
            old => (old >> 8 & 0xFF, old & 0xFF),
        })
    }

    /// The project that the file belongs to; 0 without projects.
    pub fn project(&self) -> u32 {
        self.extra().map_or(0, |extra| extra.i_projid.get())
    }

    pub(crate) fn set_project(&mut self, project: u32) {
        self.change_extra(|extra| extra.i_projid.set(project));
    }

    pub(crate) fn flags(&self) -> u32 {
        self.raw.i_flags.get()
    }

    pub(crate) fn has_flag(&self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    pub(crate) fn set_flag(&mut self, flag: u32) {
        self.raw.i_flags.set(self.flags() | flag);
    }

    pub(crate) fn set_size(&mut self, size_bytes: u64) {
        self.raw.i_size_lo.set(size_bytes as u32);
        self.raw.i_size_high.set((size_bytes >> 32) as u32);
    }

    pub(crate) fn set_attributes(&mut self, attributes: &Attributes) {
        self.raw.i_mode.set(self.raw.i_mode.get() & 0xF000 | attributes.permissions & 0o7777);
        self.raw.i_uid.set(attributes.uid as u16);
        self.raw.i_uid_high.set((attributes.uid >> 16) as u16);
        self.raw.i_gid.set(attributes.gid as u16);
        self.raw.i_gid_high.set((attributes.gid >> 16) as u16);
        let all = Some(attributes.modified);
        self.set_times(&Times { accessed: all, modified: all, changed: all });
    }

    pub(crate) fn set_times(&mut self, times: &Times) {
        let has_extra = self.extra_size() >= EXTRA_TIMES_END;
        let [accessed, modified, changed] =
            [times.accessed, times.modified, times.changed].map(|time| time.map(|time| encode_time(time, has_extra)));
        for (field, time) in
            [(&mut self.raw.i_atime, accessed), (&mut self.raw.i_mtime, modified), (&mut self.raw.i_ctime, changed)]
        {
            time.into_iter().for_each(|(low, _)| field.set(low));
        }
        self.change_extra(|extra| {
            for (field, time) in [
                (&mut extra.i_atime_extra, accessed),
                (&mut extra.i_mtime_extra, modified),
                (&mut extra.i_ctime_extra, changed),
            ] {
                time.into_iter().for_each(|(_, high)| field.set(high));
            }
        });
    }

    /// Sets the numbers of a device, in the old encoding where that can say them.
    pub(crate) fn set_device(&mut self, major: u32, minor: u32) {
        let words = if major < 256 && minor < 256 {
            [major << 8 | minor, 0]
        } else {
            [0, (minor & 0xFF) | major << 8 | (minor & !0xFF) << 12]
        };
        for (bytes, word) in self.raw.i_block.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// File system blocks that the inode uses, content, block map and attribute block together.
    pub(crate) fn used_blocks(&self, superblock: &Superblock) -> u64 {
        let can_be_huge = superblock.has_ro_compat(ro_compat::HUGE_FILE);
        let high = if can_be_huge { u64::from(self.raw.i_blocks_high.get()) << 32 } else { 0 };
        let count = high | u64::from(self.raw.i_blocks_lo.get());
        if can_be_huge && self.has_flag(EXT4_HUGE_FILE_FL) {
            return count;
        }
        count / u64::from(superblock.block_size_bytes() / 512)
    }

    /// Sets the number of file system blocks that the inode uses.
    pub(crate) fn set_used_blocks(&mut self, blocks: u64, superblock: &Superblock) {
        let mut count = blocks * u64::from(superblock.block_size_bytes() / 512);
        let can_be_huge = superblock.has_ro_compat(ro_compat::HUGE_FILE);
        if can_be_huge && (self.has_flag(EXT4_HUGE_FILE_FL) || count >> 48 != 0) {
            self.set_flag(EXT4_HUGE_FILE_FL);
            count = blocks;
        }
        self.raw.i_blocks_lo.set(count as u32);
        self.raw.i_blocks_high.set((count >> 32) as u16);
    }

    /// The extended attribute block, if there is one.
    pub(crate) fn xattr_block(&self) -> Option<u64> {
        let block = u64::from(self.raw.i_file_acl_high.get()) << 32 | u64::from(self.raw.i_file_acl_lo.get());
        (block != 0).then_some(block)
    }

    /// Sets the extended attribute block, 0 for none.
    pub(crate) fn set_xattr_block(&mut self, block: u64) {
        self.raw.i_file_acl_lo.set(block as u32);
        self.raw.i_file_acl_high.set((block >> 32) as u16);
    }

    /// Where the in-inode extended attributes would start, counted from byte 128, and what is there.
    pub(crate) fn xattr_area(&self) -> &[u8] {
        match self.extra_size() {
            0 => &[],
            size => &self.tail[size..],
        }
    }

    /// As [`xattr_area`](Self::xattr_area), to be changed.
    pub(crate) fn xattr_area_mut(&mut self) -> &mut [u8] {
        match self.extra_size() {
            0 => &mut [],
            size => &mut self.tail[size..],
        }
    }

    /// Whether the block map describes blocks: a device, a FIFO or a short symlink has none.
    pub(crate) fn has_blocks(&self) -> bool {
        if self.has_flag(EXT4_INLINE_DATA_FL) {
            return false;
        }
        match FileKind::from_mode(self.raw.i_mode.get()) {
            Some(FileKind::Regular | FileKind::Directory) => true,
            Some(FileKind::Symlink) => !self.is_short_symlink(),
            None => self.lists_bad_blocks(),
            _ => false,
        }
    }

    /// Whether it is the inode of the bad blocks, and there are some.
    pub(crate) fn lists_bad_blocks(&self) -> bool {
        self.number == InodeNumber::BAD_BLOCKS && self.raw.i_block.iter().any(|&byte| byte != 0)
    }

    /// Whether a symlink's target is in `i_block`.
    pub(crate) fn is_short_symlink(&self) -> bool {
        self.size_bytes() < 60 && !self.has_flag(EXT4_INLINE_DATA_FL)
    }

    fn extra_size(&self) -> usize {
        match self.tail.first_chunk::<2>() {
            Some(size) => usize::from(u16::from_le_bytes(*size)),
            None => 0,
        }
    }

    /// The extra part, with zeros where `i_extra_isize` ends early.
    fn extra(&self) -> Option<RawInodeExtra> {
        let size = self.extra_size().min(size_of::<RawInodeExtra>()).min(self.tail.len());
        if size == 0 {
            return None;
        }
        let mut bytes = [0; size_of::<RawInodeExtra>()];
        bytes[..size].copy_from_slice(&self.tail[..size]);
        RawInodeExtra::read_from_bytes(&bytes).ok()
    }

    /// Changes the extra part, as far as `i_extra_isize` after the change goes.
    fn change_extra(&mut self, change: impl FnOnce(&mut RawInodeExtra)) {
        let mut extra = match self.extra() {
            Some(extra) => extra,
            None => match RawInodeExtra::read_from_bytes(&[0; size_of::<RawInodeExtra>()]) {
                Ok(extra) => extra,
                Err(_) => return,
            },
        };
        change(&mut extra);
        let size = usize::from(extra.i_extra_isize.get()).min(size_of::<RawInodeExtra>()).min(self.tail.len());
        self.tail[..size].copy_from_slice(&extra.as_bytes()[..size]);
    }

    /// The seed of the checksums of this inode's own blocks (extents, directory).
    pub(crate) fn checksum_seed(&self, superblock: &Superblock) -> u32 {
        let seed = crc32c(superblock.checksum_seed(), &self.number.0.to_le_bytes());
        crc32c(seed, self.raw.i_generation.as_bytes())
    }

    /// Whether the checksum has its high half.
    fn has_high_checksum(&self) -> bool {
        self.extra_size() >= 4
    }

    /// The checksum as it should be.
    pub(crate) fn computed_checksum(&self, superblock: &Superblock) -> u32 {
        let mut raw = self.raw.clone();
        raw.i_checksum_lo.set(0);
        let crc = crc32c(self.checksum_seed(superblock), raw.as_bytes());
        if !self.has_high_checksum() {
            return crc32c(crc, &self.tail) & 0xFFFF;
        }
        let crc = crc32c(crc, &self.tail[..2]);
        crc32c(crc32c(crc, &[0, 0]), &self.tail[4..])
    }

    /// The checksum as it is.
    pub(crate) fn stored_checksum(&self) -> u32 {
        let low = u32::from(self.raw.i_checksum_lo.get());
        if !self.has_high_checksum() {
            return low;
        }
        u32::from(u16::from_le_bytes([self.tail[2], self.tail[3]])) << 16 | low
    }

    /// The whole inode's bytes with a new checksum.
    pub(crate) fn seal(&mut self, superblock: &Superblock) -> Vec<u8> {
        if superblock.has_metadata_checksums() && !self.is_all_zero() {
            let checksum = self.computed_checksum(superblock);
            self.raw.i_checksum_lo.set(checksum as u16);
            if self.has_high_checksum() {
                self.tail[2..4].copy_from_slice(&((checksum >> 16) as u16).to_le_bytes());
            }
        }
        [self.raw.as_bytes(), &self.tail].concat()
    }

    /// Whether every byte is zero: an inode that was never used, which has no checksum.
    pub(crate) fn is_all_zero(&self) -> bool {
        self.raw.as_bytes().iter().chain(&self.tail).all(|&byte| byte == 0)
    }
}

impl<S: ReadAt> FileSystem<S> {
    /// Reads inode `number`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where there is no such inode, where its checksum is wrong or its extra
    /// part has a size that cannot be.
    pub fn inode(&self, number: InodeNumber) -> Result<Inode> {
        let mut bytes = vec![0; usize::from(self.superblock.inode_size_bytes())];
        self.storage.read_at(self.inode_offset(number)?, &mut bytes)?;
        let inode = Inode::parse(number, &bytes)?;
        if self.superblock.has_metadata_checksums() && !inode.is_all_zero() {
            let (stored, computed) = (inode.stored_checksum(), inode.computed_checksum(&self.superblock));
            if stored != computed {
                return Err(Error::corrupt(
                    Object::Inode(number),
                    format!("i_checksum={stored:#010x}, computed {computed:#010x}"),
                ));
            }
        }
        Ok(inode)
    }

    /// Offset in bytes of inode `number` in the storage.
    fn inode_offset(&self, number: InodeNumber) -> Result<u64> {
        if number.0 == 0 || number.0 > self.superblock.inodes() {
            return Err(Error::corrupt(
                Object::Inode(number),
                format!("no such inode: they are 1 to {}", self.superblock.inodes()),
            ));
        }
        let (group, index) = self.group_of_inode(number);
        let table = self.groups[group as usize].inode_table(&self.superblock);
        Ok(table * u64::from(self.superblock.block_size_bytes())
            + u64::from(index) * u64::from(self.superblock.inode_size_bytes()))
    }

    /// The group of inode `number`, and its index there.
    pub(crate) fn group_of_inode(&self, number: InodeNumber) -> (u32, u32) {
        let per_group = self.superblock.inodes_per_group();
        ((number.0 - 1) / per_group, (number.0 - 1) % per_group)
    }
}

impl<S: WriteAt> FileSystem<S> {
    pub(crate) fn write_inode(&mut self, inode: &mut Inode) -> Result<()> {
        let offset = self.inode_offset(inode.number())?;
        let bytes = inode.seal(&self.superblock);
        Ok(self.storage.write_at(offset, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_from_1901_to_2446() {
        for seconds in
            [i64::from(i32::MIN), -1, 0, 1_700_000_000, i64::from(i32::MAX), 1 << 31, 1 << 33, 15_032_385_535]
        {
            let time = Time { seconds, nanoseconds: 999_999_999 };
            let (low, extra) = encode_time(time, true);
            assert_eq!(decode_time(low, extra), time);
        }
        let far = Time { seconds: i64::MAX, nanoseconds: 0 };
        let (low, extra) = encode_time(far, true);
        assert_eq!(decode_time(low, extra).seconds, 15_032_385_535);
        // In an inode of 128 bytes, a time past 2038 must not be read as one in the 20th century.
        let (low, _) = encode_time(far, false);
        assert_eq!(decode_time(low, 0).seconds, i64::from(i32::MAX));
    }
}
