//! `qemu-img`, random disks, and writing a new file.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod in_place;

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use image::{Image, NewClusters, WriteOptions, Written};
use storage::{Extended, ExtentKind, FileStorage, Overlay, ReadAt, WriteAt};

/// Runs `qemu-img`, which has to succeed.
pub fn qemu_img(arguments: &[&str]) -> String {
    let (ok, text) = qemu_img_says(arguments);
    assert!(ok, "qemu-img {}: {text}", arguments.join(" "));
    text
}

#[expect(clippy::disallowed_methods, reason = "the judge is another program")]
pub fn qemu_img_says(arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new("qemu-img").args(arguments).output().expect("qemu-img is needed");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Runs `qemu-io` with these commands on an image, which all have to succeed.
#[expect(clippy::disallowed_methods, reason = "the judge is another program")]
pub fn qemu_io(image: &str, commands: &[String]) {
    let mut program = std::process::Command::new("qemu-io");
    for command in commands {
        program.args(["-c", command]);
    }
    let output = program.arg(image).output().expect("qemu-io is needed");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let is_content = output.status.success() && !text.contains("failed") && !text.contains("rror");
    assert!(is_content, "qemu-io {commands:?} {image}: {text}");
}

/// SplitMix64: the same bytes on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Noise, text or zeros.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        match self.below(4) {
            0 => bytes.fill(0),
            1 => bytes.iter_mut().for_each(|byte| *byte = self.next() as u8),
            _ => {
                let words: [&[u8]; 6] = [b"graft ", b"image ", b"/usr/lib/", b"\x7fELF", b"\0\0\0\0\0\0\0\0", b"e\n"];
                let mut at = 0;
                while at < bytes.len() {
                    let word = words[self.below(6) as usize];
                    let length = word.len().min(bytes.len() - at);
                    bytes[at..at + length].copy_from_slice(&word[..length]);
                    at += length;
                }
            }
        }
    }

    /// A disk of pieces of many sizes, with a boot sector's signature.
    pub fn disk(&mut self, size: usize) -> Vec<u8> {
        let mut disk = vec![0; size];
        let mut at = 0;
        while at < size {
            let length = (1usize << self.below(17)) + self.below(3000) as usize;
            let end = (at + length).min(size);
            self.fill(&mut disk[at..end]);
            at = end;
        }
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk
    }
}

pub fn path_in(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.to_str().unwrap().to_string();
    (path, text)
}

pub fn open(path: &Path) -> Image {
    Image::open(FileStorage::new(File::open(path).unwrap()).unwrap(), None).unwrap()
}

/// A gate that opens whatever is named, in this folder.
pub struct Folder(pub PathBuf);

impl image::Gate for Folder {
    fn open(&self, file: &image::BackingName) -> Result<image::Opened, Box<dyn std::error::Error + Send + Sync>> {
        let storage = FileStorage::new(File::open(self.0.join(&file.name))?)?;
        Ok(image::Opened { file: std::sync::Arc::new(storage), gate: Box::new(Self(self.0.clone())) })
    }
}

/// Opens an image and everything under it.
pub fn open_chain(path: &Path) -> Result<Image, image::Error> {
    let gate = Folder(path.parent().unwrap().to_owned());
    let options = image::OpenOptions { format: None, gate: Some(&gate) };
    Image::open_with(FileStorage::new(File::open(path).unwrap()).unwrap(), &options)
}

pub fn read_all(storage: &dyn ReadAt) -> Vec<u8> {
    let mut bytes = vec![0; storage.size_bytes() as usize];
    storage.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The progress that was told of: it never goes back, and ends at its total, which stays the same.
#[derive(Default)]
pub struct Seen {
    last: Mutex<Option<(u64, u64)>>,
}

impl Seen {
    pub fn tell(&self, done: u64, total: u64) {
        let mut last = self.last.lock().unwrap();
        let (before, same) = last.unwrap_or((0, total));
        assert!(before <= done && done <= total && total == same, "{last:?}, then {done} of {total}");
        *last = Some((done, total));
    }

    pub fn assert_ended(&self) {
        let (done, total) = self.last.lock().unwrap().expect("progress is told of");
        assert_eq!(done, total, "progress ends at the end");
    }
}

/// Converts and returns the counts.
pub fn converted(
    source: &image::Source<'_>,
    container: &image::Container,
    path: &Path,
    to: (NewClusters, usize),
) -> Written {
    let target = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    let options = WriteOptions { new_clusters: to.0, threads: NonZeroUsize::new(to.1).unwrap() };
    let seen = Seen::default();
    let written = image::convert(source, &target, container, &options, &|done, total| seen.tell(done, total)).unwrap();
    seen.assert_ended();
    assert_eq!(target.metadata().unwrap().len(), written.file_size_bytes);
    written
}

pub fn written(
    base: &Image,
    disk: &dyn ReadAt,
    changed: &[Range<u64>],
    path: &Path,
    to: (NewClusters, usize),
) -> Written {
    let target = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    let options = WriteOptions { new_clusters: to.0, threads: NonZeroUsize::new(to.1).unwrap() };
    let seen = Seen::default();
    let written = image::write(base, disk, changed, &target, &options, &|done, total| seen.tell(done, total)).unwrap();
    seen.assert_ended();
    assert_eq!(target.metadata().unwrap().len(), written.file_size_bytes);
    written
}

/// The disk has the expected bytes, read at once, in odd pieces, and extent by extent.
pub fn assert_reads_as(image: &Image, disk: &[u8], random: &mut Random) {
    assert_eq!(image.size_bytes(), disk.len() as u64);
    assert!(read_all(image) == disk, "the whole disk differs");
    for _ in 0..40 {
        let at = random.below(disk.len() as u64) as usize;
        let length = (random.below(200_000) as usize).min(disk.len() - at);
        let mut bytes = vec![1; length];
        image.read_at(at as u64, &mut bytes).unwrap();
        assert!(bytes == disk[at..at + length], "{length} bytes at {at} differ");
    }
    let mut at = 0;
    while at < disk.len() {
        let extent = image.extent_at(at as u64).unwrap();
        let end = at + extent.length_bytes as usize;
        assert!(extent.kind == ExtentKind::Data || disk[at..end].iter().all(|&byte| byte == 0));
        at = end;
    }
}

/// Random edits of `disk`: of whole clusters, of parts, of noise, text and zeros; sometimes it becomes larger.
pub fn edited(base: &Arc<Image>, disk: &mut Vec<u8>, random: &mut Random) -> Overlay<Extended<Arc<Image>>> {
    if random.below(2) == 0 {
        let length = disk.len() + random.below(6000) as usize * 512;
        disk.resize(length.next_multiple_of(512), 0);
    }
    let extended = Extended::new(Arc::clone(base), disk.len() as u64);
    let overlay = Overlay::new(extended, 1 << 20, Box::new(tempfile::tempfile));
    for _ in 0..random.below(12) {
        let at = random.below(disk.len() as u64) as usize;
        let length = (1usize << random.below(19)).min(disk.len() - at);
        random.fill(&mut disk[at..at + length]);
        overlay.write_at(at as u64, &disk[at..at + length]).unwrap();
    }
    overlay
}
