//! The command line of a machine. This is the only place that writes options of QEMU.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::command_line::{CommandLine, Parts};
use crate::{Accelerator, Architecture, Console, Disk, Firmware, Machine, Network, Protocol, Uefi, Writes};

/// The socket of QEMU's monitor, in the folder of sockets.
const MONITOR_SOCKET: &str = "monitor";

/// These features cost more under emulation than they give: a fifth level of page tables is one more to walk, SMAP
/// breaks each copy from and to user space into pieces, and `rep movsb`, which a kernel believes to be fast if it sees
/// ERMS or FSRM, runs byte by byte. Without them a kernel starts in 12 % less time. No baseline that distributions are
/// compiled for (x86-64-v2, v3) has any of them.
const TRANSLATED: &str = "max,la57=off,smap=off,erms=off,fsrm=off";

/// An Atom that executes in order, as emulation does: Linux needs no protection from speculation on such a processor,
/// and trusts its clock (TSC). QEMU's default, an AMD of family 15, has neither advantage: with several of them Linux
/// reads the time from the HPET, which leaves the emulated code each time.
const IN_ORDER: &str = ",vendor=GenuineIntel,family=6,model=54,stepping=1";

impl Machine {
    /// QEMU's command line for the machine. The sockets of its monitor and its channels are in the folder `sockets`;
    /// without a folder there are none.
    pub fn command_line(&self, sockets: Option<&Path>) -> CommandLine {
        let mut line = CommandLine::new(self.architecture.program());
        self.board(&mut line);
        self.processors(&mut line);
        self.firmware(&mut line);
        self.kernel(&mut line);
        for disk in &self.disks {
            line.option("-drive", disk_value(disk), disk.writes.reason());
        }
        self.network(&mut line);
        line.option("-device", "virtio-rng-pci", "randomness from the host, so that no program has to wait for it");
        self.identity(&mut line);
        self.console(&mut line);
        if let Some(folder) = sockets {
            self.sockets(&mut line, folder);
        }
        line
    }

    /// The board and its devices.
    fn board(&self, line: &mut CommandLine) {
        line.flag("-nodefaults", "only the devices listed here: no floppy, no CD-ROM, no second network card");
        line.flag("-no-user-config", "the same machine, whatever the user's own configuration of QEMU is");
        let mut board = Parts::new(self.architecture.board());
        if self.architecture == Architecture::X86_64 {
            board = board.with("graphics", "off");
        } else if self.accelerator != Accelerator::Hvf {
            board = board.with("gic-version", "max");
        }
        if matches!(&self.firmware, Firmware::Uefi(Uefi { needs_smm: true, .. })) {
            board = board.with("smm", "on");
        }
        line.option("-machine", board, "the board with PCI Express; its firmware writes to the serial port");
        line.option("-display", "none", "all output goes to the serial port");
        if self.architecture == Architecture::X86_64 {
            line.option("-vga", "none", "no screen that a boot loader could write to instead");
        }
        if self.ends_at_reboot {
            line.flag("-no-reboot", "a restart ends the machine");
        }
    }

    fn processors(&self, line: &mut CommandLine) {
        if self.accelerator == Accelerator::Tcg {
            let accelerator = Parts::new("tcg").with("thread", "multi");
            line.option("-accel", accelerator, "the guest's instructions are translated, a thread for each processor");
            let cpu = match self.architecture {
                Architecture::X86_64 => [TRANSLATED, IN_ORDER].concat(),
                Architecture::Aarch64 => "max".to_owned(),
            };
            line.option(
                "-cpu",
                cpu,
                "all features that cost nothing to emulate, so that images for newer processors start",
            );
        } else {
            line.option("-accel", self.accelerator.name(), "the host's processor carries out the guest's instructions");
            line.option("-cpu", "host", "all that the host's processor can do");
        }
        line.option("-smp", self.cpus.to_string(), "services of a first boot start in parallel");
        line.option("-m", format!("{}M", self.memory_mib), "QEMU's default of 128 MiB is too little for a cloud image");
    }

    fn firmware(&self, line: &mut CommandLine) {
        let Firmware::Uefi(uefi) = &self.firmware else { return };
        if uefi.needs_smm {
            let secure = Parts::new("").with("driver", "cfi.pflash01").with("property", "secure").with("value", "on");
            line.option("-global", secure, "only the firmware itself changes its variables");
        }
        let code = Parts::new("").with("if", "pflash").with("format", &uefi.code_format).with("readonly", "on");
        line.option("-drive", code.with_path("file", &uefi.code), "the firmware's code");
        if let Some(variables) = &uefi.variables {
            let flash = Parts::new("").with("if", "pflash").with("format", &variables.format);
            let flash = with_writes(flash.with_path("file", &variables.path), variables.writes);
            line.option("-drive", flash, "the firmware's variables, for this machine alone");
        }
    }

    fn kernel(&self, line: &mut CommandLine) {
        let Some(direct) = &self.direct_kernel else { return };
        line.option("-kernel", direct.kernel.as_os_str(), "the kernel starts directly, without a boot loader");
        if let Some(initrd) = &direct.initrd {
            line.option("-initrd", initrd.as_os_str(), "the first file system that the kernel uses");
        }
        line.option("-append", &direct.command_line, "the command line that a boot loader would give to the kernel");
    }

    fn network(&self, line: &mut CommandLine) {
        let Network::User { is_restricted, network, forwards, guest_forwards, mac } = &self.network else {
            line.option("-nic", "none", "no network was asked for");
            return;
        };
        let mut user = Parts::new("user").with("id", "net");
        if *is_restricted {
            user = user.with("restrict", "on");
        }
        if let Some(network) = network {
            user = user.with("net", network);
        }
        for forward in forwards {
            let protocol = match forward.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            let (address, host, guest) = (forward.host_address, forward.host_port, forward.guest_port);
            user = user.with("hostfwd", format!("{protocol}:{address}:{host}-:{guest}"));
        }
        for forward in guest_forwards {
            let (address, port) = (forward.address, forward.port);
            user = user.with("guestfwd", format!("tcp:{address}:{port}-cmd:{}", forward.command));
        }
        line.option("-netdev", user, "a network that needs no rights on the host");
        let mut card = Parts::new("virtio-net-pci").with("netdev", "net");
        if let Some(mac) = mac {
            card = card.with("mac", mac);
        }
        line.option(
            "-device",
            card.with("romfile", ""),
            "no option ROM: the firmware does not wait for a boot over the network",
        );
    }

    fn identity(&self, line: &mut CommandLine) {
        if let Some(serial) = &self.serial_number {
            line.option("-smbios", Parts::new("").with("type", "1").with("serial", serial), "read by cloud-init");
        }
        if let Some(uuid) = &self.uuid {
            line.option("-uuid", uuid, "read by cloud-init");
        }
    }

    fn console(&self, line: &mut CommandLine) {
        match self.console {
            Console::Terminal => {
                line.option(
                    "-serial",
                    "mon:stdio",
                    "the guest's console here; Ctrl-A x ends QEMU, Ctrl-A c is its monitor",
                );
            }
            Console::Piped => {
                let stdio = Parts::new("stdio").with("id", "console").with("signal", "off");
                line.option(
                    "-chardev",
                    stdio,
                    "the guest's console goes to the program that started QEMU, from its first byte on",
                );
                line.option("-serial", "chardev:console", "the first serial port is the console");
            }
        }
    }

    fn sockets(&self, line: &mut CommandLine, folder: &Path) {
        let socket = |id: &str, path: PathBuf| {
            Parts::new("socket").with("id", id).with_path("path", &path).with("server", "on").with("wait", "off")
        };
        line.option("-chardev", socket("monitor", monitor_socket(folder)), "QEMU's monitor");
        line.option("-mon", Parts::new("monitor").with("mode", "control"), "for programs: QMP");
        if self.channels.is_empty() {
            return;
        }
        line.option("-device", "virtio-serial-pci", "channels that need no network");
        for (index, channel) in self.channels.iter().enumerate() {
            let id = format!("channel{index}");
            line.option("-chardev", socket(&id, channel_socket(folder, index)), "the channel's end in the host");
            let port = Parts::new("virtserialport").with("chardev", &id).with("name", &channel.name);
            line.option("-device", port, "its end in the guest, in /dev/virtio-ports");
        }
    }
}

/// The address of QEMU's monitor.
pub(crate) fn monitor_socket(folder: &Path) -> PathBuf {
    folder.join(MONITOR_SOCKET)
}

/// The address of the channel with this index.
pub(crate) fn channel_socket(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("channel{index}"))
}

fn disk_value(disk: &Disk) -> OsString {
    let value = Parts::new("").with("if", "virtio").with_path("file", &disk.path).with("format", &disk.format);
    with_writes(value, disk.writes).into()
}

fn with_writes(value: Parts, writes: Writes) -> Parts {
    match writes {
        Writes::Throwaway => value.with("snapshot", "on").with("cache", "unsafe"),
        Writes::Keep => value.with("discard", "unmap"),
        Writes::KeepUnsafely => value.with("cache", "unsafe").with("discard", "unmap"),
        Writes::Refuse => value.with("readonly", "on"),
    }
}

impl Writes {
    /// Why a disk has the options that it has.
    fn reason(self) -> &'static str {
        match self {
            Self::Throwaway => "the guest's writes go to a file without a name, which need not reach the host's disk",
            Self::Keep => "the guest's writes are kept; what it discards is freed on the host",
            Self::KeepUnsafely => "the guest's writes are kept, but may not survive a power cut",
            Self::Refuse => "the guest only reads it",
        }
    }
}
