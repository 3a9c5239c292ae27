//! What a sequence starts from: a file system that `mke2fs` made, and the tree that is in it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ext4::{Attributes, FileSystem, Time};
use storage::FileStorage;
use tempfile::TempDir;
use testkit::judge::judge;

use crate::content::Pattern;
use crate::matrix::{Entry, Start};
use crate::operation::Operation;
use crate::sequence::step;
use crate::tree::{Limits, Name, Path as Inside, Place, Tree};

/// The same bytes each time, as far as it is in our hands.
const FIXED: &[&str] =
    &["-q", "-F", "-U", "01234567-89ab-4cde-8f01-23456789abcd", "-E", "hash_seed=01234567-89ab-4cde-8f01-23456789abcd"];
const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o755, uid: 1, gid: 2, modified: Time { seconds: 1_600_000_000, nanoseconds: 0 } };
/// Single blocks that are made free apart from each other.
const FRAGMENTS: u64 = 1000;

/// A file system to be copied, and what is in it.
pub(crate) struct Prepared {
    folder: TempDir,
    pub(crate) tree: Tree,
}

impl Prepared {
    pub(crate) fn new(entry: &Entry) -> Self {
        let folder = scratch();
        let populate = matches!(entry.start, Start::Populated | Start::PopulatedNearlyFull(_))
            .then(|| populate(&folder.path().join("tree")));
        make(entry, folder.path());
        let image = folder.path().join("image");
        let mut filesystem = open(&image);
        let mut tree = Tree::new(limits(&filesystem), &ATTRIBUTES);
        let set = |path: Inside| Operation::SetAttributes { path, attributes: ATTRIBUTES };
        step(&set(Inside::default()), &mut tree, &mut filesystem);
        for made in populate.into_iter().flatten() {
            made.carry_out(&mut tree);
            let (Operation::CreateFile { at, .. }
            | Operation::CreateDirectory { at, .. }
            | Operation::CreateSymlink { at, .. }) = &made
            else {
                continue;
            };
            step(&set(at.path()), &mut tree, &mut filesystem);
        }
        match entry.start {
            Start::Empty | Start::Populated => {}
            Start::NearlyFull(blocks) | Start::PopulatedNearlyFull(blocks) => fill(blocks, &mut tree, &mut filesystem),
            Start::Fragmented(blocks) => {
                fill(2 * FRAGMENTS + blocks, &mut tree, &mut filesystem);
                fragment(&mut tree, &mut filesystem);
            }
        }
        filesystem.flush().unwrap();
        drop(filesystem);
        testkit::judge::assert_e2fsck_clean(&image, 0);
        Self { folder, tree }
    }

    /// The file system itself, which nobody changes.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// A copy of the file system.
    pub(crate) fn copy(&self, target: &Path) {
        fs::copy(self.image(), target).unwrap();
    }
}

/// A folder that is in memory where the machine has one.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn open(image: &Path) -> FileSystem<FileStorage> {
    let file = File::options().read(true).write(true).open(image).unwrap();
    FileSystem::open(FileStorage::new(file).unwrap()).unwrap()
}

fn limits(filesystem: &FileSystem<FileStorage>) -> Limits {
    let superblock = filesystem.superblock();
    let has = |name: &str| superblock.features().iter().any(|feature| feature == name);
    Limits {
        block_bytes: u64::from(superblock.block_size_bytes()),
        inode_bytes: u64::from(superblock.inode_size_bytes()),
        extents: has("extent"),
        huge_file: has("huge_file"),
        inline_data: has("inline_data"),
    }
}

/// Makes `image` in the folder, with what is in `tree` there, if anything is.
fn make(entry: &Entry, folder: &Path) {
    let (image, tree) = (folder.join("image"), folder.join("tree"));
    let mut mke2fs = judge("mke2fs").args(FIXED).args(entry.options);
    if tree.exists() {
        mke2fs = mke2fs.arg("-d").arg(tree);
    }
    mke2fs.arg(&image).arg(format!("{}k", entry.size_kib)).succeed();
    for command in entry.then {
        judge(command[0]).args(&command[1..]).arg(&image).succeed();
    }
}

/// Makes a tree on the host and returns how it would have been made by us.
fn populate(root: &Path) -> Vec<Operation> {
    let mut made = Vec::new();
    fs::create_dir(root).unwrap();
    let place = |parent: &[&str], name: String| Place {
        parent: Inside(parent.iter().map(|name| Name(name.as_bytes().to_vec())).collect()),
        name: Name(name.into_bytes()),
    };
    let host = |at: &Place| -> PathBuf { root.join(String::from_utf8(at.path().bytes()).unwrap()) };
    for parent in [&[][..], &["small"], &["small", "deep"], &["wide"]] {
        if let Some((name, above)) = parent.split_last() {
            let at = place(above, (*name).to_owned());
            fs::create_dir(host(&at)).unwrap();
            made.push(Operation::CreateDirectory { at, attributes: ATTRIBUTES });
        }
        // As long as fits the inode, and longer; a directory of two names fits it, too.
        let lengths = if parent.len() == 2 { 59..61 } else { 0..40 };
        for number in lengths {
            let at = place(parent, format!("file-{number}"));
            let content = Pattern { seed: number, length_bytes: number * number / 3 * 2 };
            fs::write(host(&at), content.bytes()).unwrap();
            made.push(Operation::CreateFile { at, content, attributes: ATTRIBUTES });
        }
        for length in [5, 59, 60, 61, 90, 200] {
            let at = place(parent, format!("link-{length}"));
            let target = "t".repeat(length);
            if parent.len() < 2 {
                symlink(&target, host(&at)).unwrap();
                made.push(Operation::CreateSymlink { at, target: target.into_bytes(), attributes: ATTRIBUTES });
            }
        }
    }
    made
}

fn root_place(name: &str) -> Place {
    Place { parent: Inside::default(), name: Name(name.as_bytes().to_vec()) }
}

/// Leaves about so many blocks free.
fn fill(left: u64, tree: &mut Tree, filesystem: &mut FileSystem<FileStorage>) {
    let block = tree.limits.block_bytes;
    let free = filesystem.superblock().free_blocks();
    // A map of pointers takes one block for so many of content.
    let blocks = (free - left) * (block / 4) / (block / 4 + 2);
    let content = Pattern { seed: 99, length_bytes: blocks * block };
    step(&Operation::CreateFile { at: root_place("filler"), content, attributes: ATTRIBUTES }, tree, filesystem);
}

/// Two files take turns, and one of them goes.
fn fragment(tree: &mut Tree, filesystem: &mut FileSystem<FileStorage>) {
    let block = tree.limits.block_bytes;
    let places = [root_place("stays"), root_place("goes")];
    for at in &places {
        let content = Pattern { seed: 0, length_bytes: 0 };
        step(&Operation::CreateFile { at: at.clone(), content, attributes: ATTRIBUTES }, tree, filesystem);
    }
    for number in 0..FRAGMENTS {
        for at in &places {
            let content = Pattern { seed: number, length_bytes: block };
            let write = Operation::WriteFileAt { path: at.path(), offset: number * block, content };
            step(&write, tree, filesystem);
        }
    }
    let [_, goes] = places;
    step(&Operation::RemoveFile { at: goes }, tree, filesystem);
}
