//! Edits as values: what the model says of one, and what the engine does with it.

use std::ops::Range;
use std::sync::Arc;

use ext4::{Attributes, Error, FileSystem, InodeNumber, Special, Times};
use storage::{Extent, ExtentKind, ReadAt, WriteAt};

use crate::content::{Content, Pattern};
use crate::tree::{Kind, Name, Object, Path, Place, Tree};
use crate::xattr::{Acl, MAX_VALUE_BYTES, may_have};

/// Device numbers end here.
const MAJOR_END: u32 = 1 << 12;
const MINOR_END: u32 = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    CreateFile {
        at: Place,
        content: Pattern,
        attributes: Attributes,
    },
    CreateFileFrom {
        at: Place,
        content: Source,
        attributes: Attributes,
    },
    CreateDirectory {
        at: Place,
        attributes: Attributes,
    },
    CreateSymlink {
        at: Place,
        target: Vec<u8>,
        attributes: Attributes,
    },
    CreateSpecial {
        at: Place,
        special: Special,
        attributes: Attributes,
    },
    WriteFileAt {
        path: Path,
        offset: u64,
        content: Pattern,
    },
    Truncate {
        path: Path,
        size_bytes: u64,
    },
    PunchHole {
        path: Path,
        range: Range<u64>,
    },
    Preallocate {
        path: Path,
        range: Range<u64>,
    },
    Link {
        path: Path,
        at: Place,
    },
    Rename {
        from: Place,
        to: Place,
    },
    RemoveFile {
        at: Place,
    },
    RemoveDirectory {
        at: Place,
    },
    RemoveTree {
        at: Place,
    },
    SetAttributes {
        path: Path,
        attributes: Attributes,
    },
    SetTimes {
        path: Path,
        times: Times,
    },
    SetXattr {
        path: Path,
        name: Name,
        value: Pattern,
    },
    SetAcl {
        path: Path,
        acl: Acl,
    },
    RemoveXattr {
        path: Path,
        name: Name,
    },
    /// The changes are flushed, and the file system is opened again.
    Reopen,
}

/// Why an operation is to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    BadName,
    Exists,
    IntoItself,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
    TooLarge,
    Unsupported,
}

impl Refusal {
    pub(crate) fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::BadName => Self::BadName,
            Error::Exists { .. } => Self::Exists,
            Error::IntoItself(_) => Self::IntoItself,
            Error::IsADirectory(_) => Self::IsADirectory,
            Error::NotADirectory(_) => Self::NotADirectory,
            Error::NotEmpty(_) => Self::NotEmpty,
            Error::NotFound => Self::NotFound,
            Error::TooLarge { .. } => Self::TooLarge,
            Error::Unsupported { .. } => Self::Unsupported,
            _ => return None,
        })
    }
}

/// What a file is created from: a size, and parts that have content.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) size_bytes: u64,
    /// In order, apart from each other, each with its offset.
    pub(crate) parts: Vec<(u64, Pattern)>,
}

impl Source {
    fn content(&self) -> Content {
        let mut content = Content::default();
        for (offset, part) in &self.parts {
            content.write(*offset, &part.bytes());
        }
        content.resize(self.size_bytes);
        content
    }
}

impl ReadAt for Source {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> storage::Result<()> {
        storage::check_range(storage::Operation::Read, offset, buffer.len() as u64, self.size_bytes)?;
        buffer.fill(0);
        for (first, part) in &self.parts {
            let both = offset.max(*first)..(offset + buffer.len() as u64).min(first + part.length_bytes);
            if !both.is_empty() {
                let bytes = &part.bytes()[(both.start - first) as usize..(both.end - first) as usize];
                buffer[(both.start - offset) as usize..][..bytes.len()].copy_from_slice(bytes);
            }
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> storage::Result<Extent> {
        storage::check_range(storage::Operation::Read, offset, 1, self.size_bytes)?;
        for (first, part) in &self.parts {
            if offset < *first {
                return Ok(Extent { kind: ExtentKind::Zero, length_bytes: first - offset });
            }
            if offset < first + part.length_bytes {
                return Ok(Extent { kind: ExtentKind::Data, length_bytes: first + part.length_bytes - offset });
            }
        }
        Ok(Extent { kind: ExtentKind::Zero, length_bytes: self.size_bytes - offset })
    }
}

impl Operation {
    /// What the file system has to say to it, space aside; `None` where the operation cannot be asked
    /// for, because what it is about is not there.
    pub(crate) fn predict(&self, tree: &Tree) -> Option<Result<(), Refusal>> {
        Some(match self {
            Self::CreateFile { at, .. } | Self::CreateFileFrom { at, .. } | Self::CreateDirectory { at, .. } => {
                new_name(tree, at)?
            }
            Self::CreateSymlink { at, target, .. } => new_name(tree, at)?.and_then(|()| {
                let fits = (1..=tree.limits.target_bytes()).contains(&(target.len() as u64));
                refuse_unless(fits && !target.contains(&0), Refusal::TooLarge)
            }),
            Self::CreateSpecial { at, special, .. } => new_name(tree, at)?.and_then(|()| match special {
                Special::CharDevice { major, minor } | Special::BlockDevice { major, minor } => {
                    refuse_unless(*major < MAJOR_END && *minor < MINOR_END, Refusal::TooLarge)
                }
                Special::Fifo | Special::Socket => Ok(()),
            }),
            Self::WriteFileAt { path, offset, content } => file(tree, path)?.and_then(|_| {
                let end = offset + content.length_bytes;
                refuse_unless(content.length_bytes == 0 || end <= tree.limits.file_bytes(), Refusal::TooLarge)
            }),
            Self::Truncate { path, size_bytes } => file(tree, path)?
                .and_then(|_| refuse_unless(*size_bytes <= tree.limits.file_bytes(), Refusal::TooLarge)),
            Self::PunchHole { path, .. } => file(tree, path)?.map(|_| ()),
            Self::Preallocate { path, range } => file(tree, path)?.and_then(|_| {
                refuse_unless(tree.limits.extents || range.is_empty(), Refusal::Unsupported)?;
                refuse_unless(range.is_empty() || range.end <= tree.limits.file_bytes(), Refusal::TooLarge)
            }),
            Self::Link { path, at } => {
                let object = &tree.objects[&tree.find(path)?];
                new_name(tree, at)?.and_then(|()| refuse_unless(!object.is_directory(), Refusal::IsADirectory))
            }
            Self::Rename { from, to } => predict_rename(tree, from, to)?,
            Self::RemoveFile { at } => {
                named(tree, at)?.and_then(|object| refuse_unless(!object.is_directory(), Refusal::IsADirectory))
            }
            Self::RemoveDirectory { at } => named(tree, at)?.and_then(|object| match &object.kind {
                Kind::Directory { names, .. } => refuse_unless(names.is_empty(), Refusal::NotEmpty),
                _ => Err(Refusal::NotADirectory),
            }),
            Self::RemoveTree { at } => named(tree, at)?.map(|_| ()),
            Self::SetAttributes { path, .. } | Self::SetTimes { path, .. } => tree.find(path).map(|_| Ok(()))?,
            Self::SetXattr { path, name, value } => {
                let allowed = may_have(&tree.objects[&tree.find(path)?], &name.0);
                refuse_unless(allowed, Refusal::Unsupported)
                    .and_then(|()| refuse_unless(value.length_bytes <= MAX_VALUE_BYTES, Refusal::TooLarge))
            }
            Self::SetAcl { path, acl } => {
                let allowed = may_have(&tree.objects[&tree.find(path)?], acl.name());
                refuse_unless(allowed, Refusal::Unsupported)
            }
            Self::RemoveXattr { path, name } => {
                let had = tree.objects[&tree.find(path)?].xattrs.contains_key(&name.0);
                refuse_unless(had, Refusal::NotFound)
            }
            Self::Reopen => Ok(()),
        })
    }

    /// Whether there may be no room for it in an inode and a block of attributes. How they are placed is
    /// the engine's affair, but what fits the block alone has room.
    pub(crate) fn may_be_too_large(&self, tree: &Tree) -> bool {
        let (path, name, length) = match self {
            Self::SetXattr { path, name, value } => (path, &name.0[..], value.length_bytes as usize),
            Self::SetAcl { path, acl } => (path, acl.name(), acl.value().len()),
            _ => return false,
        };
        let others = tree.object(path).xattrs.iter().filter(|(other, _)| *other != name);
        let sizes = others.map(|(name, value)| (name.len(), value.len())).chain([(name.len(), length)]);
        // An entry is 16 bytes, and it and its value are rounded up to 4; header and end take 36.
        let all: usize = sizes.map(|(name, value)| 16 + name + 3 + value + 3).sum();
        all + 36 > tree.limits.block_bytes as usize
    }

    /// Makes the change in the model, where nothing is to be said against it.
    pub(crate) fn carry_out(&self, tree: &mut Tree) {
        let limits = tree.limits;
        match self {
            Self::CreateFile { at, content, attributes } => {
                let mut bytes = Content::default();
                bytes.write(0, &content.bytes());
                tree.create(at, Kind::File(bytes), attributes);
            }
            Self::CreateFileFrom { at, content, attributes } => {
                tree.create(at, Kind::File(content.content()), attributes);
            }
            Self::CreateDirectory { at, attributes } => {
                let kind = Kind::Directory { names: std::collections::BTreeMap::new(), parent: 0 };
                tree.create(at, kind, attributes);
            }
            Self::CreateSymlink { at, target, attributes } => {
                tree.create(at, Kind::Symlink(target.clone()), attributes);
            }
            Self::CreateSpecial { at, special, attributes } => tree.create(at, Kind::Special(*special), attributes),
            Self::WriteFileAt { path, offset, content } => {
                if content.length_bytes > 0 {
                    content_mut(tree, path).write(*offset, &content.bytes());
                }
            }
            Self::Truncate { path, size_bytes } => content_mut(tree, path).resize(*size_bytes),
            Self::PunchHole { path, range } => content_mut(tree, path).zero(range.clone()),
            Self::Preallocate { path, range } => {
                let content = content_mut(tree, path);
                if !range.is_empty() && range.end > content.size_bytes() {
                    content.resize(range.end);
                }
            }
            Self::Link { path, at } => {
                let id = tree.find(path).unwrap();
                tree.link(id, at);
            }
            Self::Rename { from, to } => tree.rename(from, to),
            Self::RemoveFile { at } | Self::RemoveDirectory { at } | Self::RemoveTree { at } => tree.remove(at),
            Self::SetAttributes { path, attributes } => {
                let time = limits.kept(attributes.modified);
                let object = tree.object_mut(path);
                (object.permissions, object.uid, object.gid) = (attributes.permissions, attributes.uid, attributes.gid);
                (object.accessed, object.modified, object.changed) = (time, time, time);
            }
            Self::SetTimes { path, times } => {
                let object = tree.object_mut(path);
                for (kept, new) in [
                    (&mut object.accessed, times.accessed),
                    (&mut object.modified, times.modified),
                    (&mut object.changed, times.changed),
                ] {
                    *kept = new.map_or(*kept, |time| limits.kept(time));
                }
            }
            Self::SetXattr { path, name, value } => {
                tree.object_mut(path).xattrs.insert(name.0.clone(), value.xattr(&name.0));
            }
            Self::SetAcl { path, acl } => {
                let object = tree.object_mut(path);
                if !acl.is_default {
                    object.permissions = object.permissions & !0o777 | acl.mode_bits();
                }
                if acl.is_default || acl.named.is_some() {
                    object.xattrs.insert(acl.name().to_vec(), acl.value());
                } else {
                    object.xattrs.remove(acl.name());
                }
            }
            Self::RemoveXattr { path, name } => {
                tree.object_mut(path).xattrs.remove(&name.0);
            }
            Self::Reopen => {}
        }
    }

    /// Has the engine make the change.
    pub(crate) fn apply<S: WriteAt>(&self, filesystem: &mut FileSystem<S>) -> ext4::Result<()> {
        let directory = |filesystem: &FileSystem<S>, at: &Place| resolve(filesystem, &at.parent);
        match self {
            Self::CreateFile { at, content, attributes } => {
                let parent = directory(filesystem, at);
                let bytes = content.bytes();
                filesystem
                    .create_file(parent, &at.name.0, attributes, content.length_bytes, &mut &bytes[..])
                    .map(|_| ())
            }
            Self::CreateFileFrom { at, content, attributes } => {
                let parent = directory(filesystem, at);
                let source: Arc<dyn ReadAt> = Arc::new(content.clone());
                filesystem.create_file_from(parent, &at.name.0, attributes, &source).map(|_| ())
            }
            Self::CreateDirectory { at, attributes } => {
                filesystem.create_directory(directory(filesystem, at), &at.name.0, attributes).map(|_| ())
            }
            Self::CreateSymlink { at, target, attributes } => {
                filesystem.create_symlink(directory(filesystem, at), &at.name.0, target, attributes).map(|_| ())
            }
            Self::CreateSpecial { at, special, attributes } => {
                filesystem.create_special(directory(filesystem, at), &at.name.0, *special, attributes).map(|_| ())
            }
            Self::WriteFileAt { path, offset, content } => {
                filesystem.write_file_at(resolve(filesystem, path), *offset, &content.bytes())
            }
            Self::Truncate { path, size_bytes } => filesystem.truncate(resolve(filesystem, path), *size_bytes),
            Self::PunchHole { path, range } => filesystem.punch_hole(resolve(filesystem, path), range.clone()),
            Self::Preallocate { path, range } => filesystem.preallocate(resolve(filesystem, path), range.clone()),
            Self::Link { path, at } => {
                filesystem.link(resolve(filesystem, path), directory(filesystem, at), &at.name.0)
            }
            Self::Rename { from, to } => {
                let (from_parent, to_parent) = (directory(filesystem, from), directory(filesystem, to));
                filesystem.rename(from_parent, &from.name.0, to_parent, &to.name.0)
            }
            Self::RemoveFile { at } => filesystem.remove_file(directory(filesystem, at), &at.name.0),
            Self::RemoveDirectory { at } => filesystem.remove_directory(directory(filesystem, at), &at.name.0),
            Self::RemoveTree { at } => filesystem.remove_tree(directory(filesystem, at), &at.name.0),
            Self::SetAttributes { path, attributes } => {
                filesystem.set_attributes(resolve(filesystem, path), attributes)
            }
            Self::SetTimes { path, times } => filesystem.set_times(resolve(filesystem, path), times),
            Self::SetXattr { path, name, value } => {
                filesystem.set_xattr(resolve(filesystem, path), &name.0, &value.xattr(&name.0))
            }
            Self::SetAcl { path, acl } => filesystem.set_xattr(resolve(filesystem, path), acl.name(), &acl.value()),
            Self::RemoveXattr { path, name } => filesystem.remove_xattr(resolve(filesystem, path), &name.0),
            Self::Reopen => filesystem.flush(),
        }
    }

    /// The most blocks that it could possibly need, by a generous estimate: with more than that free
    /// there is no reason to refuse it.
    pub(crate) fn blocks_at_most(&self, limits: &crate::tree::Limits) -> u64 {
        let content = match self {
            Self::CreateFile { content, .. } | Self::WriteFileAt { content, .. } => content.length_bytes,
            Self::CreateFileFrom { content, .. } => {
                content.parts.iter().map(|(_, part)| part.length_bytes + 2 * limits.block_bytes).sum()
            }
            Self::Preallocate { range, .. } => range.end - range.start,
            Self::SetXattr { value, .. } => value.length_bytes,
            _ => 0,
        };
        let blocks = content / limits.block_bytes + 2;
        // The largest map is one of pointers, of which each block of content may need its own three.
        blocks + blocks / 16 + 100
    }
}

pub(crate) fn resolve<S: WriteAt>(filesystem: &FileSystem<S>, path: &Path) -> InodeNumber {
    path.0.iter().fold(InodeNumber::ROOT, |parent, name| {
        let found = filesystem.lookup(parent, &name.0).unwrap_or_else(|error| panic!("looking for {path:?}: {error}"));
        found.unwrap_or_else(|| panic!("{path:?} is gone"))
    })
}

fn refuse_unless(fine: bool, refusal: Refusal) -> Result<(), Refusal> {
    if fine { Ok(()) } else { Err(refusal) }
}

/// The directory that a name is to be in, which is there.
fn parent(tree: &Tree, place: &Place) -> Option<()> {
    tree.names(tree.find(&place.parent)?).map(|_| ())
}

fn new_name(tree: &Tree, place: &Place) -> Option<Result<(), Refusal>> {
    parent(tree, place)?;
    if !place.name.is_good() {
        return Some(Err(Refusal::BadName));
    }
    Some(refuse_unless(tree.find_place(place).is_none(), Refusal::Exists))
}

fn named<'a>(tree: &'a Tree, place: &Place) -> Option<Result<&'a Object, Refusal>> {
    parent(tree, place)?;
    if !place.name.is_good() {
        return Some(Err(Refusal::BadName));
    }
    Some(tree.find_place(place).map(|id| &tree.objects[&id]).ok_or(Refusal::NotFound))
}

fn file<'a>(tree: &'a Tree, path: &Path) -> Option<Result<&'a Content, Refusal>> {
    Some(match &tree.objects[&tree.find(path)?].kind {
        Kind::File(content) => Ok(content),
        Kind::Directory { .. } => Err(Refusal::IsADirectory),
        Kind::Symlink(_) | Kind::Special(_) => Err(Refusal::Unsupported),
    })
}

fn content_mut<'a>(tree: &'a mut Tree, path: &Path) -> &'a mut Content {
    match &mut tree.object_mut(path).kind {
        Kind::File(content) => content,
        _ => panic!("{path:?} is no file"),
    }
}

fn predict_rename(tree: &Tree, from: &Place, to: &Place) -> Option<Result<(), Refusal>> {
    parent(tree, from)?;
    parent(tree, to)?;
    if !from.name.is_good() || !to.name.is_good() {
        return Some(Err(Refusal::BadName));
    }
    let Some(id) = tree.find_place(from) else { return Some(Err(Refusal::NotFound)) };
    let replaced = tree.find_place(to);
    if replaced == Some(id) {
        return Some(Ok(()));
    }
    let object = &tree.objects[&id];
    if object.is_directory() && tree.is_within(tree.find(&to.parent)?, id) {
        return Some(Err(Refusal::IntoItself));
    }
    let Some(replaced) = replaced.map(|id| &tree.objects[&id]) else { return Some(Ok(())) };
    Some(match (&replaced.kind, object.is_directory()) {
        (Kind::Directory { .. }, false) => Err(Refusal::IsADirectory),
        (Kind::Directory { names, .. }, true) => refuse_unless(names.is_empty(), Refusal::NotEmpty),
        (_, true) => Err(Refusal::NotADirectory),
        (_, false) => Ok(()),
    })
}
