//! Why a signature was not accepted.

use super::Fingerprint;
use crate::time::Time;

/// Why a signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no signature in it.
    #[error("there is no signature")]
    NoSignature,
    /// It cannot be read.
    #[error("the signature cannot be read: {0}")]
    Malformed(String),
    /// Its version is not 4.
    #[error("the signature has version {0}, but only version 4 is accepted")]
    Version(u8),
    /// It does not sign a document.
    #[error("the signature has type {0:#04x}, which does not sign a document")]
    Kind(u8),
    /// Its digest can be forged, or is unknown.
    #[error("the signature uses a {0} digest, which is too weak")]
    Hash(String),
    /// Its algorithm is not accepted, or is unknown.
    #[error("the signature uses {0}, which is not accepted")]
    Algorithm(String),
    /// It does not say when or by which key it was made.
    #[error("the signature does not say {0}")]
    Incomplete(&'static str),
    /// It has an unknown critical subpacket.
    #[error("the signature has a critical subpacket of the unknown type {0}")]
    Critical(u8),
    /// No key in the keyring made it.
    #[error("the signature was made by another key, {issuer}")]
    UnknownKey {
        /// The key that it names: a fingerprint, or its last 16 digits.
        issuer: String,
    },
    /// Its key did not sign this document, or the document was changed afterwards.
    #[error("the signature is bad: {key} did not sign this")]
    Bad {
        /// The key that it names.
        key: Fingerprint,
    },
    /// It has expired.
    #[error("the signature expired at {at}")]
    Expired {
        /// When it expired.
        at: Time,
    },
    /// It was made in the future.
    #[error("the signature is from the future, {made}")]
    Future {
        /// The time in the signature.
        made: Time,
    },
    /// It was made before its key.
    #[error("the signature, made at {made}, is older than its key {key}, made at {key_made}")]
    BeforeKey {
        /// Its key.
        key: Fingerprint,
        /// When its key was made.
        key_made: Time,
        /// The time in the signature.
        made: Time,
    },
    /// Its key has expired.
    #[error("the key {key} expired at {at}")]
    KeyExpired {
        /// The key.
        key: Fingerprint,
        /// When.
        at: Time,
    },
    /// Its key was revoked by its owner.
    #[error("the key {key} was revoked")]
    KeyRevoked {
        /// The key.
        key: Fingerprint,
    },
    /// Its key may not sign, or is not bound to its primary key.
    #[error("the key {key} cannot be used: {why}")]
    KeyUnusable {
        /// The key.
        key: Fingerprint,
        /// Why not.
        why: &'static str,
    },
}
