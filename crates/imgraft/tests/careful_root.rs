//! What takes root to set up: file systems of their own, attributes, block devices.
#![cfg(feature = "full-tests")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{ROOT, World, assert_sound, noise, qcow2};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;

/// A file system of its own, mounted in a world; unmounted with this.
struct Mounted {
    folder: PathBuf,
    /// Not in the world, which is to stay as it is.
    _file: tempfile::NamedTempFile,
}

impl Mounted {
    /// Makes one by `mkfs` and its arguments, and mounts it at `name`.
    fn new(world: &World, name: &str, size_bytes: u64, mkfs: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size_bytes).unwrap();
        judge(mkfs[0]).args(&mkfs[1..]).arg(file.path()).succeed();
        let folder = world.path(name);
        fs::create_dir(&folder).unwrap();
        judge("mount").args(["-o", "loop"]).arg(file.path()).arg(&folder).succeed();
        Self { folder, _file: file }
    }

    fn used_bytes(&self) -> u64 {
        judge("sync").arg("-f").arg(&self.folder).succeed();
        let said = judge("df").args(["-B1", "--output=used"]).arg(&self.folder).succeed().stdout;
        said.lines().last().unwrap().trim().parse().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "lost+found").collect();
        names.sort();
        names
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        judge("umount").arg(&self.folder).run();
    }
}

/// A world with an image of the given format beside a file system that it is copied to.
fn world(format: Format) -> World {
    assert!(testkit::is_root(), "the full tests mount file systems, which needs root");
    let world = World::with_copy(&Options { format, ..Options::default() });
    world.file("app", noise(8, 1_000_000));
    world
}

fn copy(from: &Path, to: &Path) {
    judge("cp").arg("--sparse=always").arg(from).arg(to).succeed();
}

#[test]
fn a_raw_image_shares_what_did_not_change_with_the_old_one() {
    for mkfs in [&["mkfs.xfs", "-q", "-m", "reflink=1"][..], &["mkfs.btrfs", "-q"]] {
        let world = world(Format::Raw);
        let mounted = Mounted::new(&world, "fs", 600 << 20, mkfs);
        copy(&world.path("my.img"), &world.path("fs/my.img"));
        judge("cp").arg("--reflink=always").arg(world.path("fs/my.img")).arg(world.path("fs/old.img")).succeed();
        let (before, blocks) = (mounted.used_bytes(), fs::read(world.path("fs/old.img")).unwrap());
        let run = world.run("customize fs/my.img --put app:/srv/app").succeeds();
        assert!(!run.stderr.contains("copied"), "{}", run.stderr);
        let more = mounted.used_bytes() - before;
        assert!((1_000_000..4_000_000).contains(&more), "{mkfs:?}: {more} bytes more are in use");
        assert_sound(&world.path("fs/my.img"));
        assert!(world.content("fs/my.img", ROOT, "/srv/app") == noise(8, 1_000_000));
        assert!(fs::read(world.path("fs/old.img")).unwrap() == blocks);

        // The same bytes as where nothing is shared, and a disk that grows.
        for arguments in ["customize IMAGE --put app:/srv/app", "resize IMAGE +2G"] {
            copy(&world.path("fs/old.img"), &world.path("fs/my.img"));
            copy(&world.path("fs/old.img"), &world.path("my.img"));
            world.run(&arguments.replace("IMAGE", "fs/my.img")).succeeds();
            world.run(&arguments.replace("IMAGE", "my.img")).succeeds();
            judge("cmp").arg(world.path("my.img")).arg(world.path("fs/my.img")).succeed();
        }
        assert_eq!(mounted.names(), ["my.img", "old.img"]);
    }
}

#[test]
fn an_attribute_that_keeps_root_out_is_named() {
    for format in [qcow2(), Format::Raw] {
        let world = world(format);
        let mounted = Mounted::new(&world, "fs", 600 << 20, &["mkfs.ext4", "-q"]);
        copy(&world.path("my.img"), &world.path("fs/my.img"));
        for (letter, name) in [("i", "immutable"), ("a", "append only")] {
            judge("chattr").arg(format!("+{letter}")).arg(world.path("fs/my.img")).succeed();
            world.refuses(
                "customize fs/my.img --put app:/srv/app",
                &format!(
                    "error: `fs/my.img` was not changed\n  cause: `fs/my.img` cannot be written\n  \
                     cause: operation not permitted\nhint: it has the attribute {name} (`{letter}`); see chattr(1)\n"
                ),
            );
            judge("chattr").arg(format!("-{letter}")).arg(world.path("fs/my.img")).succeed();
        }
        judge("mount").args(["-o", "remount,ro"]).arg(world.path("fs")).succeed();
        world.refuses(
            "customize fs/my.img --put app:/srv/app",
            "error: `fs/my.img` was not changed\n  cause: `fs/my.img` cannot be written\n  \
             cause: read-only file system\n",
        );
        assert_eq!(mounted.names(), ["my.img"]);
    }
}

#[test]
fn a_host_that_is_full_leaves_the_image_as_it_was() {
    for format in [qcow2(), Format::Raw] {
        let world = world(format);
        world.file("app", noise(3, 100_000_000));
        let size = fs::metadata(world.path("my.img")).unwrap().len();
        fs::create_dir(world.path("small")).unwrap();
        let options = format!("size={}", size.min(120 << 20) + (24 << 20));
        judge("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(world.path("small")).succeed();
        copy(&world.path("my.img"), &world.path("small/my.img"));
        let run = world.run("customize small/my.img --put app:/srv/app");
        let is_same = judge("cmp").arg(world.path("my.img")).arg(world.path("small/my.img")).run().status.success();
        let left = fs::read_dir(world.path("small")).unwrap().count();
        judge("umount").arg(world.path("small")).succeed();
        assert_eq!((run.code, is_same, left), (Some(2), true, 1), "{}", run.stderr);
        let expected = "error: `small/my.img` was not changed\n  cause: no space left on the host in `";
        assert!(run.stderr.starts_with(expected), "{}", run.stderr);
    }
}

#[test]
fn a_block_device_is_refused() {
    let world = world(Format::Raw);
    let device = judge("losetup").args(["-f", "--show"]).arg(world.path("my.img")).succeed().stdout;
    let device = device.trim();
    let run = world.run(&format!("customize {device} --put app:/srv/app"));
    judge("losetup").args(["-d", device]).succeed();
    assert_eq!(run.code, Some(2));
    run.says(&format!(
        "error: `{device}` was not changed\n  cause: `{device}` is a block device: an image is a regular file\n"
    ));
}
