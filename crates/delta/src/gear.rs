//! A rolling hash of the last 64 bytes.
//!
//! Each byte shifts the hash to the left by one bit and adds a random number for its value, so that a byte is gone from
//! it after 64 more, and its upper bits depend on all of them. A place where the upper bits are zero is an *anchor*:
//! the same 64 bytes are an anchor wherever they are, whatever comes before.

/// How many bytes the hash depends on.
pub(crate) const GEAR_WINDOW_BYTES: u64 = 64;

const RANDOM: [u64; 256] = random();

/// The numbers of SplitMix64.
const fn random() -> [u64; 256] {
    let mut numbers = [0; 256];
    let (mut state, mut at) = (0_u64, 0);
    while at < numbers.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers[at] = number ^ (number >> 31);
        at += 1;
    }
    numbers
}

/// The hash of the bytes so far, and how rare anchors are.
#[derive(Clone, Copy)]
pub(crate) struct Gear {
    hash: u64,
    shift: u32,
}

impl Gear {
    /// With an anchor every 2 to the `spacing_bits` bytes on average.
    pub(crate) fn new(spacing_bits: u32) -> Self {
        Self { hash: 0, shift: u64::BITS - spacing_bits }
    }

    /// Forgets all bytes.
    pub(crate) fn reset(&mut self) {
        self.hash = 0;
    }

    /// Takes bytes of `bytes` up to the next anchor: how many that were, and the anchor's hash.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Option<(usize, u64)> {
        let mut hash = self.hash;
        for (at, &byte) in bytes.iter().enumerate() {
            hash = (hash << 1).wrapping_add(RANDOM[usize::from(byte)]);
            if hash >> self.shift == 0 {
                self.hash = hash;
                return Some((at + 1, hash));
            }
        }
        self.hash = hash;
        None
    }
}
