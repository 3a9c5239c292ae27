//! Fetching an image by its digest, into the cache of bases.

use catalogue::cache::{Algorithm, Claim, Found};
use catalogue::transport::{self, Failed, Progress};
use catalogue::{Cache, Digest, Download, Entry, Transport};
use serde::Deserialize;

use crate::container_disk::{Layer, unpack};
use crate::error::Error;
use crate::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, INDEX, Index, MANIFEST, Manifest};
use crate::reference::Reference;
use crate::session::{Access, Registry};

/// The largest manifest (OCI Distribution Specification, Pushing Manifests).
const MANIFEST_LIMIT_BYTES: u64 = 4 << 20;
/// The largest image, in bytes.
const IMAGE_MAX_BYTES: u64 = 256 << 30;
/// How names of images end.
const ENDINGS: [&str; 9] = [".qcow2", ".img", ".raw", ".vmdk", ".vhd", ".tar.gz", ".gz", ".xz", ".zst"];

/// What a reference stands for.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The digest of the manifest.
    pub digest: Digest,
    bytes: Vec<u8>,
}

/// An image that was fetched.
#[derive(Debug)]
pub struct Pulled {
    /// The image in the cache.
    pub entry: Entry,
    /// The address of its bytes in the registry.
    pub address: String,
}

/// An index or a manifest.
enum Document {
    Index(Index),
    Manifest(Box<Manifest>),
}

impl Document {
    fn parse(bytes: &[u8], what: &str) -> Result<Self, Error> {
        /// What tells them apart.
        #[derive(Deserialize)]
        struct Kind {
            manifests: Option<serde::de::IgnoredAny>,
        }
        let invalid = |error: serde_json::Error| Error::document(what, format!("is not a manifest: {error}"));
        let kind: Kind = serde_json::from_slice(bytes).map_err(invalid)?;
        match kind.manifests {
            Some(_) => serde_json::from_slice(bytes).map(Self::Index).map_err(invalid),
            None => serde_json::from_slice(bytes).map(Self::Manifest).map_err(invalid),
        }
    }
}

impl Registry {
    /// The manifest that `reference`, in this repository, stands for now.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], and [`Error::WrongDigest`] for bytes that are not what the digest says.
    pub fn resolve(&self, reference: &Reference) -> Result<Resolved, Error> {
        let name = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| "latest".to_owned()),
        };
        let address = self.address(&format!("manifests/{name}"))?;
        let headers = [("accept", [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX].join(", "))];
        let mut failures = 0;
        let bytes = loop {
            let answer = self.ask(Access::Pull, &address, || self.web().get(&address, &headers, false))?;
            match answer.status {
                200 => {}
                404 => return Err(Error::Missing { reference: reference.to_string() }),
                _ => return Err(self.error(answer, Access::Pull)),
            }
            match self.web().document(answer, MANIFEST_LIMIT_BYTES) {
                Ok(bytes) => break bytes,
                Err(failed) => self.wait(&address, failed, &mut failures)?,
            }
        };
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        match reference.digest {
            Some(expected) if expected != digest => Err(Error::WrongDigest {
                what: address.as_str().to_owned(),
                found: Box::new(digest),
                expected: Box::new(expected),
            }),
            _ => Ok(Resolved { digest, bytes }),
        }
    }

    fn wait(&self, address: &transport::Address, failed: Failed, failures: &mut u32) -> Result<(), Error> {
        *failures += 1;
        match self.web().pause(address, &failed, *failures) {
            Some(pause) => std::thread::sleep(pause),
            None => return Err(failed.error.into()),
        }
        Ok(())
    }

    /// The manifest of this digest, from the cache or the registry; the cache has it from then on.
    fn manifest(&self, digest: &Digest, cache: &Cache) -> Result<Vec<u8>, Error> {
        let reference = self.reference.with_digest(*digest);
        if let Found::Entry(entry) = cache.find(digest)? {
            let limit = MANIFEST_LIMIT_BYTES;
            let small = std::fs::read(entry.path()).ok().filter(|bytes| bytes.len() as u64 <= limit);
            if let Some(bytes) = small.filter(|_| entry.size_bytes() <= limit) {
                return Ok(bytes);
            }
        }
        if self.web().options().offline {
            return Err(transport::Error::Offline { what: format!("`{reference}`") }.into());
        }
        let bytes = self.resolve(&reference)?.bytes;
        if let Claim::Part(mut part) = cache.claim(digest, &mut |_, _| {})? {
            part.restart()?;
            part.append(&bytes)?;
            part.finish(&format!("manifest of {}", self.reference))?;
        }
        Ok(bytes)
    }

    /// The image that `digest` stands for in this repository: the file of an artifact, or the disk of a container disk.
    /// In an index, the one for `architecture`.
    ///
    /// # Errors
    ///
    /// [`Error`]; what is in the cache has the digest that its name says.
    pub fn pull(
        &self,
        digest: &Digest,
        architecture: &str,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<Pulled, Error> {
        let what = self.reference.with_digest(*digest).to_string();
        let manifest = match Document::parse(&self.manifest(digest, cache)?, &what)? {
            Document::Manifest(manifest) => manifest,
            Document::Index(index) => {
                let chosen = of_architecture(&index, architecture, &what)?.digest(&what)?;
                match Document::parse(&self.manifest(&chosen, cache)?, &what)? {
                    Document::Manifest(manifest) => manifest,
                    Document::Index(_) => return Err(Error::document(what, "is an index of indexes")),
                }
            }
        };
        let (layer, packed) = layer_of(&manifest, &what)?;
        if layer.size > IMAGE_MAX_BYTES {
            return Err(Error::document(what, "has an image of more than 256 GiB"));
        }
        let layer_digest = layer.digest(&what)?;
        let address = self.address(&format!("blobs/{layer_digest}"))?;
        let download = Download {
            name: what.clone(),
            urls: vec![address.as_str().to_owned()],
            digest: layer_digest,
            size_bytes: Some(layer.size),
        };
        let entry = self.blob(&download, cache, progress)?;
        let entry = match packed {
            None => entry,
            Some(kind) => unpack(&std::fs::File::open(entry.path()).map_err(Error::Source)?, kind, cache, &what)?,
        };
        Ok(Pulled { entry, address: address.as_str().to_owned() })
    }

    /// A blob, from the cache or the registry. What came before a token ended is kept.
    fn blob(&self, download: &Download, cache: &Cache, progress: &dyn Progress) -> Result<Entry, Error> {
        match self.client.fetch(download, cache, progress) {
            Err(transport::Error::Status { status: 401, url, .. }) => {
                let address = transport::Address::parse(&url)?;
                let answer = self.ask(Access::Pull, &address, || self.web().once("HEAD", &address, &[], None))?;
                if matches!(answer.status, 401 | 403) {
                    return Err(self.error(answer, Access::Pull));
                }
                Ok(self.client.fetch(download, cache, progress)?)
            }
            other => Ok(other?),
        }
    }
}

fn of_architecture<'a>(index: &'a Index, architecture: &str, what: &str) -> Result<&'a Descriptor, Error> {
    let is_for = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_some_and(|platform| platform.architecture == architecture)
    };
    index.manifests.iter().find(is_for).ok_or_else(|| {
        let mut known: Vec<&str> =
            index.manifests.iter().filter_map(|one| one.platform.as_ref()).map(|p| p.architecture.as_str()).collect();
        known.truncate(20);
        Error::document(what, format!("has no image for `{architecture}`, but for: {}", known.join(", ")))
    })
}

/// The layer that is the image, or that has it in an archive.
fn layer_of<'a>(manifest: &'a Manifest, what: &str) -> Result<(&'a Descriptor, Option<Layer>), Error> {
    let archive = |layer: &Descriptor| match layer.media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar" => Some(Layer::Tar),
        "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Some(Layer::Gzip)
        }
        _ => None,
    };
    let is_image = |layer: &&Descriptor| {
        let is_named = |title: &str| ENDINGS.iter().any(|ending| title.ends_with(ending));
        layer.media_type.ends_with("disk") || layer.title().is_some_and(is_named)
    };
    let images: Vec<&Descriptor> = manifest.layers.iter().filter(is_image).collect();
    match (&images[..], &manifest.layers[..]) {
        // `oras` gives files this type unless it is told another one, too.
        (&[image], _) if image.title().is_some() || archive(image).is_none() => Ok((image, None)),
        (_, [layer]) if layer.media_type.contains("zstd") => {
            Err(Error::document(what, "has a layer in zstd, which imgraft does not read: gzip or none is needed"))
        }
        (_, [layer]) => Ok((layer, archive(layer))),
        (_, layers) => Err(Error::document(
            what,
            format!("has {} layers, and an artifact or a container disk with one image is needed", layers.len()),
        )),
    }
}
