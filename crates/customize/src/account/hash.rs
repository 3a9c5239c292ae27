//! Hashes passwords as the guest does.

use std::str::FromStr;

use recipe::SyntaxError;
use sha_crypt::ShaCrypt;
use yescrypt::{PasswordHasher, Yescrypt};

use super::defaults::{Defaults, text};
use super::salt;
use crate::carry_out::Work;
use crate::error::Error;

/// The number of rounds that a hash of SHA-crypt means if it does not state one.
const DEFAULT_ROUNDS: &str = "$rounds=5000$";

/// The PAM files that say how new passwords are hashed, of Debian, Red Hat and others.
const PAM_FILES: [&str; 4] =
    ["/etc/pam.d/common-password", "/etc/pam.d/system-auth", "/etc/pam.d/password-auth", "/etc/pam.d/passwd"];

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// yescrypt, `$y$`: the default of Debian, Ubuntu and Fedora since 2021.
    Yescrypt,
    /// SHA-512, `$6$`: every Linux of the last decade understands it.
    Sha512,
}

impl Scheme {
    /// The guest's scheme: that of PAM, else that of `/etc/login.defs`, else SHA-512.
    pub(crate) fn of_guest(work: &Work<'_>) -> Result<Self, Error> {
        for path in PAM_FILES {
            if let Some(scheme) = of_pam(&text(work, path)?) {
                return Ok(scheme);
            }
        }
        let method = Defaults::read(work)?.login("ENCRYPT_METHOD").map(str::to_ascii_lowercase);
        Ok(method.and_then(|method| method.parse().ok()).unwrap_or(Self::Sha512))
    }

    /// PAM's name of the scheme.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Yescrypt => "yescrypt",
            Self::Sha512 => "sha512",
        }
    }

    /// The hash of `password` for the field of `/etc/shadow`. The salt is made from `seed` and the user's name, so that
    /// the same inputs give the same hash.
    pub(crate) fn hash(self, password: &str, user: &str, seed: &[u8]) -> Result<String, Error> {
        let refused = |error: String| Error::refused(format!("the password of `{user}` cannot be hashed: {error}"));
        match self {
            Self::Yescrypt => {
                let hash = Yescrypt::default().hash_password_with_salt(password.as_bytes(), &salt::bytes(seed, user));
                Ok(hash.map_err(|error| refused(error.to_string()))?.as_str().to_owned())
            }
            Self::Sha512 => {
                // The salt has at most 16 characters, which are these 12 bytes.
                let salt = &salt::bytes(seed, user)[..12];
                let hash = ShaCrypt::SHA512.hash_password_with_salt(password.as_bytes(), salt);
                let hash = hash.map_err(|error| refused(error.to_string()))?;
                Ok(hash.as_str().replacen(DEFAULT_ROUNDS, "$", 1))
            }
        }
    }
}

impl FromStr for Scheme {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        match text {
            "yescrypt" => Ok(Self::Yescrypt),
            "sha512" => Ok(Self::Sha512),
            _ => Err(SyntaxError::invalid(text, "a way to hash a password", "expected `yescrypt` or `sha512`")),
        }
    }
}

/// The scheme for new passwords that a PAM file gives `pam_unix`.
fn of_pam(text: &str) -> Option<Scheme> {
    let lines = text.lines().map(str::trim_start);
    let is_password =
        |line: &&str| line.trim_start_matches('-').starts_with("password") && line.contains("pam_unix.so");
    let words = lines.filter(is_password).flat_map(str::split_ascii_whitespace);
    words.filter_map(|word| word.parse().ok()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pam_says_how() {
        let debian = "# yescrypt\npassword\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n";
        assert_eq!(of_pam(debian), Some(Scheme::Yescrypt));
        let fedora = "auth sufficient pam_unix.so yescrypt\npassword  sufficient  pam_unix.so sha512 shadow nullok\n";
        assert_eq!(of_pam(fedora), Some(Scheme::Sha512));
        assert_eq!(of_pam("password required pam_deny.so\n"), None);
    }

    #[test]
    fn the_same_inputs_give_the_same_hash_and_other_users_another() {
        for scheme in [Scheme::Yescrypt, Scheme::Sha512] {
            let hash = |user: &str, seed: &[u8]| scheme.hash("secret", user, seed).unwrap();
            assert_eq!(hash("ada", b"1"), hash("ada", b"1"));
            assert!(hash("ada", b"1") != hash("bob", b"1") && hash("ada", b"1") != hash("ada", b"2"));
        }
    }
}
