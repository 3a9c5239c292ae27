//! Emulators that this machine has the kernel use for programs of other processors (binfmt_misc).

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel lists them.
const FOLDER: &str = "/proc/sys/fs/binfmt_misc";
/// The most bytes of an entry of the kernel's.
const MAX_ENTRY_BYTES: u64 = 4096;

/// An emulator that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulator {
    /// The name of its entry: `qemu-aarch64`.
    pub name: String,
    /// The program, on the host.
    pub interpreter: PathBuf,
    /// Whether the kernel opened it when it was registered (flag F). Only then does it work where the host's files are
    /// not seen.
    pub is_fixed: bool,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Emulator {
    /// All that are registered and switched on.
    pub fn all() -> Vec<Self> {
        Self::all_in(Path::new(FOLDER))
    }

    fn all_in(folder: &Path) -> Vec<Self> {
        if fs::read_to_string(folder.join("status")).is_ok_and(|status| status.trim() == "disabled") {
            return Vec::new();
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut all: Vec<Self> = entries
            .filter(|entry| entry.metadata().is_ok_and(|found| found.is_file() && found.len() <= MAX_ENTRY_BYTES))
            .filter_map(|entry| Self::parse(entry.file_name().to_str()?, &fs::read_to_string(entry.path()).ok()?))
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// An entry as the kernel shows it; none for one that is switched off or goes by file names.
    fn parse(name: &str, text: &str) -> Option<Self> {
        let field = |label: &str| text.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
        text.lines().next().filter(|line| *line == "enabled")?;
        let magic = bytes(field("magic ")?)?;
        let mask = match field("mask ") {
            Some(mask) => bytes(mask)?,
            None => vec![0xff; magic.len()],
        };
        let is_fixed = field("flags:").is_some_and(|flags| flags.contains('F'));
        let offset = field("offset ")?.parse().ok()?;
        (mask.len() == magic.len()).then_some(())?;
        Some(Self { name: name.to_owned(), interpreter: field("interpreter ")?.into(), is_fixed, offset, magic, mask })
    }

    /// Whether the kernel would start it for a program that begins with `header`.
    pub(crate) fn runs(&self, header: &[u8]) -> bool {
        let end = self.offset.checked_add(self.magic.len());
        let part = end.and_then(|end| header.get(self.offset..end));
        part.is_some_and(|part| {
            let bytes = part.iter().zip(&self.magic).zip(&self.mask);
            bytes.into_iter().all(|((byte, magic), mask)| byte & mask == magic & mask)
        })
    }
}

/// The bytes of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Debian's qemu-user-static registers.
    const AARCH64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\n\
        offset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    impl Emulator {
        pub(crate) fn all_of_debian() -> Self {
            Self::parse("qemu-aarch64", AARCH64).unwrap()
        }
    }

    #[test]
    fn an_entry_is_read_as_the_kernel_shows_it() {
        let emulator = Emulator::parse("qemu-aarch64", AARCH64).unwrap();
        assert_eq!(emulator.interpreter, Path::new("/usr/libexec/qemu-binfmt/aarch64-binfmt-P"));
        assert!(emulator.is_fixed);
        assert!(!Emulator::parse("a", &AARCH64.replace("POCF", "OC")).unwrap().is_fixed);
        assert_eq!(Emulator::parse("a", &AARCH64.replace("enabled", "disabled")), None);
        assert_eq!(Emulator::parse("a", &AARCH64.replace("b700\n", "b7\n")), None);
        assert_eq!(Emulator::parse("a", "enabled\ninterpreter /bin/a\nflags: \nextension .jar\n"), None);
    }

    #[test]
    fn all_of_a_folder_are_found_unless_the_kernel_uses_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("qemu-aarch64"), AARCH64).unwrap();
        fs::write(folder.path().join("register"), "").unwrap();
        fs::write(folder.path().join("status"), "enabled\n").unwrap();
        assert_eq!(Emulator::all_in(folder.path()).len(), 1);
        fs::write(folder.path().join("status"), "disabled\n").unwrap();
        assert_eq!(Emulator::all_in(folder.path()), []);
        assert_eq!(Emulator::all_in(&folder.path().join("none")), []);
    }
}
