//! What the model has, held against what we read and what the kernel shows.

use std::collections::BTreeMap;

use ext4::{FileSystem, Special};
use storage::WriteAt;
use testkit::tree::{Kind as NodeKind, Node, Tree as Nodes};

use crate::operation::resolve;
use crate::read::{assert_same, our_tree};
use crate::tree::{Id, Kind, Object, Tree};

/// Larger files are not read by us from end to end.
const WHOLE_BYTES: u64 = 4 << 20;
/// What `mke2fs` makes, and what `e2fsck` misses where it is not there.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// The model in the shape of the kernel's view. How large a directory is, is the file system's own
/// affair: 0 everywhere.
pub(crate) fn expected(tree: &Tree) -> Nodes {
    let mut contents: BTreeMap<Id, u32> = BTreeMap::new();
    let mut nodes = Nodes::new();
    tree.walk(&mut |path, id| {
        let object = &tree.objects[&id];
        let content = match &object.kind {
            Kind::File(content) => Some(*contents.entry(id).or_insert_with(|| content.crc32c())),
            _ => None,
        };
        nodes.insert(path.bytes(), Node { links: links(tree, id), content_crc32c: content, ..node(object) });
    });
    nodes
}

fn links(tree: &Tree, id: Id) -> u64 {
    let Some(names) = tree.names(id) else { return tree.objects[&id].names };
    let below = names.values().filter(|below| tree.objects[below].is_directory()).count() as u64;
    // The root has lost+found, too.
    2 + below + u64::from(id == crate::tree::ROOT)
}

fn node(object: &Object) -> Node {
    let (kind, size_bytes) = match &object.kind {
        Kind::File(content) => (NodeKind::Regular, content.size_bytes()),
        Kind::Symlink(target) => (NodeKind::Symlink, target.len() as u64),
        Kind::Directory { .. } => (NodeKind::Directory, 0),
        Kind::Special(Special::CharDevice { .. }) => (NodeKind::CharDevice, 0),
        Kind::Special(Special::BlockDevice { .. }) => (NodeKind::BlockDevice, 0),
        Kind::Special(Special::Fifo) => (NodeKind::Fifo, 0),
        Kind::Special(Special::Socket) => (NodeKind::Socket, 0),
    };
    Node {
        kind,
        permissions: u32::from(object.permissions),
        uid: object.uid,
        gid: object.gid,
        size_bytes,
        modified: (object.modified.seconds, object.modified.nanoseconds),
        links: 0,
        target: if let Kind::Symlink(target) = &object.kind { Some(target.clone()) } else { None },
        device: match object.kind {
            Kind::Special(Special::CharDevice { major, minor } | Special::BlockDevice { major, minor }) => {
                Some((major, minor))
            }
            _ => None,
        },
        xattrs: object.xattrs.clone(),
        content_crc32c: None,
    }
}

/// Without what is not in the model.
fn plain(mut nodes: Nodes) -> Nodes {
    nodes.retain(|path, _| path.split(|byte| *byte == b'/').next() != Some(LOST_AND_FOUND));
    nodes.values_mut().filter(|node| node.kind == NodeKind::Directory).for_each(|node| node.size_bytes = 0);
    nodes
}

/// What we read is the model.
pub(crate) fn assert_we_read<S: WriteAt>(filesystem: &FileSystem<S>, tree: &Tree, expected: &Nodes) {
    let mut expected = expected.clone();
    expected.values_mut().filter(|node| node.size_bytes > WHOLE_BYTES).for_each(|node| node.content_crc32c = None);
    assert_same(&plain(our_tree(filesystem, WHOLE_BYTES)), &expected, "our own reading");
    tree.walk(&mut |path, id| {
        let object = &tree.objects[&id];
        let number = resolve(filesystem, path);
        let inode = filesystem.inode(number).unwrap();
        assert_eq!((inode.accessed(), inode.changed()), (object.accessed, object.changed), "{path:?}, our own reading");
        let Kind::File(content) = &object.kind else { return };
        if content.size_bytes() <= WHOLE_BYTES {
            return;
        }
        let size = content.size_bytes();
        let mut end_before = 0;
        for (offset, bytes) in content.written().chain([(size, &[][..])]) {
            // What is written, and a little of the zeros in front of it.
            let from = end_before.max(offset.saturating_sub(9000));
            let mut read = vec![1; (offset - from) as usize + bytes.len()];
            let length = filesystem.read_file_at(number, from, &mut read).unwrap();
            assert_eq!(length, read.len(), "{path:?} at {from}");
            let (zeros, found) = read.split_at((offset - from) as usize);
            assert!(zeros.iter().all(|byte| *byte == 0), "{path:?}: zeros from {from} to {offset}");
            assert!(found == bytes, "{path:?}: content at {offset}");
            end_before = offset + bytes.len() as u64;
        }
    });
}

/// What the kernel shows is the model.
#[cfg(feature = "full-tests")]
pub(crate) fn assert_the_kernel_shows(image: &std::path::Path, expected: &Nodes) {
    let length = std::fs::metadata(image).unwrap().len();
    let mount = testkit::mount::Mount::read_only(image, &(0..length));
    assert_same(&plain(testkit::tree::walk_kernel(&mount.path())), expected, "the kernel");
}
