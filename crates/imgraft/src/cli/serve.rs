//! `imgraft seed serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use seed::server::Imds;

use crate::cli::seed_content::SeedContent;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft seed serve --user ada --ssh-key ~/.ssh/id_ed25519.pub --listen 127.0.0.1:8000
  qemu-system-x86_64 … -smbios 'type=1,serial=ds=nocloud;dsmode=net;s=http://10.0.2.2:8000/web/'
  imgraft seed serve seeds/ --listen 10.0.0.1:8000 --log requests.jsonl --phone-home-dir done/
  id=ec2aaaaa-0000-4000-8000-000000000001
  qemu-system-x86_64 … -uuid $id -smbios type=1,serial=$id -device virtio-net-pci,netdev=n -netdev \\
    \"user,id=n,net=169.254.0.0/16,guestfwd=tcp:169.254.169.254:80-cmd:imgraft seed serve --inetd …\"

What is there:
  /user-data …           the seed that all share; empty where it has nothing
  /NAME/user-data …      the seed of the instance NAME, such as a host's name, a serial number or a
                         hardware address: what FOLDER/NAME has, and else the shared one, with an
                         instance-id and a hostname for each NAME. With a FOLDER, only names in it
  /latest/meta-data/ …   the same as Amazon's metadata service has it; tokens: PUT /latest/api/token
  /phone-home…           where cloud-init's phone_home may post
  /…                     with --other-files, any other file in FOLDER

A seed's files are user-data, meta-data, network-config and vendor-data, in FOLDER and in the folders right
below it. Nothing else in FOLDER is served without --other-files, and nothing in any case where a name
in its path begins with a dot.

cloud-init takes a machine for Amazon's whose UUID begins with ec2, and whose serial number is the same.
The address goes to standard output, the log to standard error. Everybody who can reach the address can read all of it.";

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Seeds of instances, a folder each, and what they share. Files are read when they are asked for
    pub(crate) folder: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) content: SeedContent,

    /// Where to listen; port 0 is one that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,

    /// Answer one connection, which standard input and output are, such as of QEMU's guestfwd
    #[arg(long, conflicts_with_all = ["listen", "until_phone_home"])]
    pub(crate) inetd: bool,

    /// Add what was asked for and answered to this file, a line of JSON each
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// Keep what guests say that phone home in this folder, a JSON file for each instance-id
    #[arg(long, value_name = "FOLDER")]
    pub(crate) phone_home_dir: Option<PathBuf>,

    /// End when so many instances have phoned home
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) until_phone_home: Option<usize>,

    /// Serve all other files in FOLDER, too, such as for #include; those are not whose path has a name with a dot in front
    #[arg(long, requires = "folder", conflicts_with = "no_nocloud")]
    pub(crate) other_files: bool,

    /// Which versions of Amazon's metadata service: 2 wants a token. The same user-data is at /user-data and /NAME/user-data
    /// without a token all the same, unless --no-nocloud is there
    #[arg(long, value_name = "VERSION", default_value = "both")]
    pub(crate) imds: ImdsVersion,

    /// Serve Amazon's metadata only: no /user-data, no /NAME/user-data, no other files
    #[arg(long)]
    pub(crate) no_nocloud: bool,

    /// The kind of instance that Amazon's metadata says it is
    #[arg(long, value_name = "TYPE", default_value = "t3.micro")]
    pub(crate) instance_type: String,

    /// The zone that Amazon's metadata says it is in
    #[arg(long, value_name = "ZONE", default_value = "us-east-1a")]
    pub(crate) availability_zone: String,
}

/// [`Imds`] by the names that it has on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ImdsVersion {
    /// No tokens
    V1,
    /// Not without a token
    V2,
    /// With a token that is good, or without any
    Both,
}

impl From<ImdsVersion> for Imds {
    fn from(version: ImdsVersion) -> Self {
        match version {
            ImdsVersion::V1 => Self::V1,
            ImdsVersion::V2 => Self::V2,
            ImdsVersion::Both => Self::Both,
        }
    }
}
