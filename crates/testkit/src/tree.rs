//! A directory tree as the kernel shows it, as a value that can be compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::SeekFrom;

/// Path from the root of the tree on, without a leading slash → the node. The root itself is
/// at the empty path.
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// A node of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its type.
    pub kind: Kind,
    /// The permissions, of 07777.
    pub permissions: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The size in bytes.
    pub size_bytes: u64,
    /// When it was last modified: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// The number of its names.
    pub links: u64,
    /// Where a symbolic link points to.
    pub target: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Extended attributes by their full names.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// CRC-32C of a file's content.
    pub content_crc32c: Option<u32>,
}

/// The type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Reads the tree below `root`, which is on one file system, without following links.
///
/// # Panics
///
/// If the kernel refuses anything.
pub fn walk_kernel(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, Vec::new(), &mut tree);
    tree
}

fn walk(path: &Path, name: Vec<u8>, tree: &mut Tree) {
    let node = read(path);
    let is_directory = node.kind == Kind::Directory;
    if is_directory {
        for entry in fs::read_dir(path).unwrap() {
            let file_name = entry.unwrap().file_name();
            let mut inside = name.clone();
            if !inside.is_empty() {
                inside.push(b'/');
            }
            inside.extend_from_slice(file_name.as_bytes());
            walk(&path.join(&file_name), inside, tree);
        }
    }
    tree.insert(name, node);
}

fn read(path: &Path) -> Node {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let kind = kind_of(&metadata);
    let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    Node {
        kind,
        permissions: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        size_bytes: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec() as u32),
        links: metadata.nlink(),
        target: (kind == Kind::Symlink).then(|| fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()),
        device: is_device.then(|| (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()))),
        xattrs: xattrs(path),
        content_crc32c: (kind == Kind::Regular).then(|| crc32c_of(path)),
    }
}

fn kind_of(metadata: &Metadata) -> Kind {
    let file_type = metadata.file_type();
    match () {
        () if file_type.is_dir() => Kind::Directory,
        () if file_type.is_symlink() => Kind::Symlink,
        () if file_type.is_char_device() => Kind::CharDevice,
        () if file_type.is_block_device() => Kind::BlockDevice,
        () if file_type.is_fifo() => Kind::Fifo,
        () if file_type.is_socket() => Kind::Socket,
        () => Kind::Regular,
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    // The kernel's own limits of a list and of a value.
    let mut buffer = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut buffer[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => panic!("{}: {error}", path.display()),
    };
    let names: Vec<Vec<u8>> = buffer[..length].split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    let names = names.into_iter().filter(|name| !name.is_empty());
    names
        .map(|name| {
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(&name), &mut buffer[..]).unwrap();
            (name, buffer[..length].to_vec())
        })
        .collect()
}

/// Only the parts that the kernel reports as data are read: a sparse file may be too large to read in a test.
fn crc32c_of(path: &Path) -> u32 {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let size = file.metadata().unwrap().len();
    let mut buffer = vec![0; 1 << 20];
    let (mut crc, mut at) = (0, 0);
    // Of files that are in their inode the kernel does not always know: they are read.
    let seek = |place: SeekFrom, unknown: u64| match rustix::fs::seek(&file, place) {
        Ok(found) => found.min(size),
        Err(rustix::io::Errno::NXIO) => size,
        Err(rustix::io::Errno::NOENT) => unknown,
        Err(error) => panic!("{}: {error}", path.display()),
    };
    while at < size {
        let data = seek(SeekFrom::Data(at), at);
        crc = crc32c_append_zeros(crc, data - at);
        at = data;
        let hole = seek(SeekFrom::Hole(at), size);
        while at < hole {
            let part = &mut buffer[..(hole - at).min(1 << 20) as usize];
            file.read_exact_at(part, at).unwrap_or_else(|error| panic!("{}, offset {at}: {error}", path.display()));
            crc = crc32c::crc32c_append(crc, part);
            at += part.len() as u64;
        }
    }
    crc
}

/// The CRC-32C of the data of `crc` followed by `length_bytes` zeros, however many they are.
pub fn crc32c_append_zeros(crc: u32, length_bytes: u64) -> u32 {
    const STEP: [u8; 4096] = [0; 4096];
    let mut crc = crc32c::crc32c_append(crc, &STEP[..(length_bytes % STEP.len() as u64) as usize]);
    let mut power = crc32c::crc32c(&STEP);
    for bit in STEP.len().trailing_zeros()..u64::BITS {
        if length_bytes >> bit == 0 {
            break;
        }
        if length_bytes >> bit & 1 == 1 {
            crc = crc32c::crc32c_combine(crc, power, 1 << bit);
        }
        power = crc32c::crc32c_combine(power, power, 1 << bit);
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_counts_as_the_zeros_that_it_reads_as() {
        for length in [0, 1, 4095, 4096, 12_289, 5_000_000] {
            let zeros = [b"graft".to_vec(), vec![0; length]].concat();
            assert_eq!(crc32c_append_zeros(crc32c::crc32c(b"graft"), length as u64), crc32c::crc32c(&zeros));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let file = fs::File::create(&path).unwrap();
        file.set_len(300_000).unwrap();
        file.write_all_at(b"123456789", 100_000).unwrap();
        assert_eq!(crc32c_of(&path), crc32c::crc32c(&fs::read(&path).unwrap()));
    }

    #[test]
    fn a_tree_is_read_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/f"), b"123456789").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("d/l")).unwrap();
        let tree = walk_kernel(root);
        let names: Vec<&[u8]> = tree.keys().map(Vec::as_slice).collect();
        assert_eq!(names, [&b""[..], b"d", b"d/f", b"d/l"]);
        assert_eq!(tree[&b"d/f"[..]].content_crc32c, Some(0xe306_9283));
        assert_eq!(tree[&b"d/l"[..]].target.as_deref(), Some(&b"/etc"[..]));
    }
}
