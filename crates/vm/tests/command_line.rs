//! Command lines as text: what a shell makes of them, and what is in them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use support::{ODD_NAME, accelerated, empty, machines, uefi};
use testkit::judge::judge;
use vm::{Accelerator, Architecture, CommandLine, DirectKernel, Disk, Firmware, Machine, Uefi};

const BOTH: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];

/// The words that a shell makes of a line.
fn words(shell: &str, line: &CommandLine) -> Vec<OsString> {
    let script = format!("show() {{ printf '%s\\0' \"$@\"; }}\nshow {line}\n");
    let said = judge(shell).arg("-c").arg(script).succeed().stdout_bytes;
    said.split(|&byte| byte == 0)
        .map(|word| OsString::from_vec(word.to_vec()))
        .take_while(|word| !word.is_empty())
        .collect()
}

/// What QEMU is to be started with.
fn expected(line: &CommandLine) -> Vec<OsString> {
    std::iter::once(line.program.as_os_str()).chain(line.arguments()).map(OsStr::to_owned).collect()
}

/// The values of an option.
fn values(line: &CommandLine, option: &str) -> Vec<String> {
    let with_option = line.settings.iter().filter(|setting| setting.option == option);
    with_option.filter_map(|setting| setting.value.clone()?.into_string().ok()).collect()
}

/// The parts of a value, as QEMU reads them: `name=value` each, two commas being one in a value.
fn parts(value: &str) -> Vec<(String, String)> {
    let value = value.replace(",,", "\0");
    let part = |part: &str| match part.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.replace('\0', ",")),
        None => (String::new(), part.replace('\0', ",")),
    };
    value.split(',').map(part).collect()
}

fn part(value: &str, name: &str) -> Option<String> {
    parts(value).into_iter().find(|part| part.0 == name).map(|part| part.1)
}

#[test]
fn shells_read_what_qemu_is_to_get() {
    let folder = Path::new("/srv/my images");
    for architecture in BOTH {
        for (what, machine) in machines(architecture, folder) {
            let line = machine.command_line(Some(Path::new("/tmp/it's here")));
            for shell in ["bash", "dash"] {
                assert_eq!(words(shell, &line), expected(&line), "{shell}: {what} on {architecture}\n{line}");
            }
        }
    }
}

#[test]
fn names_that_are_not_text_survive_bash() {
    let mut machine = empty(Architecture::X86_64);
    let name = OsStr::from_bytes(b"/srv/\xff\n\t'\\\x01,.img");
    machine.disks.push(Disk::throwaway(name, "raw"));
    let line = machine.command_line(None);
    assert_eq!(words("bash", &line), expected(&line), "{line}");
}

#[test]
fn each_option_has_a_reason_and_a_line_of_its_own() {
    for architecture in BOTH {
        for (what, machine) in machines(architecture, Path::new("/srv")) {
            let line = machine.command_line(Some(Path::new("/run/vm")));
            for setting in &line.settings {
                assert!(setting.reason.len() > 10, "{what}: {setting:?}");
                assert!(setting.option.starts_with('-'), "{what}: {setting:?}");
            }
            let text = line.to_string();
            assert_eq!(text.lines().count(), line.settings.len() + 1, "{text}");
            assert!(text.starts_with(architecture.program()), "{text}");
        }
    }
}

#[test]
fn a_disks_file_is_named_as_it_is() {
    let folder = Path::new("/srv");
    for (what, machine) in machines(Architecture::X86_64, folder) {
        if what != "a disk" {
            continue;
        }
        let [drive] = &values(&machine.command_line(None), "-drive")[..] else { panic!("{what}") };
        assert_eq!(part(drive, "file"), Some(format!("/srv/{ODD_NAME}")), "{drive}");
        assert_eq!(part(drive, "format").as_deref(), Some("raw"));
    }
}

#[test]
fn a_relative_name_is_no_protocol() {
    let mut machine = empty(Architecture::X86_64);
    machine.disks.push(Disk::throwaway("nbd:localhost:1", "raw"));
    let drives = values(&machine.command_line(None), "-drive");
    assert_eq!(part(&drives[0], "file").as_deref(), Some("./nbd:localhost:1"));
}

#[test]
fn only_a_disk_that_is_kept_is_written_to() {
    let drive = |disk| {
        let mut machine = empty(Architecture::X86_64);
        machine.disks.push(disk);
        values(&machine.command_line(None), "-drive").remove(0)
    };
    let throwaway = drive(Disk::throwaway("/a", "qcow2"));
    assert_eq!(
        (part(&throwaway, "snapshot").as_deref(), part(&throwaway, "cache").as_deref()),
        (Some("on"), Some("unsafe"))
    );
    let kept = drive(Disk::persistent("/a", "qcow2"));
    // What the guest flushed is to be there after a power cut.
    assert_eq!((part(&kept, "snapshot"), part(&kept, "cache"), part(&kept, "readonly")), (None, None, None));
    assert_eq!(part(&drive(Disk::read_only("/a", "raw")), "readonly").as_deref(), Some("on"));
}

#[test]
fn each_accelerator_has_its_processor() {
    let of = |accelerator| {
        let line = accelerated(accelerator).command_line(None);
        (values(&line, "-accel").remove(0), values(&line, "-cpu").remove(0))
    };
    assert_eq!(of(Accelerator::Kvm), ("kvm".to_owned(), "host".to_owned()));
    assert_eq!(of(Accelerator::Hvf), ("hvf".to_owned(), "host".to_owned()));
    let (accelerator, cpu) = of(Accelerator::Tcg);
    assert_eq!(part(&accelerator, "thread").as_deref(), Some("multi"));
    assert!(cpu.starts_with("max"), "{cpu}");
}

#[test]
fn a_firmware_has_variables_of_its_own() {
    let machine =
        Machine { firmware: uefi(Path::new("/code.fd"), Path::new("/vars.fd")), ..empty(Architecture::Aarch64) };
    let drives = values(&machine.command_line(None), "-drive");
    let [code, variables] = &drives[..] else { panic!("{drives:?}") };
    assert_eq!((part(code, "if").as_deref(), part(code, "readonly").as_deref()), (Some("pflash"), Some("on")));
    assert_eq!(part(variables, "file").as_deref(), Some("/vars.fd"));
    assert_eq!(part(variables, "snapshot").as_deref(), Some("on"));
}

#[test]
fn secure_boot_has_the_mode_that_it_needs() {
    let Firmware::Uefi(uefi) = uefi(Path::new("/code.fd"), Path::new("/vars.fd")) else { unreachable!() };
    let secure = Firmware::Uefi(Uefi { needs_smm: true, ..uefi });
    let line = Machine { firmware: secure, ..empty(Architecture::X86_64) }.command_line(None);
    assert_eq!(part(&values(&line, "-machine")[0], "smm").as_deref(), Some("on"));
    assert_eq!(part(&values(&line, "-global")[0], "property").as_deref(), Some("secure"));
}

#[test]
fn sockets_are_there_where_there_is_a_folder_for_them() {
    let machines = machines(Architecture::X86_64, Path::new("/srv"));
    let (_, machine) = machines.into_iter().find(|(what, _)| *what == "channels").unwrap();
    let without = machine.command_line(None);
    assert!(!without.to_string().contains("socket"), "{without}");
    let with = values(&machine.command_line(Some(Path::new("/run/a,b"))), "-chardev");
    let paths: Vec<_> = with.iter().filter_map(|value| part(value, "path")).collect();
    assert_eq!(paths, ["/run/a,b/monitor", "/run/a,b/channel0", "/run/a,b/channel1"]);
}

#[test]
fn a_kernels_words_are_one_value() {
    let words = "console=ttyS0 ds=nocloud;s=http://a/,b 'x'";
    let kernel = DirectKernel { kernel: "/k".into(), initrd: None, command_line: words.to_owned() };
    let line = Machine { direct_kernel: Some(kernel), ..empty(Architecture::X86_64) }.command_line(None);
    // Not a value with parts: a comma is a comma.
    assert_eq!(values(&line, "-append"), [words]);
    assert!(values(&line, "-initrd").is_empty());
}
