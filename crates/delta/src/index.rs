//! Where the anchors of a base are, in bounded memory.

use storage::ReadAt;

use crate::error::{Error, Result};
use crate::gear::Gear;
use crate::sparse;

/// The least distance of anchors, as a power of two of bytes.
const MIN_SPACING_BITS: u32 = 10;
/// How many anchors a base has at most, as a power of two: with the room between them, 32 MiB.
const MAX_ANCHOR_BITS: u32 = 20;
/// How many slots are tried for an anchor.
const MAX_PROBES: usize = 16;
/// How much is read at a time, in bytes.
const STEP_BYTES: u64 = 1 << 20;

/// The anchors of a base by their hashes. A hash has the first place that it was found at.
pub(crate) struct Index {
    /// A hash, and the offset after the anchor's bytes, which is never zero.
    slots: Vec<(u64, u64)>,
    spacing_bits: u32,
}

impl Index {
    /// Reads all of `base`.
    pub(crate) fn of(base: &dyn ReadAt) -> Result<Self> {
        let size_bytes = base.size_bytes();
        let size_bits = u64::BITS - size_bytes.saturating_sub(1).leading_zeros();
        let spacing_bits = size_bits.saturating_sub(MAX_ANCHOR_BITS).max(MIN_SPACING_BITS);
        let slots = ((size_bytes >> spacing_bits) * 2 + 1).next_power_of_two().max(64);
        let mut index = Self { slots: vec![(0, 0); slots as usize], spacing_bits };
        let mut gear = index.gear();
        let mut buffer = vec![0; STEP_BYTES.min(size_bytes) as usize];
        let mut at = 0;
        while at < size_bytes {
            let step = &mut buffer[..(size_bytes - at).min(STEP_BYTES) as usize];
            let is_hole = sparse::read(base, at, step).map_err(Error::Base)?;
            // No anchor is in zeros, for which there is an instruction.
            let mut done = if is_hole { step.len() } else { 0 };
            while let Some((taken, hash)) = gear.next(&step[done..]) {
                done += taken;
                index.insert(hash, at + done as u64);
            }
            at += step.len() as u64;
        }
        Ok(index)
    }

    /// A hash whose anchors are those of this index.
    pub(crate) fn gear(&self) -> Gear {
        Gear::new(self.spacing_bits)
    }

    /// The offset in the base after the bytes of the anchor with this hash.
    pub(crate) fn find(&self, hash: u64) -> Option<u64> {
        self.probes(hash)
            .map(|slot| self.slots[slot])
            .take_while(|slot| slot.1 != 0)
            .find_map(|(found, end)| (found == hash).then_some(end))
    }

    fn insert(&mut self, hash: u64, end: u64) {
        let free = self.probes(hash).find(|&slot| self.slots[slot].1 == 0 || self.slots[slot].0 == hash);
        // An anchor for which there is no slot is one of many: the next one does as well.
        if let Some(slot) = free.filter(|&slot| self.slots[slot].1 == 0) {
            self.slots[slot] = (hash, end);
        }
    }

    fn probes(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        // The lower bits of the hash depend on the last few bytes only.
        let first = (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        (0..MAX_PROBES).map(move |probe| (first + probe) & mask)
    }
}
