//! A guest's tree as programs change it, without a kernel. `e2fsck` judges what is grafted.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use guest::{FileKind, Guest, GuestPath, Time};
use rustix::io::Errno;
use scratch::{ChangeKind, Difference, IfTaken, New, Owner, Settings, Spill, Times, Tree, View};
use storage::FileStorage;
use tempfile::TempDir;
use testkit::judge::{assert_e2fsck_clean, judge};

const ROOT: Owner = Owner { uid: 0, gid: 0 };
const NOW: Time = Time { seconds: 2_000_000_000, nanoseconds: 5 };
/// As a command is treated: what it wrote gets the build's time.
const TIMES: Times = Times {
    began: Time { seconds: 1_999_999_999, nanoseconds: 0 },
    modified: Time { seconds: 1_600_000_000, nanoseconds: 0 },
    latest: None,
};

/// A small guest on an ext4 without partitions.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("etc/many")).unwrap();
        fs::write(tree.join("etc/os-release"), "ID=lab\n").unwrap();
        for number in 0..100 {
            fs::write(tree.join(format!("etc/many/{number}")), format!("{number}\n").repeat(3000)).unwrap();
        }
        fs::hard_link(tree.join("etc/many/1"), tree.join("etc/one")).unwrap();
        let disk = folder.path().join("disk");
        File::create(&disk).unwrap().set_len(32 << 20).unwrap();
        judge("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&disk).succeed();
        Self { folder }
    }

    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn guest(&self) -> Guest {
        let file = OpenOptions::new().read(true).write(true).open(self.disk()).unwrap();
        Guest::open(Arc::new(FileStorage::new(file).unwrap())).unwrap()
    }

    /// Does `work` in the tree, and grafts the difference; returns what it tells.
    fn change(&self, work: impl FnOnce(&mut Tree)) -> Vec<(ChangeKind, String)> {
        let mut guest = self.guest();
        let difference = self.difference(&mut guest, work);
        let told = difference.changes.iter().map(|change| (change.change, change.path.to_string())).collect();
        difference.graft(&mut guest).unwrap();
        guest.flush().unwrap();
        drop(guest);
        assert_e2fsck_clean(&self.disk(), 0);
        told
    }

    fn difference(&self, guest: &mut Guest, work: impl FnOnce(&mut Tree)) -> Difference {
        let spill = Spill::new(tempfile::tempfile_in(self.folder.path()).unwrap());
        let view = View::new(guest, spill).unwrap();
        work(&mut view.trees[0].1.lock().unwrap_or_else(PoisonError::into_inner));
        view.finish(guest, &TIMES, &|_| false).unwrap()
    }
}

/// The file at a path.
fn at(tree: &mut Tree, path: &str) -> u64 {
    path.split('/')
        .filter(|name| !name.is_empty())
        .fold(tree.root(), |at, name| tree.lookup(at, name.as_bytes()).unwrap())
}

fn write(tree: &mut Tree, folder: &str, name: &str, text: &str) -> u64 {
    let folder = at(tree, folder);
    let file = tree.create(folder, name.as_bytes(), New::File, (0o644, 0), ROOT, NOW).unwrap();
    tree.write(file, 0, text.as_bytes(), false, NOW).unwrap();
    file
}

/// Histories that end in the same tree.
#[test]
fn the_bytes_depend_on_the_tree_and_not_on_how_it_came_to_be() {
    let straight = Lab::new();
    let crooked = Lab { folder: tempfile::tempdir().unwrap() };
    fs::copy(straight.disk(), crooked.disk()).unwrap();
    straight.change(|tree| {
        for name in ["a", "b", "c"] {
            write(tree, "/etc", name, &name.repeat(9000));
        }
        let (many, two) = (at(tree, "/etc/many"), at(tree, "/etc/many/2"));
        tree.write(two, 0, b"other", false, NOW).unwrap();
        tree.unlink(many, b"3", NOW).unwrap();
    });
    crooked.change(|tree| {
        let (etc, many) = (at(tree, "/etc"), at(tree, "/etc/many"));
        // Made in another order, under other names, rewritten and renamed over what was there.
        for (temporary, name) in [("x", "c"), ("y", "b"), ("z", "a")] {
            let file = write(tree, "/etc", temporary, &"?".repeat(20_000));
            tree.set(file, &Settings { size_bytes: Some(0), ..Settings::default() }, NOW).unwrap();
            tree.write(file, 0, name.repeat(9000).as_bytes(), false, NOW).unwrap();
            tree.rename((etc, temporary.as_bytes()), (etc, name.as_bytes()), IfTaken::Replace, NOW).unwrap();
        }
        let content = "2\n".repeat(3000).replacen("2\n2\n2", "other", 1);
        write(tree, "/etc/many", "new", &content);
        tree.rename((many, b"new"), (many, b"2"), IfTaken::Replace, NOW).unwrap();
        tree.rename((many, b"3"), (etc, b"gone"), IfTaken::Replace, NOW).unwrap();
        tree.unlink(etc, b"gone", NOW).unwrap();
        // What comes back as it was is no difference.
        let was = "7\n".repeat(3000);
        let seven = write(tree, "/etc/many", "seven", &was);
        let old = at(tree, "/etc/many/7");
        let modified = Some(tree.facts(old).unwrap().metadata.modified);
        tree.set(seven, &Settings { modified, ..Settings::default() }, NOW).unwrap();
        tree.rename((many, b"seven"), (many, b"7"), IfTaken::Replace, NOW).unwrap();
    });
    assert!(fs::read(straight.disk()).unwrap() == fs::read(crooked.disk()).unwrap());
}

#[test]
fn only_what_differs_is_told_and_done() {
    let lab = Lab::new();
    let before = fs::read(lab.disk()).unwrap();
    let told = lab.change(|tree| {
        // Looked at, changed and changed back, made and removed again.
        let (etc, many) = (at(tree, "/etc"), at(tree, "/etc/many"));
        write(tree, "/etc", "lock", "x");
        tree.unlink(etc, b"lock", NOW).unwrap();
        let one = at(tree, "/etc/one");
        let owner = |uid| Settings { uid: Some(uid), ..Settings::default() };
        tree.set(one, &owner(7), NOW).unwrap();
        tree.set(one, &owner(0), NOW).unwrap();
        tree.rename((many, b"5"), (etc, b"5"), IfTaken::Replace, NOW).unwrap();
        tree.rename((etc, b"5"), (many, b"5"), IfTaken::Replace, NOW).unwrap();
        let mut names = 0;
        tree.read_directory(many, 0, &mut |_, _, _, _| {
            names += 1;
            true
        })
        .unwrap();
        assert_eq!(names, 100);
    });
    assert_eq!(told, []);
    assert!(fs::read(lab.disk()).unwrap() == before);
    let told = lab.change(|tree| {
        let link = at(tree, "/etc/many/1");
        let etc = at(tree, "/etc");
        tree.link(link, etc, b"two", NOW).unwrap();
        tree.unlink(etc, b"one", NOW).unwrap();
        write(tree, "/", "new", "");
    });
    let changed = |change, path: &str| (change, path.to_owned());
    assert_eq!(
        told,
        [
            changed(ChangeKind::Changed, "/"),
            changed(ChangeKind::Changed, "/etc"),
            changed(ChangeKind::Removed, "/etc/one"),
            changed(ChangeKind::Made, "/etc/two"),
            changed(ChangeKind::Made, "/new"),
        ]
    );
    let guest = lab.guest();
    let find = |path: &str| guest.find(&path.parse().unwrap(), guest::LastLink::Keep).unwrap().node;
    assert_eq!(guest.identity(&find("/etc/two")), guest.identity(&find("/etc/many/1")));
    let metadata = guest.metadata(&find("/new")).unwrap();
    assert_eq!((metadata.modified, metadata.changed), (TIMES.modified, TIMES.modified));
}

#[test]
fn a_change_of_a_file_with_several_names_is_seen_under_all_of_them() {
    let lab = Lab::new();
    lab.change(|tree| {
        let one = at(tree, "/etc/one");
        tree.write(one, 0, b"changed", false, NOW).unwrap();
    });
    let guest = lab.guest();
    let path = |path: &str| -> GuestPath { path.parse().unwrap() };
    for name in ["/etc/one", "/etc/many/1"] {
        assert!(guest.read(&path(name), 1 << 20).unwrap().starts_with(b"changed"), "{name}");
    }
    let find = |name: &str| guest.find(&path(name), guest::LastLink::Keep).unwrap().node;
    assert_eq!(guest.identity(&find("/etc/one")), guest.identity(&find("/etc/many/1")));
    assert_eq!(guest.metadata(&find("/etc/one")).unwrap().links, 2);
}

#[test]
fn the_rules_of_names_are_the_kernels() {
    let lab = Lab::new();
    lab.change(|tree| {
        let (root, etc, many) = (tree.root(), at(tree, "/etc"), at(tree, "/etc/many"));
        let mut make = |name: &[u8], new| tree.create(root, name, new, (0o755, 0o022), ROOT, NOW);
        assert_eq!(make(b"etc", New::Directory), Err(Errno::EXIST));
        assert_eq!(make(b"..", New::File), Err(Errno::INVAL));
        assert_eq!(make(&[b'x'; 256], New::File), Err(Errno::NAMETOOLONG));
        assert_eq!(make(b"long", New::Symlink(vec![b'x'; 4096])), Err(Errno::NAMETOOLONG));
        let empty = make(b"empty", New::Directory).unwrap();
        let file = make(b"file", New::File).unwrap();
        let rename =
            |tree: &mut Tree, from: (u64, &[u8]), to: (u64, &[u8])| tree.rename(from, to, IfTaken::Replace, NOW);
        assert_eq!(rename(tree, (root, b"etc"), (many, b"below")), Err(Errno::INVAL));
        assert_eq!(rename(tree, (root, b"etc"), (root, b"file")), Err(Errno::NOTDIR));
        assert_eq!(rename(tree, (root, b"file"), (root, b"empty")), Err(Errno::ISDIR));
        assert_eq!(rename(tree, (root, b"empty"), (root, b"etc")), Err(Errno::NOTEMPTY));
        assert_eq!(rename(tree, (root, b"none"), (root, b"etc")), Err(Errno::NOENT));
        assert_eq!(tree.rename((root, b"file"), (root, b"etc"), IfTaken::Refuse, NOW), Err(Errno::EXIST));
        assert_eq!(tree.rename((root, b"etc"), (many, b"1"), IfTaken::Exchange, NOW), Err(Errno::INVAL));
        assert_eq!(tree.unlink(root, b"empty", NOW), Err(Errno::ISDIR));
        assert_eq!(tree.remove_directory(root, b"etc", NOW), Err(Errno::NOTEMPTY));
        assert_eq!(tree.remove_directory(root, b"file", NOW), Err(Errno::NOTDIR));
        assert_eq!(tree.link(etc, root, b"twin", NOW), Err(Errno::PERM));
        // A directory that somebody is in while it goes takes nothing any more.
        tree.remember(empty);
        tree.remove_directory(root, b"empty", NOW).unwrap();
        assert_eq!(tree.create(empty, b"late", New::File, (0o644, 0), ROOT, NOW), Err(Errno::NOENT));
        // A file that is open stays until it is forgotten.
        tree.remember(file);
        tree.unlink(root, b"file", NOW).unwrap();
        tree.write(file, 0, b"still", false, NOW).unwrap();
        assert_eq!(tree.facts(file).unwrap().metadata.links, 0);
        tree.forget(file, 1);
        assert_eq!(tree.facts(file), Err(Errno::STALE));
        assert_eq!(tree.facts(etc).unwrap().metadata.kind, FileKind::Directory);
    });
}

/// Floods: what a command writes is bounded by the room that the guest has.
#[test]
fn a_full_file_system_refuses_and_takes_again_what_is_freed() {
    let lab = Lab::new();
    lab.change(|tree| {
        let root = tree.root();
        let free = tree.space().free_blocks * tree.space().block_size_bytes;
        let flood = tree.create(root, b"flood", New::File, (0o644, 0), ROOT, NOW).unwrap();
        let mut written = 0;
        let full = loop {
            match tree.write(flood, written, &[7; 1 << 20], false, NOW) {
                Ok(()) => written += 1 << 20,
                Err(error) => break error,
            }
        };
        assert_eq!(full, Errno::NOSPC);
        assert!(written <= free && written > free - (2 << 20), "{written} of {free}");
        // Nothing is written, so that it takes no room, however far away it is.
        let sparse = tree.create(root, b"sparse", New::File, (0o644, 0), ROOT, NOW).unwrap();
        let far = Settings { size_bytes: Some(1 << 40), ..Settings::default() };
        tree.set(sparse, &far, NOW).unwrap();
        assert_eq!(tree.write(sparse, u64::MAX - 3, b"four", false, NOW), Err(Errno::FBIG));
        let too_far = Settings { size_bytes: Some(1 << 45), ..Settings::default() };
        assert_eq!(tree.set(sparse, &too_far, NOW), Err(Errno::FBIG));
        tree.unlink(root, b"sparse", NOW).unwrap();
        tree.unlink(root, b"flood", NOW).unwrap();
        assert!(tree.space().free_blocks * tree.space().block_size_bytes >= free - 4096);
        write(tree, "/", "small", &"x".repeat(1 << 20));
    });
}
