//! Trusted certificate authorities.

use std::path::{Path, PathBuf};

use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};
use ureq::tls::Certificate;

/// Trusted certificate authorities: the platform's or others in their place, and additional ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// A PEM file that replaces the platform's: `SSL_CERT_FILE`.
    pub file: Option<PathBuf>,
    /// Folders of such files with OpenSSL's names, which replace the platform's: `SSL_CERT_DIR`.
    pub folders: Vec<PathBuf>,
    /// Additional PEM files.
    pub extra: Vec<PathBuf>,
}

impl Roots {
    /// The certificates.
    ///
    /// # Errors
    ///
    /// If a given file is invalid, or there are no certificates at all.
    pub(super) fn load(&self) -> Result<Vec<Certificate<'static>>, String> {
        let mut found = match (&self.file, &self.folders[..]) {
            (None, []) => load_native_certs(),
            (file, _) => load_certs_from_paths(file.as_deref(), None),
        };
        // A platform's collection may contain invalid ones.
        if let (Some(file), true) = (&self.file, found.certs.is_empty()) {
            return Err(nothing_in(file, &found));
        }
        for folder in &self.folders {
            found.certs.extend(load_certs_from_paths(None, Some(folder)).certs);
        }
        for file in &self.extra {
            let extra = load_certs_from_paths(Some(file), None);
            if extra.certs.is_empty() {
                return Err(nothing_in(file, &extra));
            }
            found.certs.extend(extra.certs);
        }
        if found.certs.is_empty() {
            return Err("this machine has no certificates of authorities: install `ca-certificates`, or say with \
                        SSL_CERT_FILE where they are"
                .to_owned());
        }
        Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
    }
}

fn nothing_in(file: &Path, found: &CertificateResult) -> String {
    let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
    format!("there is no certificate in `{}`{why}", file.display())
}
