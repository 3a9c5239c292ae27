//! The command line: the one definition behind parsing, help, completions and man pages.

pub(crate) mod base;
pub(crate) mod boot;
pub(crate) mod cache;
pub(crate) mod commands;
pub(crate) mod delta;
pub(crate) mod doctor;
pub(crate) mod documents;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod fetch;
pub(crate) mod finish;
pub(crate) mod init;
pub(crate) mod ls;
pub(crate) mod machine;
pub(crate) mod matrix;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod publish;
pub(crate) mod report;
pub(crate) mod seed;
pub(crate) mod seed_check;
pub(crate) mod seed_content;
pub(crate) mod serve;
pub(crate) mod test;
pub(crate) mod update;
pub(crate) mod verify;

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use graft::Job;
use guest::{LogicalVolumeName, Place};
use image::{Compat, CompressionType, Container, NewClusters};
use recipe::{ClusterSize, DiskSize, Form};

use crate::environment::source_date_epoch;
use crate::failure::Failure;
use crate::flags::Operations;
use crate::show::MessageFormat;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0  done; nothing is wrong
  1  the answer is no: `check`, `test`, `verify`, `seed check`, `cache verify` and `inspect --hygiene`
     found something wrong, `diff` a difference, `doctor` no way to run commands in guests
  2  it could not be done, and nothing was changed; wrong usage";

/// The help of a command with so many options that examples after them would not be seen.
const EXAMPLES_FIRST: &str = "{before-help}{about-with-newline}\n{usage-heading} {usage}{after-help}\n\n{all-args}";

/// A text whose paragraphs are a line each: the width that they are wrapped to is the terminal's, and not the source's.
fn flowing(text: &str) -> String {
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
    let is_code = |line: &str| line.as_bytes().get(2).is_some_and(u8::is_ascii_digit) && line.starts_with("  ");
    let mut flowing = String::new();
    let mut last = "";
    for line in text.lines() {
        let goes_on = is_prose(last) && !line.is_empty() && !line.starts_with(' ');
        // What an exit code means may take several lines.
        let goes_on = goes_on || (is_code(last) && line.starts_with("     "));
        if !flowing.is_empty() {
            flowing.push(if goes_on { ' ' } else { '\n' });
        }
        flowing.push_str(if goes_on { line.trim_start() } else { line });
        last = if goes_on && is_code(last) { last } else { line };
    }
    flowing
}

/// Graft files onto stock cloud images: no root, no KVM, no mount.
#[derive(Debug, Parser)]
#[command(name = "imgraft", version, styles = STYLES, after_help = flowing(EXIT_CODES), max_term_width = 100)]
pub(crate) struct Cli {
    /// Say nothing but errors
    #[arg(short, long, global = true, display_order = 100)]
    pub(crate) quiet: bool,

    /// Say more
    #[arg(short, long, global = true, conflicts_with = "quiet", display_order = 101)]
    pub(crate) verbose: bool,

    /// How errors and warnings are written [default: human; github where GITHUB_ACTIONS is true]
    #[arg(long, global = true, value_name = "FORMAT", display_order = 102)]
    pub(crate) message_format: Option<MessageFormat>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new image out of a base and your files
    #[command(after_help = flowing(BUILD_EXAMPLES), help_template = EXAMPLES_FIRST)]
    Build(Build),
    /// Build the images of a recipe's matrix, several at a time, and of them what is not up to date
    #[command(after_help = flowing(matrix::EXAMPLES))]
    Matrix(Box<matrix::Matrix>),
    /// Say which images of a recipe's matrix are missing, damaged or out of date
    #[command(after_help = flowing(matrix::COLLECT_EXAMPLES))]
    Collect(Box<matrix::Collect>),
    /// Write a recipe for the project in a folder, with comments, to begin with
    #[command(after_help = flowing(init::EXAMPLES))]
    Init(init::Init),
    /// Change an image, all or nothing
    #[command(after_help = flowing(CUSTOMIZE_EXAMPLES), help_template = EXAMPLES_FIRST)]
    Customize(Customize),
    /// Make an image's disk larger, and its root with it
    #[command(after_help = flowing(RESIZE_EXAMPLES))]
    Resize(Resize),
    /// Make the same disk in another format, or in a smaller file
    #[command(after_help = flowing(CONVERT_EXAMPLES))]
    Convert(Convert),
    /// Write what a cloud, a hypervisor or a tool imports into a folder, and print the commands for that
    #[command(after_help = flowing(export::EXAMPLES))]
    Export(Box<export::Export>),
    /// Show what an image is: format, partitions, file systems, system, packages, free space
    #[command(after_help = flowing(INSPECT_EXAMPLES))]
    Inspect(Inspect),
    /// List files of an image
    #[command(after_help = flowing(ls::EXAMPLES), disable_help_flag = true, args_override_self = true)]
    Ls(ls::Ls),
    /// Print files of an image
    #[command(after_help = flowing(CAT_EXAMPLES))]
    Cat(Cat),
    /// Copy a file or a tree out of an image
    #[command(after_help = flowing(GET_EXAMPLES))]
    Get(Get),
    /// Mount the guest of an image in a folder; what changes there is committed at the end
    #[command(after_help = flowing(mount::EXAMPLES))]
    Mount(mount::Mount),
    /// Unmount what `imgraft mount` mounted, and wait until the image is written
    #[command(after_help = flowing(mount::UMOUNT_EXAMPLES))]
    Umount(mount::Umount),
    /// Look for damage in an image: qcow2, partition table, ext4, XFS, FAT
    #[command(after_help = flowing(CHECK_EXAMPLES))]
    Check(Check),
    /// List what differs between two images, path by path, and outside of files
    #[command(after_help = flowing(DIFF_EXAMPLES))]
    Diff(Diff),
    /// Tell what was made of a base: space, paths, packages, blocks, provenance; as a page, too
    #[command(after_help = flowing(report::EXAMPLES))]
    Report(Box<report::Report>),
    /// Make an image into a small file for those who have its base, and that file into the image again
    #[command(after_help = flowing(delta::EXAMPLES))]
    Delta {
        #[command(subcommand)]
        command: delta::Command,
    },
    /// Verify that an image is its base and exactly what its manifest says
    #[command(after_help = flowing(verify::EXAMPLES))]
    Verify(Box<verify::Verify>),
    /// Make a seed for cloud-init: what a guest gets at its first boot
    #[command(after_help = flowing(seed::EXAMPLES))]
    Seed {
        #[command(subcommand)]
        command: seed::Command,
    },
    /// Start an image in QEMU with its console here, and leave the image as it is
    #[command(after_help = flowing(boot::EXAMPLES), help_template = EXAMPLES_FIRST)]
    Boot(Box<boot::Boot>),
    /// Boot an image and judge its first boot
    #[command(after_help = flowing(test::EXAMPLES), help_template = EXAMPLES_FIRST)]
    Test(Box<test::Test>),
    /// List, verify and remove fetched files
    #[command(after_help = flowing(cache::EXAMPLES))]
    Cache {
        #[command(subcommand)]
        command: cache::Command,
    },
    /// Fetch a base by name, verify it, and keep it in the cache
    #[command(after_help = flowing(fetch::EXAMPLES))]
    Fetch(fetch::Fetch),
    /// Put an image into an OCI registry: as an artifact, or as a container disk for KubeVirt
    #[command(after_help = flowing(publish::EXAMPLES))]
    Publish(publish::Publish),
    /// Update a recipe's lock to the newest build of its base
    #[command(after_help = flowing(update::EXAMPLES))]
    Update(update::Update),
    /// Say what this machine can do, and what to do about the rest
    #[command(after_help = flowing(doctor::EXAMPLES))]
    Doctor(doctor::Doctor),
    /// Explain an error by the code at its end
    #[command(after_help = flowing(explain::EXAMPLES))]
    Explain(explain::Explain),
    /// Install `virt-customize` and `cloud-localds` as links to imgraft
    #[command(after_help = flowing(INSTALL_COMPAT_EXAMPLES))]
    InstallCompat(InstallCompat),
    /// Print a completion script for a shell
    #[command(after_help = flowing(COMPLETIONS_EXAMPLES))]
    Completions(Completions),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(Man),
    /// Write the tables of verbs.md and compat/ into the folder docs
    #[command(hide = true)]
    Docs(Docs),
}

const BUILD_EXAMPLES: &str = "\
Examples:
  imgraft build                                     the recipe is ./imgraft.toml
  imgraft build recipes/autonoe.toml --input autonoe=dist/autonoe
  imgraft build --base ubuntu:24.04 --put dist/app:/usr/local/bin/app:0755 -o app.img
  imgraft build --base noble.img --put app.conf:/etc/app/ -o app.qcow2 --overlay
  imgraft build --base noble.img --network --install nodejs,npm --run 'node --version' -o node.img
  imgraft build --base noble.img --write /etc/motd:Hello --dry-run
  imgraft build recipes/autonoe.toml --input autonoe=dist/autonoe --release-version v1.2.3 --sha256

A base that goes by a name is fetched and verified as `imgraft fetch` does. Its digest is written to
imgraft.lock beside the recipe, and the next build uses the same bytes; `imgraft update` moves to newer ones.

Changes are carried out in the order given, those of the recipe first. New files get
the time of SOURCE_DATE_EPOCH if it is set, else that of your files; what comes from no file gets the
time at which the base's root was last written to.
Commands in the guest (--run, --run-script, --install, --uninstall, --update) run with the guest's own
programs on the guest's own files: they see nothing of this machine, no network without --network, and
services do not start. If one fails, no image is made. In a plain container root's commands run in a
folder that the guest is unpacked into (--runner unpack), which keeps less of the machine from them.

An overlay needs its base, unchanged. It names the base by a path from its own folder, or by an absolute
path if you give one.";

const CUSTOMIZE_EXAMPLES: &str = "\
Examples:
  imgraft customize my.img --put app.conf:/etc/app/
  imgraft customize my.img --put site:/srv/www:0644:www-data:www-data
  imgraft customize my.img --size +2G --put data:/srv/data
  imgraft customize my.img --network --install jq --run 'systemctl enable app'
  imgraft customize my.img --remove '/var/log/*.gz' --write /etc/motd:Hello --chmod 0600:/etc/motd

Changes are carried out in the order given. Commands in the guest (--run, --run-script, --install,
--uninstall, --update) run with the guest's own programs on the guest's own files: they see nothing of
this machine, no network without --network, and services do not start. If one fails, nothing is changed.
In a plain container root's commands run in a folder that the guest is unpacked into (--runner unpack),
which keeps less of the machine from them.";

const RESIZE_EXAMPLES: &str = "\
Examples:
  imgraft resize my.img 10G                         make the disk 10 GiB large
  imgraft resize noble.img +5G -o larger.img
  imgraft resize my.img                             after `qemu-img resize my.img 10G`

The partition table's backup moves to the disk's end, and the root's partition and file system grow
into the new room. The image's file grows only by what has to be written for that.";

const CONVERT_EXAMPLES: &str = "\
Examples:
  imgraft convert disk.raw disk.qcow2               compressed
  imgraft convert noble.img noble.raw               sparse
  imgraft convert noble.img noble.qcow2 --compression-type zstd
  imgraft convert thin.qcow2 whole.qcow2 --allow-backing

Compressed clusters are copied as they are if the new image has the same cluster size and compression
type. The new image needs no other file. It has no snapshots and no bitmaps of the old one.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  imgraft inspect noble.img
  imgraft inspect noble.img --packages
  imgraft inspect my.img --hygiene && echo clean
  imgraft inspect noble.img --json | jq -r '.packages[].name'";

const CAT_EXAMPLES: &str = "\
Examples:
  imgraft cat noble.img /etc/os-release";

const GET_EXAMPLES: &str = "\
Examples:
  imgraft get noble.img /boot/vmlinuz               to ./vmlinuz
  imgraft get noble.img /etc/cloud cloud-of-noble

Symlinks of a tree are copied as symlinks and never followed. Owners and set-id bits are not copied.";

const CHECK_EXAMPLES: &str = "\
Examples:
  imgraft check my.img && echo fine
  imgraft check --repair my.img                     after a crash, say

Exit codes:
  0  nothing is wrong; with --repair: nothing is wrong any more
  1  something is wrong with the image; with --repair: something still is
  2  the image could not be read, or not be opened for writing

--repair corrects the refcounts of a qcow2 file and what depends on them: clusters that a crash leaked are
free again. The disk in it stays as it is: use e2fsck for an ext4, gdisk for a partition table.";

const DIFF_EXAMPLES: &str = "\
Examples:
  imgraft diff noble.img my.img
  imgraft diff --blocks noble.img my.img            and account for every block that differs
  imgraft diff --json noble.img my.img | jq -r '.paths[].path'

Lines begin with `+` for what is in IMAGE only, `-` for what is in BASE only, `M` for what is in both and
differs, `?` for what could not be compared. Times of access, change and creation are not compared, nor
are the sizes of directories.

--blocks counts the blocks whose bytes differ. `build` and `customize` do not read a large file of yours
twice, and count each of its blocks, also one that has the same bytes as before, such as zeros.

Exit codes:
  0  the images are the same
  1  they differ
  2  one of them could not be read, or not completely";

const INSTALL_COMPAT_EXAMPLES: &str = "\
Examples:
  imgraft install-compat ~/.local/bin               virt-customize and cloud-localds
  imgraft virt-customize -a my.img …                the same without a symlink";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  imgraft completions bash > ~/.local/share/bash-completion/completions/imgraft";

/// How large an image's disk is.
#[derive(Debug, Args)]
pub(crate) struct Size {
    /// Make the disk as large as that before anything else, and the root with it: bytes, or a number
    /// and K, M, G or T; `+SIZE` is so much more than the base has
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<DiskSize>,
}

/// Whether a file that an image names is opened.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Backing {
    /// Also open the backing files that the image names; only for an image that you trust
    #[arg(long)]
    pub(crate) allow_backing: bool,
}

impl From<Backing> for graft::Backing {
    fn from(backing: Backing) -> Self {
        if backing.allow_backing { Self::Open } else { Self::Refuse }
    }
}

/// Which file system of the disk is used, where it is not an operating system's.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Part {
    /// Use the file system of this partition only, which need not be that of an operating system; 0 is a disk
    /// without partitions
    #[arg(long, value_name = "N", conflicts_with = "volume")]
    partition: Option<u32>,

    /// Use the file system of this logical volume of LVM only, by its group and its name: `vg0/data`
    #[arg(long, value_name = "GROUP/NAME")]
    volume: Option<LogicalVolumeName>,
}

impl Part {
    /// What is taken for the guest, as [`graft::Job::place`] has it.
    pub(crate) fn place(&self) -> Option<Place> {
        let partition = self.partition.map(|number| if number > 0 { Place::Partition(number) } else { Place::Disk });
        partition.or_else(|| self.volume.clone().map(Place::LogicalVolume))
    }
}

/// What a new image's file is like.
#[derive(Debug, Args)]
pub(crate) struct NewForm {
    /// Size of a qcow2 cluster, 512 to 2M
    #[arg(long, value_name = "SIZE")]
    pub(crate) cluster_size: Option<ClusterSize>,

    /// The version of a qcow2: 1.1, or 0.10 for readers from before 2012
    #[arg(long, value_name = "VERSION")]
    pub(crate) compat: Option<Compat>,

    /// How clusters of a qcow2 are compressed: zlib or zstd
    #[arg(long, value_name = "TYPE")]
    pub(crate) compression_type: Option<CompressionType>,
}

impl NewForm {
    /// The form of a file in `format`.
    pub(crate) fn form(&self, format: Option<Container>, overlay: bool) -> Form {
        let Self { cluster_size, compat, compression_type } = *self;
        Form { format, overlay, cluster_size, compat, compression_type }
    }
}

/// How an image is written.
#[derive(Debug, Args)]
pub(crate) struct Writing {
    /// How hard new clusters of a qcow2 are compressed: 1 to 9 (zstd: 22), or `none` [default: 3]
    #[arg(long, value_name = "LEVEL", value_parser = parse_compress)]
    pub(crate) compress: Option<NewClusters>,

    /// Write to a file system although errors were noted in it, and leave them noted
    #[arg(long)]
    pub(crate) ignore_fs_errors: bool,

    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print what would be done and the room that it takes, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Writing {
    /// Has `job` done in this way, and at the time that SOURCE_DATE_EPOCH says.
    pub(crate) fn apply(&self, job: &mut Job) -> Result<(), Failure> {
        job.new_clusters = self.compress;
        job.ignore_fs_errors = self.ignore_fs_errors;
        job.dry_run = self.dry_run;
        job.options.modified = source_date_epoch()?;
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The recipe; ./imgraft.toml where nothing else says what to do
    pub(crate) recipe: Option<PathBuf>,

    /// The base image: a file, which is never changed, a name such as `ubuntu:24.04`, an address followed by
    /// `#sha256:…`, or an image in a registry, `oci://REGISTRY/NAME@sha256:…`
    #[arg(long, value_name = "BASE")]
    pub(crate) base: Option<PathBuf>,

    /// Use the base in imgraft.lock, and fail if there is none
    #[arg(long, conflicts_with = "base")]
    pub(crate) locked: bool,

    #[command(flatten)]
    pub(crate) source: base::BaseSource,

    /// The file or tree that is an input of the recipe
    #[arg(long = "input", value_name = "NAME=PATH", value_parser = input_parser())]
    pub(crate) inputs: Vec<(String, PathBuf)>,

    #[command(flatten)]
    pub(crate) part: Part,

    #[command(flatten)]
    pub(crate) size: Size,

    #[command(flatten)]
    pub(crate) operations: Operations,

    #[command(flatten)]
    pub(crate) commands: commands::Commands,

    #[command(flatten)]
    pub(crate) finish: finish::Finish,

    /// The image to make
    #[arg(short, long, value_name = "IMAGE")]
    pub(crate) output: Option<PathBuf>,

    /// The version that is released, which is `{version}` in the names of the recipe; a leading `v` is dropped
    #[arg(long, value_name = "VERSION")]
    pub(crate) release_version: Option<String>,

    /// Also write IMAGE.sha256, which `sha256sum -c` accepts
    #[arg(long)]
    pub(crate) sha256: bool,

    /// Build twice, the second time with another number of threads, and compare: where the two differ, say at
    /// which byte and make no image, otherwise say the image's SHA-256
    #[arg(long)]
    pub(crate) verify_reproducible: bool,

    /// The format of the new image: raw, qcow2, vmdk, vhd or gce [default: as its name ends, else the base's]
    #[arg(short = 'O', long)]
    pub(crate) format: Option<Container>,

    /// Make a thin qcow2 that holds the changes only, and has the base as its backing file
    #[arg(long)]
    pub(crate) overlay: bool,

    #[command(flatten)]
    pub(crate) form: NewForm,

    #[command(flatten)]
    pub(crate) page: report::Page,

    #[command(flatten)]
    pub(crate) documents: documents::Documents,

    #[command(flatten)]
    pub(crate) writing: Writing,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Customize {
    /// The image to change
    pub(crate) image: PathBuf,

    #[command(flatten)]
    pub(crate) part: Part,

    #[command(flatten)]
    pub(crate) size: Size,

    #[command(flatten)]
    pub(crate) operations: Operations,

    #[command(flatten)]
    pub(crate) commands: commands::Commands,

    #[command(flatten)]
    pub(crate) finish: finish::Finish,

    #[command(flatten)]
    pub(crate) page: report::Page,

    #[command(flatten)]
    pub(crate) writing: Writing,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Resize {
    /// The image
    pub(crate) image: PathBuf,

    /// How large its disk is to be: bytes, or a number and K, M, G or T; `+SIZE` is so much more than
    /// it has. Without it, the root takes what room there is
    pub(crate) size: Option<DiskSize>,

    /// Make another image in place of changing this one
    #[arg(short, long, value_name = "IMAGE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) writing: Writing,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The image
    pub(crate) image: PathBuf,

    /// List the installed packages only
    #[arg(long)]
    pub(crate) packages: bool,

    /// List only what no image of many machines should have: machine-id, host keys, histories, logs,
    /// caches, accounts; the exit code is 1 if there is something
    #[arg(long, conflicts_with = "packages")]
    pub(crate) hygiene: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The image
    pub(crate) image: PathBuf,

    /// The files in the guest
    #[arg(required = true)]
    pub(crate) paths: Vec<std::ffi::OsString>,

    #[command(flatten)]
    pub(crate) part: Part,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The image
    pub(crate) image: PathBuf,

    /// The file or directory in the guest
    pub(crate) path: std::ffi::OsString,

    /// Where it goes: into this folder where there is one, else under this name; `-` is standard output
    #[arg(default_value = ".")]
    pub(crate) destination: PathBuf,

    #[command(flatten)]
    pub(crate) part: Part,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The image
    pub(crate) image: PathBuf,

    /// Repair what other refcounts in the qcow2 file repair, then check
    #[arg(long)]
    pub(crate) repair: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// The image to read; it is not changed
    pub(crate) image: PathBuf,

    /// The image to make
    pub(crate) output: PathBuf,

    /// The format of the new image: raw, qcow2, vmdk, vhd or gce [default: as its name ends, else that of
    /// IMAGE]
    #[arg(short = 'O', long)]
    pub(crate) format: Option<Container>,

    /// How hard clusters of a qcow2 are compressed: 1 to 9 (zstd: 22), or `none` [default: 6; zstd: 3]
    #[arg(long, value_name = "LEVEL", value_parser = parse_compress)]
    pub(crate) compress: Option<NewClusters>,

    #[command(flatten)]
    pub(crate) form: NewForm,

    #[command(flatten)]
    pub(crate) backing: Backing,

    /// Print a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The image to compare with
    pub(crate) base: PathBuf,

    /// The image
    pub(crate) image: PathBuf,

    /// Account for every block that differs: what it is, and which listed change explains it
    #[arg(long)]
    pub(crate) blocks: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

#[derive(Debug, Args)]
pub(crate) struct InstallCompat {
    /// The folder, such as one of PATH; it is made where it is not there
    pub(crate) folder: PathBuf,

    /// Replace files that have the names
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// The folder
    pub(crate) folder: PathBuf,
}

fn input_parser() -> impl TypedValueParser<Value = (String, PathBuf)> {
    OsStringValueParser::new().try_map(|text| parse_input(&text))
}

fn parse_input(text: &OsStr) -> Result<(String, PathBuf), &'static str> {
    use std::os::unix::ffi::OsStrExt;

    let bytes = text.as_bytes();
    let equals = bytes.iter().position(|&byte| byte == b'=').ok_or("NAME=PATH is needed")?;
    let (name, path) = (&bytes[..equals], &bytes[equals + 1..]);
    match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(OsStr::from_bytes(path))))
        }
        _ => Err("NAME=PATH is needed"),
    }
}

fn parse_compress(text: &str) -> Result<NewClusters, &'static str> {
    match text.parse() {
        _ if text == "none" => Ok(NewClusters::Plain),
        Ok(level @ 1..=22) => Ok(NewClusters::Compressed { level }),
        _ => Err("`none` or a level from 1 to 22 is needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn inputs_have_a_name_and_a_path() {
        let parsed = parse_input(OsStr::new("app=dist/a=b")).unwrap();
        assert_eq!(parsed, ("app".to_owned(), PathBuf::from("dist/a=b")));
        for text in ["app", "=x", "app="] {
            assert!(parse_input(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
