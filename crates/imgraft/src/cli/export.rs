//! `imgraft export`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use export::{Bucket, Name, TARGETS};
use vm::Architecture;

use super::Backing;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft export --list
  imgraft export libvirt my.img -o my-libvirt --seed my.iso
  imgraft export gcp my.img -o my-gcp --bucket my-images
  imgraft export vmware my.img -o my-ova --name 'My appliance'
  imgraft export aws my.img -o my-aws --json | jq -r '.commands[]'

The folder is there whole or not at all. It has the disk in the target's format, the target's other files, a README.txt
with the commands, and SHA256SUMS. The same image always makes the same files. Words in capitals, such as BUCKET, are
for you to replace. Nothing is sent anywhere.";

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Where it goes: gcp, azure, aws, openstack, vmware, proxmox, libvirt, lima or incus
    #[arg(value_parser = targets(), hide_possible_values = true, required_unless_present = "list")]
    pub(crate) target: Option<String>,

    /// The image to read; it is not changed
    #[arg(required_unless_present = "list")]
    pub(crate) image: Option<PathBuf>,

    /// The folder to make
    #[arg(short, long, value_name = "FOLDER", required_unless_present = "list")]
    pub(crate) output: Option<PathBuf>,

    /// List the targets: files, what each needs, and what was tried
    #[arg(long, conflicts_with_all = ["target", "image", "output", "name", "arch", "seed", "bucket", "force"])]
    pub(crate) list: bool,

    /// What the image is called there [default: its file's name]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) name: Option<Name>,

    /// The processor that it is for, if the image does not tell: x86_64 or aarch64
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<Architecture>,

    /// Add this seed as a CD (libvirt, proxmox, vmware)
    #[arg(long, value_name = "ISO")]
    pub(crate) seed: Option<PathBuf>,

    /// The bucket that the image goes through (aws, gcp)
    #[arg(long, value_name = "BUCKET")]
    pub(crate) bucket: Option<Bucket>,

    /// Replace the folder if it is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Print a report, or the list, as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

fn targets() -> PossibleValuesParser {
    let value = |target: &export::Target| {
        clap::builder::PossibleValue::new(target.name).aliases(target.aliases.iter().copied()).help(target.title)
    };
    PossibleValuesParser::new(TARGETS.iter().map(value))
}

fn parse_name(text: &str) -> Result<Name, export::BadName> {
    Name::new(text)
}
