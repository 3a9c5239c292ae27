//! Base images by name: an index, downloads, signatures, a cache, and the lock that records what was used.

pub mod cache;
pub mod openpgp;
pub mod time;
pub mod transport;

pub use cache::{Cache, Digest, Entry};
pub use transport::{Client, Download, Progress, Transport};
