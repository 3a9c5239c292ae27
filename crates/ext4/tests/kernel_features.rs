//! Feature sets beside the usual ones with the kernel as the judge: what it wrote is what we read, and
//! what we edited is what it sees. Needs root.
#![cfg(feature = "full-tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ext4::{Attributes, FileSystem, InodeNumber, Time};
use storage::{FileStorage, Memory, WriteAt};
use testkit::judge::{assert_e2fsck_clean, judge};
use testkit::mount::Mount;
use testkit::tree::{Kind, Tree, walk_kernel};

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o640, uid: 7, gid: 8, modified: Time { seconds: 1_600_000_000, nanoseconds: 0 } };

/// Inline files, links and directories of every size around what an inode has room for, some that
/// have grown out of it and some that have shrunk in it.
const POPULATE_INLINE: &str = r#"
for size in 0 1 59 60 61 100 131 132 133 400; do
    head -c $size /dev/urandom > file-$size
    ln -s "$(printf 'l%.0s' $(seq 0 $size))" link-$size
done
for files in 0 1 4 6 7 8 40; do
    mkdir dir-$files
    for i in $(seq $files); do echo "$i" > dir-$files/f$i; done
done
mkdir -p deep/er/still; touch deep/er/still/here
rm dir-6/f2 dir-6/f3; mv dir-6/f5 dir-6/a-longer-name; rm dir-4/f*
head -c 50 /dev/urandom > grown; head -c 5000 /dev/urandom >> grown
head -c 50 /dev/urandom > shrunk; truncate -s 20 shrunk
for i in $(seq 30); do printf %s "$i" >> appended; done
printf xyz > attributed; setfattr -n user.one -v 1 attributed; setfattr -n user.two -v "$(printf '2%.0s' $(seq 30))" attributed
printf x > full; setfattr -n user.big -v "$(printf 'v%.0s' $(seq 50))" full; head -c 80 /dev/urandom > full
"#;

fn make(options: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    judge("mke2fs").args(["-q", "-F", "-t", "ext4"]).args(options).arg(&image).arg("65536k").succeed();
    (folder, image)
}

fn mounted(image: &Path, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    judge("mount").args(["-o", "loop,user_xattr"]).arg(image).arg(folder.path()).succeed();
    let ran = judge("bash").args(["-euc", &format!("cd '{}'\n{script}", folder.path().display())]).run();
    judge("umount").arg(folder.path()).succeed();
    assert!(ran.status.success(), "{ran}");
}

fn kernel_tree(image: &Path) -> Tree {
    let length = std::fs::metadata(image).unwrap().len();
    walk_kernel(&Mount::read_only(image, &(0..length)).path())
}

fn open(image: &Path) -> FileSystem<FileStorage> {
    let file = std::fs::File::options().read(true).write(true).open(image).unwrap();
    FileSystem::open(FileStorage::new(file).unwrap()).unwrap()
}

fn find<S: WriteAt>(filesystem: &FileSystem<S>, path: &str) -> InodeNumber {
    path.split('/').filter(|name| !name.is_empty()).fold(InodeNumber::ROOT, |parent, name| {
        filesystem.lookup(parent, name.as_bytes()).unwrap().unwrap_or_else(|| panic!("no {path}"))
    })
}

/// What we read is what the kernel shows: names, kinds, sizes, content, targets, attributes.
#[track_caller]
fn assert_read_as(filesystem: &FileSystem<impl WriteAt>, tree: &Tree) {
    for (path, node) in tree {
        let path = std::str::from_utf8(path).unwrap();
        let number = find(filesystem, path);
        let inode = filesystem.inode(number).unwrap();
        assert_eq!((inode.size_bytes(), inode.uid()), (node.size_bytes, node.uid), "{path}");
        assert_eq!(u64::from(inode.links()), node.links, "{path}");
        assert_eq!(
            filesystem.xattrs(number).unwrap().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            node.xattrs
        );
        match node.kind {
            Kind::Regular => {
                let mut content = vec![0; inode.size_bytes() as usize];
                assert_eq!(filesystem.read_file_at(number, 0, &mut content).unwrap(), content.len(), "{path}");
                assert_eq!(Some(crc32c::crc32c(&content)), node.content_crc32c, "{path}");
            }
            Kind::Directory => {
                let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
                let below = tree.keys().filter_map(|below| below.strip_prefix(prefix.as_bytes()));
                let mut expected: Vec<_> = below.filter(|name| !name.is_empty() && !name.contains(&b'/')).collect();
                expected.sort_unstable();
                let entries = filesystem.read_directory(number).unwrap();
                let mut names: Vec<_> = entries.iter().map(|entry| &entry.name[..]).collect();
                names.sort_unstable();
                assert_eq!(names, expected, "{path}");
                let (parent, _) = path.rsplit_once('/').unwrap_or_default();
                assert_eq!(find(filesystem, &prefix), number);
                assert_eq!(filesystem.lookup(number, b"..").unwrap(), Some(find(filesystem, parent)), "{path}");
            }
            Kind::Symlink => assert_eq!(Some(filesystem.read_link(number).unwrap()), node.target, "{path}"),
            _ => {}
        }
    }
}

const INLINE: [&[&str]; 3] = [
    &["-b", "4096", "-I", "256", "-O", "inline_data,metadata_csum,64bit"],
    &["-b", "1024", "-I", "512", "-O", "inline_data,metadata_csum"],
    &["-b", "1024", "-I", "256", "-O", "inline_data,^metadata_csum,^64bit"],
];

#[test]
fn inline_data_that_the_kernel_wrote_is_what_we_read() {
    for options in INLINE {
        let (_folder, image) = make(options);
        mounted(&image, POPULATE_INLINE);
        for inline in ["file-60", "dir-1", "dir-4", "dir-6", "shrunk", "attributed", "full"] {
            let said = judge("debugfs").args(["-R", &format!("stat {inline}")]).arg(&image).succeed().stdout;
            assert!(said.contains("Flags: 0x10000000"), "{options:?}: {inline} is not inline: {said}");
        }
        let filesystem = open(&image);
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        assert_read_as(&filesystem, &kernel_tree(&image));
    }
}

#[test]
fn what_we_did_to_inline_data_is_what_the_kernel_sees_and_goes_on_with() {
    for options in INLINE {
        let (_folder, image) = make(options);
        mounted(&image, POPULATE_INLINE);
        let before = kernel_tree(&image);
        let mut filesystem = open(&image);
        for size in [0, 1, 59, 60, 61, 100, 131, 132, 133] {
            let number = find(&filesystem, &format!("file-{size}"));
            match size % 3 {
                0 => filesystem.write_file_at(number, 70, b"ours").unwrap(),
                1 => filesystem.truncate(number, size / 2).unwrap(),
                _ => filesystem.set_attributes(number, &ATTRIBUTES).unwrap(),
            }
        }
        for directory in ["dir-0", "dir-1", "dir-4", "dir-6", "dir-7", "dir-40", "deep/er"] {
            let number = find(&filesystem, directory);
            for index in 0..20 {
                let name = format!("ours-{index}");
                filesystem.create_file(number, name.as_bytes(), &ATTRIBUTES, 4, &mut &b"four"[..]).unwrap();
            }
        }
        filesystem.write_file_at(find(&filesystem, "attributed"), 3, b" and more").unwrap();
        filesystem.write_file_at(find(&filesystem, "full"), 100, b"more").unwrap();
        let still = find(&filesystem, "deep/er");
        filesystem.rename(still, b"still", InodeNumber::ROOT, b"moved").unwrap();
        filesystem.remove_file(InodeNumber::ROOT, b"link-100").unwrap();
        filesystem.remove_tree(InodeNumber::ROOT, b"dir-8").unwrap();
        filesystem.flush().unwrap();
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        assert_e2fsck_clean(&image, 0);
        let after = kernel_tree(&image);
        assert_read_as(&filesystem, &after);
        for untouched in ["file-400", "link-61", "link-131", "shrunk", "grown", "appended", "moved/here"] {
            let old = untouched.replace("moved", "deep/er/still");
            assert_eq!(before[old.as_bytes()], after[untouched.as_bytes()], "{untouched}");
        }
        drop(filesystem);
        // The kernel takes it from there, with what it keeps inline itself.
        mounted(&image, "echo more >> file-59; echo more >> file-60; touch dir-0/more moved/more; rm -r dir-40 dir-6");
        assert_e2fsck_clean(&image, 0);
        assert_read_as(&open(&image), &kernel_tree(&image));
    }
}

#[test]
fn orphans_of_a_power_cut_are_finished_wherever_they_are_kept() {
    for options in [
        &["-b", "1024", "-O", "inline_data,orphan_file,metadata_csum,metadata_csum_seed"][..],
        &["-b", "4096", "-O", "orphan_file,^metadata_csum"],
        &["-b", "4096", "-O", "^orphan_file,metadata_csum"],
    ] {
        let (folder, image) = make(options);
        let cut = folder.path().join("cut");
        // Many files that are deleted but still open, large ones and ones in their inodes.
        let script = format!(
            "mkdir kept; echo kept > kept/file\nfor i in $(seq 100 160); do eval \"exec $i> deleted-$i\"; \
             head -c $((i * i * 7)) /dev/urandom >&$i; done\nfor i in $(seq 161 180); do eval \"exec $i> deleted-$i\"; \
             echo small >&$i; done\nsync -f .\nrm deleted-*\nsync -f .\ncp --sparse=never '{}' '{}'",
            image.display(),
            cut.display()
        );
        mounted(&image, &script);
        let mut filesystem = open(&cut);
        assert!(filesystem.journal_replayed(), "{options:?}");
        let features = filesystem.superblock().features();
        let in_file = options.iter().any(|option| option.contains("orphan_file") && !option.contains("^orphan_file"));
        assert_eq!(features.contains(&"orphan_present".to_owned()), in_file, "{options:?}: {features:?}");
        let inodes = filesystem.superblock().free_inodes();
        filesystem.create_file(InodeNumber::ROOT, b"ours", &ATTRIBUTES, 4, &mut &b"four"[..]).unwrap();
        assert_eq!(filesystem.superblock().free_inodes(), inodes + 81 - 1, "{options:?}");
        filesystem.flush().unwrap();
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        drop(filesystem);
        assert_e2fsck_clean(&cut, 0);
        mounted(&cut, "test $(cat kept/file) = kept; test $(cat ours) = four; echo more > kernel");
        assert_e2fsck_clean(&cut, 0);
    }
}

#[test]
fn a_journal_with_fast_commits_is_refused_by_name() {
    let (folder, image) = make(&["-O", "fast_commit"]);
    let cut = folder.path().join("cut");
    let script = format!(
        "mkdir d; sync -f .\nfor i in 1 2 3; do echo hello > d/f$i; sync d/f$i; done\ncp --sparse=never '{}' '{}'",
        image.display(),
        cut.display()
    );
    mounted(&image, &script);
    let log = judge("debugfs").args(["-R", "logdump -S"]).arg(&cut).succeed().stdout;
    assert!(log.contains("tag CREAT_DENTRY"), "there are fast commits: {log}");
    let error = FileSystem::open(Arc::new(Memory::from(std::fs::read(&cut).unwrap()))).err().unwrap();
    assert_eq!(error.to_string(), "unsupported ext4 feature: journal: fast_commit: a dirty journal with fast commits");
    // Unmounted, there is nothing in the way.
    let mut filesystem = open(&image);
    filesystem.remove_file(find(&filesystem, "d"), b"f2").unwrap();
    filesystem.flush().unwrap();
    assert_read_as(&filesystem, &kernel_tree(&image));
    drop(filesystem);
    assert_e2fsck_clean(&image, 0);
}

#[test]
fn files_in_clusters_are_read_as_the_kernel_reads_them() {
    for options in [
        &["-b", "1024", "-O", "bigalloc", "-C", "8192"][..],
        &["-b", "4096", "-O", "bigalloc,^metadata_csum", "-C", "65536"],
    ] {
        let (folder, image) = make(options);
        let cut = folder.path().join("cut");
        let script = format!(
            "mkdir many; for i in $(seq 500); do echo $i > many/a-name-$i; done\n\
             head -c 3000000 /dev/urandom > large; truncate -s 5000000 sparse\n\
             printf end | dd of=sparse bs=1 seek=4999990 conv=notrunc status=none\n\
             for i in $(seq 0 3 90); do dd if=/dev/urandom of=parts bs=1024 count=1 seek=$i conv=notrunc status=none; done\n\
             sync -f .; touch many/late; sync -f .\ncp --sparse=never '{}' '{}'",
            image.display(),
            cut.display()
        );
        mounted(&image, &script);
        let tree = kernel_tree(&image);
        assert_read_as(&open(&image), &tree);
        let free = open(&image).superblock().free_blocks();
        // And from a log that has to be replayed.
        let filesystem = open(&cut);
        assert!(filesystem.journal_replayed());
        assert_read_as(&filesystem, &tree);
        assert_eq!(filesystem.superblock().free_blocks(), free, "{options:?}");
    }
}
