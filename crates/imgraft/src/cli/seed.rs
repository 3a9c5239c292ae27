//! `imgraft seed …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use seed::LineReader;

use super::seed_check::{self, Check, RendererName};
use super::serve::{self, Serve};
use crate::cli::seed_content::{SeedContent, parse_hostname};

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft seed iso --user ada --ssh-key ~/.ssh/id_ed25519.pub --package git,curl -o seed.iso
  imgraft seed iso --user-data user-data.yaml -o seed.iso
  imgraft seed vfat --user-data base.yaml --user-data setup.sh --run 'systemctl start app' -o seed.img
  imgraft seed check user-data.yaml
  qemu-system-x86_64 … -drive file=seed.iso,format=raw,if=virtio";

const MEDIUM_EXAMPLES: &str = "\
Examples:
  imgraft seed iso --user ada --ssh-key ~/.ssh/id_ed25519.pub --package git,curl -o seed.iso
  imgraft seed vfat --user-data user-data.yaml --hostname web --network-config net.yaml -o seed.img
  imgraft seed iso --user-data base.yaml --user-data setup.sh --run 'systemctl start app' -o seed.iso

cloud-init finds the disk by its label, `cidata`. Times are SOURCE_DATE_EPOCH where that is set, else
1980-01-01: the same content gives the same bytes.";

const LINE_EXAMPLES: &str = "\
Examples:
  imgraft seed line --url http://10.0.2.2:8000/ --for qemu
  imgraft seed line --url http://10.0.2.2:8000/ --instance-id web-2 --for libvirt
  imgraft seed line --url http://seeds.example/web/ --for grub-default >> /etc/default/grub

cloud-init since 24.1 puts the machine's own into an address: http://seeds.example/__dmi.system-uuid__/";

/// What is done about a seed.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a disk with an ISO 9660
    #[command(after_help = super::flowing(MEDIUM_EXAMPLES), help_template = super::EXAMPLES_FIRST)]
    Iso(Files),
    /// Make a disk with a FAT, as large as it has to be
    #[command(after_help = super::flowing(MEDIUM_EXAMPLES), help_template = super::EXAMPLES_FIRST)]
    Vfat(Files),
    /// Make a tar archive
    #[command(after_help = super::flowing(MEDIUM_EXAMPLES), help_template = super::EXAMPLES_FIRST)]
    Tar(Files),
    /// Look for what is wrong with a seed before a guest does
    #[command(after_help = super::flowing(seed_check::EXAMPLES))]
    Check(Check),
    /// Print a seed as one line: for the kernel's command line, or as a machine's serial number
    #[command(after_help = super::flowing(LINE_EXAMPLES))]
    Line(Line),
    /// Serve seeds over HTTP, for many guests
    #[command(after_help = super::flowing(serve::EXAMPLES), help_template = super::EXAMPLES_FIRST)]
    Serve(Serve),
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    #[command(flatten)]
    pub(crate) content: SeedContent,

    /// What sets up the guest's network, where that is known
    #[arg(long, value_name = "NAME")]
    pub(crate) renderer: Option<RendererName>,

    /// The file to make; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Line {
    /// The address that the seed is fetched from, such as one of `imgraft seed serve`
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// The guest's name, whatever the seed says
    #[arg(long, value_name = "NAME", value_parser = parse_hostname)]
    pub(crate) hostname: Option<String>,

    /// The instance-id, whatever the seed says: another one is another first boot
    #[arg(long, value_name = "ID")]
    pub(crate) instance_id: Option<String>,

    /// Who reads it, and so what has to be quoted
    #[arg(long = "for", value_name = "READER", default_value = "guest")]
    pub(crate) reader: Reader,
}

/// [`LineReader`] by the names that it has on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Reader {
    /// The guest: as it is to arrive there
    Guest,
    /// A shell: one word, such as for QEMU's -append
    Shell,
    /// A shell that starts QEMU: the option -smbios
    Qemu,
    /// libvirt: elements of <domain>; an <os> that is there gets the new one's content
    Libvirt,
    /// GRUB: a word for a `linux` line in grub.cfg
    Grub,
    /// A line for /etc/default/grub; update-grub brings it into grub.cfg
    GrubDefault,
}

impl From<Reader> for LineReader {
    fn from(reader: Reader) -> Self {
        match reader {
            Reader::Guest => Self::Guest,
            Reader::Shell => Self::Shell,
            Reader::Qemu => Self::Qemu,
            Reader::Libvirt => Self::Libvirt,
            Reader::Grub => Self::Grub,
            Reader::GrubDefault => Self::GrubDefault,
        }
    }
}
