//! The plan of a put: every file that will be made, and whether it fits. Planning changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use guest::resolve::{Found, LastLink, Lookup, Tree, lookup};
use guest::{Attributes, FileKind, Guest, GuestPath, Location};

use super::Put;
use crate::carry_out::{Options, Warning};
use crate::error::Error;
use crate::report::PutReport;
use crate::source::Source;
use crate::space::Needs;

/// The changes that a put makes, in their order.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) report: PutReport,
    /// Directories that are made on the way.
    pub(super) parents: Vec<String>,
    pub(super) warnings: Vec<Warning>,
}

/// One change of the guest. Its path has no symlink before its last component.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) path: GuestPath,
    pub(super) attributes: Attributes,
    /// Whether a file that is not a directory has to be removed first.
    pub(super) replaces: bool,
    pub(super) content: Content,
    /// The mode to inherit from the directory with, if neither a mode nor an owner was given.
    pub(super) inherits: Option<u16>,
}

/// The file that a change makes.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A regular file.
    File { source: Source, size_bytes: u64 },
    /// A directory.
    Directory,
    /// A symlink.
    Symlink { from: PathBuf, target: Vec<u8> },
}

impl Plan {
    /// Plans `put` in `guest`.
    ///
    /// # Errors
    ///
    /// [`Error`] if something is missing, in the way or too large.
    pub(super) fn new(guest: &Guest, put: &Put, options: &Options) -> Result<Self, Error> {
        let mut planner = Planner::new(guest, options);
        let (report, parents) = planner.put(put)?;
        planner.needs.check(guest)?;
        Ok(Self { changes: planner.changes, report, parents, warnings: planner.warnings })
    }
}

/// The guest as it will be, and the changes that make it so.
pub(super) struct Planner<'a> {
    pub(super) guest: &'a Guest,
    pub(super) options: &'a Options,
    planned: BTreeMap<GuestPath, Planned>,
    pub(super) changes: Vec<Change>,
    pub(super) warnings: Vec<Warning>,
    needs: Needs,
}

/// A file that is not in the guest yet.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    kind: FileKind,
    target: Vec<u8>,
    volume: usize,
    blocks: u64,
}

/// A file of the guest as it will be.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Guest(Location),
    Planned(Planned),
}

impl Node {
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::Guest(location) => location.kind(),
            Self::Planned(planned) => planned.kind,
        }
    }

    pub(super) fn volume(&self) -> usize {
        match self {
            Self::Guest(location) => location.volume(),
            Self::Planned(planned) => planned.volume,
        }
    }
}

impl Tree for Planner<'_> {
    type Node = Node;

    fn root(&self) -> Node {
        Node::Guest(self.guest.root())
    }

    fn child(&self, parent: &Node, path: &GuestPath) -> Result<Option<Node>, guest::Error> {
        if let Some(planned) = self.planned.get(path) {
            return Ok(Some(Node::Planned(planned.clone())));
        }
        match parent {
            Node::Guest(location) => Ok(self.guest.child(location, path)?.map(Node::Guest)),
            Node::Planned(_) => Ok(None),
        }
    }

    fn kind(&self, node: &Node) -> FileKind {
        node.kind()
    }

    fn link_target(&self, node: &Node) -> Result<Vec<u8>, guest::Error> {
        match node {
            Node::Guest(location) => self.guest.link_target(location),
            Node::Planned(planned) => Ok(planned.target.clone()),
        }
    }
}

impl<'a> Planner<'a> {
    fn new(guest: &'a Guest, options: &'a Options) -> Self {
        Self {
            guest,
            options,
            planned: BTreeMap::new(),
            changes: Vec::new(),
            warnings: Vec::new(),
            needs: Needs::default(),
        }
    }

    /// Looks up `path` in the guest as it will be.
    pub(super) fn lookup(&self, path: &GuestPath, last: LastLink) -> Result<Lookup<Node>, Error> {
        Ok(lookup(self, path, last)?)
    }

    /// The file that will be at `path`, if any.
    pub(super) fn find(&self, path: &GuestPath, last: LastLink) -> Result<Option<Found<Node>>, Error> {
        match self.lookup(path, last)? {
            Lookup::Found(found) => Ok(Some(found)),
            Lookup::Missing { .. } => Ok(None),
        }
    }

    /// Adds a change below the directory `parent`. `replaced` is the file that has to be removed.
    pub(super) fn change(
        &mut self,
        parent: &Node,
        path: &GuestPath,
        attributes: Attributes,
        content: Content,
        replaced: Option<&Node>,
        inherits: Option<u16>,
    ) -> Result<(), Error> {
        let volume = parent.volume();
        let block_size_bytes = self.block_size_bytes(volume);
        if let Some(replaced) = replaced {
            self.free(replaced, block_size_bytes)?;
        } else {
            self.needs.entry(volume, path);
        }
        let mut planned = Planned { kind: FileKind::Directory, target: Vec::new(), volume, blocks: 0 };
        match &content {
            Content::File { size_bytes, .. } => {
                planned.kind = FileKind::Regular;
                planned.blocks = size_bytes.div_ceil(u64::from(block_size_bytes));
                self.needs.file(volume, *size_bytes, block_size_bytes);
            }
            Content::Directory => self.needs.directory(volume, path),
            Content::Symlink { target, .. } => {
                planned.kind = FileKind::Symlink;
                planned.target = target.clone();
                self.needs.symlink(volume, target.len() as u64);
            }
        }
        self.planned.insert(path.clone(), planned);
        self.changes.push(Change { path: path.clone(), attributes, replaces: replaced.is_some(), content, inherits });
        Ok(())
    }

    /// Counts the space that is freed when `node` loses a name.
    fn free(&mut self, node: &Node, block_size_bytes: u32) -> Result<(), Error> {
        match node {
            Node::Planned(planned) => self.needs.freed(planned.volume, planned.blocks),
            Node::Guest(location) => {
                let metadata = self.guest.metadata(location)?;
                if metadata.links <= 1 {
                    let has_content = metadata.kind == FileKind::Regular;
                    let blocks = metadata.size_bytes.div_ceil(u64::from(block_size_bytes));
                    self.needs.freed(location.volume(), if has_content { blocks } else { 0 });
                }
            }
        }
        Ok(())
    }

    fn block_size_bytes(&self, volume: usize) -> u32 {
        let file_system = self.guest.volumes()[volume].file_system();
        file_system
            .map(guest::FileSystem::block_size_bytes)
            .unwrap_or_else(|| unreachable!("files are on file systems"))
    }
}
