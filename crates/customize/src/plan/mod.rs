//! What operations come to: every file that will be made, and whether it fits. Changes nothing.

mod put;

use std::collections::BTreeMap;
use std::fmt;

use guest::resolve::{Found, LastLink, Lookup, Tree, lookup};
use guest::{Attributes, FileKind, Guest, GuestPath, Location, Time};

use crate::error::Error;
use crate::operation::Operation;
use crate::owner::{Owner, Principal};
use crate::report::PutReport;
use crate::source::Source;
use crate::space::Needs;

/// What operations come to, in the order in which it is to be done.
#[derive(Debug)]
pub struct Plan {
    pub(crate) changes: Vec<Change>,
    puts: Vec<PutReport>,
    warnings: Vec<Warning>,
    content_bytes: u64,
}

/// How a plan is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The time that everything new gets; a source's own where this is `None`.
    pub modified: Option<Time>,
}

/// Something that will be done as asked, and may not be what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The guest mounts something over it at boot.
    HiddenAtBoot {
        /// What.
        path: GuestPath,
        /// Where something is mounted.
        mount_point: &'static str,
    },
    /// A mode was asked for where there are none.
    ModeIgnored {
        /// Where.
        path: GuestPath,
    },
}

/// One change of the guest. Paths have no symlinks before their last component.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) path: GuestPath,
    pub(crate) attributes: Attributes,
    /// Whether something that is no directory has to go first.
    pub(crate) replaces: bool,
    pub(crate) content: Content,
}

/// What a change makes.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A regular file.
    File { source: Source, size_bytes: u64 },
    /// A directory.
    Directory,
    /// A symlink.
    Symlink { target: Vec<u8> },
}

impl Plan {
    /// What `operations` come to in `guest`.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but those of carrying it out: what is missing, in the way, or too large is
    /// found here.
    pub fn new(guest: &Guest, operations: &[Operation], options: &Options) -> Result<Self, Error> {
        let mut planner = Planner::new(guest, options);
        let mut puts = Vec::new();
        for operation in operations {
            match operation {
                Operation::Put(put) => puts.push(planner.put(put)?),
            }
        }
        planner.needs.check(guest)?;
        let content_bytes = puts.iter().map(|put| put.size_bytes).sum();
        Ok(Self { changes: planner.changes, puts, warnings: planner.warnings, content_bytes })
    }

    /// What each `put` comes to.
    pub fn puts(&self) -> &[PutReport] {
        &self.puts
    }

    /// What may not be what is wanted.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The size of all files that go in, in bytes.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }
}

/// The guest as it will be, and how it becomes that.
pub(crate) struct Planner<'a> {
    pub(crate) guest: &'a Guest,
    pub(crate) options: &'a Options,
    planned: BTreeMap<GuestPath, Planned>,
    pub(crate) changes: Vec<Change>,
    pub(crate) warnings: Vec<Warning>,
    needs: Needs,
}

/// Something that is not in the guest yet.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    kind: FileKind,
    target: Vec<u8>,
    volume: usize,
    blocks: u64,
}

/// Something in the guest as it will be.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Guest(Location),
    Planned(Planned),
}

impl Node {
    pub(crate) fn kind(&self) -> FileKind {
        match self {
            Self::Guest(location) => location.kind(),
            Self::Planned(planned) => planned.kind,
        }
    }

    pub(crate) fn volume(&self) -> usize {
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

    /// What will be at `path` before this is changed.
    pub(crate) fn lookup(&self, path: &GuestPath, last: LastLink) -> Result<Lookup<Node>, Error> {
        Ok(lookup(self, path, last)?)
    }

    /// What will be at `path`, if anything is.
    pub(crate) fn find(&self, path: &GuestPath, last: LastLink) -> Result<Option<Found<Node>>, Error> {
        match self.lookup(path, last)? {
            Lookup::Found(found) => Ok(Some(found)),
            Lookup::Missing { .. } => Ok(None),
        }
    }

    /// Adds a change below the directory `parent`; `replaced` is what has to go.
    pub(crate) fn change(
        &mut self,
        parent: &Node,
        path: &GuestPath,
        attributes: Attributes,
        content: Content,
        replaced: Option<&Node>,
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
            Content::Symlink { target } => {
                planned.kind = FileKind::Symlink;
                planned.target = target.clone();
                self.needs.symlink(volume, target.len() as u64);
            }
        }
        self.planned.insert(path.clone(), planned);
        self.changes.push(Change { path: path.clone(), attributes, replaces: replaced.is_some(), content });
        Ok(())
    }

    /// Counts what goes when `node` loses a name.
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

    /// The numbers of `owner`, root's where there is none.
    pub(crate) fn numbers(&self, owner: Option<&Owner>) -> Result<(u32, u32), Error> {
        let Some(Owner { user, group }) = owner else { return Ok((0, 0)) };
        let uid = match user {
            Principal::Number(number) => *number,
            Principal::Name(name) => self.guest.user_id(name)?.ok_or_else(|| Error::UnknownName {
                what: "user",
                name: name.clone(),
                file: "/etc/passwd",
            })?,
        };
        let gid = match group {
            Principal::Number(number) => *number,
            Principal::Name(name) => self.guest.group_id(name)?.ok_or_else(|| Error::UnknownName {
                what: "group",
                name: name.clone(),
                file: "/etc/group",
            })?,
        };
        Ok((uid, gid))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HiddenAtBoot { path, mount_point } => {
                write!(f, "`{path}` will be hidden at boot: the guest mounts something over `{mount_point}`")
            }
            Self::ModeIgnored { path } => {
                write!(f, "`{path}` is on a FAT file system, which has no modes: the one asked for is not kept")
            }
        }
    }
}
