//! Salts that are the same for the same inputs.

use sha2::{Digest, Sha256};

/// The size of a salt in bytes.
const SALT_BYTES: usize = 16;

/// The salt of `user`'s password, made from `seed`, which differs from image to image.
///
/// The password must not be part of the salt, although another password would then have another salt: the salt stands
/// next to the hash, and whoever guesses passwords could try them against the fast hash here instead of the slow hash
/// there.
pub(super) fn bytes(seed: &[u8], user: &str) -> [u8; SALT_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(b"imgraft password salt\0");
    hasher.update((seed.len() as u64).to_le_bytes());
    hasher.update(seed);
    hasher.update(user.as_bytes());
    let digest = hasher.finalize();
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&digest[..SALT_BYTES]);
    salt
}
