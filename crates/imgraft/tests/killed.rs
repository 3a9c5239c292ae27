//! Killed at random moments, by a signal that leaves no time for anything: the old image or the new one, and clean.
//!
//! Forty moments do for `./test`: `failing` makes each read, write and sync fail in turn. `./test long` takes 500, and
//! others each time: `IMGRAFT_KILL_SEED` is what they come from.
#![cfg(feature = "full-tests")]
#![allow(clippy::print_stdout, reason = "seeds and counts are printed")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{ROOT, World, assert_sound, noise};
use testkit::judge::{assert_qemu_img_check, judge};
use testkit::partition::assert_partition_e2fsck_clean;

/// As many images at a time, each killed at its part of the moments.
const WORKERS: u64 = 2;
/// One in so many is judged in full.
const FULLY_JUDGED: u64 = 50;
const APP_BYTES: usize = 3_000_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

fn kills() -> u64 {
    testkit::rounds(true, [0, 40, 500])
}

/// Moments in a run, and the seed to have them again.
struct Moments {
    state: u64,
    /// What a run takes about now: the machine has other work, too.
    whole: Duration,
}

impl Moments {
    fn new(test: &str) -> Self {
        let seed = number("IMGRAFT_KILL_SEED").unwrap_or(1);
        println!("{test}: IMGRAFT_KILL_SEED={seed}");
        Self { state: seed, whole: Duration::ZERO }
    }

    fn of_worker(&self, worker: u64, whole: Duration) -> Self {
        Self { state: (self.state ^ (worker + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1, whole }
    }

    /// A moment in a run and a little behind it.
    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.whole.mul_f64((self.state >> 11) as f64 / (1u64 << 53) as f64 * 1.05)
    }

    /// A run that was killed at `after` had ended then, or had not.
    fn learn(&mut self, after: Duration, is_done: bool) {
        if is_done {
            self.whole = self.whole.mul_f64(0.97);
        } else if after > self.whole.mul_f64(0.8) {
            self.whole = self.whole.mul_f64(1.1);
        }
    }
}

fn base() -> PathBuf {
    let base = std::env::var_os("IMGRAFT_TEST_BASE").expect("IMGRAFT_TEST_BASE names the base image");
    fs::canonicalize(base).expect("the base image is there")
}

fn sha256(path: &Path) -> String {
    judge("sha256sum").arg(path).succeed().stdout.split(' ').next().unwrap().to_owned()
}

/// Runs `imgraft` and kills it after a while; returns whether it had ended before, and well.
fn killed(world: &World, arguments: &str, after: Duration) -> bool {
    let mut child = world.start(arguments);
    std::thread::sleep(after);
    let _ = child.kill();
    child.wait().unwrap().success()
}

/// The quickest of three runs.
fn duration(mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..3).map(time).min().unwrap()
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
    let moments = Moments::new("in place");
    let (old, new, leaked) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = |worker: u64| {
        let world = World::empty();
        let image = world.path("my.img");
        fs::copy(base(), &image).unwrap();
        let mut current = 1;
        put_files(&world, current);
        let mut moments = moments.of_worker(worker, duration(|| drop(world.run(CUSTOMIZE).succeeds())));
        let (names, size) = (world.names(), fs::metadata(&image).unwrap().len());
        for round in 0..kills() / WORKERS {
            put_files(&world, current + 1);
            let after = moments.next();
            let is_done = killed(&world, CUSTOMIZE, after);
            moments.learn(after, is_done);
            assert_eq!(world.names(), names, "after {after:?}");
            let has_leaks = leaks(&image);
            leaked.fetch_add(u64::from(has_leaks), Ordering::Relaxed);
            match version(&world) {
                found if found == current + 1 => {
                    current = found;
                    new.fetch_add(1, Ordering::Relaxed);
                }
                found => {
                    assert!(
                        found == current && !is_done,
                        "after {after:?}: {found} in place of {current}, done: {is_done}"
                    );
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
    assert_eq!(old + new, kills() / WORKERS * WORKERS);
    assert!(old > 0 && new > 0, "the moments missed the edit");
}

#[test]
fn a_build_that_is_killed_leaves_no_image_or_the_whole_one() {
    let base = base();
    let before = sha256(&base);
    let moments = Moments::new("build");
    let (none, whole_ones) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = |worker: u64| {
        let world = World::empty();
        symlink(&base, world.path("base.img")).unwrap();
        put_files(&world, 1);
        let tmpfs = Tmpfs::new(&world, "out");
        let build = "build --base base.img --put app:/srv/app --put version:/srv/version -o out/out.img";
        let mut moments = moments.of_worker(worker, duration(|| drop(world.run(build).succeeds())));
        let (out, whole_one) = (world.path("out/out.img"), world.path("out/whole.img"));
        assert_sound(&out);
        fs::rename(&out, &whole_one).unwrap();
        let names = (world.names(), tmpfs.names());
        for _ in 0..kills() / WORKERS {
            let after = moments.next();
            let is_done = killed(&world, build, after);
            moments.learn(after, is_done);
            if out.exists() {
                // The bytes that were judged.
                judge("cmp").arg(&out).arg(&whole_one).succeed();
                fs::remove_file(&out).unwrap();
                whole_ones.fetch_add(1, Ordering::Relaxed);
            } else {
                assert!(!is_done, "after {after:?}: it said that it was done");
                none.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!((world.names(), tmpfs.names()), names, "after {after:?}");
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|worker| drop(scope.spawn(move || work(worker)))));
    assert_eq!(sha256(&base), before);
    println!("{none:?} times no image, {whole_ones:?} times the whole one");
    assert!(none.into_inner() > 0, "the moments missed the build");
}

#[test]
fn many_edits_in_a_row_take_the_room_of_one() {
    const APP_BYTES: usize = 20_000_000;
    let world = World::empty();
    let image = world.path("my.img");
    fs::copy(base(), &image).unwrap();
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
