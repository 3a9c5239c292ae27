//! `imgraft convert`, new images in other formats, and images over other images.

use crate::support;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::support::{World, assert_sound};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;

fn qemu_img(arguments: &str, world: &World) -> String {
    let arguments = arguments.split_ascii_whitespace().map(|word| match word.strip_prefix("./") {
        Some(name) => world.path(name).into_os_string(),
        None => word.into(),
    });
    judge("qemu-img").args(arguments).succeed().stdout
}

/// A word of what `qemu-img info` says.
fn info(image: &Path) -> serde_json::Value {
    let said = judge("qemu-img").args(["info", "--output=json"]).arg(image).succeed().stdout;
    serde_json::from_str(&said).unwrap()
}

#[test]
fn a_disk_goes_from_format_to_format_and_stays_the_same() {
    let world = World::new();
    world.run("convert base.img disk.raw").succeeds().says("converted base.img to disk.raw (…)\n");
    qemu_img("compare -F raw ./base.img ./disk.raw", &world);
    let metadata = fs::metadata(world.path("disk.raw")).unwrap();
    assert!(metadata.blocks() * 512 < metadata.len(), "zeros are holes");
    assert_eq!(metadata.mode() & 0o777 & !0o022, 0o644);

    world.run("convert disk.raw disk.qcow2").succeeds();
    world.run("convert disk.raw zstd.qcow2 --compression-type zstd --cluster-size 128K").succeeds();
    world.run("convert zstd.qcow2 old.qcow2 --compat 0.10 --compress none").succeeds();
    world.run("convert old.qcow2 same.img").succeeds();
    for (name, compat, compression, cluster_size) in [
        ("disk.qcow2", "1.1", "zlib", 65536),
        ("zstd.qcow2", "1.1", "zstd", 131_072),
        ("old.qcow2", "0.10", "zlib", 131_072),
        ("same.img", "0.10", "zlib", 131_072),
    ] {
        let path = world.path(name);
        assert_sound(&path);
        qemu_img(&format!("compare -F raw ./{name} ./disk.raw"), &world);
        let info = info(&path);
        let specific = &info["format-specific"]["data"];
        assert_eq!((&info["format"], &info["cluster-size"]), (&"qcow2".into(), &cluster_size.into()), "{name}");
        assert_eq!((&specific["compat"], &specific["compression-type"]), (&compat.into(), &compression.into()));
    }
    // No larger than what qemu-img makes of it.
    qemu_img("convert -c -f raw -O qcow2 ./disk.raw ./qemu.qcow2", &world);
    let size = |name: &str| fs::metadata(world.path(name)).unwrap().len();
    assert!(size("disk.qcow2") <= size("qemu.qcow2"), "{} {}", size("disk.qcow2"), size("qemu.qcow2"));
    assert!(size("old.qcow2") > size("disk.qcow2"));
}

#[test]
fn the_report_and_the_warnings_say_what_was_made() {
    let world = World::new();
    let run = world.run("convert base.img x.raw -O qcow2 --json").succeeds();
    assert_eq!(run.stderr, "warning: `x.raw` is qcow2, although its name says raw\nconverted base.img to x.raw (…)\n");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["format"], &report["output"]), (&"qcow2".into(), &"x.raw".into()));
    assert_eq!(report["file_size_bytes"], fs::metadata(world.path("x.raw")).unwrap().len());
    assert!(report["clusters"]["kept"].as_u64().unwrap() > 100);
    world
        .run("convert base.img x.img --format raw --compress 3")
        .succeeds()
        .says("warning: the new image is raw: there are no clusters that could be compressed\nconverted base.img to x.img (…)\n");
    assert_eq!(info(&world.path("x.img"))["format"], "raw");

    let world = World::with_copy(&Options { format: support::qcow2(), ..Options::default() });
    qemu_img("snapshot -c before ./my.img", &world);
    world.run("convert my.img new.img").succeeds().says(
        "warning: the image has internal snapshots (1), and the new one has none of them\n\
         converted my.img to new.img (…)\n",
    );
    assert_sound(&world.path("new.img"));
    qemu_img("compare ./my.img ./new.img", &world);
}

#[test]
fn what_cannot_be_converted_is_refused_and_leaves_nothing() {
    let world = World::new();
    world.file("text", "hello, world\n");
    fs::create_dir(world.path("folder")).unwrap();
    world.refuses(
        "convert base.img base.img",
        "error: `base.img` is the image that is read, which is never changed\n\
         hint: give the new image another name; `mv` can give it this one afterwards\n",
    );
    world.refuses(
        "convert base.img out.raw --cluster-size 4K",
        "error: a cluster size is for qcow2 images, and the new one is raw\n",
    );
    world.refuses(
        "convert base.img out.img --compat 0.10 --compression-type zstd",
        "error: `base.img` cannot be used\n  cause: zstd in qcow2 version 2 (compat 0.10) is not supported\n",
    );
    let run = world.run("convert text out.img");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.starts_with("error: `text` cannot be used\n  cause: not a disk image"), "{}", run.stderr);
    for arguments in
        ["convert base.img out.img -O vdi", "convert base.img out.img --cluster-size 3K", "convert base.img"]
    {
        assert_eq!(world.run(arguments).code, Some(2), "{arguments}");
    }
    assert_eq!(world.names(), ["base.img", "folder", "text"]);
}

/// A folder with `base.img`, and in `images/` an image over it and one over that.
fn chained() -> World {
    let world = World::new();
    fs::create_dir(world.path("images")).unwrap();
    qemu_img("create -q -f qcow2 -b ../base.img -F qcow2 ./images/middle.qcow2", &world);
    qemu_img("create -q -f qcow2 -b middle.qcow2 -F qcow2 ./images/top.qcow2", &world);
    world.file("app", "app\n");
    world
}

const REFUSED: &str = "hint: with `--allow-backing` that file is opened, too: only for an image that you trust not \
                       to name any file of yours\nfor more, run `imgraft explain backing-file`\n";

#[test]
fn files_under_an_image_are_opened_when_they_are_allowed_to_be() {
    let world = chained();
    let top = "images/top.qcow2";
    for command in [
        format!("inspect {top}"),
        format!("ls {top} /"),
        format!("cat {top} /etc/hostname"),
        format!("get {top} /etc/hostname hostname"),
        format!("check {top}"),
        format!("convert {top} new.img"),
        format!("build --base {top} -o new.img --put app:/srv/app"),
        format!("resize {top} +8M -o new.img"),
        format!("customize {top} --put app:/srv/app"),
    ] {
        let before = world.contents();
        let run = world.run(&command);
        assert_ne!(run.code, Some(0), "{command}");
        assert!(run.stderr.contains("cause: the image needs backing_file=\"middle.qcow2\""), "{}", run.stderr);
        assert!(run.stderr.ends_with(REFUSED), "{}", run.stderr);
        assert!(before == world.contents(), "{command} left something");
        world.run(&format!("{command} --allow-backing")).succeeds();
        let _ = fs::remove_file(world.path("new.img"));
    }
    // What was customized is a difference still.
    world.run(&format!("cat {top} /srv/app --allow-backing")).succeeds().prints("app\n");
    assert_eq!(info(&world.path(top))["backing-filename"], "middle.qcow2");
    qemu_img("check ./images/top.qcow2", &world);
    world.run(&format!("convert {top} whole.img --allow-backing")).succeeds();
    assert_sound(&world.path("whole.img"));
    qemu_img("compare ./images/top.qcow2 ./whole.img", &world);
}

#[test]
fn a_new_image_of_a_chain_stands_for_itself() {
    let world = chained();
    world.run("build --base images/top.qcow2 -o new.img --put app:/srv/app --allow-backing").succeeds();
    world.run("convert images/top.qcow2 whole.qcow2 --allow-backing").succeeds();
    qemu_img("compare ./base.img ./whole.qcow2", &world);
    for name in ["new.img", "whole.qcow2"] {
        assert!(info(&world.path(name))["backing-filename"].is_null(), "{name}");
        assert_sound(&world.path(name));
    }
    // Its compressed clusters are those of the bottom: the file is as large as that.
    let size = |name: &str| fs::metadata(world.path(name)).unwrap().len();
    assert!(size("whole.qcow2") <= size("base.img"));
    world.refuses(
        "build --base images/top.qcow2 -o images/middle.qcow2 --put app:/srv/app --allow-backing",
        "error: `images/middle.qcow2` is a backing file of the image, which needs it\n\
         hint: give the new image another name\n",
    );
    world.refuses(
        "convert images/top.qcow2 images/middle.qcow2 --allow-backing",
        "error: `images/middle.qcow2` is a backing file of the image, which needs it\n\
         hint: give the new image another name\n",
    );
}

#[test]
fn names_in_images_are_found_as_qemu_finds_them() {
    let world = chained();
    // By the folder of the symlink, where QEMU looks, too.
    symlink("images/top.qcow2", world.path("link.qcow2")).unwrap();
    let run = world.run("inspect link.qcow2 --allow-backing");
    assert_eq!(run.code, Some(2));
    let cause =
        "cause: backing_file=\"middle.qcow2\" cannot be used\n  cause: `middle.qcow2` cannot be read: no such file";
    assert!(run.stderr.contains(cause), "{}", run.stderr);
    assert!(!judge("qemu-img").args(["info", "--backing-chain"]).arg(world.path("link.qcow2")).run().status.success());

    let renamed = |name: &str| {
        judge("qemu-img")
            .args(["rebase", "-u", "-F", "qcow2", "-b", name])
            .arg(world.path("images/middle.qcow2"))
            .succeed();
        world.run("cat images/top.qcow2 /etc/hostname --allow-backing")
    };
    let absolute = world.path("base.img").display().to_string();
    renamed(&absolute).succeeds();
    renamed(&format!("file:{absolute}")).succeeds();
    for (name, protocol) in
        [("nbd:localhost:1", "nbd"), ("json:{\"driver\":\"null-co\"}", "json"), ("https://x/y", "https")]
    {
        let run = renamed(name);
        assert_eq!(run.code, Some(2), "{name}");
        let expected = format!("cause: `{protocol}:` is a protocol of QEMU's: imgraft opens files of this host only");
        assert!(run.stderr.contains(&expected), "{}", run.stderr);
    }
    let run = renamed("top.qcow2");
    assert!(run.stderr.contains("`images/top.qcow2` is in its own chain of backing files"), "{}", run.stderr);
    let run = renamed("/dev/zero");
    assert!(run.stderr.contains("`/dev/zero` is not a file: an image is a regular file"), "{}", run.stderr);
}

#[test]
fn an_overlay_holds_what_is_put_and_names_its_base() {
    let world = World::new();
    world.file("app", support::noise(1, 300_000)).file("out/keep", "");
    world.run("build --base base.img -o out/app.qcow2 --overlay --put app:/srv/app").succeeds();
    let path = world.path("out/app.qcow2");
    let info = info(&path);
    assert_eq!((&info["backing-filename"], &info["backing-filename-format"]), (&"../base.img".into(), &"qcow2".into()));
    assert!(fs::metadata(&path).unwrap().len() < 2 << 20);
    qemu_img("check ./out/app.qcow2", &world);
    let chain = judge("qemu-img").args(["info", "--backing-chain"]).arg(&path).succeed().stdout;
    assert!(chain.contains("base.img"), "{chain}");
    // The same disk as an image that is whole.
    world.run("build --base base.img -o whole.img --put app:/srv/app").succeeds();
    qemu_img("compare ./out/app.qcow2 ./whole.img", &world);
    assert_eq!(world.run("cat out/app.qcow2 /srv/app").code, Some(2));
    world.run("check out/app.qcow2 --allow-backing").succeeds();
    world.run("convert out/app.qcow2 flat.qcow2 --allow-backing").succeeds();
    assert_sound(&world.path("flat.qcow2"));

    // An absolute base is named so.
    let absolute = world.path("base.img").display().to_string();
    world
        .run(&format!("build --base {absolute} -o abs.qcow2 --overlay --put app:/srv/app --cluster-size 4K"))
        .succeeds();
    let info = self::info(&world.path("abs.qcow2"));
    assert_eq!((&info["backing-filename"], &info["cluster-size"]), (&absolute.into(), &4096.into()));
    qemu_img("compare ./abs.qcow2 ./whole.img", &world);
    world.refuses(
        "build --base base.img -o x.img --overlay --format raw --put app:/srv/app",
        "error: a thin overlay is for qcow2 images, and the new one is raw\n",
    );
}

#[test]
fn a_build_writes_the_format_that_is_asked_for() {
    let world = World::new();
    world.file("app", "app\n");
    world.run("build --base base.img -o plain.img --put app:/srv/app").succeeds();
    world.run("build --base base.img -o app.raw -O raw --put app:/srv/app").succeeds();
    world.run("build --base app.raw -o app.qcow2 -O qcow2 --put app:/srv/app --compression-type zstd").succeeds();
    world.file(
        "imgraft.toml",
        "base = { file = \"base.img\" }\n[output]\nfile = \"recipe.img\"\nformat = \"qcow2\"\ncluster-size = \"256K\"\n\
         [inputs.app]\nfile = \"app\"\n[[step]]\nput = \"app\"\nto = \"/srv/app\"\n",
    );
    world.run("build").succeeds();
    for name in ["app.raw", "app.qcow2", "recipe.img"] {
        assert_sound(&world.path(name));
        qemu_img(&format!("compare ./plain.img ./{name}"), &world);
    }
    assert_eq!(info(&world.path("app.raw"))["format"], "raw");
    assert_eq!(info(&world.path("app.qcow2"))["format-specific"]["data"]["compression-type"], "zstd");
    assert_eq!(info(&world.path("recipe.img"))["cluster-size"], 256 << 10);
    // A name that says something else than what was asked for is said to.
    let run = world.run("build --base base.img -o wrong.raw -O qcow2 --put app:/srv/app").succeeds();
    assert!(run.stderr.starts_with("warning: `wrong.raw` is qcow2, although its name says raw\n"), "{}", run.stderr);
}

#[test]
fn a_backing_file_that_is_shorter_reads_as_zeros_behind_its_end() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    qemu_img("create -q -f qcow2 -b my.img -F raw ./top.qcow2", &world);
    let file = File::options().write(true).open(world.path("my.img")).unwrap();
    file.set_len(file.metadata().unwrap().len() - 512 * 70).unwrap();
    world.run("convert top.qcow2 two.img --allow-backing").succeeds();
    qemu_img("compare ./top.qcow2 ./two.img", &world);
    assert!(info(&world.path("two.img"))["backing-filename"].is_null());
}

#[test]
fn a_name_that_says_no_format_that_is_written_is_refused() {
    let world = World::new();
    world.refuses(
        "convert base.img y.vhdx",
        "error: `y.vhdx` ends in `.vhdx`, which is not a format that imgraft writes\n\
         hint: Azure takes fixed VHDs only, and Hyper-V takes them too: let the name end in `.vhd`\n",
    );
    let hint = "hint: let the name end in `.qcow2`, `.raw`, `.vmdk`, `.vhd`, `.tar.gz`, or say what it is to be with \
                `--format`\n";
    let refused = format!("error: `y.foo` ends in `.foo`, which is not a format that imgraft writes\n{hint}");
    for command in ["convert base.img", "build --base base.img --touch /srv/x -o", "resize base.img +1M -o"] {
        world.refuses(&format!("{command} y.foo"), &refused);
        world.refuses(
            &format!("{command} -"),
            "error: an image is not written to standard output: it is not written from front to back\n\
             hint: give it the name of a file; `./-` is one of that name\n",
        );
    }
    world.run("convert base.img y.foo --format raw").succeeds();
    assert_eq!(info(&world.path("y.foo"))["format"], "raw");
    fs::create_dir(world.path("folder")).unwrap();
    world.refuses(
        "convert base.img folder",
        "error: `folder` is a directory\nhint: name the image to make: `folder/IMAGE`\n",
    );
}

#[test]
fn the_name_of_a_built_image_says_its_format() {
    let world = World::new();
    for (name, more, format) in [
        ("x.raw", "", "raw"),
        ("x.vmdk", "", "vmdk"),
        ("X.QCOW2", "", "qcow2"),
        ("x.img", "", "qcow2"),
        ("x-24.04", "", "qcow2"),
        ("y.raw", "--format qcow2", "qcow2"),
    ] {
        world.run(&format!("build --base base.img --touch /srv/x -o {name} {more}")).succeeds();
        assert_eq!(info(&world.path(name))["format"], format, "{name}");
    }
    assert_sound(&world.path("X.QCOW2"));
}
