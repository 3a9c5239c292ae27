//! The same edits by the kernel on one image and by us on its twin, in turns with edits that only the kernel makes on
//! both: shared blocks, blocks allocated in advance, holes. The kernel shows both trees, `xfs_repair -n` looks at ours.
//! Needs root.
#![cfg(feature = "full-tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metadata::{Acl, AclEntry};
use rustix::fs::{CWD, FallocateFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use storage::ReadAt;
use testkit::mount::Mount;
use testkit::tree::{Kind, Node, Tree, walk_kernel};
use xfs::{Attributes, FileKind, Special, Time, Times};

use crate::account::assert_explained;
use crate::support::{Disk, Draw, KINDS, is_sound, make, open};

/// Sequences of each kind: none, in `./test`, and in `./test long`.
const SEQUENCES: [u64; 3] = [0, 1, 12];
/// Turns of a sequence, and edits of each of the two in a turn.
const TURNS: [u64; 3] = [0, 2, 14];
const OUR_EDITS: usize = 150;
const KERNEL_EDITS: usize = 60;

/// An edit. Paths begin below the root; every edit of a file sets its times, which differ otherwise.
#[derive(Clone, Debug)]
enum Edit {
    CreateFile(String, Bytes),
    CreateFileWithHoles(String, u64, Bytes),
    CreateDirectory(String),
    CreateSymlink(String, usize),
    CreateSpecial(String, Special),
    Write(String, u64, Bytes),
    Truncate(String, u64),
    Link(String, String),
    Rename(String, String),
    RemoveFile(String),
    RemoveTree(String),
    SetAttributes(String, Attributes),
    SetXattr(String, String, Bytes),
    RemoveXattr(String, String),
    // The kernel's alone.
    Clone(String, String),
    CloneRange(String, String, u64, u64, usize),
    Preallocate(String, u64, u64),
    PunchHole(String, u64, u64),
}

/// Content drawn from a seed.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    seed: u64,
    length: usize,
}

impl Bytes {
    fn make(self) -> Vec<u8> {
        let mut draw = Draw(self.seed | 1);
        (0..self.length).map(|_| draw.below(256) as u8).collect()
    }
}

/// A file of `size` bytes with content at one place.
struct WithHole {
    size: u64,
    at: u64,
    content: Vec<u8>,
}

impl ReadAt for WithHole {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> storage::Result<()> {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let within = (offset + index as u64).checked_sub(self.at);
            *byte = within.and_then(|within| self.content.get(within as usize)).copied().unwrap_or(0);
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> storage::Result<storage::Extent> {
        let (kind, end) = match offset {
            _ if offset < self.at => (storage::ExtentKind::Zero, self.at),
            _ => (storage::ExtentKind::Data, self.size),
        };
        Ok(storage::Extent { kind, length_bytes: end - offset })
    }
}

fn target(length: usize) -> Vec<u8> {
    (0..length).map(|index| b"a/target/"[index % 9]).collect()
}

fn modified(number: u64) -> Time {
    Time { seconds: 1_600_000_000 + number as i64, nanoseconds: (number * 12_347 % 1_000_000_000) as u32 }
}

/// What the kernel does with an edit; whether it did it.
fn by_kernel(root: &Path, edit: &Edit, number: u64) -> bool {
    let at = |path: &String| root.join(path);
    let write = |path: &String, offset: u64, bytes: Bytes| {
        File::options().write(true).open(at(path)).unwrap().write_all_at(&bytes.make(), offset)
    };
    let (touched, done) = match edit {
        Edit::CreateFile(path, bytes) => {
            (Some(path), File::create_new(at(path)).and_then(|file| file.write_all_at(&bytes.make(), 0)).is_ok())
        }
        Edit::CreateFileWithHoles(path, offset, bytes) => {
            (Some(path), File::create_new(at(path)).and_then(|file| file.write_all_at(&bytes.make(), *offset)).is_ok())
        }
        Edit::CreateDirectory(path) => (Some(path), fs::create_dir(at(path)).is_ok()),
        Edit::CreateSymlink(path, length) => {
            let target = target(*length);
            (Some(path), rustix::fs::symlink(&target[..], at(path)).is_ok())
        }
        Edit::CreateSpecial(path, special) => {
            let (kind, device) = match *special {
                Special::CharDevice { major, minor } => (FileType::CharacterDevice, (major, minor)),
                Special::BlockDevice { major, minor } => (FileType::BlockDevice, (major, minor)),
                Special::Fifo => (FileType::Fifo, (0, 0)),
                Special::Socket => (FileType::Socket, (0, 0)),
            };
            let device = rustix::fs::makedev(device.0, device.1);
            (Some(path), rustix::fs::mknodat(CWD, at(path), kind, Mode::RUSR, device).is_ok())
        }
        Edit::Write(path, offset, bytes) => (Some(path), write(path, *offset, *bytes).is_ok()),
        Edit::Truncate(path, size) => {
            (Some(path), File::options().write(true).open(at(path)).unwrap().set_len(*size).is_ok())
        }
        Edit::Link(path, new) => (None, fs::hard_link(at(path), at(new)).is_ok()),
        Edit::Rename(path, new) => (None, fs::rename(at(path), at(new)).is_ok()),
        Edit::RemoveFile(path) => (None, fs::remove_file(at(path)).is_ok()),
        Edit::RemoveTree(path) => (None, fs::remove_dir_all(at(path)).is_ok()),
        Edit::SetAttributes(path, attributes) => {
            let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(CWD, at(path), Some(uid), Some(gid), flags).unwrap();
            (Some(path), rustix::fs::chmod(at(path), Mode::from_raw_mode(attributes.permissions.into())).is_ok())
        }
        Edit::SetXattr(path, name, bytes) => {
            (Some(path), rustix::fs::lsetxattr(at(path), &name[..], &bytes.make(), XattrFlags::empty()).is_ok())
        }
        Edit::RemoveXattr(path, name) => (Some(path), rustix::fs::lremovexattr(at(path), &name[..]).is_ok()),
        Edit::Clone(path, new) => {
            let (from, to) = (File::open(at(path)).unwrap(), File::create(at(new)).unwrap());
            // Without reflinks it stays empty, on both.
            let _ = rustix::fs::ioctl_ficlone(to, from);
            (Some(new), true)
        }
        Edit::CloneRange(path, other, from, to, length) => {
            let source = File::open(at(path)).unwrap();
            let goal = File::options().write(true).open(at(other)).unwrap();
            let (mut from, mut to) = (*from, *to);
            (Some(other), rustix::fs::copy_file_range(source, Some(&mut from), goal, Some(&mut to), *length).is_ok())
        }
        Edit::Preallocate(path, offset, length) => {
            let file = File::options().write(true).open(at(path)).unwrap();
            (Some(path), rustix::fs::fallocate(file, FallocateFlags::empty(), *offset, *length).is_ok())
        }
        Edit::PunchHole(path, offset, length) => {
            let file = File::options().write(true).open(at(path)).unwrap();
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            (Some(path), rustix::fs::fallocate(file, flags, *offset, *length).is_ok())
        }
    };
    if let (Some(path), true) = (touched, done) {
        let time = modified(number);
        let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, at(path), &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    done
}

fn find(disk: &Disk, path: &str) -> u64 {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.fold(disk.superblock().root(), |parent, name| {
        disk.lookup(parent, name.as_bytes()).unwrap().unwrap_or_else(|| panic!("{path} is gone")).0
    })
}

/// The directory of a path, and the name in it.
fn place<'a>(disk: &Disk, path: &'a str) -> (u64, &'a [u8]) {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    (find(disk, parent), name.as_bytes())
}

/// What we do with an edit; whether it was done.
fn by_us(disk: &mut Disk, edit: &Edit, number: u64) -> bool {
    // What a process of root with a umask of 022 makes.
    let made = |permissions| Attributes { permissions, uid: 0, gid: 0, modified: modified(number) };
    let (touched, done) = match edit {
        Edit::CreateFile(path, bytes) => {
            let (parent, name) = place(disk, path);
            let content = bytes.make();
            (None, disk.create_file(parent, name, &made(0o644), content.len() as u64, &mut &content[..]).map(drop))
        }
        Edit::CreateFileWithHoles(path, offset, bytes) => {
            let (parent, name) = place(disk, path);
            let content = bytes.make();
            let size = offset + content.len() as u64;
            let source: Arc<dyn ReadAt> = Arc::new(WithHole { size, at: *offset, content });
            (None, disk.create_file_from(parent, name, &made(0o644), &source).map(drop))
        }
        Edit::CreateDirectory(path) => {
            let (parent, name) = place(disk, path);
            (None, disk.create_directory(parent, name, &made(0o755)).map(drop))
        }
        Edit::CreateSymlink(path, length) => {
            let (parent, name) = place(disk, path);
            (None, disk.create_symlink(parent, name, &target(*length), &made(0o777)).map(drop))
        }
        Edit::CreateSpecial(path, special) => {
            let (parent, name) = place(disk, path);
            (None, disk.create_special(parent, name, *special, &made(0o400)).map(drop))
        }
        Edit::Write(path, offset, bytes) => {
            let file = find(disk, path);
            (Some(path), disk.write_file_at(file, *offset, &bytes.make()))
        }
        Edit::Truncate(path, size) => {
            let file = find(disk, path);
            (Some(path), disk.truncate(file, *size))
        }
        Edit::Link(path, new) => {
            let (file, (parent, name)) = (find(disk, path), place(disk, new));
            (None, disk.link(file, parent, name))
        }
        Edit::Rename(path, new) => {
            let (from, to) = (place(disk, path), place(disk, new));
            (None, disk.rename(from, to))
        }
        Edit::RemoveFile(path) => {
            let (parent, name) = place(disk, path);
            (None, disk.remove_file(parent, name))
        }
        Edit::RemoveTree(path) => {
            let (parent, name) = place(disk, path);
            (None, disk.remove_tree(parent, name))
        }
        Edit::SetAttributes(path, attributes) => {
            let file = find(disk, path);
            (Some(path), disk.set_attributes(file, attributes))
        }
        Edit::SetXattr(path, name, bytes) => {
            let file = find(disk, path);
            (Some(path), disk.set_xattr(file, name.as_bytes(), &bytes.make()))
        }
        Edit::RemoveXattr(path, name) => {
            let file = find(disk, path);
            (Some(path), disk.remove_xattr(file, name.as_bytes()))
        }
        Edit::Clone(..) | Edit::CloneRange(..) | Edit::Preallocate(..) | Edit::PunchHole(..) => {
            unreachable!("the kernel's alone")
        }
    };
    if let Err(error) = done {
        assert!(
            matches!(
                error,
                xfs::Error::NotFound
                    | xfs::Error::NotEmpty(_)
                    | xfs::Error::IntoItself(_)
                    | xfs::Error::IsADirectory(_)
                    | xfs::Error::NotADirectory(_)
            ),
            "{edit:?}: {error}"
        );
        return false;
    }
    if let Some(path) = touched {
        let (file, time) = (find(disk, path), Some(modified(number)));
        disk.set_times(file, &Times { accessed: time, modified: time, changed: None }).unwrap();
    }
    true
}

/// Draws edits that mostly can be done, on the names that are there.
struct Generator {
    draw: Draw,
    /// All paths, and the kinds of their files.
    names: BTreeMap<String, FileKind>,
    block_bytes: u64,
    made: u64,
}

impl Generator {
    fn pick(&mut self, fits: impl Fn(FileKind) -> bool) -> Option<String> {
        let all: Vec<&String> = self.names.iter().filter(|(_, kind)| fits(**kind)).map(|(path, _)| path).collect();
        let index = self.draw.below(all.len().max(1) as u64) as usize;
        all.get(index).map(|path| (*path).clone())
    }

    fn regular(&mut self) -> Option<String> {
        self.pick(|kind| kind == FileKind::Regular)
    }

    fn new_path(&mut self) -> String {
        let directory = if self.draw.below(3) == 0 { None } else { self.pick(|kind| kind == FileKind::Directory) };
        self.made += 1;
        let tail = if self.draw.below(6) == 0 { "y".repeat(self.draw.below(240) as usize) } else { String::new() };
        let name = format!("n{}{tail}", self.made);
        directory.map_or(name.clone(), |directory| format!("{directory}/{name}"))
    }

    fn bytes(&mut self, most: u64) -> Bytes {
        let length = if self.draw.below(3) == 0 { self.draw.below(most) } else { self.draw.below(most / 16 + 2) };
        Bytes { seed: self.draw.below(1 << 40), length: length as usize }
    }

    fn offset(&mut self) -> u64 {
        match self.draw.below(4) {
            0 => self.draw.below(40) * self.block_bytes,
            1 => self.draw.below(3_000_000),
            _ => self.draw.below(100_000),
        }
    }

    fn edit(&mut self) -> Edit {
        loop {
            let edit = match self.draw.below(34) {
                0..=4 => Some(Edit::CreateFile(self.new_path(), self.bytes(200_000))),
                5 => Some(Edit::CreateFileWithHoles(self.new_path(), self.offset(), {
                    let bytes = self.bytes(20_000);
                    Bytes { length: bytes.length + 1, ..bytes }
                })),
                6..=8 => Some(Edit::CreateDirectory(self.new_path())),
                9 | 10 => Some(Edit::CreateSymlink(self.new_path(), 1 + self.draw.below(1023) as usize)),
                11 => {
                    let (major, minor) = (self.draw.below(512) as u32, self.draw.below(1 << 18) as u32);
                    let special = match self.draw.below(4) {
                        0 => Special::CharDevice { major, minor },
                        1 => Special::BlockDevice { major, minor },
                        2 => Special::Fifo,
                        _ => Special::Socket,
                    };
                    Some(Edit::CreateSpecial(self.new_path(), special))
                }
                12..=16 => self.regular().map(|path| Edit::Write(path, self.offset(), self.bytes(60_000))),
                17 | 18 => self.regular().map(|path| Edit::Truncate(path, self.offset())),
                19 => self.pick(|kind| kind != FileKind::Directory).map(|path| Edit::Link(path, self.new_path())),
                20..=22 => {
                    let to = if self.draw.below(3) == 0 { self.pick(|_| true) } else { Some(self.new_path()) };
                    Option::zip(self.pick(|_| true), to).map(|(from, to)| Edit::Rename(from, to))
                }
                23..=25 => self.pick(|kind| kind != FileKind::Directory).map(Edit::RemoveFile),
                26 if self.draw.below(6) == 0 => self.pick(|kind| kind == FileKind::Directory).map(Edit::RemoveTree),
                27 | 28 => self.pick(|kind| kind != FileKind::Symlink).map(|path| {
                    let draw = &mut self.draw;
                    let attributes = Attributes {
                        // Without the bit that gives what is made in a directory its group.
                        permissions: draw.below(0o10000) as u16 & !0o2000,
                        uid: draw.below(100_000) as u32,
                        gid: draw.below(100_000) as u32,
                        modified: Time::default(),
                    };
                    Edit::SetAttributes(path, attributes)
                }),
                29..=31 => self.pick(|kind| matches!(kind, FileKind::Regular | FileKind::Directory)).map(|path| {
                    let namespace = ["user", "trusted", "security"][self.draw.below(3) as usize];
                    let name = format!("{namespace}.a{}", self.draw.below(12));
                    let most = if self.draw.below(20) == 0 { 65_000 } else { 900 };
                    Edit::SetXattr(path, name, self.bytes(most))
                }),
                32 => {
                    self.pick(|_| true).map(|path| Edit::RemoveXattr(path, format!("trusted.a{}", self.draw.below(12))))
                }
                _ => None,
            };
            if let Some(edit) = edit {
                return edit;
            }
        }
    }

    /// An edit that only the kernel can make.
    fn kernel_edit(&mut self) -> Edit {
        for _ in 0..20 {
            let Some(path) = self.regular() else { break };
            let block = self.block_bytes;
            return match self.draw.below(4) {
                0 => Edit::Clone(path, self.new_path()),
                1 => {
                    let Some(other) = self.regular().filter(|other| *other != path) else { continue };
                    let (from, to) = (self.draw.below(10) * block, self.draw.below(10) * block);
                    Edit::CloneRange(path, other, from, to, (self.draw.below(8) * block + block) as usize)
                }
                2 => Edit::Preallocate(path, self.offset(), 1 + self.draw.below(200_000)),
                _ => Edit::PunchHole(path, self.offset(), 1 + self.draw.below(100_000)),
            };
        }
        self.edit()
    }

    /// Notes what an edit that was done has changed about names.
    fn note(&mut self, edit: &Edit) {
        let below = |names: &BTreeMap<String, FileKind>, path: &String| -> Vec<String> {
            let prefix = format!("{path}/");
            names.keys().filter(|name| *name == path || name.starts_with(&prefix)).cloned().collect()
        };
        match edit {
            Edit::CreateFile(path, _) | Edit::CreateFileWithHoles(path, ..) | Edit::Clone(_, path) => {
                self.names.insert(path.clone(), FileKind::Regular);
            }
            Edit::CreateDirectory(path) => drop(self.names.insert(path.clone(), FileKind::Directory)),
            Edit::CreateSymlink(path, _) => drop(self.names.insert(path.clone(), FileKind::Symlink)),
            Edit::CreateSpecial(path, _) => drop(self.names.insert(path.clone(), FileKind::Fifo)),
            Edit::Link(path, new) => drop(self.names.insert(new.clone(), self.names[path])),
            Edit::Rename(path, new) => {
                if path == new {
                    return;
                }
                for old in below(&self.names, path) {
                    if let Some(kind) = self.names.remove(&old) {
                        self.names.insert(format!("{new}{}", &old[path.len()..]), kind);
                    }
                }
            }
            Edit::RemoveFile(path) | Edit::RemoveTree(path) => {
                for old in below(&self.names, path) {
                    self.names.remove(&old);
                }
            }
            _ => {}
        }
    }
}

/// What the kernel shows; directories without times, which we leave as they are.
fn shown(path: &Path) -> Tree {
    let size = fs::metadata(path).unwrap().len();
    let mut tree = walk_kernel(&Mount::read_only(path, &(0..size)).path());
    without_times(&mut tree);
    tree
}

fn without_times(tree: &mut Tree) {
    for node in tree.values_mut().filter(|node| node.kind == Kind::Directory) {
        // The size of a directory depends on the order of what was done to it.
        (node.modified, node.size_bytes) = ((0, 0), 0);
    }
}

/// The tree as we read it.
fn read(disk: &Disk) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![(Vec::new(), disk.superblock().root())];
    while let Some((path, number)) = left.pop() {
        let inode = disk.inode(number).unwrap();
        let kind = match inode.kind().unwrap() {
            FileKind::Regular => Kind::Regular,
            FileKind::Directory => Kind::Directory,
            FileKind::Symlink => Kind::Symlink,
            FileKind::CharDevice => Kind::CharDevice,
            FileKind::BlockDevice => Kind::BlockDevice,
            FileKind::Fifo => Kind::Fifo,
            FileKind::Socket => Kind::Socket,
        };
        if kind == Kind::Directory {
            for entry in disk.read_directory(number).unwrap() {
                let slash = if path.is_empty() { &b""[..] } else { b"/" };
                left.push(([&path[..], slash, &entry.name].concat(), entry.inode));
            }
        }
        let content = || {
            let (mut crc, mut at) = (0, 0);
            for extent in disk.content_extents(&inode).unwrap() {
                crc = testkit::tree::crc32c_append_zeros(crc, extent.offset.min(inode.size_bytes()) - at);
                let length = extent.length_bytes.min(inode.size_bytes().saturating_sub(extent.offset));
                let mut bytes = vec![0; length as usize];
                disk.read_content(extent.storage_offset, &mut bytes).unwrap();
                crc = crc32c::crc32c_append(crc, &bytes);
                at = extent.offset.min(inode.size_bytes()) + length;
            }
            testkit::tree::crc32c_append_zeros(crc, inode.size_bytes() - at)
        };
        let time = inode.modified();
        let node = Node {
            kind,
            permissions: inode.permissions().into(),
            uid: inode.uid(),
            gid: inode.gid(),
            size_bytes: inode.size_bytes(),
            modified: (time.seconds, time.nanoseconds),
            links: inode.links().into(),
            target: (kind == Kind::Symlink).then(|| disk.read_link(number).unwrap()),
            device: inode.device(),
            xattrs: disk.xattrs(number).unwrap().into_iter().collect(),
            content_crc32c: (kind == Kind::Regular).then(content),
        };
        tree.insert(path, node);
    }
    without_times(&mut tree);
    tree
}

fn assert_same(one: &Tree, two: &Tree, what: &str) {
    for path in one.keys().chain(two.keys()) {
        let (one, two) = (one.get(path), two.get(path));
        assert!(one == two, "{what}: {}: {one:?}\n{two:?}", String::from_utf8_lossy(path));
    }
}

fn run(what: &str, options: &[&str], seed: u64) {
    println!("{what}: seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let kernels = make(folder.path(), "kernel", options);
    let [ours, before] = ["ours", "before"].map(|name| folder.path().join(name));
    fs::copy(&kernels, &ours).unwrap();
    let block_bytes = open(&ours).superblock().block_size_bytes().into();
    let mut generator = Generator { draw: Draw(seed * 2 + 1), names: BTreeMap::new(), block_bytes, made: 0 };
    let mut number = 0;
    let mount = |path: &PathBuf| Mount::with_options(path, "rw,nouuid");
    for turn in 0..testkit::rounds(true, TURNS) {
        let what = format!("{what}, seed {seed}, turn {turn}");
        {
            fs::copy(&ours, &before).unwrap();
            let (mounted, mut disk) = (mount(&kernels), open(&ours));
            for _ in 0..OUR_EDITS {
                number += 1;
                let edit = generator.edit();
                let done = by_kernel(&mounted.path(), &edit, number);
                assert_eq!(by_us(&mut disk, &edit, number), done, "{what}: {edit:?}: we, the kernel");
                if done {
                    generator.note(&edit);
                }
                if generator.draw.below(60) == 0 {
                    disk.flush().unwrap();
                    disk = open(&ours);
                }
            }
            disk.flush().unwrap();
        }
        is_sound(&ours, &what);
        assert_explained(&before, &ours, &what);
        let expected = shown(&kernels);
        assert_same(&expected, &shown(&ours), &format!("{what}: what the kernel wrote, and we"));
        let (one, two) = (mount(&kernels), mount(&ours));
        for _ in 0..KERNEL_EDITS {
            number += 1;
            let edit = if generator.draw.below(2) == 0 { generator.kernel_edit() } else { generator.edit() };
            let done = by_kernel(&one.path(), &edit, number);
            assert_eq!(by_kernel(&two.path(), &edit, number), done, "{what}: the kernel: {edit:?}");
            if done {
                generator.note(&edit);
            }
        }
        drop((one, two));
        is_sound(&ours, &format!("{what}: after the kernel's edits"));
        assert_same(&shown(&ours), &read(&open(&ours)), &format!("{what}: what the kernel reads, and we"));
    }
}

#[test]
fn the_kernel_and_we_make_the_same_tree_in_turns() {
    for (index, (what, options)) in KINDS.iter().enumerate() {
        for sequence in 0..testkit::rounds(true, SEQUENCES) {
            run(what, options, index as u64 * 1000 + sequence);
        }
    }
}

/// Access control lists that we set are those that the kernel shows, permission bits included, and the other way round.
#[test]
fn access_control_lists_are_the_same_to_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    for (what, options) in KINDS {
        let [kernels, ours] = ["kernel", "ours"].map(|name| make(folder.path(), name, options));
        {
            let mounted = Mount::with_options(&kernels, "rw");
            let root = mounted.path();
            for name in ["file", "plain"] {
                File::create(root.join(name)).unwrap();
            }
            fs::create_dir(root.join("directory")).unwrap();
            for (list, name) in [
                ("u::rw-,u:1000:r--,g::r--,g:70000:rwx,m::rw-,o::---", "file"),
                ("u::rwx,g::r-x,o::--x", "plain"),
                ("u::rwx,u:5:rwx,g::r-x,m::rwx,o::r-x,d:u::rwx,d:u:1001:rw-,d:g::r--,d:m::rwx,d:o::---", "directory"),
            ] {
                testkit::judge::judge("setfacl").args(["--set", list]).arg(root.join(name)).succeed();
            }
        }
        let expected = shown(&kernels);
        let mut disk = open(&ours);
        let root = disk.superblock().root();
        let made = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
        for name in ["file", "plain", "directory"] {
            let number = match name {
                "directory" => disk.create_directory(root, name.as_bytes(), &made).unwrap(),
                _ => disk.create_file(root, name.as_bytes(), &made, 0, &mut &b""[..]).unwrap(),
            };
            for (attribute, value) in &expected[name.as_bytes()].xattrs {
                disk.set_xattr(number, attribute, value).unwrap();
            }
        }
        // What says no more than the permission bits is not kept as a list.
        let plain = find(&disk, "plain");
        let entries = [(1, 7), (4, 5), (32, 1)].map(|(tag, permissions)| AclEntry::new(tag, permissions, 0));
        let list = Acl::new(entries.to_vec()).unwrap().to_xattr();
        disk.set_xattr(plain, b"system.posix_acl_access", &list).unwrap();
        disk.flush().unwrap();
        is_sound(&ours, what);
        let facts = |tree: Tree| -> BTreeMap<_, _> {
            tree.into_iter().map(|(path, node)| (path, (node.permissions, node.xattrs))).collect()
        };
        assert_eq!(facts(shown(&ours)), facts(expected), "{what}");
        assert_eq!(facts(read(&open(&kernels))), facts(read(&open(&ours))), "{what}");
    }
}

/// What the super block says after the kernel, and after us.
#[test]
fn we_grow_as_the_kernel_does() {
    let folder = tempfile::tempdir().unwrap();
    for (what, options) in KINDS {
        let kernels = make(folder.path(), "kernel", options);
        let ours = folder.path().join("ours");
        fs::copy(&kernels, &ours).unwrap();
        // Into the last group, by a few groups, by so little that it is no group, and by a small one.
        for size in [700 << 20, 701 << 20, 3 << 30, (3 << 30) + (60 << 10), (3 << 30) + (300 << 10)] {
            for path in [&kernels, &ours] {
                File::options().write(true).open(path).unwrap().set_len(size).unwrap();
            }
            {
                let mounted = Mount::with_options(&kernels, "rw,nouuid");
                testkit::judge::judge("xfs_growfs").args(["-d"]).arg(mounted.path()).run();
                fs::write(mounted.path().join(format!("{size}")), size.to_string()).unwrap();
            }
            let mut disk = open(&ours);
            disk.grow(size / u64::from(disk.superblock().block_size_bytes())).unwrap();
            let (root, content) = (disk.superblock().root(), size.to_string());
            let made = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: modified(1) };
            disk.create_file(root, content.as_bytes(), &made, content.len() as u64, &mut content.as_bytes()).unwrap();
            disk.flush().unwrap();
            drop(disk);
            is_sound(&ours, &format!("{what}: grown to {size} bytes"));
            let said = |path: &Path| {
                let show = ["-r", "-c", "sb 0", "-c", "print dblocks agcount fdblocks icount"];
                testkit::judge::judge("xfs_db").args(show).arg(path).succeed().stdout
            };
            assert_eq!(said(&ours), said(&kernels), "{what}: grown to {size} bytes");
        }
        let mounted = Mount::with_options(&ours, "rw,nouuid");
        // The kernel puts directories into all groups in turn, and files next to theirs.
        let large = vec![5; 1 << 20];
        for number in 0..40 {
            let directory = mounted.path().join(format!("directory{number}"));
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("large"), &large).unwrap();
        }
        drop(mounted);
        is_sound(&ours, &format!("{what}: grown, and written by the kernel"));
    }
}
