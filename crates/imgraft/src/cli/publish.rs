//! `imgraft publish`, and how registries are asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use registry::Reference;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft publish my.qcow2 oci://registry.example/team/my:1.0
  imgraft publish my.qcow2 oci://registry.example/team/my:1.0 --as container-disk
  imgraft publish my.qcow2 oci://registry.example/my --username ci --password-stdin < password.txt
  imgraft build --base oci://registry.example/team/my@sha256:… --put app:/usr/local/bin/app -o app.qcow2

The login is the one of `docker login` or `podman login`. What the registry has already is not sent again, and the tag
shows the image only when all of it is there. The digest that is printed names it for good: `--base` takes it.";

/// What an image becomes in a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// An OCI 1.1 artifact with the image as its one file
    #[default]
    Artifact,
    /// A container disk for KubeVirt: the image in /disk of a container image
    ContainerDisk,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The image
    pub(crate) image: PathBuf,

    /// Where it goes: `oci://REGISTRY/NAME:TAG`; without a tag, the tag is `latest`
    #[arg(required = true, value_name = "REFERENCE")]
    pub(crate) references: Vec<Reference>,

    /// What it is there
    #[arg(long = "as", value_name = "SHAPE", value_enum, default_value_t)]
    pub(crate) shape: Shape,

    /// Add an annotation, such as org.opencontainers.image.version=1.0
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = parse_annotation)]
    pub(crate) annotations: Vec<(String, String)>,

    /// The machine that a container disk is for [default: this machine]
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,

    /// Log in as this user
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    pub(crate) username: Option<String>,

    /// Read the password from standard input
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,

    /// Ask the registry without TLS: anybody in between can read the password
    #[arg(long)]
    pub(crate) plain_http: bool,

    /// Also trust the certificate authorities in this file (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,

    /// Print what was published as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_annotation(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("`KEY=VALUE` is needed"),
    }
}
