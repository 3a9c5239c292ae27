//! The machine that an image is started in, made of what the image is, what the host has and what flags say.

mod files;
mod network;
mod subject;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use seed::check::Renderer;
use vm::{Accelerator, Architecture, Choice, Disk, Firmware, FirmwareKind, Host, Machine, Reasoned, Uefi};

pub(crate) use self::files::MachineFolder;
pub(crate) use self::network::{HeldPort, Ssh, parse_forward};
pub(crate) use self::subject::{Subject, Use};
use crate::cli::machine::{MachineFlags, SeedSource};
use crate::cli::seed_content::SeedContent;
use crate::environment;
use crate::failure::Failure;
use crate::show::Messages;
use crate::show::seed::checked_seed;

/// The most processors that a machine gets unasked: a first boot has no more to do at once.
const MAX_CPUS: u32 = 4;
/// What a machine can have of memory, in MiB.
const MEMORY_MIB: std::ops::RangeInclusive<u32> = 64..=16 << 20;

/// The machine for an image, and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) machine: Machine,
    /// Why it is as it is, a line each.
    pub(crate) reasons: Vec<String>,
    /// How it could be faster.
    pub(crate) hint: Option<String>,
    /// The ports that lead into the guest: ours until this is dropped, which is to be when the machine has ended.
    pub(crate) ports: Vec<HeldPort>,
}

impl Plan {
    /// The machine for `subject`, without disks, a network and a kernel. Where it is to be started, QEMU has to be
    /// there: nothing is made before that is known.
    pub(crate) fn new(subject: &Subject, flags: &MachineFlags, is_started: bool) -> Result<Self, Failure> {
        let host = Host::look();
        let architecture = architecture(subject, flags, &host)?;
        if is_started && !is_installed(architecture.what.program()) {
            return Err(not_installed(architecture.what));
        }
        let choice = accelerator(architecture.what, flags, &host);
        let kind = firmware_kind(architecture.what, subject, flags)?;
        let mut machine = Machine::new(architecture.what);
        machine.accelerator = choice.accelerator;
        machine.memory_mib = flags.memory;
        let host_cpus = u32::try_from(graft::threads().get()).unwrap_or(MAX_CPUS);
        machine.cpus = flags.cpus.unwrap_or(host_cpus.min(MAX_CPUS));
        let mut reasons = vec![
            format!("guest        {}: {}", architecture.what, architecture.reason),
            format!("accelerator  {}: {}", choice.accelerator, choice.reason),
        ];
        let is_direct = flags.direct_kernel && flags.firmware.is_none();
        if is_direct && architecture.what == Architecture::X86_64 {
            reasons.push("firmware     none is waited for: the kernel is started directly".to_owned());
        } else {
            machine.firmware = firmware(architecture.what, kind.what, flags.secure_boot)?;
            reasons.push(format!("firmware     {}: {}", kind.what, kind.reason));
        }
        Ok(Self { machine, reasons, hint: choice.hint, ports: Vec::new() })
    }

    /// Gives the machine the image as its first disk.
    pub(crate) fn add_image(&mut self, subject: &Subject, persist: bool) {
        let (path, format) = (subject.path.clone(), subject.format.qemu_name());
        self.machine.disks.push(if persist { Disk::persistent(path, format) } else { Disk::throwaway(path, format) });
    }

    /// Gives the machine its seed: the disk that is there, one made in `folder`, or an address.
    pub(crate) fn add_seed(
        &mut self,
        source: &SeedSource,
        content: &SeedContent,
        folder: &mut MachineFolder,
        messages: &Messages,
    ) -> Result<(), Failure> {
        if !content.is_empty() && (source.seed.is_some() || source.seed_url.is_some()) {
            return Err(Failure::new("a seed that is there and flags that make one").hint("give one or the other"));
        }
        if let Some(url) = &source.seed_url {
            let line = seed::Line::new(Some(url), None, None).map_err(|error| Failure::of(&error))?;
            self.machine.serial_number = Some(line.to_string());
            self.reasons.push(format!("seed         `{url}`, by the machine's serial number"));
            return Ok(());
        }
        let path = match &source.seed {
            Some(path) => existing(path)?,
            None if content.is_empty() => {
                self.reasons.push("seed         none; `--user NAME --ssh-key FILE` makes one".to_owned());
                return Ok(());
            }
            None => {
                let (seed, _) = checked_seed(content, Renderer::Unknown, messages)
                    .map_err(|failure| failure.within("the seed was not made"))?;
                folder.seed_disk(&seed)?
            }
        };
        self.reasons.push(match folder.holds(&path) {
            true => "seed         made of what you say, on a disk of its own".to_owned(),
            false => format!("seed         `{}`", path.display()),
        });
        self.machine.disks.push(Disk::read_only(path, "raw"));
        Ok(())
    }

    /// Has the machine start the image's kernel, which is taken out into `folder`.
    pub(crate) fn add_kernel(
        &mut self,
        subject: &Subject,
        flags: &MachineFlags,
        folder: &mut MachineFolder,
    ) -> Result<(), Failure> {
        if !flags.direct_kernel {
            return Ok(());
        }
        let unusable =
            |failure: Failure| failure.within(format!("`{}` has no kernel to start", subject.name.display()));
        let guest = subject.guest.as_ref().map_err(|error| unusable(Failure::new(error.clone())))?;
        let found =
            vm::GuestKernel::find(guest, self.machine.architecture).map_err(|error| unusable(Failure::of(&error)))?;
        let mut direct = folder.kernel(guest, &found)?;
        for words in &flags.append {
            direct.command_line.push_str(&format!(" {words}"));
        }
        self.reasons.push(format!("kernel       {found}: {}", found.source));
        self.reasons.push(format!("             `{}`", direct.command_line));
        self.machine.direct_kernel = Some(direct);
        Ok(())
    }

    /// Connects the machine as `flags` say, and gives the way to its sshd.
    pub(crate) fn add_network(&mut self, flags: &MachineFlags) -> Result<Option<Ssh>, Failure> {
        let (network, ssh, held) = network::network(flags)?;
        self.machine.network = network;
        self.ports.extend(held);
        Ok(ssh)
    }

    /// Says all that there is to say.
    pub(crate) fn say(&self, messages: &Messages) {
        for reason in &self.reasons {
            messages.note(reason);
        }
        if let Some(hint) = &self.hint {
            messages.hint(hint);
        }
    }
}

/// What the machine's processors are to understand.
fn architecture(subject: &Subject, flags: &MachineFlags, host: &Host) -> Result<Reasoned<Architecture>, Failure> {
    if let Some(architecture) = flags.arch {
        return Ok(Reasoned::new(architecture, "you say so"));
    }
    if let Some(found) = &subject.needs.architecture {
        return Ok(found.clone());
    }
    match host.architecture {
        Some(architecture) => Ok(Reasoned::new(architecture, "as this host, for nothing in the image tells")),
        None => Err(Failure::new("nothing in the image tells what it is for").hint("say it with `--arch`")),
    }
}

/// Whether a program is in one of the folders in which programs are looked for.
fn is_installed(program: &str) -> bool {
    let is_program = |path: PathBuf| path.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0);
    environment::search_path().iter().any(|folder| is_program(folder.join(program)))
}

/// QEMU is not there.
pub(crate) fn not_installed(architecture: Architecture) -> Failure {
    Failure::of(&vm::Error::NotInstalled { architecture })
        .hint(format!("on Debian and Ubuntu: `sudo apt install {}`", architecture.package()))
}

fn accelerator(architecture: Architecture, flags: &MachineFlags, host: &Host) -> Choice {
    match flags.accel {
        Some(accelerator) => Choice { accelerator, reason: "you say so".to_owned(), hint: None },
        None => Accelerator::choose(architecture, host),
    }
}

fn firmware_kind(
    architecture: Architecture,
    subject: &Subject,
    flags: &MachineFlags,
) -> Result<Reasoned<FirmwareKind>, Failure> {
    let asked = flags.firmware.map(|name| Reasoned::new(FirmwareKind::from(name), "you say so"));
    let kind = match asked {
        Some(asked) => asked,
        None if architecture == Architecture::Aarch64 => {
            Reasoned::new(FirmwareKind::Uefi, "machines of aarch64 have nothing else")
        }
        None if flags.secure_boot => Reasoned::new(FirmwareKind::Uefi, "secure boot is a part of it"),
        None => subject.needs.firmware.clone(),
    };
    let misfit = |text: &str| Failure::new(text);
    match (kind.what, architecture) {
        (FirmwareKind::Bios, Architecture::Aarch64) => Err(misfit("there is no BIOS for machines of aarch64")),
        (FirmwareKind::Bios, _) if flags.secure_boot => Err(misfit("a BIOS knows no secure boot")),
        _ => Ok(kind),
    }
}

fn firmware(architecture: Architecture, kind: FirmwareKind, is_secure: bool) -> Result<Firmware, Failure> {
    if kind == FirmwareKind::Bios {
        return Ok(Firmware::Default);
    }
    let config_home = environment::config_home();
    let what = if is_secure { "with secure boot and its keys" } else { "without secure boot" };
    Uefi::find(architecture, is_secure, config_home.as_deref()).map(Firmware::Uefi).ok_or_else(|| {
        let package = Uefi::package(architecture);
        let failure = Failure::new(format!("there is no UEFI firmware {what} for {architecture} on this host"));
        failure.hint(format!(
            "Debian and Ubuntu have it in the package `{package}`; a descriptor in /etc/qemu/firmware names another"
        ))
    })
}

/// The absolute path of a file that is there.
fn existing(path: &Path) -> Result<PathBuf, Failure> {
    let unreadable = |error| Failure::because(format!("`{}` cannot be read", path.display()), &error);
    // Whether it can be opened is what matters.
    std::fs::File::open(path).and_then(|_| std::path::absolute(path)).map_err(unreadable)
}

/// A size of memory, in MiB unless it says otherwise.
pub(crate) fn parse_memory_mib(text: &str) -> Result<u32, String> {
    let (number, unit_mib) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let size_mib = is_number.then(|| number.parse::<u32>().ok()?.checked_mul(unit_mib)).flatten();
    size_mib.filter(|size| MEMORY_MIB.contains(size)).ok_or_else(|| {
        format!(
            "`{text}` is not a size of memory: write a number of MiB, or a number and M or G, at least {}M",
            MEMORY_MIB.start()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_mib() {
        for (text, size_mib) in [("2048", 2048), ("2G", 2048), ("512M", 512), ("64m", 64), ("4g", 4096)] {
            assert_eq!(parse_memory_mib(text), Ok(size_mib));
        }
        for text in ["", "G", "63", "-1", "+64", "1.5G", "99999G", "2 G", "2T", "4294967295G"] {
            assert!(parse_memory_mib(text).is_err(), "{text}");
        }
    }
}
