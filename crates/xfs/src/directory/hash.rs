//! `xfs_da_hashname`, by which names of directories and of attributes are sorted.

/// The hash of a name.
pub(crate) fn hash(name: &[u8]) -> u32 {
    let mut chunks = name.chunks_exact(4);
    let mut hash = 0_u32;
    for four in &mut chunks {
        let word = u32::from(four[0]) << 21 ^ u32::from(four[1]) << 14 ^ u32::from(four[2]) << 7 ^ u32::from(four[3]);
        hash = word ^ hash.rotate_left(28);
    }
    let rest = chunks.remainder();
    let last = rest.iter().fold(0, |word, &byte| word << 7 ^ u32::from(byte));
    last ^ hash.rotate_left(7 * rest.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// What `xfs_db -c "hash NAME"` prints.
    #[test]
    fn names_have_the_hash_that_xfs_db_prints() {
        for (name, expected) in [
            (&b"."[..], 0x2e),
            (b"..", 0x172e),
            (b"etc", 0x19_7a63),
            (b"security.selinux", 0xab38_c83b),
            (b"abcde", 0x1c58_f263),
        ] {
            assert_eq!(hash(name), expected, "{}", String::from_utf8_lossy(name));
        }
    }
}
