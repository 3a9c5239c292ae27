//! A place on the disk that a file system may be on, and the file system if one is.

use std::fmt;
use std::sync::Arc;

use partition::Partition;
use storage::{Printable, ReadAt, Window, WriteAt};

use crate::error::{Error, FileSystemError};
use crate::file_system::{Fat, FileSystem};
use crate::fstab::{self, Device};
use crate::metadata::FileKind;
use crate::probe::{Signature, probe};

/// A partition's bytes, or the whole disk's.
pub(crate) type Bytes = Window<Arc<dyn WriteAt>>;

/// A partition, or the whole disk where it has no table.
pub struct Volume {
    partition: Option<Partition>,
    size_bytes: u64,
    pub(crate) content: Content,
}

/// What a volume holds.
pub(crate) enum Content {
    /// A file system that is read and written here.
    FileSystem(FileSystem),
    /// One that could not be opened.
    Broken { kind: &'static str, error: FileSystemError },
    /// One that is known by name only.
    Other(&'static str),
    /// Nothing known.
    None,
}

impl Volume {
    /// Looks at the part of `disk` that `partition` is, or at all of it, and opens the file system
    /// there.
    pub(crate) fn open(disk: &Arc<dyn WriteAt>, partition: Option<Partition>) -> Result<Self, Error> {
        let (first_byte, size_bytes) = match &partition {
            Some(partition) => (partition.first_byte, partition.size_bytes),
            None => (0, disk.size_bytes()),
        };
        let bytes: Bytes = Window::new(Arc::clone(disk), first_byte, size_bytes)?;
        let content = match probe(&bytes)? {
            Signature::Ext4 => match ext4::FileSystem::open(bytes.clone()) {
                Ok(file_system) => Content::FileSystem(FileSystem::Ext4(Box::new(file_system))),
                Err(error) => {
                    let kind = ext4::Superblock::read(&bytes).map_or("ext4", |superblock| superblock.kind());
                    Self::broken(kind, FileSystemError::Ext4(error), &partition)?
                }
            },
            Signature::Fat { serial } => match Fat::open(bytes, serial) {
                Ok(fat) => Content::FileSystem(FileSystem::Fat(Box::new(fat))),
                Err(error) => Self::broken("fat", FileSystemError::Fat(error), &partition)?,
            },
            Signature::Other(name) => Content::Other(name),
            Signature::None => Content::None,
        };
        Ok(Self { partition, size_bytes, content })
    }

    /// A file system that could not be opened. One that the host could not read may be sound: that ends
    /// everything.
    fn broken(kind: &'static str, error: FileSystemError, partition: &Option<Partition>) -> Result<Content, Error> {
        if error.is_from_host() {
            let volume = Self { partition: partition.clone(), size_bytes: 0, content: Content::Other(kind) };
            return Err(Error::FileSystem { volume: volume.to_string(), path: None, error });
        }
        Ok(Content::Broken { kind, error })
    }

    /// The partition; `None` for the whole disk.
    pub fn partition(&self) -> Option<&Partition> {
        self.partition.as_ref()
    }

    /// Size of the partition in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Size in bytes of the file system; of the partition where none could be opened.
    pub fn file_system_bytes(&self) -> u64 {
        let blocks = self.file_system().and_then(|file_system| {
            let space = file_system.free_space().ok()?;
            Some(space.blocks * u64::from(space.block_size_bytes))
        });
        blocks.unwrap_or(self.size_bytes)
    }

    /// The kind of what is there, by name: `ext2`, `ext3`, `ext4`, `fat`, `xfs`, `swap`…
    pub fn kind(&self) -> Option<&'static str> {
        match &self.content {
            Content::FileSystem(file_system) => Some(file_system.kind()),
            Content::Broken { kind, .. } | Content::Other(kind) => Some(kind),
            Content::None => None,
        }
    }

    /// Why the file system could not be opened, if so.
    pub fn problem(&self) -> Option<&FileSystemError> {
        match &self.content {
            Content::Broken { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The file system, where it could be opened.
    pub fn file_system(&self) -> Option<&FileSystem> {
        match &self.content {
            Content::FileSystem(file_system) => Some(file_system),
            _ => None,
        }
    }

    /// Whether the file system has a regular file with these names on the way to it from its own root; links are not
    /// followed.
    pub fn has_file(&self, names: &[&str]) -> bool {
        let Some(file_system) = self.file_system() else { return false };
        let mut found = (file_system.root(), FileKind::Directory);
        for name in names {
            found = match file_system.lookup(&found.0, name.as_bytes()) {
                Ok(Some(child)) if found.1 == FileKind::Directory => child,
                _ => return false,
            };
        }
        found.1 == FileKind::Regular
    }

    /// Whether there is something that files can be in, of a kind that is known by name only.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.content, Content::Other(kind) if kind != "swap")
    }

    /// Whether the file system has an `/etc`, and room for another to be mounted at its `/usr`.
    pub(crate) fn has_empty_usr(&self) -> bool {
        let Some(file_system) = self.file_system().filter(|file_system| file_system.is_unix()) else { return false };
        let root = file_system.root();
        let has_etc = matches!(file_system.lookup(&root, b"etc"), Ok(Some((_, FileKind::Directory))));
        let is_empty = match file_system.lookup(&root, b"usr") {
            Ok(Some((usr, FileKind::Directory))) => {
                file_system.read_directory(&usr).is_ok_and(|names| names.is_empty())
            }
            Ok(None) => true,
            _ => false,
        };
        has_etc && is_empty
    }

    /// Whether a journal was left dirty and has been replayed.
    pub fn journal_replayed(&self) -> bool {
        self.file_system().is_some_and(FileSystem::journal_replayed)
    }

    /// Whether this is what a line of fstab names.
    pub(crate) fn is(&self, device: &Device) -> bool {
        let partition = self.partition.as_ref();
        match device {
            Device::Label(label) => {
                self.file_system().is_some_and(|file_system| file_system.label() == label.as_bytes())
            }
            Device::Uuid(uuid) => {
                self.file_system().is_some_and(|file_system| file_system.uuid().eq_ignore_ascii_case(uuid))
            }
            Device::PartitionUuid(uuid) => {
                partition.is_some_and(|partition| partition.partuuid.eq_ignore_ascii_case(uuid))
            }
            Device::PartitionLabel(label) => partition.is_some_and(|partition| partition.name == *label),
            Device::Node(node) => {
                let number = fstab::partition_number(node);
                number.is_some() && partition.map(|partition| partition.number) == number
            }
        }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.partition {
            Some(partition) => write!(f, "partition {}", partition.number)?,
            None => write!(f, "the whole disk")?,
        }
        let label = self.file_system().map(FileSystem::label).filter(|label| !label.is_empty());
        match (self.kind(), label) {
            (Some(kind), Some(label)) => write!(f, " ({kind} `{}`)", Printable(label)),
            (Some(kind), None) => write!(f, " ({kind})"),
            (None, _) => Ok(()),
        }
    }
}
