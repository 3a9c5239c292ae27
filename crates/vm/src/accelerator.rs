//! Accelerators: what runs the guest's instructions, and which one this host has.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::str::FromStr;

use crate::Architecture;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// The host's processor, through the Linux kernel.
    Kvm,
    /// The host's processor, through macOS.
    Hvf,
    /// QEMU's emulation: any guest on any host, about ten times slower.
    Tcg,
}

impl Accelerator {
    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg",
        }
    }

    /// The accelerator for guests of `architecture` on `host`: the host's processor if possible.
    pub fn choose(architecture: Architecture, host: &Host) -> Choice {
        let tcg = |reason: String| Choice { accelerator: Self::Tcg, reason, hint: None };
        if host.architecture != Some(architecture) {
            let host = host.architecture.map_or(std::env::consts::ARCH, Architecture::name);
            return tcg(format!("the guest is for {architecture}, and this host is {host}"));
        }
        if host.system == "macos" {
            return Choice { accelerator: Self::Hvf, reason: "this host is a Mac".to_owned(), hint: None };
        }
        if host.system != "linux" {
            return tcg(format!("imgraft knows no hardware accelerator on {}", host.system));
        }
        // If the device exists but the processor has no virtualisation, a guest would hang for ever.
        if host.lends_virtualisation == Some(false) {
            return tcg("/proc/cpuinfo has neither `vmx` nor `svm`: this processor has no virtualisation".to_owned());
        }
        match &host.kvm {
            Kvm::Usable => Choice { accelerator: Self::Kvm, reason: "/dev/kvm can be used".to_owned(), hint: None },
            Kvm::Missing => Choice {
                hint: Some(
                    "`modprobe kvm_intel` or `modprobe kvm_amd` creates it if the firmware has virtualisation switched on".to_owned(),
                ),
                ..tcg("there is no /dev/kvm".to_owned())
            },
            Kvm::NotAllowed => Choice {
                hint: Some("run `sudo usermod -aG kvm \"$USER\"` and log in again".to_owned()),
                ..tcg("you have no permission to open /dev/kvm".to_owned())
            },
            Kvm::Broken(problem) => tcg(format!("/dev/kvm cannot be opened: {problem}")),
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for an unknown accelerator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown accelerator `{text}`: use kvm, hvf or tcg")]
pub struct UnknownAccelerator {
    text: String,
}

impl FromStr for Accelerator {
    type Err = UnknownAccelerator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Kvm, Self::Hvf, Self::Tcg]
            .into_iter()
            .find(|accelerator| accelerator.name() == text)
            .ok_or_else(|| UnknownAccelerator { text: text.to_owned() })
    }
}

/// An accelerator, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why, in a sentence.
    pub reason: String,
    /// How to get a faster one.
    pub hint: Option<String>,
}

/// The facts about a host that decide about the accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The operating system, as Rust calls it: `linux`, `macos`, …
    pub system: String,
    /// Its architecture, if guests of that are supported.
    pub architecture: Option<Architecture>,
    /// `/dev/kvm`.
    pub kvm: Kvm,
    /// Whether the processor reports virtualisation; `None` if such processors do not report it.
    pub lends_virtualisation: Option<bool>,
}

/// The state of `/dev/kvm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kvm {
    /// It can be opened.
    Usable,
    /// It does not exist.
    Missing,
    /// The user has no permission to open it.
    NotAllowed,
    /// It cannot be opened, for this reason.
    Broken(String),
}

impl Host {
    /// Reads the facts about this host.
    pub fn look() -> Self {
        let architecture = Architecture::of_host();
        let kvm = match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            Ok(_) => Kvm::Usable,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Kvm::Missing,
                io::ErrorKind::PermissionDenied => Kvm::NotAllowed,
                _ => Kvm::Broken(error.to_string()),
            },
        };
        let lends_virtualisation = match architecture {
            Some(Architecture::X86_64) => std::fs::read_to_string("/proc/cpuinfo").ok().map(|text| lends(&text)),
            // Arm processors report it only to the kernel, which has the device or not.
            _ => None,
        };
        Self { system: std::env::consts::OS.to_owned(), architecture, kvm, lends_virtualisation }
    }
}

/// Whether /proc/cpuinfo has the flag of Intel's or AMD's virtualisation.
fn lends(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim_end() == "flags");
    flags.flat_map(|(_, flags)| flags.split_whitespace()).any(|flag| matches!(flag, "vmx" | "svm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            system: "linux".to_owned(),
            architecture: Some(Architecture::X86_64),
            kvm: Kvm::Usable,
            lends_virtualisation: Some(true),
        }
    }

    #[test]
    fn the_hosts_processor_is_used_where_it_can_be() {
        let chosen = |architecture, host: &Host| Accelerator::choose(architecture, host).accelerator;
        assert_eq!(chosen(Architecture::X86_64, &host()), Accelerator::Kvm);
        assert_eq!(chosen(Architecture::Aarch64, &host()), Accelerator::Tcg);
        let arm = Host { architecture: Some(Architecture::Aarch64), lends_virtualisation: None, ..host() };
        assert_eq!(chosen(Architecture::Aarch64, &arm), Accelerator::Kvm);
        assert_eq!(chosen(Architecture::X86_64, &arm), Accelerator::Tcg);
        let mac = Host { system: "macos".to_owned(), kvm: Kvm::Missing, ..arm };
        assert_eq!(chosen(Architecture::Aarch64, &mac), Accelerator::Hvf);
        assert_eq!(chosen(Architecture::X86_64, &mac), Accelerator::Tcg);
        let other = Host { system: "freebsd".to_owned(), ..host() };
        assert_eq!(chosen(Architecture::X86_64, &other), Accelerator::Tcg);
    }

    #[test]
    fn each_obstacle_is_named() {
        let said = |host: Host| {
            let Choice { accelerator, reason, hint } = Accelerator::choose(Architecture::X86_64, &host);
            assert_eq!(accelerator, Accelerator::Tcg);
            (reason, hint.unwrap_or_default())
        };
        let (reason, hint) = said(Host { kvm: Kvm::Missing, ..host() });
        assert!(reason.contains("no /dev/kvm") && hint.contains("modprobe"), "{reason}; {hint}");
        let (reason, hint) = said(Host { kvm: Kvm::NotAllowed, ..host() });
        assert!(reason.contains("no permission to open /dev/kvm") && hint.contains("-aG kvm"), "{reason}; {hint}");
        // The device that is there is no sign that guests run.
        let (reason, hint) = said(Host { lends_virtualisation: Some(false), ..host() });
        assert!(reason.contains("vmx") && hint.is_empty(), "{reason}; {hint}");
        let (reason, _) = said(Host { kvm: Kvm::Broken("device or resource busy".to_owned()), ..host() });
        assert!(reason.ends_with("device or resource busy"), "{reason}");
    }

    #[test]
    fn flags_are_words() {
        assert!(lends("processor\t: 0\nflags\t\t: fpu vmx sse\nvmx flags\t: vnmi\n"));
        assert!(lends("flags\t\t: fpu svm\n"));
        assert!(!lends("flags\t\t: fpu svm_lock\nvmx flags\t: vnmi vmx\nmodel name\t: vmx\n"));
        assert!(!lends(""));
    }
}
