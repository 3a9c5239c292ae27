//! File systems made by `mkfs.xfs`, and judged by `xfs_repair -n`.

use std::fs::File;
use std::path::{Path, PathBuf};

use storage::FileStorage;
use testkit::judge::judge;
use xfs::{Attributes, FileSystem, Time};

pub(crate) type Disk = FileSystem<FileStorage>;

/// Features, sizes of blocks, of inodes, of sectors and of directories' blocks.
pub(crate) const KINDS: [(&str, &[&str]); 8] = [
    ("as mkfs.xfs makes it", &[]),
    ("every feature", &["-m", "rmapbt=1,reflink=1,bigtime=1,inobtcount=1", "-i", "nrext64=1,sparse=1"]),
    ("few features", &["-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"]),
    ("blocks of 1 KiB", &["-b", "size=1024", "-m", "rmapbt=1"]),
    ("blocks of 64 KiB", &["-b", "size=65536"]),
    ("directories of 16 KiB", &["-n", "size=16384", "-m", "rmapbt=1"]),
    ("large inodes", &["-i", "size=2048"]),
    ("large sectors", &["-s", "size=4096", "-m", "rmapbt=1"]),
];

pub(crate) fn make(folder: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(512 << 20).unwrap();
    judge("mkfs.xfs").arg("-q").args(options).arg(&path).succeed();
    path
}

pub(crate) fn open(path: &Path) -> Disk {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let disk = FileSystem::open(FileStorage::new(file).unwrap()).unwrap();
    assert_eq!(disk.write_refusal(), None, "{}", path.display());
    disk
}

/// `xfs_repair -n` finds nothing.
pub(crate) fn is_sound(path: &Path, what: &str) {
    let verdict = judge("xfs_repair").args(["-n", "-f"]).arg(path).run();
    assert!(verdict.status.success(), "{what}: {verdict}");
}

pub(crate) fn attributes(number: u32) -> Attributes {
    let modified = Time { seconds: 1_700_000_000 + i64::from(number), nanoseconds: number % 1000 * 1_000_000 };
    Attributes { permissions: (number * 7 % 0o1000) as u16, uid: number % 5, gid: number % 7, modified }
}

/// Draws the same numbers for the same seed.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}
