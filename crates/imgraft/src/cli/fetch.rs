//! `imgraft fetch`.

use std::path::PathBuf;

use clap::Args;

use super::base::BaseSource;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft fetch --list
  imgraft fetch ubuntu:24.04                        the newest build, into the cache
  imgraft fetch noble/minimal@20260827 -o noble.img
  imgraft fetch debian:13 --arch arm64
  imgraft fetch https://example.org/disk.img --sha256 0e25ca6ee9f0…
  qemu-img info $(imgraft fetch jammy --print-path)

Names are DISTRIBUTION:RELEASE or a release's codename, then /VARIANT and @BUILD where they matter;
a BUILD is a serial or a digest, `sha256:…`. An image is used only if its publisher's signature is
good and its digest is the signed one. Keys are taken from the machine's keyring, from --keyring or
from a key server, and only those whose fingerprints are known here. Debian signs nothing: its
digests are taken for TLS, and that is said.

~/.config/imgraft/config.toml may name mirrors:
  [mirror.ubuntu]
  url = \"https://mirror.example/ubuntu-cloud-images\"";

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Fetch {
    /// The base: a name, or an address followed by `#sha256:…` or `#sha512:…`
    #[arg(required_unless_present = "list")]
    pub(crate) name: Option<String>,

    /// List the names that there are
    #[arg(long, conflicts_with_all = ["name", "output", "sha256", "print_path"])]
    pub(crate) list: bool,

    /// Copy the image to this file, too
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The SHA-256 of what is at an address
    #[arg(long, value_name = "DIGITS")]
    pub(crate) sha256: Option<String>,

    /// Print the path of the image in the cache
    #[arg(long, conflicts_with = "json")]
    pub(crate) print_path: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) source: BaseSource,
}
