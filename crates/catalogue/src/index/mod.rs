//! The lists in which publishers say which images there are.
//!
//! For Ubuntu 12.04 on armhf, two JSON files of Simplestreams below cloud-images.ubuntu.com lead to the image
//! (`tests/published` has the second):
//!
//! ```text
//! streams/v1/index.sjson
//!   "index": {"com.ubuntu.cloud:released:download": {"path": "streams/v1/com.ubuntu.cloud:released:download.sjson"}}
//! streams/v1/com.ubuntu.cloud:released:download.sjson
//!   "products": {"com.ubuntu.cloud:server:12.04:armhf": {"versions": {"20170502": {"items": {"disk1.img": {
//!     "path": "server/releases/precise/release-20170502/ubuntu-12.04-server-cloudimg-armhf-disk1.img",
//!     "sha256": "aeb2f404…", "size": 232063488}}}}}}
//! ```
//!
//! The first names the second. The second has each build by its serial, `20170502`, and the path, digest and size of
//! its image; the largest serial is the newest build. Both files are signed. The list of other sites is a `SHA256SUMS` or
//! `SHA512SUMS` in the build's folder, with a digest and a file name in each line:
//!
//! ```text
//! 0c30066e9e46f785d1807b85fddfd9158b4f2a4d048f6d13b8e50d96b55a9ed5 *ubuntu-24.04-server-cloudimg-riscv64.img
//! ```
//!
//! Ubuntu signs it in `SHA256SUMS.gpg`. Debian does not sign it, so it must come over TLS. Debian's folder `latest`
//! does not tell which build it has; a manifest beside the image, JSON as well, has the serial, such as `20260316-2418`.

pub mod manifest;
pub mod streams;
pub mod sums;
