//! What the kernel wrote is what is read, whatever the file system's features are.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use testkit::judge::judge;
use testkit::mount::Mount;

/// Fills a file system that is mounted at `root` with all forms that files take.
fn fill(root: &Path, kind: &str) {
    // Directories of all forms, and a name for each file in them.
    for (name, count) in [("none", 0), ("few", 3), ("some", 40), ("many", 1500), ("most", 20_000)] {
        fs::create_dir(root.join(name)).unwrap();
        for number in 0..count {
            let file = root.join(name).join(format!("{number}{}", "x".repeat(number % 60)));
            fs::write(file, if count > 1500 { "" } else { "a content that is not long" }).unwrap();
        }
    }
    // What goes leaves holes in a directory.
    for number in (0..20_000).step_by(3) {
        fs::remove_file(root.join("most").join(format!("{number}{}", "x".repeat(number % 60)))).unwrap();
    }
    // Extents: many, none, some that were never written, shared ones.
    let (fragmented, other) = (root.join("fragmented"), root.join("other"));
    let (mut one, mut two) = (File::create(&fragmented).unwrap(), File::create(&other).unwrap());
    for number in 0..1200_u32 {
        for (file, byte) in [(&mut one, number as u8), (&mut two, !number as u8)] {
            file.write_all(&[byte; 4096]).unwrap();
            if number % 4 == 0 {
                file.sync_all().unwrap();
            }
        }
    }
    let mut sparse = File::create(root.join("sparse")).unwrap();
    for number in 0..2000_u64 {
        sparse.seek(SeekFrom::Start(number * 20_000)).unwrap();
        sparse.write_all(b"data").unwrap();
    }
    sparse.set_len(50_000_000).unwrap();
    let reserved = File::create(root.join("reserved")).unwrap();
    judge("fallocate").args(["-l", "3M"]).arg(root.join("reserved")).succeed();
    reserved.write_all_at(b"in the middle", 1_000_000).unwrap();
    judge("cp").arg("--reflink=auto").arg(&fragmented).arg(root.join("shared")).succeed();
    File::options().write(true).open(root.join("shared")).unwrap().write_all_at(&[9; 9000], 70_000).unwrap();
    fs::write(root.join("text"), "what compresses well, ".repeat(40_000)).unwrap();
    // Everything else.
    std::os::unix::fs::symlink("short", root.join("short-link")).unwrap();
    std::os::unix::fs::symlink("/long".repeat(200), root.join("long-link")).unwrap();
    fs::hard_link(&fragmented, root.join("few/hard-link")).unwrap();
    for (name, arguments) in [("null", &["c", "1", "3"][..]), ("block", &["b", "259", "70000"]), ("fifo", &["p"])] {
        judge("mknod").arg(root.join(name)).args(arguments).succeed();
    }
    fs::set_permissions(root.join("text"), fs::Permissions::from_mode(0o6751)).unwrap();
    judge("chown").arg("70000:80000").arg(root.join("text")).succeed();
    judge("touch").args(["-h", "-d", "1930-01-02 03:04:05.678901234 UTC"]).arg(root.join("short-link")).succeed();
    // Attributes in all forms.
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    for number in 0..40_usize {
        let path = root.join("some").join(format!("{number}{}", "x".repeat(number % 60)));
        for attribute in 0..number / 4 {
            set(&path, &format!("user.attribute-{attribute}"), &vec![b'v'; number * attribute]);
        }
    }
    let largest = if kind == "xfs" { 60_000 } else { 3000 };
    set(&root.join("few"), "user.large", &vec![b'l'; largest]);
    set(&root.join("few"), "trusted.empty", b"");
    set(&root.join("text"), "security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    judge("setfacl").args(["-m", "u:1234:rw,g:77:r"]).arg(root.join("other")).succeed();
    judge("setfacl").args(["-d", "-m", "u:1234:rwx"]).arg(root.join("none")).succeed();
}

/// Fills a file system with a little of what only the kernel makes.
pub(crate) fn fill_little(root: &Path) {
    fs::create_dir(root.join("many")).unwrap();
    for number in 0..700 {
        fs::write(root.join("many").join(format!("a name of some length {number}")), "").unwrap();
    }
    let mut sparse = File::create(root.join("sparse")).unwrap();
    for number in 0..1500_u64 {
        sparse.seek(SeekFrom::Start(number * 16_384)).unwrap();
        sparse.write_all(b"data").unwrap();
    }
    fs::write(root.join("text"), "what compresses well, ".repeat(40_000)).unwrap();
    std::os::unix::fs::symlink("/long".repeat(200), root.join("link")).unwrap();
    for number in 0..60_usize {
        let path = root.join("many").join(format!("a name of some length {number}"));
        for attribute in 0..number / 4 {
            let value = vec![b'v'; (number * attribute * 5).min(3000)];
            let name = format!("user.attribute-{attribute}");
            rustix::fs::lsetxattr(&path, name, &value, rustix::fs::XattrFlags::empty()).unwrap();
        }
    }
}

/// Makes, fills and compares a file system of `mib` MiB.
fn compare(kind: &str, mib: u64, options: &[&str], mount: &str) {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    File::create(&disk).unwrap().set_len(mib << 20).unwrap();
    judge(&format!("mkfs.{kind}")).arg("-q").args(options).arg(&disk).succeed();
    fill(&Mount::with_options(&disk, mount).path(), kind);
    let kernel = testkit::tree::walk_kernel(&Mount::with_options(&disk, "ro").path());
    let volume = crate::made::open(&disk);
    let file_system = volume.file_system().unwrap_or_else(|| panic!("{:?}", volume.problem()));
    let mut ours = crate::tree::walk(file_system);
    assert!(ours.len() > 14_000, "only {} files", ours.len());
    for name in [&b"system.posix_acl_access"[..], b"system.posix_acl_default"] {
        assert!(ours.values().any(|node| node.xattrs.contains_key(name)), "{}", name.escape_ascii());
    }
    for (path, mut node) in kernel {
        // An ACL is shown by its own name; the kernel's XFS shows it once more, as it is on the disk.
        node.xattrs.retain(|name, _| !name.starts_with(b"trusted.SGI_ACL_"));
        assert_eq!(ours.remove(&path), Some(node), "{}, {kind} {options:?} {mount}", path.escape_ascii());
    }
    assert!(ours.is_empty(), "{:?}", ours.keys());
}

#[test]
fn xfs_with_blocks_and_features_of_all_sizes() {
    for options in [
        &[][..],
        &["-b", "size=1024", "-m", "rmapbt=1,reflink=1,bigtime=1,inobtcount=1", "-i", "nrext64=1"],
        &["-s", "size=4096", "-d", "agcount=7", "-n", "size=65536", "-i", "size=2048"],
        &["-m", "reflink=0,bigtime=0,inobtcount=0,finobt=0", "-i", "sparse=0", "-b", "size=2048"],
    ] {
        compare("xfs", 600, options, "rw");
    }
}

#[test]
fn btrfs_with_each_compression_checksum_and_layout() {
    for (options, mount) in [
        (&[][..], "rw,compress-force=zstd"),
        (&["--csum", "xxhash", "-n", "4096"], "rw,compress-force=zlib"),
        (&["--csum", "sha256", "-M"], "rw,compress-force=lzo"),
        (&["--csum", "blake2", "-O", "^no-holes", "-m", "single"], "rw"),
        (&["-n", "65536"], "rw,nodatasum"),
    ] {
        compare("btrfs", 600, options, mount);
    }
}

#[test]
fn an_xfs_that_was_not_unmounted_is_read_as_its_log_says() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, copy) = (folder.path().join("disk"), folder.path().join("copy"));
    File::create(&disk).unwrap().set_len(320 << 20).unwrap();
    judge("mkfs.xfs").arg("-q").arg(&disk).succeed();
    let mount = Mount::with_options(&disk, "rw");
    for number in 0..700 {
        fs::write(mount.path().join(format!("file {number}")), number.to_string().repeat(300)).unwrap();
    }
    judge("sync").arg("-f").arg(mount.path()).succeed();
    fs::rename(mount.path().join("file 7"), mount.path().join("renamed")).unwrap();
    fs::remove_file(mount.path().join("file 8")).unwrap();
    // What was changed is in the log, and not yet where it belongs.
    judge("xfs_io").args(["-x", "-c", "shutdown -f"]).arg(mount.path()).succeed();
    judge("cp").arg("--sparse=always").args([&disk, &copy]).succeed();
    drop(mount);
    let volume = crate::made::open(&copy);
    let file_system = volume.file_system().unwrap();
    assert!(file_system.journal_replayed());
    let ours = crate::tree::walk(file_system);
    // The kernel replays the log of the copy.
    let kernel = testkit::tree::walk_kernel(&Mount::with_options(&copy, "rw").path());
    assert!(ours == kernel, "they differ");
    assert!(ours.contains_key(&b"renamed"[..]) && !ours.contains_key(&b"file 8"[..]));
}

#[test]
fn subvolumes_are_directories_and_the_default_one_is_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    File::create(&disk).unwrap().set_len(256 << 20).unwrap();
    judge("mkfs.btrfs").arg("-q").arg(&disk).succeed();
    let mount = Mount::with_options(&disk, "rw");
    let root = mount.path();
    let btrfs = |arguments: &[&str]| judge("btrfs").args(arguments).current_dir(&root).succeed();
    fs::write(root.join("outside"), "1").unwrap();
    btrfs(&["subvolume", "create", "system"]);
    fs::create_dir(root.join("system/usr")).unwrap();
    fs::write(root.join("system/usr/file"), "2").unwrap();
    btrfs(&["subvolume", "create", "system/inner"]);
    fs::write(root.join("system/inner/file"), "3").unwrap();
    btrfs(&["subvolume", "snapshot", "system", "snapshot"]);
    fs::write(root.join("system/later"), "4").unwrap();
    drop(mount);
    let whole = testkit::tree::walk_kernel(&Mount::with_options(&disk, "ro").path());
    let volume = crate::made::open(&disk);
    let file_system = volume.file_system().unwrap();
    let mut ours = crate::tree::walk(file_system);
    // A subvolume that a snapshot has no more: the kernel gives it the time of the mount.
    let placeholder = &b"snapshot/inner"[..];
    assert_eq!(ours[placeholder].permissions, whole[placeholder].permissions);
    ours.insert(placeholder.to_vec(), whole[placeholder].clone());
    assert_eq!(ours, whole);
    let file = |options: &str| {
        let root = file_system.mount_root(options).unwrap()?;
        Some(file_system.lookup(&root, b"later").unwrap().is_some())
    };
    assert_eq!(file("rw,subvol=/system"), Some(true));
    assert_eq!(file("subvol=snapshot,compress=zstd"), Some(false));
    assert_eq!(file("subvolid=256"), Some(true));
    assert_eq!((file("subvol=missing"), file("subvol=system/usr"), file("subvolid=999")), (None, None, None));

    let mount = Mount::with_options(&disk, "rw");
    judge("btrfs").args(["subvolume", "set-default"]).arg(mount.path().join("system")).succeed();
    drop(mount);
    let default = testkit::tree::walk_kernel(&Mount::with_options(&disk, "ro").path());
    assert!(default.contains_key(&b"later"[..]));
    assert_eq!(crate::tree::walk(crate::made::open(&disk).file_system().unwrap()), default);
}
