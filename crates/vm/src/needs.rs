//! What an image needs from its machine: the processor that it is made for, and the firmware that finds its boot
//! loader.

use std::io::{self, Write};
use std::sync::Arc;

use guest::{Guest, GuestPath};
use partition::{BIOS_BOOT, EFI_SYSTEM, Table};
use storage::{ReadAt, WriteAt};

use crate::Architecture;

/// What an image needs from its machine, and how that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The guest's architecture, if known.
    pub architecture: Option<Reasoned<Architecture>>,
    /// The firmware.
    pub firmware: Reasoned<FirmwareKind>,
    /// Whether the image has an EFI system partition, so that UEFI may start it even if a BIOS does, too.
    pub has_esp: bool,
}

/// A value and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasoned<T> {
    /// What it is.
    pub what: T,
    /// Why, in half a sentence.
    pub reason: String,
}

impl<T> Reasoned<T> {
    /// `what`, because of `reason`.
    pub fn new(what: T, reason: impl Into<String>) -> Self {
        Self { what, reason: reason.into() }
    }
}

/// A kind of firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FirmwareKind {
    /// The PC's original firmware, which starts the code in a disk's first sector.
    Bios,
    /// The firmware that starts a file of the EFI system partition.
    Uefi,
}

impl std::fmt::Display for FirmwareKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        })
    }
}

/// Programs, at least one of which is in each guest.
const PROGRAMS: [&str; 5] = ["/usr/bin/env", "/bin/sh", "/sbin/init", "/usr/bin/busybox", "/bin/busybox"];
/// The bytes of an ELF header up to `e_machine`.
const ELF_START_BYTES: usize = 20;
/// `EM_X86_64` and `EM_AARCH64` of the ELF specification.
const ELF_MACHINES: [(u16, Architecture); 2] = [(62, Architecture::X86_64), (183, Architecture::Aarch64)];
/// The program that UEFI starts from a disk that it does not know, by the processor.
const UEFI_LOADERS: [([&str; 3], Architecture); 2] =
    [(["EFI", "BOOT", "BOOTX64.EFI"], Architecture::X86_64), (["EFI", "BOOT", "BOOTAA64.EFI"], Architecture::Aarch64)];
/// The bytes of a first sector that are code.
const MBR_CODE_BYTES: usize = 440;
/// Where a first sector has its four partitions, 16 bytes each.
const MBR_PARTITIONS_OFFSET: usize = 446;
/// The type of an EFI system partition in an MBR.
const MBR_EFI_SYSTEM: u8 = 0xef;

impl Needs {
    /// Finds the needs of `disk`, and of the guest on it if that could be opened.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn of(disk: &Arc<dyn WriteAt>, guest: Option<&Guest>) -> storage::Result<Self> {
        let boot = Boot::look(disk)?;
        let architecture = guest.and_then(of_programs).or_else(|| of_partitions(disk));
        let is_arm = architecture.as_ref().is_some_and(|found| found.what == Architecture::Aarch64);
        let firmware = if is_arm { arm_firmware() } else { boot.firmware() };
        Ok(Self { architecture, firmware, has_esp: boot.has_esp })
    }
}

/// Servers with this architecture have only UEFI.
fn arm_firmware() -> Reasoned<FirmwareKind> {
    Reasoned::new(FirmwareKind::Uefi, "machines of aarch64 have nothing else")
}

/// The firmware that can start a disk.
#[derive(Clone, Copy, Debug, Default)]
struct Boot {
    has_code: bool,
    has_gpt: bool,
    has_bios_partition: bool,
    has_esp: bool,
}

impl Boot {
    fn look(disk: &dyn ReadAt) -> storage::Result<Self> {
        let mut boot = Self::default();
        if disk.size_bytes() >= 512 {
            let mut sector = [0; 512];
            disk.read_at(0, &mut sector)?;
            let is_signed = sector[510..] == [0x55, 0xaa];
            boot.has_code = is_signed && sector[..MBR_CODE_BYTES].iter().any(|&byte| byte != 0);
            let entries = sector[MBR_PARTITIONS_OFFSET..510].chunks(16);
            boot.has_esp = is_signed && entries.into_iter().any(|entry| entry[4] == MBR_EFI_SYSTEM);
        }
        // The firmware will find unreadable places itself.
        if let Ok(Table::Gpt(gpt)) = partition::read(disk) {
            let has = |guid| gpt.partitions.iter().any(|partition| partition.kind.is(guid));
            boot = Self { has_gpt: true, has_bios_partition: has(BIOS_BOOT), has_esp: has(EFI_SYSTEM), ..boot };
        }
        Ok(boot)
    }

    /// BIOS first: it starts in a moment, UEFI takes seconds.
    fn firmware(self) -> Reasoned<FirmwareKind> {
        let Self { has_code, has_gpt, has_bios_partition, has_esp } = self;
        if has_code && has_bios_partition {
            return Reasoned::new(FirmwareKind::Bios, "the image has a BIOS boot partition");
        }
        if has_esp && (has_gpt || !has_code) {
            return Reasoned::new(FirmwareKind::Uefi, "the image has an EFI system partition, but nothing for a BIOS");
        }
        let reason = if has_code {
            "the image's first sector has a boot loader"
        } else {
            "the image has neither an EFI system partition nor anything for a BIOS"
        };
        Reasoned::new(FirmwareKind::Bios, reason)
    }
}

/// The guest's architecture, from one of its programs.
fn of_programs(guest: &Guest) -> Option<Reasoned<Architecture>> {
    PROGRAMS.into_iter().find_map(|name| {
        let path: GuestPath = name.parse().ok()?;
        let mut start = Start::default();
        // It ends with our own error if the file is longer.
        let _ = guest.read_to(&path, &mut start).ok()?;
        let architecture = of_elf(&start.bytes)?;
        Some(Reasoned::new(architecture, format!("the guest's `{name}` is")))
    })
}

/// The architecture in an ELF file's first bytes: `e_ident`, `e_type`, `e_machine`.
fn of_elf(start: &[u8]) -> Option<Architecture> {
    // 64 bits, least significant byte first.
    let is_ours = start.len() >= ELF_START_BYTES && start.starts_with(b"\x7fELF\x02\x01");
    let machine = is_ours.then(|| u16::from_le_bytes([start[18], start[19]]))?;
    ELF_MACHINES.into_iter().find(|&(number, _)| number == machine).map(|(_, architecture)| architecture)
}

/// The architecture of the boot loader in the EFI system partition, or of the type of a root partition.
fn of_partitions(disk: &Arc<dyn WriteAt>) -> Option<Reasoned<Architecture>> {
    for volume in guest::open_volumes(disk).ok()? {
        let is = |guid| volume.partition().is_some_and(|partition| partition.kind.is(guid));
        let roots = [
            (partition::LINUX_ROOT_X86_64, Architecture::X86_64),
            (partition::LINUX_ROOT_ARM64, Architecture::Aarch64),
        ];
        if let Some((_, architecture)) = roots.into_iter().find(|&(guid, _)| is(guid)) {
            return Some(Reasoned::new(architecture, "a partition of the image is the root of such a system"));
        }
        if !is(EFI_SYSTEM) {
            continue;
        }
        let found = UEFI_LOADERS.iter().find(|(names, _)| volume.has_file(names));
        if let Some((names, architecture)) = found {
            return Some(Reasoned::new(*architecture, format!("the EFI system partition has `{}`", names.join("/"))));
        }
    }
    None
}

/// Keeps the beginning of what is written, then fails.
#[derive(Default)]
struct Start {
    bytes: Vec<u8>,
}

impl Write for Start {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let room = ELF_START_BYTES - self.bytes.len();
        let length = buffer.len().min(room);
        self.bytes.extend(&buffer[..length]);
        if length == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(length) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
