//! Each read and each write of a whole build is made to fail, one after the other: an error every time, nothing
//! left behind, and the base as it was. `strace` does that to the program as it is.
#![cfg(feature = "full-tests")]

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{World, noise, qcow2};
use testkit::fixture::Options;
use testkit::judge::assert_qemu_img_check;

/// As many builds at a time.
const WORKERS: usize = 2;

/// Runs `imgraft` with the `number`th of the program's calls of `call` failing; returns the exit code, what it
/// said, and whether there were as many calls.
fn run_failing(world: &World, arguments: &str, call: &str, number: u64) -> (Option<i32>, String, bool) {
    // Beside the folder, which is to stay as it is.
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = std::process::Command::new(testkit::judge::find("strace").expect("strace is installed"));
    command.args(["-f", "-o"]).arg(trace.path()).args(["-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:error=EIO:when={number}")]);
    command.arg(env!("CARGO_BIN_EXE_imgraft")).args(arguments.split(' ')).current_dir(world.folder());
    let output = command.output().unwrap();
    let has_failed = fs::read_to_string(trace.path()).unwrap().contains("(INJECTED)");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), has_failed)
}

/// Runs `arguments` in worlds that `make` makes with the first, the second, … call of `call` failing, until
/// there are no more; returns how many there were.
fn fail_at_each(arguments: &str, call: &str, make: impl Fn() -> World + Sync) -> u64 {
    let (next, end) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    let work = || {
        let world = make();
        let before = world.contents();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end.load(Ordering::Relaxed) {
                return;
            }
            let (code, said, has_failed) = run_failing(&world, arguments, call, number);
            if !has_failed {
                assert_eq!(code, Some(0), "{said}");
                end.fetch_min(number, Ordering::Relaxed);
                return;
            }
            // The loader reads the program's libraries by the same calls.
            let is_told = code == Some(2) && said.contains("error: ") && said.contains("input/output error\n");
            let is_loader = code == Some(127) && said.contains("error while loading shared libraries");
            assert!(is_told || is_loader, "`{arguments}`, {call} {number}: {code:?}\n{said}");
            assert!(before == world.contents(), "`{arguments}`, {call} {number}: the folder changed");
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    end.into_inner() - 1
}

/// A small file, one that is kept in place of its bytes, and as many as do not fit memory.
fn world() -> World {
    let world = World::with_copy(&Options { format: qcow2(), ..Options::default() });
    world.file("small", "small\n").file("app", noise(1, 1_500_000));
    for number in 0..20 {
        world.file(&format!("tree/{number}"), noise(number, 900_000));
    }
    world
}

#[test]
fn a_read_that_fails_ends_a_build_and_nothing_is_there() {
    let puts = "--put small:/etc/hostname --put small:/usr/share/many/new --put app:/srv/app";
    let calls = fail_at_each(&format!("build --base my.img {puts} -o out.img"), "pread64", world);
    assert!(calls > 100, "there were {calls} reads only");
}

/// What leaves out what it cannot read leaves nothing out because of the host.
#[test]
fn a_read_that_fails_ends_a_look() {
    let world = || World::with_copy(&Options { format: qcow2(), ..Options::default() });
    let calls = fail_at_each("inspect my.img", "pread64", world);
    assert!(calls > 20, "there were {calls} reads only");
}

#[test]
fn a_write_that_fails_ends_a_build_and_nothing_is_there() {
    let build = "build --base my.img --put tree:/srv/tree --put app:/srv/app -o out.img";
    let calls = fail_at_each(build, "pwrite64", world);
    assert!(calls > 20, "there were {calls} writes only");
    for call in ["ftruncate", "linkat"] {
        assert!(fail_at_each(build, call, world) > 0, "{call}");
    }
    // The image and the file that says its digest are there together or not at all.
    let build = "build --base my.img --put app:/srv/app --sha256 -o out.img";
    assert_eq!(fail_at_each(build, "linkat", world), 2);
}

/// As [`fail_at_each`], for an image that changes in its own file: where the write that decides is what fails, it
/// is the old image or the new one, and that is said.
fn fail_at_each_in_place(arguments: &str, call: &str) -> u64 {
    let mut world = world();
    let before = fs::read(world.path("my.img")).unwrap();
    let names = world.names();
    for number in 1.. {
        let (code, said, has_failed) = run_failing(&world, arguments, call, number);
        assert_eq!(world.names(), names, "`{arguments}`, {call} {number}");
        if !has_failed {
            assert_eq!(code, Some(0), "{said}");
            return number - 1;
        }
        // What is free at the file's end may stay there.
        let is_done = code == Some(0) && call == "ftruncate";
        let is_undecided = code == Some(2) && said.starts_with("error: `my.img` is the old image or the new one");
        if is_done || is_undecided {
            assert_qemu_img_check(&world.path("my.img"));
            world = self::world();
            continue;
        }
        let is_told = code == Some(2) && said.starts_with("error: `my.img` was not changed\n");
        assert!(is_told && said.contains("input/output error\n"), "`{arguments}`, {call} {number}: {code:?}\n{said}");
        // Where the end could not be cut off, it is free.
        let same = fs::read(world.path("my.img")).unwrap();
        assert!(same.starts_with(&before), "`{arguments}`, {call} {number}: the image changed");
        assert!(same.len() == before.len() || call == "ftruncate", "{call} {number}: {} bytes", same.len());
        fs::write(world.path("my.img"), &before).unwrap();
    }
    unreachable!("there is an end to the calls")
}

#[test]
fn a_write_that_fails_leaves_the_image_that_was_to_be_changed() {
    let customize = "customize my.img --put tree:/srv/tree --put app:/srv/app";
    assert!(fail_at_each_in_place(customize, "pwrite64") > 20);
    assert_eq!(fail_at_each_in_place(customize, "fdatasync"), 2);
    fail_at_each_in_place(customize, "ftruncate");
}
