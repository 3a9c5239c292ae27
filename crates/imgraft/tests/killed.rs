//! Killed at its writes, syncs and renames, by a signal that leaves no time for anything: the old image or the new one,
//! and clean.
//!
//! `strace` sends the signal at a call that is counted, so that no clock and no load decides what is tested. `./test` takes
//! a few of the calls and the last ones, as `failing` makes each read, write and sync fail in turn; `./test long` takes up
//! to 500.
#![cfg(feature = "full-tests")]
#![allow(clippy::print_stdout, reason = "counts are printed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::guests::small_base;
use crate::support::{ROOT, World, assert_sound, noise};
use testkit::judge::{assert_qemu_img_check, judge};
use testkit::partition::assert_partition_e2fsck_clean;

/// As many images at a time, each killed at its part of the calls.
const WORKERS: usize = 2;
/// One in so many is judged in full.
const FULLY_JUDGED: usize = 50;
const APP_BYTES: usize = 3_000_000;
/// The calls after which files are not what they were.
const CALLS: &str =
    "write,pwrite64,writev,pwritev,copy_file_range,fallocate,ftruncate,fsync,fdatasync,linkat,renameat,renameat2";

fn sha256(path: &Path) -> String {
    judge("sha256sum").arg(path).succeed().stdout.split(' ').next().unwrap().to_owned()
}

fn traced(world: &World, trace: &Path, inject: &[&str], arguments: &str) -> std::process::ExitStatus {
    let mut command = Command::new(testkit::judge::find("strace").expect("strace is installed"));
    command.args(["-f", "-qq", "-o"]).arg(trace).args(["-e", &format!("trace={CALLS}")]).args(inject);
    command.arg(env!("CARGO_BIN_EXE_imgraft")).args(arguments.split(' ')).current_dir(world.folder());
    command.output().unwrap().status
}

/// Runs `imgraft` and kills it at the `number`th call of one of its threads; returns whether it had ended before, and well.
fn killed(world: &World, arguments: &str, number: u64) -> bool {
    let inject = format!("inject={CALLS}:signal=KILL:when={number}");
    traced(world, Path::new("/dev/null"), &["-e", &inject], arguments).success()
}

/// The calls to be killed at: of those that the busiest thread of a whole run makes, some everywhere, the last ones, and
/// one that does not come.
fn calls(world: &World, arguments: &str) -> Vec<u64> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    assert!(traced(world, trace.path(), &[], arguments).success());
    let mut of_threads: BTreeMap<String, u64> = BTreeMap::new();
    for line in fs::read_to_string(trace.path()).unwrap().lines().filter(|line| !line.contains("resumed>")) {
        *of_threads.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
    }
    let count = *of_threads.values().max().unwrap();
    let spread = testkit::rounds(true, [0, 4, 500]).min(count);
    let numbers: BTreeSet<u64> =
        (0..spread).map(|part| 1 + part * count / spread).chain(count.saturating_sub(4).max(1)..=count + 1).collect();
    println!("`{arguments}`: killed at {} of {count} calls", numbers.len());
    numbers.into_iter().collect()
}

/// The two files of one edit: the same version or there was a half of it.
fn put_files(world: &World, version: u64) {
    world.file("app", [&version.to_le_bytes()[..], &noise(version, APP_BYTES)].concat());
    world.file("version", version.to_string());
}

/// A folder in memory: an image of 240 MB would have to be synced for each moment otherwise.
struct Tmpfs {
    folder: PathBuf,
}

impl Tmpfs {
    fn new(world: &World, name: &str) -> Self {
        let folder = world.path(name);
        fs::create_dir(&folder).unwrap();
        judge("mount").args(["-t", "tmpfs", "-o", "size=2g", "tmpfs"]).arg(&folder).succeed();
        Self { folder }
    }

    fn names(&self) -> Vec<std::ffi::OsString> {
        fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        judge("umount").arg(&self.folder).run();
    }
}

const CUSTOMIZE: &str = "customize my.img --put app:/srv/app --put version:/srv/version";

/// The version that is in the image, whole.
fn version(world: &World) -> u64 {
    let version = world.run("cat my.img /srv/version").succeeds().stdout.parse().unwrap();
    let out = world.command("cat my.img /srv/app").output().unwrap();
    let expected = [&u64::to_le_bytes(version)[..], &noise(version, APP_BYTES)].concat();
    assert!(out.stdout == expected, "version {version} is there in part");
    version
}

/// `qemu-img check` finds nothing but leaks; returns whether there were any.
fn leaks(image: &Path) -> bool {
    let verdict = judge("qemu-img").arg("check").arg(image).run();
    match verdict.status.code() {
        Some(0) => false,
        Some(3) => true,
        _ => panic!("{verdict}"),
    }
}

#[test]
fn an_edit_in_place_that_is_killed_leaves_the_old_image_or_the_new_one() {
    let (old, new, leaked) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = |worker: usize| {
        let world = World::empty();
        let image = world.path("my.img");
        fs::copy(small_base(), &image).unwrap();
        let mut current = 1;
        put_files(&world, current);
        let numbers = calls(&world, CUSTOMIZE);
        let (names, size) = (world.names(), fs::metadata(&image).unwrap().len());
        for (round, &number) in numbers.iter().skip(worker).step_by(WORKERS).enumerate() {
            put_files(&world, current + 1);
            let is_done = killed(&world, CUSTOMIZE, number);
            assert_eq!(world.names(), names, "at call {number}");
            let has_leaks = leaks(&image);
            leaked.fetch_add(u64::from(has_leaks), Ordering::Relaxed);
            match version(&world) {
                found if found == current + 1 => {
                    current = found;
                    new.fetch_add(1, Ordering::Relaxed);
                }
                found => {
                    let is_old = found == current && !is_done;
                    assert!(is_old, "at call {number}: {found} in place of {current}, done: {is_done}");
                    old.fetch_add(1, Ordering::Relaxed);
                }
            }
            if round % FULLY_JUDGED == 0 {
                world.run("check --repair my.img").succeeds();
                assert_sound(&image);
            } else if has_leaks && round % 5 == 0 {
                world.run("check --repair my.img").succeeds();
                assert_qemu_img_check(&image);
            }
        }
        world.run("check --repair my.img").succeeds();
        assert_sound(&image);
        // However often it was killed: what was leaked is free again.
        let end = fs::metadata(&image).unwrap().len();
        assert!(end < size + 4 * APP_BYTES as u64, "the file grew from {size} to {end} bytes");
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|worker| drop(scope.spawn(move || work(worker)))));
    let [old, new, leaked] = [old, new, leaked].map(AtomicU64::into_inner);
    println!("{old} times the old image, {new} times the new one, {leaked} times with leaks");
    assert!(old > 0 && new > 0, "the calls missed the edit");
}

#[test]
fn a_build_that_is_killed_leaves_no_image_or_the_whole_one() {
    let base = small_base();
    let before = sha256(&base);
    let (none, whole_ones) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = |worker: usize| {
        let world = World::empty();
        symlink(&base, world.path("base.img")).unwrap();
        put_files(&world, 1);
        let tmpfs = Tmpfs::new(&world, "out");
        let build = "build --base base.img --put app:/srv/app --put version:/srv/version -o out/out.img";
        let numbers = calls(&world, build);
        let (out, whole_one) = (world.path("out/out.img"), world.path("out/whole.img"));
        assert_sound(&out);
        fs::rename(&out, &whole_one).unwrap();
        let names = (world.names(), tmpfs.names());
        for &number in numbers.iter().skip(worker).step_by(WORKERS) {
            let is_done = killed(&world, build, number);
            if out.exists() {
                // The bytes that were judged.
                judge("cmp").arg(&out).arg(&whole_one).succeed();
                fs::remove_file(&out).unwrap();
                whole_ones.fetch_add(1, Ordering::Relaxed);
            } else {
                assert!(!is_done, "at call {number}: it said that it was done");
                none.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!((world.names(), tmpfs.names()), names, "at call {number}");
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|worker| drop(scope.spawn(move || work(worker)))));
    assert_eq!(sha256(&base), before);
    let [none, whole_ones] = [none, whole_ones].map(AtomicU64::into_inner);
    println!("{none} times no image, {whole_ones} times the whole one");
    assert!(none > 0 && whole_ones > 0, "the calls missed the build");
}

#[test]
fn many_edits_in_a_row_take_the_room_of_one() {
    const APP_BYTES: usize = 20_000_000;
    let world = World::empty();
    let image = world.path("my.img");
    fs::copy(small_base(), &image).unwrap();
    let before = fs::metadata(&image).unwrap().len();
    for round in 0..10 {
        world.file("app", noise(round, APP_BYTES));
        world.run("customize my.img --put app:/srv/app").succeeds();
        let size = fs::metadata(&image).unwrap().len();
        // Two are there at a time, the old one and the new one.
        assert!(size < before + 2 * APP_BYTES as u64 + (4 << 20), "edit {round}: {size} bytes, of {before}");
        assert_qemu_img_check(&image);
    }
    assert_partition_e2fsck_clean(&image, ROOT);
    assert!(world.content("my.img", ROOT, "/srv/app") == noise(9, APP_BYTES));
}
