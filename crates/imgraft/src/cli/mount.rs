//! `imgraft mount` and `imgraft umount`.

use std::path::PathBuf;

use clap::Args;

use super::{Backing, Part, Writing};

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft mount my.img /mnt                         until `imgraft umount /mnt` or Ctrl-C
  imgraft mount my.img /mnt & rsync -a site/ /mnt/srv/www/; imgraft umount /mnt; wait
  imgraft mount --read-only noble.img /mnt
  imgraft mount --partition 1 data.img /mnt         a disk without an operating system

The folder shows the guest's whole tree: the root and all that its fstab mounts. What changes there is kept
apart from the image. At the end it is compared with the guest, and what differs is committed, all or
nothing. With --discard or --read-only, the image stays as it was.

As root, modes and owners count as in the guest. Any other user may change everything, and what is new
belongs to root.";

pub(crate) const UMOUNT_EXAMPLES: &str = "\
Examples:
  imgraft umount /mnt";

#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// The image
    pub(crate) image: PathBuf,

    /// The folder of the host in which the guest's tree is shown
    pub(crate) folder: PathBuf,

    /// Refuse changes
    #[arg(long, conflicts_with = "discard")]
    pub(crate) read_only: bool,

    /// Allow changes, and throw them away at the end
    #[arg(long)]
    pub(crate) discard: bool,

    #[command(flatten)]
    pub(crate) part: Part,

    #[command(flatten)]
    pub(crate) writing: Writing,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Umount {
    /// The folder
    pub(crate) folder: PathBuf,
}
