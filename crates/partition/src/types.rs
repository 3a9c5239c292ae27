use std::fmt;

use uuid::{Uuid, uuid};

/// What a partition is for, as its table says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionType {
    /// A GPT's type GUID.
    Guid(Uuid),
    /// An MBR's type, one byte.
    Byte(u8),
}

impl PartitionType {
    /// Its English name, where it is one that cloud images use.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Guid(guid) => type_name(guid),
            Self::Byte(byte) => byte_name(byte),
        }
    }

    /// Whether this is the type GUID.
    pub fn is(self, guid: Uuid) -> bool {
        self == Self::Guid(guid)
    }
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(guid) => guid.fmt(f),
            Self::Byte(byte) => write!(f, "{byte:#04x}"),
        }
    }
}

/// A partition with GRUB's core image in it, without a file system.
pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
/// The EFI system partition, a FAT.
pub const EFI_SYSTEM: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// `/boot` by the Boot Loader Specification.
pub const LINUX_EXTENDED_BOOT: Uuid = uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172");
/// Any Linux file system.
pub const LINUX_FILESYSTEM: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// `/home` by the Discoverable Partitions Specification.
pub const LINUX_HOME: Uuid = uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915");
/// A physical volume of LVM.
pub const LINUX_LVM: Uuid = uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928");
/// A member of a Linux software RAID.
pub const LINUX_RAID: Uuid = uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e");
/// The root of an arm64 system by the Discoverable Partitions Specification.
pub const LINUX_ROOT_ARM64: Uuid = uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae");
/// The root of an x86-64 system by the Discoverable Partitions Specification.
pub const LINUX_ROOT_X86_64: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// Swap.
pub const LINUX_SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
/// Any file system of Windows, and FAT wherever no better type is known.
pub const MICROSOFT_BASIC_DATA: Uuid = uuid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");

/// `/srv` by the Discoverable Partitions Specification.
pub const LINUX_SRV: Uuid = uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8");
/// `/var` by the Discoverable Partitions Specification.
pub const LINUX_VAR: Uuid = uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d");
/// `/var/tmp` by the Discoverable Partitions Specification.
pub const LINUX_VAR_TMP: Uuid = uuid!("7ec6f557-3bc5-4aca-b293-16ef5df639d1");
/// `/usr` of an x86-64 system by the Discoverable Partitions Specification.
pub const LINUX_USR_X86_64: Uuid = uuid!("8484680c-9521-48c6-9c11-b0720656f69e");
/// `/usr` of an arm64 system by the Discoverable Partitions Specification.
pub const LINUX_USR_ARM64: Uuid = uuid!("b0e01050-ee5f-4390-949a-9101b17104e9");
/// `/usr` of CoreOS and Flatcar, which have two of them.
pub const COREOS_USR: Uuid = uuid!("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6");

/// The English name of a partition type, where it is one that cloud images use.
pub fn type_name(guid: Uuid) -> Option<&'static str> {
    Some(match guid {
        BIOS_BOOT => "BIOS boot",
        EFI_SYSTEM => "EFI system partition",
        LINUX_EXTENDED_BOOT => "Linux extended boot",
        LINUX_FILESYSTEM => "Linux filesystem",
        LINUX_HOME => "Linux home",
        LINUX_LVM => "Linux LVM",
        LINUX_RAID => "Linux RAID",
        LINUX_ROOT_ARM64 => "Linux root (arm64)",
        LINUX_ROOT_X86_64 => "Linux root (x86-64)",
        LINUX_SRV => "Linux srv",
        LINUX_SWAP => "Linux swap",
        LINUX_USR_ARM64 => "Linux usr (arm64)",
        LINUX_USR_X86_64 => "Linux usr (x86-64)",
        LINUX_VAR => "Linux var",
        LINUX_VAR_TMP => "Linux var/tmp",
        COREOS_USR => "CoreOS usr",
        MICROSOFT_BASIC_DATA => "Microsoft basic data",
        _ => return None,
    })
}

/// The English name of an MBR's partition type, where it is one that cloud images use.
fn byte_name(byte: u8) -> Option<&'static str> {
    Some(match byte {
        0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e => "FAT",
        0x07 => "NTFS or exFAT",
        0x41 => "PReP boot",
        0x82 => "Linux swap",
        0x83 => "Linux filesystem",
        0x8e => "Linux LVM",
        0xef => "EFI system partition",
        0xfd => "Linux RAID",
        _ => return None,
    })
}
