//! `imgraft mount` and `imgraft umount`: a guest's files in a folder.
#![expect(dead_code, reason = "the commands are registered together with what they do")]

use std::path::PathBuf;

use clap::Args;

use super::Backing;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft mount my.img tree                         until Ctrl-C, or `imgraft umount tree` elsewhere
  imgraft mount --read-only my.img tree
  imgraft mount --discard my.img tree               try something, and keep nothing of it
  imgraft mount --partition 2 data.img tree         a disk without an operating system

The guest's whole tree is shown, with each partition of its fstab where it is mounted. What is changed in it
becomes part of the image when it is unmounted, all or nothing: until then, the image is as it was.";

pub(crate) const UMOUNT_EXAMPLES: &str = "\
Examples:
  imgraft umount tree                               ends when the image has been written";

#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// The image
    pub(crate) image: PathBuf,

    /// The folder that shows the guest's files until it is unmounted
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,

    /// Let nothing be changed
    #[arg(long, conflicts_with = "discard")]
    pub(crate) read_only: bool,

    /// Keep nothing of what is changed
    #[arg(long)]
    pub(crate) discard: bool,

    /// Show the file system on this partition alone, for a disk without an operating system
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) partition: Option<u32>,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Umount {
    /// The folder that an image is mounted on
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    #[test]
    fn nothing_is_kept_of_what_cannot_be_changed() {
        let command = || Mount::augment_args(Command::new("mount").no_binary_name(true));
        command().debug_assert();
        let takes = |arguments: &[&str]| command().try_get_matches_from(arguments).is_ok();
        assert!(takes(&["a.img", "tree", "--discard", "--partition", "2"]) && takes(&["--read-only", "a.img", "tree"]));
        for wrong in
            [&["a.img"][..], &["a.img", "tree", "--read-only", "--discard"], &["a.img", "tree", "--partition", "0"]]
        {
            assert!(!takes(wrong), "{wrong:?}");
        }
    }
}
