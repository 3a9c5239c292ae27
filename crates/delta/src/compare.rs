//! How far two runs of bytes are the same.

/// What is compared at once, in bytes, before single ones are.
const STEP_BYTES: usize = 64;

/// What zeros are compared with.
static ZEROS: [u8; 4096] = [0; 4096];

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// How many bytes are the same from the beginning on.
pub(crate) fn same_prefix(one: &[u8], other: &[u8]) -> usize {
    let length = one.len().min(other.len());
    let (one, other) = (&one[..length], &other[..length]);
    let steps = one.chunks_exact(STEP_BYTES).zip(other.chunks_exact(STEP_BYTES));
    let done = steps.take_while(|(one, other)| one == other).count() * STEP_BYTES;
    done + one[done..].iter().zip(&other[done..]).take_while(|(one, other)| one == other).count()
}

/// How many bytes are the same up to the end.
pub(crate) fn same_suffix(one: &[u8], other: &[u8]) -> usize {
    let length = one.len().min(other.len());
    let (one, other) = (&one[one.len() - length..], &other[other.len() - length..]);
    let steps = one.rchunks_exact(STEP_BYTES).zip(other.rchunks_exact(STEP_BYTES));
    let done = steps.take_while(|(one, other)| one == other).count() * STEP_BYTES;
    let rest = length - done;
    done + one[..rest].iter().rev().zip(other[..rest].iter().rev()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_wherever_it_is() {
        let one = [7; 200];
        for at in 0..200 {
            let mut other = one;
            other[at] = 8;
            assert_eq!((same_prefix(&one, &other), same_suffix(&one, &other)), (at, 199 - at));
        }
        assert_eq!((same_prefix(&one, &one[..150]), same_suffix(&one[..150], &one)), (150, 150));
    }
}
