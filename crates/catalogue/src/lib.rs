//! Base images by name: an index, downloads, signatures, a cache, and the lock that records what was used.

pub mod base;
pub mod cache;
pub mod config;
pub mod entry;
pub mod find;
pub mod index;
pub mod keys;
pub mod lock;
pub mod name;
pub mod openpgp;
pub mod time;
pub mod transport;

pub use base::{Base, Verified};
pub use cache::{Cache, Digest, Entry};
pub use config::{Config, ConfigError};
pub use entry::Catalogue;
pub use find::{FindError, Finder};
pub use keys::{KeySources, KeysError};
pub use lock::{Lock, LockError};
pub use name::{Address, BaseRef, Name, NameError, Pin};
pub use transport::{Client, Download, Progress, Transport};
