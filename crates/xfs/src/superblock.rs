//! The super block: sizes, features and counts.

use storage::{ReadAt, WriteAt};

use crate::error::{Error, Object, Result};
use crate::layout::superblock::{
    CRC_AT, RawSuperblock, XFS_QUOTA_CHKD, XFS_SB_MAGIC, XFS_SB_VERSION_BORGBIT, XFS_SB_VERSION_NUMBITS, incompat,
    ro_compat,
};
use crate::layout::{has_checksum, header, header_mut, set_checksum};

/// Features that edits keep right.
const WRITABLE_RO_COMPAT: u32 = ro_compat::FINOBT | ro_compat::RMAPBT | ro_compat::REFLINK | ro_compat::INOBTCNT;
const WRITABLE_INCOMPAT: u32 = incompat::FTYPE
    | incompat::SPINODES
    | incompat::META_UUID
    | incompat::BIGTIME
    | incompat::NREXT64
    | incompat::EXCHRANGE;
/// Features by the bits of `sb_features_ro_compat`, and the names that `xfs_info` prints.
const RO_COMPAT_NAMES: [(u32, &str); 4] = [(0, "finobt"), (1, "rmapbt"), (2, "reflink"), (3, "inobtcount")];
/// Those of `sb_features_incompat`.
const INCOMPAT_NAMES: [(u32, &str); 10] = [
    (0, "ftype"),
    (1, "sparse"),
    (2, "metauuid"),
    (3, "bigtime"),
    (4, "needsrepair"),
    (5, "nrext64"),
    (6, "exchange"),
    (7, "parent"),
    (8, "metadir"),
    (9, "zoned"),
];

/// The names of the features of `sb_features_ro_compat` and `sb_features_incompat`, as `xfs_info` prints them. Bits
/// that are not known have none.
pub fn feature_names(ro_compat: u32, incompat: u32) -> Vec<&'static str> {
    let named = |names: &'static [(u32, &'static str)], bits: u32| {
        names.iter().filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name)
    };
    named(&RO_COMPAT_NAMES, ro_compat).chain(named(&INCOMPAT_NAMES, incompat)).collect()
}

/// The super block of an XFS of version 5.
#[derive(Clone)]
pub struct Superblock {
    pub(crate) raw: RawSuperblock,
    /// The whole sector: what is behind the known fields is kept.
    sector: Vec<u8>,
}

impl Superblock {
    /// Reads the first super block.
    ///
    /// # Errors
    ///
    /// [`Error::NotXfs`], [`Error::Unsupported`] for version 4, [`Error::Corrupt`] if a field cannot be.
    pub fn read(storage: &dyn ReadAt) -> Result<Self> {
        let mut start = [0; 512];
        if storage.size_bytes() < 512 {
            return Err(Error::NotXfs { found: 0 });
        }
        storage.read_at(0, &mut start)?;
        let raw: &RawSuperblock = header(&start);
        let corrupt = |problem: String| Err(Error::corrupt(Object::Superblock, problem));
        if raw.sb_magicnum.get() != XFS_SB_MAGIC {
            return Err(Error::NotXfs { found: raw.sb_magicnum.get() });
        }
        let version = raw.sb_versionnum.get();
        if version & XFS_SB_VERSION_NUMBITS != 5 {
            return Err(Error::unsupported(
                Object::Superblock,
                format!("version {}", version & XFS_SB_VERSION_NUMBITS),
            ));
        }
        let sector_bytes = raw.sb_sectsize.get();
        if !sector_bytes.is_power_of_two()
            || !(512..=32768).contains(&sector_bytes)
            || 1_u32.checked_shl(raw.sb_sectlog.into()) != Some(sector_bytes.into())
        {
            return corrupt(format!("sb_sectsize={sector_bytes} sb_sectlog={}", raw.sb_sectlog));
        }
        if storage.size_bytes() < u64::from(sector_bytes) {
            return corrupt(format!("sb_sectsize={sector_bytes}, which is more than the partition has"));
        }
        let mut sector = vec![0; usize::from(sector_bytes)];
        storage.read_at(0, &mut sector)?;
        if !has_checksum(&sector, CRC_AT) {
            return corrupt("wrong sb_crc".to_owned());
        }
        let superblock = Self { raw: raw.clone(), sector };
        superblock.check(storage.size_bytes())?;
        Ok(superblock)
    }

    /// Bounds that all other code relies on.
    fn check(&self, there_bytes: u64) -> Result<()> {
        let raw = &self.raw;
        let corrupt = |problem: String| Err(Error::corrupt(Object::Superblock, problem));
        let (block, inode) = (raw.sb_blocksize.get(), raw.sb_inodesize.get());
        if !(512..=65536).contains(&block) || 1_u32.checked_shl(raw.sb_blocklog.into()) != Some(block) {
            return corrupt(format!("sb_blocksize={block} sb_blocklog={}", raw.sb_blocklog));
        }
        // The headers of a group, four sectors, leave most of the smallest group to its trees.
        if self.sector.len() > block as usize {
            return corrupt(format!("sb_sectsize={}, more than sb_blocksize={block}", self.sector.len()));
        }
        if !(512..=2048).contains(&inode) || 1_u32.checked_shl(raw.sb_inodelog.into()) != Some(u32::from(inode)) {
            return corrupt(format!("sb_inodesize={inode} sb_inodelog={}", raw.sb_inodelog));
        }
        if u32::from(inode) * 2 > block.max(1024)
            || block / u32::from(inode) != u32::from(raw.sb_inopblock.get())
            || 1_u32.checked_shl(raw.sb_inopblog.into()) != Some(u32::from(raw.sb_inopblock.get()))
        {
            return corrupt(format!("sb_inopblock={} sb_inopblog={}", raw.sb_inopblock.get(), raw.sb_inopblog));
        }
        let (blocks, groups, group) = (raw.sb_dblocks.get(), raw.sb_agcount.get(), raw.sb_agblocks.get());
        let smaller = u64::from(groups.saturating_sub(1)) * u64::from(group);
        if groups == 0
            || !(64..=1 << 30).contains(&group)
            || blocks <= smaller
            || blocks > smaller + u64::from(group)
            || !(u64::from(group)..u64::from(group) * 2).contains(&(1_u64 << raw.sb_agblklog.min(31)))
        {
            return corrupt(format!("{blocks} blocks in {groups} groups of {group}, sb_agblklog={}", raw.sb_agblklog));
        }
        if blocks.checked_mul(block.into()).is_none_or(|bytes| bytes > there_bytes) {
            return corrupt(format!("{blocks} blocks do not fit into a partition of {there_bytes} bytes"));
        }
        if raw.sb_dirblklog > 7 || block << raw.sb_dirblklog > 65536 {
            return corrupt(format!("sb_dirblklog={}", raw.sb_dirblklog));
        }
        if !self.is_inode(raw.sb_rootino.get()) {
            return corrupt(format!("sb_rootino={}", raw.sb_rootino.get()));
        }
        Ok(())
    }

    /// Why this file system cannot be edited, if so: the names of its features.
    pub(crate) fn write_refusal(&self) -> Option<String> {
        let raw = &self.raw;
        let mut names = Vec::new();
        let incompat = raw.sb_features_incompat.get() & !WRITABLE_INCOMPAT;
        names.extend(feature_names(0, incompat).into_iter().map(String::from));
        let unnamed = INCOMPAT_NAMES.iter().fold(incompat, |left, (bit, _)| left & !(1 << bit));
        let unknown = [
            ("sb_features_incompat", unnamed),
            ("sb_features_ro_compat", raw.sb_features_ro_compat.get() & !WRITABLE_RO_COMPAT),
            ("sb_features_log_incompat", raw.sb_features_log_incompat.get()),
        ];
        names.extend(unknown.iter().filter(|(_, bits)| *bits != 0).map(|(field, bits)| format!("{field}={bits:#x}")));
        if raw.sb_versionnum.get() & XFS_SB_VERSION_BORGBIT != 0 {
            names.push("ascii-ci".to_owned());
        }
        if raw.sb_rblocks.get() != 0 {
            names.push("realtime".to_owned());
        }
        if !self.has_incompat(incompat::FTYPE) {
            names.push("directories without ftype".to_owned());
        }
        (!names.is_empty()).then(|| format!("features that imgraft cannot write: {}", names.join(", ")))
    }

    /// Writes the super block with its checksum.
    pub(crate) fn write(&mut self, storage: &dyn WriteAt) -> Result<()> {
        self.write_copy(storage, 0)
    }

    /// Writes the super block at the beginning of a group: the first group has the one that counts.
    pub(crate) fn write_copy(&mut self, storage: &dyn WriteAt, group: u32) -> Result<()> {
        *header_mut::<RawSuperblock>(&mut self.sector) = self.raw.clone();
        set_checksum(&mut self.sector, CRC_AT);
        Ok(storage.write_at(self.group_offset(group, 0), &self.sector)?)
    }

    /// What is counted per user is not counted by edits: the kernel counts again when it mounts.
    pub(crate) fn forget_quotas(&mut self) {
        let flags = self.raw.sb_qflags.get();
        self.raw.sb_qflags.set(flags & !XFS_QUOTA_CHKD);
    }

    pub(crate) fn has_ro_compat(&self, feature: u32) -> bool {
        self.raw.sb_features_ro_compat.get() & feature != 0
    }

    pub(crate) fn has_incompat(&self, feature: u32) -> bool {
        self.raw.sb_features_incompat.get() & feature != 0
    }

    /// The UUID that metadata is signed with.
    pub(crate) fn metadata_uuid(&self) -> [u8; 16] {
        if self.has_incompat(incompat::META_UUID) { self.raw.sb_meta_uuid } else { self.raw.sb_uuid }
    }

    /// The label as its bytes are; empty if there is none.
    pub fn label(&self) -> &[u8] {
        let name = &self.raw.sb_fname;
        &name[..name.iter().position(|byte| *byte == 0).unwrap_or(name.len())]
    }

    /// The UUID that users see, and can change.
    pub fn uuid(&self) -> [u8; 16] {
        self.raw.sb_uuid
    }

    /// `sb_features_ro_compat`.
    pub fn ro_compat_features(&self) -> u32 {
        self.raw.sb_features_ro_compat.get()
    }

    /// `sb_features_incompat`.
    pub fn incompat_features(&self) -> u32 {
        self.raw.sb_features_incompat.get()
    }

    /// Size of a block in bytes.
    pub fn block_size_bytes(&self) -> u32 {
        self.raw.sb_blocksize.get()
    }

    pub(crate) fn block_bytes(&self) -> u64 {
        self.block_size_bytes().into()
    }

    /// All blocks.
    pub fn blocks(&self) -> u64 {
        self.raw.sb_dblocks.get()
    }

    /// The number of the root directory's inode.
    pub fn root(&self) -> u64 {
        self.raw.sb_rootino.get()
    }

    pub(crate) fn sector_bytes(&self) -> usize {
        self.sector.len()
    }

    pub(crate) fn inode_bytes(&self) -> usize {
        self.raw.sb_inodesize.get().into()
    }

    /// Size in bytes of a block of a directory.
    pub(crate) fn directory_block_bytes(&self) -> usize {
        (self.block_size_bytes() << self.raw.sb_dirblklog) as usize
    }

    pub(crate) fn groups(&self) -> u32 {
        self.raw.sb_agcount.get()
    }

    /// Number of blocks in a group: the last one may have fewer.
    pub(crate) fn group_blocks(&self, group: u32) -> u32 {
        let full = self.raw.sb_agblocks.get();
        let left = self.blocks() - u64::from(group) * u64::from(full);
        left.min(full.into()) as u32
    }

    /// The number of a block, its group in the upper bits.
    pub(crate) fn block(&self, group: u32, within: u32) -> u64 {
        u64::from(group) << self.raw.sb_agblklog | u64::from(within)
    }

    /// The group of a block, and its number within it; `None` if there is no such block.
    pub(crate) fn split(&self, block: u64) -> Option<(u32, u32)> {
        let group = u32::try_from(block >> self.raw.sb_agblklog).ok().filter(|group| *group < self.groups())?;
        let within = (block & ((1 << self.raw.sb_agblklog) - 1)) as u32;
        (within < self.group_blocks(group)).then_some((group, within))
    }

    /// Where a block of a group begins, in bytes.
    pub(crate) fn group_offset(&self, group: u32, within: u32) -> u64 {
        (u64::from(group) * u64::from(self.raw.sb_agblocks.get()) + u64::from(within))
            * u64::from(self.block_size_bytes())
    }

    /// Where a block begins, in bytes; `None` if there is no such block.
    pub(crate) fn offset(&self, block: u64) -> Option<u64> {
        self.split(block).map(|(group, within)| self.group_offset(group, within))
    }

    /// Where `blocks` blocks begin, which all have to be in one group.
    pub(crate) fn run_offset(&self, block: u64, blocks: u64) -> Option<u64> {
        let (group, within) = self.split(block)?;
        (u64::from(within) + blocks <= u64::from(self.group_blocks(group))).then(|| self.group_offset(group, within))
    }

    /// How many blocks a chunk of 64 inodes takes.
    pub(crate) fn chunk_blocks(&self) -> u32 {
        (64 / u32::from(self.raw.sb_inopblock.get())).max(1)
    }

    /// How many blocks the headers of a group take: four sectors.
    pub(crate) fn header_blocks(&self) -> u32 {
        (3 * self.sector_bytes() / self.block_size_bytes() as usize + 1) as u32
    }

    /// The number of an inode, its group in the upper bits.
    pub(crate) fn inode(&self, group: u32, within: u32) -> u64 {
        u64::from(group) << (self.raw.sb_agblklog + self.raw.sb_inopblog) | u64::from(within)
    }

    /// The group of an inode, and its number within it.
    pub(crate) fn split_inode(&self, inode: u64) -> Option<(u32, u32)> {
        let (block, index) = (inode >> self.raw.sb_inopblog, inode & ((1 << self.raw.sb_inopblog) - 1));
        let (group, within) = self.split(block)?;
        Some((group, within << self.raw.sb_inopblog | index as u32))
    }

    fn is_inode(&self, inode: u64) -> bool {
        self.split_inode(inode).is_some_and(|(_, within)| within != 0)
    }

    /// The number of the inode that begins at a byte of a block of inodes.
    pub(crate) fn inode_at(&self, offset: u64) -> u64 {
        let block = offset / self.block_bytes();
        let group_blocks = u64::from(self.raw.sb_agblocks.get());
        let within = (block % group_blocks) << self.raw.sb_inopblog;
        let index = offset % self.block_bytes() / self.inode_bytes() as u64;
        self.inode((block / group_blocks) as u32, (within | index) as u32)
    }

    /// Where an inode begins, in bytes.
    pub(crate) fn inode_offset(&self, inode: u64) -> Option<u64> {
        let (group, within) = self.split_inode(inode)?;
        let (block, index) = (within >> self.raw.sb_inopblog, within & ((1 << self.raw.sb_inopblog) - 1));
        Some(self.group_offset(group, block) + u64::from(index) * u64::from(self.raw.sb_inodesize.get()))
    }
}
