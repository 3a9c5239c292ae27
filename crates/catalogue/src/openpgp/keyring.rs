//! Collections of public keys.

use super::Fingerprint;
use super::armor::{self, Block};
use super::certificate::Certificate;
use super::packets::{self, PUBLIC_KEY, SECRET_KEY};

/// Public keys with their own signatures.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    pub(super) certificates: Vec<Certificate>,
}

/// Why a file is not a valid keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// It is in GnuPG's own format.
    #[error("it is a GnuPG keybox: export its keys with `gpg --no-default-keyring --keyring FILE --export`")]
    Keybox,
    /// There are secret keys in it.
    #[error("it has secret keys in it: only public keys belong there")]
    Secret,
    /// It has no usable key.
    #[error("it has no usable key")]
    Empty,
    /// It cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
}

impl Keyring {
    /// The keys of a file, binary or armored. Keys of unsupported kinds are left out.
    ///
    /// # Errors
    ///
    /// Every [`KeyringError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyringError> {
        if bytes.get(8..12) == Some(b"KBXf") {
            return Err(KeyringError::Keybox);
        }
        let decoded;
        let bytes = if armor::is_armored(bytes) {
            decoded = armor::decode(bytes, Block::PublicKey).map_err(KeyringError::Malformed)?;
            &decoded[..]
        } else {
            bytes
        };
        let packets = packets::split(bytes).map_err(KeyringError::Malformed)?;
        if packets.iter().any(|packet| packet.tag == SECRET_KEY) {
            return Err(KeyringError::Secret);
        }
        let starts: Vec<usize> = (0..packets.len()).filter(|index| packets[*index].tag == PUBLIC_KEY).collect();
        let ends = starts.iter().skip(1).copied().chain([packets.len()]);
        let certificates: Vec<Certificate> =
            starts.iter().zip(ends).filter_map(|(start, end)| Certificate::read(&packets[*start..end]).ok()).collect();
        if certificates.is_empty() { Err(KeyringError::Empty) } else { Ok(Self { certificates }) }
    }

    /// The fingerprints of the primary keys.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.certificates.iter().map(|certificate| certificate.fingerprint).collect()
    }

    /// The keys whose primary keys have one of these fingerprints.
    pub fn only(mut self, fingerprints: &[Fingerprint]) -> Self {
        self.certificates.retain(|certificate| fingerprints.contains(&certificate.fingerprint));
        self
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Adds the keys of another keyring.
    pub fn extend(&mut self, other: Self) {
        self.certificates.extend(other.certificates);
    }
}

/// A fingerprint of version 4 in our own type.
pub(super) fn fingerprint(fingerprint: &pgp::types::Fingerprint) -> Option<Fingerprint> {
    match fingerprint {
        pgp::types::Fingerprint::V4(bytes) => Some(Fingerprint::new(*bytes)),
        _ => None,
    }
}
