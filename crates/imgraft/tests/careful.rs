//! Images that a careful user has: with several names, read-only, in folders that are, and no files at all.

use crate::support;
use std::fs;

use crate::support::{ROOT, World, assert_sound, noise};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;

const CUSTOMIZE: &str = "customize my.img --put app:/srv/app";

fn world(format: Format) -> World {
    let world = World::with_copy(&Options { format, ..Options::default() });
    world.file("app", "app\n");
    world
}

#[test]
fn a_raw_image_with_two_names_is_refused() {
    let world = world(Format::Raw);
    fs::hard_link(world.path("my.img"), world.path("other.img")).unwrap();
    for arguments in [CUSTOMIZE, "resize my.img +1G"] {
        world.refuses(
            arguments,
            "error: `my.img` was not changed\n  cause: `my.img` is a raw image with 2 names (hard links), of which \
             only this one would change\nhint: change a copy, `cp --reflink=auto my.img OTHER`, or remove the other \
             names first\n",
        );
    }
    // A new image is no change of it.
    world.run("build --base my.img --put app:/srv/app -o out.img").succeeds();
}

#[test]
fn a_file_that_is_read_only_is_named() {
    for format in [support::qcow2(), Format::Raw] {
        let world = world(format);
        world.mode("my.img", 0o444);
        let before = world.contents();
        let run = world.run_as_user(CUSTOMIZE).says(
            "error: `my.img` was not changed\n  cause: `my.img` cannot be written\n  cause: permission denied\n\
             hint: `chmod u+w my.img` lets its owner write to it\n",
        );
        assert_eq!(run.code, Some(2));
        assert!(before == world.contents());
    }
}

#[test]
fn a_raw_image_in_a_folder_that_is_read_only_is_refused() {
    let world = world(Format::Raw);
    fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let run = world.run_as_user(CUSTOMIZE);
    let folder = fs::canonicalize(world.folder()).unwrap();
    let run = run.says(&format!(
        "error: `my.img` was not changed\n  cause: no file can be made in `{}`, as a raw image needs it\n  \
         cause: permission denied\nhint: a qcow2 image changes in its own file and does not need another\n",
        folder.display()
    ));
    assert_eq!(run.code, Some(2));
    fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(world.names(), ["app", "my.img"]);
}

#[test]
fn all_names_of_a_qcow2_image_see_the_change() {
    let world = world(support::qcow2());
    fs::hard_link(world.path("my.img"), world.path("other.img")).unwrap();
    world.run(CUSTOMIZE).succeeds();
    assert_sound(&world.path("other.img"));
    assert_eq!(world.content("other.img", ROOT, "/srv/app"), b"app\n");
}

#[test]
fn a_qcow2_image_changes_in_a_folder_that_is_read_only() {
    let world = world(support::qcow2());
    // More than is kept in memory.
    for number in 0..25 {
        world.file(&format!("tree/{number}"), noise(number, 900_000));
    }
    fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let run = world.run_as_user("customize my.img --put tree:/srv/tree");
    fs::set_permissions(world.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    run.succeeds();
    assert_eq!(world.names(), ["app", "my.img", "tree"]);
    assert_sound(&world.path("my.img"));
    assert!(world.content("my.img", ROOT, "/srv/tree/24") == noise(24, 900_000));
}

#[test]
fn what_is_no_file_is_not_changed() {
    let world = World::empty();
    world.file("app", "app\n");
    judge("mkfifo").arg(world.path("fifo")).succeed();
    for (name, kind) in [("fifo", "not a file"), (".", "a directory"), ("/dev/null", "not a file")] {
        world.refuses(
            &format!("customize {name} --put app:/srv/app"),
            &format!("error: `{name}` was not changed\n  cause: `{name}` is {kind}: an image is a regular file\n"),
        );
    }
}

#[test]
fn what_was_copied_of_a_raw_image_is_said() {
    let world = world(Format::Raw);
    let run = world.run(&format!("{CUSTOMIZE} --json")).succeeds();
    assert_sound(&world.path("my.img"));
    assert_eq!(world.content("my.img", ROOT, "/srv/app"), b"app\n");
    // A file system that shares blocks needs no copy.
    assert_eq!(run.stderr.contains("\ncopied "), run.stdout.contains("\"copied_bytes\": "), "{}", run.stderr);
}
