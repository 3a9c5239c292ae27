//! Hashes of names in indexed directories.
//!
//! Kernel documentation, "Hash Tree Directories"; half MD4 and TEA are the reduced forms that ext3
//! introduced.

use crate::layout::superblock::EXT2_FLAGS_UNSIGNED_HASH;
use crate::superblock::Superblock;

/// The value that stands for the end of a directory and is never a name's hash.
const END_OF_DIRECTORY: u32 = 0x7FFF_FFFF << 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Legacy,
    HalfMd4,
    Tea,
}

/// Which hash a directory uses, and how it takes the bytes of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashVersion {
    function: Function,
    unsigned: bool,
}

impl HashVersion {
    /// From a directory's `hash_version`; `None` where it is not known (6 is SipHash).
    pub(crate) fn new(version: u8, superblock: &Superblock) -> Option<Self> {
        let function = match version % 3 {
            _ if version > 5 => return None,
            0 => Function::Legacy,
            1 => Function::HalfMd4,
            _ => Function::Tea,
        };
        let unsigned = version >= 3 || superblock.raw.s_flags.get() & EXT2_FLAGS_UNSIGNED_HASH != 0;
        Some(Self { function, unsigned })
    }
}

/// The hash of `name`, its lowest bit clear.
pub(crate) fn hash(name: &[u8], version: HashVersion, superblock: &Superblock) -> u32 {
    let seed = superblock.raw.s_hash_seed.map(|word| word.get());
    let hash = hash_with_seed(name, version, seed) & !1;
    if hash == END_OF_DIRECTORY { (0x7FFF_FFFF - 1) << 1 } else { hash }
}

fn hash_with_seed(name: &[u8], version: HashVersion, seed: [u32; 4]) -> u32 {
    // A seed of zeros stands for MD4's own start values.
    let mut state = if seed == [0; 4] { [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476] } else { seed };
    match version.function {
        Function::Legacy => legacy(name, version.unsigned),
        Function::HalfMd4 => {
            for (chunk, rest) in chunks(name, 32) {
                half_md4(&mut state, &words::<8>(chunk, rest, version.unsigned));
            }
            state[1]
        }
        Function::Tea => {
            for (chunk, rest) in chunks(name, 16) {
                tea(&mut state, &words::<4>(chunk, rest, version.unsigned));
            }
            state[0]
        }
    }
}

/// The name in pieces of `size` bytes, each with the number of bytes that were left at its start.
fn chunks(name: &[u8], size: usize) -> impl Iterator<Item = (&[u8], usize)> {
    name.chunks(size).enumerate().map(move |(index, chunk)| (chunk, name.len() - index * size))
}

/// A byte as the number it counts for.
fn value(byte: u8, unsigned: bool) -> u32 {
    if unsigned { u32::from(byte) } else { i32::from(byte as i8) as u32 }
}

/// Packs a piece of a name into words; what the piece does not fill is filled with the length.
fn words<const N: usize>(chunk: &[u8], length: usize, unsigned: bool) -> [u32; N] {
    let pad = length as u32 | (length as u32) << 8;
    let padding = pad | pad << 16;
    let mut words = [padding; N];
    for (word, bytes) in words.iter_mut().zip(chunk.chunks(4)) {
        *word = bytes.iter().fold(padding, |word, &byte| value(byte, unsigned).wrapping_add(word << 8));
    }
    words
}

fn legacy(name: &[u8], unsigned: bool) -> u32 {
    let (mut hash0, mut hash1) = (0x12A3_FE2Du32, 0x37AB_E8F9u32);
    for &byte in name {
        let mut hash = hash1.wrapping_add(hash0 ^ value(byte, unsigned).wrapping_mul(7_152_373));
        if hash & 0x8000_0000 != 0 {
            hash = hash.wrapping_sub(0x7FFF_FFFF);
        }
        hash1 = hash0;
        hash0 = hash;
    }
    hash0 << 1
}

fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    let f = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let g = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let h = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let [mut a, mut b, mut c, mut d] = *state;
    // One step of each round: which words in which order, how far each result is turned, what is added.
    let mut round = |mix: &dyn Fn(u32, u32, u32) -> u32, order: [usize; 8], turns: [u32; 4], add: u32| {
        for (step, word) in order.into_iter().enumerate() {
            let sum = a.wrapping_add(mix(b, c, d)).wrapping_add(input[word]).wrapping_add(add);
            (a, b, c, d) = (d, sum.rotate_left(turns[step % 4]), b, c);
        }
    };
    round(&f, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19], 0);
    round(&g, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13], 0x5A82_7999);
    round(&h, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15], 0x6ED9_EBA1);
    for (word, mixed) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(mixed);
    }
}

fn tea(state: &mut [u32; 4], input: &[u32; 4]) {
    let [mut b0, mut b1] = [state[0], state[1]];
    let mut sum = 0u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9E37_79B9);
        let mixed = (b1 << 4).wrapping_add(input[0]) ^ b1.wrapping_add(sum) ^ (b1 >> 5).wrapping_add(input[1]);
        b0 = b0.wrapping_add(mixed);
        let mixed = (b0 << 4).wrapping_add(input[2]) ^ b0.wrapping_add(sum) ^ (b0 >> 5).wrapping_add(input[3]);
        b1 = b1.wrapping_add(mixed);
    }
    state[0] = state[0].wrapping_add(b0);
    state[1] = state[1].wrapping_add(b1);
}
