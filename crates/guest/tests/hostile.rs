//! A guest on a damaged disk: whatever the bytes are, nothing panics, hangs or takes all memory.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{Attributes, FileKind, Guest, GuestPath, LastLink, Time, open_volumes};
use storage::{FileStorage, Overlay, ReadAt, WriteAt};
use testkit::fixture::{Format, Options, small_cloud_image};
use testkit::partition::partition_range;

/// How many damaged disks are looked at, and for how long at most.
const ROUNDS: u64 = 300;
const TIME: Duration = Duration::from_secs(20);
/// How many files of each are looked at.
const MAX_FILES: usize = 400;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Walks through the guest, reads what there is, and edits it.
fn use_guest(mut guest: Guest) {
    let _ = (guest.operating_system(), guest.packages(), guest.user_names(), guest.group_names());
    let mut pending = vec![GuestPath::root()];
    let mut count = 0;
    while let Some(path) = pending.pop() {
        for entry in guest.read_directory(&path).unwrap_or_default() {
            count += 1;
            if count > MAX_FILES {
                break;
            }
            let Ok(child) = path.join(&entry.name) else { continue };
            let Ok(found) = guest.find(&child, LastLink::Keep) else { continue };
            let size_bytes = guest.metadata(&found.node).map_or(0, |metadata| metadata.size_bytes);
            match entry.kind {
                FileKind::Directory => pending.push(child),
                // A damaged size may be anything; holes are read like data.
                FileKind::Regular if size_bytes < 1 << 20 => drop(guest.read_to(&child, &mut std::io::sink())),
                FileKind::Symlink => drop((guest.read_link(&child), guest.find(&child, LastLink::Follow))),
                _ => {}
            }
        }
    }
    let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
    for name in ["/etc/new", "/boot/new", "/boot/efi/new", "/usr/share/many/new"] {
        let path: GuestPath = name.parse().unwrap();
        let _ = guest.create_directory(&path, &attributes);
        let Ok(file) = path.join(b"file") else { continue };
        let _ = guest.create_file(&file, &attributes, 9000, &mut &[7u8; 9000][..]);
        let _ = guest.remove_file(&file);
    }
    let _ = guest.flush();
}

#[test]
fn damaged_disks_are_survived() {
    let image = small_cloud_image(&Options { format: Format::Raw, ..Options::default() });
    // Where the structures are: tables, super blocks, descriptors, bitmaps, inodes and directories.
    let table = 0..64 << 10;
    let mut ranges = Vec::from([table]);
    for number in [1, 15, 16] {
        let range = partition_range(&image, number);
        ranges.push(range.start..range.start + (4 << 20));
        ranges.push(range.start..range.start + 4096);
    }
    let start = Instant::now();
    let mut opened = 0;
    for round in 1..=ROUNDS {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let file = FileStorage::new(File::open(&image).unwrap()).unwrap();
        let spill = Box::new(|| Err(std::io::ErrorKind::Unsupported.into()));
        let disk: Arc<dyn WriteAt> = Arc::new(Overlay::new(file, 64 << 20, spill));
        for _ in 0..=random.below(40) {
            let range = &ranges[random.below(ranges.len() as u64) as usize];
            let offset = range.start + random.below(range.end - range.start);
            let mut byte = [0];
            disk.read_at(offset, &mut byte).unwrap();
            let bytes = [byte[0] ^ (1 << random.below(8)), random.below(256) as u8, 0xff, 0];
            let length = 1 + random.below(4) as usize;
            disk.write_at(offset, &bytes[..length]).unwrap();
        }
        for volume in open_volumes(&disk).unwrap_or_default() {
            let _ =
                volume.file_system().map(|file_system| (file_system.check().is_ok(), file_system.free_space().is_ok()));
        }
        if let Ok(guest) = Guest::open(disk) {
            opened += 1;
            use_guest(guest);
        }
        if start.elapsed() > TIME {
            break;
        }
    }
    assert!(opened > 0, "no damaged disk was looked into");
}
