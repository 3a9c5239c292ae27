//! Microsoft Azure: a managed disk, and an image of it.

use super::{BOTH, Format, Package, Placeholder, Seed, Target};
use crate::{Disk, Subject};

pub(super) const TARGET: Target = Target {
    name: "azure",
    aliases: &[],
    title: "Microsoft Azure",
    format: Format::Vhd,
    disk_end: ".vhd",
    package: Package::None,
    seed: Seed::Instead("Azure carries it as custom data: `az vm create … --custom-data FILE`"),
    architectures: BOTH,
    contents: &[(".vhd", "a fixed VHD, whole MiB")],
    needs: "the az CLI, azcopy, a resource group; in the guest, cloud-init or Azure's agent",
    judged: "qemu-img (compare)",
    untried: "no upload: no account",
    placeholders: &[
        Placeholder { word: "GROUP", meaning: "your resource group" },
        Placeholder { word: "LOCATION", meaning: "the region, such as westeurope" },
    ],
    files: |_, _| Vec::new(),
    commands,
};

fn commands(subject: &Subject, disk: &Disk) -> Vec<String> {
    let (slug, file, size) = (subject.name.slug(), &disk.file_name, disk.file_size_bytes);
    // Generation 2 is UEFI, and machines of Arm have nothing else.
    let generation = if subject.firmware.uefi { "V2" } else { "V1" };
    let architecture = if subject.is_arm() { "Arm64" } else { "x64" };
    let last = match subject.is_arm() {
        // A managed image is for x64 only.
        true => format!("az vm create --resource-group GROUP --name {slug} --attach-os-disk {slug} --os-type Linux"),
        false => format!(
            "az image create --resource-group GROUP --name {slug} --source {slug} --os-type Linux \
             --hyper-v-generation {generation}"
        ),
    };
    vec![
        format!(
            "az disk create --resource-group GROUP --location LOCATION --name {slug} --os-type Linux \
             --upload-type Upload --upload-size-bytes {size} --hyper-v-generation {generation} \
             --architecture {architecture}"
        ),
        format!(
            "sas=$(az disk grant-access --resource-group GROUP --name {slug} --access-level Write \
             --duration-in-seconds 86400 --query accessSAS --output tsv)"
        ),
        format!("azcopy copy {file} \"$sas\" --blob-type PageBlob"),
        format!("az disk revoke-access --resource-group GROUP --name {slug}"),
        last,
    ]
}
