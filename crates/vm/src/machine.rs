//! What a guest sees of its machine.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::{Accelerator, Architecture};

/// A machine, and what it gets from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its processors' architecture.
    pub architecture: Architecture,
    /// Its accelerator.
    pub accelerator: Accelerator,
    /// The firmware, which looks for a boot loader.
    pub firmware: Firmware,
    /// How many processors it has.
    pub cpus: u32,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its disks, in the order in which the guest finds them: `vda`, `vdb`, …
    pub disks: Vec<Disk>,
    /// Its network.
    pub network: Network,
    /// The serial number of SMBIOS type 1, which the guest reads as `product_serial`.
    pub serial_number: Option<String>,
    /// The UUID of SMBIOS type 1, which the guest reads as `product_uuid`.
    pub uuid: Option<String>,
    /// A kernel to start instead of the one that a boot loader would find.
    pub direct_kernel: Option<DirectKernel>,
    /// Channels into the guest that need no network.
    pub channels: Vec<Channel>,
    /// Where its first serial port leads to.
    pub console: Console,
    /// Whether the machine ends when the guest restarts.
    pub ends_at_reboot: bool,
}

impl Machine {
    /// A machine with two processors, 2 GiB of memory and a network of its own, and no disk.
    pub fn new(architecture: Architecture) -> Self {
        Self {
            architecture,
            accelerator: Accelerator::Tcg,
            firmware: Firmware::Default,
            cpus: 2,
            memory_mib: 2048,
            disks: Vec::new(),
            network: Network::user(),
            serial_number: None,
            uuid: None,
            direct_kernel: None,
            channels: Vec::new(),
            console: Console::Terminal,
            ends_at_reboot: false,
        }
    }
}

/// The firmware, which looks for a boot loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// QEMU's default: SeaBIOS on x86_64, nothing on aarch64.
    Default,
    /// UEFI.
    Uefi(Uefi),
}

/// A UEFI firmware in flash memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uefi {
    /// The file with its code, which is never written.
    pub code: PathBuf,
    /// The format of that file, as QEMU calls it.
    pub code_format: String,
    /// Its variables; `None` if the code's file has them.
    pub variables: Option<Variables>,
    /// Whether it needs system management mode, as a firmware with secure boot does.
    pub needs_smm: bool,
}

/// The variables of a UEFI firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    /// The file with them.
    pub path: PathBuf,
    /// The format of that file, as QEMU calls it.
    pub format: String,
    /// What happens to changes.
    pub writes: Writes,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its file. An absolute path means the same in each folder.
    pub path: PathBuf,
    /// The format of the file, as QEMU calls it.
    pub format: String,
    /// What happens to the guest's writes.
    pub writes: Writes,
}

impl Disk {
    /// A disk that the guest can write to, but whose changes are discarded.
    pub fn throwaway(path: impl Into<PathBuf>, format: &str) -> Self {
        Self { path: path.into(), format: format.to_owned(), writes: Writes::Throwaway }
    }

    /// A disk that the guest can only read.
    pub fn read_only(path: impl Into<PathBuf>, format: &str) -> Self {
        Self { path: path.into(), format: format.to_owned(), writes: Writes::Refuse }
    }

    /// A disk that keeps what the guest writes.
    pub fn persistent(path: impl Into<PathBuf>, format: &str) -> Self {
        Self { path: path.into(), format: format.to_owned(), writes: Writes::Keep }
    }
}

/// What happens to a guest's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// They go to a file without a name, which disappears with QEMU. The disk's own file is only read.
    Throwaway,
    /// They go to the disk's file safely: what the guest flushed survives a power cut.
    Keep,
    /// They go to the disk's file, but may not survive a power cut of the host.
    KeepUnsafely,
    /// The disk is read-only.
    Refuse,
}

/// A machine's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// None: it has no network card.
    None,
    /// A network of its own, with DHCP, DNS and a router by QEMU.
    User {
        /// Whether the guest can reach only that network.
        is_restricted: bool,
        /// The network, such as `10.0.2.0/24`, if it is not that one.
        network: Option<String>,
        /// Ports of the host that are forwarded to the guest.
        forwards: Vec<Forward>,
        /// Addresses in the guest's network that are connected to a program of the host.
        guest_forwards: Vec<GuestForward>,
        /// The card's MAC address, if it matters.
        mac: Option<String>,
    },
}

impl Network {
    /// A network with a way out, and no way in.
    pub fn user() -> Self {
        Self::User { is_restricted: false, network: None, forwards: Vec::new(), guest_forwards: Vec::new(), mac: None }
    }

    /// A network without a way out or in.
    pub fn restricted() -> Self {
        match Self::user() {
            Self::User { network, forwards, guest_forwards, mac, .. } => {
                Self::User { is_restricted: true, network, forwards, guest_forwards, mac }
            }
            other => other,
        }
    }
}

/// A port of the host that leads into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The protocol.
    pub protocol: Protocol,
    /// The address on which the host listens.
    pub host_address: Ipv4Addr,
    /// The port of the host.
    pub host_port: u16,
    /// The port of the guest.
    pub guest_port: u16,
}

impl Forward {
    /// A port of this host's loopback that leads to a TCP port of the guest.
    pub fn tcp(host_port: u16, guest_port: u16) -> Self {
        let host_address = Ipv4Addr::LOCALHOST;
        Self { protocol: Protocol::Tcp, host_address, host_port, guest_port }
    }
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// An address in the guest's network that leads to a program of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestForward {
    /// The address, which must be in the guest's network.
    pub address: Ipv4Addr,
    /// The TCP port.
    pub port: u16,
    /// The shell command for each connection, whose standard input and output the connection is.
    pub command: String,
}

/// A kernel to start instead of the one that a boot loader would find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectKernel {
    /// The file with the kernel.
    pub kernel: PathBuf,
    /// The file with the first root file system.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
}

/// A way into the guest that needs no network: a port of virtio-serial, which is a socket of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The name by which the guest finds it: `/dev/virtio-ports/NAME`.
    pub name: String,
}

/// Where the first serial port leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The standard input and output of the program that starts QEMU, together with QEMU's monitor: Ctrl-A x ends QEMU,
    /// Ctrl-A c changes to the monitor.
    Terminal,
    /// This program: [`Occurrence`](crate::Occurrence)s, and [`Running::write_console`](crate::Running::write_console).
    Piped,
}
