//! Random edits against a tree in memory, over the feature matrix: afterwards `e2fsck -fn` says
//! nothing, our own check says nothing, and what `debugfs` takes out of the file system is the tree.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stdout, reason = "seeds are printed, to be had again")]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ext4::{Attributes, Error, FileKind, FileSystem, InodeNumber, Time};
use storage::FileStorage;
use support::Random;

/// Options of `mke2fs`, and the size of the file system in KiB.
const MATRIX: &[(&str, &[&str], u64)] = &[
    (
        "noble",
        &["-t", "ext4", "-b", "4096", "-i", "8192", "-O", "metadata_csum,64bit,^orphan_file,^metadata_csum_seed"],
        65536,
    ),
    (
        "26.04",
        &["-t", "ext4", "-b", "4096", "-i", "8192", "-O", "metadata_csum,64bit,orphan_file,metadata_csum_seed"],
        65536,
    ),
    ("1 KiB blocks", &["-t", "ext4", "-b", "1024", "-i", "4096", "-O", "metadata_csum,64bit"], 49152),
    ("2 KiB blocks, no 64bit", &["-t", "ext4", "-b", "2048", "-O", "^64bit,^metadata_csum,uninit_bg"], 49152),
    ("no checksums", &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg,^flex_bg"], 32768),
    ("tea hash, 128-byte inodes", &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum"], 32768),
    ("meta_bg, no resize_inode", &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,metadata_csum"], 65536),
    ("sparse_super2", &["-t", "ext4", "-b", "4096", "-O", "sparse_super2,metadata_csum"], 65536),
    ("no dir_index, no filetype", &["-t", "ext4", "-b", "1024", "-O", "^dir_index,^filetype"], 32768),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File { content: Vec<u8>, attributes: Attributes },
    Symlink { target: Vec<u8> },
    Directory { attributes: Attributes },
}

struct Model {
    /// Path from the root, without a slash at its start → what is there.
    nodes: BTreeMap<String, Node>,
    random: Random,
}

impl Model {
    fn parent(&mut self) -> String {
        let directories: Vec<&String> = self
            .nodes
            .iter()
            .filter(|(_, node)| matches!(node, Node::Directory { .. }))
            .map(|(path, _)| path)
            .collect();
        // The root is as likely as all others: it is to grow an index.
        if directories.is_empty() || self.random.0 & 0x10 == 0 {
            self.random.below(2);
            return String::new();
        }
        let index = self.random.0 as usize % directories.len();
        let parent = format!("{}/", directories[index]);
        self.random.below(2);
        parent
    }

    fn name(&mut self) -> String {
        let number = self.random.below(1 << 30);
        let length = if self.random.below(8) == 0 { 200 } else { 12 };
        format!("{number:x}-ä{}", "n".repeat(length))
    }

    fn attributes(&mut self) -> Attributes {
        Attributes {
            permissions: 0o400 | self.random.below(0o1000) as u16,
            uid: self.random.below(200_000) as u32,
            gid: self.random.below(200_000) as u32,
            modified: Time { seconds: 1_500_000_000 + self.random.below(100_000_000) as i64, nanoseconds: 0 },
        }
    }
}

fn resolve<S: storage::WriteAt>(filesystem: &FileSystem<S>, path: &str) -> InodeNumber {
    path.split('/').filter(|name| !name.is_empty()).fold(InodeNumber::ROOT, |parent, name| {
        filesystem.lookup(parent, name.as_bytes()).unwrap().unwrap_or_else(|| panic!("{path} is gone"))
    })
}

fn step<S: storage::WriteAt>(model: &mut Model, filesystem: &mut FileSystem<S>) -> Result<(), Error> {
    let files: Vec<String> = model
        .nodes
        .iter()
        .filter(|(_, node)| !matches!(node, Node::Directory { .. }))
        .map(|(path, _)| path.clone())
        .collect();
    let choice = model.random.below(100);
    if choice < 25 && files.len() > 4 {
        let path = files[model.random.below(files.len() as u64) as usize].clone();
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        filesystem.remove_file(resolve(filesystem, parent), name.as_bytes())?;
        model.nodes.remove(&path);
        return Ok(());
    }
    if choice < 32 && !files.is_empty() {
        let path = files[model.random.below(files.len() as u64) as usize].clone();
        let attributes = model.attributes();
        if let Some(Node::File { attributes: kept, .. }) = model.nodes.get_mut(&path) {
            filesystem.set_attributes(resolve(filesystem, &path), &attributes)?;
            *kept = attributes;
        }
        return Ok(());
    }
    let parent_path = model.parent();
    let name = model.name();
    let path = format!("{parent_path}{name}");
    let parent = resolve(filesystem, &parent_path);
    let attributes = model.attributes();
    let existed = model.nodes.contains_key(&path);
    let node = if choice < 40 {
        filesystem.create_directory(parent, name.as_bytes(), &attributes).map(|_| Node::Directory { attributes })
    } else if choice < 55 {
        let target = "t".repeat(1 + model.random.below(900) as usize).into_bytes();
        let created = filesystem.create_symlink(parent, name.as_bytes(), &target, &attributes);
        created.map(|_| Node::Symlink { target })
    } else {
        let size = match model.random.below(10) {
            0 => model.random.below(400_000),
            1 => 0,
            _ => model.random.below(6000),
        };
        let content: Vec<u8> = (0..size).map(|at| (at * 31 + size) as u8).collect();
        let created = filesystem.create_file(parent, name.as_bytes(), &attributes, size, &mut &content[..]);
        created.map(|_| Node::File { content, attributes })
    };
    match (node, existed) {
        (Ok(node), false) => {
            model.nodes.insert(path, node);
            Ok(())
        }
        (Err(Error::Exists { .. }), true) => Ok(()),
        (Ok(_), true) => panic!("{path} was created twice"),
        (Err(error), _) => Err(error),
    }
}

fn make(options: &[&str], size_kib: u64, path: &Path) {
    testkit::judge::judge("mke2fs")
        .args([
            "-q",
            "-F",
            "-U",
            "01234567-89ab-4cde-8f01-23456789abcd",
            "-E",
            "hash_seed=01234567-89ab-4cde-8f01-23456789abcd",
        ])
        .args(options)
        .arg(path)
        .arg(format!("{size_kib}k"))
        .succeed();
}

/// Our own reading of the whole tree.
fn read_tree(filesystem: &FileSystem<FileStorage>) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    let mut left = vec![(String::new(), InodeNumber::ROOT)];
    while let Some((prefix, directory)) = left.pop() {
        for entry in filesystem.read_directory(directory).unwrap() {
            let path = format!("{prefix}{}", String::from_utf8(entry.name).unwrap());
            if path == "lost+found" {
                continue;
            }
            let inode = filesystem.inode(entry.inode).unwrap();
            let attributes = Attributes {
                permissions: inode.permissions(),
                uid: inode.uid(),
                gid: inode.gid(),
                modified: inode.modified(),
            };
            let node = match inode.kind().unwrap() {
                FileKind::Directory => {
                    left.push((format!("{path}/"), entry.inode));
                    Node::Directory { attributes }
                }
                FileKind::Symlink => Node::Symlink { target: filesystem.read_link(entry.inode).unwrap() },
                _ => {
                    let mut content = vec![0; inode.size_bytes() as usize];
                    assert_eq!(filesystem.read_file_at(entry.inode, 0, &mut content).unwrap(), content.len());
                    Node::File { content, attributes }
                }
            };
            nodes.insert(path, node);
        }
    }
    nodes
}

/// What `debugfs` writes out, against the model.
fn compare_with_debugfs(image: &Path, nodes: &BTreeMap<String, Node>) {
    let out = tempfile::tempdir().unwrap();
    testkit::judge::judge("debugfs").arg("-R").arg(format!("rdump / {}", out.path().display())).arg(image).succeed();
    for (path, node) in nodes {
        let host = out.path().join(path);
        let metadata =
            std::fs::symlink_metadata(&host).unwrap_or_else(|error| panic!("debugfs did not find {path}: {error}"));
        match node {
            Node::Directory { .. } => assert!(metadata.is_dir(), "{path}"),
            Node::Symlink { target } => {
                assert_eq!(std::fs::read_link(&host).unwrap().as_os_str().as_encoded_bytes(), target, "{path}");
            }
            Node::File { content, attributes } => {
                assert_eq!(&std::fs::read(&host).unwrap(), content, "{path}");
                assert_eq!(metadata.mtime(), attributes.modified.seconds, "{path}");
                assert_eq!(metadata.mode() & 0o7777, u32::from(attributes.permissions), "{path}");
            }
        }
    }
}

fn run(name: &str, options: &[&str], size_kib: u64, seed: u64, operations: usize) {
    println!("{name}: seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(options, size_kib, &image);
    let open = || FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(open()).unwrap();
    let mut model = Model { nodes: BTreeMap::new(), random: Random(seed | 1) };
    let mut done = 0;
    for _ in 0..operations {
        match step(&mut model, &mut filesystem) {
            Ok(()) => done += 1,
            Err(error) => panic!("{name}, seed {seed}, after {done} operations: {error}"),
        }
    }
    filesystem.flush().unwrap();
    let findings = filesystem.check().unwrap();
    assert!(findings.is_empty(), "{name}, seed {seed}: our check says {findings:#?}");
    drop(filesystem);
    testkit::judge::assert_e2fsck_clean(&image, 0);
    assert_eq!(read_tree(&FileSystem::open(open()).unwrap()), model.nodes, "{name}, seed {seed}");
    compare_with_debugfs(&image, &model.nodes);
}

#[test]
fn random_edits_leave_what_the_model_has_and_e2fsck_accepts() {
    for (number, (name, options, size_kib)) in MATRIX.iter().enumerate() {
        run(name, options, *size_kib, 0x9E37_79B9 + number as u64 * 77, 900);
    }
}

#[test]
fn each_hash_of_names_is_the_one_that_e2fsck_computes() {
    // e2fsck checks that each name is in the leaf its hash belongs in.
    for hash in ["legacy", "half_md4", "tea"] {
        for sign in ["signed_hash", "unsigned_hash"] {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join("image");
            make(&["-t", "ext4", "-b", "1024"], 16384, &image);
            testkit::judge::judge("tune2fs").args(["-E", &format!("hash_alg={hash}")]).arg(&image).succeed();
            let flags = if sign == "signed_hash" { 1 } else { 2 };
            testkit::judge::judge("debugfs").args(["-w", "-R", &format!("ssv flags {flags}")]).arg(&image).succeed();
            let mut filesystem = FileSystem::open(
                FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap(),
            )
            .unwrap();
            let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
            for number in 0..600 {
                let name = format!("Größe {number} {}", "ü".repeat(number % 60));
                filesystem
                    .create_file(InodeNumber::ROOT, name.as_bytes(), &attributes, 0, &mut std::io::empty())
                    .unwrap();
            }
            filesystem.flush().unwrap();
            assert!(filesystem.check().unwrap().is_empty(), "{hash} {sign}");
            testkit::judge::assert_e2fsck_clean(&image, 0);
        }
    }
}

#[test]
fn an_index_grows_a_level_and_splits_its_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "1024", "-N", "40000", "-O", "metadata_csum,64bit"], 65536, &image);
    let open = || FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(open()).unwrap();
    let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
    let parent = filesystem.create_directory(InodeNumber::ROOT, b"many", &attributes).unwrap();
    let name = |number: u32| format!("{number}-{}", "x".repeat(200));
    for number in 0..20_000 {
        filesystem.create_file(parent, name(number).as_bytes(), &attributes, 0, &mut std::io::empty()).unwrap();
    }
    // With three or four names a leaf, the root alone has no room for them all.
    for number in (0..20_000).step_by(3) {
        filesystem.remove_file(parent, name(number).as_bytes()).unwrap();
    }
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    testkit::judge::assert_e2fsck_clean(&image, 0);
    let levels = testkit::judge::judge("debugfs").args(["-R", "htree_dump /many"]).arg(&image).succeed().stdout;
    assert!(levels.contains("Indirect levels: 1"), "{}", &levels[..levels.len().min(400)]);
    let filesystem = FileSystem::open(open()).unwrap();
    assert_eq!(filesystem.read_directory(parent).unwrap().len(), 20_000 - 6_667);
    assert_eq!(filesystem.lookup(parent, name(3).as_bytes()).unwrap(), None);
    assert!(filesystem.lookup(parent, name(19_999).as_bytes()).unwrap().is_some());
}

#[test]
fn a_large_file_in_empty_groups_is_one_extent() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "4096", "-O", "metadata_csum,64bit"], 600 << 10, &image);
    let storage = FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(storage).unwrap();
    let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
    let size = 110 << 20;
    filesystem
        .create_file(InodeNumber::ROOT, b"large", &attributes, size, &mut std::io::Read::take(std::io::repeat(7), size))
        .unwrap();
    filesystem.flush().unwrap();
    testkit::judge::assert_e2fsck_clean(&image, 0);
    let extents = testkit::judge::judge("debugfs").args(["-R", "ex /large"]).arg(&image).succeed().stdout;
    assert_eq!(extents.lines().filter(|line| line.contains(" 0/ 0 ")).count(), 1, "{extents}");
}

#[test]
fn no_space_says_how_much_is_needed_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&["-t", "ext4", "-b", "4096"], 8192, &image);
    let before = std::fs::read(&image).unwrap();
    let storage = FileStorage::new(File::options().read(true).write(true).open(&image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(storage).unwrap();
    let free = filesystem.superblock().free_blocks();
    let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
    let size = (free + 1) * 4096;
    let error =
        filesystem.create_file(InodeNumber::ROOT, b"large", &attributes, size, &mut std::io::repeat(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no space left in the file system: {} blocks ({size} bytes) are needed, {free} ({} bytes) are free",
            free + 1,
            free * 4096
        )
    );
    assert!(std::fs::read(&image).unwrap() == before);
}
