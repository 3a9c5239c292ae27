//! Images in their containers: an input breaks one, or is one, and everything is asked of what is left.
//!
//! Errors are fine, panics are bugs. And what can be read whole is the same after each conversion.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use flate2::bufread::GzDecoder;
use image::{Compression, Container, Image, NewClusters, Source, UnwrapLimits, WriteOptions};
use storage::{FileStorage, Memory, ReadAt};

use crate::input::Input;

/// The most places of an image that are changed.
const CHANGES_MAX: usize = 16;
/// The most extents that are read, and bytes of each.
const EXTENTS_MAX: usize = 300;
const READ_MAX_BYTES: u64 = 256 << 10;
/// The largest disk that is converted, in bytes.
const CONVERTED_MAX_BYTES: u64 = 1 << 20;
/// The most that a compressed input may become.
const LIMITS: UnwrapLimits = UnwrapLimits { size_bytes: 2 << 20, data_bytes: 1 << 20 };
/// Values at which arithmetic breaks.
const EDGES: [u64; 10] = [0, 1, 0x1ff, 0x200, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, u64::MAX >> 9, u64::MAX];

/// Which container is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// qcow2 of every kind.
    Qcow2,
    /// VMDK: streams, with the directory at their start and at their end, and sparse files.
    Vmdk,
    /// Fixed VHD.
    Vhd,
    /// Compressed files, and archives in them.
    Wrapped,
}

macro_rules! seeds {
    ($($name:literal),*) => { &[$(include_bytes!(concat!("../seeds/", $name, ".gz"))),*] };
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Qcow2, Self::Vmdk, Self::Vhd, Self::Wrapped];

    /// The name of the program, and of the folder of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "image_qcow2",
            Self::Vmdk => "image_vmdk",
            Self::Vhd => "image_vhd",
            Self::Wrapped => "image_wrapped",
        }
    }

    /// The images that are broken.
    fn seeds(self) -> Vec<Vec<u8>> {
        let files: &[&[u8]] = match self {
            Self::Qcow2 => seeds!("qcow2-v2", "qcow2-v3", "qcow2-zstd", "qcow2-extended", "qcow2-snapshot"),
            Self::Vmdk => seeds!("vmdk-stream", "vmdk-sparse"),
            Self::Vhd => seeds!("vhd-fixed", "vhd-dynamic"),
            Self::Wrapped => seeds!("wrapped-gzip", "wrapped-xz", "wrapped-zstd", "wrapped-tar", "wrapped-tar-sparse"),
        };
        let mut seeds: Vec<Vec<u8>> = files.iter().map(|file| unpacked(file)).collect();
        if self == Self::Vmdk {
            // QEMU makes none with its directory at the end.
            let image = Image::open(Memory::from(seeds[0].clone()), None).expect("the seed is sound");
            seeds.push(read_all(&converted(&image, &Container::Vmdk)));
        }
        seeds
    }

    /// Does what `input` says.
    ///
    /// # Panics
    ///
    /// Where there is a bug.
    pub fn run(self, input: &[u8]) {
        static SEEDS: [OnceLock<Vec<Vec<u8>>>; 4] = [const { OnceLock::new() }; 4];
        let seeds = SEEDS[self as usize].get_or_init(|| self.seeds());
        let mut input = Input::new(input);
        let mut file = input.choose(seeds).clone();
        if self == Self::Wrapped && input.byte() == 0xff {
            // The input is the stream itself.
            let magic: &[u8] =
                [&[0x1f, 0x8b, 8][..], b"\xfd7zXZ\0", &[0x28, 0xb5, 0x2f, 0xfd]][input.byte() as usize % 3];
            file = magic.to_vec();
            while !input.is_empty() {
                file.push(input.byte());
            }
        } else {
            break_file(&mut file, &mut input);
        }
        if self == Self::Vhd && input.byte().is_multiple_of(2) {
            sum_footer(&mut file);
        }
        match self {
            Self::Wrapped => unwrap(file),
            _ => ask(file),
        }
    }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut unpacked).expect("the seed is sound");
    unpacked
}

fn read_all(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().expect("the file is there").len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("the file is there");
    bytes
}

/// Changes some places, and may cut the file off or lengthen it.
fn break_file(file: &mut Vec<u8>, input: &mut Input<'_>) {
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            return;
        }
        let how = input.byte();
        // Headers, footers, or anything.
        let (from, span) = match how % 4 {
            0 => (0, 128),
            1 => (file.len().saturating_sub(2048), 2048),
            2 => (0, 4096),
            _ => (0, file.len()),
        };
        let at = from + (usize::from(input.u16()) | usize::from(how >> 6) << 16) % span.max(1);
        let value = match how >> 2 & 3 {
            0 => u64::from(input.byte()),
            1 => *input.choose(&EDGES),
            _ => u64::from(input.u16()) << (input.byte() % 49),
        };
        let bytes = if how & 16 == 0 { value.to_be_bytes() } else { value.to_le_bytes() };
        let (start, length) = match how >> 4 & 3 {
            0 => (7, 1),
            1 => (0, 1),
            2 => (0, 8),
            _ => (0, 4),
        };
        for (place, byte) in file.iter_mut().skip(at).zip(&bytes[start..start + length]) {
            *place = *byte;
        }
        match input.byte() {
            250 => file.truncate(at),
            251 => file.extend_from_within(..at.min(file.len())),
            252 => file.extend([0; 512]),
            _ => {}
        }
    }
}

/// Makes a VHD's checksum right, so that the fuzzer gets behind it.
fn sum_footer(file: &mut [u8]) {
    let Some(from) = file.len().checked_sub(512) else { return };
    let footer = &mut file[from..];
    footer[64..68].fill(0);
    let sum = !footer.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
}

fn unwrap(file: Vec<u8>) {
    let file = Memory::from(file);
    let Some(compression): Option<Compression> = image::compression_of(&file).expect("memory can be read") else {
        return;
    };
    let target = scratch();
    let result = image::unwrap(&file, compression, &target, LIMITS, &|done, total| assert!(done <= total));
    let size_bytes = target.metadata().expect("the file is there").len();
    assert!(size_bytes <= LIMITS.size_bytes);
    if result.is_ok()
        && let Ok(image) = Image::open(FileStorage::new(target).expect("the file is there"), None)
    {
        let _ = read(&image);
    }
}

/// Everything that can be asked of an image.
fn ask(file: Vec<u8>) {
    let Ok(image) = Image::open(Memory::from(file), None) else { return };
    let _ = image.info();
    let findings = image.check();
    let Some(disk) = read(&image) else { return };
    // A disk that can be read can be converted, and does not change by that.
    if findings.is_ok_and(|findings| findings.is_empty()) {
        for container in [Container::Vmdk, Container::Qcow2(image::Qcow2Options::default())] {
            let new = Image::open(FileStorage::new(converted(&image, &container)).expect("it is there"), None);
            let new = new.expect("a new image can be opened");
            assert_eq!(new.check().expect("a new image can be checked"), Vec::new());
            assert!(read(&new).expect("a new image can be read").starts_with(&disk), "{container:?} differs");
        }
    }
}

/// The whole disk, if it is small and can be read.
fn read(image: &Image) -> Option<Vec<u8>> {
    let mut disk = Vec::new();
    let mut at = 0;
    let mut is_whole = image.size_bytes() <= CONVERTED_MAX_BYTES;
    for _ in 0..EXTENTS_MAX {
        if at >= image.size_bytes() {
            return is_whole.then_some(disk);
        }
        let extent = image.extent_at(at).ok()?;
        assert!(extent.length_bytes > 0 && extent.length_bytes <= image.size_bytes() - at);
        let mut part = vec![1; extent.length_bytes.min(READ_MAX_BYTES) as usize];
        if image.read_at(at, &mut part).is_err() {
            is_whole = false;
        }
        let is_zero = part.iter().all(|&byte| byte == 0);
        assert!(!is_whole || extent.kind == storage::ExtentKind::Data || is_zero);
        // What is not looked at here is zeros, or is left out of a large disk.
        if is_whole {
            disk.extend_from_slice(&part);
            at += part.len() as u64;
        } else {
            at += extent.length_bytes;
        }
    }
    None
}

fn converted(image: &Image, container: &Container) -> File {
    let target = scratch();
    let options = WriteOptions { new_clusters: NewClusters::Compressed { level: 1 }, threads: NonZeroUsize::MIN };
    image::convert(&Source::image(image), &target, container, &options, &|_, _| ()).expect("what is read is written");
    target
}

/// An empty file; the same one again in each thread.
fn scratch() -> File {
    thread_local! {
        static FILES: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
    }
    FILES.with_borrow_mut(|files| {
        if files.is_empty() {
            files.push(tempfile::tempfile().expect("files can be made"));
        }
        let file = files[0].try_clone().expect("files can be opened again");
        file.set_len(0).expect("files can be emptied");
        file
    })
}
