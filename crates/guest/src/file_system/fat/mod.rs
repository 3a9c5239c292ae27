//! FAT12, FAT16 and FAT32 as a file system of the guest.

mod account;

use std::io::Read;
use std::ops::Range;

use storage::{Finding, ReadAt};

use super::{Bytes, Checked, Child, FileSystem, FileSystemError, FileSystemProblem, Kind, Node, Result, Support};
use crate::diff::{Accounted, Explanation};
use crate::metadata::{Attributes, FileKind, FreeSpace, Metadata, Time};

/// The end of a boot sector.
const BOOT_SIGNATURE: (u64, &[u8]) = (0x1fe, &[0x55, 0xaa]);
/// `BS_FilSysType` of FAT32, which has its extended boot record further on.
const FAT32_TYPE: (u64, &[u8]) = (0x52, b"FAT32");

pub(super) const KIND: Kind = Kind {
    name: "fat",
    signatures: &[&[FAT32_TYPE, BOOT_SIGNATURE], &[(0x36, b"FAT1"), BOOT_SIGNATURE]],
    support: Support::Opens { open, name: |_| None },
};

type Engine = fat::FileSystem<Bytes>;

/// A FAT, with what fstab may call it.
struct Fat {
    engine: Engine,
    label: Vec<u8>,
    /// `BS_VolID`.
    serial: u32,
}

fn open(bytes: Bytes) -> Result<Box<dyn FileSystem>> {
    let mut type_name = [0; FAT32_TYPE.1.len()];
    bytes.read_at(FAT32_TYPE.0, &mut type_name)?;
    let mut serial = [0; 4];
    bytes.read_at(if type_name == *FAT32_TYPE.1 { 0x43 } else { 0x27 }, &mut serial)?;
    let engine = Engine::open(bytes)?;
    let label = engine.label()?;
    Ok(Box::new(Fat { engine, label, serial: u32::from_le_bytes(serial) }))
}

impl FileSystem for Fat {
    fn kind(&self) -> &'static str {
        "fat"
    }

    fn label(&self) -> &[u8] {
        &self.label
    }

    fn uuid(&self) -> String {
        format!("{:04X}-{:04X}", self.serial >> 16, self.serial & 0xffff)
    }

    /// The width of the table's entries is all that there is.
    fn features(&self) -> Vec<String> {
        let name = match self.engine.fat_type() {
            fat::FatType::Fat12 => "fat12",
            fat::FatType::Fat16 => "fat16",
            fat::FatType::Fat32 => "fat32",
        };
        vec![name.to_owned()]
    }

    fn examine(&self, _progress: &dyn Fn(u64, u64)) -> Result<Option<Checked>> {
        Ok(Some(Checked { findings: self.engine.check()?, not_checked: Vec::new() }))
    }

    fn block_size_bytes(&self) -> u32 {
        self.engine.cluster_size_bytes()
    }

    fn free_space(&self) -> Result<FreeSpace> {
        let block_size_bytes = self.block_size_bytes();
        Ok(FreeSpace {
            block_size_bytes,
            free_blocks: self.engine.free_bytes()? / u64::from(block_size_bytes),
            blocks: self.engine.size_bytes() / u64::from(block_size_bytes),
            free_inodes: None,
        })
    }

    fn is_unix(&self) -> bool {
        false
    }

    fn root(&self) -> Node {
        Node::Names(Vec::new())
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>> {
        let names = directory.joined(name);
        match self.engine.metadata(&names) {
            Ok(metadata) => Ok(Some((Node::Names(names), kind(metadata.kind)))),
            // No file has a name that FAT cannot have.
            Err(fat::Error::NotFound { .. } | fat::Error::InvalidName { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the guest would show: root's files, with the mode that mount gives them.
    fn metadata(&self, node: &Node) -> Result<Metadata> {
        let metadata = self.engine.metadata(node.names())?;
        let modified = Time { seconds: metadata.modified.seconds, nanoseconds: metadata.modified.nanoseconds };
        Ok(Metadata {
            kind: kind(metadata.kind),
            permissions: if metadata.read_only { 0o555 } else { 0o755 },
            uid: 0,
            gid: 0,
            size_bytes: metadata.size_bytes,
            links: 1,
            accessed: modified,
            modified,
            changed: modified,
            device: None,
        })
    }

    fn children(&self, directory: &Node) -> Result<Vec<Child>> {
        let child = |entry: fat::DirectoryEntry| {
            let name = entry.name.into_bytes();
            Child { node: Node::Names(directory.joined(&name)), name, kind: kind(entry.metadata.kind) }
        };
        Ok(self.engine.read_directory(directory.names())?.into_iter().map(child).collect())
    }

    fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.engine.read_file_at(file.names(), offset, buffer)?)
    }

    fn folded(&self, name: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(name) {
            Ok(text) => text.to_lowercase().into_bytes(),
            Err(_) => name.to_ascii_lowercase(),
        }
    }

    fn read_only(&self) -> Option<String> {
        None
    }

    fn refuse(&self, what: &str) -> FileSystemError {
        fat::Error::Unsupported { feature: format!("{what} on a FAT") }.into()
    }

    fn create_file(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        Ok(self.engine.create_file(&parent.joined(name), time(attributes.modified), size_bytes, content)?)
    }

    fn create_directory(&mut self, parent: &Node, name: &[u8], attributes: &Attributes) -> Result<()> {
        Ok(self.engine.create_directory(&parent.joined(name), time(attributes.modified))?)
    }

    fn remove_file(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        Ok(self.engine.remove_file(&parent.joined(name))?)
    }

    fn remove_tree(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        // Directories come before what is in them, and go after it. Each has a cluster of its own.
        let clusters = self.engine.size_bytes() / u64::from(self.engine.cluster_size_bytes());
        let mut pending = vec![parent.joined(name)];
        let mut directories = Vec::new();
        while let Some(path) = pending.pop() {
            if directories.len() as u64 > clusters {
                let (object, problem) = ("the directories".to_owned(), "they go in a circle".to_owned());
                return Err(fat::Error::Corrupt { object, problem }.into());
            }
            if self.engine.metadata(&path)?.kind == fat::FileKind::Regular {
                self.engine.remove_file(&path)?;
                continue;
            }
            for entry in self.engine.read_directory(&path)? {
                pending.push([&path[..], &[entry.name.into_bytes()]].concat());
            }
            directories.push(path);
        }
        for path in directories.iter().rev() {
            self.engine.remove_directory(path)?;
        }
        Ok(())
    }

    fn replace_content(&mut self, file: &Node, content: &[u8], modified: Time) -> Result<()> {
        Ok(self.engine.replace_file(file.names(), time(modified), content.len() as u64, &mut &*content)?)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.engine.flush()?)
    }

    fn account(
        &self,
        image: &dyn FileSystem,
        within: &[Range<u64>],
        explanation: &Explanation<'_>,
    ) -> Result<Option<Accounted>> {
        let Some(image) = image.of::<Self>() else { return Ok(None) };
        Ok(Some(account::account(self, image, within, explanation)?))
    }
}

fn time(time: Time) -> fat::Time {
    fat::Time { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

fn kind(kind: fat::FileKind) -> FileKind {
    match kind {
        fat::FileKind::Regular => FileKind::Regular,
        fat::FileKind::Directory => FileKind::Directory,
    }
}

impl From<fat::Error> for FileSystemError {
    fn from(error: fat::Error) -> Self {
        use fat::Error;
        let problem = match &error {
            Error::Storage(error) => FileSystemProblem::of_storage(error),
            Error::Corrupt { object, problem } => FileSystemProblem::Damaged(Finding::new(object, problem)),
            Error::Unsupported { feature } => FileSystemProblem::Unsupported { feature: feature.clone() },
            Error::NoSpace { .. } => FileSystemProblem::NoSpace(None),
            Error::NotFound { .. } => FileSystemProblem::NotFound,
            Error::NotADirectory { .. } => FileSystemProblem::NotADirectory,
            Error::IsADirectory { .. } => FileSystemProblem::IsADirectory,
            Error::Exists { .. } => FileSystemProblem::Exists,
            Error::NotEmpty { .. } => FileSystemProblem::NotEmpty,
            Error::InvalidName { .. } => FileSystemProblem::BadName,
            Error::TooLarge { .. } => FileSystemProblem::TooLarge,
            Error::Content(_) => FileSystemProblem::Content,
        };
        Self::new(problem, error)
    }
}
