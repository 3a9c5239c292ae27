//! Incus: a split image of a virtual machine.

use std::io::{self, Write};

use askama::Template;
use lzma_rust2::{XzOptions, XzWriter};

use super::{BOTH, Format, Package, Seed, Target, rendered};
use crate::archive::append;
use crate::{Disk, Subject, Text};

/// The preset of `xz` that is its own default.
const XZ_PRESET: u32 = 6;

pub(super) const TARGET: Target = Target {
    name: "incus",
    aliases: &["lxd"],
    title: "Incus",
    format: Format::Qcow2,
    disk_end: ".qcow2",
    package: Package::None,
    seed: Seed::Instead("Incus carries it: `incus launch … --config=cloud-init.user-data=\"$(cat FILE)\"`"),
    architectures: BOTH,
    contents: &[(".qcow2", "the disk"), ("-metadata.tar.xz", "metadata.yaml: the two are a split image")],
    needs: "incus (or lxc of LXD) with virtual machines; in the guest, cloud-init",
    judged: "xz, GNU tar, PyYAML, qemu-img (compare, check)",
    untried: "no import: the daemon was not run, and Debian 12 does not have it",
    placeholders: &[],
    files,
    commands,
};

#[derive(Template)]
#[template(path = "metadata.yaml")]
struct Metadata<'a> {
    subject: &'a Subject,
    system: &'a str,
}

const METADATA_END: &str = "-metadata.tar.xz";

fn files(subject: &Subject, _: &Disk) -> Vec<Text> {
    let metadata = rendered(&Metadata { subject, system: subject.system_name() });
    // Nothing can fail that is written to memory.
    let content = archive(metadata.as_bytes(), subject.created.max(0) as u64).unwrap_or_default();
    vec![Text::new(subject.file(METADATA_END), content)]
}

fn archive(metadata: &[u8], time: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "metadata.yaml", metadata.len() as u64, time, &mut &metadata[..])?;
    let mut compressed = XzWriter::new(Vec::new(), XzOptions::with_preset(XZ_PRESET))?;
    compressed.write_all(&archive.into_inner()?)?;
    compressed.finish()
}

fn commands(subject: &Subject, disk: &Disk) -> Vec<String> {
    let slug = subject.name.slug();
    // Its machines have UEFI, unless they are told to have a BIOS.
    let firmware = match subject.firmware.uefi {
        true => "",
        false => " --config=security.csm=true --config=security.secureboot=false",
    };
    vec![
        format!("incus image import {slug}{METADATA_END} {} --alias={slug}", disk.file_name),
        format!("incus launch {slug} {slug} --vm{firmware}"),
    ]
}
