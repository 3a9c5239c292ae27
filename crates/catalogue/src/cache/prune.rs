//! What goes from the cache.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::entry::{is_at, open};
use super::list::names_in;
use super::{Algorithm, Cache, Digest, Error, Listed, ListedPart, NOTE, PART, PART_NOTE};

/// What may go, and what stays in any case.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// What was not used for as long as that.
    pub older_than: Option<Duration>,
    /// What was not used for the longest time, until the rest has no more bytes than that.
    pub larger_than_bytes: Option<u64>,
    /// All of it.
    pub all: bool,
    /// What stays, whatever else is said: what the locks of one's projects name.
    pub keep: BTreeSet<Digest>,
}

/// What went.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// The entries that went.
    pub entries: Vec<Listed>,
    /// The parts that went.
    pub parts: Vec<ListedPart>,
    /// The entries that would have gone if nobody had used them.
    pub in_use: Vec<Listed>,
    /// How many bytes are left.
    pub left_bytes: u64,
}

impl Rule {
    /// Those of `entries`, in the order of [`Listing`](super::Listing), that may go.
    fn select<'a>(&self, entries: &'a [Listed], now: SystemTime) -> Vec<&'a Listed> {
        // What has to stay takes of the room before anything else does.
        let stays = |entry: &&Listed| self.keep.contains(&entry.digest);
        let kept_bytes: u64 = entries.iter().filter(stays).map(|entry| entry.size_bytes).sum();
        let mut room_bytes = self.larger_than_bytes.map(|bytes| bytes.checked_sub(kept_bytes));
        let mut may_go = Vec::new();
        for entry in entries.iter().filter(|entry| !stays(entry)) {
            // Once one does not fit, none that was used longer ago stays in its place.
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
    /// Removes what `rule` says, unless `dry_run`; entries that are in use and parts that grow stay. `now` is what
    /// ages are counted from. A part goes with everything, and when no byte came for as long as the rule says.
    ///
    /// # Errors
    ///
    /// [`Error::File`] where something cannot be read or removed.
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

    /// Removes notes whose files are not there, and half notes: what a process leaves that is killed at the wrong
    /// moment. One that is removed while it is written costs its file one more reading.
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

/// What became of a file that was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// It went, or would have.
    Done,
    /// Somebody has a lock on it.
    InUse,
    /// It had gone before, or has another name now.
    Gone,
}

/// Removes the file at `path` and its `note`, unless somebody uses it.
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
