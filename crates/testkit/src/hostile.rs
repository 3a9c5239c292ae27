//! What somebody clever does to bytes that we read: fields of metadata changed under checksums that are right again,
//! and limits under which a test of that runs.

use std::collections::BTreeMap;

use crate::judge::judge;

/// What a case may have of a processor, in seconds, and of addresses, in bytes.
const CPU_SECONDS: u32 = 300;
const MEMORY_BYTES: u64 = 1 << 30;
/// Says to a test that it is the process that is confined.
const CONFINED: &str = "IMGRAFT_ADVERSARY";

/// Does `work`, which is what the test `name` does, in a process that has the limits.
/// # Panics
///
/// If it ends otherwise than well.
pub fn confined(name: &str, work: impl FnOnce()) {
    if std::env::var_os(CONFINED).is_some() {
        return work();
    }
    let limits = [format!("--cpu={CPU_SECONDS}"), format!("--as={MEMORY_BYTES}"), "--core=0".to_owned()];
    let this = std::env::current_exe().unwrap();
    let verdict =
        judge("prlimit").args(limits).arg(this).args(["--exact", name, "--test-threads=1"]).env(CONFINED, "1");
    let verdict = verdict.succeed();
    assert!(verdict.stdout.contains("1 passed"), "there is no test {name}: {verdict}");
}

/// Draws the same numbers for the same seed, which is not 0.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }
}

/// A piece of metadata with a checksum of its own.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Where it is, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: usize,
    /// Its checksum.
    pub checksum: Checksum,
}

/// Where a checksum is, and what it is of.
#[derive(Clone, Copy, Debug)]
pub enum Checksum {
    /// CRC-32C over all of it, with zeros in the place of the checksum.
    Within(usize),
    /// CRC-32C of what follows the first 32 bytes, which have it.
    Before,
}

/// Makes the checksum of a piece right.
pub fn seal(bytes: &mut [u8], checksum: Checksum) {
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
pub fn xfs_pieces(disk: &[u8]) -> Vec<Piece> {
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

/// The headers and trees of the allocation groups of an XFS of version 5, which only those need that write.
pub fn xfs_group_pieces(disk: &[u8]) -> Vec<Piece> {
    let block = u32::from_be_bytes(disk[4..8].try_into().unwrap()) as usize;
    let mut pieces = Vec::new();
    for offset in (0..disk.len()).step_by(512) {
        let found = match &disk[offset..offset + 4] {
            b"XFSB" => Some((512, 224)),
            b"XAGF" => Some((512, 216)),
            b"XAGI" => Some((512, 312)),
            b"XAFL" => Some((512, 32)),
            b"AB3B" | b"AB3C" | b"IAB3" | b"FIB3" | b"RMB3" | b"R3FC" if offset % block == 0 => Some((block, 52)),
            _ => None,
        };
        let piece = |(length, at)| Piece { offset: offset as u64, length, checksum: Checksum::Within(at) };
        pieces.extend(found.map(piece));
    }
    pieces
}

/// Changes some fields of some pieces, and returns the pieces that changed with where they are. `read` fills a buffer
/// from a byte of the disk on.
pub fn mutated(pieces: &[Piece], random: &mut Random, read: &dyn Fn(u64, &mut [u8])) -> Vec<(u64, Vec<u8>)> {
    let mut changed: BTreeMap<u64, (Vec<u8>, Checksum)> = BTreeMap::new();
    for _ in 0..=random.below(3) {
        // The first ones are those on which everything rests.
        let among = if random.below(4) == 0 { pieces.len().min(8) } else { pieces.len() };
        let piece = &pieces[random.below(among)];
        let (bytes, _) = changed.entry(piece.offset).or_insert_with(|| {
            let mut bytes = vec![0; piece.length];
            read(piece.offset, &mut bytes);
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
                3 => random.number(),
                4 => u64::from(bytes[at]) + 1,
                _ => i64::MAX as u64,
            };
            bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
        }
    }
    let sealed = |(offset, (mut bytes, checksum)): (u64, (Vec<u8>, Checksum))| {
        seal(&mut bytes, checksum);
        (offset, bytes)
    };
    changed.into_iter().map(sealed).collect()
}
