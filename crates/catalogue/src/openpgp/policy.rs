//! Which digests and which keys are accepted.

use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Signature, SubpacketData};
use pgp::types::PublicParams;

use super::Refusal;

/// The shortest RSA key that is accepted, in bits.
const RSA_BITS: u16 = 2048;

/// Whether nobody can make two documents with the same digest.
pub(super) fn is_strong(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha224, Sha256, Sha384, Sha512};
    matches!(hash, Sha224 | Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

/// Whether a key's signature of itself may use this digest.
pub(super) fn is_strong_enough_for_self(hash: HashAlgorithm) -> bool {
    is_strong(hash) || hash == HashAlgorithm::Sha1
}

/// Whether such a key is accepted, or why not. `bits` is the length of the first number in its packet.
pub(super) fn check_key(parameters: &PublicParams, bits: u16) -> Result<(), &'static str> {
    match parameters {
        PublicParams::RSA(_) if bits >= RSA_BITS => Ok(()),
        PublicParams::RSA(_) => Err("its RSA modulus is shorter than 2048 bits"),
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => {
            Ok(())
        }
        PublicParams::DSA(_) => Err("it is a DSA key"),
        _ => Err("its algorithm is unknown"),
    }
}

/// Whether signatures by this algorithm are supported.
pub(super) fn check_algorithm(algorithm: PublicKeyAlgorithm) -> Result<(), Refusal> {
    use PublicKeyAlgorithm::{ECDSA, Ed448, Ed25519, EdDSALegacy, RSA, RSASign};
    match algorithm {
        RSA | RSASign | ECDSA | EdDSALegacy | Ed25519 | Ed448 => Ok(()),
        other => Err(Refusal::Algorithm(format!("{other:?}"))),
    }
}

/// Whether all critical parts of `signature` are known.
pub(super) fn check_critical(signature: &Signature) -> Result<(), Refusal> {
    let Some(config) = signature.config() else { return Ok(()) };
    for subpacket in config.hashed_subpackets().filter(|subpacket| subpacket.is_critical) {
        match &subpacket.data {
            SubpacketData::Other(kind, _) | SubpacketData::Experimental(kind, _) => {
                return Err(Refusal::Critical(*kind));
            }
            SubpacketData::Notation(_) => return Err(Refusal::Critical(20)),
            _ => {}
        }
    }
    Ok(())
}
