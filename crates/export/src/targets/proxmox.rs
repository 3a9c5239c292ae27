//! Proxmox VE.

use super::{Format, Package, Placeholder, Seed, Target, X86_64};
use crate::{Disk, Subject};

pub(super) const TARGET: Target = Target {
    name: "proxmox",
    aliases: &["pve"],
    title: "Proxmox VE",
    format: Format::Qcow2,
    disk_end: ".qcow2",
    package: Package::None,
    seed: Seed::Cd,
    architectures: X86_64,
    contents: &[(".qcow2", "the disk")],
    needs: "root on a host of Proxmox VE 7.2 or newer, with the files there; in the guest, cloud-init",
    judged: "qemu-img (compare, check)",
    untried: "no import: no host of Proxmox, and `qm` is in no archive of Debian's",
    placeholders: &[
        Placeholder { word: "VMID", meaning: "a number that no machine has: `pvesh get /cluster/nextid`" },
        Placeholder { word: "STORAGE", meaning: "where disks go, such as local-lvm" },
    ],
    files: |_, _| Vec::new(),
    commands,
};

fn commands(subject: &Subject, disk: &Disk) -> Vec<String> {
    let (slug, file) = (subject.name.slug(), &disk.file_name);
    let firmware = match subject.firmware.bios {
        true => "--bios seabios",
        false => "--bios ovmf --efidisk0 STORAGE:1,efitype=4m,pre-enrolled-keys=1",
    };
    let seed = subject.seed_name();
    let mut commands = vec![
        format!(
            "qm create VMID --name {slug} --ostype l26 --machine q35 {firmware} --cores 2 --memory 2048 --cpu host \
             --net0 virtio,bridge=vmbr0 --scsihw virtio-scsi-single --serial0 socket --vga serial0"
        ),
        format!("qm set VMID --scsi0 \"STORAGE:0,import-from=$PWD/{file},discard=on\" --boot order=scsi0"),
    ];
    if subject.has_seed {
        commands.push(format!("cp {seed} /var/lib/vz/template/iso/"));
        commands.push(format!("qm set VMID --ide2 local:iso/{seed},media=cdrom"));
    } else {
        commands.push("qm set VMID --ide2 STORAGE:cloudinit".to_owned());
    }
    commands.push("qm template VMID".to_owned());
    commands
}
