//! `imgraft verify`.

use std::path::PathBuf;

use clap::Args;

use super::Backing;
use super::base::BaseOfManifest;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft build --base noble.img --put dist/app:/usr/bin/app -o app.img --manifest app.img.manifest.json --sign key
  imgraft verify app.img --base noble.img --signer key.pub
  imgraft verify app.img --base ubuntu:24.04 --manifest app.json --signer allowed_signers --identity ci@example.org
  imgraft verify app.img --digest-only

Everything is looked at again: the image's file has the manifest's digest, the base has it, and the disks differ in exactly
what the manifest lists, each file with its digest, mode, owner and attributes. With --signer, the manifest's signature is
verified before anything in it is read. Without --signer, nobody says that the manifest is not somebody else's: what was not
checked is said at the end.

Exit codes:
  0  the image is what the manifest says, and the signature counts if --signer is given
  1  it is not, or the signature does not count
  2  the image, the base, the manifest or the signature could not be read, or there is no --base";

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The image
    pub(crate) image: PathBuf,

    /// What it was made of: a file, a name such as `ubuntu:24.04`, or an address followed by `#sha256:…`
    #[arg(long, value_name = "BASE")]
    pub(crate) base: Option<PathBuf>,

    /// The manifest that `build --manifest` wrote [default: IMAGE.manifest.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Hold nothing but the image's file against its digest, without the base
    #[arg(long, conflicts_with = "base")]
    pub(crate) digest_only: bool,

    /// Whose signature the manifest has to have: a public key, or allowed signers as `ssh-keygen -Y verify` takes them
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,

    /// Who of the allowed signers it has to be
    #[arg(long, value_name = "NAME", requires = "signer")]
    pub(crate) identity: Option<String>,

    /// The signature [default: the manifest's name and .sig]
    #[arg(long, value_name = "FILE", requires = "signer")]
    pub(crate) signature: Option<PathBuf>,

    /// Say what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) source: BaseOfManifest,

    #[command(flatten)]
    pub(crate) backing: Backing,
}
