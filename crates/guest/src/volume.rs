//! A partition, or a whole disk, and the file system on it.

use std::fmt;
use std::sync::Arc;

use partition::Partition;
use storage::{Printable, ReadAt, Window, WriteAt};

use crate::error::Error;
use crate::file_system::{Bytes, FileSystem, FileSystemError, Kind, Support, recognise};
use crate::fstab::{self, Device};
use crate::metadata::FileKind;

/// A partition, or the whole disk if it has no partition table.
pub struct Volume {
    partition: Option<Partition>,
    size_bytes: u64,
    pub(crate) content: Content,
}

/// What a volume holds.
pub(crate) enum Content {
    /// A file system that is read, and perhaps written.
    FileSystem(Box<dyn FileSystem>),
    /// One that could not be opened.
    Broken { kind: &'static str, error: FileSystemError },
    /// Something that is known by name only.
    Named(&'static Kind),
    /// Nothing that is known.
    None,
}

impl Volume {
    /// Looks at the partition, or at the whole of `disk`, and opens its file system if it is one of `kinds`.
    pub(crate) fn open(
        disk: &Arc<dyn WriteAt>,
        partition: Option<Partition>,
        kinds: &'static [Kind],
    ) -> Result<Self, Error> {
        let (first_byte, size_bytes) = match &partition {
            Some(partition) => (partition.first_byte, partition.size_bytes),
            None => (0, disk.size_bytes()),
        };
        let bytes: Bytes = Window::new(Arc::clone(disk), first_byte, size_bytes)?;
        let content = match recognise(&bytes, kinds)? {
            Some(kind) => match kind.support {
                Support::Opens { open, name } => match open(bytes.clone()) {
                    Ok(file_system) => Content::FileSystem(file_system),
                    Err(error) => Content::Broken { kind: name(&bytes).unwrap_or(kind.name), error },
                },
                Support::NameOnly | Support::NoFiles => Content::Named(kind),
            },
            None => Content::None,
        };
        let volume = Self { partition, size_bytes, content };
        let name = volume.to_string();
        match volume.content {
            // A file system that the host could not read may be sound.
            Content::Broken { error, .. } if error.is_from_host() => {
                Err(Error::FileSystem { volume: name, path: None, error })
            }
            content => Ok(Self { content, ..volume }),
        }
    }

    /// An error of the file system, as one of the guest.
    pub(crate) fn failed(&self, error: FileSystemError) -> Error {
        Error::FileSystem { volume: self.to_string(), path: None, error }
    }

    /// The partition; `None` for the whole disk.
    pub fn partition(&self) -> Option<&Partition> {
        self.partition.as_ref()
    }

    /// Size of the partition in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Size in bytes of the file system; of the partition, if none could be opened.
    pub fn file_system_bytes(&self) -> u64 {
        let blocks = self.file_system().and_then(|file_system| {
            let space = file_system.free_space().ok()?;
            Some(space.blocks * u64::from(space.block_size_bytes))
        });
        blocks.unwrap_or(self.size_bytes)
    }

    /// What it holds, by name: `ext2`, `ext3`, `ext4`, `fat`, `xfs`, `swap`…
    pub fn kind(&self) -> Option<&'static str> {
        match &self.content {
            Content::FileSystem(file_system) => Some(file_system.kind()),
            Content::Broken { kind, .. } => Some(kind),
            Content::Named(kind) => Some(kind.name),
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

    /// The file system, if it could be opened.
    pub fn file_system(&self) -> Option<&dyn FileSystem> {
        match &self.content {
            Content::FileSystem(file_system) => Some(&**file_system),
            _ => None,
        }
    }

    pub(crate) fn file_system_mut(&mut self) -> Option<&mut dyn FileSystem> {
        match &mut self.content {
            Content::FileSystem(file_system) => Some(&mut **file_system),
            _ => None,
        }
    }

    /// Whether the file system has a regular file at this path, whose components are `names`. Links are not followed.
    pub fn has_file(&self, names: &[&str]) -> bool {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let found =
            self.file_system().and_then(|file_system| file_system.walk(&file_system.root(), &names).ok().flatten());
        found.is_some_and(|(_, kind)| kind == FileKind::Regular)
    }

    /// Whether it may have files, but imgraft only knows the name of its kind.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.content, Content::Named(kind) if matches!(kind.support, Support::NameOnly))
    }

    /// Whether the file system has an `/etc`, and nothing in its `/usr`, so that another can be mounted there.
    pub(crate) fn has_empty_usr(&self) -> bool {
        let Some(file_system) = self.file_system().filter(|file_system| file_system.is_unix()) else { return false };
        let root = file_system.root();
        let has_etc = matches!(file_system.lookup(&root, b"etc"), Ok(Some((_, FileKind::Directory))));
        let is_empty = match file_system.lookup(&root, b"usr") {
            Ok(Some((usr, FileKind::Directory))) => {
                file_system.children(&usr).is_ok_and(|children| children.is_empty())
            }
            Ok(None) => true,
            _ => false,
        };
        has_etc && is_empty
    }

    /// Whether a journal was left dirty and has been replayed.
    pub fn journal_replayed(&self) -> bool {
        self.file_system().is_some_and(|file_system| file_system.journal_replayed())
    }

    /// Whether a line of fstab means this volume.
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
        let label = self.file_system().map(|file_system| file_system.label()).filter(|label| !label.is_empty());
        match (self.kind(), label) {
            (Some(kind), Some(label)) => write!(f, " ({kind} `{}`)", Printable(label)),
            (Some(kind), None) => write!(f, " ({kind})"),
            (None, _) => Ok(()),
        }
    }
}
