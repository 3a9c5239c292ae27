//! `imgraft cache …`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use recipe::DiskSize;

use super::network::CacheFolder;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft cache list
  imgraft cache verify --remove
  imgraft cache prune --older-than 30d
  imgraft cache prune --keep ~/web/imgraft.lock --keep ~/db/imgraft.lock --dry-run

A file is kept under its digest, read-only, and may be copied into or out of another cache under that name.
Images that were built with `--overlay` upon a file of the cache need it: they name it as their base.

Exit codes:
  0  done; `verify`: each file is what its name says, or went with --remove
  1  `verify`: a file is damaged
  2  it could not be done; the cache could not be looked at; wrong usage";

const LIST_EXAMPLES: &str = "\
Examples:
  imgraft cache list
  imgraft cache list --json | jq -r '.entries[].path'";

const VERIFY_EXAMPLES: &str = "\
Examples:
  imgraft cache verify
  imgraft cache verify --remove                     what is damaged is fetched again when it is needed";

const PRUNE_EXAMPLES: &str = "\
Examples:
  imgraft cache prune --older-than 30d              what was not used for 30 days
  imgraft cache prune --larger-than 5G              what was used longest ago, until 5 GiB are left
  imgraft cache prune --keep web/imgraft.lock       all but what this lock names
  imgraft cache prune --all

Files that another process uses or fetches stay.";

/// What is done with the cache.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the files in the cache, most recently used first
    #[command(after_help = super::flowing(LIST_EXAMPLES))]
    List(List),
    /// Read each file again, and compare it with its digest
    #[command(after_help = super::flowing(VERIFY_EXAMPLES))]
    Verify(Verify),
    /// Remove files from the cache
    #[command(after_help = super::flowing(PRUNE_EXAMPLES))]
    Prune(Prune),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) cache: CacheFolder,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) cache: CacheFolder,

    /// Remove what is damaged
    #[arg(long)]
    pub(crate) remove: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[group(id = "rule", required = true, multiple = true, args = ["older_than", "larger_than", "all", "keep"])]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) cache: CacheFolder,

    /// Files not used for this long: a number and m, h, d or w
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) older_than: Option<Duration>,

    /// The files used longest ago, until the rest has no more than SIZE: bytes, or a number and K, M, G or T
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) larger_than: Option<u64>,

    /// Everything
    #[arg(long)]
    pub(crate) all: bool,

    /// Keep the files whose digests are in this file: an imgraft.lock, or any text with `sha256:…` or `sha512:…` in it.
    /// Without another rule, all others are removed
    #[arg(long, value_name = "LOCK")]
    pub(crate) keep: Vec<PathBuf>,

    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    match text.parse::<DiskSize>() {
        Ok(DiskSize::To(bytes)) => Ok(bytes),
        Ok(DiskSize::By(_)) => Err("a size without `+` is needed".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_age(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "a number and m, h, d or w is needed, such as `30d`";
    let unit_seconds = match text.chars().last() {
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('w') => 7 * 86_400,
        _ => return Err(WRONG),
    };
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WRONG);
    }
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_seconds));
    seconds.map(Duration::from_secs).ok_or("nothing is as old as that")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_a_number_and_a_unit() {
        for (text, seconds) in [("0m", 0), ("90m", 5400), ("36h", 129_600), ("30d", 2_592_000), ("2w", 1_209_600)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "d", "30", "-1d", "+1d", "1.5h", "1 d", "1y", "é", "99999999999999999999d", "9999999999999999999w"]
        {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
