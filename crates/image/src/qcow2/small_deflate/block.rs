//! "Compressed blocks": symbols, and the code that makes them as small as possible.

use super::bits::BitWriter;
use super::huffman::Code;
use super::matches::{MAX_MATCH, MIN_MATCH};

/// Literals, the block's end and lengths.
const LITLENS: usize = 288;
const DISTANCES: usize = 30;
const END: usize = 256;
/// The number of symbols of the "code length" alphabet.
const CODE_LENGTHS: usize = 19;
/// The order in which the lengths of that alphabet's codes are written.
const CODE_LENGTH_ORDER: [usize; CODE_LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// The most bytes of a stored block.
const STORED_MAX: usize = 65535;

const LENGTH_BASES: [u16; 29] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_EXTRA: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/// Length minus the shortest one → its symbol minus the first symbol of a length.
const LENGTH_SYMBOLS: [u8; MAX_MATCH - MIN_MATCH + 1] = {
    let mut symbols = [0; MAX_MATCH - MIN_MATCH + 1];
    let mut symbol = 0;
    while symbol < LENGTH_BASES.len() {
        let mut length = LENGTH_BASES[symbol] as usize;
        while length <= MAX_MATCH {
            symbols[length - MIN_MATCH] = symbol as u8;
            length += 1;
        }
        symbol += 1;
    }
    symbols
};

/// The symbol of a distance, its extra bits and their number.
#[inline]
fn distance_symbol(distance: usize) -> (usize, u64, u32) {
    let less = (distance - 1) as u32;
    if less < 4 {
        return (less as usize, 0, 0);
    }
    let log = less.ilog2();
    let extra = log - 1;
    let symbol = (log * 2 + (less >> extra & 1)) as usize;
    (symbol, u64::from(less & ((1 << extra) - 1)), extra)
}

/// A literal, or the length (at bit 16) and the distance of a match.
type Symbol = u32;

/// The symbols since the last block's end.
pub(super) struct Block {
    symbols: Vec<Symbol>,
    litlens: [u32; LITLENS],
    distances: [u32; DISTANCES],
    extra_bits: u64,
    length: usize,
}

impl Block {
    pub(super) fn new() -> Self {
        Self { symbols: Vec::new(), litlens: [0; LITLENS], distances: [0; DISTANCES], extra_bits: 0, length: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.symbols.clear();
        (self.litlens, self.distances) = ([0; LITLENS], [0; DISTANCES]);
        (self.extra_bits, self.length) = (0, 0);
    }

    /// The number of bytes that the block stands for.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn add_literal(&mut self, byte: u8) {
        self.symbols.push(byte.into());
        self.litlens[usize::from(byte)] += 1;
        self.length += 1;
    }

    #[inline]
    pub(super) fn add_match(&mut self, length: usize, distance: usize) {
        self.symbols.push((length as u32) << 16 | distance as u32);
        let symbol = usize::from(LENGTH_SYMBOLS[length - MIN_MATCH]);
        self.litlens[END + 1 + symbol] += 1;
        let (distance_symbol, _, extra) = distance_symbol(distance);
        self.distances[distance_symbol] += 1;
        self.extra_bits += u64::from(extra) + u64::from(LENGTH_EXTRA[symbol]);
        self.length += length;
    }

    /// Writes the block, which stands for `bytes`, in its smallest form.
    pub(super) fn write(&mut self, writer: &mut BitWriter<'_>, bytes: &[u8], is_last: bool) {
        self.litlens[END] = 1;
        let litlens = Code::of(&self.litlens, 15);
        let distances = Code::of(&self.distances, 15);
        let head = Head::of(&litlens, &distances);
        let dynamic = head.cost() + litlens.cost(&self.litlens) + distances.cost(&self.distances) + self.extra_bits;
        let (fixed_litlens, fixed_distances) = (fixed_litlens(), Code::with_lengths([5; DISTANCES]));
        let fixed = fixed_litlens.cost(&self.litlens) + fixed_distances.cost(&self.distances) + self.extra_bits;
        let stored = (bytes.len() as u64 + 5 * bytes.len().div_ceil(STORED_MAX).max(1) as u64) * 8;
        let last = u64::from(is_last);
        if stored < dynamic.min(fixed) {
            store(writer, bytes, is_last);
        } else if fixed <= dynamic {
            writer.add(last | 0b01 << 1, 3);
            self.write_symbols(writer, &fixed_litlens, &fixed_distances);
        } else {
            writer.add(last | 0b10 << 1, 3);
            head.write(writer);
            self.write_symbols(writer, &litlens, &distances);
        }
    }

    fn write_symbols(&self, writer: &mut BitWriter<'_>, litlens: &Code<LITLENS>, distances: &Code<DISTANCES>) {
        for &symbol in &self.symbols {
            let length = (symbol >> 16) as usize;
            if length == 0 {
                let byte = symbol as usize & 0xff;
                writer.add(litlens.bits[byte].into(), litlens.lengths[byte].into());
                continue;
            }
            let index = usize::from(LENGTH_SYMBOLS[length - MIN_MATCH]);
            let mut bits = u64::from(litlens.bits[END + 1 + index]);
            let mut count = u32::from(litlens.lengths[END + 1 + index]);
            bits |= (length as u64 - u64::from(LENGTH_BASES[index])) << count;
            count += u32::from(LENGTH_EXTRA[index]);
            let (index, extra, extra_count) = distance_symbol(symbol as usize & 0xffff);
            bits |= u64::from(distances.bits[index]) << count;
            count += u32::from(distances.lengths[index]);
            bits |= extra << count;
            // At most 15 + 5 + 15 + 10 bits.
            writer.add(bits, count + extra_count);
        }
        writer.add(litlens.bits[END].into(), litlens.lengths[END].into());
    }
}

/// "Non-compressed blocks".
fn store(writer: &mut BitWriter<'_>, bytes: &[u8], is_last: bool) {
    let pieces = bytes.len().div_ceil(STORED_MAX);
    for (number, piece) in (1..).zip(bytes.chunks(STORED_MAX)) {
        writer.add(u64::from(is_last && number == pieces), 3);
        writer.align();
        let length = piece.len() as u64;
        writer.add(length | (!length & 0xffff) << 16, 32);
        writer.add_bytes(piece);
    }
}

/// "Compression with fixed Huffman codes".
fn fixed_litlens() -> Code<LITLENS> {
    let mut lengths = [8; LITLENS];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    Code::with_lengths(lengths)
}

/// The start of a block with its own codes: the lengths of these codes.
struct Head {
    /// Symbols of the "code length" alphabet, each with its extra bits and their number.
    symbols: Vec<(u8, u8, u8)>,
    code: Code<CODE_LENGTHS>,
    counts: [u32; CODE_LENGTHS],
    litlens: usize,
    distances: usize,
    code_lengths: usize,
}

impl Head {
    fn of(litlens: &Code<LITLENS>, distances: &Code<DISTANCES>) -> Self {
        let used = |lengths: &[u8], least: usize| {
            lengths.iter().rposition(|&length| length > 0).map_or(least, |last| (last + 1).max(least))
        };
        let (litlen_count, distance_count) = (used(&litlens.lengths, END + 1), used(&distances.lengths, 1));
        let all = [&litlens.lengths[..litlen_count], &distances.lengths[..distance_count]].concat();
        let symbols = runs(&all);
        let mut counts = [0; CODE_LENGTHS];
        symbols.iter().for_each(|&(symbol, ..)| counts[usize::from(symbol)] += 1);
        let code = Code::of(&counts, 7);
        let in_order = CODE_LENGTH_ORDER.map(|symbol| code.lengths[symbol]);
        let code_lengths = used(&in_order, 4);
        Self { symbols, code, counts, litlens: litlen_count, distances: distance_count, code_lengths }
    }

    fn cost(&self) -> u64 {
        let extra: u64 = self.symbols.iter().map(|&(_, _, count)| u64::from(count)).sum();
        14 + 3 * self.code_lengths as u64 + self.code.cost(&self.counts) + extra
    }

    fn write(&self, writer: &mut BitWriter<'_>) {
        writer.add((self.litlens - (END + 1)) as u64, 5);
        writer.add((self.distances - 1) as u64, 5);
        writer.add((self.code_lengths - 4) as u64, 4);
        for &symbol in &CODE_LENGTH_ORDER[..self.code_lengths] {
            writer.add(self.code.lengths[symbol].into(), 3);
        }
        for &(symbol, extra, count) in &self.symbols {
            let symbol = usize::from(symbol);
            writer.add(self.code.bits[symbol].into(), self.code.lengths[symbol].into());
            writer.add(extra.into(), count.into());
        }
    }
}

/// Lengths of codes as symbols of the "code length" alphabet: 16 repeats the last length 3 to 6 times, 17 stands for 3 to
/// 10 zeros and 18 for 11 to 138.
fn runs(lengths: &[u8]) -> Vec<(u8, u8, u8)> {
    let mut symbols = Vec::new();
    for run in lengths.chunk_by(|one, next| one == next) {
        let (length, mut left) = (run[0], run.len());
        if length == 0 {
            while left >= 11 {
                let count = left.min(138);
                symbols.push((18, (count - 11) as u8, 7));
                left -= count;
            }
            if left >= 3 {
                symbols.push((17, (left - 3) as u8, 3));
                left = 0;
            }
        } else {
            symbols.push((length, 0, 0));
            left -= 1;
            while left >= 3 {
                let count = left.min(6);
                symbols.push((16, (count - 3) as u8, 2));
                left -= count;
            }
        }
        symbols.extend(std::iter::repeat_n((length, 0, 0), left));
    }
    symbols
}
