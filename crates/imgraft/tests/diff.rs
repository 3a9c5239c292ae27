//! `imgraft diff`, and what a build says of the blocks that it changed.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use crate::support::{BOOT, ROOT, World, assert_sound, noise};
use serde_json::Value;
use testkit::fixture::{Format, Options};
use testkit::judge::judge;
use testkit::partition::{extract_partition, partition_range};

const RAW: Format = Format::Raw;

/// A world with a raw base and a copy of it, `my.img`.
fn raw_world() -> World {
    let world = World::with_copy(&Options { format: RAW, ..Options::default() });
    judge("cp").arg("--sparse=always").args([world.path("my.img"), world.path("base.img")]).succeed();
    world
}

/// Gives `debugfs` commands for a partition of a raw image.
fn debugfs(world: &World, partition: u32, commands: &[&str]) {
    let image = world.path("my.img");
    world.file("commands", commands.join("\n"));
    let place = format!("{}?offset={}", image.display(), partition_range(&image, partition).start);
    judge("debugfs").arg("-w").arg("-f").arg(world.path("commands")).arg(place).succeed();
    fs::remove_file(world.path("commands")).unwrap();
}

/// Changes a byte of a raw image.
fn tamper(image: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(image).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], offset).unwrap();
}

#[track_caller]
fn differs(world: &World, arguments: &str, stdout: &str) {
    let run = world.run(arguments);
    assert_eq!((run.stdout.as_str(), run.code), (stdout, Some(1)), "imgraft {arguments}: {}", run.stderr);
}

#[test]
fn an_image_does_not_differ_from_itself_in_another_format() {
    let world = World::new();
    judge("qemu-img").args(["convert", "-O", "raw"]).args([world.path("base.img"), world.path("raw.img")]).succeed();
    for arguments in ["diff base.img base.img", "diff base.img raw.img"] {
        world.run(arguments).succeeds().prints("").says("");
    }
    world.run("diff --blocks raw.img base.img").succeeds().prints("no block; nothing else\n");
}

/// A file that was half zeros had twice as many blocks for `build` as for `diff`, and nobody said why.
#[test]
fn what_is_counted_is_said_where_the_counts_differ() {
    let world = World::new();
    let content = [noise(7, 10 << 20), vec![0; 10 << 20]].concat();
    world.file("half", content);
    let built = world.run("build --base base.img --put half:/srv/half -o my.img").succeeds();
    let built = built.proof.unwrap();
    assert!(built.ends_with(" 5,120 data blocks; nothing else"), "{built}");
    let differing = world.run("diff --blocks base.img my.img").stdout;
    assert!(differing.contains(" 2,560 data blocks; nothing else\n"), "{differing}");
    let help = world.run("diff --help").succeeds().stdout.replace('\n', " ");
    assert!(
        help.contains("--blocks counts the blocks whose bytes differ. `build` and `customize` do not read"),
        "{help}"
    );
}

#[test]
fn what_was_put_is_listed_and_every_block_of_it_accounted_for() {
    let world = World::new();
    world.file("app", noise(1, 1_000_000)).mode("app", 0o750).file("tree/a", "a\n").file("tree/b/c", "cc\n");
    symlink("b/c", world.path("tree/link")).unwrap();
    world.file("hostname", "a-new-name\n").modified("hostname", 1_600_000_000);
    let puts = "--put app:/usr/bin/app --put tree:/srv/tree:0644 --put app:/boot/app --put hostname:/etc/hostname \
                --put tree/a:/boot/efi/EFI/a";
    let built = world.run(&format!("build --base base.img {puts} -o out.img --json")).succeeds();
    assert_sound(&world.path("out.img"));
    let expected = "M /etc/hostname (content, size 7 -> 11, mtime)\n\
                    + /srv/tree/ (0755 0:0)\n\
                    + /srv/tree/a (0644 0:0, 2 B)\n\
                    + /srv/tree/b/ (0755 0:0)\n\
                    + /srv/tree/b/c (0644 0:0, 3 B)\n\
                    + /srv/tree/link (0:0, symlink to b/c)\n\
                    + /usr/bin/app (0750 0:0, 976.5 KiB)\n\
                    + /boot/efi/EFI/a (0755 0:0, 2 B)\n\
                    + /boot/app (0750 0:0, 976.5 KiB)\n";
    differs(&world, "diff base.img out.img", expected);
    let backwards = expected.replace("+ ", "- ").replace("7 -> 11", "11 -> 7");
    differs(&world, "diff out.img base.img", &backwards);

    let run = world.run("diff --blocks base.img out.img");
    assert!(run.stdout.starts_with(expected), "{}", run.stdout);
    let verdict = run.stdout.lines().last().unwrap();
    assert!(verdict.ends_with(" data blocks; nothing else"), "{verdict}");
    // What was made from the overlay says the same.
    assert_eq!(built.proof.as_deref(), Some(format!("changed {verdict}").as_str()));
    let report: Value = serde_json::from_str(&built.stdout).unwrap();
    assert_eq!(report["changed"]["unexplained_blocks"], 0);
    assert_eq!(report["changed"]["volumes"][0]["volume"], "partition 1 (ext4 `cloudimg-rootfs`)");

    let json = world.run("diff --blocks --json base.img out.img");
    let found: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json.code, Some(1));
    assert_eq!(found["blocks"]["verdict"], verdict);
    assert_eq!(found["blocks"]["volumes"], report["changed"]["volumes"]);
    let paths: Vec<&str> =
        found["paths"].as_array().unwrap().iter().map(|path| path["path"].as_str().unwrap()).collect();
    assert_eq!(paths.len(), 9);
    assert_eq!(found["paths"][0]["change"], "changed");
    assert_eq!(found["paths"][0]["what"], serde_json::json!(["content", "size", "mtime"]));
    assert_eq!(
        (&found["paths"][0]["base"]["size_bytes"], &found["paths"][0]["image"]["size_bytes"]),
        (&7.into(), &11.into())
    );
}

#[test]
fn every_property_of_a_file_is_compared() {
    let world = raw_world();
    debugfs(
        &world,
        ROOT,
        &[
            "sif /etc/hosts mode 0100600",
            "sif /etc/timezone uid 33",
            "sif /etc/group mtime @1600000000",
            "ea_set /etc/passwd user.note value",
            "sif /etc/sudoers flags 0x80010",
            "rm /etc/gshadow",
            "sif /etc/shadow atime @1600000000",
            // It makes these where it is.
            "cd /etc",
            "symlink link hosts",
            "mknod null c 1 3",
            "mknod pipe p",
            "sif null mode 020644",
            "sif pipe mode 010644",
        ],
    );
    differs(
        &world,
        "diff base.img my.img",
        "M /etc/group (mtime)\n\
         - /etc/gshadow (0600 0:0, 18 B)\n\
         M /etc/hosts (mode 0644 -> 0600)\n\
         + /etc/link (0:0, symlink to hosts)\n\
         + /etc/null (0644 0:0, character device 1, 3)\n\
         M /etc/passwd (xattrs)\n\
         + /etc/pipe (0644 0:0, FIFO)\n\
         M /etc/sudoers (flags)\n\
         M /etc/timezone (owner 0:0 -> 33:0)\n",
    );
    // Nobody's change, but one of an inode's that is not to be seen.
    let run = world.run("diff --blocks base.img my.img");
    assert!(run.stdout.ends_with("; nothing else\n"), "{}", run.stdout);
}

#[test]
fn names_of_one_file_that_become_several_files_are_told() {
    let world = raw_world();
    // python3 and python3.12 are one file, and so are git and its other names.
    debugfs(&world, ROOT, &["unlink /usr/bin/python3", "ln /usr/bin/git /usr/bin/python3"]);
    let run = world.run("diff base.img my.img");
    let line = run.stdout.lines().find(|line| line.starts_with("M /usr/bin/python3 (")).unwrap_or_default();
    assert!(line.contains("content"), "{}", run.stdout);
    // Nothing but the times that nobody compares.
    let world = raw_world();
    debugfs(&world, ROOT, &["sif /etc/hosts atime @1600000000", "sif /etc/hosts ctime @1600000000"]);
    world.run("diff base.img my.img").succeeds().prints("");
    let run = world.run("diff --blocks base.img my.img");
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.ends_with("\n1 inode, 1 metadata block; nothing else\n"), "{}", run.stdout);
}

#[test]
fn what_is_outside_files_is_compared() {
    let world = raw_world();
    let image = world.path("my.img");
    let root = partition_range(&image, ROOT);
    judge("sgdisk").args(["-c", "1:renamed", "-u", "16:11111111-2222-3333-4444-555555555555"]).arg(&image).succeed();
    let boot = format!("{}?offset={}", image.display(), partition_range(&image, BOOT).start);
    judge("tune2fs").args(["-L", "OTHER"]).arg(boot).succeed();
    tamper(&image, 100);
    tamper(&image, 100 * 512);
    tamper(&image, 2048 * 512 + 7);
    tamper(&image, root.end + 600);
    let run = world.run("diff base.img my.img");
    for line in [
        "M partition 1: name none -> renamed\n",
        "M partition 16: guid 5a1d3f6e-0d8e-4c5b-9a57-6f2d1c0b5e16 -> 11111111-2222-3333-4444-555555555555\n",
        "M boot sector: 1 sector from byte 0x0 on\n",
        "M GPT: ",
        "M backup GPT: ",
        "M between partitions: 2 sectors from byte 0xc800 on\n",
        "M partition 14: 1 sector\n",
        "M partition 16 (ext4 `OTHER`): label BOOT -> OTHER\n",
    ] {
        assert!(run.stdout.contains(line), "no {line:?} in\n{}", run.stdout);
    }
    assert_eq!(run.code, Some(1));
    assert!(!run.stdout.contains("M /"), "{}", run.stdout);
}

#[test]
fn what_nothing_explains_is_said_first_with_its_block() {
    let world = raw_world();
    let image = world.path("my.img");
    let free = world.debugfs("my.img", ROOT, "ffb 1 30000");
    let free: u64 = free.split_once(": ").unwrap().1.trim().parse().unwrap();
    debugfs(&world, ROOT, &[&format!("setb {free}")]);
    let run = world.run("diff --blocks base.img my.img");
    // The count of what is free was left as it was: that is said as well.
    let first: Vec<&str> = run.stdout.lines().take_while(|line| line.starts_with("! ")).collect();
    let place = "! partition 1 (ext4 `cloudimg-rootfs`): block ";
    let problem = format!("block {free}, which nothing uses, is now taken in its bitmap");
    assert!(first.iter().any(|line| line.starts_with(place) && line.ends_with(&problem)), "{}", run.stdout);
    assert!(run.stdout.lines().last().unwrap().contains("unexplained block"), "{}", run.stdout);
    assert_eq!(run.code, Some(1));

    // A change of content is listed, whoever made it.
    let world = raw_world();
    let blocks = world.debugfs("my.img", ROOT, "blocks /usr/lib/large.bin");
    let block: u64 = blocks.split_ascii_whitespace().nth(1000).unwrap().parse().unwrap();
    tamper(&world.path("my.img"), partition_range(&image, ROOT).start + block * 4096 + 5);
    differs(&world, "diff base.img my.img", "M /usr/lib/large.bin (content)\n");
    let run = world.run("diff --blocks base.img my.img");
    assert!(run.stdout.ends_with("\n1 inode, 1 data block; nothing else\n"), "{}", run.stdout);
}

#[test]
fn another_layout_of_the_same_files_is_no_difference_of_files() {
    let world = World::empty();
    world.file("tree/etc/os-release", "NAME=x\n").file("tree/large", noise(5, 3_000_000)).file("tree/e", "");
    for number in 0..300 {
        world.file(&format!("tree/many/{number}"), format!("{number}\n"));
    }
    fs::hard_link(world.path("tree/large"), world.path("tree/also")).unwrap();
    let make = |name: &str, options: &[&str], size: &str| {
        // The directory in which names come and go: whether that is another second is not what this is about.
        world.modified("tree/many", 1_600_000_000);
        judge("mke2fs")
            .env("E2FSPROGS_FAKE_TIME", "1700000000")
            .args(["-q", "-F", "-t", "ext4"])
            .args(options)
            .arg("-d")
            .args([world.path("tree"), world.path(name)])
            .arg(size)
            .succeed();
    };
    make("base.img", &["-b", "4096"], "64m");
    make("my.img", &["-b", "1024", "-I", "512", "-O", "^64bit,^flex_bg"], "48m");
    let run = world.run("diff base.img my.img");
    assert!(run.stdout.contains("block size 4096 -> 1024\n"), "{}", run.stdout);
    let paths: Vec<&str> = run.stdout.lines().filter(|line| !line.starts_with("M the whole disk")).collect();
    assert_eq!(paths, ["M disk: size 67108864 -> 50331648 bytes"], "{}", run.stdout);
    // One that is different in content only, one more, and one less.
    world.file("tree/many/7", "8\n").file("tree/new", "new\n");
    fs::remove_file(world.path("tree/many/9")).unwrap();
    fs::remove_file(world.path("tree/also")).unwrap();
    fs::copy(world.path("tree/large"), world.path("tree/also")).unwrap();
    make("my.img", &["-b", "1024"], "64m");
    let run = world.run("diff base.img my.img");
    let paths: Vec<&str> = run.stdout.lines().filter_map(|line| line.split_once(" /")).map(|(_, path)| path).collect();
    let names: Vec<&str> = paths.iter().map(|path| path.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["also", "large", "many/7", "many/9", "new"], "{}", run.stdout);
    assert!(run.stdout.contains("M /large (hard links 2 -> 1)\n"), "{}", run.stdout);
}

#[test]
fn a_disk_that_has_grown_is_accounted_for() {
    let world = World::new();
    world.file("app", "app\n");
    let built = world.run("build --base base.img --size 2G --put app:/srv/app -o out.img").succeeds();
    let proof = built.proof.unwrap();
    assert!(proof.contains("sectors outside partitions; nothing else"), "{proof}");
    let run = world.run("diff --blocks base.img out.img");
    for line in [
        "M partition 1: size ",
        "M GPT: ",
        "M partition 1 (ext4 `cloudimg-rootfs`): file system size ",
        "+ /srv/app (0644 0:0, 4 B)\n",
    ] {
        assert!(run.stdout.contains(line), "no {line:?} in\n{}", run.stdout);
    }
    assert!(run.stdout.ends_with("; nothing else\n") && !run.stdout.contains("! "), "{}", run.stdout);
    let resized = world.run("resize base.img 1G -o larger.img").succeeds();
    assert!(resized.proof.is_some());
}

#[test]
fn a_journal_that_is_replayed_is_told_apart_from_the_change() {
    let world = World::with_copy(&Options { format: RAW, ..Options::default() });
    world.file("content", vec![7; 4096]).file("app", "app\n");
    let free = world.debugfs("my.img", ROOT, "ffb 1 30000");
    let free: u64 = free.split_once(": ").unwrap().1.trim().parse().unwrap();
    let content = world.path("content");
    debugfs(&world, ROOT, &["jo -c -v 3", &format!("jw -b {free} {}", content.display()), "jc"]);
    let built = world.run("build --base my.img --put app:/srv/app -o out.img").succeeds();
    let proof = built.proof.unwrap();
    assert!(proof.contains("of recovery; nothing else"), "{proof}\n{}", built.stderr);
    assert_sound(&world.path("out.img"));
}

#[test]
fn replacing_files_and_names_of_files_is_accounted_for() {
    let world = World::new();
    world.file("new", noise(9, 70_000)).file("tree/many/more", "x\n");
    for number in 0..400 {
        world.file(&format!("tree/many/a-rather-long-name-for-a-file-{number}"), "x\n");
    }
    let built = world
        .run(
            "build --base base.img --put new:/usr/lib/large.bin --put new:/usr/bin/python3 --put new:/etc/localtime \
             --put tree:/usr/share --put new:/srv/new --put new:/srv/new -o out.img",
        )
        .succeeds();
    assert!(built.proof.is_some(), "{}", built.stderr);
    assert_sound(&world.path("out.img"));
    let file = world.path("root.tmp");
    extract_partition(&world.path("out.img"), ROOT, &file);
    let run = world.run("diff --blocks base.img out.img");
    assert!(run.stdout.ends_with("; nothing else\n"), "{}", run.stdout);
    assert!(run.stdout.contains("M /usr/bin/python3.12 (hard links 2 -> 1)\n"), "{}", run.stdout);
    assert_eq!(run.stdout.matches("+ /usr/share/many/").count(), 401);
}

#[test]
fn an_image_that_cannot_be_looked_at_ends_with_2() {
    let world = World::new();
    world.file("no.img", "not an image");
    world.refuses("diff base.img nope.img", "error: `nope.img` cannot be read\n  cause: no such file or directory\n");
    assert_eq!(world.run("diff no.img base.img").code, Some(2));
    // One file that cannot be read does not hide the others.
    let world = raw_world();
    let image = world.path("my.img");
    let said = world.debugfs("my.img", ROOT, "imap /etc/hosts");
    let (block, offset) = said.split_once("located at block ").unwrap().1.trim().split_once(", offset 0x").unwrap();
    let at = block.parse::<u64>().unwrap() * 4096 + u64::from_str_radix(offset, 16).unwrap();
    debugfs(&world, ROOT, &["sif /etc/timezone uid 33"]);
    tamper(&image, partition_range(&image, ROOT).start + at + 0x7E);
    let run = world.run("diff base.img my.img");
    assert_eq!(run.code, Some(2), "{}", run.stdout);
    assert!(run.stdout.starts_with("? /etc/hosts: corrupt ext4 file system: inode "), "{}", run.stdout);
    assert!(run.stdout.ends_with("M /etc/timezone (owner 0:0 -> 33:0)\n"), "{}", run.stdout);
    assert!(run.stderr.contains("warning: 1 of the paths could not be compared"), "{}", run.stderr);
}
