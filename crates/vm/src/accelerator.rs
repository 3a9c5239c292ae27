//! What carries out the guest's instructions.

use std::fmt;

/// What carries out the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// The host's processor, by way of the Linux kernel.
    Kvm,
    /// The host's processor, by way of macOS.
    Hvf,
    /// QEMU's translator: any guest on any host, some ten times slower.
    Tcg,
}

impl Accelerator {
    /// The name that QEMU has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
