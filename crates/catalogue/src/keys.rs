//! Where public keys come from. Only keys with the fingerprints in the catalogue are used, whatever the source.

use std::path::{Path, PathBuf};

use crate::entry::Signer;
use crate::openpgp::{Fingerprint, Keyring, KeyringError, LIMIT_BYTES};
use crate::transport::{self, Transport};

/// Where to look for keys, and which are accepted.
#[derive(Clone, Debug, Default)]
pub struct KeySources {
    /// The user's own file, used instead of the machine's keyrings and the key server.
    pub keyring: Option<PathBuf>,
    /// Keys that may sign besides those of the catalogue.
    pub signers: Vec<Fingerprint>,
    /// The root of the machine's files, if it is not `/`.
    pub root: Option<PathBuf>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A keyring cannot be read.
    #[error("the keyring `{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A keyring is too large to be one.
    #[error("`{path}` is too large for a keyring")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A keyring is invalid.
    #[error("`{place}` is not a keyring")]
    Keyring {
        /// The file, or the address.
        place: String,
        /// What is wrong with it.
        source: KeyringError,
    },
    /// A keyring has only other keys.
    #[error("`{place}` has the keys {}, but only {} may sign", list(.found), list(.wanted))]
    OtherKeys {
        /// The file, or the address.
        place: String,
        /// Its keys.
        found: Vec<Fingerprint>,
        /// The accepted keys.
        wanted: Vec<Fingerprint>,
    },
    /// There is no keyring on the machine, and the keys could not be fetched.
    #[error("no keyring on this machine has the keys, and they could not be fetched")]
    NotFetched {
        /// The address.
        url: String,
        /// The package that has them.
        package: String,
        /// What went wrong.
        source: Box<transport::Error>,
    },
    /// There is no source of keys.
    #[error("the catalogue has no key for this list")]
    Nowhere,
}

impl KeySources {
    /// The keys of `signer`.
    ///
    /// # Errors
    ///
    /// If none can be found.
    pub fn keyring(&self, signer: &Signer, transport: &dyn Transport) -> Result<Keyring, KeysError> {
        let mut wanted = signer.fingerprints.clone();
        wanted.extend(&self.signers);
        if let Some(path) = &self.keyring {
            let keys = read(path)?.ok_or_else(|| KeysError::Unreadable {
                path: path.clone(),
                source: std::io::ErrorKind::NotFound.into(),
            })?;
            return only(keys, &wanted, &path.display().to_string());
        }
        let mut keys = Keyring::default();
        for path in &signer.keyrings {
            let root = self.root.as_deref().unwrap_or(Path::new("/"));
            if let Some(found) = read(&root.join(path.trim_start_matches('/')))? {
                keys.extend(found.only(&wanted));
            }
        }
        if !keys.is_empty() {
            return Ok(keys);
        }
        let mut problem = KeysError::Nowhere;
        for fingerprint in &wanted {
            match fetch(signer, *fingerprint, transport) {
                Ok(found) => keys.extend(found),
                Err(error) => problem = error,
            }
        }
        if keys.is_empty() { Err(problem) } else { Ok(keys) }
    }
}

fn fetch(signer: &Signer, fingerprint: Fingerprint, transport: &dyn Transport) -> Result<Keyring, KeysError> {
    let url = signer.keyserver.replace("{fingerprint}", &fingerprint.to_string());
    let bytes = transport.small(&url, LIMIT_BYTES).map_err(|source| KeysError::NotFetched {
        url: url.clone(),
        package: signer.package.clone(),
        source: Box::new(source),
    })?;
    let keys = Keyring::parse(&bytes).map_err(|source| KeysError::Keyring { place: url.clone(), source })?;
    only(keys, &[fingerprint], &url)
}

fn only(keys: Keyring, wanted: &[Fingerprint], place: &str) -> Result<Keyring, KeysError> {
    let found = keys.fingerprints();
    let keys = keys.only(wanted);
    if keys.is_empty() {
        return Err(KeysError::OtherKeys { place: place.to_owned(), found, wanted: wanted.to_vec() });
    }
    Ok(keys)
}

/// The keys of the file at `path`, if it exists.
fn read(path: &Path) -> Result<Option<Keyring>, KeysError> {
    let bytes = match std::fs::metadata(path)
        .and_then(|metadata| if metadata.len() > LIMIT_BYTES { Ok(None) } else { std::fs::read(path).map(Some) })
    {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(KeysError::TooLarge { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeysError::Unreadable { path: path.to_owned(), source }),
    };
    let keyring = |source| KeysError::Keyring { place: path.display().to_string(), source };
    Keyring::parse(&bytes).map(Some).map_err(keyring)
}

impl KeysError {
    /// What to do about it, if something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OtherKeys { .. } => Some("`--signer FINGERPRINT` also accepts lists signed by that key".to_owned()),
            Self::NotFetched { package, .. } => {
                Some(format!("install the package `{package}`, or use `--keyring FILE`"))
            }
            _ => None,
        }
    }
}

fn list(keys: &[Fingerprint]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
