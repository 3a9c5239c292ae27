//! The kernel of an image: which file it is, and what the image's own boot loader says to it.

use std::cmp::Ordering;
use std::fmt;

use guest::{FileKind, Guest, GuestPath, LastLink, Place, Printable};

use crate::Architecture;

/// A kernel in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestKernel {
    /// The kernel's file.
    pub kernel: GuestPath,
    /// The file with its first root file system.
    pub initrd: Option<GuestPath>,
    /// What it is told.
    pub command_line: String,
    /// Where that comes from, in half a sentence.
    pub source: String,
}

/// The image has no kernel in the usual places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no kernel: no `{}`, no `/boot/{}*`", KERNELS[0], KERNEL_PREFIXES[0])]
pub struct NoKernel;

/// Where a distribution keeps a link to the kernel that is to be started, or the kernel itself.
const KERNELS: [&str; 5] = ["/boot/vmlinuz", "/vmlinuz", "/boot/Image", "/boot/vmlinuz-linux", "/boot/vmlinuz-virt"];
/// How the name of a kernel with a version begins.
const KERNEL_PREFIXES: [&str; 3] = ["vmlinuz-", "vmlinux-", "Image-"];
/// The first root file system of a kernel, by the kernel's version.
const INITRDS: [[&str; 2]; 4] = [["initrd.img-", ""], ["initramfs-", ".img"], ["initrd-", ""], ["initramfs-", ""]];
/// GRUB's configuration, and the most bytes of it that are read.
const CONFIGURATIONS: [&str; 2] = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
const MAX_CONFIGURATION_BYTES: u64 = 4 << 20;

impl GuestKernel {
    /// The kernel that the guest's boot loader would start, or else its newest one.
    ///
    /// # Errors
    ///
    /// [`NoKernel`].
    pub fn find(guest: &Guest, architecture: Architecture) -> Result<Self, NoKernel> {
        let mut found = of_grub(guest).or_else(|| newest(guest)).ok_or(NoKernel)?;
        let device = architecture.serial_device();
        let says_console = |word: &str| word.strip_prefix("console=").is_some_and(|name| name.starts_with(device));
        if !found.command_line.split_ascii_whitespace().any(says_console) {
            found.command_line.push_str(&format!(" console={device}"));
        }
        Ok(found)
    }
}

/// What the first entry of GRUB's menu starts.
fn of_grub(guest: &Guest) -> Option<GuestKernel> {
    CONFIGURATIONS.into_iter().find_map(|configuration| {
        let text = guest.read(&configuration.parse().ok()?, MAX_CONFIGURATION_BYTES).ok()?;
        let entry = first_entry(&String::from_utf8_lossy(&text))?;
        // GRUB's paths begin at the partition that it searched for: the one of /boot, or the root.
        let in_guest = |path: &str| [format!("/boot{path}"), path.to_owned()].iter().find_map(|path| file(guest, path));
        Some(GuestKernel {
            kernel: in_guest(&entry.kernel)?,
            initrd: match &entry.initrd {
                Some(path) => Some(in_guest(path)?),
                None => None,
            },
            command_line: entry.arguments,
            source: format!("from `{configuration}`"),
        })
    })
}

/// An entry of GRUB's menu.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kernel: String,
    initrd: Option<String>,
    arguments: String,
}

/// The first entry with a kernel in `configuration`, a script in GRUB's language.
fn first_entry(configuration: &str) -> Option<Entry> {
    let mut lines = configuration.lines().map(str::split_ascii_whitespace);
    let mut words =
        lines.find_map(|mut words| matches!(words.next()?, "linux" | "linux16" | "linuxefi").then_some(words))?;
    let kernel = words.next()?.to_owned();
    // The values of GRUB's variables are unknown here; they are about the screen.
    let arguments: Vec<&str> = words.filter(|word| !word.contains('$')).collect();
    let initrd = lines.map_while(|mut words| match words.next() {
        Some("}") => None,
        Some("initrd" | "initrd16" | "initrdefi") => Some(words.next()),
        _ => Some(None),
    });
    let is_plain = |path: &String| path.starts_with('/') && !path.contains(['$', '"', '\'', '\\']);
    let entry = Entry {
        kernel: Some(kernel).filter(is_plain)?,
        initrd: initrd.flatten().next().map(str::to_owned),
        arguments: arguments.join(" ").replace(['"', '\''], ""),
    };
    entry.initrd.as_ref().is_none_or(is_plain).then_some(entry)
}

/// The newest kernel, by a link or by version numbers.
fn newest(guest: &Guest) -> Option<GuestKernel> {
    let linked = KERNELS.into_iter().find_map(|path| file(guest, path));
    let kernel = linked.or_else(|| {
        let entries = guest.read_directory(&"/boot".parse().ok()?).ok()?;
        let names = entries.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok());
        let versioned = names.filter(|name| version(name).is_some());
        file(guest, &format!("/boot/{}", versioned.max_by(|one, other| by_version(one, other))?))
    })?;
    let name = String::from_utf8_lossy(kernel.name().unwrap_or_default()).into_owned();
    let initrd = version(&name).and_then(|version| {
        INITRDS.iter().find_map(|[start, end]| file(guest, &format!("/boot/{start}{version}{end}")))
    });
    let root = guest.root_volume();
    let uuid = root.file_system().map(|file_system| format!("UUID={}", file_system.uuid()));
    let device = match (uuid, root.place(), root.partition()) {
        // An initramfs of LVM waits for the name of a logical volume, and activates that.
        (_, Place::LogicalVolume(name), _) => name.mapper_node(),
        (Some(uuid), ..) if initrd.is_some() => uuid,
        (_, _, Some(partition)) => format!("PARTUUID={}", partition.partuuid),
        (_, _, None) => "/dev/vda".to_owned(),
    };
    let source = format!("the root is {device}");
    Some(GuestKernel { kernel, initrd, command_line: format!("root={device} ro"), source })
}

/// The version in the name of a kernel.
fn version(name: &str) -> Option<&str> {
    KERNEL_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))
}

/// Compares names with numbers in them: 6.1.0-9 is older than 6.1.0-10.
fn by_version(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (one_digits, other_digits) = (digits(one), digits(other));
        let ordering = if one_digits > 0 && other_digits > 0 {
            let (one_number, other_number) = (&one[..one_digits], &other[..other_digits]);
            let significant = |number: &'_ [u8]| number.iter().skip_while(|&&byte| byte == b'0').count();
            let by_length = significant(one_number).cmp(&significant(other_number));
            let ends = (
                &one_number[one_digits - significant(one_number)..],
                &other_number[other_digits - significant(other_number)..],
            );
            (one, other) = (&one[one_digits..], &other[other_digits..]);
            by_length.then(ends.0.cmp(ends.1))
        } else {
            match (one.split_first(), other.split_first()) {
                (Some((one_byte, one_rest)), Some((other_byte, other_rest))) => {
                    (one, other) = (one_rest, other_rest);
                    one_byte.cmp(other_byte)
                }
                (one, other) => return one.is_some().cmp(&other.is_some()),
            }
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// The regular file that `path` leads to.
fn file(guest: &Guest, path: &str) -> Option<GuestPath> {
    let found = guest.find(&path.parse().ok()?, LastLink::Follow).ok()?;
    (found.node.kind() == FileKind::Regular).then_some(found.path)
}

impl fmt::Display for GuestKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Printable(self.kernel.as_bytes()))?;
        if let Some(initrd) = &self.initrd {
            write!(f, " with `{}`", Printable(initrd.as_bytes()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_is_what_grub_starts() {
        let configuration = "\
set default=\"0\"
menuentry 'Ubuntu' --class ubuntu {
\tsearch --no-floppy --fs-uuid --set=root 4c1f
\tlinux\t/vmlinuz-6.8.0-60-generic root=LABEL=cloudimg-rootfs ro  console=tty1 $vt_handoff \"quiet\"
\tinitrd\t/initrd.img-6.8.0-60-generic
}
menuentry 'Older' {
\tlinux\t/vmlinuz-6.8.0-59-generic root=LABEL=cloudimg-rootfs ro
\tinitrd\t/initrd.img-6.8.0-59-generic
}
";
        let entry = first_entry(configuration).unwrap();
        assert_eq!(entry.kernel, "/vmlinuz-6.8.0-60-generic");
        assert_eq!(entry.initrd.as_deref(), Some("/initrd.img-6.8.0-60-generic"));
        assert_eq!(entry.arguments, "root=LABEL=cloudimg-rootfs ro console=tty1 quiet");
    }

    #[test]
    fn an_entry_without_an_initrd_does_not_take_the_next_ones() {
        let entry =
            first_entry("menuentry a {\n linux /k root=/dev/vda1\n}\nmenuentry b {\n linux /l\n initrd /i\n}\n");
        assert_eq!(entry, Some(Entry { kernel: "/k".into(), initrd: None, arguments: "root=/dev/vda1".into() }));
    }

    #[test]
    fn what_only_grub_understands_is_left_to_it() {
        for text in ["", "linux", "linux ${kernel} ro", "linux (hd0,1)/k", "linux /k\ninitrd $initrd", "insmod linux"] {
            assert_eq!(first_entry(text), None, "{text}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (older, newer) in [
            ("vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64"),
            ("vmlinuz-6.1.0-9", "vmlinuz-6.1.0-9-cloud"),
            ("vmlinuz-5.15", "vmlinuz-6.1"),
            ("vmlinuz-6.1.0", "vmlinuz-6.1.1"),
            ("a99999999999999999999999", "a100000000000000000000000"),
        ] {
            assert_eq!(by_version(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(by_version(newer, older), Ordering::Greater, "{older} {newer}");
            assert_eq!(by_version(older, older), Ordering::Equal);
        }
        assert_eq!(by_version("a01", "a1"), Ordering::Equal);
    }
}
