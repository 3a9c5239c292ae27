//! Pruning the cache.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::entry::{is_at, open};
use super::list::names_in;
use super::{Algorithm, Cache, Digest, Error, Listed, ListedPart, NOTE, PART, PART_NOTE};

/// What may be removed, and what is kept in any case.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Entries that were not used for this long.
    pub older_than: Option<Duration>,
    /// The entries used longest ago, until the rest has at most this many bytes.
    pub larger_than_bytes: Option<u64>,
    /// Everything.
    pub all: bool,
    /// Entries that are always kept: those in the lock files of the user's projects.
    pub keep: BTreeSet<Digest>,
}

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// The removed entries.
    pub entries: Vec<Listed>,
    /// The removed parts.
    pub parts: Vec<ListedPart>,
    /// The entries that are kept only because they are in use.
    pub in_use: Vec<Listed>,
    /// How many bytes are left.
    pub left_bytes: u64,
}

impl Rule {
    /// The removable ones of `entries`, in the order of [`Listing`](super::Listing).
    fn select<'a>(&self, entries: &'a [Listed], now: SystemTime) -> Vec<&'a Listed> {
        // Entries that must be kept use up the room first.
        let stays = |entry: &&Listed| self.keep.contains(&entry.digest);
        let kept_bytes: u64 = entries.iter().filter(stays).map(|entry| entry.size_bytes).sum();
        let mut room_bytes = self.larger_than_bytes.map(|bytes| bytes.checked_sub(kept_bytes));
        let mut may_go = Vec::new();
        for entry in entries.iter().filter(|entry| !stays(entry)) {
            // After the first entry that does not fit, no older one is kept in its place.
            room_bytes = room_bytes.map(|room| room.and_then(|bytes| bytes.checked_sub(entry.size_bytes)));
            if self.all || room_bytes == Some(None) || self.is_old(entry.used, now) {
                may_go.push(entry);
            }
        }
        may_go
    }

    fn is_old(&self, time: SystemTime, now: SystemTime) -> bool {
        self.older_than.is_some_and(|age| now.duration_since(time).is_ok_and(|passed| passed >= age))
    }
}

impl Cache {
    /// Removes what `rule` selects, unless `dry_run`; entries in use and growing parts are kept. Ages are counted from
    /// `now`. A part is removed with everything, or if no byte arrived for the age in the rule.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if something cannot be read or removed.
    pub fn prune(&self, rule: &Rule, now: SystemTime, dry_run: bool) -> Result<Pruned, Error> {
        let listing = self.list()?;
        let mut pruned = Pruned::default();
        let total_bytes: u64 = listing.entries.iter().map(|entry| entry.size_bytes).sum();
        for entry in rule.select(&listing.entries, now) {
            let note = self.note_path(&entry.digest);
            match remove_unused(&entry.path, &note, dry_run).map_err(Error::of("removing", &entry.path))? {
                Removal::Done => pruned.entries.push(entry.clone()),
                Removal::InUse => pruned.in_use.push(entry.clone()),
                Removal::Gone => {}
            }
        }
        let gone_bytes: u64 = pruned.entries.iter().map(|entry| entry.size_bytes).sum();
        pruned.left_bytes = total_bytes.saturating_sub(gone_bytes);
        for part in listing.parts {
            if !(rule.all || rule.is_old(part.written, now)) || rule.keep.contains(&part.digest) {
                continue;
            }
            let note = self.beside(&part.digest, PART_NOTE);
            let removal = remove_unused(&part.path, &note, dry_run).map_err(Error::of("removing", &part.path))?;
            if removal == Removal::Done {
                pruned.parts.push(part);
            }
        }
        if !dry_run {
            self.remove_orphans()?;
        }
        Ok(pruned)
    }

    /// Removes notes without files, and half notes: a process that is killed at the wrong moment
    /// leaves them. If one is removed while it is written, its file is read once more.
    fn remove_orphans(&self) -> Result<(), Error> {
        for algorithm in Algorithm::ALL {
            let folder = self.folder.join(algorithm.name());
            for name in names_in(&folder).map_err(Error::of("reading", &folder))? {
                let Some((file, ending)) = name.split_once(NOTE) else { continue };
                let hex = file.strip_suffix(PART).unwrap_or(file);
                let is_ours = Digest::from_hex(algorithm, hex).is_ok()
                    && (ending.is_empty() || ending.strip_prefix('.').is_some_and(|id| id.parse::<u32>().is_ok()));
                if is_ours && !(ending.is_empty() && folder.join(file).exists()) {
                    let _ = fs::remove_file(folder.join(&name));
                }
            }
        }
        Ok(())
    }
}

/// What happened to a file that should be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// It was removed, or would have been.
    Done,
    /// A process holds a lock on it.
    InUse,
    /// It was gone already, or has been renamed.
    Gone,
}

/// Removes the file at `path` and its `note`, unless it is in use.
fn remove_unused(path: &Path, note: &Path, dry_run: bool) -> io::Result<Removal> {
    let Some(file) = open(path)? else { return Ok(Removal::Gone) };
    if !lock(&file)? {
        return Ok(Removal::InUse);
    }
    if !is_at(&file, path)? {
        return Ok(Removal::Gone);
    }
    if !dry_run {
        fs::remove_file(path)?;
        let _ = fs::remove_file(note);
    }
    Ok(Removal::Done)
}

fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        // Where there are no locks, nobody has one.
        Err(rustix::io::Errno::NOLCK | rustix::io::Errno::OPNOTSUPP) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
