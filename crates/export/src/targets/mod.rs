//! The places that images are exported to, a file each, and the table of them.

mod aws;
mod azure;
mod gcp;
mod incus;
mod libvirt;
mod lima;
mod openstack;
mod proxmox;
mod vmware;

use image::{Container, Qcow2Options};
use vm::Architecture;

use crate::{Disk, Subject, Text};

/// A place that images are exported to.
pub struct Target {
    /// The word on the command line.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// What it is called.
    pub title: &'static str,
    /// How its disk is stored.
    pub format: Format,
    /// The end of the name of the disk's file.
    pub disk_end: &'static str,
    /// Whether the files are packed into one.
    pub package: Package,
    /// What becomes of a seed.
    pub seed: Seed,
    /// The processors that it has machines of.
    pub architectures: &'static [Architecture],
    /// The ends of the names of all files but the seed, with what they are.
    pub contents: &'static [(&'static str, &'static str)],
    /// What has to be there for the commands, in half a sentence.
    pub needs: &'static str,
    /// The programs of others that judged the files, in the tests of this project.
    pub judged: &'static str,
    /// What was not tried.
    pub untried: &'static str,
    /// Words in the commands and files that a user replaces.
    pub placeholders: &'static [Placeholder],
    /// The files beside the disk.
    pub files: fn(&Subject, &Disk) -> Vec<Text>,
    /// The commands that bring the files in, to be run in their folder, a line each.
    pub commands: fn(&Subject, &Disk) -> Vec<String>,
}

/// How a disk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// QEMU's qcow2, compressed.
    Qcow2,
    /// VMware's `streamOptimized` VMDK.
    Vmdk,
    /// A fixed VHD of whole MiB.
    Vhd,
    /// `disk.raw` of whole GiB in a `.tar.gz`.
    Gce,
}

impl Format {
    /// What is written. Times in it are 0.
    pub fn container(self) -> Container {
        match self {
            Self::Qcow2 => Container::Qcow2(Qcow2Options::default()),
            Self::Vmdk => Container::Vmdk,
            Self::Vhd => Container::Vhd { time: 0 },
            Self::Gce => Container::Gce { time: 0 },
        }
    }
}

/// Whether files are packed into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// They are not.
    None,
    /// All of them are in an OVA, the first of the texts first.
    Ova,
}

/// What becomes of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// It is a CD in the machine.
    Cd,
    /// There is no place for it: what there is instead.
    Instead(&'static str),
}

/// A word that a user replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// The word, in capitals.
    pub word: &'static str,
    /// What it stands for.
    pub meaning: &'static str,
}

const BOTH: &[Architecture] = &[Architecture::X86_64, Architecture::Aarch64];
const X86_64: &[Architecture] = &[Architecture::X86_64];

/// All places.
pub static TARGETS: [Target; 9] = [
    gcp::TARGET,
    azure::TARGET,
    aws::TARGET,
    openstack::TARGET,
    vmware::TARGET,
    proxmox::TARGET,
    libvirt::TARGET,
    lima::TARGET,
    incus::TARGET,
];

/// The place that `name` is a word for.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name || target.aliases.contains(&name))
}

impl Target {
    /// The name of the disk's file.
    pub fn disk_name(&self, subject: &Subject) -> String {
        subject.file(self.disk_end)
    }

    /// The words that the commands for `subject` leave to the user.
    pub fn open_placeholders(&self, subject: &Subject) -> Vec<Placeholder> {
        let is_open = |placeholder: &&Placeholder| placeholder.word != "BUCKET" || subject.bucket.is_none();
        self.placeholders.iter().filter(is_open).copied().collect()
    }
}

/// A template that cannot fail, as text with an end of line.
fn rendered(template: &impl askama::Template) -> String {
    // Writing to a `String` cannot fail.
    let mut text = template.render().unwrap_or_default();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// `value` as JSON, with two blanks a level and an end of line.
fn json(value: &impl serde::Serialize) -> String {
    // Maps with text as keys are all that is given here.
    format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}

/// `text` as a word of a shell.
fn word(text: &str) -> String {
    vm::quoted(text.as_ref())
}

#[cfg(test)]
mod tests;
