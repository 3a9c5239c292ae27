//! Documents about a new image.

use std::path::PathBuf;

use clap::Args;

/// Documents about a new image, which are there with it or not at all.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Documents")]
pub(crate) struct Documents {
    /// Write what the image is made of and what differs from its base, as JSON: `imgraft verify` holds an image against it
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Write which packages and files are in the image: SPDX 2.3 where the name ends in .spdx.json, CycloneDX 1.6 where it
    /// ends in .cdx.json
    #[arg(long, value_name = "FILE")]
    pub(crate) sbom: Vec<PathBuf>,

    /// Write how the image came to be, as an in-toto statement with SLSA provenance
    #[arg(long, value_name = "FILE")]
    pub(crate) provenance: Option<PathBuf>,

    /// Write the same without the statement around it, as `actions/attest` takes it
    #[arg(long, value_name = "FILE")]
    pub(crate) predicate: Option<PathBuf>,

    /// Sign the manifest and the provenance with this secret key of OpenSSH: FILE.sig, which `ssh-keygen -Y verify` and
    /// `imgraft verify --signer` verify
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
}
