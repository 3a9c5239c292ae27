//! What was changed is checked before it gets a name: damage that the base has is told, and never added to.

use crate::support::{ESP, ROOT, World, assert_sound};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;
use testkit::partition::{extract_partition, partition_range};

/// A world with a raw copy of the fixture whose root file system `debugfs` was told to damage.
fn damaged(commands: &[&str]) -> World {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    world.file("app", "app\n").file("commands", commands.join("\n"));
    let image = world.path("my.img");
    let offset = partition_range(&image, ROOT).start;
    let place = format!("{}?offset={offset}", image.display());
    judge("debugfs").arg("-w").arg("-f").arg(world.path("commands")).arg(place).succeed();
    world
}

/// What `e2fsck -fn` says about the root file system, and whether that is nothing.
fn e2fsck(world: &World, image: &str) -> (String, bool) {
    let file = world.path("root.tmp");
    extract_partition(&world.path(image), ROOT, &file);
    let verdict = judge("e2fsck").arg("-fn").arg(&file).run();
    std::fs::remove_file(&file).unwrap();
    (verdict.stdout, verdict.status.success())
}

#[test]
fn what_was_changed_is_checked_and_the_report_says_so() {
    let world = World::new();
    world.file("app", "app\n");
    let run = world.run("-v build --base base.img --put app:/srv/app --put app:/boot/app -o out.img --json").succeeds();
    assert_sound(&world.path("out.img"));
    let root = format!("partition {ROOT} (ext4 `cloudimg-rootfs`)");
    assert!(run.stderr.contains(&format!("checked {root}, partition 16 (ext4 `BOOT`)\n")), "{}", run.stderr);
    assert!(run.stdout.contains("\"checked\": [\n    \"partition 1 (ext4 `cloudimg-rootfs`)\",\n"), "{}", run.stdout);
    // What is as it was is not looked at.
    let run = world.run("-v build --base base.img --put app:/srv/app -o out2.img").succeeds();
    assert!(run.stderr.contains(&format!("checked {root}\n")), "{}", run.stderr);
    assert!(!run.stderr.contains(&format!("partition {ESP}")), "{}", run.stderr);
}

#[test]
fn damage_of_the_base_that_the_changes_leave_alone_is_a_warning() {
    let world = damaged(&["sif /etc/hostname links_count 3"]);
    let (_, is_sound) = e2fsck(&world, "my.img");
    assert!(!is_sound);
    let inode = world.stat("my.img", ROOT, "/etc/hostname").inode;
    world.run("build --base my.img --put app:/srv/app -o out.img").succeeds().says(&format!(
        "warning: `my.img` is damaged in partition 1 (ext4 `cloudimg-rootfs`), and so is the new image: \
         inode {inode}: i_links_count=3, but it has 1\n\
         put app at /srv/app (0644 0:0, 4 B)\n\
         built out.img (…)\n"
    ));
    assert_eq!(world.content("out.img", ROOT, "/srv/app"), b"app\n");
    let (found, is_sound) = e2fsck(&world, "out.img");
    assert!(!is_sound && found.contains(&format!("Inode {inode} ref count is 3, should be 1")), "{found}");
}

#[test]
fn a_wrong_count_of_free_blocks_stays_a_warning_when_blocks_are_taken() {
    let world = damaged(&["ssv free_blocks_count 20000"]);
    let run = world.run("build --base my.img --put app:/srv/app -o out.img").succeeds();
    assert!(run.stderr.starts_with("warning: `my.img` is damaged in partition 1"), "{}", run.stderr);
    assert!(run.stderr.contains("super block: s_free_blocks_count=19999, but "), "{}", run.stderr);
}

/// The first block that is free is one that a file has: what is put would overwrite it.
#[test]
fn damage_that_the_changes_would_add_to_ends_the_build() {
    let blocks = {
        let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
        world.debugfs("my.img", ROOT, "blocks /usr/lib/large.bin")
    };
    let first: u64 = blocks.split_ascii_whitespace().next().unwrap().parse().unwrap();
    let world = damaged(&[&format!("freeb {first} 4000")]);
    world.file("large", vec![7; 12_000_000]);
    let before = world.contents();
    for arguments in
        ["build --base my.img --put large:/srv/large -o out.img", "customize my.img --put large:/srv/large"]
    {
        let run = world.run(arguments);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(
            run.stderr.contains(
                "`my.img` is damaged in partition 1 (ext4 `cloudimg-rootfs`), and the changes would add to that\n"
            ) && run.stderr.contains("of its blocks are claimed by something else too\n")
                && run.stderr.ends_with("repair it with `e2fsck` first\nfor more, run `imgraft explain damaged`\n"),
            "{}",
            run.stderr
        );
        assert!(before == world.contents(), "`{arguments}` left something behind");
    }
}
