//! `/etc/fstab`, the guest's own list of which file system is mounted where.

use storage::Printable;

use crate::path::GuestPath;

/// The largest `/etc/fstab` that is read, in bytes.
pub(crate) const LIMIT_BYTES: u64 = 1 << 20;

/// One line that mounts a file system from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which file system.
    pub device: Device,
    /// Where it is mounted.
    pub mount_point: GuestPath,
    /// The type of the file system, as the line has it: `ext4`, `vfat`, `auto`…
    pub kind: String,
    /// The options, joined by commas: `defaults`, `ro,subvol=home`.
    pub options: String,
}

/// How a line names its file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// By the file system's label.
    Label(String),
    /// By the file system's UUID, or FAT's serial number.
    Uuid(String),
    /// By the partition's UUID.
    PartitionUuid(String),
    /// By the partition's name.
    PartitionLabel(String),
    /// By a device node.
    Node(String),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, value) = match self {
            Self::Label(label) => ("LABEL=", label),
            Self::Uuid(uuid) => ("UUID=", uuid),
            Self::PartitionUuid(uuid) => ("PARTUUID=", uuid),
            Self::PartitionLabel(label) => ("PARTLABEL=", label),
            Self::Node(node) => ("", node),
        };
        write!(f, "{key}{}", Printable(value.as_bytes()))
    }
}

/// The lines of `text` that mount a file system of a disk at boot. Lines for swap, bind mounts, network and memory
/// file systems are left out, and so are lines that `mount` would not understand.
pub fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter_map(entry).collect()
}

/// Whether a line of `text` has this mount point, no matter what it mounts there and when.
pub(crate) fn names_mount_point(text: &str, point: &GuestPath) -> bool {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    lines.any(|mut fields| {
        let is_comment = fields.next().is_none_or(|field| field.starts_with('#'));
        let named = fields.next().filter(|_| !is_comment).map(|field| GuestPath::new(unescape(field)));
        matches!(named, Some(Ok(path)) if path == *point)
    })
}

fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    let device = fields.next().filter(|field| !field.starts_with('#'))?;
    let mount_point = GuestPath::new(unescape(fields.next()?)).ok()?;
    let kind = fields.next()?;
    let options = fields.next().unwrap_or("defaults");
    if kind == "swap" || options.split(',').any(|option| matches!(option, "bind" | "rbind" | "noauto")) {
        return None;
    }
    Some(Entry { device: parse_device(device)?, mount_point, kind: kind.to_owned(), options: options.to_owned() })
}

fn parse_device(field: &str) -> Option<Device> {
    let field = String::from_utf8(unescape(field)).ok()?;
    let unquoted = |value: &str| value.trim_matches('"').to_owned();
    Some(match field.split_once('=') {
        Some(("LABEL", value)) => Device::Label(unquoted(value)),
        Some(("UUID", value)) => Device::Uuid(unquoted(value)),
        Some(("PARTUUID", value)) => Device::PartitionUuid(unquoted(value)),
        Some(("PARTLABEL", value)) => Device::PartitionLabel(unquoted(value)),
        _ => return by_link(&field),
    })
}

/// The links that udev makes say the same as the tags. Any other device node is kept by its name.
fn by_link(field: &str) -> Option<Device> {
    let path = field.strip_prefix("/dev/")?;
    let value = |kind: &str| path.strip_prefix("disk/")?.strip_prefix(kind).map(str::to_owned);
    Some(if let Some(label) = value("by-label/") {
        Device::Label(label)
    } else if let Some(uuid) = value("by-uuid/") {
        Device::Uuid(uuid)
    } else if let Some(uuid) = value("by-partuuid/") {
        Device::PartitionUuid(uuid)
    } else if let Some(label) = value("by-partlabel/") {
        Device::PartitionLabel(label)
    } else {
        Device::Node(field.to_owned())
    })
}

/// Replaces octal escapes as `getmntent` does: `\040` is a space.
fn unescape(field: &str) -> Vec<u8> {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match (bytes[at], octal) {
            (b'\\', Some(digits)) => {
                out.push(digits.iter().fold(0, |value: u8, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
                at += 4;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// The partition number at the end of a device node's name: 1 for `/dev/vda1`, 2 for `/dev/nvme0n1p2`. `None` for a
/// whole disk, and for names whose last digits do not mean a partition.
pub(crate) fn partition_number(node: &str) -> Option<u32> {
    let name = node.strip_prefix("/dev/")?;
    let digits = name.len() - name.trim_end_matches(|character: char| character.is_ascii_digit()).len();
    let (disk, number) = name.split_at(name.len() - digits);
    let is_partition = match disk.strip_suffix('p') {
        Some(disk) => disk.starts_with("nvme") || disk.starts_with("mmcblk") || disk.starts_with("nbd"),
        None => ["sd", "vd", "xvd", "hd"].iter().any(|prefix| {
            disk.strip_prefix(prefix)
                .is_some_and(|letter| !letter.is_empty() && letter.bytes().all(|byte| byte.is_ascii_lowercase()))
        }),
    };
    is_partition.then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str) -> Vec<(String, String)> {
        parse(text).iter().map(|entry| (entry.device.to_string(), entry.mount_point.to_string())).collect()
    }

    #[test]
    fn the_noble_image_mounts_three_file_systems() {
        let text = "LABEL=cloudimg-rootfs\t/\t ext4\tdiscard,commit=30,errors=remount-ro\t0 1\n\
                    LABEL=BOOT\t/boot\text4\tdefaults\t0 2\nLABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1\n";
        assert_eq!(
            points(text),
            [("LABEL=cloudimg-rootfs", "/"), ("LABEL=BOOT", "/boot"), ("LABEL=UEFI", "/boot/efi")]
                .map(|(device, point)| (device.to_owned(), point.to_owned()))
        );
    }

    #[test]
    fn what_is_not_on_a_disk_is_left_out() {
        let text = "# comment\n\ntmpfs /tmp tmpfs defaults 0 0\n/dev/sda5 none swap sw 0 0\n\
                    /dev/sda6 /swapfile swap sw 0 0\n/home /srv/home none bind 0 0\nserver:/x /mnt nfs4 ro 0 0\n\
                    proc /proc proc defaults 0 0\n/dev/sr0 /media iso9660 ro,noauto 0 0\nUUID=only-one-field\n";
        assert_eq!(points(text), []);
    }

    #[test]
    fn any_line_for_a_mount_point_names_it() {
        let text = "# /dev/vda9 /srv ext4\nserver:/x /home nfs4 noauto 0 0\n/dev/vda2 /a\\040b/ ext4\n";
        let named = |path: &str| names_mount_point(text, &GuestPath::new(path).unwrap());
        assert!(named("/home") && named("/a b") && !named("/srv") && !named("/"));
    }

    #[test]
    fn links_of_udev_quotes_and_escapes_are_understood() {
        let text = "/dev/disk/by-uuid/ab-cd /a\\040b ext4\nLABEL=\"my data\" /never ext4\n\
                    LABEL=\"data\" /c ext4\nPARTUUID=12-3 /d ext4\n/dev/vda3 /e ext4";
        assert_eq!(
            points(text),
            [("UUID=ab-cd", "/a b"), ("LABEL=data", "/c"), ("PARTUUID=12-3", "/d"), ("/dev/vda3", "/e")]
                .map(|(device, point)| (device.to_owned(), point.to_owned()))
        );
    }

    #[test]
    fn partition_numbers_come_from_the_names_that_have_them() {
        assert_eq!(partition_number("/dev/vda15"), Some(15));
        assert_eq!(partition_number("/dev/nvme0n1p2"), Some(2));
        assert_eq!(partition_number("/dev/mmcblk0p1"), Some(1));
        for whole in ["/dev/vda", "/dev/nvme0n1", "/dev/mapper/vg-root1", "/dev/loop0", "/dev/sd1"] {
            assert_eq!(partition_number(whole), None, "{whole}");
        }
    }
}
