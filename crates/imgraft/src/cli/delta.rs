//! `imgraft delta …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft delta make noble.img app.img -o app.delta
  imgraft delta apply noble.img app.delta -o app.img
  imgraft delta info app.delta

A delta is about files, byte by byte: whoever has the very file BASE gets the very file IMAGE, in any format.
It has the digests of both. `apply` checks them before IMAGE gets its name.";

const MAKE_EXAMPLES: &str = "\
Examples:
  imgraft delta make noble.img app.img -o app.delta
  imgraft delta make app-1.0.img app-1.1.img -o app-1.1.delta --json";

const APPLY_EXAMPLES: &str = "\
Examples:
  imgraft delta apply noble.img app.delta -o app.img";

const INFO_EXAMPLES: &str = "\
Examples:
  imgraft delta info app.delta
  imgraft delta info app.delta --json | jq -r .base_sha256";

/// What is done with a delta.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a delta: what makes IMAGE out of BASE
    #[command(after_help = super::flowing(MAKE_EXAMPLES))]
    Make(Make),
    /// Make the image again out of its base and the delta
    #[command(after_help = super::flowing(APPLY_EXAMPLES))]
    Apply(Apply),
    /// Say what a delta is for, and what is in it
    #[command(after_help = super::flowing(INFO_EXAMPLES))]
    Info(Info),
}

#[derive(Debug, Args)]
pub(crate) struct Make {
    /// The file that those who get the delta have already
    pub(crate) base: PathBuf,

    /// The image
    pub(crate) image: PathBuf,

    /// The delta to make
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The file that the delta was made with
    pub(crate) base: PathBuf,

    /// The delta
    pub(crate) delta: PathBuf,

    /// The image to make
    #[arg(short, long, value_name = "IMAGE")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) limit: Limit,

    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// The delta
    pub(crate) delta: PathBuf,

    #[command(flatten)]
    pub(crate) limit: Limit,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How large a file a delta may make.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Refuse a delta that makes a larger file: bytes, or a number and K, M, G or T [default: 256G]
    #[arg(long, value_name = "SIZE", value_parser = super::cache::parse_size)]
    max_size: Option<u64>,
}

impl Limit {
    /// In bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.max_size.unwrap_or(delta::DEFAULT_LIMIT_BYTES)
    }
}
