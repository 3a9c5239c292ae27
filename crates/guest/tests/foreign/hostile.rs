//! Mutated file systems whose checksums are right: what a checksum would have kept away reaches the code after it.
//! Whatever the bytes are, nothing panics, hangs or takes all memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use guest::{FileKind, FileSystem};
use storage::{FileStorage, Overlay, WriteAt};

use crate::built::confined;

/// Finds the metadata of a kind.
type Find = fn(&[u8]) -> Vec<Piece>;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A piece of metadata with a checksum of its own: where it is, its length, and where its checksum is in it.
struct Piece {
    offset: u64,
    length: usize,
    checksum: Checksum,
}

#[derive(Clone, Copy)]
enum Checksum {
    /// CRC-32C over all of it, with zeros in the place of the checksum.
    Within(usize),
    /// CRC-32C of what follows the first 32 bytes, which have it.
    Before,
}

fn seal(bytes: &mut [u8], checksum: Checksum) {
    match checksum {
        Checksum::Within(at) => {
            bytes[at..at + 4].fill(0);
            let crc = crc32c::crc32c(bytes);
            bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
        Checksum::Before => {
            let crc = crc32c::crc32c(&bytes[32..]);
            bytes[..32].fill(0);
            bytes[..4].copy_from_slice(&crc.to_le_bytes());
        }
    }
}

/// The metadata of an XFS of version 5, by the magic numbers of its blocks.
fn xfs_pieces(disk: &[u8]) -> Vec<Piece> {
    let block = u32::from_be_bytes(disk[4..8].try_into().unwrap()) as usize;
    let inode = usize::from(u16::from_be_bytes([disk[104], disk[105]]));
    let mut pieces = Vec::new();
    for offset in (0..disk.len()).step_by(512) {
        let bytes = &disk[offset..offset + 512];
        let in_block = |at| (offset % block == 0).then_some((block, at));
        let found = match (&bytes[..4], &bytes[8..10]) {
            (b"XFSB", _) => Some((512, 224)),
            (b"XAGF", _) => Some((512, 216)),
            (b"XAGI", _) => Some((512, 312)),
            (b"XDB3" | b"XDD3" | b"XDF3", _) => in_block(4),
            (b"BMA3", _) => in_block(64),
            (b"XSLM" | b"XARM", _) => in_block(12),
            ([b'I', b'N', ..], _) if offset % inode == 0 => Some((inode, 100)),
            // Leaves and nodes of directories and of attributes.
            (_, [0x3d, 0xf1 | 0xff] | [0x3b, 0xee] | [0x3e, 0xbe]) => in_block(12),
            _ => None,
        };
        pieces.extend(found.map(|(length, at)| Piece {
            offset: offset as u64,
            length,
            checksum: Checksum::Within(at),
        }));
    }
    pieces
}

/// The superblock of a btrfs, and the nodes of its trees, which have its UUID.
fn btrfs_pieces(disk: &[u8]) -> Vec<Piece> {
    const SUPERBLOCK: usize = 64 << 10;
    let node = u32::from_le_bytes(disk[SUPERBLOCK + 148..SUPERBLOCK + 152].try_into().unwrap()) as usize;
    let uuid = &disk[SUPERBLOCK + 32..SUPERBLOCK + 48];
    let mut pieces = vec![Piece { offset: SUPERBLOCK as u64, length: 4096, checksum: Checksum::Before }];
    for offset in (0..disk.len() - node).step_by(4096) {
        if offset != SUPERBLOCK && &disk[offset + 32..offset + 48] == uuid {
            pieces.push(Piece { offset: offset as u64, length: node, checksum: Checksum::Before });
        }
    }
    pieces
}

/// Changes some fields of some pieces.
fn mutate(disk: &dyn WriteAt, pieces: &[Piece], random: &mut Random) {
    let mut changed: BTreeMap<u64, (Vec<u8>, Checksum)> = BTreeMap::new();
    for _ in 0..=random.below(3) {
        // The first ones are those on which everything rests.
        let among = if random.below(4) == 0 { pieces.len().min(8) } else { pieces.len() };
        let piece = &pieces[random.below(among)];
        let (bytes, _) = changed.entry(piece.offset).or_insert_with(|| {
            let mut bytes = vec![0; piece.length];
            disk.read_at(piece.offset, &mut bytes).unwrap();
            (bytes, piece.checksum)
        });
        for _ in 0..=random.below(3) {
            let length = [1, 2, 4, 8][random.below(4)];
            let near = if random.below(2) == 0 { piece.length.min(512) } else { piece.length };
            let at = random.below(near - length);
            let value = match random.below(6) {
                0 => 0,
                1 => u64::MAX,
                2 => 1 << random.below(64),
                3 => random.next(),
                4 => u64::from(bytes[at]) + 1,
                _ => i64::MAX as u64,
            };
            bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
        }
    }
    for (offset, (mut bytes, checksum)) in changed {
        seal(&mut bytes, checksum);
        disk.write_at(offset, &bytes).unwrap();
    }
}

/// Reads what there is, but of each file and of all files only a part: a size may say anything.
fn read_all(file_system: &dyn FileSystem) {
    let mut pending = vec![file_system.root()];
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..3000 {
        let Some(node) = pending.pop() else { return };
        let Ok(metadata) = file_system.metadata(&node) else { continue };
        let _ = (file_system.xattrs(&node), file_system.extras(&node));
        match metadata.kind {
            FileKind::Directory => {
                let _ = file_system.lookup(&node, b"a name of some length 7");
                let children = file_system.children(&node).unwrap_or_default();
                pending.extend(children.into_iter().map(|child| child.node));
            }
            FileKind::Regular => {
                let _ = file_system.content_extents(&node);
                for offset in [0, metadata.size_bytes / 2, metadata.size_bytes.saturating_sub(1)] {
                    let _ = file_system.read_at(&node, offset, &mut buffer);
                }
            }
            FileKind::Symlink => drop(file_system.read_link(&node)),
            _ => {}
        }
    }
}

/// Mutates the file system in the file at `path`, and reads what has become of it.
fn survive(path: &Path, find: Find, [few, many, most]: [u64; 3]) {
    let pieces = find(&fs::read(path).unwrap());
    assert!(pieces.len() > 30, "only {} pieces of metadata were found", pieces.len());
    let rounds = testkit::rounds(cfg!(feature = "full-tests"), [few, many, most]);
    let mut opened = 0;
    for round in 1..=rounds {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let file = FileStorage::new(File::open(path).unwrap()).unwrap();
        let disk = Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))));
        mutate(&disk, &pieces, &mut random);
        if let Some(file_system) = crate::volume(disk).file_system() {
            opened += 1;
            read_all(file_system);
        }
    }
    assert!(opened > rounds / 2, "only {opened} of {rounds} could be opened");
}

const ROUNDS: [u64; 3] = [60, 400, 10_000];

#[test]
fn mutated_xfs() {
    confined("hostile::mutated_xfs", || {
        let folder = tempfile::tempdir().unwrap();
        survive(&crate::made::xfs(folder.path(), &[]), xfs_pieces, ROUNDS);
    });
}

#[test]
fn mutated_btrfs() {
    confined("hostile::mutated_btrfs", || {
        let folder = tempfile::tempdir().unwrap();
        survive(&crate::made::btrfs(folder.path(), &["-n", "4096"]), btrfs_pieces, ROUNDS);
    });
}

/// With what only the kernel makes: block maps that are trees, attributes in all forms, compressed extents.
#[cfg(feature = "full-tests")]
#[test]
fn mutated_file_systems_of_the_kernel() {
    use testkit::judge::judge;
    use testkit::mount::Mount;

    confined("hostile::mutated_file_systems_of_the_kernel", || {
        let kinds: [(&str, &[&str], &str, Find); 2] = [
            ("xfs", &["-d", "agcount=2"], "rw", xfs_pieces),
            ("btrfs", &["-M", "-n", "4096"], "rw,compress-force=zstd", btrfs_pieces),
        ];
        for (kind, options, mount, find) in kinds {
            let folder = tempfile::tempdir().unwrap();
            let disk = folder.path().join("disk");
            File::create(&disk).unwrap().set_len(320 << 20).unwrap();
            judge(&format!("mkfs.{kind}")).arg("-q").args(options).arg(&disk).succeed();
            crate::kernel::fill_little(&Mount::with_options(&disk, mount).path());
            survive(&disk, find, ROUNDS);
        }
    });
}

/// What `xfs_repair -n` would remove is found. It also corrects fields that nobody reads, which is not damage.
#[cfg(feature = "full-tests")]
#[test]
fn the_check_of_xfs_finds_what_xfs_repair_would_remove() {
    use testkit::judge::judge;

    let folder = tempfile::tempdir().unwrap();
    let sound = crate::made::xfs(folder.path(), &[]);
    let damaged = folder.path().join("damaged");
    let pieces = xfs_pieces(&fs::read(&sound).unwrap());
    let is_clean_for_us = |path: &Path| {
        let volume = crate::made::open(path);
        let checked = volume.file_system().and_then(|file_system| file_system.examine(&|_, _| ()).ok());
        checked.is_some_and(|checked| checked.unwrap().findings.is_empty())
    };
    let repair = |path: &Path| judge("xfs_repair").arg("-n").arg(path).run();
    assert!(is_clean_for_us(&sound) && repair(&sound).status.success());
    let (mut both, mut missed) = (0, Vec::new());
    for round in 1..=testkit::rounds(true, [0, 60, 1000]) {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        judge("cp").arg("--sparse=always").args([&sound, &damaged]).succeed();
        let disk = FileStorage::new(File::options().read(true).write(true).open(&damaged).unwrap()).unwrap();
        mutate(&disk, &pieces, &mut random);
        drop(disk);
        let (ours, verdict) = (is_clean_for_us(&damaged), repair(&damaged));
        let said = format!("{}{}", verdict.stdout, verdict.stderr);
        let loses = ["would have cleared", "would junk", "would rebuild", "fatal error", "bad primary superblock"];
        let loses = !verdict.status.success() && loses.iter().any(|words| said.contains(words));
        assert!(ours || !verdict.status.success(), "round {round}: only we found damage");
        match (ours, loses) {
            (false, true) => both += 1,
            (true, true) => missed.push(round),
            _ => {}
        }
    }
    // What is known to be missed: a size that is negative, and the number of an inode that is not used.
    assert!(both > 5 * missed.len(), "{both} found by both, missed in the rounds {missed:?}");
}
