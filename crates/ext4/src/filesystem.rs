//! The file system as a whole: opened, and its changes written.

use std::collections::BTreeMap;

use storage::{Cache, ReadAt, WriteAt};

use crate::bitmap::Bitmap;
use crate::block_map::LastDirectory;
use crate::error::{Error, Object, Result};
use crate::features;
use crate::group::{self, Group};
use crate::journal;
use crate::superblock::Superblock;

/// How much of the storage is kept in memory, in bytes.
const CACHE_BYTES: u64 = 16 << 20;

/// An ext2, ext3 or ext4 file system on a storage.
///
/// Edits reach the storage at the latest when [`flush`](Self::flush) writes them. A storage that is
/// dropped before is not consistent: edit an [`Overlay`](storage::Overlay), and commit it only after
/// `flush`.
pub struct FileSystem<S> {
    pub(crate) storage: Cache<S>,
    pub(crate) superblock: Superblock,
    pub(crate) groups: Vec<Group>,
    pub(crate) block_bitmaps: BTreeMap<u32, Bitmap>,
    pub(crate) inode_bitmaps: BTreeMap<u32, Bitmap>,
    pub(crate) superblock_changed: bool,
    pub(crate) last_directory: LastDirectory,
    journal_replayed: bool,
    /// Why this file system cannot be written, if so.
    write_refusal: Option<String>,
    errors_allowed: bool,
    /// Whether something may have changed that the quota files count.
    usage_changed: bool,
}

impl<S: WriteAt> FileSystem<S> {
    /// Opens the file system on `storage`. A journal that was left dirty is replayed into `storage`
    /// first: what is seen is what the kernel would have mounted.
    ///
    /// # Errors
    ///
    /// [`Error::NotExt4`], [`Error::Unsupported`] for features that cannot be read, by name,
    /// [`Error::Corrupt`] where super block, descriptors or journal break a rule.
    pub fn open(storage: S) -> Result<Self> {
        let mut superblock = Superblock::read(&storage)?;
        let journal_replayed = journal::replay(&storage, &superblock)?;
        if journal_replayed {
            superblock = Superblock::read(&storage)?;
            journal::mark_clean(&storage, &mut superblock)?;
        }
        let groups = group::read_groups(&storage, &superblock)?;
        if journal_replayed {
            count_free(&mut superblock, &groups);
            superblock.write(&storage)?;
        }
        let write_refusal = write_refusal(&superblock);
        Ok(Self { journal_replayed, write_refusal, ..Self::unwritable(storage, superblock, groups) })
    }

    /// Fails where the file system has a feature that we must not write under or noted errors; otherwise finishes what
    /// its last user left unfinished.
    pub(crate) fn prepare_to_write(&mut self) -> Result<()> {
        if let Some(reason) = &self.write_refusal {
            return Err(Error::unsupported(Object::Superblock, reason));
        }
        if self.superblock.has_errors() && !self.errors_allowed {
            let (state, count) = (self.superblock.raw.s_state.get(), self.superblock.raw.s_error_count.get());
            return Err(Error::HasErrors { state, count });
        }
        self.usage_changed = true;
        self.finish_orphans()
    }

    /// Lets edits go on although errors were noted in the file system. The note stays as it is.
    pub fn allow_errors(&mut self) {
        self.errors_allowed = true;
    }

    /// Writes every change that is not in the storage yet.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]; with `quota` also [`Error::NoSpace`] where the count of what is used does not
    /// fit, and [`Error::Corrupt`] where it cannot be made.
    pub fn flush(&mut self) -> Result<()> {
        if self.usage_changed {
            self.update_quotas()?;
            self.usage_changed = false;
        }
        self.write_bitmaps()?;
        group::write_groups(&self.storage, &self.superblock, &mut self.groups)?;
        if self.superblock_changed {
            self.superblock.write(&self.storage)?;
            self.superblock_changed = false;
        }
        Ok(self.storage.flush()?)
    }
}

/// Sets the free counts to the sums of the groups' counts: the kernel writes them only at unmounting, so that the
/// journal does not have them.
fn count_free(superblock: &mut Superblock, groups: &[Group]) {
    let free: u64 = groups.iter().map(|group| u64::from(group.free_blocks())).sum();
    superblock.set_free_blocks(free * superblock.cluster_blocks());
    superblock.raw.s_free_inodes_count.set(groups.iter().map(Group::free_inodes).sum());
}

/// Why the file system cannot be written, if so.
fn write_refusal(superblock: &Superblock) -> Option<String> {
    let unwritable = features::unwritable(&superblock.raw);
    if !unwritable.is_empty() {
        return Some(format!("features that imgraft cannot write: {}", unwritable.join(", ")));
    }
    None
}

impl<S: ReadAt> FileSystem<S> {
    /// A file system that has a super block and no groups yet.
    pub(crate) fn unmade(storage: S, superblock: Superblock) -> Self {
        Self { write_refusal: None, ..Self::unwritable(storage, superblock, Vec::new()) }
    }

    /// A file system that can only be read: to read the journal before it is replayed.
    pub(crate) fn unwritable(storage: S, superblock: Superblock, groups: Vec<Group>) -> Self {
        Self {
            storage: Cache::new(storage, CACHE_BYTES),
            superblock,
            groups,
            block_bitmaps: BTreeMap::new(),
            inode_bitmaps: BTreeMap::new(),
            superblock_changed: false,
            last_directory: LastDirectory::default(),
            journal_replayed: false,
            errors_allowed: false,
            usage_changed: false,
            write_refusal: Some("the journal is being replayed".to_owned()),
        }
    }

    /// The super block, with the counts as they are now.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Whether the journal was dirty when the file system was opened.
    pub fn journal_replayed(&self) -> bool {
        self.journal_replayed
    }

    /// The storage, which has all edits after [`flush`](Self::flush) only.
    pub fn storage(&self) -> &S {
        self.storage.base()
    }

    pub(crate) fn block_size(&self) -> u64 {
        u64::from(self.superblock.block_size_bytes())
    }

    /// Reads one block.
    pub(crate) fn read_block(&self, block: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.block_size() as usize];
        self.storage.read_at(block * self.block_size(), &mut bytes)?;
        Ok(bytes)
    }
}

impl<S: WriteAt> FileSystem<S> {
    pub(crate) fn write_block(&self, block: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.storage.write_at(block * self.block_size(), bytes)?)
    }
}
