//! Quota (`quota`): how much space and how many inodes each user, group and project uses, in hidden files.
//!
//! Edits do not keep count. When the file system is flushed, all inodes are counted, and the files are written again
//! with the limits that they had.

use std::collections::{BTreeMap, BTreeSet};

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use storage::{ReadAt, WriteAt};

use crate::error::{Error, Object, Result};
use crate::features::ro_compat;
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::EXT4_EA_INODE_FL;
use crate::layout::quota::{QUOTA_BLOCK_BYTES, QUOTA_VERSION, RawQuotaBlockHeader, RawQuotaEntry, RawQuotaHeader};
use crate::xattr::value::KnownValues;

/// Where the root of the tree is.
const ROOT_BLOCK: u32 = 1;
/// Levels of the tree, one for each byte of an id.
const LEVELS: usize = 4;
const ENTRY_BYTES: usize = size_of::<RawQuotaEntry>();
const HEADER_BYTES: usize = size_of::<RawQuotaBlockHeader>();
const ENTRIES_PER_BLOCK: usize = (QUOTA_BLOCK_BYTES - HEADER_BYTES) / ENTRY_BYTES;
/// The most users, groups or projects that are counted: their file is held in memory.
const MAX_IDS: usize = 16384;

/// By id.
type Entries = BTreeMap<u32, RawQuotaEntry>;

/// What a quota file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuotaKind {
    User,
    Group,
    Project,
}

impl QuotaKind {
    /// `dqh_magic` of its file.
    fn magic(self) -> u32 {
        match self {
            Self::User => 0xD9C0_1F11,
            Self::Group => 0xD9C0_1927,
            Self::Project => 0xD9C0_3F14,
        }
    }

    fn id(self, inode: &Inode) -> u32 {
        match self {
            Self::User => inode.uid(),
            Self::Group => inode.gid(),
            Self::Project => inode.project(),
        }
    }
}

/// A quota file as it was read.
struct QuotaFile {
    kind: QuotaKind,
    inode: Inode,
    header: RawQuotaHeader,
    entries: Entries,
}

impl<S: ReadAt> FileSystem<S> {
    /// The quota files that there are.
    fn quota_files(&self) -> Result<Vec<QuotaFile>> {
        if !self.superblock.has_ro_compat(ro_compat::QUOTA) {
            return Ok(Vec::new());
        }
        let raw = &self.superblock.raw;
        [
            (QuotaKind::User, &raw.s_usr_quota_inum),
            (QuotaKind::Group, &raw.s_grp_quota_inum),
            (QuotaKind::Project, &raw.s_prj_quota_inum),
        ]
        .into_iter()
        .filter(|(_, number)| number.get() != 0)
        .map(|(kind, number)| self.read_quota_file(kind, InodeNumber(number.get())))
        .collect()
    }

    fn read_quota_file(&self, kind: QuotaKind, number: InodeNumber) -> Result<QuotaFile> {
        let inode = self.inode(number)?;
        let corrupt = |problem: String| Err(Error::corrupt(Object::Inode(number), format!("quota file: {problem}")));
        let first = self.quota_block(&inode, 0)?;
        let Ok((header, _)) = RawQuotaHeader::read_from_prefix(&first) else { return corrupt("no header".to_owned()) };
        if header.dqh_magic.get() != kind.magic() || header.dqh_version.get() != QUOTA_VERSION {
            return corrupt(format!(
                "dqh_magic={:#x} dqh_version={}, expected {:#x} and {QUOTA_VERSION}",
                header.dqh_magic,
                header.dqh_version,
                kind.magic()
            ));
        }
        let blocks = inode.size_bytes() / QUOTA_BLOCK_BYTES as u64;
        // From the root down. A block of entries is met once for each of its entries, and kept once.
        let (mut level, mut seen) = (BTreeSet::from([ROOT_BLOCK]), 0);
        for _ in 0..LEVELS {
            let mut below = BTreeSet::new();
            for block in level {
                let bytes = self.quota_block(&inode, block)?;
                let references = bytes.chunks_exact(4).map(|four| u32::from_le_bytes([0, 1, 2, 3].map(|at| four[at])));
                for reference in references.filter(|&reference| reference != 0) {
                    if reference <= ROOT_BLOCK || u64::from(reference) >= blocks {
                        return corrupt(format!("block {block} points to block {reference} of {blocks}"));
                    }
                    below.insert(reference);
                }
            }
            seen += below.len();
            if seen > MAX_IDS * LEVELS {
                return Err(self.too_many_ids());
            }
            level = below;
        }
        let mut entries = Entries::new();
        for block in level {
            let bytes = self.quota_block(&inode, block)?;
            for bytes in bytes[HEADER_BYTES..].chunks_exact(ENTRY_BYTES) {
                if let Ok(entry) = RawQuotaEntry::read_from_bytes(bytes)
                    && bytes.iter().any(|&byte| byte != 0)
                {
                    entries.insert(entry.dqb_id.get(), entry);
                }
            }
        }
        Ok(QuotaFile { kind, inode, header, entries })
    }

    fn quota_block(&self, inode: &Inode, block: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; QUOTA_BLOCK_BYTES];
        let offset = u64::from(block) * QUOTA_BLOCK_BYTES as u64;
        if self.read_content(inode, offset, &mut bytes)? < bytes.len() {
            let problem = format!("quota file: block {block} is past its {} bytes", inode.size_bytes());
            return Err(Error::corrupt(Object::Inode(inode.number()), problem));
        }
        Ok(bytes)
    }

    fn too_many_ids(&self) -> Error {
        Error::unsupported(Object::Superblock, format!("quota: more than {MAX_IDS} users, groups or projects"))
    }

    /// What the entries should be: usage as it is now, limits as `files` have them.
    fn counted_quotas(&self, files: &[QuotaFile]) -> Result<Vec<Entries>> {
        let mut counted: Vec<Entries> = files.iter().map(|file| file.entries.clone()).collect();
        for entry in counted.iter_mut().flat_map(BTreeMap::values_mut) {
            entry.dqb_curspace.set(0);
            entry.dqb_curinodes.set(0);
        }
        let mut known = KnownValues::default();
        // Inodes can share an attribute block: what it is charged with is counted once.
        let mut charges: BTreeMap<u64, u64> = BTreeMap::new();
        self.walk_charged_inodes(&mut |inode| {
            // This includes the blocks of values in inodes of their own.
            let space = inode.used_blocks(&self.superblock).saturating_mul(self.block_size());
            let mut inodes = 1 + self.body_charge(inode, &mut known)?.inodes;
            if let Some(block) = inode.xattr_block() {
                inodes += match charges.get(&block) {
                    Some(charge) => *charge,
                    None => {
                        let charge = self.xattr_block_charge(inode, &mut known)?.inodes;
                        *charges.entry(block).or_insert(charge)
                    }
                };
            }
            for (file, entries) in files.iter().zip(&mut counted) {
                let id = file.kind.id(inode);
                let entry = entries.entry(id).or_insert_with(|| {
                    let mut entry = RawQuotaEntry::new_zeroed();
                    entry.dqb_id.set(id);
                    entry
                });
                entry.dqb_curspace.set(entry.dqb_curspace.get().saturating_add(space));
                entry.dqb_curinodes.set(entry.dqb_curinodes.get().saturating_add(inodes));
                if entries.len() > MAX_IDS {
                    return Err(self.too_many_ids());
                }
            }
            Ok(())
        })?;
        for entries in &mut counted {
            // An id that has neither a limit nor a file is not listed.
            entries.retain(|_, entry| entry.as_bytes()[4..].iter().any(|&byte| byte != 0));
        }
        Ok(counted)
    }

    /// Calls `visit` with each inode in use that a user owns: not with those that the file system keeps for itself, and
    /// not with inodes that hold attributes' values, which are charged to the file that has the attribute.
    fn walk_charged_inodes(&self, visit: &mut dyn FnMut(&Inode) -> Result<()>) -> Result<()> {
        let per_group = self.superblock.inodes_per_group();
        let raw = &self.superblock.raw;
        let own = [raw.s_prj_quota_inum.get(), raw.s_orphan_file_inum.get()];
        for (number, group) in self.groups.iter().enumerate() {
            let has_flags = group.computed_checksum(number as u32, &self.superblock).is_some();
            let used = match has_flags {
                true if group.inodes_uninitialised() => 0,
                true => per_group - group.unused_inodes().min(per_group),
                false => per_group,
            };
            let first = number as u32 * per_group + 1;
            for number in first..first + used {
                let is_own = number < self.superblock.first_inode() || own.contains(&number);
                if is_own && number != InodeNumber::ROOT.0 {
                    continue;
                }
                let inode = self.inode(InodeNumber(number))?;
                if inode.links() != 0 && !inode.has_flag(EXT4_EA_INODE_FL) {
                    visit(&inode)?;
                }
            }
        }
        Ok(())
    }

    /// Where a quota file is wrong: the inode of the file, and what it says and what is used.
    pub(crate) fn wrong_quotas(&self) -> Result<Vec<(InodeNumber, String)>> {
        let files = self.quota_files()?;
        let counted = if files.is_empty() { Vec::new() } else { self.counted_quotas(&files)? };
        let mut wrong = Vec::new();
        for (file, counted) in files.iter().zip(&counted) {
            for id in file.entries.keys().chain(counted.keys()).collect::<BTreeSet<_>>() {
                let usage = |entries: &Entries| {
                    entries.get(id).map_or((0, 0), |entry| (entry.dqb_curspace.get(), entry.dqb_curinodes.get()))
                };
                let (says, is) = (usage(&file.entries), usage(counted));
                if says != is {
                    let kind = format!("{:?}", file.kind).to_lowercase();
                    let (space, inodes) = says;
                    let problem = format!(
                        "quota of {kind} {id}: {space} bytes in {inodes} inodes, but there are {} in {}",
                        is.0, is.1
                    );
                    wrong.push((file.inode.number(), problem));
                }
            }
        }
        Ok(wrong)
    }
}

impl<S: WriteAt> FileSystem<S> {
    /// Writes the quota files with what is used now.
    pub(crate) fn update_quotas(&mut self) -> Result<()> {
        let files = self.quota_files()?;
        if files.is_empty() {
            return Ok(());
        }
        let counted = self.counted_quotas(&files)?;
        for (file, entries) in files.into_iter().zip(counted) {
            if file.entries != entries {
                self.write_quota_file(file.inode, &file_content(file.header, &entries))?;
            }
        }
        Ok(())
    }

    fn write_quota_file(&mut self, mut inode: Inode, content: &[u8]) -> Result<()> {
        let mut map = self.read_map(&inode)?;
        let blocks = 0..(content.len() as u64).div_ceil(self.block_size());
        let holes = map.holes(blocks.clone());
        self.fill_holes(&mut inode, &mut map, &holes, false)?;
        map.mark_written(&blocks);
        let mut padded = content.to_vec();
        padded.resize((blocks.end * self.block_size()) as usize, 0);
        self.write_mapped(&map, 0, &padded)?;
        self.store_map(&mut inode, map)?;
        // A file whose content became shorter keeps its blocks.
        inode.set_size(inode.size_bytes().max(content.len() as u64));
        self.write_inode(&mut inode)
    }
}

/// A quota file with `entries`, which are in order: each block of entries is full but the last.
fn file_content(mut header: RawQuotaHeader, entries: &Entries) -> Vec<u8> {
    let mut blocks = vec![[0; QUOTA_BLOCK_BYTES]; 2];
    let new_block = |blocks: &mut Vec<[u8; QUOTA_BLOCK_BYTES]>| {
        blocks.push([0; QUOTA_BLOCK_BYTES]);
        blocks.len() - 1
    };
    let (mut data, mut filled) = (0, ENTRIES_PER_BLOCK);
    for (id, entry) in entries {
        if filled == ENTRIES_PER_BLOCK {
            (data, filled) = (new_block(&mut blocks), 0);
        }
        blocks[data][HEADER_BYTES + filled * ENTRY_BYTES..][..ENTRY_BYTES].copy_from_slice(entry.as_bytes());
        filled += 1;
        blocks[data][8..10].copy_from_slice(&(filled as u16).to_le_bytes());
        let mut node = ROOT_BLOCK as usize;
        for (level, byte) in id.to_be_bytes().into_iter().enumerate() {
            let at = usize::from(byte) * 4;
            let mut below = u32::from_le_bytes([0, 1, 2, 3].map(|index| blocks[node][at + index])) as usize;
            if below == 0 {
                below = if level + 1 == LEVELS { data } else { new_block(&mut blocks) };
                blocks[node][at..at + 4].copy_from_slice(&(below as u32).to_le_bytes());
            }
            node = below;
        }
    }
    header.dqi_blocks.set(blocks.len() as u32);
    header.dqi_free_blk.set(0);
    header.dqi_free_entry.set(if filled == ENTRIES_PER_BLOCK { 0 } else { data as u32 });
    blocks[0][..size_of::<RawQuotaHeader>()].copy_from_slice(header.as_bytes());
    blocks.concat()
}
