//! What commands that begin with a base have in common.

use std::path::PathBuf;

use catalogue::config::is_http;
use catalogue::openpgp::Fingerprint;
use clap::Args;

use super::network::Network;

/// How a base that goes by a name is found and verified.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BaseSource {
    /// The machine that a base of the catalogue is for, such as amd64 or arm64 [default: what the recipe
    /// says, else this machine]
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,

    /// Fetch the base from this mirror instead of the publisher's site
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) mirror: Option<String>,

    /// Take the publisher's public keys from this file only
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring: Option<PathBuf>,

    /// Also accept lists signed by this key, given by the 40 digits of its fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) signer: Vec<Fingerprint>,

    /// Use the publisher's lists without verifying them
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Ask the registry of a base that is in one without TLS: anybody in between can read the password
    #[arg(long)]
    pub(crate) plain_http: bool,

    #[command(flatten)]
    pub(crate) network: Network,
}

/// The same where `--signer` is somebody else: who signed a manifest.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BaseOfManifest {
    /// The machine that a base of the catalogue is for, such as amd64 or arm64 [default: this machine]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,

    /// Fetch the base from this mirror instead of the publisher's site
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    mirror: Option<String>,

    /// Take the publisher's public keys from this file only
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,

    /// Also accept lists of bases signed by this key, given by the 40 digits of its fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    base_signer: Vec<Fingerprint>,

    /// Use the publisher's lists without verifying them
    #[arg(long)]
    insecure: bool,

    /// Ask the registry of a base that is in one without TLS: anybody in between can read the password
    #[arg(long)]
    plain_http: bool,

    #[command(flatten)]
    network: Network,
}

impl BaseOfManifest {
    /// How the base is found.
    pub(crate) fn source(&self) -> BaseSource {
        let Self { arch, mirror, keyring, base_signer, insecure, plain_http, network } = self.clone();
        BaseSource { arch, mirror, keyring, signer: base_signer, insecure, plain_http, network }
    }
}

fn parse_url(text: &str) -> Result<String, &'static str> {
    if is_http(text) { Ok(text.to_owned()) } else { Err("an address of https or http is needed") }
}
