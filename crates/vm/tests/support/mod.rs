//! Machines of all kinds, for tests.
#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::path::Path;

use vm::{
    Accelerator, Architecture, Channel, Console, DirectKernel, Disk, Firmware, Forward, GuestForward, Machine, Network,
    Protocol, Uefi, Variables, Writes,
};

/// A name that has all that somebody on the way could take for something else.
pub(crate) const ODD_NAME: &str = "a,b c'd\"e=$f;g:h\\i,,j.img";

/// A machine without a disk, whose console is ours.
pub(crate) fn empty(architecture: Architecture) -> Machine {
    Machine { console: Console::Piped, network: Network::None, memory_mib: 128, ..Machine::new(architecture) }
}

/// A UEFI firmware whose files have these names.
pub(crate) fn uefi(code: &Path, variables: &Path) -> Firmware {
    Firmware::Uefi(Uefi {
        code: code.to_owned(),
        code_format: "raw".to_owned(),
        variables: Some(Variables { path: variables.to_owned(), format: "raw".to_owned(), writes: Writes::Throwaway }),
        needs_smm: false,
    })
}

/// Machines that together have everything that a machine can have, each with what it is. Their files are in `folder`.
pub(crate) fn machines(architecture: Architecture, folder: &Path) -> Vec<(&'static str, Machine)> {
    let empty = || empty(architecture);
    let disk = |writes| Disk { path: folder.join(ODD_NAME), format: "raw".to_owned(), writes };
    let network = Network::User {
        is_restricted: true,
        network: Some("169.254.0.0/16".to_owned()),
        forwards: vec![Forward::tcp(0, 22), Forward { protocol: Protocol::Udp, ..Forward::tcp(0, 53) }],
        guest_forwards: vec![GuestForward {
            address: [169, 254, 169, 254].into(),
            port: 80,
            command: "printf 'a,b' \"$HOME\"".to_owned(),
        }],
        mac: Some("52:54:00:12:34:56".to_owned()),
    };
    let kernel = DirectKernel {
        kernel: folder.join("vmlinuz"),
        initrd: Some(folder.join(ODD_NAME)),
        command_line: "root=LABEL=a,b console=ttyS0 ds=nocloud;s=http://10.0.2.2/".to_owned(),
    };
    let disks = [Writes::Throwaway, Writes::Keep, Writes::KeepUnsafely, Writes::Refuse];
    let mut machines = vec![
        ("nothing", empty()),
        ("a restricted network", Machine { network: Network::restricted(), ..empty() }),
        ("a network with all", Machine { network, ..empty() }),
        ("a direct kernel", Machine { direct_kernel: Some(kernel), ..empty() }),
        ("an end at a restart", Machine { ends_at_reboot: true, cpus: 1, ..empty() }),
        (
            "an identity",
            Machine {
                serial_number: Some("ds=nocloud;s=http://a/,b".to_owned()),
                uuid: Some("ec2a0b1c-0000-4000-8000-000000000001".to_owned()),
                ..empty()
            },
        ),
        (
            "channels",
            Machine { channels: ["one", "two"].map(|name| Channel { name: name.to_owned() }).into(), ..empty() },
        ),
        ("a terminal", Machine { console: Console::Terminal, ..empty() }),
    ];
    machines.extend(disks.map(|writes| ("a disk", Machine { disks: vec![disk(writes)], ..empty() })));
    machines
}

/// A machine for a host that lends its processor.
pub(crate) fn accelerated(accelerator: Accelerator) -> Machine {
    Machine { accelerator, ..empty(Architecture::X86_64) }
}
