//! Files' content: through extents or, as in ext2 and ext3, through indirect blocks.

use metadata::FileKind;
use storage::ReadAt;

use crate::block_map::extent::Mapped;
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::{EXT4_ENCRYPT_FL, EXT4_EXTENTS_FL};

/// Longest target of a symbolic link, in bytes: one block, and no more than the 4096 bytes of Linux.
const MAX_LINK_BYTES: u64 = 4096;

/// Where a run of a file's blocks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// First block in the file system; `None` reads as zeros.
    pub(crate) physical: Option<u64>,
    /// Number of blocks from the one that was asked for, at least 1.
    pub(crate) blocks: u64,
}

impl<S: ReadAt> FileSystem<S> {
    /// Where the file's block `logical` is, and how many follow it there.
    pub(crate) fn map_block(&self, inode: &Inode, logical: u64) -> Result<Run> {
        if !inode.has_flag(EXT4_EXTENTS_FL) {
            let physical = self.map_indirect(inode, logical)?;
            return Ok(Run { physical, blocks: 1 });
        }
        let Ok(wanted) = u32::try_from(logical) else {
            return Ok(Run { physical: None, blocks: u64::MAX - logical });
        };
        Ok(match self.find_extent(inode, wanted)? {
            Ok(extent) => {
                let skip = wanted - extent.logical;
                let physical = (!extent.unwritten).then(|| extent.physical + u64::from(skip));
                Run { physical, blocks: u64::from(extent.blocks - skip) }
            }
            Err(hole) => Run { physical: None, blocks: u64::from(hole.max(1)) },
        })
    }

    /// Calls `visit` with every part of the file's block map, content and map blocks alike.
    pub(crate) fn walk_blocks(&self, inode: &Inode, visit: &mut dyn FnMut(Mapped) -> Result<()>) -> Result<()> {
        self.walk_blocks_before(inode, u64::MAX, visit)
    }

    /// As [`walk_blocks`](Self::walk_blocks), of what begins before block `stop` of the file.
    pub(crate) fn walk_blocks_before(
        &self,
        inode: &Inode,
        stop: u64,
        visit: &mut dyn FnMut(Mapped) -> Result<()>,
    ) -> Result<()> {
        if !inode.has_blocks() {
            return Ok(());
        }
        if inode.has_flag(EXT4_EXTENTS_FL) {
            return self.walk_extents(inode, stop, visit);
        }
        self.walk_indirect(inode, stop, visit)
    }

    /// Reads a regular file's bytes from `offset` on into `buffer`; returns how many, which is less
    /// than asked only at the file's end.
    ///
    /// # Errors
    ///
    /// [`Error::IsADirectory`], [`Error::Unsupported`] for encrypted content,
    /// [`Error::Corrupt`], [`Error::Storage`].
    pub fn read_file_at(&self, number: InodeNumber, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let inode = self.inode(number)?;
        match inode.kind()? {
            FileKind::Regular => self.read_content(&inode, offset, buffer),
            FileKind::Directory => Err(Error::IsADirectory(number)),
            kind => Err(Error::unsupported(
                Object::Inode(number),
                format!("reading the content of a {kind:?}").to_lowercase(),
            )),
        }
    }

    pub(crate) fn read_content(&self, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        if inode.has_flag(EXT4_ENCRYPT_FL) {
            return Err(Error::unsupported(Object::Inode(inode.number()), "encrypt: encrypted content"));
        }
        if inode.is_inline() {
            return self.read_inline(inode, offset, buffer);
        }
        let length = inode.size_bytes().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let block_size = self.block_size();
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let run = self.map_block(inode, at / block_size)?;
            let run_bytes = run.blocks.saturating_mul(block_size) - at % block_size;
            let part = &mut buffer[done..done + run_bytes.min((length - done) as u64) as usize];
            match run.physical {
                Some(block) => self.storage.read_at(block * block_size + at % block_size, part)?,
                None => part.fill(0),
            }
            done += part.len();
        }
        Ok(length)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where the inode is no symbolic link or its target cannot be one.
    pub fn read_link(&self, number: InodeNumber) -> Result<Vec<u8>> {
        let inode = self.inode(number)?;
        if inode.kind()? != FileKind::Symlink {
            return Err(Error::corrupt(Object::Inode(number), "not a symbolic link"));
        }
        let size = inode.size_bytes();
        if size == 0 || size > MAX_LINK_BYTES.min(self.block_size()) {
            return Err(Error::corrupt(Object::Inode(number), format!("symbolic link of {size} bytes")));
        }
        if inode.is_short_symlink() && !inode.has_flag(EXT4_ENCRYPT_FL) {
            return Ok(inode.raw.i_block[..size as usize].to_vec());
        }
        let mut target = vec![0; size as usize];
        self.read_content(&inode, 0, &mut target)?;
        Ok(target)
    }
}
