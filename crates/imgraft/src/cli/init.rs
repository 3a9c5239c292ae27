//! `imgraft init`.

use std::path::PathBuf;

use clap::Args;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft init                                      a recipe for the project in this folder
  imgraft init server && imgraft build server/imgraft.toml

It looks for Cargo.toml, go.mod, package.json or pyproject.toml, and for a program built for Linux in
target/release, dist, bin, build and out. It asks nothing, starts nothing and changes no file that is there.";

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The project's folder, which the recipe is written to
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}
