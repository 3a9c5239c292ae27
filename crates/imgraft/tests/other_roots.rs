//! Guests whose root is on XFS or btrfs: what imgraft reads of them is what the kernel reads. XFS is edited, and
//! judged by `xfs_repair -n` and the kernel; what would have to be written to btrfs is refused. Needs root;
//! `scripts/other-root` makes the bases.
#![cfg(feature = "full-tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use testkit::judge::judge;
use testkit::mount::Mount;
use testkit::partition::{assert_partition_e2fsck_clean, extract_disk, partition_range, with_partition};
use testkit::tree::{Node, walk_kernel};

use crate::support::{BOOT, ROOT, World};

/// A folder with the base that the variable names as `base.img`, and a file `app`.
fn with_root(variable: &str) -> World {
    let base = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable}: see scripts/other-root"));
    let world = World::empty();
    symlink(fs::canonicalize(base).expect("the base is there"), world.path("base.img")).unwrap();
    world.file("app", "an application\n");
    world
}

/// Holds what is read of a base of this kind against the kernel, which mounts its root with `options`.
fn is_read_as_the_kernel_reads_it(world: &World, kind: &str, options: &str) {
    let inspected = world.run("inspect base.img").succeeds().stdout;
    assert!(inspected.contains("Debian GNU/Linux 12") && inspected.contains(kind), "{inspected}");

    // All of a tree, as `get` copies it out, and as the kernel sees it.
    world.run("get base.img /etc out").succeeds();
    let mount = root_of(world, "base.img", options);
    // Owners are not copied out.
    let facts = |folder: &Path| -> BTreeMap<Vec<u8>, _> {
        let facts = |node: Node| (node.kind, node.permissions & 0o777, node.content_crc32c, node.target);
        walk_kernel(folder).into_iter().map(|(path, node)| (path, facts(node))).collect()
    };
    let (ours, kernel) = (facts(&world.path("out")), facts(&mount.path().join("etc")));
    assert!(ours.len() > 200);
    for (path, facts) in kernel {
        assert_eq!(ours.get(&path), Some(&facts), "{}", path.escape_ascii());
    }
    let release = fs::read_to_string(mount.path().join("usr/lib/os-release")).unwrap();
    world.run("cat base.img /etc/os-release").prints(&release);
}

/// The root of an image as the kernel mounts it.
fn root_of(world: &World, image: &str, options: &str) -> Mount {
    extract_disk(&world.path(image), &world.path("disk"));
    let range = partition_range(&world.path(image), ROOT);
    let place = format!("ro,{options}offset={},sizelimit={}", range.start, range.end - range.start);
    Mount::with_options(&world.path("disk"), &place)
}

/// What the root would have to take is refused, by name and with a way on; nothing is written. Another partition
/// takes it.
fn is_not_written(world: &World, reason: &str) {
    for line in [
        "build --base base.img --put app:/usr/local/bin/app -o out.img",
        "build --base base.img --hostname other -o out.img",
        "build --base base.img --size 8G -o out.img",
        "build --base base.img --run id>/etc/id -o out.img",
    ] {
        let run = world.run(line);
        assert_eq!(run.code, Some(2), "{line}: {}", run.stderr);
        assert!(run.stderr.contains(reason), "{line}: {}", run.stderr);
        assert!(run.stderr.ends_with("\nfor more, run `imgraft explain file-system`\n"), "{line}: {}", run.stderr);
        assert!(!world.path("out.img").exists());
    }
    world.run("build --base base.img --put app:/boot/app --run true -o out.img").succeeds();
    world.run("cat out.img /boot/app").prints("an application\n");
    assert_partition_e2fsck_clean(&world.path("out.img"), BOOT);
    world.run("diff base.img out.img").prints("+ /boot/app (0644 0:0, 15 B)\n");
}

/// `xfs_repair -n` finds nothing wrong with the root.
fn assert_root_is_sound(world: &World, image: &str) {
    with_partition(&world.path(image), ROOT, |file| {
        judge("xfs_repair").args(["-n", "-f"]).arg(file).succeed();
    });
}

#[test]
fn a_root_on_xfs_is_read_and_edited() {
    let world = with_root("IMGRAFT_TEST_XFS_BASE");
    is_read_as_the_kernel_reads_it(&world, "xfs", "");
    fs::create_dir_all(world.path("tree/below")).unwrap();
    for number in 0..300 {
        fs::write(world.path("tree").join(format!("file{number}")), vec![7; number * 40]).unwrap();
    }
    fs::write(world.path("tree/below/large"), vec![8; 5_000_000]).unwrap();
    let edits = "--put app:/usr/local/bin/app:0755 --put tree:/opt/tree --hostname edited --remove /usr/share/doc \
                 --run true --size 6G";
    world.run(&format!("build --base base.img {edits} -o out.img")).succeeds();
    world.run(&format!("build --base base.img {edits} -o again.img")).succeeds();
    assert_eq!(fs::read(world.path("out.img")).unwrap(), fs::read(world.path("again.img")).unwrap());
    fs::remove_file(world.path("again.img")).unwrap();
    assert_root_is_sound(&world, "out.img");
    world.run("check out.img").succeeds();

    // The kernel sees what was asked for, and everything else as before.
    let before = walk_kernel(&root_of(&world, "base.img", "").path());
    let mount = root_of(&world, "out.img", "");
    let mut after = walk_kernel(&mount.path());
    assert_eq!(fs::read(mount.path().join("usr/local/bin/app")).unwrap(), b"an application\n");
    assert_eq!(fs::read(mount.path().join("etc/hostname")).unwrap(), b"edited\n");
    assert_eq!(after[&b"usr/local/bin/app"[..]].permissions, 0o755);
    for (path, node) in walk_kernel(&world.path("tree")) {
        let put = &after[&[&b"opt/tree"[..], if path.is_empty() { b"" } else { b"/" }, &path].concat()];
        assert_eq!((put.kind, put.content_crc32c), (node.kind, node.content_crc32c), "{}", path.escape_ascii());
        assert_eq!((put.uid, put.gid), (0, 0));
    }
    let is_below = |path: &[u8], above: &[u8]| path == above || path.starts_with(&[above, b"/"].concat());
    assert!(!after.keys().any(|path| is_below(path, b"usr/share/doc")));
    let meant: [&[u8]; 4] = [b"usr/local/bin/app", b"opt/tree", b"etc/hostname", b"usr/share/doc"];
    for (path, mut node) in before {
        if meant.iter().any(|meant| is_below(&path, meant)) {
            continue;
        }
        let mut now = after.remove(&path).unwrap_or_else(|| panic!("{} is gone", path.escape_ascii()));
        // A directory that a name came into or went from has another size and another count of names.
        if path.is_empty() || meant.iter().any(|meant| is_below(meant, &path)) {
            (node.size_bytes, node.links) = (now.size_bytes, now.links);
            (node.modified, now.modified) = ((0, 0), (0, 0));
        }
        assert_eq!(now, node, "{}", path.escape_ascii());
    }
    assert!(after.keys().all(|path| meant.iter().any(|meant| is_below(path, meant))));
    drop(mount);

    // In place, what the kernel made: it stays sound, and what was there before is there again.
    fs::copy(fs::canonicalize(world.path("base.img")).unwrap(), world.path("own.img")).unwrap();
    world.run("customize own.img --put app:/root/app --remove /etc/motd").succeeds();
    assert_root_is_sound(&world, "own.img");
    world.run("cat own.img /root/app").prints("an application\n");
}

/// As in Fedora's images: the root is a subvolume, and `/home` another.
#[test]
fn a_root_on_btrfs_is_read_and_not_written() {
    let world = with_root("IMGRAFT_TEST_BTRFS_BASE");
    is_read_as_the_kernel_reads_it(&world, "btrfs", "subvol=root,");
    is_not_written(&world, "imgraft can only read btrfs");
    let inspected = world.run("inspect base.img").succeeds().stdout;
    assert!(inspected.contains("/, /home"), "{inspected}");
}

/// A log that was left dirty: what is in it is read, as the kernel would, and nothing is written.
#[test]
fn an_xfs_that_was_not_unmounted_is_read_and_not_written() {
    let world = with_root("IMGRAFT_TEST_XFS_BASE");
    let range = partition_range(&world.path("base.img"), ROOT);
    extract_disk(&world.path("base.img"), &world.path("dirty.img"));
    {
        let place = format!("rw,offset={},sizelimit={}", range.start, range.end - range.start);
        let mount = Mount::with_options(&world.path("dirty.img"), &place);
        let mut late = fs::File::create(mount.path().join("etc/late")).unwrap();
        late.write_all(b"written late\n").unwrap();
        late.sync_all().unwrap();
        drop(late);
        judge("xfs_io").args(["-x", "-c", "shutdown -f"]).arg(mount.path()).succeed();
    }
    fs::remove_file(world.path("base.img")).unwrap();
    fs::rename(world.path("dirty.img"), world.path("base.img")).unwrap();
    world.run("cat base.img /etc/late").prints("written late\n");
    is_not_written(&world, "imgraft can only read this XFS: its log has changes that were not carried out");
}
