//! `imgraft check --repair`: what a crash leaves in a qcow2 file, made right.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::support::{ROOT, World, assert_sound};
use testkit::fixture::{Format, Options};
use testkit::judge::{assert_qemu_img_check, judge};
use testkit::partition::partition_range;

const CLUSTER_BYTES: u64 = 64 << 10;

fn number(file: &File, offset: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, offset).unwrap();
    u64::from_be_bytes(bytes)
}

/// Gives `clusters` clusters behind the end of the image a refcount that nothing asks for.
fn leak(world: &World, clusters: u64) {
    let file = File::options().read(true).write(true).open(world.path("my.img")).unwrap();
    let first = file.metadata().unwrap().len().div_ceil(CLUSTER_BYTES);
    // refcount_table_offset, and the first entry there.
    let block = number(&file, number(&file, 48));
    for cluster in first..first + clusters {
        file.write_all_at(&1u16.to_be_bytes(), block + 2 * cluster).unwrap();
    }
    file.set_len((first + clusters) * CLUSTER_BYTES).unwrap();
    assert_eq!(judge("qemu-img").arg("check").arg(world.path("my.img")).run().status.code(), Some(3));
}

#[test]
fn what_was_leaked_is_given_back() {
    let world = World::with_copy(&Options::default());
    let before = fs::metadata(world.path("my.img")).unwrap().len();
    leak(&world, 7);
    assert_eq!(world.run("check my.img").code, Some(1));
    let run = world.run("check --repair my.img").succeeds().prints("");
    assert!(
        run.stderr.starts_with("repaired `my.img`: 7 leaked clusters reclaimed, ")
            && run.stderr.contains(" given back\n"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("\nnothing is wrong with `my.img`: qcow2, "), "{}", run.stderr);
    assert_sound(&world.path("my.img"));
    // The new refcounts were written while the old ones were there.
    assert!(fs::metadata(world.path("my.img")).unwrap().len() < before + 3 * CLUSTER_BYTES);

    let bytes = fs::read(world.path("my.img")).unwrap();
    let run = world.run("check --repair --json my.img").succeeds();
    assert!(run.stderr.starts_with("there was nothing to repair in `my.img`\n"), "{}", run.stderr);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&found["repaired"]["leaked_clusters"], &found["findings"]), (&0.into(), &serde_json::json!([])));
    assert!(bytes == fs::read(world.path("my.img")).unwrap());
}

#[test]
fn an_edit_leaves_a_leak_as_it_is_and_a_repair_takes_it() {
    let world = World::with_copy(&Options::default());
    world.file("app", "app\n");
    leak(&world, 2);
    world.run("customize my.img --put app:/srv/app").succeeds();
    world.run("check --repair my.img").succeeds();
    assert_sound(&world.path("my.img"));
    assert_eq!(world.content("my.img", ROOT, "/srv/app"), b"app\n");
}

#[test]
fn the_dirty_bit_that_a_killed_qemu_leaves_is_cleared() {
    let world = World::with_copy(&Options::default());
    let convert = ["convert", "-O", "qcow2", "-o", "lazy_refcounts=on"];
    judge("qemu-img").args(convert).arg(world.path("my.img")).arg(world.path("lazy.img")).succeed();
    fs::rename(world.path("lazy.img"), world.path("my.img")).unwrap();
    // In front of the first partition, where nothing is.
    judge("qemu-io").args(["-c", "write 0xf0000 64k", "-c", "sigraise 9"]).arg(world.path("my.img")).run();
    let file = File::open(world.path("my.img")).unwrap();
    // incompatible_features
    assert_eq!(number(&file, 72) & 1, 1, "qemu-io did not leave the dirty bit");
    let run = world.run("check --repair my.img").succeeds();
    assert!(run.stderr.contains("the dirty bit cleared"), "{}", run.stderr);
    assert_eq!(number(&file, 72) & 1, 0);
    assert_qemu_img_check(&world.path("my.img"));
}

#[test]
fn what_other_refcounts_do_not_repair_is_named() {
    let world = World::with_copy(&Options::default());
    let file = File::options().read(true).write(true).open(world.path("my.img")).unwrap();
    // The first entry of the L1 table, past the end of the file.
    file.write_all_at(&(1u64 << 63 | 1 << 40).to_be_bytes(), number(&file, 40)).unwrap();
    let bytes = fs::read(world.path("my.img")).unwrap();
    let run = world.run("check --repair my.img");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.starts_with("warning: `my.img` cannot be repaired: "), "{}", run.stderr);
    assert!(bytes == fs::read(world.path("my.img")).unwrap());
}

#[test]
fn ext4_is_left_to_e2fsck() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let place =
        format!("{}?offset={}", world.path("my.img").display(), partition_range(&world.path("my.img"), ROOT).start);
    judge("debugfs").args(["-w", "-R", "ssv free_blocks_count 5", &place]).succeed();
    let bytes = fs::read(world.path("my.img")).unwrap();
    let run = world.run("check --repair my.img");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: what is wrong in the file system is for `e2fsck` to repair"),
        "{}",
        run.stderr
    );
    assert!(bytes == fs::read(world.path("my.img")).unwrap());
}

#[test]
fn an_image_that_may_not_be_written_is_not_repaired() {
    let world = World::with_copy(&Options::default());
    world.mode("my.img", 0o444);
    let run = world.run_as_user("check --repair my.img");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.starts_with("error: `my.img` cannot be written\n  cause: permission denied\n"),
        "{}",
        run.stderr
    );
}
