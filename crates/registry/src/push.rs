//! Sending: what the manifest names first, the manifest last.

use std::cell::Cell;
use std::thread;

use catalogue::transport::{Again, Failed};

use crate::blob::Blob;
use crate::error::Error;
use crate::manifest::{MANIFEST, Manifest};
use crate::session::{Access, Registry, percent_encoded};
use catalogue::Digest;

/// Told how far it is.
pub trait Progress {
    /// So many bytes of a blob were sent; it begins anew with each attempt.
    fn sent(&self, blob: &Blob, sent_bytes: u64);
    /// The registry has a blob already.
    fn there(&self, blob: &Blob);
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The bytes of blobs that were sent.
    pub sent_bytes: u64,
    /// The bytes of blobs that the registry had already.
    pub there_bytes: u64,
}

impl Registry {
    /// Sends the `blobs` that the registry does not have, and then `manifest` under `tag`.
    ///
    /// # Errors
    ///
    /// [`Error`]; the tag is then what it was before.
    pub fn push(
        &self,
        manifest: &Manifest,
        blobs: &[Blob],
        tag: &str,
        progress: &dyn Progress,
    ) -> Result<Pushed, Error> {
        let mut pushed = Pushed { digest: manifest.digest(), sent_bytes: 0, there_bytes: 0 };
        for blob in blobs {
            if self.has(blob)? {
                progress.there(blob);
                pushed.there_bytes += blob.size_bytes();
            } else {
                self.upload(blob, progress)?;
                pushed.sent_bytes += blob.size_bytes();
            }
        }
        self.put_manifest(manifest, tag)?;
        Ok(pushed)
    }

    fn has(&self, blob: &Blob) -> Result<bool, Error> {
        let address = self.address(&format!("blobs/{}", blob.digest()))?;
        let answer = self.ask(Access::Push, &address, || self.web().once("HEAD", &address, &[], None))?;
        match answer.status {
            // A redirect leads to where it is.
            200 | 301 | 302 | 303 | 307 | 308 => Ok(true),
            404 => Ok(false),
            _ => Err(self.error(answer, Access::Push)),
        }
    }

    /// Sends one blob whole; an attempt that fails begins anew.
    fn upload(&self, blob: &Blob, progress: &dyn Progress) -> Result<(), Error> {
        let begin = self.address("blobs/uploads/")?;
        let mut failures = 0;
        loop {
            let mut nothing = std::io::empty();
            let answer =
                self.ask(Access::Push, &begin, || self.web().once("POST", &begin, &[], Some((&mut nothing, 0))))?;
            if answer.status != 202 {
                return Err(self.error(answer, Access::Push));
            }
            let location = answer.header("location").unwrap_or_default().to_owned();
            let address = answer.url.join(&location).ok().filter(|_| !location.is_empty()).ok_or_else(|| {
                Error::document(begin.as_str(), "does not say where the upload goes: it has no usable `Location`")
            })?;
            let separator = if address.as_str().contains('?') { '&' } else { '?' };
            let url = format!("{}{separator}digest={}", address.as_str(), percent_encoded(&blob.digest().to_string()));
            let address = catalogue::transport::Address::parse(&url)?;
            let unreadable = Cell::new(None);
            let tell = |sent_bytes| progress.sent(blob, sent_bytes);
            let mut reader = Noting { reader: blob.reader(&tell), error: &unreadable };
            // A registry without room says so before the bytes are on their way.
            let headers =
                [("content-type", "application/octet-stream".to_owned()), ("expect", "100-continue".to_owned())];
            let failed = match self.web().once("PUT", &address, &headers, Some((&mut reader, blob.size_bytes()))) {
                Ok(answer) if matches!(answer.status, 201 | 202 | 204) => return Ok(()),
                Ok(answer) => {
                    let Failed { again, error } = answer.refusal();
                    // A token may have ended meanwhile; the next attempt gets another one.
                    let again = if answer.status == 401 && failures == 0 { Again::Later } else { again };
                    failures += 1;
                    let pause = self.web().pause(&address, &Failed::new(error, again), failures);
                    match pause {
                        Some(pause) => thread::sleep(pause),
                        None => return Err(self.error(answer, Access::Push)),
                    }
                    continue;
                }
                Err(failed) => failed,
            };
            if let Some(error) = unreadable.take() {
                return Err(Error::Source(error));
            }
            failures += 1;
            match self.web().pause(&address, &failed, failures) {
                Some(pause) => thread::sleep(pause),
                None => return Err(failed.error.into()),
            }
        }
    }

    fn put_manifest(&self, manifest: &Manifest, tag: &str) -> Result<(), Error> {
        let (bytes, digest) = (manifest.bytes(), manifest.digest());
        let address = self.address(&format!("manifests/{tag}"))?;
        let headers = [("content-type", MANIFEST.to_owned())];
        let answer = self.ask(Access::Push, &address, || {
            self.web().once("PUT", &address, &headers, Some((&mut bytes.as_slice(), bytes.len() as u64)))
        })?;
        if !matches!(answer.status, 200..=202 | 204) {
            return Err(self.error(answer, Access::Push));
        }
        match answer.header("docker-content-digest").map(str::parse::<Digest>) {
            Some(Ok(found)) if found != digest => Err(Error::WrongDigest {
                what: self.reference.with_tag(Some(tag)).to_string(),
                found: Box::new(found),
                expected: Box::new(digest),
            }),
            _ => Ok(()),
        }
    }
}

/// A reader that keeps its error, which is otherwise taken for the connection's.
struct Noting<'a, R> {
    reader: R,
    error: &'a Cell<Option<std::io::Error>>,
}

impl<R: std::io::Read> std::io::Read for Noting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.error.set(Some(error));
            kind.into()
        })
    }
}
