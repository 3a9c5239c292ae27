//! The space that a plan needs in each file system. It is never more than the plan will really take.

use std::collections::BTreeMap;

use guest::{Guest, GuestPath};

use crate::error::Error;

/// The need of one file system.
#[derive(Debug, Default)]
struct Need {
    blocks: u64,
    inodes: u64,
    freed_blocks: u64,
    freed_inodes: u64,
    /// The size of the entries in each new directory, in bytes.
    directories: BTreeMap<GuestPath, u64>,
}

/// The needs of the file systems, by their index.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    volumes: BTreeMap<usize, Need>,
}

/// The shortest target with which a symlink of an ext4 takes a block, in bytes.
const LONG_LINK_BYTES: u64 = 60;

impl Needs {
    fn of(&mut self, volume: usize) -> &mut Need {
        self.volumes.entry(volume).or_default()
    }

    /// Adds a name in a directory.
    pub(crate) fn entry(&mut self, volume: usize, path: &GuestPath) {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return };
        if let Some(bytes) = self.of(volume).directories.get_mut(&parent) {
            *bytes += 8 + (name.len() as u64).next_multiple_of(4);
        }
    }

    /// Adds a file of `size_bytes` bytes in blocks of `block_size_bytes`.
    pub(crate) fn file(&mut self, volume: usize, size_bytes: u64, block_size_bytes: u32) {
        let need = self.of(volume);
        need.blocks += size_bytes.div_ceil(u64::from(block_size_bytes));
        need.inodes += 1;
    }

    /// Adds a symlink.
    pub(crate) fn symlink(&mut self, volume: usize, target_bytes: u64) {
        let need = self.of(volume);
        need.blocks += u64::from(target_bytes >= LONG_LINK_BYTES);
        need.inodes += 1;
    }

    /// Adds a directory.
    pub(crate) fn directory(&mut self, volume: usize, path: &GuestPath) {
        let need = self.of(volume);
        need.inodes += 1;
        need.directories.insert(path.clone(), 0);
    }

    /// Adds a file that is freed with its last name.
    pub(crate) fn freed(&mut self, volume: usize, blocks: u64) {
        let need = self.of(volume);
        need.freed_blocks += blocks;
        need.freed_inodes += 1;
    }

    /// Refuses a plan that does not fit.
    pub(crate) fn check(&self, guest: &Guest) -> Result<(), Error> {
        for (&index, need) in &self.volumes {
            let volume = &guest.volumes()[index];
            let Some(file_system) = volume.file_system() else { continue };
            let space = file_system.free_space().map_err(|error| {
                Error::Guest(guest::Error::FileSystem { volume: volume.to_string(), path: None, error })
            })?;
            let needed = need.total_blocks(space.block_size_bytes).saturating_sub(need.freed_blocks);
            if needed > space.free_blocks {
                return Err(Error::NoSpace {
                    volume: volume.to_string(),
                    needed_bytes: needed.saturating_mul(u64::from(space.block_size_bytes)),
                    available_bytes: space.free_bytes(),
                });
            }
            let needed = need.inodes.saturating_sub(need.freed_inodes);
            if let Some(available) = space.free_inodes.map(u64::from)
                && needed > available
            {
                return Err(Error::NoInodes { volume: volume.to_string(), needed, available });
            }
        }
        Ok(())
    }
}

impl Need {
    fn total_blocks(&self, block_size_bytes: u32) -> u64 {
        let block_size_bytes = u64::from(block_size_bytes);
        let directories = self.directories.values().map(|bytes| bytes.div_ceil(block_size_bytes).max(1));
        self.blocks + directories.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_take_whole_blocks_and_directories_at_least_one() {
        let mut needs = Needs::default();
        let directory: GuestPath = "/opt/app".parse().unwrap();
        needs.directory(0, &directory);
        needs.file(0, 4097, 4096);
        needs.file(0, 0, 4096);
        needs.symlink(0, 59);
        needs.symlink(0, 60);
        assert_eq!((needs.of(0).total_blocks(4096), needs.of(0).inodes), (4, 5));
        for index in 0..500 {
            needs.entry(0, &directory.join(format!("file-{index:03}").as_bytes()).unwrap());
        }
        assert_eq!(needs.of(0).total_blocks(4096), 5);
    }
}
