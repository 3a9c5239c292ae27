//! VMware: an OVA, one file with the machine and its disk.

use askama::Template;

use super::{Format, Package, Placeholder, Seed, Target, X86_64, rendered};
use crate::{Disk, Subject, Text};

pub(super) const TARGET: Target = Target {
    name: "vmware",
    aliases: &["ova", "vsphere", "esxi"],
    title: "VMware",
    format: Format::Vmdk,
    disk_end: "-disk1.vmdk",
    package: Package::Ova,
    seed: Seed::Cd,
    architectures: X86_64,
    contents: &[(".ova", "descriptor, manifest (SHA-256), streamOptimized VMDK, and the seed as a CD")],
    needs: "govc or ovftool, a host of ESXi 6.5 or newer; in the guest, drivers for pvscsi and vmxnet3, cloud-init",
    judged: "GNU tar, sha256sum (the manifest), xmllint (well-formed), virt-v2v (reads the machine), qemu-img (compare)",
    untried: "no import: no vSphere; no schema of DMTF's; ovftool is not free and was not run",
    placeholders: &[Placeholder { word: "HOST", meaning: "the host or vCenter, as ovftool's locator has it" }],
    files,
    commands,
};

#[derive(Template)]
#[template(path = "machine.ovf.xml")]
struct Descriptor<'a> {
    subject: &'a Subject,
    disk: &'a Disk,
    seed_name: String,
    /// CIM's number of the system, and VMware's word for it.
    system: (u32, &'static str),
}

/// `CIM_OperatingSystem.OSType`, with VMware's identifier of the guest. Versions are left out: a host that does not know
/// one refuses the machine.
fn system(subject: &Subject) -> (u32, &'static str) {
    match subject.system.as_ref().map(|system| system.id.as_str()) {
        Some("ubuntu") => (94, "ubuntu64Guest"),
        Some("debian") => (96, "debian10_64Guest"),
        _ => (101, "otherLinux64Guest"),
    }
}

fn files(subject: &Subject, disk: &Disk) -> Vec<Text> {
    let descriptor = Descriptor { subject, disk, seed_name: subject.seed_name(), system: system(subject) };
    vec![Text::new(subject.file(".ovf"), rendered(&descriptor))]
}

fn commands(subject: &Subject, _: &Disk) -> Vec<String> {
    let slug = subject.name.slug();
    vec![format!("govc import.ova -name={slug} {slug}.ova"), format!("ovftool --name={slug} {slug}.ova vi://HOST")]
}
