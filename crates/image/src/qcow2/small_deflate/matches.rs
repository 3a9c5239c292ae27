//! Finds earlier bytes: chains of places with four bytes in common, and the last place with three in common.

use std::ops::Range;

/// QEMU's window in bytes: no match refers back further.
pub(super) const WINDOW: usize = 4096;
/// The shortest match of the format.
pub(super) const MIN_MATCH: usize = 3;
/// The longest match of the format.
pub(super) const MAX_MATCH: usize = 258;

const HASH_BITS: u32 = 14;
/// A match of three bytes from further back takes more bits than three literals.
const FAR_FOR_THREE: usize = 1024;

/// How much work goes into finding matches.
pub(super) struct Effort {
    /// The most places that are compared.
    pub(super) chain: u32,
    /// From this length on, fewer places are compared.
    pub(super) good: usize,
    /// From this length on, no better match is looked for.
    pub(super) nice: usize,
}

/// Bytes that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
}

impl Match {
    /// Whether this match is better than `other`, which begins a byte earlier, by more than the literal costs: a byte of
    /// length counts four times as much as a bit of distance.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let bits = |distance: usize| distance.ilog2() as i32;
        let longer = self.length as i32 - other.length as i32;
        4 * longer + bits(other.distance) - bits(self.distance) > 2
    }
}

/// Finds matches in one cluster after another. Places are numbered through all clusters, so that the tables need not be
/// cleared in between: places of earlier clusters are too far back to match.
pub(super) struct Finder {
    /// Hash of four bytes → the last place.
    heads: Vec<u32>,
    /// Hash of three bytes → the last place.
    threes: Vec<u32>,
    /// Place, in the window → the place before with the same hash of four bytes.
    before: Vec<u32>,
    /// The place of the cluster's first byte.
    base: u32,
    length: usize,
}

impl Finder {
    pub(super) fn new() -> Self {
        let table = vec![0; 1 << HASH_BITS];
        Self { heads: table.clone(), threes: table, before: vec![0; WINDOW], base: 0, length: 0 }
    }

    /// Begins a cluster of that length.
    pub(super) fn begin(&mut self, length: usize) {
        let next = self.base as usize + self.length + WINDOW;
        if next + length > u32::MAX as usize {
            *self = Self::new();
            self.base = WINDOW as u32;
        } else {
            self.base = next as u32;
        }
        self.length = length;
    }

    /// Skips place numbers, as if earlier clusters had used them.
    #[cfg(test)]
    pub(super) fn skip_places(&mut self, places: u32) {
        self.base += places;
    }

    /// The best match for the bytes from `at` on that is longer than `least`, and puts `at` into the tables.
    #[inline]
    pub(super) fn find(
        &mut self,
        cluster: &[u8],
        at: usize,
        least: usize,
        chain: u32,
        effort: &Effort,
    ) -> Option<Match> {
        let bytes = &cluster[at.min(cluster.len())..];
        let four = first_four(bytes)?;
        let place = self.base + at as u32;
        let floor = self.base.max(place.saturating_sub(WINDOW as u32));
        let bytes = &bytes[..bytes.len().min(MAX_MATCH)];
        let (hash3, hash4) = (hash(four << 8), hash(four));
        let three = std::mem::replace(&mut self.threes[hash3], place);
        let mut candidate = std::mem::replace(&mut self.heads[hash4], place);
        let slot = at % WINDOW;
        let newest = candidate;
        let mut best = Match { length: least, distance: 0 };
        if least < MIN_MATCH && three >= floor {
            let distance = (place - three) as usize;
            if distance <= FAR_FOR_THREE && first_four(&cluster[at - distance..])? & 0xff_ffff == four & 0xff_ffff {
                best = Match { length: MIN_MATCH, distance };
            }
        }
        let nice = effort.nice.min(bytes.len());
        let mut left = chain;
        while candidate >= floor && left > 0 && best.length < nice {
            let distance = (place - candidate) as usize;
            let there = &cluster[at - distance..];
            // Only a place that agrees where the best match so far ends can have a longer match.
            if there.get(best.length) == bytes.get(best.length) && first_four(there)? == four {
                let length = common(bytes, there);
                if length > best.length {
                    best = Match { length, distance };
                }
            }
            let before = self.before[candidate.wrapping_sub(self.base) as usize % WINDOW];
            if before >= candidate {
                break;
            }
            candidate = before;
            left -= 1;
        }
        self.before[slot] = newest;
        (best.distance > 0).then_some(best)
    }

    /// Puts places into the tables.
    #[inline]
    pub(super) fn skip(&mut self, cluster: &[u8], places: Range<usize>) {
        for at in places {
            let Some(four) = cluster.get(at..).and_then(first_four) else { return };
            let place = self.base + at as u32;
            self.threes[hash(four << 8)] = place;
            self.before[at % WINDOW] = std::mem::replace(&mut self.heads[hash(four)], place);
        }
    }
}

#[inline]
fn first_four(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|four| u32::from_le_bytes(*four))
}

#[inline]
fn hash(four: u32) -> usize {
    (four.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// How many bytes two places have in common from their first on, as far as `bytes` goes.
#[inline]
fn common(bytes: &[u8], there: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let (others, _) = there.as_chunks::<8>();
    for (index, (word, other)) in words.iter().zip(others).enumerate() {
        let difference = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if difference != 0 {
            return index * 8 + (difference.trailing_zeros() / 8) as usize;
        }
    }
    let done = bytes.len() - rest.len();
    done + rest.iter().zip(&there[done..]).take_while(|(one, other)| one == other).count()
}
