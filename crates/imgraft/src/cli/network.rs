//! What commands that fetch files, or keep them, have in common.

use std::path::PathBuf;

use clap::Args;

/// Where fetched files are kept.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CacheFolder {
    /// The folder that fetched files are kept in [default: IMGRAFT_CACHE_DIR, else `imgraft` in the
    /// system's folder for caches]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// How the network is used.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Network {
    #[command(flatten)]
    pub(crate) cache: CacheFolder,

    /// Do not use the network: take what is in the cache, or say what is missing
    #[arg(long)]
    pub(crate) offline: bool,

    /// Also trust the certificate authorities in this file (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
}
