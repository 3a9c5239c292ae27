//! Lima.

use askama::Template;

use super::{BOTH, Format, Package, Seed, Target, rendered};
use crate::{Disk, Subject, Text};

pub(super) const TARGET: Target = Target {
    name: "lima",
    aliases: &["limactl"],
    title: "Lima",
    format: Format::Qcow2,
    disk_end: ".qcow2",
    package: Package::None,
    seed: Seed::Instead("Lima makes its own, and scripts of `provision` in the YAML run at each start"),
    architectures: BOTH,
    contents: &[(".qcow2", "the disk"), (".yaml", "the instance, with the disk's digest")],
    needs: "limactl, started in the folder of the files; in the guest, cloud-init, sudo and an SSH server",
    judged: "PyYAML, qemu-img (compare, check)",
    untried: "no start: limactl is in no archive of Debian's",
    placeholders: &[],
    files,
    commands,
};

#[derive(Template)]
#[template(path = "instance.yaml")]
struct Instance<'a> {
    subject: &'a Subject,
    location: String,
    digest: String,
}

fn files(subject: &Subject, disk: &Disk) -> Vec<Text> {
    let location = format!("./{}", disk.file_name);
    let instance = Instance { subject, location, digest: format!("sha256:{}", disk.sha256) };
    vec![Text::new(subject.file(".yaml"), rendered(&instance))]
}

fn commands(subject: &Subject, _: &Disk) -> Vec<String> {
    let slug = subject.name.slug();
    vec![format!("limactl start --name={slug} ./{slug}.yaml")]
}
