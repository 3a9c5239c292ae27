//! Sequences: run, judged, and where one fails had again and made small.

use std::any::Any;
#[cfg(feature = "full-tests")]
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
#[cfg(feature = "full-tests")]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(feature = "full-tests")]
use std::time::{Duration, Instant, SystemTime};

use ext4::{Error, FileSystem, Resource};
use storage::FileStorage;
use testkit::judge::assert_e2fsck_clean;

use crate::account;
use crate::compare;
use crate::debugfs::assert_debugfs_shows;
use crate::generate::Generator;
use crate::matrix::Entry;
#[cfg(feature = "full-tests")]
use crate::matrix::MATRIX;
use crate::operation::{Operation, Refusal};
use crate::start::{Prepared, open, scratch};
use crate::support::Random;
use crate::tree::Tree;

const SHORT_OPERATIONS: usize = 300;
#[cfg(feature = "full-tests")]
const LONG_OPERATIONS: usize = 2000;
/// Long sequences of each entry of the matrix: none, in `./test`, and in `./test long`.
#[cfg(feature = "full-tests")]
const LONG_SEQUENCES: [u64; 3] = [0, 2, 12];

/// Blocks that what was in inodes may take: of two directories, or of a file.
const MOVED_BLOCKS: u64 = 2;

/// Who else is asked, besides our own check, our own reading and `e2fsck`.
#[derive(Clone, Copy, Debug)]
struct Judges {
    debugfs: bool,
    kernel: bool,
}

/// One short sequence, or the one that the environment asks for.
pub(crate) fn short(entry: &Entry) {
    let operations = number_from_environment("IMGRAFT_MODEL_OPERATIONS").unwrap_or(SHORT_OPERATIONS as u64);
    let seed = number_from_environment("IMGRAFT_MODEL_SEED").unwrap_or(first_seed(entry));
    let judges = Judges { debugfs: true, kernel: false };
    run(entry, &Prepared::new(entry), seed, operations as usize, judges);
}

/// Some long sequences, or the one that the environment asks for.
#[cfg(feature = "full-tests")]
pub(crate) fn long(entry: &Entry) {
    let operations = number_from_environment("IMGRAFT_MODEL_OPERATIONS").unwrap_or(LONG_OPERATIONS as u64);
    let seeds = match number_from_environment("IMGRAFT_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let sequences = testkit::rounds(true, LONG_SEQUENCES);
            first_seed(entry) + 1..first_seed(entry) + 1 + sequences
        }
    };
    let prepared = Prepared::new(entry);
    for seed in seeds {
        // The first one of each entry, too: `debugfs` takes longer than all others together.
        run(entry, &prepared, seed, operations as usize, Judges { debugfs: seed % 8 == 1, kernel: true });
    }
}

/// Long sequences with seeds that were not there before, for as many minutes as the environment says, on
/// each processor; the first that fails ends it.
#[cfg(feature = "full-tests")]
pub(crate) fn soak() {
    let minutes = number_from_environment("IMGRAFT_MODEL_SOAK_MINUTES").unwrap_or(1);
    let (start, end) = (Instant::now(), Duration::from_secs(60 * minutes));
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let next = AtomicU64::new(since_1970.as_millis() as u64);
    let (sequences, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let mut prepared: BTreeMap<&str, Prepared> = BTreeMap::new();
        while start.elapsed() < end && !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let entry = &MATRIX[seed as usize % MATRIX.len()];
            let prepared = prepared.entry(entry.name).or_insert_with(|| Prepared::new(entry));
            let judges = Judges { debugfs: seed.is_multiple_of(8), kernel: true };
            let ran = catch_unwind(AssertUnwindSafe(|| run(entry, prepared, seed, LONG_OPERATIONS, judges)));
            sequences.fetch_add(1, Ordering::Relaxed);
            if let Err(failure) = ran {
                failed.store(true, Ordering::Relaxed);
                resume_unwind(failure);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    println!("{} sequences of {LONG_OPERATIONS} operations", sequences.into_inner());
}

/// Each entry has seeds of its own.
fn first_seed(entry: &Entry) -> u64 {
    u64::from(crc32c::crc32c(entry.name.as_bytes()) >> 8) * 1000
}

pub(crate) fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Runs one sequence; where it fails, says how to have it again and keeps the image.
fn run(entry: &Entry, prepared: &Prepared, seed: u64, operations: usize, judges: Judges) {
    println!("{}: seed {seed}, {operations} operations", entry.name);
    let folder = scratch();
    let image = folder.path().join("image");
    let mut done = Vec::new();
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut next =
        |tree: &Tree, number: usize| (number < operations).then(|| Generator { random: &mut random, tree }.operation());
    let Err(failure) = attempt(prepared, &image, &mut next, &mut done, judges) else { return };
    let kept = keep(&image, &format!("{}-{seed}", entry.name));
    eprintln!("\nseed {seed} of `{}` fails after {} operations; the image: {}", entry.name, done.len(), kept.display());
    eprintln!(
        "again: IMGRAFT_MODEL_SEED={seed} IMGRAFT_MODEL_OPERATIONS={operations} \
         cargo test -p imgraft-ext4 --features imgraft-ext4/full-tests --test model {}::{} -- --exact",
        if judges.kernel { "matrix::long" } else { "matrix::short" },
        entry.name
    );
    if number_from_environment("IMGRAFT_MODEL_MINIMISE").is_some() {
        let fewest = minimise(prepared, &image, done, judges);
        eprintln!("{} operations are enough: {fewest:#?}", fewest.len());
        keep(&image, &format!("{}-{seed}-small", entry.name));
    } else {
        eprintln!("IMGRAFT_MODEL_MINIMISE=1 finds the operations that are enough");
    }
    resume_unwind(failure);
}

fn attempt(
    prepared: &Prepared,
    image: &Path,
    next: &mut dyn FnMut(&Tree, usize) -> Option<Operation>,
    done: &mut Vec<Operation>,
    judges: Judges,
) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| {
        prepared.copy(image);
        let mut tree = prepared.tree.clone();
        let mut filesystem = open(image);
        while let Some(operation) = next(&tree, done.len()) {
            done.push(operation);
            step(&done[done.len() - 1], &mut tree, &mut filesystem);
            if matches!(done.last(), Some(Operation::Reopen)) {
                filesystem = open(image);
            }
        }
        filesystem.flush().unwrap();
        let findings = filesystem.check().unwrap();
        assert!(findings.is_empty(), "our check says {findings:#?}");
        drop(filesystem);
        account::assert_explained(&prepared.image(), image);
        judge(image, &tree, judges);
    }))
}

fn judge(image: &Path, tree: &Tree, judges: Judges) {
    assert_e2fsck_clean(image, 0);
    let expected = compare::expected(tree);
    compare::assert_we_read(&open(image), tree, &expected);
    if judges.debugfs {
        assert_debugfs_shows(image, tree);
    }
    #[cfg(feature = "full-tests")]
    if judges.kernel {
        compare::assert_the_kernel_shows(image, &expected);
    }
    #[cfg(not(feature = "full-tests"))]
    assert!(!judges.kernel, "needs the feature full-tests");
}

/// Makes a change in the engine and in the model; both have to say the same to it.
pub(crate) fn step(operation: &Operation, tree: &mut Tree, filesystem: &mut FileSystem<FileStorage>) {
    let Some(prediction) = operation.predict(tree) else { return };
    let counts = |filesystem: &FileSystem<FileStorage>| {
        (filesystem.superblock().free_blocks(), u64::from(filesystem.superblock().free_inodes()))
    };
    let before = counts(filesystem);
    let result = operation.apply(filesystem);
    let after = counts(filesystem);
    let moved = u64::from(tree.limits.inline_data) * MOVED_BLOCKS;
    let changed = after.1 != before.1 || !(before.0.saturating_sub(moved)..=before.0).contains(&after.0);
    match (prediction, result) {
        (Ok(()), Ok(())) => operation.carry_out(tree),
        (Ok(()), Err(Error::NoSpace { resource, needed, available, .. })) => {
            let (free, enough) = match resource {
                Resource::Blocks => (before.0, before.0 > operation.blocks_at_most(&tree.limits)),
                Resource::Inodes => (before.1, before.1 > 0),
            };
            assert!(!changed, "{operation:?}: refused for lack of space, but the counts are not as before");
            assert!(needed > available, "{operation:?}: {needed} {resource:?} needed, {available} available");
            assert!(available <= free + 8 && !enough, "{operation:?}: {needed} {resource:?} needed, {free} are free");
        }
        (Ok(()), Err(error @ Error::TooLarge { .. })) if operation.may_be_too_large(tree) => {
            assert!(!changed, "{operation:?}: refused ({error}), but the counts are not as before");
        }
        // Two reasons to refuse it: data in an inode found no block to move to.
        (Err(_), Err(error @ Error::NoSpace { .. })) if tree.limits.inline_data && before.0 < MOVED_BLOCKS + 2 => {
            assert!(!changed, "{operation:?}: refused ({error}), but the counts are not as before");
        }
        (Err(refusal), Err(error)) if Refusal::of(&error) == Some(refusal) => {
            assert!(!changed, "{operation:?}: refused ({error}), but the counts are not as before");
        }
        (expected, result) => panic!("{operation:?}: expected {expected:?}, got {result:?}"),
    }
}

/// As few of the operations as still fail, in whichever way.
fn minimise(prepared: &Prepared, image: &Path, operations: Vec<Operation>, judges: Judges) -> Vec<Operation> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let fails = |operations: &[Operation]| {
        let mut next = |_: &Tree, number: usize| operations.get(number).cloned();
        attempt(prepared, image, &mut next, &mut Vec::new(), judges).is_err()
    };
    let mut fewest = operations;
    let mut step = fewest.len().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < fewest.len() {
            let mut without = fewest.clone();
            without.drain(at..(at + step).min(fewest.len()));
            if fails(&without) { fewest = without } else { at += step }
        }
        step /= 2;
    }
    fails(&fewest);
    std::panic::set_hook(hook);
    fewest
}

/// Puts an image where it is found after the test.
fn keep(image: &Path, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("model-failures");
    std::fs::create_dir_all(&folder).unwrap();
    let kept = folder.join(format!("{name}.img"));
    if let Err(error) = std::fs::copy(image, &kept) {
        eprintln!("{}: {error}", kept.display());
    }
    kept
}
