//! A command line of `cloud-localds`, looked at in the order in which the original does.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use seed::Medium;

use super::super::Opt;
use super::super::getopt;

/// What the original calls it when it has been made.
const ISO: &str = "iso9660";

/// What is to be made.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) output: OsString,
    pub(super) user_data: OsString,
    pub(super) meta_data: Option<PathBuf>,
    pub(super) hostname: OsString,
    pub(super) interfaces: Option<PathBuf>,
    pub(super) dsmode: OsString,
    pub(super) network_config: Option<PathBuf>,
    pub(super) vendor_data: Option<PathBuf>,
    pub(super) medium: Medium,
    /// The name of the medium in what is said about it.
    pub(super) file_system: String,
    /// How the medium is stored, as `qemu-img` calls it; raw for archives.
    pub(super) stored_as: OsString,
    /// What was asked for, which may be an archive.
    pub(super) disk_format: String,
    pub(super) verbose: bool,
    pub(super) legacy_instance_id: bool,
}

/// Why nothing is made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Help was asked for.
    Help,
    /// These are wrong with the options, each told behind the program's name.
    BadOptions(Vec<String>),
    /// The operands are not what the usage says.
    BadUsage(&'static str),
    /// Lines that say why.
    Failed(Vec<String>),
}

impl Stop {
    pub(super) fn failed(line: impl Into<String>) -> Self {
        Self::Failed(vec![line.into()])
    }
}

impl Arguments {
    pub(super) fn parse(options: &'static [Opt], words: Vec<OsString>) -> Result<Self, Stop> {
        let parsed = getopt::parse(options, words).map_err(Stop::BadOptions)?;
        if parsed.options.iter().any(|(name, _)| *name == "--help") {
            return Err(Stop::Help);
        }
        let mut operands = parsed.operands.into_iter();
        let (Some(output), Some(user_data)) = (operands.next(), operands.next()) else {
            return Err(Stop::BadUsage("must provide output, userdata"));
        };
        let meta_data = operands.next();
        if operands.next().is_some() {
            return Err(Stop::BadUsage("confused by additional args"));
        }
        // The last one counts, and an empty one is none.
        let mut given = parsed.options;
        let mut last = |wanted: &str| {
            let index = given.iter().rposition(|(name, _)| *name == wanted)?;
            given.swap_remove(index).1
        };
        let interfaces = last("--interfaces").map(PathBuf::from);
        let hostname = last("--hostname").unwrap_or_default();
        let dsmode = last("--dsmode").unwrap_or_default();
        let meta_data = not_empty(meta_data).map(PathBuf::from);
        if meta_data.is_some() && (interfaces.is_some() || !hostname.is_empty() || !dsmode.is_empty()) {
            return Err(Stop::failed("metadata is incompatible with: --interfaces, --hostname, --dsmode"));
        }
        let disk_format = last("--disk-format").unwrap_or_else(|| "raw".into());
        let (medium, file_system) = medium(&disk_format, not_empty(last("--filesystem")))?;
        let stored_as =
            if disk_format.as_encoded_bytes().starts_with(b"tar") { "raw".into() } else { disk_format.clone() };
        let disk_format = disk_format.display().to_string();
        if graft::seed_container(&stored_as, None).is_none() {
            return Err(cannot_convert(&disk_format));
        }
        Ok(Self {
            output,
            user_data,
            meta_data,
            hostname,
            interfaces,
            dsmode,
            network_config: not_empty(last("--network-config")).map(PathBuf::from),
            vendor_data: not_empty(last("--vendor-data")).map(PathBuf::from),
            medium,
            file_system,
            stored_as,
            disk_format,
            verbose: given.iter().any(|(name, _)| *name == "--verbose"),
            legacy_instance_id: given.iter().any(|(name, _)| *name == "--legacy-instance-id"),
        })
    }
}

fn not_empty(text: Option<OsString>) -> Option<OsString> {
    text.filter(|text| !text.is_empty())
}

fn cannot_convert(format: &str) -> Stop {
    Stop::Failed(vec![
        format!("cloud-localds: the disk format '{format}' is not one that imgraft writes"),
        format!("failed to convert to disk format {format}"),
    ])
}

/// What is made for these two options, and what it is called.
fn medium(disk_format: &OsStr, file_system: Option<OsString>) -> Result<(Medium, String), Stop> {
    let disk_format = disk_format.to_string_lossy();
    let file_system = file_system.map(|name| name.to_string_lossy().into_owned());
    if archive(&disk_format).is_some() {
        if file_system.is_some_and(|name| name != "tar") {
            return Err(Stop::failed("diskformat=tar is incompatible with filesystem"));
        }
        return named(disk_format.into_owned());
    }
    if disk_format.starts_with("tar") {
        return Err(Stop::failed("supported 'tar' formats are tar, tar-seed-local, tar-seed-net"));
    }
    named(file_system.unwrap_or_else(|| ISO.to_owned()))
}

fn named(name: String) -> Result<(Medium, String), Stop> {
    match name.as_str() {
        "iso" | ISO => Ok((Medium::Iso, ISO.to_owned())),
        "vfat" => Ok((Medium::Vfat, name)),
        _ => match archive(&name) {
            Some(medium) => Ok((medium, name)),
            None => Err(Stop::failed(format!("unknown filesystem {name}"))),
        },
    }
}

fn archive(name: &str) -> Option<Medium> {
    let folder = match name {
        "tar" => "",
        "tar-seed-local" => "var/lib/cloud/seed/nocloud",
        "tar-seed-net" => "var/lib/cloud/seed/nocloud-net",
        _ => return None,
    };
    Some(Medium::Tar { folder })
}
