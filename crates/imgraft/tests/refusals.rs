//! Bad input: each has one clear error, nothing is left behind, and the base is as it was.

use crate::support;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};

use crate::support::{ROOT, World};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;
use testkit::partition::partition_range;

/// A world with `base.img` and a small file called `app`.
fn world() -> World {
    let world = World::new();
    world.file("app", "app\n");
    world
}

/// A world with a copy of the fixture that was changed by `change`, and a small file called `app`.
fn broken(format: Format, change: impl FnOnce(&File)) -> World {
    let world = World::with_copy(&Options { format, ..Options::default() });
    change(&File::options().read(true).write(true).open(world.path("my.img")).unwrap());
    world.file("app", "app\n");
    world
}

const BUILD: &str = "build --base base.img -o out.img --put";
const BUILD_MY: &str = "build --base my.img -o out.img --put app:/srv/app";

#[test]
fn a_missing_file_is_named() {
    let world = world();
    world.refuses(
        &format!("{BUILD} nope:/srv/nope"),
        "error: `nope` cannot be read\n  cause: no such file or directory\n",
    );
    world.refuses(
        "build --base nope.img -o out.img --put app:/srv/app",
        "error: `nope.img` cannot be read\n  cause: no such file or directory\n",
    );
    world.refuses(
        "build --base ubuntu:24.05 -o out.img --put app:/srv/app",
        "error: there is no release `24.05` of ubuntu in the catalogue\nhint: did you mean `ubuntu:24.04`?\n",
    );
}

#[test]
fn a_parent_that_is_a_file_is_named() {
    let world = world();
    world.refuses(
        &format!("{BUILD} app:/etc/hostname/app"),
        "error: `/etc/hostname/app`: `/etc/hostname` is not a directory\n",
    );
    world.refuses(&format!("{BUILD} app:/etc/hostname/"), "error: `/etc/hostname` is not a directory\n");
}

#[test]
fn a_directory_does_not_replace_a_file_nor_a_file_a_directory() {
    let world = world();
    world.file("tree/cloud", "not a directory\n");
    world.refuses(
        &format!("{BUILD} tree:/etc/hostname"),
        "error: `/etc/hostname` is a file and `tree` is a directory\n",
    );
    world.refuses(
        &format!("{BUILD} tree:/etc"),
        "error: `/etc/cloud` is a directory and `tree/cloud` is not a directory\n",
    );
    world.refuses(
        &format!("{BUILD} tree:/etc/localtime"),
        "error: `/etc/localtime` is a symlink and `tree` is a directory\n",
    );
}

#[test]
fn a_truncated_image_is_not_built_upon() {
    let world = broken(support::qcow2(), |file| {
        let length = file.metadata().unwrap().len();
        file.set_len(length * 6 / 10).unwrap();
    });
    let run = world.run(BUILD_MY);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.starts_with("error: `my.img` cannot be used\n  cause: "), "{}", run.stderr);
    assert!(run.stderr.contains("the file ends at "), "{}", run.stderr);
    assert_eq!(world.names(), ["app", "my.img"]);
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    let world = world();
    world.file("text", "hello, world\n").file("empty", "");
    for (name, found) in [("text", "text that begins with \"hello, world"), ("empty", "an empty file")] {
        let run = world.run(&format!("build --base {name} -o out.img --put app:/srv/app"));
        let expected = format!("error: `{name}` cannot be used\n  cause: not a disk image: found {found}");
        assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
        assert_eq!(run.code, Some(2));
    }
    world.refuses(
        "build --base . -o out.img --put app:/srv/app",
        "error: `.` is a directory: an image is a regular file\n",
    );
    world.refuses(
        "build --base /dev/null -o out.img --put app:/srv/app",
        "error: `/dev/null` is not a file: an image is a regular file\n",
    );
}

#[test]
fn a_qcow2_whose_tables_point_outside_is_refused() {
    let world = broken(support::qcow2(), |file| {
        // l1_table_offset, 64 TiB further on.
        file.write_all_at(&(1u64 << 46).to_be_bytes(), 40).unwrap();
    });
    let run = world.run(BUILD_MY);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.starts_with("error: `my.img` cannot be used\n  cause: the file ends at "), "{}", run.stderr);
    assert!(
        run.stderr.contains(" bytes: it was cut off, or a place is wrong (l1 table: offset=0x400000000000 "),
        "{}",
        run.stderr
    );
    assert_eq!(world.names(), ["app", "my.img"]);
}

#[test]
fn a_backing_file_is_named_and_not_opened() {
    let world = world();
    testkit::judge::judge("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-b"])
        .arg(world.path("base.img"))
        .args(["-F", "qcow2"])
        .arg(world.path("my.img"))
        .succeed();
    let run = world.run(BUILD_MY);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("cause: the image needs backing_file="), "{}", run.stderr);
    assert!(run.stderr.contains("base.img"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: with `--allow-backing` that file is opened, too"), "{}", run.stderr);
}

#[test]
fn an_unknown_incompatible_feature_is_named() {
    let world = broken(Format::Raw, |_| {});
    let range = partition_range(&world.path("my.img"), ROOT);
    let file = File::options().read(true).write(true).open(world.path("my.img")).unwrap();
    let mut flags = [0; 4];
    file.read_exact_at(&mut flags, range.start + 1024 + 0x60).unwrap();
    flags[3] |= 0x40;
    file.write_all_at(&flags, range.start + 1024 + 0x60).unwrap();
    let run = world.run(BUILD_MY);
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.stderr,
        "error: `my.img` cannot be used\n  cause: partition 1 (ext4)\n  \
         cause: unsupported ext4 feature: super block: incompatible features that imgraft cannot read: FEATURE_I30\n"
    );
    assert_eq!(world.names(), ["app", "my.img"]);
}

#[test]
fn a_file_system_with_noted_errors_is_written_to_only_where_that_is_asked_for() {
    let world = broken(Format::Raw, |_| {});
    let range = partition_range(&world.path("my.img"), ROOT);
    let place = format!("{}?offset={}", world.path("my.img").display(), range.start);
    for request in ["ssv state 3", "ssv error_count 2"] {
        judge("debugfs").args(["-w", "-R", request, &place]).succeed();
    }
    world.refuses(
        BUILD_MY,
        "error: `app` could not be put at `/srv/app`\n  \
         cause: `/srv/app` on partition 1 (ext4 `cloudimg-rootfs`)\n  \
         cause: errors were noted in the ext4 file system: s_state=0x3 s_error_count=2; e2fsck repairs it\n\
         hint: with `--ignore-fs-errors` it is written to all the same\n\
         for more, run `imgraft explain damaged`\n",
    );
    let run = world.run("inspect my.img");
    assert!(run.stderr.contains("errors were noted in partition 1"), "{}", run.stderr);
    let run = world.run("check my.img");
    assert!(run.stdout.contains("s_error_count=2"), "{} {}", run.stdout, run.stderr);

    let run = world.run(&format!("{BUILD_MY} --ignore-fs-errors"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .starts_with("warning: errors were noted in partition 1 (ext4 `cloudimg-rootfs`); e2fsck repairs it\n"),
        "{}",
        run.stderr
    );
    assert_eq!(world.content("out.img", ROOT, "/srv/app"), b"app\n");
    let said = world.debugfs("out.img", ROOT, "show_super_stats -h");
    assert!(said.contains("with errors") && said.contains("FS Error count:           2"), "{said}");
}

#[test]
fn no_space_in_the_guest_says_how_much_is_needed_and_there() {
    let world = world();
    File::create(world.path("huge")).unwrap().set_len(1 << 30).unwrap();
    let run = world.run(&format!("{BUILD} huge:/srv/huge"));
    let start = "error: no space left in the guest: partition 1 (ext4 `cloudimg-rootfs`) needs 1.0 GiB more and has ";
    assert!(run.stderr.starts_with(start), "{}", run.stderr);
    assert!(run.stderr.contains(" (1073741824 and "), "{}", run.stderr);
    assert!(
        run.stderr.ends_with(
            " bytes)\nhint: `--size` makes room in the root, such as `--size +2G`\n\
             for more, run `imgraft explain guest-full`\n"
        ),
        "{}",
        run.stderr
    );
    assert_eq!((run.code, world.names().len()), (Some(2), 3));

    let run = world.run(&format!("{BUILD} huge:/boot/efi/huge"));
    assert!(run.stderr.starts_with("error: no space left in the guest: partition 15 (fat `UEFI`) needs 1.0 GiB more"));
}

#[test]
fn a_symlink_to_nothing_is_named_and_the_host_is_not_touched() {
    let world = world();
    let run = world.run(&format!("{BUILD} app:/etc/localtime/app"));
    assert_eq!(
        run.stderr,
        "error: `/etc/localtime/app` goes through the symlink `/etc/localtime`, whose target \
         `/usr/share/zoneinfo/Etc/UTC` is not in the guest\n\
         hint: symlinks are followed inside the guest only: put something at `/usr/share/zoneinfo/Etc/UTC` first\n"
    );
    world.refuses(
        &format!("{BUILD} app:/usr/bin/git-loop/app"),
        "error: `/usr/bin/git-loop/app` goes through too many symlinks, the last is `/usr/bin/git-loop`\n",
    );
}

#[test]
fn a_mount_point_whose_file_system_is_elsewhere_is_named() {
    let world = world();
    world.file("fstab", "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=data /srv ext4 defaults 0 2\n");
    world.run(&format!("{BUILD} fstab:/etc/fstab")).succeeds();
    world.refuses(
        "build --base out.img -o two.img --put app:/srv/a/b",
        "error: `/srv/a/b`: `/srv` is on LABEL=data, which is not on this disk\n",
    );
    // What is elsewhere does not matter to what is not.
    world.run("build --base out.img -o two.img --put app:/opt/app").succeeds();
}

#[test]
fn what_a_fat_cannot_hold_is_refused_by_name() {
    let world = world();
    world.file("tree/a", "a\n");
    symlink("a", world.path("tree/link")).unwrap();
    world.refuses(
        &format!("{BUILD} app:/boot/efi/app:0755:1000:1000"),
        "error: `/boot/efi/app` is on a FAT file system, which has no owners: only root:root can be asked for\n",
    );
    world.refuses(
        &format!("{BUILD} tree:/boot/efi/tree"),
        "error: `/boot/efi/tree/link` is on a FAT file system, which has no symlinks\n",
    );
    world.file("a:b", "x");
    let run = world.run(&format!("{BUILD} a:b:/boot/efi/"));
    assert!(run.stderr.contains("the name `a:b` has a character that FAT does not allow"), "{}", run.stderr);
    assert_eq!(run.code, Some(2));
}

#[test]
fn what_is_no_file_on_the_host_is_refused_by_name() {
    let world = world();
    fs::create_dir(world.path("tree")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.path("tree/socket")).unwrap();
    world.refuses(
        &format!("{BUILD} tree:/srv/tree"),
        "error: `tree/socket` is a socket: only files, directories and symlinks can be put\n",
    );
    world.refuses(
        &format!("{BUILD} /dev/zero:/srv/zero"),
        "error: `/dev/zero` is a device: only files, directories and symlinks can be put\n",
    );
    world.refuses(&format!("{BUILD} ..:/srv/"), "error: `..` has no name that it could have inside a directory\n");
}

#[test]
fn an_owner_that_the_guest_does_not_have_is_named() {
    world().refuses(
        &format!("{BUILD} app:/srv/app:0644:nginx:root"),
        "error: the guest has no user `nginx`: it is not in its `/etc/passwd`\nhint: a number is taken as it is\n",
    );
}

#[test]
fn an_output_that_cannot_be_is_refused() {
    let world = world();
    world.file("folder/x", "x");
    let build = "build --base base.img --put app:/srv/app -o";
    world.refuses(
        &format!("{build} folder"),
        "error: `folder` is a directory\nhint: name the image to make: `folder/IMAGE`\n",
    );
    world.refuses(
        &format!("{build} none/out.img"),
        "error: the folder `none` cannot be written to\n  cause: no such file or directory\n",
    );
    world.refuses(
        &format!("{build} none/"),
        "error: `none/` is the name of a folder\nhint: name the image to make: `none/IMAGE`\n",
    );
    world.refuses(
        &format!("{build} base.img"),
        "error: `base.img` is the image that is read, which is never changed\n\
         hint: give the new image another name; `imgraft customize` and `imgraft resize` change an image in its place\n",
    );
    world.refuses(&format!("{build} /dev/null"), "error: `/dev/null` is not a regular file, and cannot be replaced\n");
    world.refuses(
        "build --base base.img --put app:/srv/app",
        "error: there is no name for the new image\nhint: give it with `-o IMAGE`\n",
    );
    world.refuses("build --put app:/srv/app -o out.img", "error: there is no base\nhint: give it with `--base BASE`\n");
}

#[test]
fn a_time_that_is_none_is_named() {
    let world = world();
    let run = world.run_with(&format!("{BUILD} app:/srv/app"), &[("SOURCE_DATE_EPOCH", "yesterday")]);
    assert_eq!(
        run.stderr,
        "error: SOURCE_DATE_EPOCH is `yesterday`, which is not a time that a file can have\n\
         hint: set it to seconds since 1970, such as the output of `git log -1 --format=%ct`, or unset it\n"
    );
    assert_eq!((run.code, world.names().len()), (Some(2), 2));
}

#[test]
fn wrong_usage_ends_with_2() {
    let world = world();
    world.refuses(
        &format!("{BUILD} app:/srv/app:755"),
        "error: invalid value 'app:/srv/app:755' for '--put <SRC:DEST[:MODE[:UID:GID]]>': a mode is octal and begins \
         with 0: write `0755`\n\nFor more information, try '--help'.\n",
    );
    world.refuses(
        &format!("{BUILD} app:srv/app"),
        "error: invalid value 'app:srv/app' for '--put <SRC:DEST[:MODE[:UID:GID]]>': `srv/app`: a path in \
         the guest begins with `/`\n\nFor more information, try '--help'.\n",
    );
    world.refuses(
        &format!("{BUILD} app:/srv/app --compress fast"),
        "error: invalid value 'fast' for '--compress <LEVEL>': `none` or a level from 1 to 22 is needed\n\n\
         For more information, try '--help'.\n",
    );
}

#[test]
fn a_disk_without_a_guest_is_said_to_have_none() {
    let world = world();
    let disk = File::create(world.path("my.img")).unwrap();
    disk.set_len(8 << 20).unwrap();
    drop(disk);
    testkit::judge::judge("mkfs.ext4").args(["-q", "-F", "-L", "data"]).arg(world.path("my.img")).succeed();
    world.refuses(
        BUILD_MY,
        "error: `my.img` cannot be used\n  cause: there is no root file system on the disk: none has `/etc` and an \
         `os-release` (found the whole disk (ext4 `data`))\nhint: for a disk without an operating system, `build`, \
         `customize`, `ls`, `cat`, `get` and `mount` take `--partition N`, 0 where it has no partitions, and \
         `--volume GROUP/NAME` for a logical volume of LVM\n",
    );
}

#[test]
fn two_roots_are_named() {
    let world = world();
    world.file("root/etc/os-release", "ID=test\n");
    let disk = world.path("my.img");
    File::create(&disk).unwrap().set_len(40 << 20).unwrap();
    let sgdisk = testkit::judge::judge("sgdisk");
    sgdisk.args(["-n", "1:2048:34815", "-n", "2:34816:67583"]).arg(&disk).succeed();
    for (number, label) in [(1u64, "one"), (2, "two")] {
        let offset = format!("offset={}", 2048 * 512 + (number - 1) * (16 << 20));
        let mkfs = testkit::judge::judge("mkfs.ext4").args(["-q", "-F", "-L", label, "-E", &offset, "-d"]);
        mkfs.arg(world.path("root")).arg(&disk).arg("16M").succeed();
    }
    world.refuses(
        BUILD_MY,
        "error: `my.img` cannot be used\n  cause: there are several root file systems on the disk: \
         partition 1 (ext4 `one`), partition 2 (ext4 `two`)\n",
    );
}
