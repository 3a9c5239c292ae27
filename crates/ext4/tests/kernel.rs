//! The kernel as the judge: what it wrote is what we read, a log that it left is replayed as it
//! would, and what we wrote is what it sees. Needs root.
#![cfg(feature = "full-tests")]

use std::path::Path;
use std::sync::Arc;

use crate::read::{assert_same, our_tree};
use ext4::{Attributes, FileSystem, InodeNumber, Time};
use storage::{FileStorage, Memory};
use testkit::judge::judge;
use testkit::mount::Mount;
use testkit::tree::{Node, Tree, walk_kernel};

const FEATURES: &[&[&str]] = &[
    &["-t", "ext2", "-b", "1024"],
    &["-t", "ext3", "-b", "4096"],
    &["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit,orphan_file,metadata_csum_seed"],
    &["-t", "ext4", "-b", "4096", "-O", "metadata_csum,64bit,^orphan_file,^metadata_csum_seed"],
    &["-t", "ext4", "-b", "2048", "-I", "128", "-O", "^metadata_csum,uninit_bg,^64bit"],
];

/// What the kernel is made to write: names in an index, holes, unwritten and fragmented extents,
/// attributes in the inode and in a block, ACLs, links, devices.
const POPULATE: &str = r#"
mkdir many deep deep/er
for i in $(seq 1 1500); do echo "$i" > "many/a-name-that-takes-some-room-$i"; done
rm many/*7
head -c 3000000 /dev/urandom > large
truncate -s 5000000 sparse; printf end | dd of=sparse bs=1 seek=4999990 conv=notrunc status=none
fallocate -l 700000 unwritten 2>/dev/null || truncate -s 700000 unwritten
printf middle | dd of=unwritten bs=1 seek=300000 conv=notrunc status=none
for i in $(seq 0 2 200); do dd if=/dev/urandom of=fragmented bs=4096 count=1 seek="$i" conv=notrunc status=none; done
ln large hard; ln -s large short; ln -s "$(printf 'x%.0s' $(seq 1 200))" long; ln -s /etc absolute
mknod null c 1 3; mknod big b 300 70000; mkfifo fifo
setfattr -n user.small -v value large; setfattr -n user.big -v "$(printf 'v%.0s' $(seq 1 800))" deep
setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= hard
chown 70000:80000 deep/er; chmod 7755 deep/er; touch -d '1965-04-05 06:07:08' deep/er; touch -h -d '2001-02-03' short
"#;

fn mounted(image: &Path, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    judge("mount").args(["-o", "loop,user_xattr"]).arg(image).arg(folder.path()).succeed();
    let ran = judge("bash").args(["-euc", &format!("cd '{}'\n{script}", folder.path().display())]).run();
    judge("umount").arg(folder.path()).succeed();
    assert!(ran.status.success(), "{ran}");
}

fn make(options: &[&str], image: &Path) {
    judge("mke2fs").args(["-q", "-F"]).args(options).arg(image).arg("65536k").succeed();
}

fn kernel_tree(image: &Path) -> Tree {
    let length = std::fs::metadata(image).unwrap().len();
    walk_kernel(&Mount::read_only(image, &(0..length)).path())
}

#[test]
fn what_the_kernel_wrote_is_what_we_read() {
    for options in FEATURES {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make(options, &image);
        mounted(&image, POPULATE);
        let filesystem = FileSystem::open(Memory::from(std::fs::read(&image).unwrap())).unwrap();
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        assert_same(&our_tree(&filesystem, u64::MAX), &kernel_tree(&image), &format!("{options:?}"));
    }
}

#[test]
fn a_log_that_the_kernel_left_is_replayed_as_the_kernel_replays_it() {
    for options in &FEATURES[1..] {
        let folder = tempfile::tempdir().unwrap();
        let (image, cut) = (folder.path().join("image"), folder.path().join("cut"));
        make(options, &image);
        // As a power cut leaves it: committed to the log, not yet written where it belongs, and a
        // file that is deleted but still open.
        let script = format!(
            "{POPULATE}\nsync -f .\nexec 9> deleted; head -c 500000 /dev/urandom >&9; rm deleted\nmkdir late; cp large late/copy; rm many/*3; sync -f .\ncp --sparse=never '{}' '{}'",
            image.display(),
            cut.display()
        );
        mounted(&image, &script);
        let memory = Arc::new(Memory::from(std::fs::read(&cut).unwrap()));
        let mut filesystem = FileSystem::open(memory.clone()).unwrap();
        assert!(filesystem.journal_replayed(), "{options:?}: there is a log to replay");
        let replayed = our_tree(&filesystem, u64::MAX);
        let free = filesystem.superblock().free_blocks();
        let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
        filesystem.create_directory(InodeNumber::ROOT, b"ours", &attributes).unwrap();
        filesystem.flush().unwrap();
        assert!(filesystem.superblock().free_blocks() > free + 100, "{options:?}: the deleted file's blocks are free");
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");
        drop(filesystem);
        let ours = folder.path().join("ours");
        std::fs::write(&ours, Arc::into_inner(memory).unwrap().into_bytes()).unwrap();
        testkit::judge::assert_e2fsck_clean(&ours, 0);

        mounted(&cut, "true");
        assert_same(&replayed, &kernel_tree(&cut), &format!("{options:?}"));
    }
}

#[test]
fn what_we_wrote_is_what_the_kernel_sees() {
    for options in &FEATURES[2..] {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make(options, &image);
        mounted(&image, POPULATE);
        let before = kernel_tree(&image);
        let storage = FileStorage::new(std::fs::File::options().read(true).write(true).open(&image).unwrap()).unwrap();
        let mut filesystem = FileSystem::open(storage).unwrap();
        let attributes = Attributes {
            permissions: 0o4751,
            uid: 70_001,
            gid: 80_002,
            modified: Time { seconds: 1 << 31, nanoseconds: 0 },
        };
        let many = filesystem.lookup(InodeNumber::ROOT, b"many").unwrap().unwrap();
        for number in 0..700u32 {
            let content = vec![number as u8; 10 * number as usize];
            let name = format!("ours-{number}");
            filesystem
                .create_file(many, name.as_bytes(), &attributes, content.len() as u64, &mut &content[..])
                .unwrap();
        }
        filesystem.create_symlink(many, b"link", &[b'x'; 700], &attributes).unwrap();
        filesystem.remove_file(InodeNumber::ROOT, b"hard").unwrap();
        filesystem.remove_file(InodeNumber::ROOT, b"fragmented").unwrap();
        filesystem.flush().unwrap();
        let ours = our_tree(&filesystem, u64::MAX);
        drop(filesystem);
        testkit::judge::assert_e2fsck_clean(&image, 0);
        let after = kernel_tree(&image);
        assert_same(&ours, &after, &format!("{options:?}"));
        // And nothing else changed, but for the names that the removed file's other name counts.
        for (path, node) in &before {
            match &path[..] {
                b"hard" | b"fragmented" => assert!(!after.contains_key(path)),
                b"large" => assert_eq!(Node { links: 1, ..node.clone() }, after[path]),
                b"many" => assert_eq!(Node { size_bytes: after[path].size_bytes, ..node.clone() }, after[path]),
                _ => assert_eq!(node, &after[path], "{}", String::from_utf8_lossy(path)),
            }
        }
    }
}

#[test]
fn the_kernel_mounts_what_was_grown_and_sees_the_same_tree() {
    const CROWDED: &[&str] = &["-t", "ext4", "-b", "1024", "-O", "^resize_inode,metadata_csum,64bit"];
    for options in FEATURES.iter().chain([&CROWDED]) {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make(options, &image);
        mounted(&image, POPULATE);
        let before = kernel_tree(&image);
        let file = std::fs::File::options().read(true).write(true).open(&image).unwrap();
        file.set_len(1 << 30).unwrap();
        let mut filesystem = FileSystem::open(FileStorage::new(file).unwrap()).unwrap();
        filesystem.grow((1 << 30) / u64::from(filesystem.superblock().block_size_bytes())).unwrap();
        drop(filesystem);
        assert_same(&kernel_tree(&image), &before, &format!("{options:?}"));
        // More than there was room for, into the new groups' inodes and blocks.
        mounted(
            &image,
            "mkdir new; for i in $(seq 1 400); do mkdir new/$i; done; head -c 300000000 /dev/zero > new/file",
        );
        testkit::judge::assert_e2fsck_clean(&image, 0);
    }
}

/// Files without `huge_file` could be made longer than 2 TiB, which the kernel then refused to look at.
#[test]
fn a_file_can_be_as_long_as_the_kernel_takes_it_and_no_longer() {
    for options in [
        &["-t", "ext2", "-b", "1024"][..],
        &["-t", "ext2", "-b", "4096"],
        &["-t", "ext4", "-b", "1024", "-O", "^huge_file"],
        &["-t", "ext4", "-b", "4096", "-O", "^huge_file"],
        &["-t", "ext4", "-b", "1024", "-O", "huge_file"],
        &["-t", "ext4", "-b", "4096", "-O", "^extent,^64bit"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make(options, &image);
        let storage = FileStorage::new(std::fs::File::options().read(true).write(true).open(&image).unwrap()).unwrap();
        let mut filesystem = FileSystem::open(storage).unwrap();
        let attributes = Attributes { permissions: 0o600, uid: 0, gid: 0, modified: Time::default() };
        let file = filesystem.create_file(InodeNumber::ROOT, b"long", &attributes, 0, &mut std::io::empty()).unwrap();
        let (mut longest, mut too_long) = (0, u64::MAX);
        while longest + 1 < too_long {
            let size = longest + (too_long - longest) / 2;
            match filesystem.truncate(file, size) {
                Ok(()) => longest = size,
                Err(error) => {
                    assert!(matches!(error, ext4::Error::TooLarge { .. }), "{error}");
                    too_long = size;
                }
            }
        }
        filesystem.flush().unwrap();
        drop(filesystem);
        testkit::judge::assert_e2fsck_clean(&image, 0);
        let script =
            format!("[ $(stat -c %s long) = {longest} ]; truncate -s {longest} new; ! truncate -s {too_long} other");
        mounted(&image, &script);
    }
}

#[test]
fn the_kernel_mounts_what_was_made_and_writes_to_it() {
    for features in [ext4::Features::EXT2, ext4::Features::EXT3, ext4::Features::EXT4] {
        for block_size_bytes in [1024, 4096] {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join("image");
            let file = std::fs::File::options().read(true).write(true).create_new(true).open(&image).unwrap();
            file.set_len(128 << 20).unwrap();
            let options = ext4::CreateOptions { block_size_bytes, features, ..ext4::CreateOptions::default() };
            drop(FileSystem::create(FileStorage::new(file).unwrap(), &options).unwrap());
            assert_eq!(kernel_tree(&image).keys().collect::<Vec<_>>(), [&b""[..], b"lost+found"]);
            mounted(&image, POPULATE);
            testkit::judge::assert_e2fsck_clean(&image, 0);
        }
    }
}
