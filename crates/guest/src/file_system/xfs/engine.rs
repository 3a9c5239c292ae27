//! XFS as our engine reads and edits it.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use metadata::ContentExtent;
use storage::{Finding, ReadAt};

use super::{KIND, account, features, library, shown_flags, stored_flags};
use crate::diff::{Accounted, Explanation, ranges};
use crate::file_system::{
    Bytes, Checked, Child, Extras, FileSystem, FileSystemError, FileSystemProblem, MayDiffer, NoSpace, Node, Result,
};
use crate::metadata::{Attributes, FileKind, FreeSpace, Metadata, Special, Time, Times};

pub(super) type Engine = xfs::FileSystem<Bytes>;

/// An XFS that can be edited.
struct Xfs {
    engine: Engine,
    /// XFS does not note when it was written to: the newest change of the root directory, or of what is in it.
    written: Option<Time>,
}

/// Opens an XFS, or says why it is not edited.
pub(super) fn open(bytes: Bytes) -> xfs::Result<std::result::Result<Box<dyn FileSystem>, String>> {
    let engine = Engine::open(bytes)?;
    if let Some(reason) = engine.write_refusal() {
        return Ok(Err(reason.to_owned()));
    }
    let written = newest_change(&engine).ok();
    Ok(Ok(Box::new(Xfs { engine, written })))
}

fn newest_change(engine: &Engine) -> xfs::Result<Time> {
    let root = engine.superblock().root();
    let mut newest = engine.inode(root)?.changed();
    for entry in engine.read_directory(root)? {
        newest = newest.max(engine.inode(entry.inode)?.changed());
    }
    Ok(newest)
}

pub(super) fn node(number: u64) -> Node {
    Node::Inode { tree: 0, number }
}

impl FileSystem for Xfs {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn label(&self) -> &[u8] {
        self.engine.superblock().label()
    }

    fn uuid(&self) -> String {
        partition::Uuid::from_bytes(self.engine.superblock().uuid()).to_string()
    }

    fn features(&self) -> Vec<String> {
        let superblock = self.engine.superblock();
        features(superblock.ro_compat_features(), superblock.incompat_features())
    }

    fn block_size_bytes(&self) -> u32 {
        self.engine.superblock().block_size_bytes()
    }

    fn free_space(&self) -> Result<FreeSpace> {
        Ok(FreeSpace {
            block_size_bytes: self.block_size_bytes(),
            free_blocks: self.engine.free_blocks(),
            blocks: self.engine.superblock().blocks(),
            free_inodes: None,
        })
    }

    fn is_unix(&self) -> bool {
        true
    }

    fn root(&self) -> Node {
        node(self.engine.superblock().root())
    }

    fn lookup(&self, directory: &Node, name: &[u8]) -> Result<Option<(Node, FileKind)>> {
        Ok(self.engine.lookup(directory.number(), name)?.map(|(number, kind)| (node(number), kind)))
    }

    fn metadata(&self, node: &Node) -> Result<Metadata> {
        let inode = self.engine.inode(node.number())?;
        Ok(Metadata {
            kind: inode.kind()?,
            permissions: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            size_bytes: inode.size_bytes(),
            links: inode.links(),
            accessed: inode.accessed(),
            modified: inode.modified(),
            changed: inode.changed(),
            device: inode.device(),
        })
    }

    fn children(&self, directory: &Node) -> Result<Vec<Child>> {
        let child = |entry: xfs::DirectoryEntry| {
            let kind = match entry.kind {
                Some(kind) => kind,
                None => self.engine.inode(entry.inode)?.kind()?,
            };
            Ok(Child { name: entry.name, node: node(entry.inode), kind })
        };
        self.engine.read_directory(directory.number())?.into_iter().map(child).collect()
    }

    fn read_at(&self, file: &Node, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.engine.read_file_at(file.number(), offset, buffer)?)
    }

    fn read_link(&self, link: &Node) -> Result<Vec<u8>> {
        Ok(self.engine.read_link(link.number())?)
    }

    fn xattrs(&self, node: &Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        Ok(self.engine.xattrs(node.number())?)
    }

    fn extras(&self, node: &Node) -> Result<Extras> {
        let inode = self.engine.inode(node.number())?;
        Ok(Extras { flags: shown_flags(inode.flags()), project: inode.project() })
    }

    fn read_only(&self) -> Option<String> {
        None
    }

    fn written(&self) -> Option<Time> {
        self.written
    }

    fn examine(&self, _progress: &dyn Fn(u64, u64)) -> Result<Option<Checked>> {
        // The library reads what the storage has: what is looked through has been flushed.
        Ok(Some(library::check(self.engine.storage().clone())?))
    }

    fn create_file(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        self.engine.create_file(parent.number(), name, attributes, size_bytes, content)?;
        Ok(())
    }

    fn create_file_from(
        &mut self,
        parent: &Node,
        name: &[u8],
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<()> {
        self.engine.create_file_from(parent.number(), name, attributes, source)?;
        Ok(())
    }

    fn create_directory(&mut self, parent: &Node, name: &[u8], attributes: &Attributes) -> Result<()> {
        self.engine.create_directory(parent.number(), name, attributes)?;
        Ok(())
    }

    fn create_symlink(&mut self, parent: &Node, name: &[u8], target: &[u8], attributes: &Attributes) -> Result<()> {
        self.engine.create_symlink(parent.number(), name, target, attributes)?;
        Ok(())
    }

    fn create_special(&mut self, parent: &Node, name: &[u8], special: Special, attributes: &Attributes) -> Result<()> {
        self.engine.create_special(parent.number(), name, special, attributes)?;
        Ok(())
    }

    fn link(&mut self, file: &Node, parent: &Node, name: &[u8]) -> Result<()> {
        Ok(self.engine.link(file.number(), parent.number(), name)?)
    }

    fn rename(&mut self, from: (&Node, &[u8]), to: (&Node, &[u8])) -> Result<()> {
        Ok(self.engine.rename((from.0.number(), from.1), (to.0.number(), to.1))?)
    }

    fn remove_file(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        Ok(self.engine.remove_file(parent.number(), name)?)
    }

    fn remove_tree(&mut self, parent: &Node, name: &[u8]) -> Result<()> {
        Ok(self.engine.remove_tree(parent.number(), name)?)
    }

    fn set_attributes(&mut self, node: &Node, attributes: &Attributes) -> Result<()> {
        Ok(self.engine.set_attributes(node.number(), attributes)?)
    }

    fn set_times(&mut self, node: &Node, times: &Times) -> Result<()> {
        Ok(self.engine.set_times(node.number(), times)?)
    }

    fn set_xattr(&mut self, node: &Node, name: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.engine.set_xattr(node.number(), name, value)?)
    }

    fn remove_xattr(&mut self, node: &Node, name: &[u8]) -> Result<()> {
        Ok(self.engine.remove_xattr(node.number(), name)?)
    }

    fn set_flags(&mut self, node: &Node, flags: u32) -> Result<()> {
        let before = self.engine.inode(node.number())?.flags();
        match stored_flags(before, flags) {
            Some(flags) => Ok(self.engine.set_flags(node.number(), flags)?),
            None => Err(self.refuse(&format!("one of the flags {flags:#x} of `chattr`"))),
        }
    }

    fn write_at(&mut self, file: &Node, offset: u64, data: &[u8]) -> Result<()> {
        Ok(self.engine.write_file_at(file.number(), offset, data)?)
    }

    fn truncate(&mut self, file: &Node, size_bytes: u64) -> Result<()> {
        Ok(self.engine.truncate(file.number(), size_bytes)?)
    }

    fn grow(&mut self, size_bytes: u64) -> Result<()> {
        Ok(self.engine.grow(size_bytes / u64::from(self.block_size_bytes()))?)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.engine.flush()?)
    }

    fn content_extents(&self, file: &Node) -> Result<Option<Vec<ContentExtent>>> {
        Ok(Some(self.engine.content_extents(&self.engine.inode(file.number())?)?))
    }

    fn may_differ(&self, image: &dyn FileSystem, differing: &[Range<u64>]) -> Result<Option<MayDiffer<'_>>> {
        let Some(image) = image.of::<Self>() else { return Ok(None) };
        let inodes = |engine: &Engine| {
            let superblock = engine.superblock();
            let block_bytes = u64::from(superblock.block_size_bytes());
            engine.inodes_in(&ranges::in_blocks(differing, block_bytes, superblock.blocks()))
        };
        let mut found = inodes(&self.engine)?;
        found.extend(inodes(&image.engine)?);
        Ok(Some(Box::new(move |node| found.contains(&node.number()))))
    }

    fn account(
        &self,
        image: &dyn FileSystem,
        within: &[Range<u64>],
        explanation: &Explanation<'_>,
    ) -> Result<Option<Accounted>> {
        let Some(new) = image.of::<Self>() else { return Ok(None) };
        Ok(Some(account::account(&self.engine, &new.engine, image, within, explanation)?))
    }
}

impl From<xfs::Error> for FileSystemError {
    fn from(error: xfs::Error) -> Self {
        use xfs::Error;
        let problem = match &error {
            Error::Storage(error) => FileSystemProblem::of_storage(error),
            Error::NotXfs { .. } => {
                FileSystemProblem::Damaged(Finding::new(xfs::Object::Superblock.to_string(), error.to_string()))
            }
            Error::Corrupt { object, problem } => FileSystemProblem::Damaged(Finding::new(object.to_string(), problem)),
            Error::Unsupported { object, feature } => {
                FileSystemProblem::Unsupported { feature: format!("{object}: {feature}") }
            }
            &Error::NoSpace { needed, available, block_size_bytes } => {
                let bytes = |blocks: u64| blocks.saturating_mul(u64::from(block_size_bytes));
                FileSystemProblem::NoSpace(Some(NoSpace::Bytes { needed: bytes(needed), available: bytes(available) }))
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
