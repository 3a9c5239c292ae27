//! The kernel as a judge; for tests that run as root.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::judge::judge;

/// A file system that the kernel has mounted; dropping it unmounts it.
#[derive(Debug)]
pub struct Mount {
    folder: TempDir,
}

impl Mount {
    /// Mounts the file system in the bytes `range` of the raw file `disk`.
    ///
    /// # Panics
    ///
    /// If the kernel cannot mount it.
    pub fn read_only(disk: &Path, range: &Range<u64>) -> Self {
        Self::with_options(disk, &format!("ro,offset={},sizelimit={}", range.start, range.end - range.start))
    }

    /// Mounts the raw file `disk` with these options of mount(8): `rw,compress=zstd`.
    ///
    /// # Panics
    ///
    /// If the kernel cannot mount it.
    pub fn with_options(disk: &Path, options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        judge("mount").arg("-o").arg(format!("loop,{options}")).arg(disk).arg(folder.path()).succeed();
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = || judge("umount").arg(self.folder.path()).run();
        let mut verdict = unmount();
        // A judge that another thread starts has our open files until it has become that program.
        for _ in 0..100 {
            if !verdict.stderr.contains("target is busy") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            verdict = unmount();
        }
        // A second panic while the first unwinds would hide it.
        assert!(verdict.status.success() || std::thread::panicking(), "{verdict}");
    }
}
