//! `imgraft delta`: an image out of its base and a small file, byte for byte.

use std::fs;

use crate::support::{World, assert_sound, noise};
use testkit::judge::judge;

/// A base, an image of it with 100 KB that were put, and the delta between them.
fn world() -> World {
    let world = World::new();
    world.file("app", noise(1, 100_000));
    world.run("build --base base.img --put app:/usr/local/bin/app:0755 -o app.img").succeeds();
    world.run("-q delta make base.img app.img -o app.delta").succeeds().says("");
    world
}

#[test]
fn an_image_comes_back_from_its_base_and_a_delta() {
    let world = world();
    world.run("delta apply base.img app.delta -o again.img").succeeds();
    judge("cmp").args([world.path("app.img"), world.path("again.img")]).succeed();
    assert_sound(&world.path("again.img"));
    judge("qemu-img").args(["compare", "-q"]).args([world.path("app.img"), world.path("again.img")]).succeed();

    let size = |name: &str| fs::metadata(world.path(name)).unwrap().len();
    assert!(size("app.delta") < 130_000, "{}", size("app.delta"));
    let info: serde_json::Value =
        serde_json::from_str(&world.run("delta info app.delta --json").succeeds().stdout).unwrap();
    let sha256 = judge("sha256sum").arg(world.path("app.img")).succeed().stdout;
    assert_eq!(info["image_sha256"], sha256.split(' ').next().unwrap());
    assert_eq!((&info["base_bytes"], &info["delta_bytes"]), (&size("base.img").into(), &size("app.delta").into()));
    let said = world.run("delta info app.delta").succeeds().stdout;
    assert!(said.starts_with("delta:  ") && said.contains("\ncopied: "), "{said}");
}

#[test]
fn a_raw_image_comes_back_with_its_holes() {
    let world = World::new();
    world.file("app", noise(1, 100_000));
    world.run("convert base.img base.raw").succeeds();
    world.run("build --base base.raw --put app:/app -o app.raw").succeeds();
    world.run("delta make base.raw app.raw -o app.delta").succeeds();
    world.run("delta apply base.raw app.delta -o again.raw").succeeds();
    judge("cmp").args([world.path("app.raw"), world.path("again.raw")]).succeed();
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(world.path("again.raw")).unwrap();
    assert!(metadata.blocks() * 512 < metadata.len() / 2, "zeros are holes");
    assert!(fs::metadata(world.path("app.delta")).unwrap().len() < 130_000);
}

#[test]
fn what_is_not_the_delta_s_leaves_nothing() {
    let world = world();
    let delta = fs::read(world.path("app.delta")).unwrap();
    let mut changed = fs::read(world.path("base.img")).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    world.file("other.img", changed).file("cut.delta", &delta[..delta.len() / 2]);
    let names = world.names();
    for (arguments, words) in [
        ("delta apply other.img app.delta -o x.img", "hint: give the very file that it was made with"),
        ("delta apply app.img app.delta -o x.img", "and the delta is for one of"),
        ("delta apply base.img cut.delta -o x.img", "the delta is corrupt"),
        ("delta apply base.img base.img -o x.img", "it is not a delta"),
        ("delta apply base.img app.delta -o x.img --max-size 1M", "`--max-size SIZE` allows more"),
        ("delta apply base.img app.delta -o app.delta", "is the image that is read"),
        ("delta make base.img app.img -o -", "not written to standard output"),
        ("delta info cut.delta", "the delta `cut.delta` cannot be used"),
    ] {
        let run = world.run(arguments);
        assert_eq!(run.code, Some(2), "{arguments}");
        assert!(run.stderr.contains(words), "{arguments}: {}", run.stderr);
        assert_eq!(world.names(), names, "{arguments}");
    }
}
