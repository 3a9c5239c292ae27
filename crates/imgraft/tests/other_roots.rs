//! Guests whose root is on XFS or btrfs: what imgraft reads of them is what the kernel reads, and what it would have to
//! write there is refused. Needs root; `scripts/other-root` makes the bases.
#![cfg(feature = "full-tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use testkit::mount::Mount;
use testkit::partition::{assert_partition_e2fsck_clean, extract_disk, partition_range};
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

/// Holds a base of this kind against the kernel, which mounts its root with `options`.
fn is_read_and_not_written(variable: &str, kind: &str, options: &str) {
    let world = with_root(variable);
    let inspected = world.run("inspect base.img").succeeds().stdout;
    assert!(inspected.contains("Debian GNU/Linux 12") && inspected.contains(kind), "{inspected}");

    // All of a tree, as `get` copies it out, and as the kernel sees it.
    world.run("get base.img /etc out").succeeds();
    extract_disk(&world.path("base.img"), &world.path("disk"));
    let range = partition_range(&world.path("base.img"), ROOT);
    let place = format!("ro,{options}offset={},sizelimit={}", range.start, range.end - range.start);
    let mount = Mount::with_options(&world.path("disk"), &place);
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
    drop(mount);

    // What the root would have to take is refused, by name and with a way on; nothing is written.
    for line in [
        "build --base base.img --put app:/usr/local/bin/app -o out.img",
        "build --base base.img --hostname other -o out.img",
        "build --base base.img --size 8G -o out.img",
        "build --base base.img --run id>/etc/id -o out.img",
    ] {
        let run = world.run(line);
        assert_eq!(run.code, Some(2), "{line}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("imgraft can only read {kind}")), "{line}: {}", run.stderr);
        assert!(run.stderr.ends_with("\nfor more, run `imgraft explain file-system`\n"), "{line}: {}", run.stderr);
        assert!(!world.path("out.img").exists());
    }

    // Another partition takes it, and commands that change nothing run.
    world.run("build --base base.img --put app:/boot/app --run true -o out.img").succeeds();
    world.run("cat out.img /boot/app").prints("an application\n");
    assert_partition_e2fsck_clean(&world.path("out.img"), BOOT);
    world.run("diff base.img out.img").prints("+ /boot/app (0644 0:0, 15 B)\n");
}

#[test]
fn a_root_on_xfs_is_read_and_not_written() {
    is_read_and_not_written("IMGRAFT_TEST_XFS_BASE", "xfs", "");
}

/// As in Fedora's images: the root is a subvolume, and `/home` another.
#[test]
fn a_root_on_btrfs_is_read_and_not_written() {
    is_read_and_not_written("IMGRAFT_TEST_BTRFS_BASE", "btrfs", "subvol=root,");
    let world = with_root("IMGRAFT_TEST_BTRFS_BASE");
    let inspected = world.run("inspect base.img").succeeds().stdout;
    assert!(inspected.contains("/, /home"), "{inspected}");
}
