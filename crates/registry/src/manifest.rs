//! Manifests (OCI Image Format Specification 1.1), and what of them is ours.

use std::collections::BTreeMap;

use catalogue::Digest;
use catalogue::cache::Algorithm;
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::error::Error;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// What an artifact of ours is: an image of a disk.
pub const ARTIFACT_TYPE: &str = "application/vnd.imgraft.image.v1";
/// The name of a file, where a layer is one.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";

/// What names some bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What they are.
    #[serde(default)]
    pub media_type: String,
    /// Their digest.
    pub digest: String,
    /// How many there are.
    pub size: u64,
    /// The platform that an image is for, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
}

/// What an image or an artifact consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// What this document is.
    #[serde(default)]
    pub media_type: String,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// How a container is run; nothing, for an artifact.
    pub config: Descriptor,
    /// The files.
    pub layers: Vec<Descriptor>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Several manifests, one for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, blob: &Blob) -> Self {
        let (digest, size) = (blob.digest().to_string(), blob.size_bytes());
        Self { media_type: media_type.to_owned(), digest, size, ..Self::default() }
    }

    /// Its digest, if it is one that is known.
    pub(crate) fn digest(&self, what: &str) -> Result<Digest, Error> {
        self.digest.parse().map_err(|error| Error::document(what, format!("names something by no digest: {error}")))
    }

    /// The name of the file that it is, if it has one.
    pub fn title(&self) -> Option<&str> {
        self.annotations.get(TITLE).map(String::as_str)
    }
}

impl Manifest {
    /// Its bytes: the same for the same content.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // Maps of strings, and numbers: nothing that JSON does not have.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        Digest::of(Algorithm::Sha256, &self.bytes())
    }

    pub(crate) fn new(config: Descriptor, layer: Descriptor, annotations: BTreeMap<String, String>) -> Self {
        let media_type = MANIFEST.to_owned();
        Self { schema_version: 2, media_type, artifact_type: None, config, layers: vec![layer], annotations }
    }
}

/// An artifact with one file, `image`, of the type `media_type` and the name `title`: its manifest, and the blobs that
/// it names.
pub fn artifact(
    image: Blob,
    media_type: &str,
    title: &str,
    annotations: BTreeMap<String, String>,
) -> (Manifest, Vec<Blob>) {
    let empty = Blob::of_bytes(b"{}".to_vec());
    let mut layer = Descriptor::of(media_type, &image);
    layer.annotations.insert(TITLE.to_owned(), title.to_owned());
    let mut manifest = Manifest::new(Descriptor::of(EMPTY, &empty), layer, annotations);
    manifest.artifact_type = Some(ARTIFACT_TYPE.to_owned());
    (manifest, vec![image, empty])
}
