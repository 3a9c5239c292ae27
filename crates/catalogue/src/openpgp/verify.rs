//! Verifying signatures.

use pgp::packet::Signature;

use super::armor::{self, Block};
use super::certificate::{Certificate, Subkey, expiry, hash_name, made, read};
use super::keyring::{self, Keyring};
use super::packets::{self, RawPacket, SIGNATURE};
use super::policy::{check_algorithm, check_critical, is_strong};
use super::{Fingerprint, Refusal};
use crate::time::Time;

/// The accepted version of signatures.
const VERSION: u8 = 4;
/// The types of signatures of documents: of the bytes as they are, and with CR LF as line ends.
pub(super) const BINARY: u8 = 0x00;
pub(super) const TEXT: u8 = 0x01;
/// The most signatures of one document.
const MAX_SIGNATURES: usize = 16;

/// Who signed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The fingerprint of the signer's primary key.
    pub signer: Fingerprint,
    /// The fingerprint of the key that signed, which may be a subkey.
    pub key: Fingerprint,
    /// The time in the signature.
    pub made: Time,
}

/// Verifies `signature`, binary or armored, of `document`. If it has several signatures, returns the first;
/// all must be good.
///
/// # Errors
///
/// Why the first bad one was not accepted.
pub fn verify_detached(document: &[u8], signature: &[u8], keys: &Keyring, now: Time) -> Result<Signed, Refusal> {
    let malformed = |what: &str| Refusal::Malformed(what.to_owned());
    if signature.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::NoSignature);
    }
    let decoded;
    let packets = if armor::is_armored(signature) {
        decoded = armor::decode(signature, Block::Signature).map_err(malformed)?;
        &decoded[..]
    } else {
        signature
    };
    verify_packets(document, packets, &[BINARY, TEXT], None, keys, now)
}

/// Verifies that every signature in `packets` is a good one of `document`, has one of the types `kinds`, and a digest
/// that is in `hashes`, if given.
pub(super) fn verify_packets(
    document: &[u8],
    packets: &[u8],
    kinds: &[u8],
    hashes: Option<&[String]>,
    keys: &Keyring,
    now: Time,
) -> Result<Signed, Refusal> {
    let packets = packets::split(packets).map_err(|what| Refusal::Malformed(what.to_owned()))?;
    if packets.iter().any(|packet| packet.tag != SIGNATURE) {
        return Err(Refusal::Malformed("it has something other than signatures in it".to_owned()));
    }
    if packets.len() > MAX_SIGNATURES {
        return Err(Refusal::Malformed(format!("there are more than {MAX_SIGNATURES} signatures in it")));
    }
    let mut first = None;
    for packet in &packets {
        let signed = verify_packet(document, packet, kinds, hashes, keys, now)?;
        first.get_or_insert(signed);
    }
    first.ok_or(Refusal::NoSignature)
}

fn verify_packet(
    document: &[u8],
    packet: &RawPacket<'_>,
    kinds: &[u8],
    hashes: Option<&[String]>,
    keys: &Keyring,
    now: Time,
) -> Result<Signed, Refusal> {
    match packet.body {
        [version, ..] if *version != VERSION => return Err(Refusal::Version(*version)),
        [_, kind, ..] if !kinds.contains(kind) => return Err(Refusal::Kind(*kind)),
        _ => {}
    }
    let unreadable = || Refusal::Malformed("its packet is damaged".to_owned());
    let signature: Signature = read(packet).ok_or_else(unreadable)?;
    let config = signature.config().ok_or_else(unreadable)?;
    if !is_strong(config.hash_alg) {
        return Err(Refusal::Hash(hash_name(config.hash_alg)));
    }
    let hash = hash_name(config.hash_alg);
    if let Some(hashes) = hashes
        && !hashes.contains(&hash)
    {
        return Err(Refusal::Malformed(format!("the document's `Hash:` header does not name {hash}")));
    }
    check_algorithm(config.pub_alg)?;
    check_critical(&signature)?;
    let made = made(&signature).ok_or(Refusal::Incomplete("when it was made"))?;
    let signer = signer(&signature, keys)?;
    let (key, key_made) = (signer.fingerprint(), signer.made());
    if !signer.has_signed(&signature, document) {
        return Err(Refusal::Bad { key });
    }
    if made < key_made {
        return Err(Refusal::BeforeKey { key, key_made, made });
    }
    if made > now {
        return Err(Refusal::Future { made });
    }
    if let Some(at) = expiry(&signature).filter(|at| *at <= now) {
        return Err(Refusal::Expired { at });
    }
    signer.check_signs(now)?;
    Ok(Signed { signer: signer.certificate.fingerprint, key, made })
}

/// A key of the keyring.
struct Signer<'a> {
    certificate: &'a Certificate,
    /// The subkey, if it is not the primary key.
    subkey: Option<&'a Subkey>,
}

impl Signer<'_> {
    fn fingerprint(&self) -> Fingerprint {
        self.subkey.map_or(self.certificate.fingerprint, |subkey| subkey.fingerprint)
    }

    fn made(&self) -> Time {
        self.subkey.map_or_else(|| self.certificate.made(), Subkey::made)
    }

    fn has_signed(&self, signature: &Signature, document: &[u8]) -> bool {
        match self.subkey {
            Some(subkey) => signature.verify(&subkey.key, document).is_ok(),
            None => signature.verify(&self.certificate.primary, document).is_ok(),
        }
    }

    fn check_signs(&self, now: Time) -> Result<(), Refusal> {
        match self.subkey {
            Some(subkey) => self.certificate.check_subkey_signs(subkey, now),
            None => self.certificate.check_primary_signs(now),
        }
    }
}

/// The key that the signature names.
fn signer<'a>(signature: &Signature, keys: &'a Keyring) -> Result<Signer<'a>, Refusal> {
    let fingerprints = signature.issuer_fingerprint();
    let ids = signature.issuer_key_id();
    let issuer = match (fingerprints.first(), ids.first()) {
        (Some(fingerprint), _) => hex(fingerprint.as_bytes()),
        (None, Some(id)) => hex(id.as_ref()),
        (None, None) => return Err(Refusal::Incomplete("which key made it")),
    };
    let is_named = |key: &Fingerprint| match fingerprints.first() {
        Some(fingerprint) => keyring::fingerprint(fingerprint).as_ref() == Some(key),
        None => ids.iter().any(|id| id.as_ref() == key.key_id()),
    };
    let signers = keys.certificates.iter().flat_map(|certificate| {
        let subkeys = certificate.subkeys.iter().map(move |subkey| Signer { certificate, subkey: Some(subkey) });
        [Signer { certificate, subkey: None }].into_iter().chain(subkeys)
    });
    let mut signers = signers.filter(|signer| is_named(&signer.fingerprint()));
    signers.next().ok_or(Refusal::UnknownKey { issuer })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
