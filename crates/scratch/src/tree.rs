//! The tree of one file system: its files as they were, and what programs made of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use guest::file_system::Node;
use guest::{FileKind, FileSystem, FileSystemError, FileSystemProblem, Guest, Metadata};
use rustix::io::Errno;

use crate::content::Content;
use crate::inode::{Children, Data, Entry, Inode, InodeNumber, Xattrs};
use crate::phantom::Phantom;
use crate::spill::{PAGE_BYTES, Spill};

/// The result of what programs ask for: an error as the kernel has it.
pub type Result<T> = std::result::Result<T, Errno>;

/// The first number of new files. The guest's own are below; where they are not, they get a new one as well.
const FIRST_NEW: InodeNumber = 1 << 31;

/// The longest name, in bytes.
pub(crate) const NAME_MAX_BYTES: usize = 255;

/// The largest file, in bytes: that of an ext4 with blocks of 4 KiB.
pub(crate) const MAX_FILE_BYTES: u64 = (1 << 44) - PAGE_BYTES;

/// The most names of a file, as ext4 has it.
pub(crate) const MAX_LINKS: u32 = 65_000;

/// How much of a file is copied at a time, in bytes.
const COPY_BYTES: usize = 1 << 20;

/// What is given the entries of a directory: number, name, file, kind. It says whether it takes more.
pub type Visit<'a> = &'a mut dyn FnMut(u64, &[u8], InodeNumber, FileKind) -> bool;

/// A guest that several trees read.
pub type SharedGuest = Arc<Mutex<Guest>>;

/// The file system of one volume of a guest, as programs change it. The guest itself stays as it is.
#[derive(Debug)]
pub struct Tree {
    pub(crate) base: Base,
    pub(crate) spill: Arc<Spill>,
    pub(crate) inodes: HashMap<InodeNumber, Inode>,
    /// The numbers of those files of the guest whose own cannot be used.
    numbers: HashMap<Node, InodeNumber>,
    /// The same the other way round.
    nodes: HashMap<InodeNumber, Node>,
    next: InodeNumber,
    root: InodeNumber,
    pub(crate) is_unix: bool,
    pub(crate) space: Space,
    pub(crate) phantoms: Vec<Phantom>,
    /// The files of the guest that have no name any more.
    pub(crate) gone: HashSet<Node>,
    /// What was wrong with the image when it was read.
    pub(crate) fault: Option<String>,
}

/// The file system as it was.
pub(crate) struct Base {
    guest: SharedGuest,
    volume: usize,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "volume {}", self.volume)
    }
}

/// How much is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size of a block in bytes.
    pub block_size_bytes: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// Free inodes.
    pub free_inodes: u64,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its number.
    pub inode: InodeNumber,
    /// Kind, mode, owner, size, number of names, times.
    pub metadata: Metadata,
    /// How many bytes it takes.
    pub allocated_bytes: u64,
}

impl Base {
    fn guest(&self) -> MutexGuard<'_, Guest> {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `read` with the file system.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&dyn FileSystem) -> std::result::Result<T, FileSystemError>,
    ) -> std::result::Result<T, FileSystemError> {
        let guest = self.guest();
        match guest.volumes()[self.volume].file_system() {
            Some(file_system) => read(file_system),
            None => Err(FileSystemProblem::NotFound.into()),
        }
    }
}

impl Tree {
    /// The tree of the volume with this index, from its directory `root` down.
    ///
    /// # Errors
    ///
    /// [`FileSystemError`] if it cannot be read.
    pub fn new(
        guest: &SharedGuest,
        volume: usize,
        root: &Node,
        spill: &Arc<Spill>,
    ) -> std::result::Result<Self, FileSystemError> {
        let base = Base { guest: Arc::clone(guest), volume };
        let (metadata, free, is_unix) = base
            .read(|file_system| Ok((file_system.metadata(root)?, file_system.free_space()?, file_system.is_unix())))?;
        let space = Space {
            block_size_bytes: u64::from(free.block_size_bytes),
            blocks: free.blocks,
            free_blocks: free.free_blocks,
            free_inodes: free.free_inodes.map_or(u64::from(u32::MAX), u64::from),
        };
        let mut tree = Self {
            base,
            spill: Arc::clone(spill),
            inodes: HashMap::new(),
            numbers: HashMap::new(),
            nodes: HashMap::new(),
            next: FIRST_NEW,
            root: 0,
            is_unix,
            space,
            phantoms: Vec::new(),
            gone: HashSet::new(),
            fault: None,
        };
        tree.root = tree.number_of(root);
        tree.inodes.insert(tree.root, Inode::of_origin(root.clone(), metadata, (tree.root, Vec::new())));
        Ok(tree)
    }

    /// The root directory.
    pub fn root(&self) -> InodeNumber {
        self.root
    }

    /// Whether files have owners, modes and attributes.
    pub fn is_unix(&self) -> bool {
        self.is_unix
    }

    /// How much is free.
    pub fn space(&self) -> Space {
        self.space
    }

    /// What was wrong with the image when programs read it, if anything was.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The error of the kernel for an error of the file system, which is kept as it is.
    pub(crate) fn failed(&mut self, error: &FileSystemError) -> Errno {
        match error.problem {
            FileSystemProblem::NotFound => Errno::NOENT,
            FileSystemProblem::NotADirectory => Errno::NOTDIR,
            FileSystemProblem::IsADirectory => Errno::ISDIR,
            FileSystemProblem::Unsupported { .. } => Errno::OPNOTSUPP,
            _ => {
                self.fault.get_or_insert_with(|| error.to_string());
                Errno::IO
            }
        }
    }

    pub(crate) fn number_of(&mut self, node: &Node) -> InodeNumber {
        match node {
            Node::Inode { tree: 0, number } if *number < FIRST_NEW => *number,
            _ => match self.numbers.get(node) {
                Some(&number) => number,
                None => {
                    let number = self.new_number();
                    self.numbers.insert(node.clone(), number);
                    self.nodes.insert(number, node.clone());
                    number
                }
            },
        }
    }

    pub(crate) fn new_number(&mut self) -> InodeNumber {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn inode(&self, number: InodeNumber) -> Result<&Inode> {
        self.inodes.get(&number).ok_or(Errno::STALE)
    }

    pub(crate) fn inode_mut(&mut self, number: InodeNumber) -> Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or(Errno::STALE)
    }

    pub(crate) fn directory(&self, number: InodeNumber) -> Result<&Inode> {
        let inode = self.inode(number)?;
        if inode.is_directory() { Ok(inode) } else { Err(Errno::NOTDIR) }
    }

    /// The same bytes for all spellings of a name.
    pub(crate) fn folded(&self, name: &[u8]) -> Vec<u8> {
        if self.is_unix {
            return name.to_vec();
        }
        let folded = self.base.read(|file_system| Ok(file_system.folded(name)));
        folded.unwrap_or_else(|_| name.to_vec())
    }

    /// Has a file of the guest in the tree.
    pub(crate) fn load(&mut self, node: &Node, place: (InodeNumber, &[u8])) -> Result<InodeNumber> {
        let number = self.number_of(node);
        if !self.inodes.contains_key(&number) {
            let metadata = self.base.read(|file_system| file_system.metadata(node));
            let metadata = metadata.map_err(|error| self.failed(&error))?;
            self.inodes.insert(number, Inode::of_origin(node.clone(), metadata, (place.0, place.1.to_vec())));
        }
        Ok(number)
    }

    /// The file called `name` in `directory`.
    ///
    /// # Errors
    ///
    /// [`Errno::NOENT`], [`Errno::NOTDIR`], and those of reading.
    pub fn lookup(&mut self, directory: InodeNumber, name: &[u8]) -> Result<InodeNumber> {
        if name.len() > NAME_MAX_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        let parent = self.directory(directory)?;
        match (&parent.data, &parent.origin) {
            (Data::Children(children), _) => {
                let number = match children.get(&self.folded(name)) {
                    Some(entry) => entry.inode,
                    None => return Err(Errno::NOENT),
                };
                self.have(directory, name, number)?;
                Ok(number)
            }
            (_, Some(origin)) => {
                let origin = origin.clone();
                let found = self.base.read(|file_system| file_system.lookup(&origin, name));
                let found = found.map_err(|error| self.failed(&error))?;
                let (node, _) = found.ok_or(Errno::NOENT)?;
                let number = self.load(&node, (directory, name))?;
                self.note_place(directory, name, number);
                Ok(number)
            }
            (_, None) => Err(Errno::NOENT),
        }
    }

    /// Has the file that is an entry of a listed directory in the tree, where it may not be yet.
    fn have(&mut self, directory: InodeNumber, name: &[u8], number: InodeNumber) -> Result<()> {
        if !self.inodes.contains_key(&number) {
            // A file that nobody looked at since the directory was listed is as it was.
            let node = self.nodes.get(&number).cloned().unwrap_or(Node::Inode { tree: 0, number });
            self.load(&node, (directory, name))?;
        }
        self.note_place(directory, name, number);
        Ok(())
    }

    fn note_place(&mut self, directory: InodeNumber, name: &[u8], number: InodeNumber) {
        if let Some(inode) = self.inodes.get_mut(&number)
            && (inode.place.0 != directory || inode.place.1 != name)
        {
            inode.place = (directory, name.to_vec());
        }
    }

    /// Lists a directory, so that it can be changed.
    pub(crate) fn list(&mut self, directory: InodeNumber) -> Result<()> {
        let inode = self.directory(directory)?;
        let (Data::Origin, Some(origin)) = (&inode.data, inode.origin.clone()) else { return Ok(()) };
        let children = self.base.read(|file_system| file_system.children(&origin));
        let found = children.map_err(|error| self.failed(&error))?;
        let mut children = Children::default();
        for child in found {
            let entry = Entry { inode: self.number_of(&child.node), kind: child.kind, name: child.name };
            children.insert(self.folded(&entry.name), entry);
        }
        self.inode_mut(directory)?.data = Data::Children(children);
        Ok(())
    }

    /// The files of a directory that is listed.
    pub(crate) fn children(&mut self, directory: InodeNumber) -> Result<&mut Children> {
        self.list(directory)?;
        match &mut self.inode_mut(directory)?.data {
            Data::Children(children) => Ok(children),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The file called `name` in `directory`, which is listed.
    pub(crate) fn entry(&mut self, directory: InodeNumber, name: &[u8]) -> Result<Option<Entry>> {
        let folded = self.folded(name);
        Ok(self.children(directory)?.get(&folded).cloned())
    }

    /// Gives `visit` the names in a directory after the one with this number (0: all), until it says `false`: number,
    /// name, file, kind. Neither `.` nor `..` is among them.
    ///
    /// # Errors
    ///
    /// [`Errno::NOTDIR`], and those of reading.
    pub fn read_directory(&mut self, directory: InodeNumber, after: u64, visit: Visit<'_>) -> Result<()> {
        for (number, entry) in self.children(directory)?.after(after) {
            if !visit(number, &entry.name, entry.inode, entry.kind) {
                break;
            }
        }
        Ok(())
    }

    /// What is known of a file.
    ///
    /// # Errors
    ///
    /// [`Errno::STALE`] for a file that is gone.
    pub fn facts(&self, number: InodeNumber) -> Result<Facts> {
        let inode = self.inode(number)?;
        let mut metadata = inode.metadata.clone();
        let allocated_bytes = match &inode.data {
            Data::Content(content) => content.pages() * PAGE_BYTES,
            _ if metadata.kind == FileKind::Regular => metadata.size_bytes.next_multiple_of(PAGE_BYTES),
            _ => 0,
        };
        if inode.is_directory() {
            metadata.size_bytes = PAGE_BYTES;
        }
        Ok(Facts { inode: number, metadata, allocated_bytes })
    }

    /// The directory that a directory is in; the root is in itself.
    ///
    /// # Errors
    ///
    /// As [`facts`](Self::facts).
    pub fn parent(&self, number: InodeNumber) -> Result<InodeNumber> {
        Ok(self.inode(number)?.place.0)
    }

    /// Notes that the kernel was told of a file once more.
    pub fn remember(&mut self, number: InodeNumber) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.lookups += 1;
        }
    }

    /// Notes that the kernel forgot a file `times` times. One without a name is gone then.
    pub fn forget(&mut self, number: InodeNumber, times: u64) {
        let Some(inode) = self.inodes.get_mut(&number) else { return };
        inode.lookups = inode.lookups.saturating_sub(times);
        if inode.lookups == 0 {
            if inode.metadata.links == 0 {
                self.inodes.remove(&number);
            } else if !inode.is_changed
                && !inode.has_changes
                && matches!(inode.data, Data::Origin)
                && number != self.root
            {
                // It can be had again.
                self.inodes.remove(&number);
            }
        }
    }

    /// Notes that a file differs, and the directories on the way to it.
    pub(crate) fn mark(&mut self, number: InodeNumber) {
        let Some(inode) = self.inodes.get_mut(&number) else { return };
        inode.is_changed = true;
        let mut at = inode.place.0;
        // A directory's parent is always here, as it was looked up first.
        while let Some(inode) = self.inodes.get_mut(&at) {
            if inode.has_changes {
                break;
            }
            inode.has_changes = true;
            at = inode.place.0;
        }
    }

    /// The target of a symlink.
    ///
    /// # Errors
    ///
    /// [`Errno::INVAL`] for another kind of file.
    pub fn read_link(&mut self, number: InodeNumber) -> Result<Vec<u8>> {
        let inode = self.inode(number)?;
        if inode.metadata.kind != FileKind::Symlink {
            return Err(Errno::INVAL);
        }
        match (&inode.data, &inode.origin) {
            (Data::Target(target), _) => Ok(target.clone()),
            (_, Some(origin)) => {
                let origin = origin.clone();
                self.base.read(|file_system| file_system.read_link(&origin)).map_err(|error| self.failed(&error))
            }
            _ => Err(Errno::IO),
        }
    }

    /// Reads from `offset` of a regular file on; fewer bytes than `buffer` takes come only at the end.
    ///
    /// # Errors
    ///
    /// [`Errno::ISDIR`], [`Errno::INVAL`], [`Errno::IO`].
    pub fn read(&mut self, number: InodeNumber, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let inode = self.inode(number)?;
        match (inode.metadata.kind, &inode.data, &inode.origin) {
            (FileKind::Directory, ..) => Err(Errno::ISDIR),
            (FileKind::Regular, Data::Content(content), _) => {
                content.read(offset, buffer).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            }
            (FileKind::Regular, _, Some(origin)) => {
                let origin = origin.clone();
                let read = self.base.read(|file_system| read_full(file_system, &origin, offset, buffer));
                read.map_err(|error| self.failed(&error))
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// Has the content of a regular file in the spill file, where it can be changed; the first `keep_bytes` of it.
    pub(crate) fn content(&mut self, number: InodeNumber, keep_bytes: u64) -> Result<&mut Content> {
        let inode = self.inode(number)?;
        match inode.metadata.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::INVAL),
        }
        if !matches!(inode.data, Data::Content(_)) {
            let mut content = Content::new(&self.spill);
            if let Some(origin) = inode.origin.clone() {
                let size_bytes = inode.metadata.size_bytes.min(keep_bytes);
                let copied = self.base.read(|file_system| copy(file_system, &origin, size_bytes, &mut content));
                copied.map_err(|error| self.failed(&error))?.map_err(host)?;
            }
            self.inode_mut(number)?.data = Data::Content(content);
        }
        match &mut self.inode_mut(number)?.data {
            Data::Content(content) => Ok(content),
            _ => Err(Errno::IO),
        }
    }

    /// The extended attributes of a file.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn xattrs(&mut self, number: InodeNumber) -> Result<&Xattrs> {
        self.xattrs_mut(number).map(|xattrs| &*xattrs)
    }

    pub(crate) fn xattrs_mut(&mut self, number: InodeNumber) -> Result<&mut Xattrs> {
        let inode = self.inode(number)?;
        if inode.xattrs.is_none() {
            let xattrs = match inode.origin.clone() {
                Some(origin) => {
                    let read = self.base.read(|file_system| file_system.xattrs(&origin));
                    read.map_err(|error| self.failed(&error))?.into_iter().collect()
                }
                None => Xattrs::new(),
            };
            self.inode_mut(number)?.xattrs = Some(xattrs);
        }
        Ok(self.inode_mut(number)?.xattrs.get_or_insert_default())
    }

    /// The flags of a file that `lsattr` shows.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn flags(&mut self, number: InodeNumber) -> Result<u32> {
        let inode = self.inode(number)?;
        match (inode.flags, inode.origin.clone()) {
            (Some(flags), _) => Ok(flags),
            (None, Some(origin)) => {
                let extras = self.base.read(|file_system| file_system.extras(&origin));
                let flags = extras.map_err(|error| self.failed(&error))?.flags;
                self.inode_mut(number)?.flags = Some(flags);
                Ok(flags)
            }
            (None, None) => Ok(0),
        }
    }
}

/// An error of the host's own file.
pub(crate) fn host(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Reads until `buffer` is full or the file ends.
pub(crate) fn read_full(
    file_system: &dyn FileSystem,
    node: &Node,
    offset: u64,
    buffer: &mut [u8],
) -> std::result::Result<usize, FileSystemError> {
    let mut done = 0;
    while done < buffer.len() {
        match file_system.read_at(node, offset + done as u64, &mut buffer[done..])? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Copies the first `size_bytes` bytes of a file, without its holes.
fn copy(
    file_system: &dyn FileSystem,
    node: &Node,
    size_bytes: u64,
    content: &mut Content,
) -> std::result::Result<std::io::Result<()>, FileSystemError> {
    let parts = match file_system.content_extents(node)? {
        Some(extents) => extents.into_iter().map(|extent| (extent.offset, extent.length_bytes)).collect(),
        None => vec![(0, size_bytes)],
    };
    let mut buffer = vec![0; COPY_BYTES.min(size_bytes as usize)];
    for (first, length) in parts {
        let (mut at, end) = (first, first.saturating_add(length).min(size_bytes));
        while at < end {
            let step = (end - at).min(buffer.len() as u64) as usize;
            let read = read_full(file_system, node, at, &mut buffer[..step])?;
            if read == 0 {
                break;
            }
            if let Err(error) = content.write(at, &buffer[..read]) {
                return Ok(Err(error));
            }
            at += read as u64;
        }
    }
    content.grow(size_bytes);
    Ok(Ok(()))
}
