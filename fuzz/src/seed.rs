//! Sound images, and where their structures are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, OnceLock};

use storage::{Memory, Overlay, ReadAt, WriteAt};

use super::input::Input;

/// How much of the copy-on-write blocks is kept: more than an image has.
const OVERLAY_BYTES: u64 = 16 << 20;
/// The most changes that an input makes before the image is opened.
const MAX_CHANGES: u8 = 16;

/// An image that is only changed where it was handed out.
pub(crate) type Broken = Arc<Overlay<Arc<Memory>>>;

/// A kind of structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Superblock,
    Descriptors,
    Bitmap,
    Inode,
    Extent,
    Indirect,
    Directory,
    Xattr,
    Journal,
    Orphan,
}

/// Where a structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Region {
    kind: Kind,
    inode: u32,
    offset: u64,
    length: u16,
}

pub(crate) struct Seed {
    image: Arc<Memory>,
    regions: Vec<Region>,
    /// What checksums start from, where the file system has them.
    checksum_seed: Option<u32>,
    /// The same for the log, and which version of checksums it has.
    journal_seed: Option<u32>,
}

macro_rules! images {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../seeds/", $name, ".gz")), include_str!(concat!("../seeds/", $name, ".regions")))),*]
    };
}

type Packed = (&'static str, &'static [u8], &'static str);

/// The seed of that name.
pub(crate) fn seed(name: &str) -> &'static Seed {
    static SEEDS: OnceLock<BTreeMap<&str, Seed>> = OnceLock::new();
    let seeds = SEEDS.get_or_init(|| {
        let images: [Packed; _] = images!(
            "small",
            "small-checksums",
            "small-ext2",
            "small-inline",
            "special",
            "deep",
            "deep-checksums",
            "apart",
            "apart-checksums",
            "apart-ext2",
            "journal-v3",
            "journal-v2",
            "journal",
            "orphans"
        );
        images.into_iter().map(|(name, image, regions)| (name, Seed::unpack(name, image, regions))).collect()
    });
    &seeds[name]
}

fn read<const LENGTH: usize>(storage: &dyn ReadAt, offset: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    storage.read_at(offset, &mut bytes).expect("a structure is within the image");
    bytes
}

fn write(storage: &dyn WriteAt, offset: u64, bytes: &[u8]) {
    storage.write_at(offset, bytes).expect("a structure is within the image");
}

fn crc(seed: u32, bytes: &[u8]) -> u32 {
    // The format's is not inverted at either end.
    !crc32c::crc32c_append(!seed, bytes)
}

impl Seed {
    fn unpack(name: &str, packed: &[u8], regions: &str) -> Self {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("a packed image");
        let image = Arc::new(Memory::from(bytes));
        let regions = regions.lines().map(Region::parse).collect::<Vec<_>>();
        let has_checksums = read::<4>(&image, 1024 + 0x64)[1] & 4 != 0;
        let uuid = read::<16>(&image, 1024 + 0x68);
        let journal = regions.iter().find(|region| region.kind == Kind::Journal);
        Self {
            checksum_seed: has_checksums.then(|| crc(!0, &uuid)),
            journal_seed: journal
                .filter(|_| name != "journal")
                .map(|region| crc(!0, &read::<16>(&image, region.offset + 0x30))),
            image,
            regions,
        }
    }

    /// The image with some of its structures changed as `input` says, and their checksums right.
    pub(crate) fn broken(&self, input: &mut Input<'_>, breaks: impl Fn(Kind) -> bool) -> Broken {
        let no_spill = || Err(std::io::ErrorKind::StorageFull.into());
        let storage = Overlay::new(Arc::clone(&self.image), OVERLAY_BYTES, Box::new(no_spill));
        let regions: Vec<Region> = self.regions.iter().filter(|region| breaks(region.kind)).copied().collect();
        let mut changed = BTreeSet::new();
        for _ in 0..input.byte() % (MAX_CHANGES + 1) {
            let region = input.choose(&regions);
            region.change(&storage, input);
            changed.insert(*region);
        }
        changed.iter().for_each(|region| self.seal(&storage, region));
        Arc::new(storage)
    }

    /// Makes the checksum of a changed structure right.
    fn seal(&self, storage: &dyn WriteAt, region: &Region) {
        let offset = region.offset;
        let mut block: [u8; 1024] = [0; 1024];
        if region.kind == Kind::Journal {
            if let Some(seed) = self.journal_seed {
                seal_log_block(storage, offset, seed);
            }
            return;
        }
        let Some(seed) = self.checksum_seed else { return };
        let own = || {
            let inode = self.regions.iter().find(|one| one.kind == Kind::Inode && one.inode == region.inode);
            let generation = inode.map_or([0; 4], |inode| read(storage, inode.offset + 0x64));
            crc(crc(seed, &region.inode.to_le_bytes()), &generation)
        };
        let bytes = &mut block[..usize::from(region.length)];
        storage.read_at(offset, bytes).expect("a structure is within the image");
        let length = bytes.len();
        match region.kind {
            Kind::Superblock => {
                let sum = crc(!0, &bytes[..1020]);
                bytes[1020..].copy_from_slice(&sum.to_le_bytes());
            }
            Kind::Descriptors => {
                for (group, bytes) in bytes.chunks_exact_mut(64).enumerate() {
                    bytes[0x1E..0x20].fill(0);
                    let sum = crc(crc(seed, &(group as u32).to_le_bytes()), bytes) as u16;
                    bytes[0x1E..0x20].copy_from_slice(&sum.to_le_bytes());
                }
            }
            Kind::Inode => {
                bytes[0x7C..0x7E].fill(0);
                let has_high = bytes[0x80] >= 4;
                if has_high {
                    bytes[0x82..0x84].fill(0);
                }
                let sum = crc(own(), bytes).to_le_bytes();
                bytes[0x7C..0x7E].copy_from_slice(&sum[..2]);
                if has_high {
                    bytes[0x82..0x84].copy_from_slice(&sum[2..]);
                }
            }
            Kind::Extent => {
                let tail = 12 * (usize::from(bytes[4]) + 1);
                if tail + 4 <= length {
                    let sum = crc(own(), &bytes[..tail]);
                    bytes[tail..tail + 4].copy_from_slice(&sum.to_le_bytes());
                }
            }
            Kind::Directory => seal_directory_block(bytes, own()),
            Kind::Xattr => {
                bytes[0x10..0x14].fill(0);
                let sum = crc(crc(seed, &(offset / 1024).to_le_bytes()), bytes);
                bytes[0x10..0x14].copy_from_slice(&sum.to_le_bytes());
            }
            Kind::Bitmap | Kind::Indirect | Kind::Journal | Kind::Orphan => {}
        }
        write(storage, offset, bytes);
    }
}

/// A block of entries has its checksum in a fake entry at its end, one of an index behind its records.
fn seal_directory_block(bytes: &mut [u8], seed: u32) {
    let length = bytes.len();
    if bytes[length - 12..length - 4] == [0, 0, 0, 0, 12, 0, 0, 0xDE] {
        let sum = crc(seed, &bytes[..length - 12]);
        bytes[length - 4..].copy_from_slice(&sum.to_le_bytes());
        return;
    }
    let records = if bytes[4..6] == [0, 4] { 8 } else { 32 };
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (tail, used) = (records + 8 * number(records), records + 8 * number(records + 2));
    if tail + 8 <= length && used <= length {
        let sum = crc(crc(crc(seed, &bytes[..used]), &bytes[tail..tail + 4]), &[0; 4]);
        bytes[tail + 4..tail + 8].copy_from_slice(&sum.to_le_bytes());
    }
}

/// The log's super block, a commit block, or one of tags or revoked blocks; data has none of its own.
fn seal_log_block(storage: &dyn WriteAt, offset: u64, seed: u32) {
    let mut bytes: [u8; 1024] = read(storage, offset);
    if bytes[..4] != [0xC0, 0x3B, 0x39, 0x98] {
        return;
    }
    let at = match bytes[7] {
        2 => 16,
        3 | 4 => 0xFC,
        _ => 1020,
    };
    bytes[at..at + 4].fill(0);
    let sum = crc(if at == 0xFC { !0 } else { seed }, &bytes);
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    write(storage, offset, &bytes);
}

impl Region {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[kind, inode, offset, length] = &words[..] else { panic!("a line of regions: {line}") };
        let number = |word: &str| word.parse::<u32>().expect("a number");
        let kind = match kind {
            "superblock" => Kind::Superblock,
            "descriptors" => Kind::Descriptors,
            "bitmap" => Kind::Bitmap,
            "inode" => Kind::Inode,
            "extent" => Kind::Extent,
            "indirect" => Kind::Indirect,
            "directory" => Kind::Directory,
            "xattr" => Kind::Xattr,
            "journal" => Kind::Journal,
            "orphan" => Kind::Orphan,
            _ => panic!("a kind of structure: {kind}"),
        };
        Self { kind, inode: number(inode), offset: u64::from(number(offset)), length: number(length) as u16 }
    }

    /// One change: a few bytes set or counted up or down.
    fn change(&self, storage: &dyn WriteAt, input: &mut Input<'_>) {
        let at = self.offset + u64::from(input.u16() % self.length);
        let how = input.byte();
        let length = 1usize << (how & 3);
        let length = length.min((self.offset + u64::from(self.length) - at) as usize);
        let mut value = [0; 8];
        let value = &mut value[..length];
        if how & 4 == 0 {
            value.fill_with(|| input.byte());
        } else {
            storage.read_at(at, value).expect("a structure is within the image");
            value[0] = value[0].wrapping_add(input.byte());
        }
        write(storage, at, value);
    }
}
