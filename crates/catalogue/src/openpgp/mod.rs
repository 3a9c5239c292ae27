//! Who signed a list: OpenPGP signatures, of which few kinds are taken.
//!
//! The bytes are read, and the arithmetic is done, by the crate `pgp`. What is taken for good is decided here:
//!
//! - one signature or several, each of which has to be good (`gpgv` ends with 0 under the same condition);
//! - version 4, of binary or text documents, with SHA-224 or better;
//! - by RSA of 2048 bits or more, ECDSA or EdDSA;
//! - made by a key of the keyring that may sign and is bound as it should be, after the key was made and not in the
//!   future;
//! - the key is neither revoked nor expired now. As an expiry is a time, a key that has none now had none then.
//!
//! Stricter than `gpgv` 2.2 of its own accord, which takes signatures of version 3, of SHA-1 and RIPEMD-160, by DSA
//! and short RSA, and from the future. Certifications of a primary key by itself may be of SHA-1, as those of Canonical's
//! key of 2009 are: what they say is trusted for the fingerprint, which the caller has.

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

/// What names a key of version 4: the SHA-1 of its public part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 20]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The last eight bytes, by which older signatures name a key.
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

/// A text that is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no fingerprint: 40 hexadecimal digits are")]
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
