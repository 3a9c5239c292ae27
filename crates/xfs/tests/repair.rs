//! Files of all forms made and removed, and `xfs_repair -n` asked.

use testkit::judge::judge;
use xfs::{FileKind, Special};

use crate::support::{Draw, KINDS, attributes, is_sound, make, open};

/// Directories of all forms, grown and shrunk.
#[test]
fn directories_of_all_forms_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for (what, options) in KINDS {
        let path = make(folder.path(), "disk", options);
        let root = {
            let disk = open(&path);
            disk.superblock().root()
        };
        for count in [0, 3, 40, 700, 6000] {
            let mut disk = open(&path);
            let directory = disk.create_directory(root, format!("d{count}").as_bytes(), &attributes(1)).unwrap();
            for number in 0..count {
                let name = format!("{number}{}", "x".repeat(number % 60));
                disk.create_file(directory, name.as_bytes(), &attributes(2), 0, &mut &b""[..]).unwrap();
            }
            disk.flush().unwrap();
            is_sound(&path, &format!("{what}: {count} names"));
            let mut disk = open(&path);
            assert_eq!(disk.read_directory(directory).unwrap().len(), count, "{what}");
            for number in (0..count).filter(|number| number % 3 != 1) {
                let name = format!("{number}{}", "x".repeat(number % 60));
                disk.remove_file(directory, name.as_bytes()).unwrap();
            }
            disk.flush().unwrap();
            is_sound(&path, &format!("{what}: {count} names, most of them removed"));
        }
        let mut disk = open(&path);
        let free = disk.free_blocks();
        for count in [0, 3, 40, 700, 6000] {
            disk.remove_tree(root, format!("d{count}").as_bytes()).unwrap();
        }
        assert!(disk.read_directory(root).unwrap().is_empty() && disk.free_blocks() > free);
        disk.flush().unwrap();
        is_sound(&path, &format!("{what}: all removed"));
    }
}

/// Content of many extents, symlinks, special files, attributes in all forms.
#[test]
fn files_of_all_kinds_are_sound_and_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    for (what, options) in KINDS {
        let path = make(folder.path(), "disk", options);
        let mut disk = open(&path);
        let root = disk.superblock().root();
        let mut draw = Draw(42);
        let mut content = vec![0; 3_000_000];
        content.iter_mut().for_each(|byte| *byte = draw.below(256) as u8);
        let file = disk.create_file(root, b"file", &attributes(3), 3_000_000, &mut &content[..]).unwrap();
        let sparse = disk.create_file(root, b"sparse", &attributes(4), 0, &mut &b""[..]).unwrap();
        for number in 0..2000 {
            disk.write_file_at(sparse, number * 20_000, b"data").unwrap();
        }
        disk.create_symlink(root, b"short", b"target", &attributes(5)).unwrap();
        let long = disk.create_symlink(root, b"long", &[b'l'; 1000], &attributes(6)).unwrap();
        let special = Special::BlockDevice { major: 259, minor: 70_000 };
        let device = disk.create_special(root, b"device", special, &attributes(7)).unwrap();
        disk.create_special(root, b"fifo", Special::Fifo, &attributes(8)).unwrap();
        disk.link(file, root, b"second").unwrap();
        let same = disk.create_file(root, b"same", &attributes(8), 0, &mut &b""[..]).unwrap();
        let directory = disk.create_directory(root, b"directory", &attributes(9)).unwrap();
        for number in 0..8 {
            let name = format!("a name in it {number}");
            disk.create_file(directory, name.as_bytes(), &attributes(2), 0, &mut &b""[..]).unwrap();
        }
        let values: [(&str, usize); 6] = [
            ("security.selinux", 40),
            ("trusted.a", 0),
            ("trusted.middle", 200),
            ("trusted.long", 3000),
            ("trusted.longest", 65536),
            ("trusted.another", 10_000),
        ];
        for file in [file, long, device, directory, sparse] {
            for (name, length) in values {
                disk.set_xattr(file, name.as_bytes(), &content[..length]).unwrap();
            }
            for number in 0..200 {
                disk.set_xattr(file, format!("trusted.n{number}").as_bytes(), &content[..100]).unwrap();
            }
        }
        // Names with one hash, whose values do not fit into one leaf together: of half a block each.
        let half = disk.superblock().block_size_bytes() as usize / 2;
        for namespace in ["user", "trusted", "security"] {
            disk.set_xattr(same, format!("{namespace}.same").as_bytes(), &content[..half]).unwrap();
        }
        disk.flush().unwrap();
        is_sound(&path, what);
        let mut disk = open(&path);
        assert_eq!(disk.xattrs(same).unwrap().len(), 3, "{what}");
        disk.remove_file(root, b"same").unwrap();
        assert_eq!(disk.lookup(root, b"second").unwrap(), Some((file, FileKind::Regular)));
        assert_eq!(disk.read_link(long).unwrap(), [b'l'; 1000]);
        for file in [file, long, device, directory, sparse] {
            let found = disk.xattrs(file).unwrap();
            assert_eq!(found.len(), values.len() + 200, "{what}");
            for (name, length) in values {
                let value = &found.iter().find(|(found, _)| found == name.as_bytes()).unwrap().1;
                assert!(value[..] == content[..length], "{what}: {name}");
            }
            for (name, _) in found.iter().skip(1) {
                disk.remove_xattr(file, name).unwrap();
            }
            assert_eq!(disk.xattrs(file).unwrap(), found[..1]);
        }
        assert_eq!(disk.read_directory(directory).unwrap().len(), 8);
        disk.truncate(sparse, 12_345_678).unwrap();
        disk.truncate(file, 5).unwrap();
        disk.flush().unwrap();
        is_sound(&path, &format!("{what}: attributes removed"));
        let mut disk = open(&path);
        for name in ["file", "second", "sparse", "short", "long", "device", "fifo"] {
            disk.remove_file(root, name.as_bytes()).unwrap();
        }
        disk.remove_tree(root, b"directory").unwrap();
        disk.flush().unwrap();
        is_sound(&path, &format!("{what}: all removed"));
    }
}

/// Names moved: within a directory, to another one, over a file, over an empty directory; and what is refused.
#[test]
fn renamed_files_and_directories_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for (what, options) in KINDS {
        let path = make(folder.path(), "disk", options);
        let mut disk = open(&path);
        let root = disk.superblock().root();
        let one = disk.create_directory(root, b"one", &attributes(1)).unwrap();
        let two = disk.create_directory(root, b"two", &attributes(2)).unwrap();
        let below = disk.create_directory(one, b"below", &attributes(3)).unwrap();
        let file = disk.create_file(one, b"file", &attributes(4), 5, &mut &b"first"[..]).unwrap();
        disk.create_file(two, b"taken", &attributes(5), 100_000, &mut &[7; 100_000][..]).unwrap();
        disk.create_directory(two, b"empty", &attributes(6)).unwrap();
        disk.rename((one, b"file"), (one, b"a longer name")).unwrap();
        disk.rename((one, b"a longer name"), (two, b"taken")).unwrap();
        disk.rename((one, b"below"), (two, b"empty")).unwrap();
        assert!(matches!(disk.rename((root, b"two"), (below, b"two")), Err(xfs::Error::IntoItself(_))));
        assert!(matches!(disk.rename((two, b"taken"), (two, b"empty")), Err(xfs::Error::IsADirectory(_))));
        assert!(matches!(disk.rename((two, b"empty"), (two, b"taken")), Err(xfs::Error::NotADirectory(_))));
        assert!(matches!(disk.rename((root, b"one"), (root, b"two")), Err(xfs::Error::NotEmpty(_))));
        disk.flush().unwrap();
        is_sound(&path, what);
        let disk = open(&path);
        assert!(disk.read_directory(one).unwrap().is_empty(), "{what}");
        assert_eq!(disk.lookup(two, b"taken").unwrap(), Some((file, FileKind::Regular)), "{what}");
        assert_eq!(disk.lookup(two, b"empty").unwrap(), Some((below, FileKind::Directory)), "{what}");
        assert_eq!((disk.inode(one).unwrap().links(), disk.inode(two).unwrap().links()), (2, 3), "{what}");
    }
}

/// An edit leaves quotas on and enforced, and has the kernel count again when it mounts.
#[test]
fn counts_of_quotas_are_no_longer_said_to_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), "disk", &[]);
    // Accounting, enforcement and right counts, for users, groups and projects (`XFS_UQUOTA_ACCT` and so on).
    let before = 0x1 | 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x8 | 0x200 | 0x400;
    let set = format!("write -d qflags {before:#x}");
    judge("xfs_db").args(["-x", "-c", "sb 0", "-c", &set]).arg(&path).succeed();
    let mut disk = open(&path);
    let root = disk.superblock().root();
    disk.create_directory(root, b"new", &attributes(1)).unwrap();
    disk.flush().unwrap();
    let said = judge("xfs_db").args(["-r", "-c", "sb 0", "-c", "print qflags"]).arg(&path).succeed();
    let flags = said.stdout.trim().trim_start_matches("qflags = 0x");
    assert_eq!(u32::from_str_radix(flags, 16).unwrap(), before & !(0x4 | 0x100 | 0x400), "{}", said.stdout);
}
