//! Every file system that can be made with the options of `mke2fs`, read by us and by others: `ext4-view`,
//! `debugfs` and, as root, the kernel. What they see is compared path by path.
#![allow(clippy::print_stdout, reason = "what others cannot read is told")]

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::read::{assert_same, our_tree};
use ext4::FileSystem;
use ext4_view::{Ext4, Ext4Error, FileType};
use storage::FileStorage;
use testkit::judge::judge;
use testkit::tree::{Kind, Node, Tree};

const SIZE: &str = "65536k";

/// Options that are combined with each size of blocks and of inodes, where `mke2fs` does that.
#[cfg(feature = "full-tests")]
const FEATURES: &[&[&str]] = &[
    &["-t", "ext2"],
    &["-t", "ext2", "-O", "none"],
    &["-t", "ext2", "-r", "0"],
    &["-t", "ext3"],
    &["-t", "ext4"],
    &["-t", "ext4", "-T", "small"],
    &["-t", "ext4", "-T", "largefile"],
    &["-t", "ext4", "-O", "^64bit"],
    &["-t", "ext4", "-O", "^metadata_csum"],
    &["-t", "ext4", "-O", "^metadata_csum,uninit_bg,^64bit"],
    &["-t", "ext4", "-O", "^metadata_csum,^uninit_bg"],
    &["-t", "ext4", "-O", "metadata_csum_seed"],
    &["-t", "ext4", "-O", "orphan_file"],
    &["-t", "ext4", "-O", "^has_journal"],
    &["-t", "ext4", "-O", "fast_commit"],
    &["-t", "ext4", "-O", "^flex_bg"],
    &["-t", "ext4", "-O", "^flex_bg,meta_bg,^resize_inode"],
    &["-t", "ext4", "-O", "meta_bg,^resize_inode"],
    &["-t", "ext4", "-O", "^resize_inode"],
    &["-t", "ext4", "-O", "sparse_super2"],
    &["-t", "ext4", "-O", "^sparse_super"],
    &["-t", "ext4", "-O", "^extent,^64bit"],
    &["-t", "ext4", "-O", "^dir_index"],
    &["-t", "ext4", "-O", "^filetype"],
    &["-t", "ext4", "-O", "^huge_file,^large_file,^dir_nlink,^extra_isize"],
    &["-t", "ext4", "-O", "^ext_attr"],
    &["-t", "ext4", "-O", "large_dir"],
    &["-t", "ext4", "-O", "inline_data"],
    &["-t", "ext4", "-O", "inline_data,^metadata_csum,^64bit"],
    &["-t", "ext4", "-O", "ea_inode"],
    &["-t", "ext4", "-O", "bigalloc"],
    &["-t", "ext4", "-O", "bigalloc", "-C", "65536", "-N", "4096"],
    &["-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"],
    &["-t", "ext4", "-O", "encrypt"],
    &["-t", "ext4", "-O", "verity"],
    &["-t", "ext4", "-O", "quota"],
    &["-t", "ext4", "-O", "project"],
    &["-t", "ext4", "-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota"],
    &["-t", "ext4", "-O", "mmp"],
    &["-t", "ext4", "-O", "stable_inodes"],
    &["-t", "ext4", "-E", "stride=4,stripe_width=16"],
    &["-t", "ext4", "-E", "packed_meta_blocks=1"],
    &["-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    &["-t", "ext4", "-E", "resize=4194304"],
    &["-t", "ext4", "-E", "num_backup_sb=1", "-O", "sparse_super2"],
    &["-t", "ext4", "-g", "2048"],
    &["-t", "ext4", "-g", "2048", "-G", "4"],
    &["-t", "ext4", "-g", "1024", "-O", "^flex_bg"],
    &["-t", "ext4", "-N", "4096"],
    &["-t", "ext4", "-i", "1024"],
];

/// Blocks that are larger than a page: not for the kernel.
const LARGE_BLOCKS: &[&[&str]] = &[
    &["-t", "ext4", "-b", "8192"],
    &["-t", "ext4", "-b", "16384", "-O", "^metadata_csum"],
    &["-t", "ext4", "-b", "65536"],
    &["-t", "ext4", "-b", "65536", "-O", "inline_data,^64bit"],
    &["-t", "ext2", "-b", "65536"],
];

/// What `ext4-view` says of what it does not read.
const EXT4_VIEW_CANNOT: &[&str] = &[
    // Inodes of 128 bytes, and features.
    "is truncated: size=128",
    "missing required features: IncompatibleFeatures(FILE_TYPE_IN_DIR_ENTRY)",
    "unsupported features: IncompatibleFeatures(META_BLOCK_GROUPS)",
    "unsupported features: IncompatibleFeatures(DATA_IN_INODE)",
    "unsupported features: IncompatibleFeatures(LARGE_EXTENDED_ATTRIBUTES_IN_INODES)",
    "unsupported features: IncompatibleFeatures(LARGE_DIRECTORIES)",
    "unsupported features: IncompatibleFeatures(MULTIPLE_MOUNT_PROTECTION)",
    "unsupported features: IncompatibleFeatures(0x20000)",
    // Single files: holes behind indirect blocks, targets of more than 255 bytes, times before 1970.
    "from block 0 (originally 0)",
    "has an invalid symlink path",
    "has invalid timestamp",
    // A directory with a record of 64 KiB.
    "is too small to contain header",
];

/// What a kernel may be built without, by what is in the options.
#[cfg(feature = "full-tests")]
const KERNEL_MAY_NOT: &[&str] = &["casefold", "quota", "project", "encrypt", "verity"];

/// A folder that is in memory where the machine has one.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A tree on the host.
fn host_tree(root: &Path) {
    fs::create_dir_all(root.join("deep/er/still")).unwrap();
    fs::create_dir(root.join("many")).unwrap();
    for number in 0..400_u32 {
        let name = format!("many/a name with room {number} {}", "ü".repeat(number as usize % 60));
        fs::write(root.join(name), vec![number as u8; number as usize * 13 % 900]).unwrap();
    }
    for size in [0, 1, 59, 60, 61, 150, 1023, 1024, 4096, 65_536, 70_001, 1_500_000] {
        let bytes: Vec<u8> = (0..size).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(root.join(format!("deep/size-{size}")), bytes).unwrap();
    }
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    for at in [0, 100_000, 2_345_678, 4_999_990] {
        sparse.write_all_at(b"0123456789", at).unwrap();
    }
    for length in [1, 58, 59, 60, 61, 200, 900] {
        symlink("t".repeat(length), root.join(format!("link-{length}"))).unwrap();
    }
    symlink("/deep/er", root.join("absolute")).unwrap();
    fs::hard_link(root.join("sparse"), root.join("deep/er/hard")).unwrap();
    fifo(&root.join("fifo"));
    fs::set_permissions(root.join("deep/size-60"), fs::Permissions::from_mode(0o4751)).unwrap();
    for (name, seconds, nanoseconds) in
        [("deep/size-1", 1_000_000_000, 0), ("deep/size-59", 2_500_000_000, 123_456_789)]
    {
        let time = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        File::options()
            .write(true)
            .open(root.join(name))
            .unwrap()
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
    }
}

fn fifo(path: &Path) {
    judge("mkfifo").arg(path).succeed();
}

/// Makes a file system with the tree in it; false where `mke2fs` does not combine these options.
fn make(options: &[&str], tree: &Path, image: &Path) -> bool {
    // Blocks larger than a page are asked about twice.
    let made = judge("mke2fs").args(["-q", "-F", "-F"]).args(options).arg("-d").arg(tree).arg(image).arg(SIZE).run();
    if !made.status.success() {
        println!("{options:?}: mke2fs: {}", made.stderr.trim());
    }
    made.status.success()
}

fn ours(image: &Path) -> Tree {
    let file = File::options().read(true).write(true).open(image).unwrap();
    let filesystem = FileSystem::open(FileStorage::new(file).unwrap()).unwrap();
    our_tree(&filesystem, u64::MAX)
}

/// The tree as `ext4-view` reads it, without counts of names, devices' numbers and attributes, and what it
/// says of the paths that it cannot read.
fn view(image: &Path) -> (Tree, Vec<(Vec<u8>, Ext4Error)>) {
    let (mut tree, mut errors) = (Tree::new(), Vec::new());
    let filesystem = match Ext4::load_from_path(image) {
        Ok(filesystem) => filesystem,
        Err(error) => return (tree, vec![(Vec::new(), error)]),
    };
    let mut left = vec![Vec::new()];
    while let Some(path) = left.pop() {
        let read = view_node(&filesystem, &path).and_then(|node| Ok((view_names(&filesystem, &path, &node)?, node)));
        match read {
            Ok((names, node)) => {
                let separator = if path.is_empty() { &b""[..] } else { b"/" };
                left.extend(names.iter().map(|name| [&path, separator, name].concat()));
                tree.insert(path, node);
            }
            Err(error) => errors.push((path, error)),
        }
    }
    (tree, errors)
}

fn view_node(filesystem: &Ext4, path: &[u8]) -> Result<Node, Ext4Error> {
    let absolute = [b"/", path].concat();
    let absolute = &absolute[..];
    let metadata = filesystem.symlink_metadata(absolute)?;
    let kind = match metadata.file_type() {
        FileType::Regular => Kind::Regular,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
    };
    let target = if kind == Kind::Symlink { Some(filesystem.read_link(absolute)?.as_ref().to_vec()) } else { None };
    let content = if kind == Kind::Regular { Some(crc32c::crc32c(&filesystem.read(absolute)?)) } else { None };
    Ok(Node {
        kind,
        permissions: u32::from(metadata.mode() & 0o7777),
        uid: metadata.uid(),
        gid: metadata.gid(),
        size_bytes: metadata.len(),
        modified: (metadata.modified().seconds(), metadata.modified().nanoseconds()),
        links: 0,
        target,
        device: None,
        xattrs: BTreeMap::new(),
        content_crc32c: content,
    })
}

fn view_names(filesystem: &Ext4, path: &[u8], node: &Node) -> Result<Vec<Vec<u8>>, Ext4Error> {
    let mut names = Vec::new();
    if node.kind == Kind::Directory {
        for entry in filesystem.read_dir(&[b"/", path].concat()[..])? {
            names.push(entry?.file_name().as_ref().to_vec());
        }
    }
    names.retain(|name| name != b"." && name != b"..");
    Ok(names)
}

/// What we read is what `ext4-view` reads, but for what is known to be beyond it.
fn assert_as_ext4_view(options: &[&str], image: &Path, ours: &Tree) {
    let text = options.join(" ");
    let (view, errors) = view(image);
    let mut ours = ours.clone();
    for (path, error) in errors {
        let name = path.escape_ascii().to_string();
        let known = EXT4_VIEW_CANNOT.iter().any(|problem| error.to_string().contains(problem));
        assert!(known, "{text}: ext4-view does not read `{name}`: {error}");
        println!("{text}: ext4-view does not read `{name}`: {error}");
        // Nor what is below it.
        let below = [&path[..], b"/"].concat();
        ours.retain(|other, _| *other != path && !path.is_empty() && !other.starts_with(&below));
    }
    for node in ours.values_mut() {
        *node = Node { links: 0, device: None, xattrs: BTreeMap::new(), ..node.clone() };
    }
    assert_same(&ours, &view, &format!("{text}: ext4-view"));
}

/// What we read is what `debugfs` takes out of the file system.
fn assert_as_debugfs(options: &[&str], image: &Path, ours: &Tree) {
    let out = scratch();
    let request = format!("rdump / {}", out.path().display());
    judge("debugfs").args(["-R", &request]).arg(image).succeed();
    for (path, node) in ours {
        let name = String::from_utf8(path.clone()).unwrap();
        let host = out.path().join(&name);
        let found = fs::symlink_metadata(&host);
        // It takes out files, links and directories; the root's attributes are not set.
        if path.is_empty() || matches!(node.kind, Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice) {
            continue;
        }
        let metadata = found.unwrap_or_else(|error| panic!("{options:?}: debugfs has no {name}: {error}"));
        match node.kind {
            Kind::Directory => assert!(metadata.is_dir(), "{options:?}: {name}"),
            Kind::Symlink => {
                let target = fs::read_link(&host).unwrap().into_os_string().into_encoded_bytes();
                assert_eq!(Some(target), node.target, "{options:?}: {name}");
            }
            _ => {
                let mut content = fs::read(&host).unwrap();
                // Of a file in its inode it takes out what room there is, whatever the size.
                if content.len() == 60 {
                    content.resize(node.size_bytes as usize, 0);
                }
                assert_eq!(content.len() as u64, node.size_bytes, "{options:?}: {name}");
                assert_eq!(Some(crc32c::crc32c(&content)), node.content_crc32c, "{options:?}: {name}");
                // It takes times for unsigned, and does not know of more bits.
                let times = (metadata.mtime() as u32, node.modified.0 as u32);
                assert_eq!(times.0, times.1, "{options:?}: {name}");
                // The new owner takes set-id bits away.
                assert_eq!(metadata.mode() & 0o777, node.permissions & 0o777, "{options:?}: {name}");
            }
        }
    }
}

#[test]
fn what_mke2fs_wrote_is_what_ext4_view_and_debugfs_read() {
    let folder = scratch();
    let (tree, image) = (folder.path().join("tree"), folder.path().join("image"));
    host_tree(&tree);
    let some: &[&[&str]] = &[
        &["-t", "ext2", "-b", "1024"],
        &["-t", "ext2", "-b", "4096", "-r", "0"],
        &["-t", "ext3", "-b", "2048"],
        &["-t", "ext4", "-b", "1024", "-O", "metadata_csum_seed,orphan_file"],
        &["-t", "ext4", "-b", "4096", "-I", "128"],
        &["-t", "ext4", "-b", "1024", "-O", "inline_data"],
        &["-t", "ext4", "-b", "2048", "-O", "^metadata_csum,uninit_bg,^64bit"],
        &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"],
        &["-t", "ext4", "-b", "1024", "-O", "^extent,^64bit"],
        &["-t", "ext4", "-b", "4096", "-O", "bigalloc"],
        &["-t", "ext4", "-b", "1024", "-O", "^filetype,^dir_index"],
    ];
    for options in some.iter().chain(LARGE_BLOCKS) {
        let _ = fs::remove_file(&image);
        assert!(make(options, &tree, &image), "{options:?}");
        let ours = ours(&image);
        assert!(ours.len() > 400, "{options:?}");
        assert_as_ext4_view(options, &image, &ours);
        assert_as_debugfs(options, &image, &ours);
    }
}

#[cfg(feature = "full-tests")]
mod full {
    use std::fs;
    use std::path::Path;

    use testkit::judge::judge;
    use testkit::mount::Mount;
    use testkit::tree::walk_kernel;

    use super::{FEATURES, KERNEL_MAY_NOT, assert_as_ext4_view, host_tree, make, ours, scratch};
    use crate::read::assert_same;

    /// What the kernel is made to write, by few programs as this is done often: names in an index, holes,
    /// unwritten and fragmented extents, links, devices, attributes.
    const POPULATE: &str = r#"
mkdir many deep deep/er
touch $(seq -f many/a-name-that-takes-some-room-%g 1 520); rm many/*7
head -c 1500000 /dev/urandom > large
truncate -s 5000000 sparse; printf end | dd of=sparse bs=1 seek=4999990 conv=notrunc status=none
fallocate -l 700000 unwritten 2>/dev/null || truncate -s 700000 unwritten
printf middle | dd of=unwritten bs=1 seek=300000 conv=notrunc status=none
for i in 0 2 4 6 8 100 400 402; do dd if=large of=fragmented bs=4096 count=1 seek="$i" conv=notrunc status=none; done
ln large hard; ln -s large short; ln -s "$(printf 'x%.0s' $(seq 1 200))" long; ln -s /etc absolute
mknod null c 1 3; mknod big b 300 70000; mkfifo fifo
setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= hard
setfattr -n user.small -v value large; setfattr -n user.big -v "$(printf 'v%.0s' $(seq 1 800))" deep
chown 70000:80000 deep/er; chmod 7755 deep/er; touch -d '1965-04-05 06:07:08' deep/er; touch -h -d '2001-02-03' short
"#;

    /// Whether the kernel mounts it, to be written or only to be read; a file system that it has to know
    /// panics where it does not.
    fn mounts(options: &[&str], image: &Path, how: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let mounted = judge("mount").args(["-o", how]).arg(image).arg(folder.path()).run();
        if mounted.status.success() {
            judge("umount").arg(folder.path()).succeed();
            return true;
        }
        let text = options.join(" ");
        assert!(KERNEL_MAY_NOT.iter().any(|option| text.contains(option)), "{text}: {mounted}");
        println!("{text}: the kernel does not mount it ({how})");
        false
    }

    fn assert_as_the_kernel(options: &[&str], image: &Path) {
        let ours = ours(image);
        assert_as_ext4_view(options, image, &ours);
        if mounts(options, image, "ro,loop") {
            let length = fs::metadata(image).unwrap().len();
            let kernel = walk_kernel(&Mount::read_only(image, &(0..length)).path());
            assert_same(&ours, &kernel, &format!("{}: the kernel", options.join(" ")));
        }
    }

    fn populate(image: &Path) {
        let folder = tempfile::tempdir().unwrap();
        judge("mount").args(["-o", "loop"]).arg(image).arg(folder.path()).succeed();
        let ran = judge("bash")
            .args(["-euc", &format!("cd '{}'; mkdir kernel; cd kernel\n{POPULATE}", folder.path().display())])
            .run();
        judge("umount").arg(folder.path()).succeed();
        assert!(ran.status.success(), "{ran}");
    }

    /// All features with one size of blocks: with what `mke2fs` put in, and then, with inodes of 256 bytes,
    /// with what the kernel adds.
    fn all_features(block_bytes: &str, inode_bytes: &[&str]) {
        let folder = scratch();
        let (tree, image) = (folder.path().join("tree"), folder.path().join("image"));
        host_tree(&tree);
        let mut made = 0;
        // `./test` takes the inodes that every distribution has, `./test long` all.
        let is_taken = |size: &&&str| testkit::is_long() || **size == "256";
        for features in FEATURES {
            for size in inode_bytes.iter().filter(is_taken) {
                let options = [features, &["-b", block_bytes, "-I", size][..]].concat();
                let _ = fs::remove_file(&image);
                if !make(&options, &tree, &image) {
                    continue;
                }
                made += 1;
                assert_as_the_kernel(&options, &image);
                if *size == "256" && mounts(&options, &image, "loop") {
                    populate(&image);
                    assert_as_the_kernel(&options, &image);
                }
            }
        }
        println!("{made} file systems with blocks of {block_bytes}");
        assert!(made > if testkit::is_long() { FEATURES.len() } else { FEATURES.len() / 2 });
    }

    #[test]
    fn file_systems_with_blocks_of_1_kib_are_read_as_the_kernel_and_ext4_view_read_them() {
        all_features("1024", &["128", "256", "1024"]);
    }

    #[test]
    #[ignore = "1 KiB and 4 KiB are in ./test: ./test long"]
    fn file_systems_with_blocks_of_2_kib_are_read_as_the_kernel_and_ext4_view_read_them() {
        all_features("2048", &["128", "256"]);
    }

    #[test]
    fn file_systems_with_blocks_of_4_kib_are_read_as_the_kernel_and_ext4_view_read_them() {
        all_features("4096", &["128", "256", "512"]);
    }
}
