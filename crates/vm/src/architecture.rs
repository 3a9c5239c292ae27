//! The architectures of guests.

use std::fmt;
use std::str::FromStr;

/// The processor that a guest's programs are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Intel's and AMD's, 64 bits; Debian calls it `amd64`.
    X86_64,
    /// Arm's, 64 bits; Debian calls it `arm64`.
    Aarch64,
}

impl Architecture {
    /// The architecture of this host, if guests of that are supported.
    pub fn of_host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// QEMU's and the kernel's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The program that emulates a machine of it.
    pub fn program(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// The Debian package that has the program.
    pub fn package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
            Self::Aarch64 => "qemu-system-arm",
        }
    }

    /// The board of a machine for it, as QEMU calls it.
    pub(crate) fn board(self) -> &'static str {
        match self {
            Self::X86_64 => "q35",
            Self::Aarch64 => "virt",
        }
    }

    /// The board's name with a version, which firmware descriptors match.
    pub(crate) fn versioned_board(self) -> &'static str {
        match self {
            Self::X86_64 => "pc-q35-10.0",
            Self::Aarch64 => "virt-10.0",
        }
    }

    /// The device of the guest's kernel that is the first serial port.
    pub fn serial_device(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}

/// The error for an unknown architecture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{text}`: use x86_64 (amd64) or aarch64 (arm64)")]
pub struct UnknownArchitecture {
    text: String,
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            "aarch64" | "arm64" => Ok(Self::Aarch64),
            _ => Err(UnknownArchitecture { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
