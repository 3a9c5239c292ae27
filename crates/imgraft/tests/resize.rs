//! `imgraft resize`, and `--size`: a larger disk, and a root that fills it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::support::{ROOT, World, assert_sound, noise};
use testkit::fixture::{Format, LARGE_FILE, Options};
use testkit::judge::{assert_e2fsck_clean, assert_qemu_img_check, judge};
use testkit::partition::{extract_partition, partition_range};

const GIB: u64 = 1 << 30;

/// What `qemu-img` says that the guest's disk has, in bytes.
fn disk_bytes(image: &Path) -> u64 {
    let said = judge("qemu-img").args(["info", "--output=json"]).arg(image).succeed().stdout;
    let size = said.lines().find_map(|line| line.trim().strip_prefix("\"virtual-size\": ")).unwrap();
    size.trim_end_matches(',').parse().unwrap()
}

fn file_bytes(image: &Path) -> u64 {
    fs::metadata(image).unwrap().len()
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// What `debugfs` shows of a partition's tree: each path with mode, owner and digest.
fn tree(image: &Path, number: u32) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("partition");
    let out = folder.path().join("tree");
    extract_partition(image, number, &file);
    fs::create_dir(&out).unwrap();
    judge("debugfs").arg("-R").arg(format!("rdump / {}", out.display())).arg(&file).succeed();
    let mut tree = BTreeMap::new();
    let mut left = vec![out.clone()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let what = match () {
                () if metadata.is_dir() => "directory".to_owned(),
                () if metadata.is_file() => format!("{:016x}", digest(&fs::read(&path).unwrap())),
                () if metadata.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                () => "special".to_owned(),
            };
            let facts = format!("{:o} {}:{} {what}", metadata.mode(), metadata.uid(), metadata.gid());
            tree.insert(path.strip_prefix(&out).unwrap().display().to_string(), facts);
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    tree
}

/// Blocks and block size of the root, as `dumpe2fs` says.
fn root_bytes(world: &World, image: &str) -> u64 {
    let said = world.debugfs(image, ROOT, "show_super_stats -h");
    let number = |name: &str| -> u64 {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().last().unwrap().parse().unwrap()
    };
    number("Block count:") * number("Block size:")
}

#[test]
fn the_disk_the_partition_and_the_file_system_grow_and_nothing_else_changes() {
    let world = World::with_copy(&Options::default());
    let image = world.path("my.img");
    let (before, old_file_bytes) = (tree(&image, ROOT), file_bytes(&image));
    let root_start = partition_range(&image, ROOT).start;
    world.run("resize my.img 3G").succeeds().prints("").says(
        "grew the disk from 366.0 MiB to 3.0 GiB, partition 1 (ext4 `cloudimg-rootfs`) from 256.0 MiB to 2.8 GiB\n\
         changed my.img in place (…)\n",
    );
    assert_sound(&image);
    assert_eq!(disk_bytes(&image), 3 * GIB);
    // Up to the last whole mebibyte in front of the table's backup.
    let root = partition_range(&image, ROOT);
    assert_eq!((root.start, root.end), (root_start, 3 * GIB - (1 << 20)));
    assert_eq!(root_bytes(&world, "my.img"), root.end - root.start);
    assert_eq!(tree(&image, ROOT), before);
    // What was changed is there twice; the old half is free.
    let more = file_bytes(&image) - old_file_bytes;
    assert!(more < 2 << 20, "the file grew by {more} bytes");
    world.run("check my.img").succeeds();
    assert_eq!(world.names(), ["my.img"]);
}

#[test]
fn another_image_is_made_where_one_is_named_the_same_each_time() {
    let world = World::new();
    world.run("resize base.img +1G -o one.img").succeeds();
    world.run("resize base.img +1G -o two.img").succeeds();
    assert!(fs::read(world.path("one.img")).unwrap() == fs::read(world.path("two.img")).unwrap());
    assert_sound(&world.path("one.img"));
    assert_eq!(disk_bytes(&world.path("one.img")), disk_bytes(&world.path("base.img")) + GIB);
    // It can be done again, and by others.
    world.run("resize one.img +700M").succeeds();
    assert_sound(&world.path("one.img"));
    world.run("resize one.img +1000").succeeds();
    assert_eq!(disk_bytes(&world.path("one.img")) % 512, 0);
    assert_sound(&world.path("one.img"));
}

#[test]
fn a_raw_disk_grows_by_a_hole() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let image = world.path("my.img");
    world.run("resize my.img 20G").succeeds();
    assert_eq!(file_bytes(&image), 20 * GIB);
    let allocated = fs::metadata(&image).unwrap().blocks() * 512;
    assert!(allocated < 400 << 20, "{allocated} bytes are allocated");
    testkit::judge::assert_sgdisk_clean(&image);
    assert_e2fsck_clean(&image, partition_range(&image, ROOT).start);
}

#[test]
fn a_disk_that_somebody_else_made_larger_is_filled() {
    let world = World::with_copy(&Options::default());
    judge("qemu-img").args(["resize", "-q"]).arg(world.path("my.img")).arg("2G").succeed();
    world.run("resize my.img").succeeds();
    assert_sound(&world.path("my.img"));
    assert_eq!(partition_range(&world.path("my.img"), ROOT).end, 2 * GIB - (1 << 20));
    // There is nothing left to grow into.
    let before = root_bytes(&world, "my.img");
    world.run("resize my.img").succeeds();
    assert_eq!(root_bytes(&world, "my.img"), before);
    assert_sound(&world.path("my.img"));
}

#[test]
fn what_is_put_may_need_the_room() {
    let world = World::new();
    // More than the root of 256 MiB has; all but its ends are a hole.
    world.file("huge", noise(9, 100_000));
    let huge = File::options().write(true).open(world.path("huge")).unwrap();
    huge.set_len(300 << 20).unwrap();
    huge.write_all_at(b"the end", (300 << 20) - 7).unwrap();
    assert_eq!(world.run("build --base base.img --put huge:/srv/huge -o out.img").code, Some(2));
    world.run("build --base base.img --size 1G --put huge:/srv/huge -o out.img").succeeds();
    assert_sound(&world.path("out.img"));
    assert!(world.content("out.img", ROOT, "/srv/huge") == fs::read(world.path("huge")).unwrap());
    assert_eq!(world.content("out.img", ROOT, LARGE_FILE.0).len() as u64, LARGE_FILE.1);

    world.run("customize out.img --size +512M --put huge:/srv/huge2").succeeds();
    assert_sound(&world.path("out.img"));
    assert_eq!(disk_bytes(&world.path("out.img")), GIB + (512 << 20));
    // Without anything to put, too.
    world.run("customize out.img --size 2G").succeeds();
    assert_sound(&world.path("out.img"));
}

#[test]
fn a_recipe_says_how_large_its_image_is_and_a_flag_has_the_last_word() {
    let world = World::new();
    world.file("imgraft.toml", "output = \"out.img\"\nsize = \"1G\"\nbase.file = \"base.img\"\n");
    world.run("build").succeeds();
    assert_eq!(disk_bytes(&world.path("out.img")), GIB);
    world.run("build --size 2G").succeeds();
    assert_eq!(disk_bytes(&world.path("out.img")), 2 * GIB);
    assert_qemu_img_check(&world.path("out.img"));
}

#[test]
fn a_report_has_both_sizes() {
    let world = World::new();
    let run = world.run("resize base.img 1G -o out.img --json").succeeds();
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["virtual_size_bytes"], GIB);
    assert_eq!(report["grown"]["disk_bytes"]["to"], GIB);
    assert_eq!(report["grown"]["root_bytes"]["to"], root_bytes(&world, "out.img"));
    assert_eq!(report["grown"]["root"], "partition 1 (ext4 `cloudimg-rootfs`)");
}

#[test]
fn a_disk_does_not_shrink() {
    let world = World::with_copy(&Options::default());
    world.refuses(
        "resize my.img 100M",
        "error: `my.img` was not changed\n  cause: the disk has 383778816 bytes (366.0 MiB) and cannot shrink to \
         104857600 (100.0 MiB)\n",
    );
    world.file("app", "app\n");
    let run = world.run("build --base my.img --size 1K --put app:/app -o out.img");
    assert_eq!(run.code, Some(2));
    let wrong = world.run("resize my.img 10GB");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("`10GB` is not a size"), "{}", wrong.stderr);
    assert_eq!(world.names(), ["app", "my.img"]);
}

#[test]
fn a_root_with_a_partition_behind_it_stays_and_is_named() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let image = world.path("my.img");
    let bytes = file_bytes(&image);
    File::options().write(true).open(&image).unwrap().set_len(bytes + (64 << 20)).unwrap();
    judge("sgdisk").args(["-e", "-n", "2:0:+16M"]).arg(&image).succeed();
    world.refuses(
        "resize my.img 1G",
        "error: `my.img` was not changed\n  cause: the root cannot grow\n  \
         cause: partition 1 cannot grow: partition 2 lies after it on the disk\n\
         hint: only the partition that lies last on the disk can have the room after it\n",
    );
}

#[test]
fn a_file_system_without_a_partition_table_grows_too() {
    let world = World::with_copy(&Options::default());
    extract_partition(&world.path("my.img"), ROOT, &world.path("root.img"));
    world.run("resize root.img 1G").succeeds();
    let image = world.path("root.img");
    assert_eq!(file_bytes(&image), GIB);
    assert_e2fsck_clean(&image, 0);
    let said = judge("dumpe2fs").arg("-h").arg(&image).succeed().stdout;
    assert!(said.lines().any(|line| line.starts_with("Block count:") && line.ends_with(" 262144")), "{said}");
}

/// The GPT's backup was written where the disk was asked to end, and the container's disk ended later.
#[test]
fn a_root_fills_the_last_unit_of_a_container_that_holds_whole_units() {
    let world = World::new();
    world.run("build --base base.img --size 2147487744 --mkdir /x -O vhd -o grown.vhd").succeeds();
    let raw = world.path("grown.raw");
    judge("qemu-img").args(["convert", "-f", "vpc", "-O", "raw"]).arg(world.path("grown.vhd")).arg(&raw).succeed();
    let size_bytes = file_bytes(&raw);
    assert_eq!(size_bytes, 2049 << 20);
    let said = judge("sgdisk").arg("-v").arg(&raw).succeed().stdout;
    assert!(said.contains("No problems found"), "{said}");
    // Behind the root are no more than the backup's 33 sectors and what is less than a MiB.
    let end = partition_range(&raw, ROOT).end;
    assert!(size_bytes - end <= (33 << 9) + (1 << 20), "{end} of {size_bytes}");
}
