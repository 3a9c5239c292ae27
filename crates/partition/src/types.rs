use uuid::{Uuid, uuid};

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
        LINUX_SWAP => "Linux swap",
        MICROSOFT_BASIC_DATA => "Microsoft basic data",
        _ => return None,
    })
}
