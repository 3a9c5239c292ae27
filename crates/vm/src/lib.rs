//! Virtual machines: the only place that builds command lines of QEMU, starts it and controls it.
//!
//! A [`Machine`] describes what the guest sees; [`Machine::command_line`] is QEMU's command line for it, with a
//! reason for each option. [`start`] runs it and returns a [`Running`], which reports in one stream what
//! the console shows and what the monitor reports, each with its time since the start. QEMU is killed when that is
//! dropped.
//!
//! ```
//! use vm::{Architecture, Disk, Machine};
//!
//! let mut machine = Machine::new(Architecture::X86_64);
//! machine.disks.push(Disk::throwaway("/srv/noble.img", "qcow2"));
//! let line = machine.command_line(None).to_string();
//! assert!(line.starts_with("qemu-system-x86_64 \\\n"));
//! assert!(line.contains("-drive if=virtio,file=/srv/noble.img,format=qcow2,snapshot=on,cache=unsafe"));
//! ```

mod accelerator;
mod architecture;
mod command_line;
mod compose;
mod descriptors;
mod direct_kernel;
mod error;
mod machine;
mod monitor;
mod needs;
mod process;

pub use accelerator::{Accelerator, Choice, Host, Kvm, UnknownAccelerator};
pub use architecture::{Architecture, UnknownArchitecture};
pub use command_line::{CommandLine, Setting, quoted};
pub use direct_kernel::{GuestKernel, NoKernel};
pub use error::Error;
pub use machine::{
    Channel, Console, DirectKernel, Disk, Firmware, Forward, GuestForward, Machine, Network, Protocol, Uefi, Variables,
    Writes,
};
pub use monitor::{Monitor, Progress, Status};
pub use needs::{FirmwareKind, Needs, Reasoned};
pub use process::{Occurrence, Running, What, start};
