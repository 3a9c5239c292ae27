//! A file system as this crate reads it, as a value that can be compared with the kernel's.

use std::collections::BTreeMap;

use guest::file_system::Node;
use guest::{FileKind, FileSystem, FileSystemError};
use testkit::tree::{self, Kind, Tree};

/// How much of a file is read at once, in bytes: neither a whole number of blocks nor of extents.
const PART_BYTES: usize = 300_001;

/// All of a file system from its root on.
pub(crate) fn walk(file_system: &dyn FileSystem) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![(file_system.root(), Vec::new())];
    while let Some((node, path)) = pending.pop() {
        let read = read(file_system, &node).unwrap_or_else(|error| panic!("{}: {error}", path.escape_ascii()));
        if read.kind == Kind::Directory {
            for child in file_system.children(&node).unwrap() {
                let found = file_system.lookup(&node, &child.name).unwrap();
                assert_eq!(found, Some((child.node.clone(), child.kind)), "{}", child.name.escape_ascii());
                let path = [path.as_slice(), if path.is_empty() { b"" } else { b"/" }, &child.name].concat();
                pending.push((child.node, path));
            }
            assert_eq!(file_system.lookup(&node, b"no such name").unwrap(), None);
        }
        tree.insert(path, read);
    }
    tree
}

fn read(file_system: &dyn FileSystem, node: &Node) -> Result<tree::Node, FileSystemError> {
    let metadata = file_system.metadata(node)?;
    let kind = match metadata.kind {
        FileKind::Regular => Kind::Regular,
        FileKind::Directory => Kind::Directory,
        FileKind::Symlink => Kind::Symlink,
        FileKind::CharDevice => Kind::CharDevice,
        FileKind::BlockDevice => Kind::BlockDevice,
        FileKind::Fifo => Kind::Fifo,
        FileKind::Socket => Kind::Socket,
    };
    Ok(tree::Node {
        kind,
        permissions: metadata.permissions.into(),
        uid: metadata.uid,
        gid: metadata.gid,
        size_bytes: metadata.size_bytes,
        modified: (metadata.modified.seconds, metadata.modified.nanoseconds),
        links: metadata.links.into(),
        target: (kind == Kind::Symlink).then(|| file_system.read_link(node)).transpose()?,
        device: metadata.device,
        xattrs: BTreeMap::from_iter(file_system.xattrs(node)?),
        content_crc32c: (kind == Kind::Regular).then(|| content(file_system, node, metadata.size_bytes)).transpose()?,
    })
}

fn content(file_system: &dyn FileSystem, file: &Node, size_bytes: u64) -> Result<u32, FileSystemError> {
    let mut buffer = vec![0; PART_BYTES];
    let (mut crc, mut at) = (0, 0);
    while at < size_bytes {
        let read = file_system.read_at(file, at, &mut buffer)?;
        assert_eq!(read as u64, (size_bytes - at).min(PART_BYTES as u64), "a read ends at the end of the file only");
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
        at += read as u64;
    }
    Ok(crc)
}
