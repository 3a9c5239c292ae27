//! New files of every kind, and further names of them.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use metadata::{Attributes, FileKind, Special};
use storage::{ReadAt, WriteAt};

use crate::content::{XFS_SYMLINK_MAXLEN, content_blocks};
use crate::error::{Error, Object, Result};
use crate::filesystem::FileSystem;
use crate::inode::{Fork, Inode};
use crate::layout::inode::{XFS_DIFLAG_PREALLOC, XFS_DINODE_FMT_DEV};
use crate::map::{Extent, Map};

/// Device numbers go up to these, not included. The field of the major number has 14 bits, of which the kernel takes 9.
const MAJOR_END: u32 = 1 << 9;
const MINOR_END: u32 = 1 << 18;

type WriteExtents<'a, S> = &'a mut dyn FnMut(&mut FileSystem<S>, &[Extent]) -> Result<()>;

impl<S: WriteAt> FileSystem<S> {
    /// Creates a regular file of `size_bytes` bytes, which `content` gives. The parent's own times stay as they are,
    /// here and in all edits.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NoSpace`] and [`Error::TooLarge`], after which nothing has changed,
    /// [`Error::Unsupported`] if the file system cannot be written. [`Error::Content`] and [`Error::ContentLength`] if
    /// `content` fails or is not as long as announced: do not flush the file system then.
    pub fn create_file(
        &mut self,
        parent: u64,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<u64> {
        let all = 0..size_bytes.div_ceil(self.block_bytes());
        let blocks = if all.is_empty() { &[][..] } else { std::slice::from_ref(&all) };
        self.create_regular(parent, name, attributes, size_bytes, blocks, &mut |filesystem, extents| {
            filesystem.write_content(extents, size_bytes, content)
        })
    }

    /// Creates a regular file with the content of `source`, which must not change as long as the storage is used: the
    /// storage may keep `source` and not its bytes. Where `source` has holes, so has the file.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file); [`Error::Storage`] if `source` cannot be read.
    pub fn create_file_from(
        &mut self,
        parent: u64,
        name: &[u8],
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<u64> {
        let blocks = content_blocks(source, self.block_bytes())?;
        self.create_regular(parent, name, attributes, source.size_bytes(), &blocks, &mut |filesystem, extents| {
            filesystem.write_source(extents, source)
        })
    }

    fn create_regular(
        &mut self,
        parent: u64,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        blocks: &[Range<u64>],
        write: WriteExtents<'_, S>,
    ) -> Result<u64> {
        let directory = self.directory_for_new(parent, name)?;
        self.check_room(blocks.iter().map(|part| part.end - part.start).sum())?;
        let mut inode = self.new_inode(&directory, FileKind::Regular, attributes)?;
        let mut map = Map::default();
        for part in blocks {
            self.fill(&inode, &mut map, Fork::Data, part.clone())?;
        }
        write(self, &map.extents.clone())?;
        inode.raw_mut().di_size.set(size_bytes);
        self.store_map(&mut inode, Fork::Data, &mut map)?;
        self.name_new(parent, name, &mut inode, FileKind::Regular)
    }

    /// Creates an empty directory.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_directory(&mut self, parent: u64, name: &[u8], attributes: &Attributes) -> Result<u64> {
        let mut directory = self.directory_for_new(parent, name)?;
        if directory.links() == u32::MAX {
            return Err(Error::TooLarge { what: format!("directory inode {parent} has no room for more directories") });
        }
        self.check_room(1)?;
        let mut inode = self.new_inode(&directory, FileKind::Directory, attributes)?;
        inode.raw_mut().di_nlink.set(2);
        self.change_links(&mut directory, 1)?;
        let number = self.name_new(parent, name, &mut inode, FileKind::Directory)?;
        self.start_directory(number, parent)?;
        Ok(number)
    }

    /// Creates a symbolic link to `target`, which need not exist.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_symlink(&mut self, parent: u64, name: &[u8], target: &[u8], attributes: &Attributes) -> Result<u64> {
        if target.is_empty() || target.len() >= XFS_SYMLINK_MAXLEN || target.contains(&0) {
            let length = target.len();
            return Err(Error::TooLarge { what: format!("a symlink to {length} bytes: it has 1 to 1023, and no NUL") });
        }
        let directory = self.directory_for_new(parent, name)?;
        self.check_room(3)?;
        let mut inode = self.new_inode(&directory, FileKind::Symlink, attributes)?;
        self.write_target(&mut inode, target)?;
        self.name_new(parent, name, &mut inode, FileKind::Symlink)
    }

    /// Creates a device, a FIFO or a socket.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_special(
        &mut self,
        parent: u64,
        name: &[u8],
        special: Special,
        attributes: &Attributes,
    ) -> Result<u64> {
        let (kind, (major, minor)) = (special.kind(), special.device());
        if major >= MAJOR_END || minor >= MINOR_END {
            let what = format!("device {major}:{minor}: the numbers go up to {}:{}", MAJOR_END - 1, MINOR_END - 1);
            return Err(Error::TooLarge { what });
        }
        let directory = self.directory_for_new(parent, name)?;
        self.check_room(1)?;
        let mut inode = self.new_inode(&directory, kind, attributes)?;
        inode.set_format(Fork::Data, XFS_DINODE_FMT_DEV);
        inode.set_fork(Fork::Data, &(major << 18 | minor).to_be_bytes());
        self.name_new(parent, name, &mut inode, kind)
    }

    /// Gives a file that is no directory one more name.
    ///
    /// # Errors
    ///
    /// [`Error::IsADirectory`], and as [`create_file`](Self::create_file).
    pub fn link(&mut self, file: u64, parent: u64, name: &[u8]) -> Result<()> {
        self.directory_for_new(parent, name)?;
        self.check_room(1)?;
        let mut inode = self.inode_to_edit(file)?;
        let kind = inode.kind()?;
        if kind == FileKind::Directory {
            return Err(Error::IsADirectory(file));
        }
        if inode.links() == u32::MAX {
            return Err(Error::TooLarge { what: format!("inode {file} has too many names") });
        }
        self.add_name(parent, name, file, kind)?;
        self.change_links(&mut inode, 1)
    }

    /// The directory in which a new name is to be, which must not be taken.
    pub(crate) fn directory_for_new(&mut self, parent: u64, name: &[u8]) -> Result<Inode> {
        self.begin()?;
        check_name(name)?;
        let directory = self.inode_to_edit(parent)?;
        match self.with_directory(parent, |directory| directory.get(name))? {
            Some((inode, _)) => Err(Error::Exists { inode }),
            None if directory.kind()? != FileKind::Directory => Err(Error::NotADirectory(parent)),
            None if directory.links() == 0 => Err(Error::corrupt(Object::Inode(parent), "a directory without a name")),
            None => Ok(directory),
        }
    }

    fn name_new(&mut self, parent: u64, name: &[u8], inode: &mut Inode, kind: FileKind) -> Result<u64> {
        // A flag of blocks that were allocated in advance is no part of a new file.
        let flags = inode.flags() & !XFS_DIFLAG_PREALLOC;
        inode.raw_mut().di_flags.set(flags);
        self.write_inode(inode)?;
        self.add_name(parent, name, inode.number, kind)?;
        Ok(inode.number)
    }

    /// Changes how many names an inode has, and writes it.
    pub(crate) fn change_links(&mut self, inode: &mut Inode, difference: i32) -> Result<()> {
        let links = inode.links().checked_add_signed(difference);
        let links = links.ok_or_else(|| inode.corrupt(format!("di_nlink={}", inode.links())))?;
        inode.raw_mut().di_nlink.set(links);
        self.write_inode(inode)
    }
}

/// Fails if no directory entry can have the name.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    let is_valid = (1..=255).contains(&name.len())
        && !matches!(name, b"." | b"..")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    if is_valid { Ok(()) } else { Err(Error::BadName) }
}
