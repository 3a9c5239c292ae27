//! Why a signature was not taken.

use std::error::Error;
use std::fmt;

use super::Fingerprint;
use crate::time::Time;

/// Why a signature was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no signature in it.
    NoSignature,
    /// It cannot be read.
    Malformed(String),
    /// It is of another version than 4.
    Version(u8),
    /// It signs something else than a document.
    Kind(u8),
    /// Its digest is one that can be forged, or is not known.
    Hash(String),
    /// Its kind of arithmetic is not taken, or not known.
    Algorithm(String),
    /// It does not say when it was made, or by whom.
    Incomplete(&'static str),
    /// It has something in it that it says has to be understood, and is not.
    Critical(u8),
    /// None of the keys made it.
    UnknownKey {
        /// The key that it names: a fingerprint, or the last 16 digits of one.
        issuer: String,
    },
    /// Its key did not sign that, or it was changed afterwards.
    Bad {
        /// The key that it names.
        key: Fingerprint,
    },
    /// It was good until then.
    Expired {
        /// When it expired.
        at: Time,
    },
    /// It was made in the future.
    Future {
        /// When it says it was made.
        made: Time,
    },
    /// It was made before its key.
    BeforeKey {
        /// Its key.
        key: Fingerprint,
        /// When that was made.
        key_made: Time,
        /// When it says it was made.
        made: Time,
    },
    /// Its key has expired.
    KeyExpired {
        /// The key.
        key: Fingerprint,
        /// When.
        at: Time,
    },
    /// Its key was revoked by its owner.
    KeyRevoked {
        /// The key.
        key: Fingerprint,
    },
    /// Its key may not sign, or is not bound to be used.
    KeyUnusable {
        /// The key.
        key: Fingerprint,
        /// Why not.
        why: &'static str,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSignature => write!(f, "there is no signature"),
            Self::Malformed(what) => write!(f, "the signature cannot be read: {what}"),
            Self::Version(version) => write!(f, "the signature is of version {version}, and only version 4 is taken"),
            Self::Kind(kind) => write!(f, "the signature is of type {kind:#04x}, which is none of a document"),
            Self::Hash(hash) => write!(f, "the signature is of a {hash} digest, which is too weak"),
            Self::Algorithm(name) => write!(f, "the signature is one of {name}, which is not taken"),
            Self::Incomplete(what) => write!(f, "the signature does not say {what}"),
            Self::Critical(kind) => {
                write!(f, "the signature has a subpacket of type {kind} that has to be understood, and is not")
            }
            Self::UnknownKey { issuer } => write!(f, "the signature is by another key, {issuer}"),
            Self::Bad { key } => write!(f, "the signature is bad: {key} did not sign this"),
            Self::Expired { at } => write!(f, "the signature expired at {at}"),
            Self::Future { made } => write!(f, "the signature is from the future, {made}"),
            Self::BeforeKey { key, key_made, made } => {
                write!(f, "the signature, made at {made}, is older than its key {key}, made at {key_made}")
            }
            Self::KeyExpired { key, at } => write!(f, "the key {key} expired at {at}"),
            Self::KeyRevoked { key } => write!(f, "the key {key} was revoked"),
            Self::KeyUnusable { key, why } => write!(f, "the key {key} cannot be used: {why}"),
        }
    }
}

impl Error for Refusal {}
