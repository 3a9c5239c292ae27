//! Salts that are the same for the same inputs.

use sha2::{Digest, Sha256};

/// The bytes of a salt.
const SALT_BYTES: usize = 16;

/// The salt of `user`'s password, from `seed`: what tells this image from others.
///
/// The password is not in it. It would be tempting, as another password had another salt then; but a salt stands
/// beside the hash for everybody to read, and whoever guesses passwords would ask the fast hash here in place of
/// the slow one there.
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
