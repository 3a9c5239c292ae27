//! Amazon Web Services: a snapshot that is imported, and an AMI of it.

use serde::Serialize;

use super::{BOTH, Format, Package, Placeholder, Seed, Target, json, word};
use crate::{Disk, Subject, Text};

pub(super) const TARGET: Target = Target {
    name: "aws",
    aliases: &["ec2", "ami"],
    title: "Amazon Web Services",
    format: Format::Vmdk,
    disk_end: ".vmdk",
    package: Package::None,
    seed: Seed::Instead("EC2 carries it as user data: `aws ec2 run-instances … --user-data file://FILE`"),
    architectures: BOTH,
    contents: &[(".vmdk", "a streamOptimized VMDK"), ("containers.json", "the disk, as import-snapshot has it")],
    needs: "the aws CLI, a bucket in S3, the role `vmimport`; in the guest, cloud-init and drivers for NVMe and ENA",
    judged: "qemu-img (compare, check), botocore (parameters of import-snapshot)",
    untried: "no import: no account",
    placeholders: &[
        Placeholder {
            word: "BUCKET",
            meaning: "a bucket of yours in S3; it is in containers.json, too (or give `--bucket`)",
        },
        Placeholder { word: "TASK", meaning: "the ImportTaskId that import-snapshot prints" },
        Placeholder { word: "SNAPSHOT", meaning: "the SnapshotId that the task has when it is completed" },
    ],
    files,
    commands,
};

/// `DiskContainer` of the API.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Container<'a> {
    description: &'a str,
    format: &'a str,
    user_bucket: UserBucket<'a>,
}

#[derive(Serialize)]
struct UserBucket<'a> {
    #[serde(rename = "S3Bucket")]
    bucket: String,
    #[serde(rename = "S3Key")]
    key: &'a str,
}

const CONTAINERS: &str = "containers.json";

fn files(subject: &Subject, disk: &Disk) -> Vec<Text> {
    let user_bucket = UserBucket { bucket: subject.bucket(), key: &disk.file_name };
    let container = Container { description: subject.name.shown(), format: "VMDK", user_bucket };
    vec![Text::new(CONTAINERS.to_owned(), json(&container))]
}

fn commands(subject: &Subject, disk: &Disk) -> Vec<String> {
    let (slug, file, bucket) = (subject.name.slug(), &disk.file_name, subject.bucket());
    let (architecture, boot_mode) = match (subject.is_arm(), subject.firmware.bios, subject.firmware.uefi) {
        (true, ..) => ("arm64", "uefi"),
        (false, true, true) => ("x86_64", "uefi-preferred"),
        (false, false, true) => ("x86_64", "uefi"),
        (false, _, false) => ("x86_64", "legacy-bios"),
    };
    vec![
        format!("aws s3 cp {file} s3://{bucket}/{file}"),
        format!(
            "aws ec2 import-snapshot --description {} --disk-container file://{CONTAINERS}",
            word(subject.name.shown())
        ),
        "aws ec2 describe-import-snapshot-tasks --import-task-ids TASK".to_owned(),
        format!(
            "aws ec2 register-image --name {slug} --architecture {architecture} --boot-mode {boot_mode} \
             --virtualization-type hvm --ena-support --root-device-name /dev/sda1 \
             --block-device-mappings 'DeviceName=/dev/sda1,Ebs={{SnapshotId=SNAPSHOT,VolumeType=gp3}}'"
        ),
    ]
}
