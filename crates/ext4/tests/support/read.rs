//! A file system as we read it, in the shape in which the kernel's view of it comes.

use std::collections::BTreeMap;

use ext4::{FileKind, FileSystem, InodeNumber};
use storage::WriteAt;
use testkit::tree::{Kind, Node, Tree};

/// The whole tree; files of more than `content_limit_bytes` without their content.
pub(crate) fn our_tree<S: WriteAt>(filesystem: &FileSystem<S>, content_limit_bytes: u64) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![(Vec::new(), InodeNumber::ROOT)];
    while let Some((path, number)) = left.pop() {
        if our_kind(filesystem, number) == FileKind::Directory {
            for entry in filesystem.read_directory(number).unwrap() {
                let separator = if path.is_empty() { &b""[..] } else { b"/" };
                left.push(([&path, separator, &entry.name].concat(), entry.inode));
            }
        }
        tree.insert(path, our_node(filesystem, number, content_limit_bytes));
    }
    tree
}

fn our_kind<S: WriteAt>(filesystem: &FileSystem<S>, number: InodeNumber) -> FileKind {
    filesystem.inode(number).unwrap().kind().unwrap()
}

fn our_node<S: WriteAt>(filesystem: &FileSystem<S>, number: InodeNumber, content_limit_bytes: u64) -> Node {
    let inode = filesystem.inode(number).unwrap();
    let kind = inode.kind().unwrap();
    let read_whole = kind == FileKind::Regular && inode.size_bytes() <= content_limit_bytes;
    let content = read_whole.then(|| {
        let mut bytes = vec![0; inode.size_bytes() as usize];
        assert_eq!(filesystem.read_file_at(number, 0, &mut bytes).unwrap(), bytes.len());
        crc32c::crc32c(&bytes)
    });
    let xattrs: BTreeMap<_, _> = filesystem.xattrs(number).unwrap().into_iter().collect();
    Node {
        kind: match kind {
            FileKind::Regular => Kind::Regular,
            FileKind::Directory => Kind::Directory,
            FileKind::Symlink => Kind::Symlink,
            FileKind::CharDevice => Kind::CharDevice,
            FileKind::BlockDevice => Kind::BlockDevice,
            FileKind::Fifo => Kind::Fifo,
            FileKind::Socket => Kind::Socket,
        },
        permissions: u32::from(inode.permissions()),
        uid: inode.uid(),
        gid: inode.gid(),
        size_bytes: inode.size_bytes(),
        modified: (inode.modified().seconds, inode.modified().nanoseconds),
        links: u64::from(inode.links()),
        target: (kind == FileKind::Symlink).then(|| filesystem.read_link(number).unwrap()),
        device: inode.device(),
        xattrs,
        content_crc32c: content,
    }
}

/// Each path of `expected` and no other is in `found`, and the same is there.
#[track_caller]
pub(crate) fn assert_same(found: &Tree, expected: &Tree, what: &str) {
    let name = |path: &[u8]| path.escape_ascii().to_string();
    let missing: Vec<String> =
        expected.keys().filter(|path| !found.contains_key(*path)).map(|path| name(path)).collect();
    let surplus: Vec<String> =
        found.keys().filter(|path| !expected.contains_key(*path)).map(|path| name(path)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "{what}: not there: {missing:?}, not expected: {surplus:?}");
    for (path, node) in expected {
        assert_eq!(&found[path], node, "{what}: {}", name(path));
    }
}
