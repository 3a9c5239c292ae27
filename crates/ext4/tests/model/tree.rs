//! The tree in memory that a file system is held against.

use std::collections::BTreeMap;
use std::fmt;

use ext4::{Attributes, Special, Time};

use crate::content::Content;

/// What an inode is in the model: numbers of its own, so that nothing of the engine's is taken over.
pub(crate) type Id = u64;
pub(crate) const ROOT: Id = 0;

/// What the file system at hand can hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) block_bytes: u64,
    pub(crate) inode_bytes: u64,
    /// Whether new files have extents.
    pub(crate) extents: bool,
    pub(crate) huge_file: bool,
    /// Whether an edit may move data from an inode to a block, even one that is refused then.
    pub(crate) inline_data: bool,
}

impl Limits {
    /// How long a file can be, as Linux has it: what its map reaches, and without `huge_file` no more than
    /// 2^32 less 1 units of 512 bytes count, those with pointers included.
    pub(crate) fn file_bytes(&self) -> u64 {
        let counted = if self.huge_file { u64::MAX } else { u64::from(u32::MAX) / (self.block_bytes / 512) };
        let pointers = self.block_bytes / 4;
        let blocks = if self.extents {
            counted.min(u64::from(u32::MAX))
        } else if self.block_bytes < 4096 || self.huge_file {
            (12 + pointers + pointers.pow(2) + pointers.pow(3)).min(u64::from(u32::MAX))
        } else {
            let in_third_tree = counted - 12 - pointers - pointers.pow(2);
            let maps =
                1 + (1 + pointers) + 1 + in_third_tree.div_ceil(pointers) + in_third_tree.div_ceil(pointers.pow(2));
            counted - maps
        };
        self.block_bytes * blocks
    }

    /// How long the target of a symbolic link can be.
    pub(crate) fn target_bytes(&self) -> u64 {
        self.block_bytes.min(4096) - 1
    }

    /// A time as an inode keeps it: in 128 bytes as 32 bits of seconds, in more with two bits and
    /// nanoseconds.
    pub(crate) fn kept(&self, time: Time) -> Time {
        let (first, last) = (i64::from(i32::MIN), i64::from(i32::MAX));
        if self.inode_bytes == 128 {
            return Time { seconds: time.seconds.clamp(first, last), nanoseconds: 0 };
        }
        Time { seconds: time.seconds.clamp(first, last + (3 << 32)), ..time }
    }
}

/// Something that has a name, or several.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) accessed: Time,
    pub(crate) modified: Time,
    pub(crate) changed: Time,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many names it has, of a directory's only the one in the directory above.
    pub(crate) names: u64,
}

#[derive(Clone)]
pub(crate) enum Kind {
    File(Content),
    Symlink(Vec<u8>),
    Directory { names: BTreeMap<Name, Id>, parent: Id },
    Special(Special),
}

impl Object {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory { .. })
    }
}

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) Vec<u8>);

impl Name {
    pub(crate) fn is_good(&self) -> bool {
        let Self(name) = self;
        (1..=255).contains(&name.len()) && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Names from the root on.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<Name>);

impl Path {
    pub(crate) fn join(&self, name: &Name) -> Self {
        Self([&self.0[..], std::slice::from_ref(name)].concat())
    }

    /// As `testkit::tree` and `debugfs` have it, without a slash in front.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(|name| &name.0[..]).collect::<Vec<_>>().join(&b'/')
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// A name in a directory that is there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) parent: Path,
    pub(crate) name: Name,
}

impl Place {
    pub(crate) fn path(&self) -> Path {
        self.parent.join(&self.name)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) objects: BTreeMap<Id, Object>,
    next: Id,
    pub(crate) limits: Limits,
}

impl Tree {
    /// A tree with nothing in it but its root.
    pub(crate) fn new(limits: Limits, root: &Attributes) -> Self {
        let mut tree = Self { objects: BTreeMap::new(), next: ROOT, limits };
        tree.add(Kind::Directory { names: BTreeMap::new(), parent: ROOT }, root);
        tree
    }

    fn add(&mut self, kind: Kind, attributes: &Attributes) -> Id {
        let id = self.next;
        self.next += 1;
        let time = self.limits.kept(attributes.modified);
        let object = Object {
            kind,
            permissions: attributes.permissions,
            uid: attributes.uid,
            gid: attributes.gid,
            accessed: time,
            modified: time,
            changed: time,
            xattrs: BTreeMap::new(),
            names: 1,
        };
        self.objects.insert(id, object);
        id
    }

    pub(crate) fn find(&self, path: &Path) -> Option<Id> {
        path.0.iter().try_fold(ROOT, |at, name| self.names(at)?.get(name).copied())
    }

    /// What has the name in a directory that is there.
    pub(crate) fn find_place(&self, place: &Place) -> Option<Id> {
        self.names(self.find(&place.parent)?)?.get(&place.name).copied()
    }

    pub(crate) fn object(&self, path: &Path) -> &Object {
        &self.objects[&self.find(path).unwrap()]
    }

    pub(crate) fn object_mut(&mut self, path: &Path) -> &mut Object {
        let id = self.find(path).unwrap();
        self.objects.get_mut(&id).unwrap()
    }

    /// The names in a directory; none where it is something else.
    pub(crate) fn names(&self, directory: Id) -> Option<&BTreeMap<Name, Id>> {
        match &self.objects[&directory].kind {
            Kind::Directory { names, .. } => Some(names),
            _ => None,
        }
    }

    fn names_mut(&mut self, directory: Id) -> &mut BTreeMap<Name, Id> {
        match &mut self.objects.get_mut(&directory).unwrap().kind {
            Kind::Directory { names, .. } => names,
            _ => panic!("object {directory} is no directory"),
        }
    }

    /// Every name in the tree together with what has it, directories before what is in them.
    pub(crate) fn walk(&self, visit: &mut dyn FnMut(&Path, Id)) {
        self.walk_below(&Path::default(), ROOT, visit);
    }

    fn walk_below(&self, path: &Path, id: Id, visit: &mut dyn FnMut(&Path, Id)) {
        visit(path, id);
        for (name, below) in self.names(id).into_iter().flatten() {
            self.walk_below(&path.join(name), *below, visit);
        }
    }

    /// Where a directory is.
    pub(crate) fn path_of(&self, directory: Id) -> Path {
        let mut names = Vec::new();
        let mut at = directory;
        while at != ROOT {
            let Kind::Directory { parent, .. } = self.objects[&at].kind else { panic!("object {at} is no directory") };
            let (name, _) = self.names(parent).unwrap().iter().find(|(_, id)| **id == at).unwrap();
            names.push(name.clone());
            at = parent;
        }
        names.reverse();
        Path(names)
    }

    /// Whether `id` is `above` or somewhere below it.
    pub(crate) fn is_within(&self, id: Id, above: Id) -> bool {
        let mut at = id;
        loop {
            match self.objects[&at].kind {
                _ if at == above => return true,
                Kind::Directory { parent, .. } if at != ROOT => at = parent,
                _ => return false,
            }
        }
    }

    pub(crate) fn create(&mut self, place: &Place, kind: Kind, attributes: &Attributes) {
        let parent = self.find(&place.parent).unwrap();
        let kind = match kind {
            Kind::Directory { names, .. } => Kind::Directory { names, parent },
            other => other,
        };
        let id = self.add(kind, attributes);
        self.names_mut(parent).insert(place.name.clone(), id);
    }

    pub(crate) fn link(&mut self, id: Id, place: &Place) {
        self.objects.get_mut(&id).unwrap().names += 1;
        let parent = self.find(&place.parent).unwrap();
        self.names_mut(parent).insert(place.name.clone(), id);
    }

    /// Removes a name and, with its last one, what it names and all that is below it.
    pub(crate) fn remove(&mut self, place: &Place) {
        let parent = self.find(&place.parent).unwrap();
        let id = self.names_mut(parent).remove(&place.name).unwrap();
        self.drop_name(id);
    }

    fn drop_name(&mut self, id: Id) {
        let object = self.objects.get_mut(&id).unwrap();
        object.names -= 1;
        if object.names > 0 {
            return;
        }
        if let Kind::Directory { names, .. } = self.objects.remove(&id).unwrap().kind {
            names.into_values().for_each(|below| self.drop_name(below));
        }
    }

    /// Moves what is at `from` to `to` and drops what was there.
    pub(crate) fn rename(&mut self, from: &Place, to: &Place) {
        let (from_parent, to_parent) = (self.find(&from.parent).unwrap(), self.find(&to.parent).unwrap());
        let id = self.names(from_parent).unwrap()[&from.name];
        let replaced = self.names(to_parent).unwrap().get(&to.name).copied();
        if replaced == Some(id) {
            return;
        }
        self.names_mut(from_parent).remove(&from.name);
        self.names_mut(to_parent).insert(to.name.clone(), id);
        if let Kind::Directory { parent, .. } = &mut self.objects.get_mut(&id).unwrap().kind {
            *parent = to_parent;
        }
        replaced.into_iter().for_each(|old| self.drop_name(old));
    }
}
