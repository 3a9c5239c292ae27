//! Images in OCI registries: pushed as artifacts or container disks, and pulled by digest.
//!
//! ```no_run
//! use registry::{Login, Reference, Registry};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let reference: Reference = "oci://registry.example/team/base:1.2".parse()?;
//! let login = Login::User { name: "ci".to_owned(), password: "secret".to_owned() };
//! let registry = Registry::new(&reference, Default::default(), login, false)?;
//! println!("{}", registry.resolve(&reference)?.digest);
//! # Ok(())
//! # }
//! ```
//!
//! The protocol is the OCI Distribution Specification 1.1, over the transport of `catalogue`. A manifest is sent only
//! when everything that it names is there, so that a tag never shows a half of something.
//!
//! # What is refused
//!
//! Nothing that a registry says is trusted. Manifests of more than 4 MiB, other documents of more than 1 MiB, redirects
//! of an upload, a manifest whose bytes do not have the digest that was asked for, and a way to authenticate other than
//! Basic and Bearer are refused. A password is sent to the registry and to the token service that it names, over TLS,
//! and to nobody else; a redirect to another server gets no `Authorization`.

mod blob;
mod challenge;
mod config;
mod container_disk;
mod error;
mod manifest;
mod pull;
mod push;
mod reference;
mod session;

pub use blob::{Blob, Part};
pub use config::{Login, LoginError};
pub use container_disk::{Layer, container_disk, unpack};
pub use error::Error;
pub use manifest::{ARTIFACT_TYPE, Descriptor, Index, Manifest, Platform, artifact};
pub use pull::{Pulled, Resolved};
pub use push::{Progress, Pushed};
pub use reference::{Reference, ReferenceError};
pub use session::Registry;
