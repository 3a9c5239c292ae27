//! "Use of Huffman coding in the \"deflate\" format": codes of bounded length.

/// A code: the bits of each symbol, with the first one least significant, and their number.
pub(super) struct Code<const N: usize> {
    pub(super) bits: [u16; N],
    pub(super) lengths: [u8; N],
}

impl<const N: usize> Code<N> {
    /// The best code for symbols with these frequencies, of at most `most` bits each.
    pub(super) fn of(counts: &[u32; N], most: u8) -> Self {
        Self::with_lengths(lengths(counts, most))
    }

    /// The code with these lengths.
    pub(super) fn with_lengths(lengths: [u8; N]) -> Self {
        let mut of_length = [0u16; 16];
        for &length in &lengths {
            of_length[usize::from(length)] += 1;
        }
        of_length[0] = 0;
        let mut next = [0u16; 16];
        for length in 1..16 {
            next[length] = (next[length - 1] + of_length[length - 1]) << 1;
        }
        let mut bits = [0; N];
        for (bits, &length) in bits.iter_mut().zip(&lengths) {
            if length > 0 {
                let code = &mut next[usize::from(length)];
                *bits = code.reverse_bits() >> (16 - length);
                *code += 1;
            }
        }
        Self { bits, lengths }
    }

    /// The size of symbols with these frequencies, in bits.
    pub(super) fn cost(&self, counts: &[u32; N]) -> u64 {
        counts.iter().zip(&self.lengths).map(|(&count, &length)| u64::from(count) * u64::from(length)).sum()
    }
}

/// The lengths of the codes, 0 for a symbol that does not occur.
fn lengths<const N: usize>(counts: &[u32; N], most: u8) -> [u8; N] {
    let mut lengths = [0; N];
    let mut symbols: Vec<(u32, u16)> =
        (0..).zip(counts).filter(|(_, count)| **count > 0).map(|(symbol, &count)| (count, symbol)).collect();
    if symbols.len() < 2 {
        // A code has at least two symbols, because some readers want it to be complete.
        let only = symbols.first().map_or(0, |&(_, symbol)| usize::from(symbol));
        lengths[only] = 1;
        lengths[usize::from(only == 0)] = 1;
        return lengths;
    }
    symbols.sort_unstable();
    let mut of_length = counts_of_lengths(&symbols, most);
    // The rarest symbols have the longest codes.
    let mut length = usize::from(most);
    for &(_, symbol) in &symbols {
        while of_length[length] == 0 {
            length -= 1;
        }
        of_length[length] -= 1;
        lengths[usize::from(symbol)] = length as u8;
    }
    lengths
}

/// How many codes of each length there are, for at least two symbols, which are sorted.
fn counts_of_lengths(symbols: &[(u32, u16)], most: u8) -> [u32; 16] {
    let count = symbols.len();
    // The tree's nodes: each joins two of the remaining `symbols`, in order, and of the nodes before it.
    let mut weights: Vec<u32> = Vec::with_capacity(count - 1);
    let mut parents = vec![0u16; count - 1];
    let mut leaf_parents = vec![0u16; count];
    let (mut leaf, mut inner) = (0, 0);
    for node in 0..count - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            if leaf < count && (inner >= node || symbols[leaf].0 <= weights[inner]) {
                weight += symbols[leaf].0;
                leaf_parents[leaf] = node as u16;
                leaf += 1;
            } else {
                weight += weights[inner];
                parents[inner] = node as u16;
                inner += 1;
            }
        }
        weights.push(weight);
    }
    // Depths from the root down.
    let mut depths = vec![0u32; count - 1];
    for node in (0..count - 2).rev() {
        depths[node] = depths[usize::from(parents[node])] + 1;
    }
    let most = usize::from(most);
    let mut of_length = [0u32; 16];
    for &parent in &leaf_parents {
        of_length[(depths[usize::from(parent)] as usize + 1).min(most)] += 1;
    }
    // With codes cut to the longest length there are too many: others become longer until all have room.
    let mut used: u64 = (1..=most).map(|length| u64::from(of_length[length]) << (most - length)).sum();
    while used > 1 << most {
        let Some(length) = (1..most).rev().find(|&length| of_length[length] > 0) else { break };
        of_length[length] -= 1;
        of_length[length + 1] += 1;
        used -= 1 << (most - length - 1);
    }
    // Room that is left over goes back to the longest codes.
    while used < 1 << most {
        let Some(length) =
            (2..=most).find(|&length| of_length[length] > 0 && used + (1 << (most - length)) <= 1 << most)
        else {
            break;
        };
        of_length[length] -= 1;
        of_length[length - 1] += 1;
        used += 1 << (most - length);
    }
    of_length
}
