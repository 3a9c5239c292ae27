//! `imgraft customize`: an image changed, all or nothing.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use support::{ROOT, World, assert_sound, noise};
use testkit::fixture::{Format, Options};

#[test]
fn the_image_changes_and_keeps_its_mode_and_owner() {
    let world = World::with_copy(&Options::default());
    world.file("app", noise(3, 1_000_000)).mode("my.img", 0o640);
    let owner = |world: &World| {
        let metadata = fs::metadata(world.path("my.img")).unwrap();
        (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
    };
    if testkit::is_root() {
        std::os::unix::fs::chown(world.path("my.img"), Some(1234), Some(5678)).unwrap();
    }
    let before = owner(&world);
    world.run("customize my.img --put app:/usr/bin/app:0755").succeeds().prints("").says(
        "put app at /usr/bin/app (0755 0:0, 976.5 KiB)\n\
         changed my.img (…)\n",
    );
    assert_eq!(owner(&world), before);
    assert_eq!(world.names(), ["app", "my.img"]);
    assert_sound(&world.path("my.img"));
    assert!(world.content("my.img", ROOT, "/usr/bin/app") == noise(3, 1_000_000));
}

#[test]
fn it_can_be_done_again_and_again() {
    let world = World::with_copy(&Options::default());
    for round in 0..4u64 {
        world.file("tree/a", noise(round, 500_000)).file(&format!("tree/b-{round}"), "b\n");
        world.run("customize my.img --put tree:/srv/tree").succeeds();
        assert_sound(&world.path("my.img"));
        assert!(world.content("my.img", ROOT, "/srv/tree/a") == noise(round, 500_000));
    }
    world.run("check my.img").succeeds();
}

#[test]
fn a_raw_image_stays_raw() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    world.file("app", "app\n");
    world.run("customize my.img --put app:/srv/app").succeeds();
    assert_sound(&world.path("my.img"));
    assert_eq!(world.content("my.img", ROOT, "/srv/app"), b"app\n");
}

#[test]
fn a_symlink_stays_and_what_it_points_to_changes() {
    let world = World::with_copy(&Options::default());
    world.file("app", "app\n");
    fs::create_dir(world.path("images")).unwrap();
    fs::rename(world.path("my.img"), world.path("images/real.img")).unwrap();
    symlink("images/real.img", world.path("my.img")).unwrap();
    world.run("customize my.img --put app:/srv/app").succeeds();
    assert_eq!(fs::read_link(world.path("my.img")).unwrap().to_str(), Some("images/real.img"));
    assert_eq!(world.content("images/real.img", ROOT, "/srv/app"), b"app\n");
    assert_eq!(fs::read_dir(world.path("images")).unwrap().count(), 1);
}

#[test]
fn whatever_goes_wrong_the_image_is_as_it_was() {
    let world = World::with_copy(&Options::default());
    world.file("app", "app\n");
    world.refuses(
        "customize my.img --put app:/srv/app --put nope:/srv/nope",
        "error: `my.img` was not changed\n  cause: `nope` cannot be read\n  cause: no such file or directory\n",
    );
    world.refuses(
        "customize my.img --put app:/etc/hostname/app",
        "error: `my.img` was not changed\n  cause: `/etc/hostname/app`: `/etc/hostname` is not a directory\n",
    );
    File::create(world.path("huge")).unwrap().set_len(1 << 30).unwrap();
    let before = fs::read(world.path("my.img")).unwrap();
    let run = world.run("customize my.img --put app:/srv/app --put huge:/srv/huge");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.starts_with("error: `my.img` was not changed\n  cause: no space left in the guest: partition 1"),
        "{}",
        run.stderr
    );
    assert!(before == fs::read(world.path("my.img")).unwrap());
    assert_eq!(world.names(), ["app", "huge", "my.img"]);
}

#[test]
fn an_image_that_somebody_else_writes_to_meanwhile_is_left_to_them() {
    let world = World::with_copy(&Options::default());
    world.file("app", noise(4, 60_000_000));
    let mut child =
        world.command("customize my.img --put app:/srv/app").stderr(std::process::Stdio::piped()).spawn().unwrap();
    // As soon as it has the image open.
    let image = fs::canonicalize(world.path("my.img")).unwrap();
    let is_open = |descriptor: fs::DirEntry| fs::read_link(descriptor.path()).is_ok_and(|path| path == image);
    let descriptors = format!("/proc/{}/fd", child.id());
    while !fs::read_dir(&descriptors).unwrap().any(|descriptor| is_open(descriptor.unwrap())) {
        std::thread::yield_now();
    }
    let file = File::options().append(true).open(world.path("my.img")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{stderr}");
    assert_eq!(
        stderr,
        "error: `my.img` was not changed\n  cause: `my.img` changed while it was read\n\
         hint: see whether a virtual machine or another program uses it\n"
    );
    assert_eq!(world.names(), ["app", "my.img"]);
}

#[test]
fn there_has_to_be_something_to_do() {
    let world = World::with_copy(&Options::default());
    let run = world.run("customize my.img");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--put"), "{}", run.stderr);
}
