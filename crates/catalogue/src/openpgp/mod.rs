//! Who signed a list: OpenPGP signatures, of which few kinds are accepted.
//!
//! # A signature by an example
//!
//! `gpg --detach-sign`, with an Ed25519 key, writes one packet of 119 bytes:
//!
//! ```text
//! 88 75                       a packet of type 2, a signature, with 0x75 = 117 bytes
//! 04 00 16 08                 version 4; it signs a binary document (00) by EdDSA (22) with a SHA-256 digest (8)
//! 00 1d                       29 bytes of subpackets that are signed too:
//!   16 21 04 dc59 … 95be        type 33: the signer's fingerprint, of version 4, 20 bytes
//!   05 02 6b0bf88d              type 2: the time, 1,795,946,637 seconds after 1970
//! 00 0a                       10 bytes of subpackets that are not signed:
//!   09 10 419e3ab2133d95be      type 16: the key's ID, the last 8 bytes of the fingerprint; only a hint
//! 79 13                       the first two bytes of the digest, to notice a wrong document early
//! 01 00 e75e… 00 fd 11c8…     two numbers, each after its length in bits: the signature itself
//! ```
//!
//! The digest is that of the document, followed by the packet from `04` to the end of the signed subpackets, by `04 ff`
//! and by the length of that part of the packet. Whoever verifies it takes the key with that fingerprint from a keyring
//! and checks that the two numbers are this key's signature of that digest.
//!
//! `-----BEGIN PGP SIGNATURE-----` is the same packet in base64 with a checksum (`armor`), and a list that begins
//! with `-----BEGIN PGP SIGNED MESSAGE-----` has its signature at its end. A keyring has packets as well: a primary
//! key (type 6), its names (type 13) and its subkeys (type 14), each followed by the signatures that bind it to the
//! primary key and say what it may be used for.
//!
//! # Which signatures are accepted
//!
//! The crate `pgp` reads the bytes and does the arithmetic. This module decides what is accepted:
//!
//! - one signature or several, all of them good (`gpgv` ends with 0 under the same condition);
//! - version 4, of binary or text documents, with SHA-224 or better;
//! - by RSA of 2048 bits or more, ECDSA or EdDSA;
//! - made by a key of the keyring that may sign and is bound to its primary key, after the key was made and not in the
//!   future;
//! - the key is neither revoked nor expired now.
//!
//! This is stricter than `gpgv` 2.2, which accepts signatures of version 3, with SHA-1 and RIPEMD-160, by DSA and short
//! RSA, and from the future. A primary key's signatures of itself may use SHA-1, as those of Canonical's key of 2009 do:
//! such a key is trusted because its caller knows its fingerprint.

mod armor;
mod certificate;
mod inline;
mod keyring;
mod packets;
mod policy;
mod refusal;
mod verify;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::inline::unverified_text;
pub use self::inline::{Inline, verify_inline};
pub use self::keyring::{Keyring, KeyringError};
pub use self::refusal::Refusal;
pub use self::verify::{Signed, verify_detached};

/// How much of a keyring or a signature file is read, in bytes.
pub const LIMIT_BYTES: u64 = 4 << 20;

/// The name of a key of version 4: the SHA-1 of its public part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 20]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The last eight bytes, the name of a key in older signatures.
    pub(crate) fn key_id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[12..]);
        id
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    /// Forty hexadecimal digits of either case; blanks between them do not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.chars().filter(|character| *character != ' ').collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits);
        let error = || ParseFingerprintError { text: text.to_owned() };
        if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(0..) {
            *byte = u8::from_str_radix(&digits[pair * 2..pair * 2 + 2], 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

/// The error for a text that is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a fingerprint of 40 hexadecimal digits")]
pub struct ParseFingerprintError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_forty_digits() {
        let text = "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81";
        for spelling in [text, "d2eb 4462 6fdd c30b 513d  5bb7 1a5d 6c4c 7db8 7c81", &format!("0x{text}")] {
            let fingerprint: Fingerprint = spelling.parse().unwrap();
            assert_eq!(fingerprint.to_string(), text);
            assert_eq!(fingerprint.key_id(), [0x1a, 0x5d, 0x6c, 0x4c, 0x7d, 0xb8, 0x7c, 0x81]);
        }
        for spelling in ["", "7DB87C81", &text[1..], &format!("{text}00"), &text.replace('D', "é")] {
            assert!(spelling.parse::<Fingerprint>().is_err(), "{spelling}");
        }
    }
}
