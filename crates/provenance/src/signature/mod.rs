//! Signatures of documents, in the format of `ssh-keygen -Y` (SSHSIG).
//!
//! A signature is over a *namespace* and the digest of the bytes. The namespace says what kind of thing was signed, so
//! that a signature of one kind is never taken for one of another: a Git commit that somebody signed with the same key
//! is no manifest.

mod key;
mod signers;

use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, SshSig};
use thiserror::Error;

pub use self::key::{KEY_LIMIT_BYTES, KeyError, SecretKey};
pub use self::signers::{SIGNERS_LIMIT_BYTES, Signers, SignersError};

/// The namespace in which a manifest is signed.
pub const MANIFEST_NAMESPACE: &str = "imgraft-manifest";
/// The namespace in which an in-toto statement is signed.
pub const STATEMENT_NAMESPACE: &str = "imgraft-provenance";
/// The largest signature that is read, in bytes. One by an RSA key of 4096 bits has 1700.
pub const SIGNATURE_LIMIT_BYTES: u64 = 16 << 10;
/// The shortest RSA key that counts, in bits.
const RSA_MIN_BITS: usize = 2048;
/// The longest one, in bits: a longer one takes a verifier's time, and the library knows none.
const RSA_MAX_BITS: usize = 4096;

/// A signature in its armor, which is not verified yet.
#[derive(Debug)]
pub struct Signature(SshSig);

/// Who signed, after it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The identity that was asked for, where the file of allowed signers has identities.
    pub identity: Option<String>,
    /// The key's fingerprint: `SHA256:…`.
    pub fingerprint: String,
    /// The key's algorithm: `ssh-ed25519`.
    pub algorithm: String,
}

/// Why a signature does not count.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// It is larger than one that is read.
    #[error("it is larger than {SIGNATURE_LIMIT_BYTES} bytes")]
    TooLarge,
    /// It is not one.
    #[error("it is no signature as `ssh-keygen -Y sign` makes them: {0}")]
    Form(ssh_key::Error),
    /// It was made for another kind of document.
    #[error("it was made in the namespace `{found}`, and what counts here is signed in `{wanted}`")]
    Namespace {
        /// Where it was made.
        found: String,
        /// Where it has to be made.
        wanted: &'static str,
    },
    /// Its key is not strong enough, or longer than what is looked at.
    #[error("its RSA key has {bits} bits, and {RSA_MIN_BITS} to {RSA_MAX_BITS} count")]
    RsaBits {
        /// The length of its modulus.
        bits: usize,
    },
    /// It is by a key that nobody named.
    #[error("it was made with the key {fingerprint}, which is not the one of the signer")]
    OtherKey {
        /// The key.
        fingerprint: String,
    },
    /// It is by a key that the identity does not have.
    #[error("it was made with the key {fingerprint}, which no line has for `{identity}`")]
    UnknownKey {
        /// The key.
        fingerprint: String,
        /// Who was asked for.
        identity: String,
    },
    /// Lines have the key for the identity, and none lets it sign this now.
    #[error("it was made with the key {fingerprint}, and {}", .reasons.join("; "))]
    NotAllowed {
        /// The key.
        fingerprint: String,
        /// Why, for each line.
        reasons: Vec<String>,
    },
    /// It is not a signature of these bytes.
    #[error("the file is not what was signed with the key {fingerprint}: {error}")]
    Changed {
        /// The key.
        fingerprint: String,
        /// What the library says.
        error: ssh_key::Error,
    },
}

impl Signature {
    /// The signature in `bytes`, which may be anything.
    ///
    /// # Errors
    ///
    /// [`SignatureError::TooLarge`] and [`SignatureError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() as u64 > SIGNATURE_LIMIT_BYTES {
            return Err(SignatureError::TooLarge);
        }
        SshSig::from_pem(bytes).map(Self).map_err(SignatureError::Form)
    }

    /// The fingerprint of the key that it says it is by.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.public_key())
    }

    /// Verifies it: by the key in it, of these bytes, and in this namespace. Whose key that is, is another question.
    fn verify(&self, namespace: &'static str, bytes: &[u8]) -> Result<(), SignatureError> {
        if self.0.namespace() != namespace {
            return Err(SignatureError::Namespace { found: self.0.namespace().to_owned(), wanted: namespace });
        }
        let key = self.0.public_key();
        if let Some(bits) = rsa_bits(key).filter(|bits| !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(bits)) {
            return Err(SignatureError::RsaBits { bits });
        }
        PublicKey::from(key.clone())
            .verify(namespace, bytes, &self.0)
            .map_err(|error| SignatureError::Changed { fingerprint: self.fingerprint(), error })
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The length of an RSA key in bits.
fn rsa_bits(key: &KeyData) -> Option<usize> {
    let modulus = key.rsa()?.n.as_positive_bytes().unwrap_or_default();
    let first = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    Some((modulus.len() * 8).saturating_sub(first))
}
