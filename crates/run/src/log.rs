//! What a command says, kept on the host if it fails.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The most that is kept, in bytes.
const LIMIT_BYTES: u64 = 64 << 20;
/// How many names are tried.
const MAX_ATTEMPTS: u32 = 1000;

/// A log that has no name until somebody wants to keep it.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    step: String,
    text: Vec<u8>,
    file: Option<File>,
    written_bytes: u64,
}

/// How much is held in memory, in bytes.
const MEMORY_BYTES: usize = 1 << 20;

impl Log {
    pub(crate) fn new(folder: &Path, step: &str) -> Self {
        Self { folder: folder.to_owned(), step: step.to_owned(), text: Vec::new(), file: None, written_bytes: 0 }
    }

    /// Adds what a command said. A log that cannot be written is none: the command goes on.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let room = LIMIT_BYTES.saturating_sub(self.written_bytes).min(bytes.len() as u64) as usize;
        self.written_bytes += room as u64;
        self.text.extend_from_slice(&bytes[..room]);
        if self.text.len() > MEMORY_BYTES {
            let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            let file = self.file.take().or_else(|| rustix::fs::open(&self.folder, flags, mode).ok().map(File::from));
            if let Some(mut file) = file
                && file.write_all(&self.text).is_ok()
            {
                self.text.clear();
                self.file = Some(file);
            }
        }
    }

    /// Gives the log a name of its own in its folder, and returns the path.
    pub(crate) fn keep(mut self) -> Option<PathBuf> {
        if self.written_bytes == 0 {
            return None;
        }
        let step: String =
            self.step.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let step = step.chars().take(40).collect::<String>();
        for attempt in 0..MAX_ATTEMPTS {
            let number = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let path = self.folder.join(format!("imgraft-{}{number}.log", step.trim_matches('-')));
            match File::create_new(&path) {
                Ok(mut file) => {
                    if let Some(mut earlier) = self.file.take() {
                        let mut text = Vec::new();
                        earlier.rewind().ok()?;
                        earlier.read_to_end(&mut text).ok()?;
                        file.write_all(&text).ok()?;
                    }
                    file.write_all(&self.text).ok()?;
                    return Some(path);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(_) => return None,
            }
        }
        None
    }
}
