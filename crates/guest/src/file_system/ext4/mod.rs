//! ext2, ext3 and ext4 as a file system of the guest.

mod account;

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use ext4::InodeNumber;
use storage::{Finding, ReadAt};

use super::{
    Bytes, Checked, Child, ContentExtent, Extras, FileSystem, FileSystemError, FileSystemProblem, Kind, MayDiffer,
    NoSpace, Node, Result, Support,
};
use crate::diff::{Accounted, Explanation, ranges};
use crate::metadata::{Attributes, FileKind, FreeSpace, Metadata, Special, Time, Times};

/// `s_magic`.
pub(super) const KIND: Kind =
    Kind { name: "ext4", signatures: &[&[(0x438, &[0x53, 0xef])]], support: Support::Opens { open, name } };

type Engine = ext4::FileSystem<Bytes>;

/// An ext2, ext3 or ext4.
struct Ext4(Engine);

fn open(bytes: Bytes) -> Result<Box<dyn FileSystem>> {
    Ok(Box::new(Ext4(Engine::open(bytes)?)))
}

fn name(bytes: &Bytes) -> Option<&'static str> {
    ext4::Superblock::read(bytes).ok().map(|superblock| superblock.kind())
}

/// The inode that a node is.
fn inode(node: &Node) -> InodeNumber {
    // A number past 32 bits is no inode of an ext4, and neither is 0.
    InodeNumber(u32::try_from(node.number()).unwrap_or(0))
}

fn node(number: InodeNumber) -> Node {
    Node::Inode { tree: 0, number: u64::from(number.0) }
}

impl FileSystem for Ext4 {
    fn kind(&self) -> &'static str {
        self.0.superblock().kind()
    }

    fn label(&self) -> &[u8] {
        self.0.superblock().label()
    }

    fn uuid(&self) -> String {
        partition::Uuid::from_bytes(self.0.superblock().uuid()).to_string()
    }

    fn features(&self) -> Vec<String> {
        self.0.superblock().features()
    }

    fn block_size_bytes(&self) -> u32 {
        self.0.superblock().block_size_bytes()
    }

    fn free_space(&self) -> Result<FreeSpace> {
        let superblock = self.0.superblock();
        Ok(FreeSpace {
            block_size_bytes: superblock.block_size_bytes(),
            free_blocks: superblock.free_blocks(),
            blocks: superblock.blocks(),
            free_inodes: Some(superblock.free_inodes()),
        })
    }

    fn is_unix(&self) -> bool {
        true
    }

    fn root(&self) -> Node {
        node(InodeNumber::ROOT)
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>> {
        match self.0.lookup(inode(directory), name)? {
            Some(number) => Ok(Some((node(number), self.0.inode(number)?.kind()?))),
            None => Ok(None),
        }
    }

    fn metadata(&self, node: &Node) -> Result<Metadata> {
        let inode = self.0.inode(inode(node))?;
        Ok(Metadata {
            kind: inode.kind()?,
            permissions: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            size_bytes: inode.size_bytes(),
            links: u32::from(inode.links()),
            accessed: inode.accessed(),
            modified: inode.modified(),
            changed: inode.changed(),
            device: inode.device(),
        })
    }

    fn children(&self, directory: &Node) -> Result<Vec<Child>> {
        let child = |entry: ext4::DirectoryEntry| {
            let kind = match entry.kind {
                Some(kind) => kind,
                None => self.0.inode(entry.inode)?.kind()?,
            };
            Ok(Child { name: entry.name, node: node(entry.inode), kind })
        };
        self.0.read_directory(inode(directory))?.into_iter().map(child).collect()
    }

    fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.0.read_file_at(inode(file), offset, buffer)?)
    }

    fn read_link(&self, link: &Node) -> Result<Vec<u8>> {
        Ok(self.0.read_link(inode(link))?)
    }

    fn xattrs(&self, node: &Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(self.0.xattrs(inode(node))?)
    }

    fn extras(&self, node: &Node) -> Result<Extras> {
        let inode = self.0.inode(inode(node))?;
        Ok(Extras { flags: inode.visible_flags(), project: inode.project() })
    }

    fn read_only(&self) -> Option<String> {
        // Features that refuse writing are named by the engine, at the first edit.
        None
    }

    fn has_errors(&self) -> bool {
        self.0.superblock().has_errors()
    }

    fn allow_errors(&mut self) {
        self.0.allow_errors();
    }

    fn journal_replayed(&self) -> bool {
        self.0.journal_replayed()
    }

    fn has_orphans(&self) -> bool {
        self.0.has_orphans()
    }

    fn recover(&mut self) -> Result<()> {
        Ok(self.0.recover()?)
    }

    fn written(&self) -> Option<Time> {
        Some(self.0.superblock().written())
    }

    fn examine(&self, progress: &dyn Fn(u64, u64)) -> Result<Option<Checked>> {
        let ext4::Checked { findings, not_checked } = self.0.examine(progress)?;
        Ok(Some(Checked { findings, not_checked }))
    }

    fn create_file(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        self.0.create_file(inode(parent), name, attributes, size_bytes, content)?;
        Ok(())
    }

    fn create_file_from(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<()> {
        self.0.create_file_from(inode(parent), name, attributes, source)?;
        Ok(())
    }

    fn create_directory(&mut self, parent: &Node, name: &[u8], attributes: &Attributes) -> Result<()> {
        self.0.create_directory(inode(parent), name, attributes)?;
        Ok(())
    }

    fn create_symlink(&mut self, parent: &Node, name: &[u8], target: &[u8], attributes: &Attributes) -> Result<()> {
        self.0.create_symlink(inode(parent), name, target, attributes)?;
        Ok(())
    }

    fn create_special(&mut self, parent: &Node, name: &[u8], special: Special, attributes: &Attributes) -> Result<()> {
        self.0.create_special(inode(parent), name, special, attributes)?;
        Ok(())
    }

    fn link(&mut self, file: &Node, parent: &Node, name: &[u8]) -> Result<()> {
        Ok(self.0.link(inode(file), inode(parent), name)?)
    }

    fn rename(&mut self, from: (&Node, &[u8]), to: (&Node, &[u8])) -> Result<()> {
        Ok(self.0.rename(inode(from.0), from.1, inode(to.0), to.1)?)
    }

    fn remove_file(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        Ok(self.0.remove_file(inode(parent), name)?)
    }

    fn remove_tree(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        Ok(self.0.remove_tree(inode(parent), name)?)
    }

    fn set_attributes(&mut self, node: &Node, attributes: &Attributes) -> Result<()> {
        Ok(self.0.set_attributes(inode(node), attributes)?)
    }

    fn set_times(&mut self, node: &Node, times: &Times) -> Result<()> {
        Ok(self.0.set_times(inode(node), times)?)
    }

    fn set_xattr(&mut self, node: &Node, name: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0.set_xattr(inode(node), name, value)?)
    }

    fn remove_xattr(&mut self, node: &Node, name: &[u8]) -> Result<()> {
        Ok(self.0.remove_xattr(inode(node), name)?)
    }

    fn set_flags(&mut self, node: &Node, flags: u32) -> Result<()> {
        Ok(self.0.set_flags(inode(node), flags)?)
    }

    fn write_at(&mut self, file: &Node, offset: u64, data: &[u8]) -> Result<()> {
        Ok(self.0.write_file_at(inode(file), offset, data)?)
    }

    fn truncate(&mut self, file: &Node, size_bytes: u64) -> Result<()> {
        Ok(self.0.truncate(inode(file), size_bytes)?)
    }

    fn grow(&mut self, size_bytes: u64) -> Result<()> {
        Ok(self.0.grow(size_bytes / u64::from(self.block_size_bytes()))?)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush()?)
    }

    fn content_extents(&self, file: &Node) -> Result<Option<Vec<ContentExtent>>> {
        Ok(self.0.content_extents(&self.0.inode(inode(file))?)?)
    }

    fn may_differ(&self, image: &dyn FileSystem, differing: &[Range<u64>]) -> Result<Option<MayDiffer<'_>>> {
        let Some(Self(image)) = image.of() else { return Ok(None) };
        if !self.0.has_tables_of(image) {
            return Ok(None);
        }
        let inodes = |engine: &Engine| {
            let superblock = engine.superblock();
            let block_bytes = u64::from(superblock.block_size_bytes());
            engine.inodes_in(&ranges::in_blocks(differing, block_bytes, superblock.blocks()))
        };
        match (inodes(&self.0), inodes(image)) {
            (Ok(mut found), Ok(others)) => {
                found.extend(&others);
                Ok(Some(Box::new(move |node| found.contains(inode(node)))))
            }
            (Err(ext4::Error::Unsupported { .. }), _) | (_, Err(ext4::Error::Unsupported { .. })) => Ok(None),
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        }
    }

    fn differing_fields(&self, image: &dyn FileSystem) -> Vec<&'static str> {
        const TOLD: [&str; 8] = [
            "s_volume_name",
            "s_uuid",
            "s_feature_compat",
            "s_feature_incompat",
            "s_feature_ro_compat",
            "s_blocks_count_lo",
            "s_blocks_count_hi",
            "s_log_block_size",
        ];
        let Some(Self(image)) = image.of() else { return Vec::new() };
        let mut names = self.0.superblock().differing_properties(image.superblock());
        names.retain(|name| !TOLD.contains(name));
        names
    }

    fn account(
        &self,
        image: &dyn FileSystem,
        within: &[Range<u64>],
        explanation: &Explanation<'_>,
    ) -> Result<Option<Accounted>> {
        let Some(Self(new)) = image.of() else { return Ok(None) };
        Ok(Some(account::account(&self.0, new, image, within, explanation)?))
    }
}

impl From<ext4::Error> for FileSystemError {
    fn from(error: ext4::Error) -> Self {
        use ext4::{Error, Resource};
        let problem = match &error {
            Error::Storage(error) => FileSystemProblem::of_storage(error),
            Error::NotExt4 { .. } => {
                FileSystemProblem::Damaged(Finding::new(ext4::Object::Superblock.to_string(), error.to_string()))
            }
            Error::Corrupt { object, problem } => FileSystemProblem::Damaged(Finding::new(object.to_string(), problem)),
            Error::Unsupported { object, feature } => {
                FileSystemProblem::Unsupported { feature: format!("{object}: {feature}") }
            }
            Error::HasErrors { .. } => FileSystemProblem::NotedErrors,
            &Error::NoSpace { resource, needed, available, unit_bytes } => {
                let bytes = |units: u64| units.saturating_mul(u64::from(unit_bytes));
                FileSystemProblem::NoSpace(Some(match resource {
                    Resource::Inodes => NoSpace::Inodes { needed, available },
                    Resource::Blocks => NoSpace::Bytes { needed: bytes(needed), available: bytes(available) },
                }))
            }
            Error::Exists { .. } => FileSystemProblem::Exists,
            Error::NotFound => FileSystemProblem::NotFound,
            Error::NotADirectory(_) => FileSystemProblem::NotADirectory,
            Error::IsADirectory(_) => FileSystemProblem::IsADirectory,
            Error::NotEmpty(_) => FileSystemProblem::NotEmpty,
            Error::IntoItself(_) => FileSystemProblem::IntoItself,
            Error::BadName => FileSystemProblem::BadName,
            Error::TooLarge { .. } => FileSystemProblem::TooLarge,
            Error::Content(_) | Error::ContentLength { .. } => FileSystemProblem::Content,
        };
        Self::new(problem, error)
    }
}
