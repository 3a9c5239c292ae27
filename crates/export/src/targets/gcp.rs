//! Google Cloud: Compute Engine.

use super::{BOTH, Format, Package, Placeholder, Seed, Target};
use crate::{Disk, Subject};

pub(super) const TARGET: Target = Target {
    name: "gcp",
    aliases: &["gce", "google"],
    title: "Google Cloud",
    format: Format::Gce,
    disk_end: ".tar.gz",
    package: Package::None,
    seed: Seed::Instead(
        "Google's metadata carries it: `gcloud compute instances create … --metadata-from-file=user-data=FILE`",
    ),
    architectures: BOTH,
    contents: &[(".tar.gz", "disk.raw in an archive, whole GiB")],
    needs: "the gcloud CLI, a project with Compute Engine, a bucket; in the guest, cloud-init or Google's guest agent",
    judged: "GNU tar",
    untried: "no import: no account",
    placeholders: &[Placeholder { word: "BUCKET", meaning: "a bucket of yours in Cloud Storage (or give `--bucket`)" }],
    files: |_, _| Vec::new(),
    commands,
};

fn commands(subject: &Subject, disk: &Disk) -> Vec<String> {
    let (slug, file, bucket) = (subject.name.slug(), &disk.file_name, subject.bucket());
    let mut features = vec!["VIRTIO_SCSI_MULTIQUEUE"];
    if subject.firmware.uefi {
        features.push("UEFI_COMPATIBLE");
    }
    // Machines of Arm have no other network card.
    if subject.is_arm() {
        features.push("GVNIC");
    }
    let architecture = if subject.is_arm() { "ARM64" } else { "X86_64" };
    vec![
        format!("gcloud storage cp {file} gs://{bucket}/{file}"),
        format!(
            "gcloud compute images create {slug} --source-uri=gs://{bucket}/{file} --architecture={architecture} \
             --guest-os-features={}",
            features.join(",")
        ),
    ]
}
