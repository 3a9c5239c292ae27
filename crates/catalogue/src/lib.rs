//! Base images by name: an index, downloads, signatures, a cache, and the lock that records what was used.
