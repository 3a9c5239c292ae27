//! Images that are compressed, or in a container of another cloud.

use std::fs;
use std::path::Path;

use crate::support::{ROOT, World, assert_sound, noise};
use testkit::judge::judge;

/// What a program makes of a file.
fn compressed(command: &str, path: &Path) -> Vec<u8> {
    let (name, arguments) = command.split_once(' ').unwrap();
    judge(name).args(arguments.split(' ')).arg(path).succeed().stdout_bytes
}

fn raw_base(world: &World) {
    judge("qemu-img").args(["convert", "-O", "raw"]).args([world.path("base.img"), world.path("disk.raw")]).succeed();
}

#[test]
fn a_build_from_a_compressed_base_is_the_build_from_what_is_in_it() {
    let world = World::new();
    raw_base(&world);
    world.file("app", noise(1, 300_001)).modified("app", 1_600_000_000);
    world.run("build --base disk.raw --put app:/usr/bin/app -o raw.img").succeeds();
    for (command, name) in [("gzip -1c", "disk.raw.gz"), ("zstd -qc", "disk.raw.zst")] {
        fs::write(world.path(name), compressed(command, &world.path("disk.raw"))).unwrap();
        world.run(&format!("build --base {name} --put app:/usr/bin/app -o out.img")).succeeds();
        assert!(fs::read(world.path("raw.img")).unwrap() == fs::read(world.path("out.img")).unwrap(), "{name}");
    }
    // Google's archive, and a qcow2 that somebody compressed once more.
    judge("tar")
        .arg("-C")
        .arg(world.folder())
        .arg("--format=oldgnu")
        .arg("-Sczf")
        .arg(world.path("disk.tar.gz"))
        .arg("disk.raw")
        .succeed();
    world.run("build --base disk.tar.gz --put app:/usr/bin/app -o out.img").succeeds();
    assert!(fs::read(world.path("raw.img")).unwrap() == fs::read(world.path("out.img")).unwrap());
    fs::write(world.path("base.qcow2.xz"), compressed("xz -0c", &world.path("base.img"))).unwrap();
    world.run("build --base base.qcow2.xz --put app:/usr/bin/app -o out.img").succeeds();
    assert_sound(&world.path("out.img"));
    assert!(world.content("out.img", ROOT, "/usr/bin/app") == noise(1, 300_001));
}

#[test]
fn a_compressed_image_is_looked_at_and_not_changed() {
    let world = World::new();
    fs::write(world.path("base.qcow2.xz"), compressed("xz -0c", &world.path("base.img"))).unwrap();
    let looked = world.run("inspect base.qcow2.xz").succeeds().stdout;
    assert!(looked.contains("wrapped in   xz\n"), "{looked}");
    let json: serde_json::Value =
        serde_json::from_str(&world.run("inspect base.qcow2.xz --json").succeeds().stdout).unwrap();
    assert_eq!((&json["wrapping"], &json["image"]["format"]), (&"xz".into(), &"qcow2".into()));
    let listed = world.run("ls base.qcow2.xz /etc").succeeds().stdout;
    assert_eq!(listed, world.run("ls base.img /etc").succeeds().stdout);
    world.run("check base.qcow2.xz").succeeds();
    world.file("app", "app");
    for dry_run in ["", " --dry-run"] {
        world.refuses(
            &format!("customize base.qcow2.xz --put app:/app{dry_run}"),
            "error: `base.qcow2.xz` was not changed\n  \
         cause: `base.qcow2.xz` is compressed with xz\n\
         hint: `imgraft build --base base.qcow2.xz` makes a new image of it, `imgraft convert base.qcow2.xz` \
         unpacks it\n",
        );
    }
    world.refuses(
        "build --base base.qcow2.xz --put app:/app -o thin.qcow2 --overlay",
        "error: `base.qcow2.xz` is compressed: xz\n\
         hint: an overlay needs a base that a virtual machine can read: `imgraft convert` makes one\n",
    );
    world.run("convert base.qcow2.xz whole.qcow2").succeeds();
    judge("qemu-img").arg("compare").args([world.path("whole.qcow2"), world.path("base.img")]).succeed();
}

#[test]
fn a_compressed_file_that_is_cut_off_says_so() {
    let world = World::new();
    let bytes = compressed("gzip -1c", &world.path("base.img"));
    world.file("cut.gz", &bytes[..bytes.len() / 2]);
    world.refuses(
        "ls cut.gz",
        &format!(
            "error: `cut.gz` cannot be used\n  cause: corrupt a gzip file: the file ends inside the stream, \
             file_size={:#x}\nhint: `imgraft check cut.gz` says more\nfor more, run `imgraft explain damaged`\n",
            bytes.len() / 2
        ),
    );
}

#[test]
fn a_new_image_from_a_vmdk_or_a_vhd_is_one_again() {
    let world = World::new();
    world.file("app", noise(1, 300_001));
    for (format, options) in [("vmdk", "subformat=streamOptimized"), ("vpc", "subformat=fixed,force_size=on")] {
        judge("qemu-img")
            .args(["convert", "-O", format, "-o", options])
            .args([world.path("base.img"), world.path("base.other")])
            .succeed();
        world.run("build --base base.other --put app:/usr/bin/app -o new.img").succeeds();
        let info = judge("qemu-img").args(["info", "-f", format]).arg(world.path("new.img")).succeed().stdout;
        assert!(info.contains(&format!("file format: {format}")), "{info}");
        judge("qemu-img")
            .args(["convert", "-f", format, "-O", "qcow2"])
            .args([world.path("new.img"), world.path("out.img")])
            .succeed();
        assert_sound(&world.path("out.img"));
        assert!(world.content("out.img", ROOT, "/usr/bin/app") == noise(1, 300_001));
        // In place, too.
        world.run("customize new.img --put app:/usr/bin/app2").succeeds();
        let listed = world.run("ls new.img /usr/bin/app2").succeeds().stdout;
        assert!(listed.contains("app2"), "{listed}");
    }
}
