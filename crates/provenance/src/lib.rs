//! What a build knows about an image, as documents that others verify.
//!
//! - [`Manifest`]: all of it, by a schema of our own (`docs/manifest.schema.json`), and whether an image is what it says.
//! - [`spdx`] and [`cyclonedx`]: which packages and files an image has.
//! - [`statement`]: how the image came to be, as in-toto and SLSA say it.
//! - [`SecretKey`], [`Signature`] and [`Signers`]: who says so, as `ssh-keygen -Y` signs and verifies it.
//!
//! Nothing is read or written here, and nobody is asked for the time: the same facts give the same bytes.

mod cyclonedx;
mod difference;
mod manifest;
mod purl;
mod sbom;
mod signature;
mod slsa;
mod spdx;

pub use cyclonedx::cyclonedx;
pub use difference::difference;
pub use manifest::{
    Base, Changes, Digested, File, Input, LIMIT_BYTES, Manifest, ManifestError, Output, PathChange, Published, Tool,
    VERSION,
};
pub use purl::{Manager, Package, purl};
pub use sbom::{PutFile, Sbom};
pub use signature::{
    KEY_LIMIT_BYTES, KeyError, MANIFEST_NAMESPACE, SIGNATURE_LIMIT_BYTES, SIGNERS_LIMIT_BYTES, STATEMENT_NAMESPACE,
    SecretKey, Signature, SignatureError, Signer, Signers, SignersError,
};
pub use slsa::{PREDICATE_TYPE, predicate, statement};
pub use spdx::spdx;

/// Bytes of JSON for people, with a newline at the end.
fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    // Maps with keys of text and numbers that JSON has cannot fail.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
