//! Files and folders with names that have to go when the program is stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

static LEFT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static BEFORE: OnceLock<fn()> = OnceLock::new();

/// Has `prepare` called before each leftover is made, for a program that calls [`remove_all`] when a signal ends it and
/// waits for signals only if it has to. Only the first call has an effect.
pub fn before_leftovers(prepare: fn()) {
    BEFORE.get_or_init(|| prepare);
}

/// A file or a folder that is removed when this is dropped, and by [`remove_all`].
#[derive(Debug)]
pub struct Leftover {
    path: PathBuf,
}

impl Leftover {
    /// Makes a file or a folder with `make`, and takes charge of it: there is no moment in which it
    /// is there and [`remove_all`] would not find it.
    ///
    /// # Errors
    ///
    /// What `make` says.
    pub fn make<T>(make: impl FnOnce() -> io::Result<(T, PathBuf)>) -> io::Result<(T, Self)> {
        if let Some(prepare) = BEFORE.get() {
            prepare();
        }
        let mut left = all();
        let (made, path) = make()?;
        left.push(path.clone());
        Ok((made, Self { path }))
    }

    /// The file stays: it has another name now.
    pub fn keep(self) {
        self.forget(&mut all());
        std::mem::forget(self);
    }

    fn forget(&self, left: &mut Vec<PathBuf>) {
        left.retain(|other| *other != self.path);
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        // Not while `remove_all` removes it: one of the two would stop halfway.
        let mut left = all();
        remove(&self.path);
        self.forget(&mut left);
    }
}

/// Removes all leftovers, for a program that a signal ends. From then on no other can be made: whoever tries waits
/// until the program is gone.
pub fn remove_all() {
    let left = all();
    left.iter().for_each(|path| remove(path));
    std::mem::forget(left);
}

/// As [`remove_all`], for a program that ends in a panic, which may have come while a leftover was made.
pub fn remove_all_in_panic() {
    match LEFT.try_lock() {
        Ok(left) => left.iter().for_each(|path| remove(path)),
        Err(TryLockError::Poisoned(left)) => left.into_inner().iter().for_each(|path| remove(path)),
        // The panic is in what is being made, which is not there yet.
        Err(TryLockError::WouldBlock) => {}
    }
}

fn all() -> MutexGuard<'static, Vec<PathBuf>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nothing can be done about what does not go.
fn remove(path: &Path) {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let _ = if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_goes() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            Leftover::make(|| Ok((std::fs::create_dir(&path)?, path.clone()))).unwrap().1
        };
        let (one, other) = (make("one"), make("other"));
        std::fs::write(folder.path().join("other/inside"), "x").unwrap();
        one.keep();
        drop(other);
        assert!(folder.path().join("one").exists() && !folder.path().join("other").exists());
    }
}
