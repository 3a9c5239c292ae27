//! The network and the cache, as arguments and environment have them.

use std::path::PathBuf;

use catalogue::cache;
use catalogue::transport::{Error, Options, Proxies, Retry, Roots};
use catalogue::{Cache, Client};
use graft::in_one_line;
use recipe::ByteSize;

use crate::cli::network::{CacheFolder, Network};
use crate::environment;
use crate::explain;
use crate::failure::Failure;

impl CacheFolder {
    /// The cache.
    ///
    /// # Errors
    ///
    /// Neither an option nor the environment says where it is.
    pub(crate) fn open(&self) -> Result<Cache, Failure> {
        let own = self.cache_dir.clone().or_else(|| environment::path("IMGRAFT_CACHE_DIR"));
        let folder = own.or_else(|| system_folder().map(|folder| folder.join("imgraft")));
        folder.map(Cache::new).ok_or_else(|| {
            Failure::new("there is no folder to keep fetched files in: HOME is not set")
                .hint("say where with `--cache-dir` or IMGRAFT_CACHE_DIR")
        })
    }
}

/// The system's folder for caches.
fn system_folder() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return environment::home().map(|home| home.join("Library/Caches"));
    }
    // One that is not absolute is to be ignored (XDG Base Directory Specification).
    let folder = environment::path("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    folder.or_else(|| environment::home().map(|home| home.join(".cache")))
}

impl Network {
    /// A client that fetches files; `allow_http` also accepts documents without TLS.
    pub(crate) fn client(&self, allow_http: bool) -> Client {
        Client::new(Options { allow_http, ..options(&self.ca, self.offline) })
    }
}

/// How the network is used, with the authorities in the files `ca`, too.
pub(crate) fn options(ca: &[PathBuf], offline: bool) -> Options {
    let seed = environment::random_bytes().map_or(0, u64::from_ne_bytes);
    Options {
        roots: Roots {
            file: environment::path("SSL_CERT_FILE"),
            folders: environment::paths("SSL_CERT_DIR"),
            extra: ca.to_vec(),
        },
        proxies: proxies(),
        offline,
        retry: Retry { seed, ..Retry::default() },
        ..Options::default()
    }
}

/// The proxies that the environment has, by the names that curl knows: the one in lower case comes first.
fn proxies() -> Proxies {
    let first = |names: &[&str]| names.iter().find_map(|name| environment::text(name));
    Proxies {
        http: first(&["http_proxy"]),
        https: first(&["https_proxy", "HTTPS_PROXY"]),
        all: first(&["all_proxy", "ALL_PROXY"]),
        none_for: first(&["no_proxy", "NO_PROXY"]),
    }
}

/// Why a file did not come, and what to do about it.
pub(crate) fn fetch_failure(error: &Error) -> Failure {
    let failure = match error {
        Error::Cache(error) => cache_failure(error),
        // Each address has a line of its own.
        Error::NoMirror { causes, .. } => {
            Failure::new(error.to_string()).causes(causes.iter().map(|cause| in_one_line(cause)).collect())
        }
        Error::Offline { .. } | Error::OfflineDamaged { .. } => {
            Failure::of(error).hint("run it once without `--offline`: the cache has it from then on")
        }
        Error::WrongDigest { .. } => Failure::of(error).about(&explain::UNVERIFIED),
        _ => Failure::of(error),
    };
    if error.is_untrusted() {
        return failure.hint(
            "if the server, or a proxy that reads along, has a certificate of an authority of your own, name its file \
             with `--ca FILE` or SSL_CERT_FILE; look at this machine's clock, too",
        );
    }
    match error.is_unreachable() {
        true => failure.hint(
            "look at the network, and at a proxy (`https_proxy=http://HOST:PORT`); without a network, `--offline` takes \
             what is in the cache, `build --base FILE` a file that you have, and `--mirror URL` asks another site",
        ),
        false => failure,
    }
}

/// What is wrong with the cache, and what to do about it.
pub(crate) fn cache_failure(error: &cache::Error) -> Failure {
    match error {
        cache::Error::NoSpace { folder, needed_bytes, available_bytes } => {
            let message = match needed_bytes {
                Some(needed_bytes) => format!(
                    "there is no room in `{}`: {} are needed, and {} are free",
                    folder.display(),
                    ByteSize(*needed_bytes),
                    ByteSize(*available_bytes)
                ),
                None => error.to_string(),
            };
            let hint = "`imgraft cache prune` makes room; `--cache-dir` takes another folder";
            Failure::new(message).hint(hint).about(&explain::HOST_FULL)
        }
        _ => Failure::of(error),
    }
}
