//! `imgraft ls`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{Backing, Part};

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft ls noble.img /boot
  imgraft ls -R noble.img /etc/cloud
  imgraft ls -lht noble.img /var/log /var/cache";

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// The image
    pub(crate) image: PathBuf,

    /// The files or directories in the guest
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) paths: Vec<OsString>,

    /// List directories in directories, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,

    /// List directories themselves, and not what is in them
    #[arg(short, long)]
    pub(crate) directory: bool,

    /// Print names only, one a line
    #[arg(short = '1', conflicts_with = "json")]
    pub(crate) names: bool,

    /// Print sizes such as 1.5K, 12M and 2.1G
    #[arg(short, long)]
    pub(crate) human_readable: bool,

    /// Print the numbers of users and groups
    #[arg(short, long)]
    pub(crate) numeric_uid_gid: bool,

    /// Sort by time, the newest first
    #[arg(short = 't')]
    pub(crate) by_time: bool,

    /// Sort by size, the largest first
    #[arg(short = 'S', overrides_with = "by_time")]
    pub(crate) by_size: bool,

    /// Sort the other way round
    #[arg(short, long)]
    pub(crate) reverse: bool,

    /// Print a line with mode, owner, size and time of each file, as without `-1`
    #[arg(short)]
    pub(crate) long: bool,

    /// List files whose names begin with a dot, too; that is done in any case
    #[arg(short, long, short_alias = 'A', visible_alias = "almost-all")]
    all: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) part: Part,

    #[command(flatten)]
    pub(crate) backing: Backing,

    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    help: Option<bool>,
}
