//! A root, a `/home` and data on logical volumes of LVM2, which are made by hand: each extent is put in its place here, and
//! looked for there afterwards.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::support::{Run, World};
use testkit::judge::{assert_e2fsck_clean, judge};
use testkit::lvm::{LogicalVolume, PhysicalVolume, Segment, head, metadata};

const MIB: u64 = 1 << 20;
const EXTENT: u64 = MIB;
const STRIPE: u64 = 64 << 10;
/// Of both physical volumes.
const FIRST_EXTENT: u64 = MIB;
/// Where the partitions begin that are physical volumes.
const PARTITIONS: [u64; 2] = [40 * MIB, 120 * MIB];
const PARTITION_BYTES: u64 = 64 * MIB;

const ROOT: &[Segment<'_>] = &[(20, None, &[(0, 8)]), (12, None, &[(1, 30)])];
const HOME: &[Segment<'_>] = &[(8, None, &[(0, 0)])];
const DATA: &[Segment<'_>] = &[(16, Some(STRIPE), &[(0, 40), (1, 4)])];
const VOLUMES: [LogicalVolume<'_>; 3] = [("root", ROOT), ("home", HOME), ("da-ta", DATA)];

/// The size of a logical volume in bytes.
fn size(segments: &[Segment<'_>]) -> u64 {
    segments.iter().map(|(extents, ..)| extents * EXTENT).sum()
}

/// Where on the disk each 64 KiB of a logical volume are.
fn places(segments: &[Segment<'_>]) -> Vec<u64> {
    let mut places = Vec::new();
    for (extents, _, on) in segments {
        for stripe in 0..extents * EXTENT / STRIPE {
            let (volume, first) = on[(stripe % on.len() as u64) as usize];
            places.push(PARTITIONS[volume] + FIRST_EXTENT + first * EXTENT + stripe / on.len() as u64 * STRIPE);
        }
    }
    places
}

/// A world with `my.img`: `/boot` is an ext4 on partition 1, partitions 2 and 3 are the physical volumes of `my-vg`.
fn world(fstab: &str) -> World {
    let world = World::empty();
    let image = world.path("my.img");
    let disk = File::create(&image).unwrap();
    disk.set_len(192 * MIB).unwrap();
    world.file("script", "label: gpt\n1MiB,32MiB\n40MiB,64MiB,V\n120MiB,64MiB,V\n");
    let script = File::open(world.path("script")).unwrap();
    judge("sfdisk").args(["-q", "--no-reread", "--no-tell-kernel"]).arg(&image).stdin(script).succeed();

    let physical =
        ['x', 'y'].map(|letter| PhysicalVolume { letter, device_bytes: PARTITION_BYTES, first_extent: FIRST_EXTENT });
    let text = metadata("my-vg", EXTENT, &physical, &VOLUMES);
    let disk = File::options().write(true).open(&image).unwrap();
    for (volume, start) in physical.iter().zip(PARTITIONS) {
        disk.write_all_at(&head(volume, &text), start).unwrap();
    }
    world.file("root/etc/os-release", "ID=test\nNAME=Test\n").file("root/etc/fstab", fstab).file("app", "app\n");
    for folder in ["root/boot", "root/home", "root/srv", "home/ada", "data", "boot"] {
        fs::create_dir_all(world.path(folder)).unwrap();
    }
    let ext4 = |file: &Path, label: &str, tree: &str, bytes: u64| {
        File::create(file).unwrap().set_len(bytes).unwrap();
        let mkfs = judge("mkfs.ext4").args(["-q", "-F", "-L", label, "-E", "root_owner=0:0", "-d"]);
        mkfs.arg(world.path(tree)).arg(file).succeed();
    };
    for ((name, segments), tree) in VOLUMES.iter().zip(["root", "home", "data"]) {
        let file = world.path("part");
        ext4(&file, name, tree, size(segments));
        let bytes = fs::read(file).unwrap();
        for (part, place) in bytes.chunks(STRIPE as usize).zip(places(segments)) {
            disk.write_all_at(part, place).unwrap();
        }
    }
    let file = world.path("part");
    ext4(&file, "boot", "boot", 32 * MIB);
    disk.write_all_at(&fs::read(file).unwrap(), MIB).unwrap();
    world
}

/// What is on a logical volume of a raw image is a sound ext4, in which `path` has this content.
fn assert_has(world: &World, image: &str, segments: &[Segment<'_>], path: &str, content: &str) {
    let disk = File::open(world.path(image)).unwrap();
    let mut bytes = vec![0; size(segments) as usize];
    for (part, place) in bytes.chunks_mut(STRIPE as usize).zip(places(segments)) {
        disk.read_exact_at(part, place).unwrap();
    }
    let file = world.path("volume");
    fs::write(&file, bytes).unwrap();
    assert_e2fsck_clean(&file, 0);
    let said = judge("debugfs").args(["-R", &format!("cat {path}")]).arg(&file).succeed();
    assert_eq!(said.stdout, content, "{path}");
}

fn json(run: &Run) -> serde_json::Value {
    serde_json::from_str(&run.stdout).unwrap()
}

const FSTAB: &str = "/dev/mapper/my--vg-root / ext4 defaults 0 1\n/dev/my-vg/home /home ext4 defaults 0 2\n\
                     LABEL=da-ta /srv ext4 defaults 0 2\n/dev/vda1 /boot ext4 defaults 0 2\n";

#[test]
fn a_guest_on_logical_volumes_is_read_edited_and_compared() {
    let world = world(FSTAB);
    let run = world.run("inspect my.img");
    let row = |name: &str, rest: &str| {
        let row = run
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("{}", run.stderr));
        assert!(row.split_whitespace().collect::<Vec<_>>().join(" ").contains(rest), "{row}");
    };
    row("my-vg/root", "ext4 root / 32.0 MiB");
    row("my-vg/home", "ext4 home /home 8.0 MiB");
    row("my-vg/da-ta", "ext4 da-ta /srv 16.0 MiB");
    row("2", "LVM2");
    let told = json(&world.run("inspect --json my.img"));
    assert_eq!(told["partitions"][3]["logical_volume"], "my-vg/da-ta");
    assert_eq!(told["partitions"][5]["first_byte"], PARTITIONS[0] + FIRST_EXTENT + 8 * EXTENT);

    let put = "--put app:/usr/local/bin/app --put app:/home/ada/app --put app:/srv/app --put app:/boot/app";
    world.run(&format!("build --base my.img {put} -o out.img")).succeeds();
    for (segments, path) in [(ROOT, "/usr/local/bin/app"), (HOME, "/ada/app"), (DATA, "/app")] {
        assert_has(&world, "out.img", segments, path, "app\n");
    }
    assert_e2fsck_clean(&world.path("out.img"), MIB);
    world.run("check out.img").succeeds();
    world.run("ls -1 out.img /home/ada").prints("app\n");
    // Every place is named, and nothing differs elsewhere.
    let run = world.run("diff my.img out.img");
    for path in ["/usr/local/bin/app", "/home/ada/app", "/srv/app", "/boot/app"] {
        assert!(run.stdout.contains(&format!("+ {path}")), "{}", run.stdout);
    }
    assert!(!run.stdout.contains("sectors"), "{}", run.stdout);
    let told = json(&world.run("diff --json my.img out.img"));
    assert_eq!(told["outside"].as_array().unwrap().len(), 0);
    world.run("report out.img --base my.img --html report.html").succeeds();
    let page = fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.contains("my-vg/root") && page.contains("my-vg/da-ta"));

    // Bytes of no volume are in the partition.
    let disk = File::options().write(true).open(world.path("out.img")).unwrap();
    disk.write_all_at(b"stray", PARTITIONS[1] + FIRST_EXTENT).unwrap();
    let run = world.run("diff my.img out.img");
    assert!(run.stdout.contains("partition 3 (LVM2): 1 sector"), "{}", run.stdout);
}

#[test]
fn a_logical_volume_is_used_by_its_name() {
    let world = world(FSTAB);
    for name in ["my-vg/da-ta", "/dev/my-vg/da-ta", "/dev/mapper/my--vg-da--ta"] {
        world.run(&format!("customize my.img --volume {name} --put app:/file")).succeeds();
        world.run(&format!("cat my.img --volume {name} /file")).prints("app\n");
    }
    assert_has(&world, "my.img", DATA, "/file", "app\n");
    let run = world.run("ls my.img --volume my-vg/other");
    assert_eq!(run.code, Some(2));
    let said =
        "logical volume my-vg/other is not there or has no file system that imgraft can use; the disk has partition 1";
    assert!(
        run.stderr.contains(said) && run.stderr.contains("logical volume my-vg/home (ext4 `home`)"),
        "{}",
        run.stderr
    );
    let run = world.run("ls my.img --volume home");
    assert!(run.stderr.contains("a logical volume is named by its group and its name: GROUP/NAME"), "{}", run.stderr);
    assert_eq!(world.run("ls my.img --volume my-vg/home --partition 1").code, Some(2));
}

/// Both copies of the metadata are damaged: that is said, and nothing is written.
#[test]
fn damaged_metadata_are_named() {
    let world = world(FSTAB);
    let disk = File::options().write(true).open(world.path("my.img")).unwrap();
    // One is enough.
    disk.write_all_at(b"X", PARTITIONS[0] + 4700).unwrap();
    let run = world.run("check my.img");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stdout.contains("wrong checksum of the metadata"), "{}", run.stderr);
    disk.write_all_at(b"X", PARTITIONS[1] + 4700).unwrap();
    let run = world.run("build --base my.img --put app:/app -o out.img");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("partition 3 (LVM2)\n  cause: damaged: metadata area at byte 4096: wrong checksum")
            && !world.path("out.img").exists(),
        "{}",
        run.stderr
    );
}

/// Without the room of a larger disk, the root takes what is free in its group; nothing else moves.
#[test]
fn a_disk_that_grows_gives_its_room_to_the_root() {
    let world = world(FSTAB);
    world.run("build --base my.img --put app:/srv/app --put app:/app --size +64M -o out.img").succeeds();
    world.run("check out.img").succeeds();
    let run = world.run("inspect --json out.img");
    let partition = |place: &str, name: &str| -> serde_json::Value {
        let all = json(&run)["partitions"].as_array().unwrap().clone();
        all.into_iter().find(|one| one[place].to_string().trim_matches('"') == name).unwrap()
    };
    // Partition 3 ends 1 MiB before the end of 256 MiB. Of the two physical volumes, the other volumes have 24 MiB, and 1 MiB
    // is before the first extent of each.
    assert_eq!(partition("number", "3")["size_bytes"], 135 * MIB);
    assert_eq!(partition("logical_volume", "my-vg/root")["size_bytes"], (63 + 134 - 24) * MIB);
    assert_has(&world, "out.img", HOME, "/app", "");
    assert_has(&world, "out.img", DATA, "/app", "app\n");
    let run = world.run("diff my.img out.img");
    assert!(run.stdout.contains("file system size"), "{}", run.stdout);
    world.run("resize out.img 256M").succeeds();
    world.run("cat out.img /app").prints("app\n");

    // A copy of the metadata that is damaged would be written over.
    let disk = File::options().write(true).open(world.path("my.img")).unwrap();
    disk.write_all_at(b"X", PARTITIONS[0] + 4700).unwrap();
    let run = world.run("resize my.img +64M");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("a copy of the metadata is damaged"), "{}", run.stderr);
}

#[cfg(feature = "full-tests")]
mod full {
    use super::*;
    use testkit::lvm::{Loop, lvm, reported};

    /// The same, in place and twice, with `lvm` itself as the judge of what was made by hand and of what we wrote.
    #[test]
    fn lvm_accepts_what_has_grown() {
        let world = world(FSTAB);
        for round in 0..3 {
            if round > 0 {
                world.run("resize my.img +32M").succeeds();
                world.run("customize my.img --put app:/grown").succeeds();
            }
            let file = world.path("my.img");
            let disk_bytes = fs::metadata(&file).unwrap().len();
            // The second is the last one on the disk.
            let last_bytes = if round > 0 { disk_bytes - PARTITIONS[1] - MIB } else { PARTITION_BYTES };
            let sizes = [PARTITION_BYTES, last_bytes];
            let loops = [0, 1].map(|index| Loop::new(&file, PARTITIONS[index], Some(sizes[index])));
            lvm(&["vgck", "my-vg"]);
            for (device, size) in loops.iter().zip(sizes) {
                let extents = (size - FIRST_EXTENT) / EXTENT;
                let said = reported("pvs", "dev_size,pv_size", &device.device);
                assert_eq!(said, [format!("{size} {}", extents * EXTENT)], "round {round}");
            }
            if round > 0 {
                assert_eq!(reported("vgs", "vg_free", "my-vg"), ["0"]);
            }
            let mut bytes = Vec::new();
            for line in reported("lvs", "seg_start,seg_size,devices", "my-vg/root") {
                let [start, size, place] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
                assert_eq!(start.parse::<usize>().unwrap(), bytes.len());
                let (device, extent) = place.trim_end_matches(')').split_once('(').unwrap();
                let index = loops.iter().position(|one| one.device == device).unwrap();
                let at = PARTITIONS[index] + FIRST_EXTENT + extent.parse::<u64>().unwrap() * EXTENT;
                let mut part = vec![0; size.parse().unwrap()];
                File::open(&file).unwrap().read_exact_at(&mut part, at).unwrap();
                bytes.extend(part);
            }
            fs::write(world.path("root.img"), &bytes).unwrap();
            assert_e2fsck_clean(&world.path("root.img"), 0);
            let said = judge("dumpe2fs").arg("-h").arg(world.path("root.img")).succeed().stdout;
            let blocks = said.lines().find_map(|line| line.strip_prefix("Block count:")).unwrap().trim();
            let block_bytes = said.lines().find_map(|line| line.strip_prefix("Block size:")).unwrap().trim();
            assert_eq!(blocks.parse::<u64>().unwrap() * block_bytes.parse::<u64>().unwrap(), bytes.len() as u64);
        }
    }
}
