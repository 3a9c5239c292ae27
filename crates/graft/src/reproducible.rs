//! A build that is done twice: the same inputs have to give the same bytes.

use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::Arc;

use guest::diff::{Found, View, diff, differing};
use guest::open_volumes;
use image::Image;
use sha2::{Digest, Sha256};
use storage::{FileStorage, ReadAt};

use crate::commit::write;
use crate::disk::scratch_disk;
use crate::error::Error;
use crate::job::{Job, Planned};
use crate::output::Folder;
use crate::source::OpenedFile;
use crate::watch::Watcher;

/// The most paths that are named.
const MAX_PATHS: usize = 10;

/// How much is compared at a time, in bytes.
const STEP_BYTES: u64 = 1 << 20;

/// Does `job` again, into a file without a name in `folder` and with another number of threads, and compares
/// that with `built`; returns the SHA-256 of both.
///
/// # Errors
///
/// Where they differ: at which byte of the file, and in which part of the disk.
pub(crate) fn verify(job: &Job, built: &File, folder: &Folder, watcher: &Watcher) -> Result<String, Error> {
    watcher.detail("building a second time, to compare");
    // What there is to say was said the first time.
    let silent = Watcher::silent();
    let base = OpenedFile::open(job.base.path())?;
    let planned = Planned::new(job, base.image(job.backing, folder.path(), &silent)?, folder, &silent)?;
    let again = folder.unnamed_file().map_err(incomparable)?;
    let threads = match job.threads.get() {
        1 => NonZeroUsize::MIN.saturating_add(1),
        _ => NonZeroUsize::MIN,
    };
    write(&planned, job, &again, folder, threads, &silent)?;

    let open = |file: &File| file.try_clone().and_then(FileStorage::new).map_err(incomparable);
    let (one, other) = (open(built)?, open(&again)?);
    let (digest, difference) = compare(&one, &other).map_err(incomparable)?;
    let Some(offset) = difference else { return Ok(digest) };
    Err(Error::NotReproducible { path: job.target_name.clone(), offset, place: part(one, other)? })
}

fn incomparable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Compare(Box::new(error))
}

/// The SHA-256 of `one`, and where the first byte is that is not the same in both.
fn compare(one: &dyn ReadAt, other: &dyn ReadAt) -> storage::Result<(String, Option<u64>)> {
    let mut hasher = Sha256::new();
    let mut difference = None;
    let mut buffers = [vec![0; STEP_BYTES as usize], vec![0; STEP_BYTES as usize]];
    let mut at = 0;
    while at < one.size_bytes() {
        let [bytes, theirs] = &mut buffers;
        let bytes = &mut bytes[..(one.size_bytes() - at).min(STEP_BYTES) as usize];
        one.read_at(at, bytes)?;
        hasher.update(&*bytes);
        if difference.is_none() {
            let theirs = &mut theirs[..other.size_bytes().saturating_sub(at).min(bytes.len() as u64) as usize];
            other.read_at(at, theirs)?;
            let same = bytes.iter().zip(&*theirs).take_while(|(byte, their)| byte == their).count();
            difference = (same < bytes.len()).then_some(at + same as u64);
        }
        at += bytes.len() as u64;
    }
    if other.size_bytes() > one.size_bytes() {
        difference = difference.or(Some(one.size_bytes()));
    }
    let digest = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((digest, difference))
}

/// Which part of the disks in two images differs first.
fn part(one: impl ReadAt + 'static, other: impl ReadAt + 'static) -> Result<String, Error> {
    let one = Arc::new(Image::open(one, None).map_err(incomparable)?);
    let other = Image::open(other, None).map_err(incomparable)?;
    let (_, difference) = compare(&one, &other).map_err(incomparable)?;
    let Some(offset) = difference else {
        return Ok("the disks in them are the same: how the file holds the disk differs".to_owned());
    };
    let volumes = open_volumes(&scratch_disk(&one)).map_err(incomparable)?;
    let byte = offset..offset + 1;
    let place = volumes.iter().find(|volume| !volume.within(std::slice::from_ref(&byte)).is_empty());
    let place = place.map_or_else(|| "outside of the partitions".to_owned(), |volume| format!("in {volume}"));
    let place = format!("the disks in them differ first at {offset:#x}, {place}");
    let paths = paths(&one, &Arc::new(other)).map_err(incomparable)?;
    Ok(if paths.is_empty() { place } else { format!("{place}: {}", words::list(paths, "and")) })
}

/// The paths whose files differ on the disks of two images, a few of them, and what differs.
fn paths(one: &Arc<Image>, other: &Arc<Image>) -> Result<Vec<String>, guest::Error> {
    let whole = 0..one.size_bytes().max(other.size_bytes());
    let differing = differing(one, other, std::slice::from_ref(&whole))?;
    let (one, other) = (View::open(scratch_disk(one))?, View::open(scratch_disk(other))?);
    let (mut paths, mut more) = (Vec::new(), 0);
    diff(&one, &other, &differing, &mut |found| {
        if let Found::Path(change) = found {
            match paths.len() {
                0..MAX_PATHS => paths.push(format!("`{}` ({})", change.path, change.what.join(", "))),
                _ => more += 1,
            }
        }
    })?;
    if more > 0 {
        paths.push(format!("{more} more"));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Memory;

    #[test]
    fn the_first_byte_that_differs_is_found() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
        let compared = |other: &[u8]| {
            let (digest, difference) = compare(&Memory::from(bytes.clone()), &Memory::from(other.to_vec())).unwrap();
            // Of `sha256sum`.
            assert_eq!(digest, "4d3870d4655ed773027a713ea136507d22e076248e0e9cc920a996039653b76f");
            difference
        };
        assert_eq!(compared(&bytes), None);
        for at in [0, 1 << 20, (1 << 20) - 1, 2_999_999] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(compared(&other), Some(at as u64));
        }
        assert_eq!(compared(&bytes[..2_000_000]), Some(2_000_000));
        assert_eq!(compared(&[&bytes[..], &[0]].concat()), Some(3_000_000));
    }

    #[test]
    fn where_two_disks_differ_is_told() {
        let mut disk = vec![0; 1 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut other = disk.clone();
        other[0x1234] = 1;
        let told = |other: &[u8]| part(Memory::from(disk.clone()), Memory::from(other.to_vec())).unwrap();
        assert_eq!(told(&other), "the disks in them differ first at 0x1234, in the whole disk");
        assert_eq!(told(&disk), "the disks in them are the same: how the file holds the disk differs");
    }
}
