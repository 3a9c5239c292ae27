//! File systems that their own tools make of a folder, without the kernel.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::{FileSystem, Volume};
use storage::{FileStorage, Overlay};
use testkit::judge::judge;

/// The file system in a file, as a disk without partitions.
pub(crate) fn open(path: &Path) -> Volume {
    let file = FileStorage::new(File::open(path).unwrap()).unwrap();
    let spill = Box::new(|| Err(std::io::ErrorKind::Unsupported.into()));
    crate::volume(Arc::new(Overlay::new(file, 64 << 20, spill)))
}

/// A folder with what both tools can copy.
fn source(folder: &Path) -> PathBuf {
    let source = folder.join("source");
    fs::create_dir_all(source.join("etc/directory")).unwrap();
    fs::write(source.join("etc/os-release"), "ID=made\n").unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::write(source.join("large"), (0..700_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    std::os::unix::fs::symlink("etc/os-release", source.join("link")).unwrap();
    for number in 0..300 {
        fs::write(source.join(format!("etc/directory/a name of some length {number}")), number.to_string()).unwrap();
    }
    source
}

pub(crate) fn btrfs(folder: &Path, options: &[&str]) -> PathBuf {
    let path = folder.join("btrfs");
    File::create(&path).unwrap().set_len(128 << 20).unwrap();
    let source = source(folder);
    judge("mkfs.btrfs").args(["-q", "--rootdir"]).arg(source).args(options).arg(&path).succeed();
    path
}

/// The tool takes no names with spaces, and no tree: it takes a list of files.
pub(crate) fn xfs(folder: &Path, options: &[&str]) -> PathBuf {
    let path = folder.join("xfs");
    File::create(&path).unwrap().set_len(320 << 20).unwrap();
    let source = source(folder);
    let mut list = String::from("/none\n0 0\nd--755 0 0\n");
    list += &format!("large ---644 1 2 {}\n", source.join("large").display());
    list += &format!("empty ---600 0 0 {}\n", source.join("empty").display());
    list += "link l--777 0 0 etc/os-release\nnull c--666 0 0 1 3\nfifo p--640 0 0\netc d--755 0 0\n";
    list += &format!("os-release -u-755 3 4 {}\n", source.join("etc/os-release").display());
    list += "directory d--711 0 0\n";
    for number in 0..300 {
        let name = format!("a name of some length {number}");
        let content = source.join("etc/directory").join(&name);
        let link = folder.join(format!("content-{number}"));
        std::os::unix::fs::symlink(content, &link).unwrap();
        list += &format!("{} ---644 0 0 {}\n", name.replace(' ', "-"), link.display());
    }
    list += "$\n$\n$\n";
    let prototype = folder.join("prototype");
    fs::write(&prototype, list).unwrap();
    judge("mkfs.xfs").arg("-q").args(options).arg("-p").arg(prototype).arg(&path).succeed();
    path
}

fn content(file_system: &dyn FileSystem, names: &[&str]) -> Vec<u8> {
    let mut node = file_system.root();
    for name in names {
        node = file_system.lookup(&node, name.as_bytes()).unwrap().unwrap().0;
    }
    let mut content = vec![0; file_system.metadata(&node).unwrap().size_bytes as usize];
    assert_eq!(file_system.read_at(&node, 0, &mut content).unwrap(), content.len());
    content
}

#[test]
fn a_btrfs_has_the_files_of_the_folder_that_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let volume = open(&btrfs(folder.path(), &["-L", "made of a folder"]));
    let file_system = volume.file_system().unwrap();
    assert_eq!((file_system.kind(), file_system.label()), ("btrfs", &b"made of a folder"[..]));
    let kernel = testkit::tree::walk_kernel(&folder.path().join("source"));
    let mut ours = crate::tree::walk(file_system);
    for (path, there) in kernel {
        let mut node = ours.remove(&path).unwrap();
        // The tool leaves out parts of seconds, and the time of the root; directories have one link here.
        node.modified = if path.is_empty() { there.modified } else { (node.modified.0, there.modified.1) };
        if there.kind == testkit::tree::Kind::Directory {
            (node.links, node.size_bytes) = (there.links, there.size_bytes);
        }
        assert_eq!(node, there, "{}", path.escape_ascii());
    }
    assert!(ours.is_empty(), "{} files too many", ours.len());
}

#[test]
fn an_xfs_has_the_files_of_the_list_that_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let volume = open(&xfs(folder.path(), &["-L", "made", "-m", "rmapbt=1", "-i", "nrext64=1"]));
    let file_system = volume.file_system().unwrap();
    assert_eq!((file_system.kind(), file_system.label()), ("xfs", &b"made"[..]));
    assert!(file_system.features().iter().any(|feature| feature == "nrext64"), "{:?}", file_system.features());
    let tree = crate::tree::walk(file_system);
    assert_eq!(tree.len(), 9 + 300);
    assert_eq!(content(file_system, &["large"]), fs::read(folder.path().join("source/large")).unwrap());
    assert_eq!(content(file_system, &["etc", "directory", "a-name-of-some-length-299"]), b"299");
    let node = &tree[&b"etc/os-release"[..]];
    assert_eq!((node.permissions, node.uid, node.gid), (0o4755, 3, 4));
    assert_eq!(tree[&b"null"[..]].device, Some((1, 3)));
    assert_eq!(tree[&b"link"[..]].target.as_deref(), Some(&b"etc/os-release"[..]));
    assert_eq!(tree[&b"fifo"[..]].kind, testkit::tree::Kind::Fifo);
}
