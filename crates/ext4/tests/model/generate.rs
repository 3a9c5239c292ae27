//! Random operations: mostly such that can be done, on what is there, and now and then one that cannot.

use std::collections::BTreeMap;

use ext4::{Attributes, Special, Time, Times};

use crate::content::Pattern;
use crate::operation::{Operation, Source};
use crate::support::Random;
use crate::tree::{Id, Kind, Name, Path, Place, ROOT, Tree};
use crate::xattr::Acl;

/// With more names than this, more are removed than made.
const NAMES_AT_MOST: usize = 600;

type Maker = fn(&mut Generator<'_>) -> Option<Operation>;

const WEIGHTS: &[(u64, Maker)] = &[
    (18, |generator| generator.create_file()),
    (5, |generator| generator.create_file_from()),
    (7, |generator| generator.create_directory()),
    (6, |generator| generator.create_symlink()),
    (4, |generator| generator.create_special()),
    (14, |generator| generator.write_file_at()),
    (7, |generator| generator.truncate()),
    (6, |generator| generator.punch_hole()),
    (5, |generator| generator.preallocate()),
    (5, |generator| generator.link()),
    (12, |generator| generator.rename()),
    (9, |generator| generator.remove_file()),
    (3, |generator| generator.remove_directory()),
    (1, |generator| generator.remove_tree()),
    (5, |generator| generator.set_attributes()),
    (3, |generator| generator.set_times()),
    (7, |generator| generator.set_xattr()),
    (2, |generator| generator.set_acl()),
    (3, |generator| generator.remove_xattr()),
    (1, |generator| generator.nonsense()),
];

const REMOVING: &[(u64, Maker)] = &[
    (30, |generator| generator.remove_file()),
    (10, |generator| generator.remove_directory()),
    (2, |generator| generator.remove_tree()),
];

pub(crate) struct Generator<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) tree: &'a Tree,
}

impl Random {
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}

impl Generator<'_> {
    pub(crate) fn operation(&mut self) -> Operation {
        if self.random.below(400) == 0 {
            return Operation::Reopen;
        }
        loop {
            let names: usize = self.directories().iter().map(|id| self.names(*id).len()).sum();
            let crowded = names > NAMES_AT_MOST && self.random.percent(60);
            let weights = if crowded { REMOVING } else { WEIGHTS };
            let mut number = self.random.below(weights.iter().map(|(weight, _)| weight).sum());
            for (weight, make) in weights {
                match number.checked_sub(*weight) {
                    Some(left) => number = left,
                    None => match make(self) {
                        Some(operation) => return operation,
                        None => break,
                    },
                }
            }
        }
    }

    fn names(&self, directory: Id) -> &BTreeMap<Name, Id> {
        self.tree.names(directory).unwrap()
    }

    fn directories(&self) -> Vec<Id> {
        let directories = self.tree.objects.iter().filter(|(_, object)| object.is_directory());
        directories.map(|(id, _)| *id).collect()
    }

    /// The root is as likely as a third of all: it is to grow an index.
    fn directory(&mut self) -> Id {
        let all = self.directories();
        if self.random.percent(35) { ROOT } else { *self.random.pick(&all).unwrap() }
    }

    /// A name that is there, of a directory or of something else.
    fn place(&mut self, of_directory: bool) -> Option<Place> {
        let fits = |(_, id): &(&Name, &Id)| self.tree.objects[id].is_directory() == of_directory;
        let count = |directory: &Id| self.names(*directory).iter().filter(fits).count() as u64;
        let counts: Vec<(Id, u64)> = self.directories().into_iter().map(|id| (id, count(&id))).collect();
        let all = counts.iter().map(|(_, count)| count).sum();
        let mut number = self.random.below(all);
        let (directory, _) = counts.into_iter().find(|(_, count)| {
            let here = number < *count;
            number = if here { number } else { number - count };
            here
        })?;
        let fits = |(_, id): &(&Name, &Id)| self.tree.objects[id].is_directory() == of_directory;
        let (name, _) = self.names(directory).iter().filter(fits).nth(number as usize)?;
        Some(Place { parent: self.tree.path_of(directory), name: name.clone() })
    }

    fn any_place(&mut self) -> Option<Place> {
        let of_directory = self.random.percent(25);
        self.place(of_directory)
    }

    /// A regular file, and how long it is; now and then something else.
    fn file(&mut self) -> Option<(Path, u64)> {
        for _ in 0..20 {
            let path = self.any_place()?.path();
            match &self.tree.object(&path).kind {
                Kind::File(content) => return Some((path, content.size_bytes())),
                _ if self.random.below(200) == 0 => return Some((path, 0)),
                _ => {}
            }
        }
        None
    }

    /// A place for something new, mostly one that is free.
    fn new_place(&mut self) -> Place {
        if self.random.percent(4)
            && let Some(taken) = self.any_place()
        {
            return taken;
        }
        let directory = self.directory();
        Place { parent: self.tree.path_of(directory), name: self.name() }
    }

    fn name(&mut self) -> Name {
        let length = match self.random.below(20) {
            0 | 1 => 200 + self.random.below(56),
            2 => 255,
            3 => 1,
            _ => 4 + self.random.below(30),
        };
        // Bytes from 0x80 on are where signed and unsigned hashes differ; not all of it is UTF-8.
        let alphabet =
            if self.random.percent(30) { &b"abcdefghijklmnop\xc3\xa4\xff\x80-_."[..] } else { b"0123456789abcdef" };
        let bytes: Vec<u8> = (0..length).map(|_| *self.random.pick(alphabet).unwrap()).collect();
        if bytes.iter().all(|byte| *byte == b'.') { Name(b"dots".to_vec()) } else { Name(bytes) }
    }

    fn time(&mut self) -> Time {
        let seconds = match self.random.below(10) {
            0 => -(self.random.below(1 << 31) as i64),
            1 => (1 << 31) + self.random.below(1 << 33) as i64,
            2 => i64::from(i32::MAX) + self.random.below(2) as i64,
            3 => (1 << 35) * if self.random.percent(50) { 1 } else { -1 },
            _ => 1_500_000_000 + self.random.below(100_000_000) as i64,
        };
        Time { seconds, nanoseconds: if self.random.percent(50) { 0 } else { self.random.below(1_000_000_000) as u32 } }
    }

    fn attributes(&mut self) -> Attributes {
        Attributes {
            permissions: self.random.below(0o10000) as u16,
            uid: self.random.below(200_000) as u32,
            gid: self.random.below(200_000) as u32,
            modified: self.time(),
        }
    }

    fn length(&mut self) -> u64 {
        match self.random.below(20) {
            0 | 1 => 0,
            2 | 3 => self.tree.limits.block_bytes * (1 + self.random.below(20)),
            4 | 5 => self.random.below(400_000),
            6 => self.random.below(60),
            _ => self.random.below(6000),
        }
    }

    fn pattern(&mut self, length_bytes: u64) -> Pattern {
        Pattern { seed: 1 + self.random.below(1 << 30), length_bytes }
    }

    /// An offset in or behind a file of `size` bytes.
    fn offset(&mut self, size: u64) -> u64 {
        let block = self.tree.limits.block_bytes;
        match self.random.below(40) {
            0..=7 => size,
            8..=12 => size + self.random.below(100_000),
            13 => size + self.random.below(6 << 30),
            14 if size > 1 << 20 => (size - self.random.below(1 << 20)) / block * block,
            15..=24 => self.random.below(size + 1) / block * block,
            _ => self.random.below(size + 1),
        }
    }

    fn create_file(&mut self) -> Option<Operation> {
        let length = self.length();
        Some(Operation::CreateFile {
            at: self.new_place(),
            content: self.pattern(length),
            attributes: self.attributes(),
        })
    }

    fn create_file_from(&mut self) -> Option<Operation> {
        let mut source = Source { size_bytes: 0, parts: Vec::new() };
        for _ in 0..self.random.below(12) {
            let gap = match self.random.below(12) {
                0 => 0,
                1 => self.random.below(3 << 30),
                _ => self.random.below(30_000),
            };
            let length_bytes = self.length().min(50_000);
            if length_bytes > 0 {
                source.parts.push((source.size_bytes + gap, self.pattern(length_bytes)));
            }
            source.size_bytes += gap + length_bytes;
        }
        Some(Operation::CreateFileFrom { at: self.new_place(), content: source, attributes: self.attributes() })
    }

    fn create_directory(&mut self) -> Option<Operation> {
        Some(Operation::CreateDirectory { at: self.new_place(), attributes: self.attributes() })
    }

    fn create_symlink(&mut self) -> Option<Operation> {
        let length = match self.random.below(20) {
            0 => 57 + self.random.below(6),
            1 => self.tree.limits.target_bytes() - 1 + self.random.below(3),
            2 => 0,
            3..=10 => 1 + self.random.below(59),
            _ => 1 + self.random.below(900),
        };
        let target = (0..length).map(|at| b"../target"[at as usize % 9]).collect();
        Some(Operation::CreateSymlink { at: self.new_place(), target, attributes: self.attributes() })
    }

    fn create_special(&mut self) -> Option<Operation> {
        let (major, minor) = match self.random.below(10) {
            0 => (4095, 1_048_575),
            1 => (self.random.below(5000) as u32, self.random.below(1_100_000) as u32),
            2..=5 => (self.random.below(256) as u32, self.random.below(256) as u32),
            _ => (self.random.below(4096) as u32, self.random.below(1 << 20) as u32),
        };
        let special = match self.random.below(6) {
            0 | 1 => Special::CharDevice { major, minor },
            2 | 3 => Special::BlockDevice { major, minor },
            4 => Special::Fifo,
            _ => Special::Socket,
        };
        Some(Operation::CreateSpecial { at: self.new_place(), special, attributes: self.attributes() })
    }

    fn write_file_at(&mut self) -> Option<Operation> {
        let (path, size) = self.file()?;
        let length = self.length();
        let mut offset = self.offset(size);
        if self.random.below(150) == 0 {
            // Around the end of what a file can be.
            offset = self.tree.limits.file_bytes() - 2000 + self.random.below(4000);
        }
        Some(Operation::WriteFileAt { path, offset, content: self.pattern(length) })
    }

    fn truncate(&mut self) -> Option<Operation> {
        let (path, size) = self.file()?;
        let size_bytes = match self.random.below(12) {
            0 | 1 => 0,
            2 if self.random.below(20) == 0 => self.tree.limits.file_bytes() - 1 + self.random.below(3),
            3..=5 => self.offset(size),
            _ => self.random.below(size + 1),
        };
        Some(Operation::Truncate { path, size_bytes })
    }

    fn punch_hole(&mut self) -> Option<Operation> {
        let (path, size) = self.file()?;
        let start = self.offset(size);
        let mut length = self.length() + 1;
        if self.random.percent(30) {
            length = length.next_multiple_of(self.tree.limits.block_bytes);
        }
        Some(Operation::PunchHole { path, range: start..start + length })
    }

    fn preallocate(&mut self) -> Option<Operation> {
        let (path, size) = self.file()?;
        let start = self.offset(size);
        let length = self.length();
        Some(Operation::Preallocate { path, range: start..start + length })
    }

    fn link(&mut self) -> Option<Operation> {
        let of_directory = self.random.percent(2);
        Some(Operation::Link { path: self.place(of_directory)?.path(), at: self.new_place() })
    }

    fn rename(&mut self) -> Option<Operation> {
        let of_directory = self.random.percent(35);
        let from = self.place(of_directory)?;
        let to = match self.random.below(20) {
            // Over something of the same sort.
            0..=5 => self.place(of_directory)?,
            // Over anything, often in vain.
            6 | 7 => self.any_place()?,
            // Below itself, where it is a directory.
            8 if of_directory => Place { parent: from.path(), name: self.name() },
            9..=12 => Place { parent: from.parent.clone(), name: self.name() },
            _ => self.new_place(),
        };
        Some(Operation::Rename { from, to })
    }

    fn remove_file(&mut self) -> Option<Operation> {
        let of_directory = self.random.percent(2);
        Some(Operation::RemoveFile { at: self.place(of_directory)? })
    }

    fn remove_directory(&mut self) -> Option<Operation> {
        let of_directory = self.random.percent(97);
        for _ in 0..5 {
            let at = self.place(of_directory)?;
            // Full directories are refused; not too often.
            match &self.tree.object(&at.path()).kind {
                Kind::Directory { names, .. } if !names.is_empty() && self.random.percent(80) => {}
                _ => return Some(Operation::RemoveDirectory { at }),
            }
        }
        None
    }

    fn remove_tree(&mut self) -> Option<Operation> {
        let of_directory = self.random.percent(80);
        let at = self.place(of_directory)?;
        // Those in the root hold most of all.
        let rare = at.parent.0.is_empty() && self.random.percent(70);
        (!rare).then_some(Operation::RemoveTree { at })
    }

    fn any_path(&mut self) -> Option<Path> {
        if self.random.below(40) == 0 { Some(Path::default()) } else { Some(self.any_place()?.path()) }
    }

    fn set_attributes(&mut self) -> Option<Operation> {
        Some(Operation::SetAttributes { path: self.any_path()?, attributes: self.attributes() })
    }

    fn set_times(&mut self) -> Option<Operation> {
        let mut time = || if self.random.percent(50) { Some(self.time()) } else { None };
        let times = Times { accessed: time(), modified: time(), changed: time() };
        Some(Operation::SetTimes { path: self.any_path()?, times })
    }

    fn set_xattr(&mut self) -> Option<Operation> {
        const NAMES: &[&[u8]] = &[
            b"user.a",
            b"user.a",
            b"user.mime_type",
            b"user.somewhat.longer.than.that",
            b"user.Gr\xc3\xb6\xc3\x9fe",
            b"trusted.overlay.opaque",
            b"trusted.b",
            b"security.selinux",
            b"security.capability",
            b"security.capability",
        ];
        const BAD: &[&[u8]] = &[b"user.", b"nothing.known", b"system.data", b"user.a\0b", b"", b"posix_acl_access"];
        let path = self.any_path()?;
        let mut name = self.random.pick(NAMES)?.to_vec();
        match self.random.below(60) {
            0 => name = self.random.pick(BAD)?.to_vec(),
            // Around the longest.
            1 | 2 => name.resize(253 + self.random.below(5) as usize, b'n'),
            _ => {}
        }
        // What only files and directories can have is mostly given to those.
        let is_plain = matches!(self.tree.object(&path).kind, Kind::File(_) | Kind::Directory { .. });
        if !is_plain && name.starts_with(b"user.") && self.random.percent(80) {
            return None;
        }
        let length = match self.random.below(20) {
            0 => 0,
            1..=12 => self.random.below(60),
            13..=16 => self.random.below(900),
            17 => self.tree.limits.block_bytes - self.random.below(200),
            18 => self.random.below(9000),
            _ => self.random.below(66_000),
        };
        let is_capability = name == b"security.capability";
        let value = self.pattern(if is_capability { 20 } else { length });
        Some(Operation::SetXattr { path, name: Name(name), value })
    }

    fn set_acl(&mut self) -> Option<Operation> {
        let is_default = self.random.percent(40);
        let path = self.place(is_default)?.path();
        let mut class = || self.random.below(8) as u16;
        let (classes, user, mask) = ([class(), class(), class()], class(), class());
        let named = self.random.percent(70).then(|| (self.random.below(100_000) as u32, user, mask));
        Some(Operation::SetAcl { path, acl: Acl { is_default, classes, named } })
    }

    fn remove_xattr(&mut self) -> Option<Operation> {
        if self.random.percent(4) {
            return Some(Operation::RemoveXattr { path: self.any_path()?, name: Name(b"user.never".to_vec()) });
        }
        for _ in 0..20 {
            let path = self.any_path()?;
            let names: Vec<&Vec<u8>> = self.tree.object(&path).xattrs.keys().collect();
            if let Some(name) = self.random.pick(&names) {
                return Some(Operation::RemoveXattr { path, name: Name((*name).clone()) });
            }
        }
        None
    }

    /// What is never there, and names that cannot be.
    fn nonsense(&mut self) -> Option<Operation> {
        const BAD: &[&[u8]] = &[b"", b".", b"..", b"a/b", b"a\0", &[b'n'; 256]];
        let directory = self.directory();
        let parent = self.tree.path_of(directory);
        let bad = Place { parent: parent.clone(), name: Name(self.random.pick(BAD)?.to_vec()) };
        let missing = Place { parent, name: Name(b"never there".to_vec()) };
        let there = self.any_place()?;
        Some(match self.random.below(8) {
            0 => Operation::CreateDirectory { at: bad, attributes: self.attributes() },
            1 => Operation::Link { path: there.path(), at: bad },
            2 => Operation::Rename { from: there, to: bad },
            3 => Operation::Rename { from: missing, to: there },
            4 => Operation::RemoveFile { at: missing },
            5 => Operation::RemoveDirectory { at: missing },
            6 => Operation::RemoveTree { at: bad },
            _ => Operation::RemoveTree { at: missing },
        })
    }
}
