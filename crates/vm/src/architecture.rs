//! The processors that guests are made for.

use std::fmt;
use std::str::FromStr;

/// What a guest's programs are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Intel's and AMD's, 64 bits; `amd64` to Debian.
    X86_64,
    /// Arm's, 64 bits; `arm64` to Debian.
    Aarch64,
}

impl Architecture {
    /// The architecture of this host, if guests of it are known.
    pub fn of_host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The name that QEMU and the kernel have for it.
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

    /// The board by a name with a version, as firmware descriptors match it.
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

/// A text that is no architecture's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of x86_64 (amd64) and aarch64 (arm64)")]
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
