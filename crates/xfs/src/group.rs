//! An allocation group: its headers and its trees, changed in memory and stored together.
//!
//! Worked example: a file of 3 blocks is removed from a group that has blocks 100 to 199 free. The file had blocks
//! 200 to 202. The tree of owners loses its record of them; the free extent becomes 100 to 202 in both trees of free
//! space. `agf_freeblks` grows by 3 and `agf_longest` is 103. What the group's own trees lack or have too many of by
//! then is taken from or given to the free space when the group is stored, until nothing changes any more.

use zerocopy::FromZeros;

use crate::error::{Error, Object, Result};
use crate::layout::group::{
    AG_VERSION, AGF_CRC_AT, AGFL_BNO_AT, AGFL_CRC_AT, AGI_CRC_AT, NULL32, RawAgf, RawAgfl, RawAgi, XFS_AGF_MAGIC,
    XFS_AGFL_MAGIC, XFS_AGI_MAGIC,
};
use crate::layout::superblock::ro_compat;
use crate::layout::tree::{
    XFS_ABTB_CRC_MAGIC, XFS_ABTC_CRC_MAGIC, XFS_FIBT_CRC_MAGIC, XFS_IBT_CRC_MAGIC, XFS_REFC_CRC_MAGIC,
    XFS_RMAP_CRC_MAGIC,
};
use crate::layout::{be32, has_checksum, header, header_mut, set_checksum};
use crate::superblock::Superblock;
use crate::tree::{Chunk, Free, FreeBySize, Owned, Place, Shared, Tree};

/// Owners of blocks that are no inodes.
pub(crate) const XFS_RMAP_OWN_FS: u64 = -3_i64 as u64;
pub(crate) const XFS_RMAP_OWN_AG: u64 = -5_i64 as u64;
pub(crate) const XFS_RMAP_OWN_INOBT: u64 = -6_i64 as u64;
pub(crate) const XFS_RMAP_OWN_INODES: u64 = -7_i64 as u64;
pub(crate) const XFS_RMAP_OWN_REFC: u64 = -8_i64 as u64;
/// Shared blocks that are kept for a copy on write.
const COW_BIT: u32 = 1 << 31;
/// How many blocks content leaves free in a group, for what its trees will need: the kernel keeps some, too.
pub(crate) const RESERVED_BLOCKS: u32 = 48;

/// Blocks next to each other in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) blocks: u32,
}

/// What a group has of its own beside its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Trees of free space, and what is kept for them.
    FreeSpace,
    /// Trees of inodes.
    Inodes,
    /// The tree of owners.
    Owners,
    /// The tree of shared blocks.
    Shared,
}

/// An allocation group.
pub(crate) struct Group {
    number: u32,
    agf: RawAgf,
    agi: RawAgi,
    sectors: [Vec<u8>; 3],
    /// The blocks that are kept for the trees of free space and owners.
    kept: Vec<u32>,
    by_block: Tree<Free>,
    by_size: Tree<FreeBySize>,
    pub(crate) inodes: Tree<Chunk>,
    free_inodes: Option<Tree<Chunk>>,
    owners: Option<Tree<Owned>>,
    shared: Option<Tree<Shared>>,
    /// Blocks that the trees gave back: of those of free space and owners, of inodes, and of shared blocks.
    released: [Vec<u32>; 3],
    /// What the super block counted for it when it was read: free blocks, inodes, free inodes.
    counted: [u64; 3],
    changed: bool,
}

/// Reads and writes parts of the disk for a group.
pub(crate) trait Blocks {
    fn read(&self, offset: u64, length_bytes: usize) -> Result<Vec<u8>>;
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;
}

impl Group {
    pub(crate) fn read(superblock: &Superblock, number: u32, disk: &dyn Blocks) -> Result<Self> {
        let (sector, first) = (superblock.sector_bytes(), superblock.group_offset(number, 0));
        let read = |index: u64| disk.read(first + index * sector as u64, sector);
        let sectors = [read(1)?, read(2)?, read(3)?];
        let (agf, agi): (RawAgf, RawAgi) =
            (header::<RawAgf>(&sectors[0]).clone(), header::<RawAgi>(&sectors[1]).clone());
        let agfl: &RawAgfl = header(&sectors[2]);
        let (blocks, object) = (superblock.group_blocks(number), Object::Group(number));
        let corrupt = |problem: String| Err(Error::corrupt(object, problem));
        for (name, magic, expected, sector, crc) in [
            ("agf", agf.agf_magicnum.get(), XFS_AGF_MAGIC, &sectors[0], AGF_CRC_AT),
            ("agi", agi.agi_magicnum.get(), XFS_AGI_MAGIC, &sectors[1], AGI_CRC_AT),
            ("agfl", agfl.agfl_magicnum.get(), XFS_AGFL_MAGIC, &sectors[2], AGFL_CRC_AT),
        ] {
            if magic != expected || !has_checksum(sector, crc) {
                return corrupt(format!("no {name} header, or a wrong checksum: magic={magic:#010x}"));
            }
        }
        if (agf.agf_seqno.get(), agf.agf_length.get(), agf.agf_versionnum.get()) != (number, blocks, AG_VERSION)
            || (agi.agi_seqno.get(), agi.agi_length.get(), agi.agi_versionnum.get()) != (number, blocks, AG_VERSION)
        {
            return corrupt(format!("agf_length={} agi_length={}", agf.agf_length.get(), agi.agi_length.get()));
        }
        let room = (sector - AGFL_BNO_AT) / 4;
        let (first_kept, count) = (agf.agf_flfirst.get() as usize, agf.agf_flcount.get() as usize);
        if first_kept >= room || count > room {
            return corrupt(format!("agf_flfirst={first_kept} agf_flcount={count}"));
        }
        let kept = (0..count).map(|index| be32(&sectors[2], AGFL_BNO_AT + (first_kept + index) % room * 4)).collect();
        let block_bytes = superblock.block_size_bytes() as usize;
        let place =
            Place { group: number, blocks, block_bytes, uuid: superblock.metadata_uuid(), first_sector: first / 512 };
        let block = |block: u32| disk.read(superblock.group_offset(number, block), block_bytes);
        let has = |feature| superblock.has_ro_compat(feature);
        let mut group = Self {
            number,
            kept,
            by_block: Tree::read(XFS_ABTB_CRC_MAGIC, place, agf.agf_bno_root.get(), agf.agf_bno_level.get(), &block)?,
            by_size: Tree::read(XFS_ABTC_CRC_MAGIC, place, agf.agf_cnt_root.get(), agf.agf_cnt_level.get(), &block)?,
            inodes: Tree::read(XFS_IBT_CRC_MAGIC, place, agi.agi_root.get(), agi.agi_level.get(), &block)?,
            free_inodes: has(ro_compat::FINOBT)
                .then(|| {
                    let (root, levels) = (agi.agi_free_root.get(), agi.agi_free_level.get());
                    Tree::read(XFS_FIBT_CRC_MAGIC, place, root, levels, &block)
                })
                .transpose()?,
            owners: has(ro_compat::RMAPBT)
                .then(|| {
                    let (root, levels) = (agf.agf_rmap_root.get(), agf.agf_rmap_level.get());
                    Tree::read(XFS_RMAP_CRC_MAGIC, place, root, levels, &block)
                })
                .transpose()?,
            shared: has(ro_compat::REFLINK)
                .then(|| {
                    let (root, levels) = (agf.agf_refcount_root.get(), agf.agf_refcount_level.get());
                    Tree::read(XFS_REFC_CRC_MAGIC, place, root, levels, &block)
                })
                .transpose()?,
            agf,
            agi,
            sectors,
            released: Default::default(),
            counted: [0; 3],
            changed: false,
        };
        let mut end = 0;
        for free in group.by_block.iter() {
            if free.start < end
                || free.blocks == 0
                || free.start.checked_add(free.blocks).is_none_or(|end| end > blocks)
            {
                return corrupt(format!("free blocks {} and {} more overlap others", free.start, free.blocks));
            }
            end = free.start + free.blocks;
        }
        if !group
            .by_block
            .iter()
            .all(|free| group.by_size.at_or_before((free.blocks, free.start)).is_some_and(|other| other.0 == *free))
            || group.by_block.iter().count() != group.by_size.iter().count()
        {
            return corrupt("the two trees of free space differ".to_owned());
        }
        let total: u64 = group.by_block.iter().map(|free| u64::from(free.blocks)).sum();
        if total != u64::from(group.agf.agf_freeblks.get()) {
            return corrupt(format!("agf_freeblks={}, but {total} are free", group.agf.agf_freeblks.get()));
        }
        group.counted = group.counts();
        Ok(group)
    }

    /// A group in which nothing is: its headers and the roots of its trees come first, as the kernel has them.
    pub(crate) fn new(superblock: &Superblock, number: u32) -> Result<Self> {
        let (sector, blocks) = (superblock.sector_bytes(), superblock.group_blocks(number));
        let block_bytes = superblock.block_size_bytes() as usize;
        let uuid = superblock.metadata_uuid();
        let place =
            Place { group: number, blocks, block_bytes, uuid, first_sector: superblock.group_offset(number, 0) / 512 };
        let has = |feature| superblock.has_ro_compat(feature);
        let first_root = superblock.header_blocks();
        let mut end = first_root;
        let mut next = |is_there: bool| {
            end += u32::from(is_there);
            end - 1
        };
        let (by_block, by_size, inodes) = (next(true), next(true), next(true));
        let free_inodes = next(has(ro_compat::FINOBT));
        let owners = next(has(ro_compat::RMAPBT));
        let shared = next(has(ro_compat::REFLINK));
        let (mut agf, mut agi) = (RawAgf::new_zeroed(), RawAgi::new_zeroed());
        agf.agf_magicnum.set(XFS_AGF_MAGIC);
        agf.agf_versionnum.set(AG_VERSION);
        agf.agf_seqno.set(number);
        agf.agf_length.set(blocks);
        agf.agf_uuid = uuid;
        // An empty list of blocks that are kept.
        agf.agf_flfirst.set(1);
        agi.agi_magicnum.set(XFS_AGI_MAGIC);
        agi.agi_versionnum.set(AG_VERSION);
        agi.agi_seqno.set(number);
        agi.agi_length.set(blocks);
        agi.agi_uuid = uuid;
        agi.agi_newino.set(NULLAGINO);
        agi.agi_dirino.set(NULLAGINO);
        agi.agi_unlinked.iter_mut().for_each(|inode| inode.set(NULLAGINO));
        let mut sectors = [vec![0; sector], vec![0; sector], vec![0; sector]];
        sectors[2][AGFL_BNO_AT..].fill(0xff);
        let agfl: &mut RawAgfl = header_mut(&mut sectors[2]);
        agfl.agfl_magicnum.set(XFS_AGFL_MAGIC);
        agfl.agfl_seqno.set(number);
        agfl.agfl_uuid = uuid;
        let mut group = Self {
            number,
            agf,
            agi,
            sectors,
            kept: Vec::new(),
            by_block: Tree::empty(XFS_ABTB_CRC_MAGIC, place, by_block),
            by_size: Tree::empty(XFS_ABTC_CRC_MAGIC, place, by_size),
            inodes: Tree::empty(XFS_IBT_CRC_MAGIC, place, inodes),
            free_inodes: has(ro_compat::FINOBT).then(|| Tree::empty(XFS_FIBT_CRC_MAGIC, place, free_inodes)),
            owners: has(ro_compat::RMAPBT).then(|| Tree::empty(XFS_RMAP_CRC_MAGIC, place, owners)),
            shared: has(ro_compat::REFLINK).then(|| Tree::empty(XFS_REFC_CRC_MAGIC, place, shared)),
            released: Default::default(),
            counted: [0; 3],
            changed: true,
        };
        let mut own = |start: u32, blocks: u32, owner| {
            if blocks > 0 {
                group.own(Owned { start, blocks, owner, offset: 0 });
            }
        };
        own(0, first_root, XFS_RMAP_OWN_FS);
        own(by_block, 2, XFS_RMAP_OWN_AG);
        own(inodes, free_inodes - inodes + 1, XFS_RMAP_OWN_INOBT);
        own(owners, owners - free_inodes, XFS_RMAP_OWN_AG);
        own(shared, shared - owners, XFS_RMAP_OWN_REFC);
        group.free(Run { start: end, blocks: blocks - end })?;
        Ok(group)
    }

    /// Makes the group `blocks` blocks long; it was not longer.
    pub(crate) fn extend(&mut self, blocks: u32) -> Result<()> {
        let before = self.agf.agf_length.get();
        if before == blocks {
            return Ok(());
        }
        self.agf.agf_length.set(blocks);
        self.agi.agi_length.set(blocks);
        self.free(Run { start: before, blocks: blocks - before })
    }

    pub(crate) fn free_blocks(&self) -> u32 {
        self.agf.agf_freeblks.get()
    }

    /// How many blocks content may take.
    pub(crate) fn usable_blocks(&self) -> u32 {
        self.free_blocks().saturating_sub(RESERVED_BLOCKS)
    }

    /// What the super block counts of this group: blocks that are free or kept for trees, inodes, free inodes.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let trees = self.by_block.block_count() + self.by_size.block_count() - 2
            + self.owners.as_ref().map_or(0, |tree| tree.block_count() - 1);
        [
            u64::from(self.free_blocks()) + self.kept.len() as u64 + u64::from(trees),
            self.agi.agi_count.get().into(),
            self.agi.agi_freecount.get().into(),
        ]
    }

    /// How the counts of the super block differ since this was last asked.
    pub(crate) fn take_differences(&mut self) -> [i64; 3] {
        let now = self.counts();
        let differences = std::array::from_fn(|index| now[index] as i64 - self.counted[index] as i64);
        self.counted = now;
        differences
    }

    /// How many more blocks are free than when this was last counted.
    pub(crate) fn difference(&self) -> i64 {
        self.counts()[0] as i64 - self.counted[0] as i64
    }

    /// The blocks of its trees, and those that are kept for them.
    pub(crate) fn own_blocks(&self, visit: &mut dyn FnMut(u32, Part)) {
        let free = self.by_block.blocks().chain(self.by_size.blocks()).chain(self.kept.iter().copied());
        free.for_each(|block| visit(block, Part::FreeSpace));
        let inodes = self.inodes.blocks().chain(self.free_inodes.iter().flat_map(Tree::blocks));
        inodes.for_each(|block| visit(block, Part::Inodes));
        self.owners.iter().flat_map(Tree::blocks).for_each(|block| visit(block, Part::Owners));
        self.shared.iter().flat_map(Tree::blocks).for_each(|block| visit(block, Part::Shared));
    }

    /// What is free, in order.
    pub(crate) fn free_runs(&self) -> impl Iterator<Item = Free> {
        self.by_block.iter().copied()
    }

    /// What several files have, in order.
    pub(crate) fn shared_runs(&self) -> impl Iterator<Item = Shared> {
        self.shared.iter().flat_map(Tree::iter).copied().filter(|part| part.start & COW_BIT == 0)
    }

    /// The numbers of all inodes that are there, in order.
    pub(crate) fn inodes_there(&self) -> impl Iterator<Item = u32> {
        self.inodes.iter().flat_map(|chunk| numbers(chunk.start, !chunk.missing()))
    }

    /// Those of all inodes in use, in order.
    pub(crate) fn inodes_in_use(&self) -> impl Iterator<Item = u32> {
        self.inodes.iter().flat_map(|chunk| numbers(chunk.start, !chunk.missing() & !chunk.free))
    }

    /// The first free run that has `blocks` blocks and begins at a multiple of `alignment`.
    pub(crate) fn find(&self, blocks: u32, alignment: u32) -> Option<Run> {
        // Nothing is that long.
        if self.by_size.last().is_none_or(|longest| longest.0.blocks < blocks) {
            return None;
        }
        self.by_block.iter().find_map(|free| {
            let start = free.start.checked_next_multiple_of(alignment)?;
            let fits = start.checked_add(blocks).is_some_and(|end| end <= free.start + free.blocks);
            fits.then_some(Run { start, blocks })
        })
    }

    /// The longest free run.
    pub(crate) fn longest(&self) -> Option<Run> {
        self.by_size.last().map(|free| Run { start: free.0.start, blocks: free.0.blocks })
    }

    fn add_free(&mut self, free: Free) {
        if free.blocks > 0 {
            self.by_block.insert(free);
            self.by_size.insert(FreeBySize(free));
        }
    }

    fn remove_free(&mut self, free: Free) {
        self.by_block.remove((free.start, free.blocks), &mut self.released[0]);
        self.by_size.remove((free.blocks, free.start), &mut self.released[0]);
    }

    /// Takes free blocks.
    pub(crate) fn take(&mut self, run: Run, owner: u64, offset: u64) -> Result<()> {
        let free = self.by_block.at_or_before((run.start, u32::MAX)).copied();
        let end = run.start + run.blocks;
        let Some(free) = free.filter(|free| free.start + free.blocks >= end) else {
            return Err(self.corrupt(run, "not free, but were to be taken"));
        };
        self.remove_free(free);
        self.add_free(Free { start: free.start, blocks: run.start - free.start });
        self.add_free(Free { start: end, blocks: free.start + free.blocks - end });
        self.agf.agf_freeblks.set(self.free_blocks() - run.blocks);
        self.changed = true;
        self.own(Owned { start: run.start, blocks: run.blocks, owner, offset });
        Ok(())
    }

    /// Gives blocks back that `owner` had. Where others share them they are not free afterwards.
    pub(crate) fn give(&mut self, run: Run, owner: u64, offset: u64) -> Result<()> {
        self.disown(Owned { start: run.start, blocks: run.blocks, owner, offset })?;
        for part in self.drop_share(run) {
            self.free(part)?;
        }
        Ok(())
    }

    fn free(&mut self, run: Run) -> Result<()> {
        let end = run.start + run.blocks;
        let before = self.by_block.at_or_before((run.start, u32::MAX)).copied();
        let after = self.by_block.from((run.start + 1, 0)).next().copied();
        if before.is_some_and(|free| free.start + free.blocks > run.start) || after.is_some_and(|free| free.start < end)
        {
            return Err(self.corrupt(run, "free already"));
        }
        let mut whole = Free { start: run.start, blocks: run.blocks };
        if let Some(before) = before.filter(|free| free.start + free.blocks == run.start) {
            self.remove_free(before);
            whole = Free { start: before.start, blocks: before.blocks + whole.blocks };
        }
        if let Some(after) = after.filter(|free| free.start == end) {
            self.remove_free(after);
            whole.blocks += after.blocks;
        }
        self.add_free(whole);
        self.agf.agf_freeblks.set(self.free_blocks() + run.blocks);
        self.changed = true;
        Ok(())
    }

    fn corrupt(&self, run: Run, problem: &str) -> Error {
        let object = Object::GroupBlock { group: self.number, block: run.start };
        Error::corrupt(object, format!("{} blocks from here on are {problem}", run.blocks))
    }

    /// Notes who has blocks.
    fn own(&mut self, new: Owned) {
        let may_overlap = self.may_overlap();
        let Some(owners) = &mut self.owners else { return };
        let joins = |left: &Owned, right: &Owned| {
            left.owner == right.owner
                && left.start.checked_add(left.blocks) == Some(right.start)
                && if left.has_offsets() {
                    left.offset + u64::from(left.blocks) == right.offset
                } else {
                    left.offset == right.offset
                }
        };
        let before = match may_overlap {
            false => owners.at_or_before((new.start, 0, 0)).copied(),
            true => owners.iter().find(|owned| joins(owned, &new)).copied(),
        };
        let after = match may_overlap {
            false => owners.from((new.start, 0, 0)).next().copied(),
            true => owners.iter().find(|owned| joins(&new, owned)).copied(),
        };
        let mut whole = new;
        if let Some(before) = before.filter(|before| joins(before, &new)) {
            owners.remove(crate::tree::Record::key(&before), &mut self.released[0]);
            whole = Owned { blocks: before.blocks + whole.blocks, ..before };
        }
        if let Some(after) = after.filter(|after| joins(&new, after)) {
            owners.remove(crate::tree::Record::key(&after), &mut self.released[0]);
            whole.blocks += after.blocks;
        }
        owners.insert(whole);
    }

    /// Whether several owners can have the same block.
    fn may_overlap(&self) -> bool {
        self.shared.as_ref().is_some_and(|tree| tree.iter().next().is_some())
    }

    /// Takes the note back that `gone.owner` has these blocks.
    fn disown(&mut self, gone: Owned) -> Result<()> {
        let may_overlap = self.may_overlap();
        let Some(owners) = &mut self.owners else { return Ok(()) };
        let end = gone.start + gone.blocks;
        let has = |owned: &Owned| {
            owned.owner == gone.owner
                && owned.start <= gone.start
                && owned.start.saturating_add(owned.blocks) >= end
                && (!gone.has_offsets() || owned.offset + u64::from(gone.start - owned.start) == gone.offset)
        };
        let found = match may_overlap {
            false => owners.at_or_before((gone.start, u64::MAX, u64::MAX)).copied().filter(has),
            true => owners.iter().find(|owned| has(owned)).copied(),
        };
        let Some(found) = found else {
            let run = Run { start: gone.start, blocks: gone.blocks };
            return Err(self.corrupt(run, &format!("not noted as those of owner {}", gone.owner as i64)));
        };
        owners.remove(crate::tree::Record::key(&found), &mut self.released[0]);
        if found.start < gone.start {
            owners.insert(Owned { blocks: gone.start - found.start, ..found });
        }
        let found_end = found.start + found.blocks;
        if found_end > end {
            let offset = if found.has_offsets() { found.offset + u64::from(end - found.start) } else { found.offset };
            owners.insert(Owned { start: end, blocks: found_end - end, offset, ..found });
        }
        Ok(())
    }

    /// The parts of a run that several files share.
    pub(crate) fn shared_parts(&self, run: Run) -> Vec<Run> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let end = run.start + run.blocks;
        let first = shared.at_or_before(run.start).filter(|part| part.start < run.start);
        let parts = first.into_iter().chain(shared.from(run.start).take_while(|part| part.start < end));
        parts
            .filter_map(|part| {
                let (start, end) = (part.start.max(run.start), part.start.saturating_add(part.blocks).min(end));
                (start < end).then(|| Run { start, blocks: end - start })
            })
            .collect()
    }

    /// One owner less for a run. Returns the parts that nobody has any more.
    fn drop_share(&mut self, run: Run) -> Vec<Run> {
        let parts = self.shared_parts(run);
        let end = run.start + run.blocks;
        let (mut free, mut at) = (Vec::new(), run.start);
        for part in parts {
            if at < part.start {
                free.push(Run { start: at, blocks: part.start - at });
            }
            at = part.start + part.blocks;
            let released = &mut self.released[2];
            let Some(shared) = &mut self.shared else { continue };
            let Some(whole) = shared.at_or_before(part.start).copied() else { continue };
            shared.remove(whole.start, released);
            let whole_end = whole.start + whole.blocks;
            for piece in [
                Shared { blocks: part.start - whole.start, ..whole },
                Shared { start: part.start, blocks: part.blocks, count: whole.count - 1 },
                Shared { start: at, blocks: whole_end - at, count: whole.count },
            ] {
                if piece.blocks > 0 && piece.count > 1 {
                    shared.insert(piece);
                }
            }
            self.changed = true;
        }
        if at < end {
            free.push(Run { start: at, blocks: end - at });
        }
        self.join_shares(run);
        free
    }

    /// Joins records of shared blocks around a run that follow each other and have the same count.
    fn join_shares(&mut self, run: Run) {
        let Some(shared) = &mut self.shared else { return };
        let end = run.start.saturating_add(run.blocks);
        let near: Vec<Shared> = shared
            .at_or_before(run.start.saturating_sub(1))
            .into_iter()
            .chain(shared.from(run.start).take_while(|part| part.start <= end))
            .copied()
            .collect();
        let mut left: Option<Shared> = None;
        for part in near {
            match left {
                Some(before)
                    if before.start + before.blocks == part.start
                        && before.count == part.count
                        && part.start & COW_BIT == 0 =>
                {
                    shared.remove(before.start, &mut self.released[2]);
                    shared.remove(part.start, &mut self.released[2]);
                    let joined = Shared { blocks: before.blocks + part.blocks, ..before };
                    shared.insert(joined);
                    left = Some(joined);
                }
                Some(before) if before.start == part.start => {}
                _ => left = Some(part),
            }
        }
    }

    /// A free inode, the lowest one, taken; `None` if there is none. Returns its number in the group.
    pub(crate) fn take_inode(&mut self) -> Option<u32> {
        if self.agi.agi_freecount.get() == 0 {
            return None;
        }
        let usable = |chunk: &Chunk| chunk.free & !chunk.missing() != 0;
        let chunk = match &self.free_inodes {
            Some(tree) => tree.iter().find(|chunk| usable(chunk)).copied(),
            None => self.inodes.iter().find(|chunk| usable(chunk)).copied(),
        }?;
        let bit = (chunk.free & !chunk.missing()).trailing_zeros();
        self.change_chunk(chunk, Chunk { free: chunk.free & !(1 << bit), free_count: chunk.free_count - 1, ..chunk });
        self.agi.agi_freecount.set(self.agi.agi_freecount.get() - 1);
        Some(chunk.start + bit)
    }

    /// Puts `new` in the place of `old` in both trees of inodes.
    fn change_chunk(&mut self, old: Chunk, new: Chunk) {
        self.inodes.remove(old.start, &mut self.released[1]);
        self.inodes.insert(new);
        if let Some(tree) = &mut self.free_inodes {
            if old.free_count > 0 {
                tree.remove(old.start, &mut self.released[1]);
            }
            if new.free_count > 0 {
                tree.insert(new);
            }
        }
        self.changed = true;
    }

    /// Whether an inode is in use.
    pub(crate) fn has_inode(&self, within: u32) -> bool {
        self.inodes.at_or_before(within).is_some_and(|chunk| {
            let index = within - chunk.start;
            index < 64 && chunk.free >> index & 1 == 0 && chunk.missing() >> index & 1 == 0
        })
    }

    /// Gives an inode back.
    pub(crate) fn give_inode(&mut self, within: u32) -> Result<()> {
        if !self.has_inode(within) {
            return Err(Error::corrupt(
                Object::Group(self.number),
                format!("inode {within} of the group is free already"),
            ));
        }
        if let Some(chunk) = self.inodes.at_or_before(within).copied() {
            let free = chunk.free | 1 << (within - chunk.start);
            self.change_chunk(chunk, Chunk { free, free_count: chunk.free_count + 1, ..chunk });
            self.agi.agi_freecount.set(self.agi.agi_freecount.get() + 1);
        }
        Ok(())
    }

    /// Adds 64 free inodes whose first one is `start`. `is_sparse`: whether the records say how many there are.
    pub(crate) fn add_chunk(&mut self, start: u32, is_sparse: bool) {
        let chunk = Chunk { start, holes: 0, count: if is_sparse { 64 } else { 0 }, free_count: 64, free: u64::MAX };
        self.inodes.insert(chunk);
        if let Some(tree) = &mut self.free_inodes {
            tree.insert(chunk);
        }
        self.agi.agi_count.set(self.agi.agi_count.get() + 64);
        self.agi.agi_freecount.set(self.agi.agi_freecount.get() + 64);
        self.agi.agi_newino.set(start);
        self.changed = true;
    }

    /// Gives each tree the blocks that it needs, and takes back what it has too many of. Taking blocks changes the
    /// trees, so this is repeated until nothing changes.
    fn settle(&mut self) -> Result<()> {
        const OWNERS: [u64; 3] = [XFS_RMAP_OWN_AG, XFS_RMAP_OWN_INOBT, XFS_RMAP_OWN_REFC];
        let room = (self.sectors[2].len() - AGFL_BNO_AT) / 4;
        loop {
            let mut lacking = [0; 3];
            lacking[0] += self.by_block.balance(&mut self.released[0]);
            lacking[0] += self.by_size.balance(&mut self.released[0]);
            lacking[0] += self.owners.as_mut().map_or(0, |tree| tree.balance(&mut self.released[0]));
            lacking[1] += self.inodes.balance(&mut self.released[1]);
            lacking[1] += self.free_inodes.as_mut().map_or(0, |tree| tree.balance(&mut self.released[1]));
            lacking[2] += self.shared.as_mut().map_or(0, |tree| tree.balance(&mut self.released[2]));
            let Some(kind) = (0..3).find(|kind| lacking[*kind] > 0) else {
                // Inodes and shared blocks first: what they give back may change the trees of free space.
                let Some(kind) = [1, 2, 0].into_iter().find(|kind| !self.released[*kind].is_empty()) else {
                    return Ok(());
                };
                let Some(block) = self.released[kind].pop() else { return Ok(()) };
                if kind == 0 && self.kept.len() < room / 2 {
                    self.kept.push(block);
                } else {
                    self.give(Run { start: block, blocks: 1 }, OWNERS[kind], 0)?;
                }
                continue;
            };
            let smallest = self.by_size.iter().next().map(|smallest| smallest.0.start);
            let block = match self.released[kind].pop() {
                Some(block) => block,
                None => match smallest {
                    Some(block) => {
                        self.take(Run { start: block, blocks: 1 }, OWNERS[kind], 0)?;
                        block
                    }
                    None if kind == 0 && !self.kept.is_empty() => self.kept.remove(0),
                    None => {
                        let block_size_bytes = self.by_block_bytes();
                        return Err(Error::NoSpace { needed: lacking[kind] as u64, available: 0, block_size_bytes });
                    }
                },
            };
            let mut none = Vec::new();
            let is_taken = match kind {
                0 => {
                    self.by_block.take_if_lacking(block, &mut none)
                        || self.by_size.take_if_lacking(block, &mut none)
                        || self.owners.as_mut().is_some_and(|tree| tree.take_if_lacking(block, &mut none))
                }
                1 => {
                    self.inodes.take_if_lacking(block, &mut none)
                        || self.free_inodes.as_mut().is_some_and(|tree| tree.take_if_lacking(block, &mut none))
                }
                _ => self.shared.as_mut().is_some_and(|tree| tree.take_if_lacking(block, &mut none)),
            };
            if !is_taken {
                // Taking it has made a tree smaller.
                none.push(block);
            }
            self.released[kind].append(&mut none);
        }
    }

    fn by_block_bytes(&self) -> u32 {
        self.by_block.block_bytes()
    }

    /// Makes the group's trees fit, so that its counts are final.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        if self.changed { self.settle() } else { Ok(()) }
    }

    /// Writes the trees and headers.
    pub(crate) fn store(&mut self, superblock: &Superblock, disk: &dyn Blocks) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let number = self.number;
        let mut write = |block: u32, bytes: Vec<u8>| {
            let offset = superblock.group_offset(number, block);
            let there = disk.read(offset, bytes.len())?;
            // Blocks that say the same keep their number of the log.
            if is_same_block(&there, &bytes) { Ok(()) } else { disk.write(offset, &bytes) }
        };
        let (root, levels) = self.by_block.store(&mut write)?;
        self.agf.agf_bno_root.set(root);
        self.agf.agf_bno_level.set(levels);
        let (root, levels) = self.by_size.store(&mut write)?;
        self.agf.agf_cnt_root.set(root);
        self.agf.agf_cnt_level.set(levels);
        let (root, levels) = self.inodes.store(&mut write)?;
        self.agi.agi_root.set(root);
        self.agi.agi_level.set(levels);
        let mut trees = self.by_block.block_count() + self.by_size.block_count() - 2;
        if let Some(tree) = &self.free_inodes {
            let (root, levels) = tree.store(&mut write)?;
            self.agi.agi_free_root.set(root);
            self.agi.agi_free_level.set(levels);
        }
        if let Some(tree) = &self.owners {
            let (root, levels) = tree.store(&mut write)?;
            self.agf.agf_rmap_root.set(root);
            self.agf.agf_rmap_level.set(levels);
            self.agf.agf_rmap_blocks.set(tree.block_count());
            trees += tree.block_count() - 1;
        }
        if let Some(tree) = &self.shared {
            let (root, levels) = tree.store(&mut write)?;
            self.agf.agf_refcount_root.set(root);
            self.agf.agf_refcount_level.set(levels);
            self.agf.agf_refcount_blocks.set(tree.block_count());
        }
        if superblock.has_ro_compat(ro_compat::INOBTCNT) {
            self.agi.agi_iblocks.set(self.inodes.block_count());
            self.agi.agi_fblocks.set(self.free_inodes.as_ref().map_or(0, Tree::block_count));
        }
        self.agf.agf_btreeblks.set(trees);
        self.agf.agf_longest.set(self.longest().map_or(0, |run| run.blocks));
        self.store_kept();
        *header_mut::<RawAgf>(&mut self.sectors[0]) = self.agf.clone();
        *header_mut::<RawAgi>(&mut self.sectors[1]) = self.agi.clone();
        let sector = superblock.sector_bytes() as u64;
        let first = superblock.group_offset(number, 0);
        for (index, crc) in [(0, AGF_CRC_AT), (1, AGI_CRC_AT), (2, AGFL_CRC_AT)] {
            set_checksum(&mut self.sectors[index], crc);
            disk.write(first + (index as u64 + 1) * sector, &self.sectors[index])?;
        }
        self.changed = false;
        Ok(())
    }

    /// Writes the list of kept blocks into its sector, if it changed.
    fn store_kept(&mut self) {
        let room = (self.sectors[2].len() - AGFL_BNO_AT) / 4;
        let first = self.agf.agf_flfirst.get() as usize;
        let place = |index: usize| AGFL_BNO_AT + (first + index) % room * 4;
        let count = self.agf.agf_flcount.get() as usize;
        let same = count == self.kept.len()
            && self.kept.iter().enumerate().all(|(index, block)| be32(&self.sectors[2], place(index)) == *block);
        if same {
            return;
        }
        self.sectors[2][AGFL_BNO_AT..AGFL_BNO_AT + room * 4].fill(0xff);
        for (index, block) in self.kept.iter().enumerate() {
            self.sectors[2][place(index)..][..4].copy_from_slice(&block.to_be_bytes());
        }
        self.agf.agf_flcount.set(self.kept.len() as u32);
        self.agf.agf_fllast.set(((first + self.kept.len() + room - 1) % room) as u32);
    }
}

/// The numbers of the inodes of a chunk that have a bit.
fn numbers(start: u32, bits: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| start.saturating_add(bit))
}

/// Whether two blocks of a tree say the same but for the number of the log and the checksum.
fn is_same_block(one: &[u8], other: &[u8]) -> bool {
    use crate::layout::tree::RawShort;
    let (mut one, mut other) = (one.to_vec(), other.to_vec());
    // What is behind the last record is no part of the tree, but is compared: a block is written whole.
    for bytes in [&mut one, &mut other] {
        let raw: &mut RawShort = header_mut(bytes);
        raw.bb_lsn.set(0);
        raw.bb_crc = [0; 4];
    }
    one == other
}

/// No inode of a group.
pub(crate) const NULLAGINO: u32 = NULL32;
