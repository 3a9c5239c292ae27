//! Where a block ends: where the kind of symbols changes.

/// Symbols that are counted together.
const STEP: u32 = 512;
/// The shortest block, in bytes of the cluster.
const MIN_BLOCK_BYTES: usize = 5000;
/// Kinds of symbols: eight of literals, by their highest and lowest bits, and two of matches.
const KINDS: usize = 10;

/// Counts the kinds of symbols of a block.
#[derive(Default)]
pub(super) struct Splitter {
    before: [u32; KINDS],
    now: [u32; KINDS],
    before_count: u32,
    now_count: u32,
}

impl Splitter {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[inline]
    pub(super) fn add_literal(&mut self, byte: u8) {
        self.add(usize::from((byte >> 5 & 0b110) | (byte & 1)));
    }

    #[inline]
    pub(super) fn add_match(&mut self, length: usize) {
        self.add(8 + usize::from(length >= 9));
    }

    #[inline]
    fn add(&mut self, kind: usize) {
        self.now[kind] += 1;
        self.now_count += 1;
    }

    /// Whether the block, which is `length` bytes long, ends here, `left` bytes before the cluster does.
    #[inline]
    pub(super) fn ends_block(&mut self, length: usize, left: usize) -> bool {
        if self.now_count < STEP || length < MIN_BLOCK_BYTES || left < MIN_BLOCK_BYTES {
            return false;
        }
        self.step(length)
    }

    fn step(&mut self, length: usize) -> bool {
        if self.before_count > 0 {
            let (before, now) = (u64::from(self.before_count), u64::from(self.now_count));
            let difference = |(&one, &other): (&u32, &u32)| (u64::from(one) * now).abs_diff(u64::from(other) * before);
            let total: u64 = self.before.iter().zip(&self.now).map(difference).sum();
            // A long block ends at a smaller change.
            if total + (length as u64 / 4096) * before >= now * 200 / 512 * before {
                return true;
            }
        }
        for (before, now) in self.before.iter_mut().zip(&mut self.now) {
            *before += std::mem::take(now);
        }
        self.before_count += std::mem::take(&mut self.now_count);
        false
    }
}
