//! A site, a cache, and a client that believes the site.
#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use catalogue::cache::Algorithm;
use catalogue::transport::{Error, Event, Options, Retry, Roots};
use catalogue::{Cache, Client, Digest, Download, Entry, Progress, Transport};
use tempfile::TempDir;
use testkit::site::Site;

/// The path of the file that the tests fetch.
pub(crate) const PATH: &str = "/noble/noble.img";

pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) cache: Cache,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(Site::https())
    }

    pub(crate) fn at(site: Site) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"));
        Self { site, cache, folder }
    }

    /// A site that has `bytes`.
    pub(crate) fn with(bytes: &[u8]) -> Self {
        let world = Self::new();
        world.site.put(PATH, bytes);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Options that believe the site, and hardly wait before they try again.
    pub(crate) fn options(&self) -> Options {
        options(&self.site)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.options())
    }

    /// The file of the site, which should be `bytes`.
    pub(crate) fn download(&self, bytes: &[u8]) -> Download {
        Download {
            name: "noble".to_owned(),
            urls: vec![self.site.url(PATH)],
            digest: sha256(bytes),
            size_bytes: Some(bytes.len() as u64),
        }
    }

    /// Fetches the file that should be `bytes`.
    pub(crate) fn fetch(&self, bytes: &[u8]) -> Result<Entry, Error> {
        self.client().fetch(&self.download(bytes), &self.cache, &Diary::default())
    }

    /// There is the entry for `bytes`, whole and read-only, and nothing else.
    pub(crate) fn assert_holds(&self, bytes: &[u8]) {
        let path = self.cache.path_of(&sha256(bytes));
        assert!(fs::read(&path).unwrap() == bytes, "other bytes");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o444);
        let hex = sha256(bytes).hex();
        assert_eq!(self.names(), [hex.clone(), format!("{hex}.json")]);
    }

    /// There is no entry for `bytes`, whatever else there is.
    pub(crate) fn assert_has_none(&self, bytes: &[u8]) {
        assert!(!self.cache.path_of(&sha256(bytes)).exists());
    }

    /// What is in the cache's folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache.folder().join("sha256")) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// How many bytes of the part there are.
    pub(crate) fn part_bytes(&self, bytes: &[u8]) -> Option<u64> {
        let path = self.cache.path_of(&sha256(bytes)).with_extension("part");
        fs::metadata(path).ok().map(|metadata| metadata.len())
    }
}

pub(crate) fn options(site: &Site) -> Options {
    Options {
        roots: Roots { file: Some(site.authority()), ..Roots::default() },
        retry: Retry { first_pause: Duration::from_millis(1), ..Retry::default() },
        ..Options::default()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// Bytes that are nowhere the same, made from `seed`.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..count.div_ceil(8)).flat_map(|_| next()).take(count).collect()
}

/// What was told, in short.
#[derive(Debug, Default)]
pub(crate) struct Diary(Mutex<Vec<String>>);

impl Diary {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Diary {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Waiting { .. } => "waiting".to_owned(),
            Event::Rehashing { have_bytes } => format!("rehashing {have_bytes}"),
            Event::Started { have_bytes, total_bytes, .. } => format!("started {have_bytes} of {total_bytes:?}"),
            Event::Received { .. } => return,
            Event::Retrying { cause, .. } => format!("retrying: {cause}"),
            Event::NextMirror { cause, .. } => format!("next: {cause}"),
            Event::Cached { size_bytes } => format!("cached {size_bytes}"),
            Event::Finished { size_bytes } => format!("finished {size_bytes}"),
            event => format!("{event:?}"),
        };
        let mut lines = self.0.lock().unwrap();
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
}
