//! `imgraft customize`: an image changed, all or nothing.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Child;

use crate::support::{ROOT, World, assert_sound, noise};
use testkit::fixture::{Format, Options};
use testkit::judge::{assert_qemu_img_check, judge};

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
         changed my.img in place (…)\n",
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

fn file_bytes(image: &Path) -> u64 {
    fs::metadata(image).unwrap().len()
}

#[test]
fn a_qcow2_image_stays_the_same_file_and_grows_by_what_changed() {
    let world = World::with_copy(&Options::default());
    let before = fs::metadata(world.path("my.img")).unwrap();
    world.file("app", noise(9, 3_000_000)).modified("my.img", 1_500_000_000);
    let run = world.run("customize my.img --put app:/srv/app --json").succeeds();
    let after = fs::metadata(world.path("my.img")).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    assert!(after.mtime() > 1_500_000_000);
    assert!((3_000_000..5_000_000).contains(&(after.len() - before.len())), "{}", after.len() - before.len());
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["file_size_bytes"], after.len());
    assert_eq!(report["in_place"]["old_file_size_bytes"], before.len());
    assert!(report["in_place"]["host_clusters_appended"].as_u64() > Some(40), "{report}");
    assert!(report.get("copied_bytes").is_none());
    assert_sound(&world.path("my.img"));
}

#[test]
fn edits_in_a_row_take_the_room_of_one() {
    let world = World::with_copy(&Options::default());
    let mut sizes = Vec::new();
    for round in 0..6 {
        world.file("app", noise(round, 2_000_000));
        world.run("customize my.img --put app:/srv/app").succeeds();
        assert_qemu_img_check(&world.path("my.img"));
        sizes.push(file_bytes(&world.path("my.img")));
    }
    // Two are there at a time, the old one and the new one.
    assert!(sizes.iter().all(|&size| size <= sizes[0] + 2_500_000), "{sizes:?}");
    assert_sound(&world.path("my.img"));
    assert!(world.content("my.img", ROOT, "/srv/app") == noise(5, 2_000_000));
}

#[test]
fn internal_snapshots_stay_as_they_are() {
    let world = World::with_copy(&Options::default());
    world.file("app", noise(2, 300_000));
    judge("qemu-img").args(["snapshot", "-c", "before"]).arg(world.path("my.img")).succeed();
    let disk = |name: &str, options: &[&str]| {
        judge("qemu-img")
            .arg("convert")
            .args(options)
            .args(["-O", "raw"])
            .arg(world.path("my.img"))
            .arg(world.path(name))
            .succeed();
    };
    disk("old", &[]);
    world.run("customize my.img --put app:/srv/app").succeeds();
    disk("snapshot", &["-l", "before"]);
    judge("cmp").arg(world.path("old")).arg(world.path("snapshot")).succeed();
    assert_sound(&world.path("my.img"));
}

#[test]
fn what_would_not_be_right_afterwards_is_refused_by_name() {
    let world = World::with_copy(&Options::default());
    world.file("app", "app\n");
    judge("qemu-img").args(["bitmap", "--add"]).arg(world.path("my.img")).arg("changes").succeed();
    let before = world.contents();
    let run = world.run("customize my.img --put app:/srv/app");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.starts_with("error: `my.img` was not changed\n"), "{}", run.stderr);
    assert!(run.stderr.contains("a qcow2 image with persistent bitmaps"), "{}", run.stderr);
    assert!(before == world.contents());
}

#[test]
fn an_image_of_another_user_is_not_one_to_chmod() {
    let world = World::empty();
    // A file of root's that is on every host; what is in it does not come to be looked at.
    let run = world.run_as_user("customize /etc/passwd --touch /srv/x");
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (
            Some(2),
            "error: `/etc/passwd` was not changed\n  cause: `/etc/passwd` cannot be written\n  \
             cause: permission denied\nhint: it belongs to root: work on a copy, or make a new image with `imgraft build --base /etc/passwd`\n"
        )
    );
}

#[test]
fn a_source_that_changes_meanwhile_leaves_the_image_as_it_was() {
    let world = World::with_copy(&Options::default());
    world.file("app", noise(4, 60_000_000));
    let before = fs::read(world.path("my.img")).unwrap();
    let mut child =
        world.command("customize my.img --put app:/srv/app").stderr(std::process::Stdio::piped()).spawn().unwrap();
    await_open(&child, &fs::canonicalize(world.path("app")).unwrap());
    world.modified("app", 1_000_000_000);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: `my.img` was not changed\n  cause: `app` changed"), "{stderr}");
    assert!(before == fs::read(world.path("my.img")).unwrap());
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
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.starts_with("error: `my.img` was not changed\n  cause: no space left in the guest: partition 1"),
        "{}",
        run.stderr
    );
    assert!(before == fs::read(world.path("my.img")).unwrap());
    assert_eq!(world.names(), ["app", "huge", "my.img"]);
}

/// Waits until a program has a file open.
fn await_open(child: &Child, file: &Path) {
    let is_open = |descriptor: fs::DirEntry| fs::read_link(descriptor.path()).is_ok_and(|path| path == file);
    let descriptors = format!("/proc/{}/fd", child.id());
    while !fs::read_dir(&descriptors).unwrap().filter_map(Result::ok).any(is_open) {
        std::thread::yield_now();
    }
}

#[test]
fn an_image_that_somebody_else_writes_to_meanwhile_is_left_to_them() {
    let world = World::with_copy(&Options::default());
    world.file("app", noise(4, 60_000_000));
    let mut child =
        world.command("customize my.img --put app:/srv/app").stderr(std::process::Stdio::piped()).spawn().unwrap();
    await_open(&child, &fs::canonicalize(world.path("my.img")).unwrap());
    let file = File::options().append(true).open(world.path("my.img")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{stderr}");
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
