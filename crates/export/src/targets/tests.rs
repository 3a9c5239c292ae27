//! What holds of every place.

use super::*;
use crate::{Firmware, Name, System};

fn subject(name: &str, architecture: Architecture) -> Subject {
    let firmware = Firmware { bios: architecture == Architecture::X86_64, uefi: true };
    let mut subject = Subject::new(Name::new(name).unwrap(), architecture, firmware);
    subject.system = Some(System::new("ubuntu", Some("24.04"), "Ubuntu <24.04> & \"more\" 'x'\n</a>"));
    subject.has_seed = true;
    subject
}

fn disk(target: &Target, subject: &Subject) -> Disk {
    let sha256 = "0".repeat(64);
    Disk { file_name: target.disk_name(subject), size_bytes: 3 << 29, file_size_bytes: 1 << 20, sha256 }
}

/// Names that mean something to one of the languages: none of them is a part of a path, or ends a text.
const HOSTILE: [&str; 5] =
    ["../../etc/passwd", "a</title><x y=\"", "a'; rm -rf / #", "a\": {b: [&c, *c]}", "]]> ${HOME} `id` %s \\"];

#[test]
fn words_are_for_one_place_only() {
    let mut words: Vec<&str> =
        TARGETS.iter().flat_map(|target| target.aliases.iter().chain([&target.name])).copied().collect();
    let number = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), number);
    assert!(words.iter().all(|word| target(word).is_some()) && target("vbox").is_none());
}

#[test]
fn each_file_is_named_in_the_table_and_stays_in_its_folder() {
    for target in &TARGETS {
        for name in HOSTILE {
            let subject = subject(name, Architecture::X86_64);
            let disk = disk(target, &subject);
            let files = (target.files)(&subject, &disk);
            let names = files.iter().map(|file| &file.name).chain([&disk.file_name]);
            for name in names {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
                assert!(name.bytes().all(is_plain) && !name.starts_with('.'), "{name}");
                let is_listed = target.contents.iter().any(|(end, _)| name.ends_with(end));
                assert!(is_listed || target.package == Package::Ova, "{name}");
            }
            assert_eq!(files, (target.files)(&subject, &disk), "the same bytes each time");
        }
    }
}

/// A placeholder that nobody finds, or that nobody is told of, is a command that does not work.
#[test]
fn words_in_capitals_are_explained() {
    for target in &TARGETS {
        let subject = subject("app", Architecture::X86_64);
        let commands = (target.commands)(&subject, &disk(target, &subject)).join("\n");
        for placeholder in target.placeholders {
            assert!(commands.contains(placeholder.word), "{}: {}", target.name, placeholder.word);
        }
        assert!(!commands.contains("PLACEHOLDER") && !commands.is_empty());
    }
    let mut subject = subject("app", Architecture::X86_64);
    subject.bucket = Some("my-images".parse().unwrap());
    let gcp = target("gcp").unwrap();
    assert!((gcp.commands)(&subject, &disk(gcp, &subject))[0].ends_with(" gs://my-images/app.tar.gz"));
    assert_eq!(gcp.open_placeholders(&subject), []);
}

#[test]
fn machines_of_arm_get_what_they_can_start() {
    let subject = subject("app", Architecture::Aarch64);
    let commands = |name: &str| {
        let target = target(name).unwrap();
        (target.commands)(&subject, &disk(target, &subject)).join("\n")
    };
    for (name, word) in [
        ("gcp", "--guest-os-features=VIRTIO_SCSI_MULTIQUEUE,UEFI_COMPATIBLE,GVNIC"),
        ("gcp", "--architecture=ARM64"),
        ("azure", "--hyper-v-generation V2 --architecture Arm64"),
        ("aws", "--architecture arm64 --boot-mode uefi "),
        ("openstack", "--property hw_firmware_type=uefi --property hw_machine_type=virt"),
    ] {
        assert!(commands(name).contains(word), "{name}: {}", commands(name));
    }
}
