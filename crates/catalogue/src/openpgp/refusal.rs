//! Why a signature was not taken.

use super::Fingerprint;
use crate::time::Time;

/// Why a signature was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no signature in it.
    #[error("there is no signature")]
    NoSignature,
    /// It cannot be read.
    #[error("the signature cannot be read: {0}")]
    Malformed(String),
    /// It is of another version than 4.
    #[error("the signature is of version {0}, and only version 4 is taken")]
    Version(u8),
    /// It signs something else than a document.
    #[error("the signature is of type {0:#04x}, which is none of a document")]
    Kind(u8),
    /// Its digest is one that can be forged, or is not known.
    #[error("the signature is of a {0} digest, which is too weak")]
    Hash(String),
    /// Its kind of arithmetic is not taken, or not known.
    #[error("the signature is one of {0}, which is not taken")]
    Algorithm(String),
    /// It does not say when it was made, or by whom.
    #[error("the signature does not say {0}")]
    Incomplete(&'static str),
    /// It has something in it that it says has to be understood, and is not.
    #[error("the signature has a subpacket of type {0} that has to be understood, and is not")]
    Critical(u8),
    /// None of the keys made it.
    #[error("the signature is by another key, {issuer}")]
    UnknownKey {
        /// The key that it names: a fingerprint, or the last 16 digits of one.
        issuer: String,
    },
    /// Its key did not sign that, or it was changed afterwards.
    #[error("the signature is bad: {key} did not sign this")]
    Bad {
        /// The key that it names.
        key: Fingerprint,
    },
    /// It was good until then.
    #[error("the signature expired at {at}")]
    Expired {
        /// When it expired.
        at: Time,
    },
    /// It was made in the future.
    #[error("the signature is from the future, {made}")]
    Future {
        /// When it says it was made.
        made: Time,
    },
    /// It was made before its key.
    #[error("the signature, made at {made}, is older than its key {key}, made at {key_made}")]
    BeforeKey {
        /// Its key.
        key: Fingerprint,
        /// When that was made.
        key_made: Time,
        /// When it says it was made.
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
    /// Its key may not sign, or is not bound to be used.
    #[error("the key {key} cannot be used: {why}")]
    KeyUnusable {
        /// The key.
        key: Fingerprint,
        /// Why not.
        why: &'static str,
    },
}
