//! For which processor a guest's programs are, and whether this machine runs them.

use std::fmt;
use std::path::PathBuf;

use crate::emulator::Emulator;

/// How this machine runs a guest's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// By its own processor.
    Natively,
    /// By an emulator of the host, which the kernel starts.
    Emulated {
        /// The emulator.
        interpreter: PathBuf,
    },
}

/// Why this machine does not run a guest's programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRunnable {
    /// It is no program.
    #[error("the guest's program is no ELF file")]
    NotElf,
    /// Nothing is registered for it.
    #[error("the guest's programs are for {kind}, which this machine ({}) does not run", std::env::consts::ARCH)]
    Foreign {
        /// For which processor they are.
        kind: Kind,
    },
    /// An emulator is registered whose program is looked for in the guest.
    #[error("the guest's programs are for {kind}, whose emulator {} is registered without the flag F", .interpreter.display())]
    NotFixed {
        /// For which processor they are.
        kind: Kind,
        /// The emulator.
        interpreter: PathBuf,
    },
}

impl NotRunnable {
    /// What to do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NotElf => None,
            Self::Foreign { .. } | Self::NotFixed { .. } => Some(INSTALL_EMULATORS),
        }
    }
}

/// The packages with emulators that work in a sandbox.
pub(crate) const INSTALL_EMULATORS: &str =
    "run `sudo apt-get install qemu-user-static` (in Debian 13 and Ubuntu 25.04 or later: `qemu-user-binfmt`)";

/// The processor that a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    machine: u16,
    is_64_bit: bool,
    is_big_endian: bool,
}

impl Kind {
    /// By the first 20 bytes of an ELF file.
    fn of(header: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = header.first_chunk()?;
        if header[..4] != *b"\x7fELF" {
            return None;
        }
        let (is_64_bit, is_big_endian) = match header[4..6] {
            [class @ (1 | 2), order @ (1 | 2)] => (class == 2, order == 2),
            _ => return None,
        };
        let machine = [header[18], header[19]];
        let machine = if is_big_endian { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
        Some(Self { machine, is_64_bit, is_big_endian })
    }

    /// QEMU's name for it, if it has a common one.
    pub fn name(self) -> Option<&'static str> {
        Some(match (self.machine, self.is_64_bit, self.is_big_endian) {
            (3, false, false) => "i386",
            (62, true, false) => "x86_64",
            (40, false, false) => "arm",
            (183, true, false) => "aarch64",
            (243, true, false) => "riscv64",
            (21, true, false) => "ppc64le",
            (21, true, true) => "ppc64",
            (22, true, true) => "s390x",
            (258, true, false) => "loongarch64",
            (8, true, false) => "mips64el",
            (8, false, false) => "mipsel",
            _ => return None,
        })
    }

    /// Whether a processor of `architecture` (Rust's name) runs it, and the sandbox's filter lets it.
    fn is_native_to(self, architecture: &str) -> bool {
        let native: &[&str] = match architecture {
            "x86_64" => &["x86_64", "i386"],
            "aarch64" => &["aarch64"],
            _ => &[],
        };
        self.name().is_some_and(|name| native.contains(&name))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "a processor with ELF's number {}", self.machine),
        }
    }
}

/// How this machine runs a program of the guest that begins with `header`: 128 bytes of `/bin/sh` will do.
///
/// # Errors
///
/// It does not run it.
pub fn runs(header: &[u8]) -> Result<Runs, NotRunnable> {
    among(header, std::env::consts::ARCH, &Emulator::all())
}

fn among(header: &[u8], architecture: &str, emulators: &[Emulator]) -> Result<Runs, NotRunnable> {
    let kind = Kind::of(header).ok_or(NotRunnable::NotElf)?;
    if kind.is_native_to(architecture) {
        return Ok(Runs::Natively);
    }
    let emulator = emulators.iter().find(|emulator| emulator.runs(header)).ok_or(NotRunnable::Foreign { kind })?;
    let interpreter = emulator.interpreter.clone();
    if emulator.is_fixed {
        Ok(Runs::Emulated { interpreter })
    } else {
        Err(NotRunnable::NotFixed { kind, interpreter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a program of Debian's arm64.
    const ARM64: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0\x01\0\0\0";

    fn debian() -> Emulator {
        Emulator::all_of_debian()
    }

    #[test]
    fn the_machine_s_own_programs_run_natively() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(runs(&own), Ok(Runs::Natively));
        assert_eq!(among(ARM64, "aarch64", &[]), Ok(Runs::Natively));
        let i386 = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0";
        assert_eq!(among(i386, "x86_64", &[]), Ok(Runs::Natively));
        // x32: programs of x86_64 with 32-bit pointers, which the filter refuses.
        let x32 = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
        assert!(matches!(among(x32, "x86_64", &[]), Err(NotRunnable::Foreign { .. })));
    }

    #[test]
    fn a_foreign_program_needs_an_emulator_that_the_kernel_holds() {
        let error = among(ARM64, "x86_64", &[]).unwrap_err();
        let own = std::env::consts::ARCH;
        assert_eq!(
            error.to_string(),
            format!("the guest's programs are for aarch64, which this machine ({own}) does not run")
        );
        assert!(error.remedy().unwrap().contains("qemu-user-static"));
        let found = among(ARM64, "x86_64", &[debian()]).unwrap();
        assert_eq!(found, Runs::Emulated { interpreter: "/usr/libexec/qemu-binfmt/aarch64-binfmt-P".into() });
        let mut loose = debian();
        loose.is_fixed = false;
        let error = among(ARM64, "x86_64", &[loose]).unwrap_err();
        assert!(error.to_string().ends_with("is registered without the flag F"), "{error}");
        // Its mask tells 64 bits from 32.
        let arm = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0";
        assert!(matches!(among(arm, "x86_64", &[debian()]), Err(NotRunnable::Foreign { .. })));
    }

    #[test]
    fn what_is_no_program_is_told() {
        for bytes in
            [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x07\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"]
        {
            assert_eq!(runs(bytes), Err(NotRunnable::NotElf));
        }
        let unknown = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xff\x12";
        let error = among(unknown, "x86_64", &[debian()]).unwrap_err();
        assert!(error.to_string().contains("a processor with ELF's number 4863,"), "{error}");
    }
}
