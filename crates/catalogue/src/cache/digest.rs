//! Digests: the names of files in the cache, and in publishers' lists.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, of 32 bytes.
    Sha256,
    /// SHA-512, of 64 bytes.
    Sha512,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// `sha256` or `sha512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of such a digest in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A digest of a whole file. Its text is `sha256:` or `sha512:` and lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// A SHA-256.
    Sha256([u8; 32]),
    /// A SHA-512.
    Sha512([u8; 64]),
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest in `text`: hexadecimal digits of either case, without the algorithm's name.
    ///
    /// # Errors
    ///
    /// If the number of digits does not match the algorithm, or something is not a digit.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Result<Self, ParseDigestError> {
        match algorithm {
            Algorithm::Sha256 => bytes_of_hex(algorithm, text).map(Self::Sha256),
            Algorithm::Sha512 => bytes_of_hex(algorithm, text).map(Self::Sha512),
        }
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Its bytes: 32 or 64.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// Its bytes in lower-case hexadecimal.
    pub fn hex(&self) -> String {
        self.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, hex) = text.split_once(':').ok_or(ParseDigestError::NoAlgorithm)?;
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        Self::from_hex(algorithm.ok_or_else(|| ParseDigestError::UnknownAlgorithm(name.to_owned()))?, hex)
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDigestError {
    /// It does not name its algorithm.
    #[error("a digest begins with `sha256:` or `sha512:`")]
    NoAlgorithm,
    /// Its algorithm is unknown.
    #[error("unknown digest `{0}`: use sha256 or sha512")]
    UnknownAlgorithm(String),
    /// It has the wrong number of digits.
    #[error("a {} has {} hexadecimal digits, not {found}", .algorithm.name(), .algorithm.length() * 2)]
    Length {
        /// Its algorithm.
        algorithm: Algorithm,
        /// How many characters there are.
        found: usize,
    },
    /// It has something other than hexadecimal digits in it.
    #[error("a digest has hexadecimal digits only")]
    NotHex,
}

fn bytes_of_hex<const COUNT: usize>(algorithm: Algorithm, text: &str) -> Result<[u8; COUNT], ParseDigestError> {
    if text.len() != COUNT * 2 {
        return Err(ParseDigestError::Length { algorithm, found: text.chars().count() });
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(ParseDigestError::NotHex);
    let mut bytes = [0; COUNT];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Ok(bytes)
}

/// Computes a digest.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Begins with no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes that were added.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::Sha256(state.finalize().into()),
            State::Sha512(state) => Digest::Sha512(state.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The digests of "abc" as FIPS 180-2 has them in its appendices B.1 and C.1.
    const ABC_256: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn digests_are_those_of_the_standard() {
        for (algorithm, text) in [(Algorithm::Sha256, ABC_256), (Algorithm::Sha512, ABC_512)] {
            let digest = Digest::of(algorithm, b"abc");
            assert_eq!(digest.to_string(), text);
            assert_eq!(text.parse(), Ok(digest));
        }
    }

    #[test]
    fn hexadecimal_digits_may_be_of_either_case() {
        let upper = ABC_256.replacen("sha256:", "", 1).to_uppercase();
        assert_eq!(Digest::from_hex(Algorithm::Sha256, &upper).unwrap().to_string(), ABC_256);
    }

    #[test]
    fn what_is_no_digest_says_why() {
        for (text, error) in [
            ("", "a digest begins with `sha256:` or `sha512:`"),
            ("md5:00", "unknown digest `md5`: use sha256 or sha512"),
            ("sha256:00", "a sha256 has 64 hexadecimal digits, not 2"),
            (&ABC_256.replace("sha256", "sha512"), "a sha512 has 128 hexadecimal digits, not 64"),
            (&ABC_256.replace("ba", "+a"), "a digest has hexadecimal digits only"),
            (&format!("sha256:{}", "é".repeat(32)), "a digest has hexadecimal digits only"),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap_err().to_string(), error, "{text}");
        }
    }
}
