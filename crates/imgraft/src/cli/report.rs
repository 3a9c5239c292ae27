//! `imgraft report`, and the page that `build` and `customize` write.

use std::path::PathBuf;

use clap::Args;

use super::Backing;
use super::base::BaseSource;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft report my.img --base noble.img --html report.html
  imgraft report my.img --base ubuntu:24.04 --html report.html
  imgraft report my.img --base noble.img --json | jq .packages
  imgraft test my.img --json > boot.json; imgraft report my.img --base noble.img --tested boot.json --html report.html

The page is one file that needs nothing else: the disk drawn to scale, the space before and after, every path that
differs, packages, the account of every block, and where the base came from. `build --html FILE` and
`customize --html FILE` write it as well, with what was asked for.";

/// The page about what was made.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Page {
    /// Write a report of what was changed as a page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The image
    pub(crate) image: PathBuf,

    /// What it was made of: a file, a name such as `ubuntu:24.04`, or an address followed by `#sha256:…`
    #[arg(long, value_name = "BASE")]
    pub(crate) base: PathBuf,

    /// Write the report as a page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Add the timeline of the boots in this file, which `imgraft test --json` printed
    #[arg(long, value_name = "FILE")]
    pub(crate) tested: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) source: BaseSource,

    #[command(flatten)]
    pub(crate) backing: Backing,
}
