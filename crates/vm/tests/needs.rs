//! What images need of their machines; the disks are divided by `sgdisk` and `sfdisk`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::Guest;
use storage::{FileStorage, Overlay, WriteAt};
use tempfile::TempDir;
use testkit::fixture::{self, Format, Options};
use testkit::judge::judge;
use vm::{Architecture, FirmwareKind, GuestKernel, Needs, NoKernel};

/// Disks to be divided.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// An empty disk of 64 MiB.
    fn disk(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        File::create(&path).unwrap().set_len(64 << 20).unwrap();
        path
    }

    /// A disk that `sgdisk` divides.
    fn gpt(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.disk(name);
        judge("sgdisk").args(options).arg(&path).succeed();
        path
    }

    /// Puts an ext4 with `files` on a disk, from the byte `offset` on.
    fn ext4(&self, disk: &Path, offset: u64, files: &[(&str, &[u8])]) {
        let tree = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = tree.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let options = format!("offset={offset}");
        judge("mke2fs")
            .args(["-q", "-t", "ext4", "-F", "-E", &options, "-d"])
            .arg(tree.path())
            .arg(disk)
            .arg("32M")
            .succeed();
    }
}

/// Makes a disk's first sector one with code.
fn add_code(disk: &Path) {
    let file = OpenOptions::new().write(true).open(disk).unwrap();
    // The jump that GRUB's begins with.
    file.write_all_at(&[0xeb, 0x63, 0x90], 0).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
}

fn open(disk: &Path) -> Arc<dyn WriteAt> {
    let file = FileStorage::new(File::open(disk).unwrap()).unwrap();
    Arc::new(Overlay::new(file, 16 << 20, Box::new(tempfile::tempfile)))
}

fn needs(disk: &Path) -> Needs {
    let storage = open(disk);
    let guest = Guest::open(Arc::clone(&storage)).ok();
    Needs::of(&storage, guest.as_ref()).unwrap()
}

fn firmware(disk: &Path) -> FirmwareKind {
    needs(disk).firmware.what
}

/// The start of an ELF file for a machine with this number.
fn elf(machine: u8) -> [u8; 64] {
    let mut start = [0; 64];
    start[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    start[18] = machine;
    start
}

#[test]
fn an_image_of_ubuntus_layout_starts_with_a_bios() {
    let image = fixture::small_cloud_image(&Options { format: Format::Raw, ..Options::default() });
    assert_eq!(firmware(&image), FirmwareKind::Bios);
    assert!(needs(&image).firmware.reason.contains("BIOS boot partition"));
    // The partition for a boot loader without its beginning is nothing that starts.
    let world = World::new();
    let empty = world.gpt("empty", &["-n", "14:0:+4M", "-t", "14:ef02", "-n", "15:0:+32M", "-t", "15:ef00"]);
    assert_eq!(firmware(&empty), FirmwareKind::Uefi);
}

#[test]
fn a_disk_with_an_esp_only_starts_with_uefi() {
    let world = World::new();
    let gpt = world.gpt("gpt", &["-n", "1:0:+32M", "-t", "1:ef00"]);
    assert_eq!(firmware(&gpt), FirmwareKind::Uefi);
    // Some put a text for BIOS users there.
    add_code(&gpt);
    assert_eq!(firmware(&gpt), FirmwareKind::Uefi);
    let mbr = world.disk("mbr");
    let script = world.folder.path().join("script");
    fs::write(&script, "label: dos\nstart=2048, size=65536, type=ef\n").unwrap();
    judge("sfdisk").arg("-q").stdin(File::open(script).unwrap()).arg(&mbr).succeed();
    assert_eq!(firmware(&mbr), FirmwareKind::Uefi);
}

#[test]
fn a_disk_with_code_and_no_esp_starts_with_a_bios() {
    let world = World::new();
    let whole = world.disk("whole");
    assert!(needs(&whole).firmware.reason.contains("neither"), "{:?}", needs(&whole));
    add_code(&whole);
    assert_eq!(firmware(&whole), FirmwareKind::Bios);
    assert!(needs(&whole).firmware.reason.contains("first sector"));
    let gpt = world.gpt("gpt", &["-n", "1:0:+4M", "-t", "1:ef02", "-n", "2:0:0"]);
    add_code(&gpt);
    assert_eq!(firmware(&gpt), FirmwareKind::Bios);
    let mbr = world.disk("mbr");
    let script = world.folder.path().join("script");
    fs::write(&script, "label: dos\nstart=2048, size=65536, type=83, bootable\n").unwrap();
    judge("sfdisk").arg("-q").stdin(File::open(script).unwrap()).arg(&mbr).succeed();
    add_code(&mbr);
    assert_eq!(firmware(&mbr), FirmwareKind::Bios);
}

#[test]
fn what_the_programs_are_for_is_read_from_them() {
    let world = World::new();
    for (name, machine, architecture) in
        [("amd64", 62, Some(Architecture::X86_64)), ("arm64", 183, Some(Architecture::Aarch64)), ("riscv", 243, None)]
    {
        let disk = world.disk(name);
        let os_release: (&str, &[u8]) = ("etc/os-release", b"ID=x\n");
        world.ext4(&disk, 0, &[os_release, ("usr/bin/env", &elf(machine))]);
        let needs = needs(&disk);
        assert_eq!(needs.architecture.map(|found| found.what), architecture, "{name}");
        let is_arm = architecture == Some(Architecture::Aarch64);
        assert_eq!(needs.firmware.what == FirmwareKind::Uefi, is_arm, "{name}");
    }
}

#[test]
fn without_programs_the_partitions_tell() {
    let world = World::new();
    let rooted = world.gpt("rooted", &["-n", "1:0:+32M", "-t", "1:8305"]);
    assert_eq!(needs(&rooted).architecture.unwrap().what, Architecture::Aarch64);
    let loaded = world.gpt("loaded", &["-n", "1:2048:+40M", "-t", "1:ef00"]);
    let esp = world.folder.path().join("esp");
    File::create(&esp).unwrap().set_len(40 << 20).unwrap();
    judge("mkfs.vfat").args(["-F", "32"]).arg(&esp).succeed();
    let loader = world.folder.path().join("BOOTAA64.EFI");
    fs::write(&loader, "MZ").unwrap();
    judge("mmd").arg("-i").arg(&esp).args(["::/EFI", "::/EFI/BOOT"]).succeed();
    judge("mcopy").arg("-i").arg(&esp).arg(&loader).arg("::/EFI/BOOT/").succeed();
    let file = OpenOptions::new().write(true).open(&loaded).unwrap();
    file.write_all_at(&fs::read(&esp).unwrap(), 1 << 20).unwrap();
    let found = needs(&loaded).architecture.unwrap();
    assert_eq!((found.what, found.reason.contains("BOOTAA64.EFI")), (Architecture::Aarch64, true));
}

#[test]
fn the_kernel_is_the_one_that_grub_starts() {
    let image = fixture::small_cloud_image(&Options { format: Format::Raw, ..Options::default() });
    let guest = Guest::open(open(&image)).unwrap();
    let found = GuestKernel::find(&guest, Architecture::X86_64).unwrap();
    // On a partition of its own, by GRUB's path, by way of a link.
    assert_eq!(found.kernel, "/boot/vmlinuz-6.8.0-45-generic".parse().unwrap());
    assert_eq!((found.initrd, found.command_line.as_str()), (None, "root=LABEL=cloudimg-rootfs ro console=ttyS0"));
    assert!(found.source.contains("/boot/grub/grub.cfg"), "{}", found.source);
}

#[test]
fn without_grub_the_newest_kernel_is_taken() {
    let world = World::new();
    let disk = world.disk("disk");
    let os_release: (&str, &[u8]) = ("etc/os-release", b"ID=x\n");
    let files: Vec<(&str, &[u8])> = vec![
        os_release,
        ("boot/vmlinuz-6.1.0-9-amd64", b"old"),
        ("boot/vmlinuz-6.1.0-10-amd64", b"new"),
        ("boot/initrd.img-6.1.0-9-amd64", b"old"),
        ("boot/initrd.img-6.1.0-10-amd64", b"new"),
        ("boot/grub/grub.cfg", b"linux ${kernel}\n"),
    ];
    world.ext4(&disk, 0, &files);
    let guest = Guest::open(open(&disk)).unwrap();
    let found = GuestKernel::find(&guest, Architecture::Aarch64).unwrap();
    assert_eq!(found.kernel, "/boot/vmlinuz-6.1.0-10-amd64".parse().unwrap());
    assert_eq!(found.initrd, Some("/boot/initrd.img-6.1.0-10-amd64".parse().unwrap()));
    let uuid = judge("blkid").args(["-p", "-s", "UUID", "-o", "value"]).arg(&disk).succeed().stdout;
    assert_eq!(found.command_line, format!("root=UUID={} ro console=ttyAMA0", uuid.trim()));
}

#[test]
fn a_guest_without_a_kernel_says_so() {
    let world = World::new();
    let disk = world.disk("disk");
    world.ext4(&disk, 0, &[("etc/os-release", b"ID=x\n"), ("boot/readme", b"")]);
    let guest = Guest::open(open(&disk)).unwrap();
    assert_eq!(GuestKernel::find(&guest, Architecture::X86_64), Err(NoKernel));
}
