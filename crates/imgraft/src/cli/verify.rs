//! `imgraft verify`.

use std::path::PathBuf;

use clap::Args;

use super::Backing;
use super::base::BaseSource;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft build --base noble.img --put dist/app:/usr/bin/app -o app.img --manifest app.img.manifest.json
  imgraft verify app.img --base noble.img
  imgraft verify app.img --base ubuntu:24.04 --manifest app.json

With a base, everything is looked at again: the image's file has the manifest's digest, the base has it, and the disks
differ in exactly what the manifest lists, each file with its digest, mode, owner and attributes. Without one, only the
image's file is held against its digest.

Exit codes:
  0  the image is what the manifest says
  1  it is not
  2  the image, the base or the manifest could not be read";

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

    #[command(flatten)]
    pub(crate) source: BaseSource,

    #[command(flatten)]
    pub(crate) backing: Backing,
}
