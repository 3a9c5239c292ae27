//! A read-only check of the whole file system, as `e2fsck -fn` makes one.
//!
//! Inodes first: what each of them claims. Then the tree from the root: what names them. Then the
//! bitmaps and counts, against what the first two found. Memory is a bit a block and six bytes
//! an inode of the groups that have some in use.

mod attributes;
mod bitmaps;
mod directories;
mod encryption;
mod fields;
mod inodes;

use std::collections::BTreeMap;

use storage::{Finding, ReadAt};

use crate::error::{Error, Object, Result};
use crate::features::{compat, ro_compat};
use crate::filesystem::FileSystem;
use crate::group::Group;
use crate::inode::InodeNumber;
use crate::usage::{FollowedMaps, Usage};
use crate::xattr::value::KnownValues;
use encryption::Policies;

/// The most findings that are listed; a file system with more is beyond a list.
const MAX_FINDINGS: usize = 1000;

/// How many files may share each block on average, with `shared_blocks` or by damage. What is beyond that is not looked
/// at.
const MAX_SHARING: u64 = 16;

/// What is known of the file system while it is checked.
struct Check<'a, S> {
    filesystem: &'a FileSystem<S>,
    steps: Steps<'a>,
    findings: Vec<Finding>,
    /// A bit a block, counted from the first data block: whether something claims it.
    claimed: Vec<u8>,
    /// By group and index there: whether it is in use, what `i_links_count` says, and how many names
    /// were found. Empty where the group has no inode in use that was met: most of a large disk's.
    inodes: Vec<Vec<InodeState>>,
    /// Attribute block → (`h_refcount`, inodes that point to it); `None` where it cannot be read, which is reported
    /// once.
    xattr_blocks: BTreeMap<u64, Option<(u32, u32)>>,
    /// Attribute block → what it and the values of its attributes are charged with, in blocks; `None` where it cannot
    /// be read.
    xattr_charges: BTreeMap<u64, Option<u64>>,
    /// Attribute blocks, and inodes that have attributes in their bodies as well.
    with_both: Vec<(u64, InodeNumber)>,
    /// Inode that holds an attribute's value → attributes that have it, and whether it counts them.
    value_inodes: BTreeMap<InodeNumber, (u64, bool)>,
    /// What value inodes say about their values.
    known_values: KnownValues,
    /// How encrypted inodes are encrypted.
    policies: Policies,
    /// Blocks of block maps that were followed.
    followed: FollowedMaps,
    /// How many blocks may still be claimed again, by all inodes together.
    left_again: u64,
    /// How many blocks the directories that are still to come may have.
    left_directory_blocks: u64,
    /// How many blocks the values of attributes that are still to come may have.
    left_value_blocks: u64,
    not_checked: Vec<String>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why: whether it is sound is not known.
    pub not_checked: Vec<String>,
}

/// How much of a check is done.
struct Steps<'a> {
    done: u64,
    total: u64,
    tell: &'a dyn Fn(u64, u64),
}

impl<'a> Steps<'a> {
    /// How many steps go by before it is told.
    const TOLD_EACH: u64 = 256;

    fn new<S: ReadAt>(filesystem: &FileSystem<S>, tell: &'a dyn Fn(u64, u64)) -> Self {
        let per_group = filesystem.superblock.inodes_per_group();
        let of_group =
            |group: &Group| u64::from(per_group.saturating_sub(group.free_inodes())) + u64::from(group.directories());
        let total = filesystem.groups.iter().map(of_group).sum();
        Self { done: 0, total, tell }
    }

    /// One more inode or directory was looked at.
    fn next(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(Self::TOLD_EACH) && self.done <= self.total {
            (self.tell)(self.done, self.total);
        }
    }
}

#[derive(Clone, Copy, Default)]
struct InodeState {
    /// 0 is not in use.
    kind: u8,
    links: u16,
    names: u16,
}

/// `kind` of an inode that is in use but not of a known type.
const KIND_UNKNOWN: u8 = 0xFF;
const KIND_DIRECTORY: u8 = 2;

impl<S: ReadAt> FileSystem<S> {
    /// Checks the whole file system, which must have been flushed, and lists what is wrong. Nothing
    /// is changed.
    ///
    /// # Errors
    ///
    /// As [`examine`](Self::examine).
    pub fn check(&self) -> Result<Vec<Finding>> {
        Ok(self.examine(&|_, _| ())?.findings)
    }

    /// As [`check`](Self::check), and says what could not be looked at. `progress` is told how much of it is done, of how
    /// much: inodes and directories, as far as the file system is right about how many it has.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where it has features whose rules are not known here,
    /// [`Error::Storage`] where it cannot be read.
    pub fn examine(&self, progress: &dyn Fn(u64, u64)) -> Result<Checked> {
        if self.superblock.has_ro_compat(ro_compat::BIGALLOC) {
            return Err(Error::unsupported(Object::Superblock, "bigalloc: checking a file system with clusters"));
        }
        let blocks = self.superblock.blocks() - self.superblock.first_data_block();
        let mut check = Check {
            filesystem: self,
            steps: Steps::new(self, progress),
            findings: Vec::new(),
            claimed: vec![0; blocks.div_ceil(8) as usize],
            inodes: vec![Vec::new(); self.superblock.groups() as usize],
            xattr_blocks: BTreeMap::new(),
            xattr_charges: BTreeMap::new(),
            with_both: Vec::new(),
            value_inodes: BTreeMap::new(),
            known_values: KnownValues::default(),
            policies: Policies::default(),
            followed: FollowedMaps::default(),
            left_again: blocks.saturating_mul(MAX_SHARING),
            left_directory_blocks: blocks,
            left_value_blocks: blocks,
            not_checked: Vec::new(),
        };
        check.superblock();
        check.multi_mount()?;
        check.orphan_file()?;
        check.claim_metadata();
        check.inodes()?;
        check.journal()?;
        check.directories()?;
        check.links();
        check.bitmaps()?;
        check.quotas()?;
        Ok(Checked { findings: check.findings, not_checked: check.not_checked })
    }
}

impl<S: ReadAt> Check<'_, S> {
    fn report(&mut self, object: Object, problem: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding::new(object.to_string(), problem));
        }
    }

    /// Reports an error that is about the bytes; any other ends the check.
    fn report_error(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Corrupt { object, problem } => self.report(object, problem),
            Error::Unsupported { object, feature } => {
                if self.not_checked.len() < MAX_FINDINGS {
                    self.not_checked.push(format!("{object}: {feature}"));
                }
            }
            other => return Err(other),
        }
        Ok(())
    }

    /// What could be read; `None` where the bytes are wrong, which is reported elsewhere. Any other error
    /// ends the check.
    fn readable<T>(read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Error::Corrupt { .. } | Error::Unsupported { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn superblock(&mut self) {
        let superblock = self.filesystem.superblock();
        let (state, errors) = (superblock.raw.s_state.get(), superblock.raw.s_error_count.get());
        if superblock.has_errors() {
            self.report(Object::Superblock, format!("error flags: s_state={state:#x} s_error_count={errors}"));
        }
        let orphan = self.filesystem.superblock().raw.s_last_orphan.get();
        if orphan != 0 {
            self.report(Object::Superblock, format!("s_last_orphan={orphan}: inodes were being deleted or truncated"));
        }
    }

    /// Checks that the orphan file's blocks are valid, and empty unless the super block says otherwise.
    fn orphan_file(&mut self) -> Result<()> {
        let filesystem = self.filesystem;
        if filesystem.has_orphans_in_file() {
            self.report(Object::Superblock, "orphan_present: inodes were being deleted or truncated");
            if !filesystem.superblock().has_compat(compat::ORPHAN_FILE) {
                self.report(Object::Superblock, "orphan_present without orphan_file");
            }
        }
        let file = match filesystem.orphan_file() {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(()),
            Err(error) => return self.report_error(error),
        };
        for logical in 0..filesystem.orphan_blocks(&file) {
            match filesystem.read_orphan_block(&file, logical) {
                Ok(block) if !block.orphans.is_empty() && !filesystem.has_orphans_in_file() => {
                    let count = block.orphans.len();
                    self.report(Object::Block(block.physical), format!("{count} orphans, but no orphan_present"));
                }
                Ok(_) => {}
                Err(error) => self.report_error(error)?,
            }
        }
        Ok(())
    }

    /// Checks that the quota files say what is used.
    fn quotas(&mut self) -> Result<()> {
        match self.filesystem.wrong_quotas() {
            Ok(wrong) => wrong.into_iter().for_each(|(file, problem)| self.report(Object::Inode(file), problem)),
            Err(error) => self.report_error(error)?,
        }
        Ok(())
    }

    /// Claims a run of blocks; returns how many of them were claimed already.
    fn claim(&mut self, first: u64, blocks: u64) -> u64 {
        let base = first - self.filesystem.superblock().first_data_block();
        let mut again = 0;
        for index in base..base + blocks {
            let byte = &mut self.claimed[(index / 8) as usize];
            let mask = 1 << (index % 8);
            again += u64::from(*byte & mask != 0);
            *byte |= mask;
        }
        again
    }

    /// Claims super blocks, descriptors, bitmaps and inode tables.
    fn claim_metadata(&mut self) {
        let filesystem = self.filesystem;
        let superblock = filesystem.superblock();
        if let Some(block) = filesystem.multi_mount_block() {
            self.claim(block, 1);
        }
        for number in 0..superblock.groups() {
            let mut again = 0;
            for Usage { blocks, .. } in filesystem.group_metadata(number) {
                again += self.claim(blocks.start, blocks.end - blocks.start);
            }
            if again > 0 {
                self.report(Object::Group(number), format!("{again} blocks of its metadata overlap other metadata"));
            }
        }
    }

    fn state(&mut self, number: InodeNumber) -> &mut InodeState {
        let (group, index) = self.filesystem.group_of_inode(number);
        let states = &mut self.inodes[group as usize];
        if states.is_empty() {
            states.resize(self.filesystem.superblock().inodes_per_group() as usize, InodeState::default());
        }
        &mut states[index as usize]
    }

    /// The kind of an inode that was met, as entries of directories say it; 0 is not in use.
    fn known_kind(&self, number: InodeNumber) -> u8 {
        let (group, index) = self.filesystem.group_of_inode(number);
        self.state_in(group, index).kind
    }

    /// What is known of the inode with an index in a group.
    fn state_in(&self, group: u32, index: u32) -> InodeState {
        self.inodes[group as usize].get(index as usize).copied().unwrap_or_default()
    }

    /// Link counts against the names that were found.
    fn links(&mut self) {
        let first = self.filesystem.superblock().first_inode();
        let per_group = self.filesystem.superblock().inodes_per_group();
        let met = |states: &Vec<InodeState>| !states.is_empty();
        let groups = (0u32..).zip(&self.inodes).filter(|(_, states)| met(states)).map(|(group, _)| group);
        let groups: Vec<u32> = groups.collect();
        for (group, index) in groups.into_iter().flat_map(|group| (0..per_group).map(move |index| (group, index))) {
            let state = self.state_in(group, index);
            let number = InodeNumber(group * per_group + index + 1);
            // Reserved inodes have no names, except for the root.
            if state.kind == 0 || (number.0 < first && number != InodeNumber::ROOT) {
                continue;
            }
            if state.names == 0 && !self.is_nameless(number) {
                self.report(Object::Inode(number), "in use, but no directory names it");
            } else if state.links != state.names
                && state.names != 0
                && !(state.kind == KIND_DIRECTORY && state.links == 1)
            {
                self.report(
                    Object::Inode(number),
                    format!("i_links_count={}, but it has {}", state.links, state.names),
                );
            }
        }
    }

    /// Whether the super block names the inode: no directory does then.
    fn is_nameless(&self, number: InodeNumber) -> bool {
        let raw = &self.filesystem.superblock().raw;
        [
            &raw.s_orphan_file_inum,
            &raw.s_usr_quota_inum,
            &raw.s_grp_quota_inum,
            &raw.s_prj_quota_inum,
            &raw.s_journal_inum,
        ]
        .iter()
        .any(|inode| inode.get() == number.0)
    }
}
