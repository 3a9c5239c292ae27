//! Where public keys come from. Whatever it is, only keys with the fingerprints of the catalogue are used.

use std::path::{Path, PathBuf};

use crate::entry::Signer;
use crate::openpgp::{Fingerprint, Keyring, KeyringError, LIMIT_BYTES};
use crate::transport::{self, Transport};

/// Where to look for keys, and whose are taken.
#[derive(Clone, Debug, Default)]
pub struct KeySources {
    /// A file of the user's, in place of the machine's keyrings and the key server.
    pub keyring: Option<PathBuf>,
    /// Keys that may sign besides those of the catalogue.
    pub signers: Vec<Fingerprint>,
    /// The folder in which the machine's own files are, where that is not `/`.
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
    /// A keyring is none.
    #[error("`{place}` is no keyring")]
    Keyring {
        /// The file, or the address.
        place: String,
        /// What is wrong with it.
        source: KeyringError,
    },
    /// A keyring has other keys only.
    #[error("the keys of `{place}` are {}, and those that may sign are {}", list(.found), list(.wanted))]
    OtherKeys {
        /// The file, or the address.
        place: String,
        /// Those that it has.
        found: Vec<Fingerprint>,
        /// Those that are taken.
        wanted: Vec<Fingerprint>,
    },
    /// There is no keyring on the machine, and the key server did not give the keys.
    #[error("no keyring of this machine has the keys, and they could not be fetched")]
    NotFetched {
        /// The address.
        url: String,
        /// The package that has them.
        package: String,
        /// What went wrong.
        source: Box<transport::Error>,
    },
    /// There is nowhere to look.
    #[error("there is no key that may sign")]
    Nowhere,
}

impl KeySources {
    /// The keys of `signer`.
    ///
    /// # Errors
    ///
    /// Where none can be had.
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

/// The keys of the file at `path`, if it is there.
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
    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OtherKeys { .. } => {
                Some("`--signer FINGERPRINT` takes a key that is not one of the publisher's".to_owned())
            }
            Self::NotFetched { package, .. } => {
                Some(format!("the package `{package}` has the keys, and `--keyring FILE` takes them from a file"))
            }
            _ => None,
        }
    }
}

fn list(keys: &[Fingerprint]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
