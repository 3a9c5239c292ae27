//! Disks that other builders made: vmdb2, and what diskimage-builder partitions and makes file systems with.
#![cfg(feature = "full-tests")]

use std::fs;

use crate::support::World;
use testkit::judge::{assert_e2fsck_clean, assert_sgdisk_clean, judge};

/// The disks of `scripts/foreign-images`: name, table, number and label of the root, and where it begins in MiB.
const DISKS: [(&str, &str, u32, &str, u64); 4] = [
    ("vmdb2", "MBR", 2, "vmdb2-root", 16),
    ("vmdb2-gpt", "GPT", 2, "vmdb2-root", 16),
    ("dib", "MBR", 1, "cloudimg-rootfs", 1),
    ("dib-gpt", "GPT", 1, "cloudimg-rootfs", 1),
];

#[test]
fn disks_of_other_builders_are_looked_at_changed_and_grown() {
    assert!(testkit::is_root(), "loop devices and mounts need root");
    let world = World::empty();
    world.file("app", "app\n");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/foreign-images");
    judge("bash").arg(script).arg(world.folder()).succeed();
    for (name, table, root, label, first_mib) in DISKS {
        let (image, volume) = (format!("{name}.img"), format!("partition {root} (ext4 `{label}`)"));
        world
            .run(&format!("check {image}"))
            .succeeds()
            .says(&format!("nothing is wrong with `{image}`: raw, {table}, {volume}\n"));
        let inspected = world.run(&format!("inspect {image}")).succeeds().stdout;
        assert!(inspected.contains(&format!("200.0 MiB, {table}\n")), "{inspected}");
        let before = fs::read(world.path(&image)).unwrap();
        world.run(&format!("build --base {image} --put app:/usr/local/bin/app:0755 -o out.qcow2")).succeeds();
        assert!(before == fs::read(world.path(&image)).unwrap(), "the base is as it was");
        judge("qemu-img").args(["check", "-q"]).arg(world.path("out.qcow2")).succeed();
        fs::remove_file(world.path("out.qcow2")).unwrap();

        world.run(&format!("customize {image} --put app:/usr/local/bin/app:0755")).succeeds();
        world.run(&format!("resize {image} 400M")).succeeds();
        let offset = first_mib << 20;
        assert_e2fsck_clean(&world.path(&image), offset);
        match table {
            "GPT" => assert_sgdisk_clean(&world.path(&image)),
            _ => drop(judge("sfdisk").arg("--verify").arg(world.path(&image)).succeed()),
        }
        let place = format!("{}?offset={offset}", world.path(&image).display());
        let content = judge("debugfs").args(["-R", "cat /usr/local/bin/app"]).arg(&place).succeed().stdout;
        assert_eq!(content, "app\n");
        let said = judge("debugfs").args(["-R", "show_super_stats -h"]).arg(&place).succeed().stdout;
        let field = |name: &str| -> u64 {
            said.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
        };
        assert!(field("Block count:") * field("Block size:") > 380 << 20, "{name} has not grown: {said}");
        world.run(&format!("check {image}")).succeeds();
    }
}
