//! OpenStack: Glance.

use std::collections::BTreeMap;

use serde_json::{Value, json as object};

use super::{BOTH, Format, Package, Seed, Target, json, word};
use crate::{Disk, Subject, Text};

pub(super) const TARGET: Target = Target {
    name: "openstack",
    aliases: &["glance"],
    title: "OpenStack",
    format: Format::Qcow2,
    disk_end: ".qcow2",
    package: Package::None,
    seed: Seed::Instead("Nova carries it: `openstack server create … --user-data FILE --config-drive True`"),
    architectures: BOTH,
    contents: &[(".qcow2", "the disk"), (".json", "the same properties as the body of Glance's POST /v2/images")],
    needs: "the openstack CLI, the right to make images; in the guest, cloud-init",
    judged: "qemu-img (compare, check)",
    untried: "no upload: no cloud",
    placeholders: &[],
    files,
    commands,
};

/// The properties that Nova and Glance know, each with its value.
fn properties(subject: &Subject) -> BTreeMap<&'static str, String> {
    let mut properties = BTreeMap::from([
        ("architecture", subject.architecture.name().to_owned()),
        ("hw_disk_bus", "virtio".to_owned()),
        ("hw_machine_type", if subject.is_arm() { "virt" } else { "q35" }.to_owned()),
        ("hw_rng_model", "virtio".to_owned()),
        ("hw_vif_model", "virtio".to_owned()),
        ("os_type", "linux".to_owned()),
    ]);
    // A BIOS starts in a moment, where the image has something for it.
    let firmware = if subject.firmware.bios { "bios" } else { "uefi" };
    properties.insert("hw_firmware_type", firmware.to_owned());
    if let Some(system) = &subject.system {
        properties.insert("os_distro", system.id.clone());
        if let Some(version) = &system.version {
            properties.insert("os_version", version.clone());
        }
    }
    properties
}

fn files(subject: &Subject, disk: &Disk) -> Vec<Text> {
    let mut body: BTreeMap<&str, Value> =
        properties(subject).into_iter().map(|(key, value)| (key, value.into())).collect();
    body.extend([
        ("name", object!(subject.name.slug())),
        ("disk_format", object!("qcow2")),
        ("container_format", object!("bare")),
        ("min_disk", object!(disk.size_gib())),
    ]);
    vec![Text::new(subject.file(".json"), json(&body))]
}

fn commands(subject: &Subject, disk: &Disk) -> Vec<String> {
    let properties: String = properties(subject)
        .iter()
        .map(|(key, value)| format!(" --property {}", word(&format!("{key}={value}"))))
        .collect();
    vec![format!(
        "openstack image create {} --file {} --disk-format qcow2 --container-format bare --min-disk {}{properties}",
        subject.name.slug(),
        disk.file_name,
        disk.size_gib()
    )]
}
