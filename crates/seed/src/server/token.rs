//! Tokens of the metadata service's version 2.

use sha2::{Digest, Sha256};

/// The longest time for which a token may be valid, in seconds.
const MAX_TTL_SECONDS: u64 = 21_600;
/// Digits of a token: its end, and the proof that this service made it.
const END_DIGITS: usize = 16;
const PROOF_DIGITS: usize = 64;

/// Makes tokens and recognises them without storing them: tokens cannot fill the memory, and processes with the
/// same secret recognise each other's.
#[derive(Clone)]
pub(super) struct Tokens {
    secret: [u8; 32],
}

impl Tokens {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// A token that is valid for as many seconds as the header says; `None` if that number is invalid.
    pub(super) fn make(&self, ttl: &str, now_seconds: u64) -> Option<(String, u64)> {
        let is_number = !ttl.is_empty() && ttl.bytes().all(|byte| byte.is_ascii_digit());
        let ttl = ttl.parse().ok().filter(|ttl| is_number && (1..=MAX_TTL_SECONDS).contains(ttl))?;
        let end = format!("{:0END_DIGITS$x}", now_seconds.saturating_add(ttl));
        let proof = self.proof(&end);
        Some((end + &proof, ttl))
    }

    /// Whether this service made the token, and it has not expired.
    pub(super) fn are_good(&self, token: &str, now_seconds: u64) -> bool {
        let (Some(end), Some(proof)) = (token.get(..END_DIGITS), token.get(END_DIGITS..)) else { return false };
        let expected = self.proof(end);
        // This takes as long for a proof that is nearly right.
        let differs = proof.bytes().zip(expected.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
        proof.len() == PROOF_DIGITS && differs == 0 && u64::from_str_radix(end, 16).is_ok_and(|end| now_seconds < end)
    }

    /// A digest of the secret and `end`. Only this service can compute it; `end` always has the same length.
    fn proof(&self, end: &str) -> String {
        let digest = Sha256::new().chain_update(self.secret).chain_update(end).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_its_end_and_here_only() {
        let tokens = Tokens::new([7; 32]);
        let (token, ttl) = tokens.make("60", 1000).unwrap();
        assert_eq!((token.len(), ttl), (80, 60));
        assert!(tokens.are_good(&token, 1000) && tokens.are_good(&token, 1059));
        assert!(!tokens.are_good(&token, 1060));
        assert!(!Tokens::new([8; 32]).are_good(&token, 1000));
        let later = format!("{:016x}{}", 9999, &token[16..]);
        let longer = format!("{token}0");
        for wrong in ["", "x", &token[..79], &longer, &later, "ö"] {
            assert!(!tokens.are_good(wrong, 1000), "{wrong}");
        }
        assert!(tokens.make("1", 0).is_some() && tokens.make("21600", 0).is_some());
        for ttl in ["", "0", "21601", "-1", "+1", "1.5", "x", "99999999999999999999999"] {
            assert_eq!(tokens.make(ttl, 0), None, "{ttl}");
        }
    }
}
