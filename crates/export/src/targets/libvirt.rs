//! libvirt: a domain.

use askama::Template;

use super::{BOTH, Format, Package, Seed, Target, rendered};
use crate::{Disk, Subject, Text};

/// The folder of libvirt's pool `default`, where its profiles of AppArmor and SELinux let QEMU read.
const FOLDER: &str = "/var/lib/libvirt/images";

pub(super) const TARGET: Target = Target {
    name: "libvirt",
    aliases: &["kvm", "virsh"],
    title: "libvirt",
    format: Format::Qcow2,
    disk_end: ".qcow2",
    package: Package::None,
    seed: Seed::Cd,
    architectures: BOTH,
    contents: &[(".qcow2", "the disk"), (".xml", "the domain, with the seed as a CD")],
    needs: "libvirt with KVM and its network `default`; in the guest, cloud-init if there is a seed",
    judged: "virt-xml-validate (libvirt's schema), virsh (define, with libvirt's driver `test`), qemu-img (compare, check)",
    untried: "no start: libvirt's daemon was not run",
    placeholders: &[],
    files,
    commands,
};

#[derive(Template)]
#[template(path = "domain.xml")]
struct Domain<'a> {
    subject: &'a Subject,
    /// The files' places on the host.
    disk: String,
    seed: String,
    system: &'a str,
}

fn files(subject: &Subject, disk: &Disk) -> Vec<Text> {
    let domain = Domain {
        subject,
        disk: format!("{FOLDER}/{}", disk.file_name),
        seed: format!("{FOLDER}/{}", subject.seed_name()),
        system: subject.system_name(),
    };
    vec![Text::new(subject.file(".xml"), rendered(&domain))]
}

fn commands(subject: &Subject, disk: &Disk) -> Vec<String> {
    let slug = subject.name.slug();
    let seed = if subject.has_seed { format!(" {}", subject.seed_name()) } else { String::new() };
    vec![
        format!("sudo install -m 0644 {}{seed} {FOLDER}/", disk.file_name),
        format!("virsh --connect qemu:///system define {slug}.xml"),
        format!("virsh --connect qemu:///system start {slug} --console"),
    ]
}
