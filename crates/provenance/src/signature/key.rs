//! A secret key of OpenSSH, and what is signed with it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::rand_core::OsRng;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, Mpint, PrivateKey, Signature as Signed, SshSig};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{RSA_MAX_BITS, RSA_MIN_BITS, Signature, fingerprint, rsa_bits};

/// The largest file of a secret key that is read, in bytes.
pub const KEY_LIMIT_BYTES: u64 = 64 << 10;
/// What a file of a secret key begins with.
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// What the bytes in it begin with.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// A secret key. What is in it is in no message and in no debug output.
pub struct SecretKey(PrivateKey);

/// Why a key cannot be used. None of these has anything of the key in it.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It is larger than one that is read.
    #[error("it is larger than {KEY_LIMIT_BYTES} bytes")]
    TooLarge,
    /// It is the other half.
    #[error("it is a public key, and signing takes the secret one")]
    Public,
    /// It is a key in another format.
    #[error("it is not in OpenSSH's own format, which begins with `{BEGIN}`")]
    OtherFormat,
    /// It is damaged, or of a kind that is not known.
    #[error("it cannot be read: {0}")]
    Form(ssh_key::Error),
    /// It has a passphrase.
    #[error("it has a passphrase, which is not asked for")]
    Encrypted,
    /// It is of a kind that is not signed with.
    #[error("it is a key of the kind {0}, and Ed25519, ECDSA and RSA are what documents are signed with")]
    Algorithm(String),
    /// It is not strong enough, or longer than what verifiers look at.
    #[error("its RSA key has {bits} bits, and {RSA_MIN_BITS} to {RSA_MAX_BITS} count")]
    RsaBits {
        /// The length of its modulus.
        bits: usize,
    },
    /// What was signed with it cannot be verified with it.
    #[error("what is signed with it cannot be verified with it: it is damaged")]
    Unverified,
}

impl SecretKey {
    /// The key in `bytes`, which may be anything and are wiped.
    ///
    /// # Errors
    ///
    /// If it is none that documents can be signed with.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() as u64 > KEY_LIMIT_BYTES {
            return Err(KeyError::TooLarge);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| KeyError::OtherFormat)?.trim_start();
        if !text.starts_with(BEGIN) {
            let is_public = ssh_key::PublicKey::from_openssh(text.trim_end()).is_ok();
            return Err(if is_public { KeyError::Public } else { KeyError::OtherFormat });
        }
        let key = PrivateKey::from_openssh(text).or_else(|error| {
            let bytes = padded(text).ok_or(error)?;
            PrivateKey::from_bytes(&bytes)
        });
        let key = key.map_err(KeyError::Form)?;
        if key.is_encrypted() {
            return Err(KeyError::Encrypted);
        }
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => {}
            Algorithm::Rsa { .. } => {
                let bits = rsa_bits(key.public_key().key_data()).unwrap_or_default();
                if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) {
                    return Err(KeyError::RsaBits { bits });
                }
            }
            other => return Err(KeyError::Algorithm(other.to_string())),
        }
        Ok(Self(key))
    }

    /// Its fingerprint: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.public_key().key_data())
    }

    /// The signature of `bytes` in `namespace`, in its armor. The same key and bytes give the same signature, unless the
    /// key is one of P-521: Ed25519 and RSA (PKCS #1 v1.5) draw nothing at random, and ECDSA on the other curves draws
    /// its number from key and bytes (RFC 6979).
    ///
    /// # Errors
    ///
    /// If the key is damaged.
    pub fn sign(&self, namespace: &'static str, bytes: &[u8]) -> Result<String, KeyError> {
        let signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => {
                let message = SshSig::signed_data(namespace, HashAlg::Sha512, bytes).map_err(KeyError::Form)?;
                let signature = sign_rsa(pair, &message).map_err(KeyError::Form)?;
                let public = self.0.public_key().key_data().clone();
                SshSig::new(public, namespace, HashAlg::Sha512, signature).map_err(KeyError::Form)?
            }
            _ => self.0.sign(namespace, HashAlg::Sha512, bytes).map_err(KeyError::Form)?,
        };
        let armored = signature.to_pem(LineEnding::LF).map_err(KeyError::Form)?;
        // A fault while signing may give the key away, and a signature that nobody accepts is none.
        let is_good = Signature::parse(armored.as_bytes()).is_ok_and(|again| again.verify(namespace, bytes).is_ok());
        if is_good { Ok(armored) } else { Err(KeyError::Unverified) }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey({})", self.fingerprint())
    }
}

/// Signs with RSA, PKCS #1 v1.5 and SHA-512. The library of SSH's formats takes one prime twice, and signs nothing. Blinded:
/// a random number hides from the clock what is computed with, and leaves no trace in the signature.
fn sign_rsa(pair: &RsaKeypair, message: &[u8]) -> Result<Signed, ssh_key::Error> {
    let number = |number: &Mpint| rsa::BigUint::try_from(number);
    let RsaKeypair { public, private } = pair;
    let primes = vec![number(&private.p)?, number(&private.q)?];
    let key = rsa::RsaPrivateKey::from_components(number(&public.n)?, number(&public.e)?, number(&private.d)?, primes)?;
    let key = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha512>::new(key);
    let signature = key.try_sign_with_rng(&mut OsRng, message)?;
    Signed::new(Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, signature.to_vec())
}

/// The bytes of an ECDSA key whose secret number has its leading zeros, which OpenSSH leaves out and the library wants.
/// One key of P-521 in two has some, and one in 256 of the others.
fn padded(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = pem.strip_prefix(BEGIN)?.split(END).next()?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let bytes = Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?);
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let (cipher, _derivation, _options) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
    let count = rest.split_off(..4)?;
    let (public, mut rest) = (string(&mut rest)?, string(&mut rest)?);
    if cipher != b"none" || count != 1_u32.to_be_bytes() {
        return None;
    }
    let checks = rest.split_off(..8)?;
    let (name, curve, point) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
    let (number, comment) = (string(&mut rest)?, string(&mut rest)?);
    let length: usize = match Algorithm::new(std::str::from_utf8(name).ok()?).ok()? {
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => 32,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 } => 48,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 } => 66,
        _ => return None,
    };
    let missing = length.checked_sub(number.len())?;
    let number = Zeroizing::new([&vec![0; missing][..], number].concat());
    let mut secret = Zeroizing::new(Vec::with_capacity(bytes.len() + length));
    secret.extend_from_slice(checks);
    [name, curve, point, &number, comment].iter().for_each(|field| push(&mut secret, field));
    // Numbers from 1 on fill it up to the block size of no cipher.
    let padding = secret.len().next_multiple_of(8) - secret.len();
    secret.extend((1..=8).take(padding));
    let mut all = Zeroizing::new(Vec::with_capacity(2 * bytes.len() + length));
    all.extend_from_slice(MAGIC);
    [b"none", b"none", &b""[..]].iter().for_each(|field| push(&mut all, field));
    all.extend_from_slice(count);
    [public, &secret].iter().for_each(|field| push(&mut all, field));
    Some(all)
}

/// Takes a string: its length in four bytes, and its bytes.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = rest.split_off(..4)?;
    rest.split_off(..u32::from_be_bytes(length.try_into().ok()?) as usize)
}

fn push(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&(field.len() as u32).to_be_bytes());
    bytes.extend_from_slice(field);
}
