//! What `qcow2_edit` does with an input: it breaks a sound image, edits what is left in place, and repairs it.
//!
//! Errors are fine, panics are bugs. An image in which the check found nothing has nothing wrong with it after an
//! edit, and its disk is the edited one; an edit that fails leaves the old image; and what a repair leaves has
//! nothing wrong but for the compressed bytes.

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Arc;

use image::{Error, Image, NewClusters, WriteOptions};
use storage::{Event, Extended, Memory, Overlay, ReadAt, Recorder, WriteAt};

use super::input::Input;

/// The most changes of the file that an input makes before the image is opened.
const MAX_CHANGES: u8 = 12;
/// The most writes that an edit consists of.
const MAX_WRITES: u8 = 6;
/// The most bytes of the disk that are compared.
const MAX_COMPARED_BYTES: u64 = 1 << 20;
/// How much of an edit is kept: more than there can be.
const OVERLAY_BYTES: u64 = 64 << 20;

macro_rules! images {
    ($($name:literal),*) => {
        [$(include_bytes!(concat!("../seeds/qcow2-", $name, ".gz"))),*]
    };
}

/// Sound images, packed.
const SEEDS: [&[u8]; 6] = images!("v2", "v3", "zstd", "snapshot", "extended", "narrow");

/// Does what `input` says.
///
/// # Panics
///
/// Where there is a bug.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let bytes = broken(&mut input);
    let Ok(image) = Image::open(Memory::from(bytes.clone()), None) else { return };
    let before = image.check();
    let was_sound = before.is_ok_and(|findings| findings.is_empty());
    let edited = edit(Arc::new(image), &bytes, was_sound, &mut input);
    repair(edited);
}

/// A seed, with changes in the structures that its header and its tables name.
fn broken(input: &mut Input<'_>) -> Vec<u8> {
    let packed = SEEDS[usize::from(input.byte()) % SEEDS.len()];
    let mut bytes = Vec::new();
    let read = flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes);
    assert!(read.is_ok(), "a seed is sound");
    let structures = structures(&bytes);
    let changes = input.byte() % (MAX_CHANGES + 1);
    for _ in 0..changes {
        let (start, length) = *input.choose(&structures);
        let at = start + usize::from(input.u16()) % length;
        let number = at / 8 * 8;
        match input.byte() % 6 {
            0 => bytes[at] ^= 1 << (input.byte() % 8),
            1 => bytes[at] = input.byte(),
            // Another structure's place, as most numbers are one.
            2 => {
                let (other, _) = *input.choose(&structures);
                set(&mut bytes, number, other as u64 | u64::from(input.byte() & 1) << 63);
            }
            3 => set(&mut bytes, number, 0),
            4 => set(&mut bytes, number, u64::from(input.u16()) << 9 | u64::from(input.byte() & 3) << 62),
            _ => bytes.truncate(at.max(512)),
        }
        if bytes.len() < structures.iter().map(|(start, length)| start + length).max().unwrap_or(0) {
            break;
        }
    }
    bytes
}

/// Where the structures of a sound image are, and how long: header, L1 table, L2 tables, refcount table, refcount
/// blocks, snapshot table.
fn structures(bytes: &[u8]) -> Vec<(usize, usize)> {
    let cluster = 1usize << bytes[23];
    let place = |number: u64| (number & 0x00ff_ffff_ffff_fe00) as usize;
    let (l1, table, snapshots) = (number(bytes, 40) as usize, number(bytes, 48) as usize, number(bytes, 64) as usize);
    let l1_bytes = (number(bytes, 32) as u32 as usize * 8).max(8);
    let mut found = vec![(0, 112), (l1, l1_bytes), (table, cluster.min(64))];
    let below = (l1..l1 + l1_bytes).chain(table..table + cluster).step_by(8).map(|at| place(number(bytes, at)));
    found.extend(
        below.filter(|&offset| offset != 0 && offset + cluster <= bytes.len()).map(|at| (at, cluster.min(2048))),
    );
    if snapshots != 0 {
        found.push((snapshots, 64));
    }
    found.retain(|(start, length)| start + length <= bytes.len());
    found
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn set(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

/// Edits the image in place, and gives the bytes of its file afterwards.
fn edit(image: Arc<Image>, bytes: &[u8], was_sound: bool, input: &mut Input<'_>) -> Vec<u8> {
    let size = image.size_bytes();
    let more = if input.byte().is_multiple_of(4) { u64::from(input.u16()) * 512 } else { 0 };
    let disk = Extended::new(Arc::clone(&image), size.saturating_add(more));
    let overlay = Overlay::new(disk, OVERLAY_BYTES, Box::new(|| Err(std::io::ErrorKind::Unsupported.into())));
    for _ in 0..input.byte() % (MAX_WRITES + 1) {
        let size = overlay.size_bytes();
        // Anywhere, however large the disk claims to be.
        let at = ((u128::from(size) * u128::from(input.u16())) >> 16) as u64;
        let length = (u64::from(input.byte()) * 97).min(size - at) as usize;
        let byte = input.byte();
        let data: Vec<u8> =
            (0..length).map(|index| if byte < 128 { byte } else { (index as u8).wrapping_mul(byte) }).collect();
        // The rest of a block that it is in may be broken.
        let _ = overlay.write_at(at, &data);
    }
    let new_clusters = match input.byte() % 3 {
        0 => NewClusters::Plain,
        level => NewClusters::Compressed { level: level.into() },
    };
    let options = WriteOptions { new_clusters, threads: NonZeroUsize::MIN };
    let changed = overlay.changed();
    let target = Recorder::from(bytes.to_vec());
    let result = image::edit(&image, &overlay, &changed, &target, &options, &|_, _| ());
    let after = target.bytes();
    match result {
        Ok(edited) => {
            assert_eq!(edited.file_size_bytes, after.len() as u64);
            assert_edited(&overlay, &changed, &after, was_sound);
        }
        Err(error) => {
            assert!(!matches!(error, Error::Undecided(_)), "{error}");
            let header = |event: &Event| matches!(event, Event::Write { offset, .. } if *offset < 512);
            assert!(!target.events().iter().any(header), "the header was written in spite of an error: {error}");
            assert_eq!(after.len(), bytes.len());
            let old = Image::open(Memory::from(after.clone()), None).and_then(|image| image.check());
            assert!(!was_sound || old.is_ok_and(|findings| findings.is_empty()), "the old image suffered: {error}");
        }
    }
    after
}

/// The image in the file is the edited one, and as sound as it was.
fn assert_edited(disk: &dyn ReadAt, changed: &[std::ops::Range<u64>], after: &[u8], was_sound: bool) {
    let new = match Image::open(Memory::from(after.to_vec()), None) {
        Ok(new) => new,
        Err(error) => panic!("the edited image cannot be opened: {error}"),
    };
    assert_eq!(new.size_bytes(), disk.size_bytes());
    for range in changed {
        let length = (range.end - range.start).min(MAX_COMPARED_BYTES) as usize;
        let (mut expected, mut found) = (vec![0; length], vec![1; length]);
        if disk.read_at(range.start, &mut expected).is_ok() {
            let read = new.read_at(range.start, &mut found);
            assert!(read.is_ok() && found == expected, "the disk at {:#x} is another one: {read:?}", range.start);
        }
    }
    if was_sound {
        let findings = new.check();
        assert!(findings.as_ref().is_ok_and(Vec::is_empty), "the edited image is not sound: {findings:?}");
    }
}

/// Repairs the image in the file: it may have been broken in ways that an edit leaves alone.
fn repair(bytes: Vec<u8>) {
    let Ok(image) = Image::open(Memory::from(bytes.clone()), None) else { return };
    let target = Recorder::from(bytes);
    if image::repair(&image, &target).is_err() {
        return;
    }
    let findings = Image::open(Memory::from(target.bytes()), None).and_then(|image| image.check());
    let Ok(findings) = findings else { panic!("the repaired image cannot be opened: {findings:?}") };
    // What is compressed is data.
    let left: Vec<_> = findings.iter().filter(|finding| !finding.object.starts_with("compressed cluster")).collect();
    assert!(left.is_empty(), "the repaired image is not sound: {left:?}");
}
