//! The real QEMU takes our command lines, starts, answers and ends.
#![cfg(feature = "full-tests")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use support::{ODD_NAME, empty, machines};
use testkit::judge::judge;
use vm::{Accelerator, Architecture, Channel, Console, Disk, Error, Firmware, Machine, Uefi, What, start};

/// A folder with the files that machines name.
fn folder() -> tempfile::TempDir {
    judge("qemu-system-x86_64").arg("--version").succeed();
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join(ODD_NAME)).unwrap().set_len(1 << 20).unwrap();
    // An x86 kernel that is nothing but the header that QEMU looks at.
    let mut kernel = vec![0; 4096];
    kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&[0x0c, 0x02]);
    // As far as an initrd may reach.
    kernel[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    std::fs::write(folder.path().join("vmlinuz"), kernel).unwrap();
    folder
}

/// What a machine did until it ended, bytes of the console left out.
fn rest(running: &vm::Running) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(occurrence) = running.next(Duration::from_secs(5)) {
        match occurrence.what {
            What::Event { name, .. } => rest.push(name),
            What::Console(_) => {}
            closed => rest.push(format!("{closed:?}")),
        }
    }
    rest.sort();
    rest
}

#[test]
fn a_machine_starts_answers_and_ends() {
    let sockets = folder();
    let channels = vec![Channel { name: "org.example.0".to_owned() }];
    let mut running = start(&Machine { channels, ..empty(Architecture::X86_64) }, sockets.path()).unwrap();
    let status = running.monitor().status().unwrap();
    assert!(status.is_running && status.state == "running", "{status:?}");
    assert_eq!(running.try_wait().unwrap(), None);
    running.monitor().reset().unwrap();
    let refused = running.monitor().execute("no_such_command", None).unwrap_err();
    assert!(matches!(&refused, Error::Refused { command, .. } if command == "no_such_command"), "{refused}");
    let mut channel = running.channel("org.example.0").unwrap();
    assert!(running.channel("org.example.1").is_err());
    running.write_console(b"\n").unwrap();
    running.monitor().quit().unwrap();
    assert!(running.wait().unwrap().success(), "{}", running.stderr());
    assert_eq!(channel.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(rest(&running), ["ConsoleClosed", "MonitorClosed", "RESET", "SHUTDOWN"]);
    assert_eq!(running.stderr(), "");
    assert!(matches!(running.monitor().status(), Err(Error::Monitor { .. })));
}

#[test]
fn each_kind_of_machine_is_one_for_qemu() {
    let folder = folder();
    judge("qemu-system-aarch64").arg("--version").succeed();
    let of = |architecture| machines(architecture, folder.path());
    for (what, machine) in of(Architecture::X86_64).into_iter().chain(of(Architecture::Aarch64)) {
        // With its own standard input QEMU would have ours.
        let machine = Machine { console: Console::Piped, ..machine };
        let sockets = tempfile::tempdir().unwrap();
        let mut running = start(&machine, sockets.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let status = running.monitor().status().unwrap();
        assert!(status.is_running, "{what}: {status:?}\n{}", running.command_line());
        running.monitor().quit().unwrap();
        assert!(running.wait().unwrap().success(), "{what}");
        assert_eq!(running.stderr(), "", "{what}\n{}", running.command_line());
    }
}

#[test]
fn what_a_disk_did_is_counted() {
    let folder = folder();
    let disk = folder.path().join("disk");
    // The firmware reads the first sector to see whether it starts.
    File::create(&disk).unwrap().write_all(&vec![0; 1 << 20]).unwrap();
    let machine = Machine { disks: vec![Disk::throwaway(&disk, "raw")], ..empty(Architecture::X86_64) };
    let running = start(&machine, folder.path()).unwrap();
    let mut progress = running.monitor().progress().unwrap();
    while progress.read_bytes == 0 {
        std::thread::sleep(Duration::from_millis(20));
        progress = running.monitor().progress().unwrap();
    }
    assert!(progress.read_bytes >= 512 && progress.requests >= 1 && progress.written_bytes == 0, "{progress:?}");
}

#[test]
fn a_uefi_firmware_of_this_host_speaks() {
    let folder = folder();
    for is_secure in [false, true] {
        let uefi = Uefi::find(Architecture::X86_64, is_secure, None).expect("OVMF is installed");
        assert_eq!(uefi.needs_smm, is_secure, "{uefi:?}");
        let variables = uefi.variables.clone().unwrap().path;
        let before = std::fs::read(&variables).unwrap();
        let machine = Machine { firmware: Firmware::Uefi(uefi), memory_mib: 256, ..empty(Architecture::X86_64) };
        let running = start(&machine, folder.path()).unwrap();
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("BdsDxe") {
            match running.next(Duration::from_secs(120)).expect("the firmware says something").what {
                What::Console(bytes) => said.extend(bytes),
                What::Event { .. } => {}
                closed => panic!("{closed:?}: {}", running.stderr()),
            }
        }
        drop(running);
        // The template is everybody's.
        assert!(std::fs::read(&variables).unwrap() == before, "{}", variables.display());
    }
}

#[test]
fn a_machine_that_is_dropped_is_gone() {
    let folder = folder();
    let running = start(&empty(Architecture::X86_64), folder.path()).unwrap();
    let process = format!("/proc/{}", running.process_id());
    assert!(Path::new(&process).exists());
    drop(running);
    assert!(!Path::new(&process).exists());
}

#[test]
fn what_qemu_says_of_a_machine_that_cannot_be_is_told() {
    let folder = folder();
    let none = folder.path().join("no such disk");
    let machine = Machine { disks: vec![Disk::throwaway(none, "raw")], ..empty(Architecture::X86_64) };
    let error = start(&machine, folder.path()).unwrap_err();
    let Error::Ended { stderr, status } = &error else { panic!("{error}") };
    assert!(stderr.contains("no such disk") && !status.success(), "{error}");
    let error =
        start(&Machine { accelerator: Accelerator::Hvf, ..empty(Architecture::X86_64) }, folder.path()).unwrap_err();
    assert!(matches!(&error, Error::Ended { stderr, .. } if stderr.contains("hvf")), "{error}");
}

#[test]
fn a_disk_that_another_machine_writes_to_is_locked() {
    let (folder, other) = (folder(), folder());
    let disk = folder.path().join(ODD_NAME);
    let machine = |disk| Machine { disks: vec![disk], ..empty(Architecture::X86_64) };
    let _running = start(&machine(Disk::persistent(&disk, "raw")), folder.path()).unwrap();
    let error = start(&machine(Disk::throwaway(&disk, "raw")), other.path()).unwrap_err();
    assert!(matches!(&error, Error::Ended { stderr, .. } if stderr.contains("lock")), "{error}");
}
