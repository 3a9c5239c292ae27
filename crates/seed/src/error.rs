/// Why a seed cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Content could not be read.
    #[error("reading the seed's content")]
    Storage(#[from] storage::Error),
    /// The ISO 9660 cannot be made.
    #[error("making an ISO 9660")]
    Iso(#[source] iso9660::Error),
    /// The FAT cannot be made.
    #[error("making a FAT")]
    Vfat(#[source] fat::Error),
    /// A disk has no seed on it.
    #[error("it is not a seed: {problem}")]
    NotASeed {
        /// Why not.
        problem: String,
    },
    /// A medium cannot be read.
    #[error("reading {what}")]
    Medium {
        /// What it is.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The medium has no room for a file of this size, however large it is made.
    #[error("`{name}` is too large: size_bytes={size_bytes}, {limit}")]
    TooLarge {
        /// The file.
        name: &'static str,
        /// Its size in bytes.
        size_bytes: u64,
        /// The limit.
        limit: &'static str,
    },
}
