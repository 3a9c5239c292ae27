//! What has to go when the user gives up: files that could not be without a name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use signal_hook::consts::TERM_SIGNALS;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static WATCH: Once = Once::new();

/// A file or a folder that is removed when this is dropped, and when the user stops the program.
#[derive(Debug)]
pub(crate) struct Leftover {
    path: PathBuf,
}

impl Leftover {
    /// Makes a file or a folder with `make`, and takes charge of it: there is no moment in which it
    /// is there and would stay.
    ///
    /// # Errors
    ///
    /// What `make` says.
    pub(crate) fn make<T>(make: impl FnOnce() -> io::Result<(T, PathBuf)>) -> io::Result<(T, Self)> {
        // Without it, a signal leaves the file behind, and nothing else is wrong.
        WATCH.call_once(|| drop(watch()));
        let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, path) = make()?;
        paths.push(path.clone());
        Ok((made, Self { path }))
    }

    /// The file stays: it has another name now.
    pub(crate) fn keep(self) {
        self.forget();
        std::mem::forget(self);
    }

    fn forget(&self) {
        PATHS.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.path);
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        remove(&self.path);
        self.forget();
    }
}

/// Waits for the signals that end a program, removes what is left, and ends it.
fn watch() -> io::Result<()> {
    let mut signals = Signals::new(TERM_SIGNALS)?;
    std::thread::Builder::new().name("leftovers".to_owned()).spawn(move || {
        for signal in signals.forever() {
            // Not given back: nothing is to be made any more.
            let paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
            paths.iter().for_each(|path| remove(path));
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
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
