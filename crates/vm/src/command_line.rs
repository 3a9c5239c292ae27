//! A command line of QEMU: its options, each with its reason.
//!
//! `imgraft boot my.img --print-command` on a host without KVM prints this (`-cpu` is shortened):
//!
//! ```text
//! qemu-system-x86_64 -nodefaults -no-user-config -machine q35,graphics=off -display none -vga none \
//!   -accel tcg,thread=multi -cpu max -smp 2 -m 2048M \
//!   -drive if=virtio,file=/srv/my.img,format=qcow2,snapshot=on,cache=unsafe \
//!   -netdev user,id=net,hostfwd=tcp:127.0.0.1:2222-:22 -device virtio-net-pci,netdev=net,romfile= \
//!   -device virtio-rng-pci -serial mon:stdio
//! ```
//!
//! An option's value has parts between commas: mostly a kind of thing first, then `name=value`. A device has two ends,
//! joined by an `id`: `-netdev` is the host's end of the network and `-device` the guest's card, and both have the name
//! `net`. `hostfwd` leads from port 2222 of the host to port 22 of the guest. `snapshot=on` sends what the guest writes
//! to a file that disappears with QEMU.
//!
//! Because a comma ends a part, QEMU reads `,,` as a comma within a part: the image `a,b.img` is `file=a,,b.img`. A name
//! such as `nbd:x` would be read as a protocol, so a relative path becomes `./nbd:x`. `Parts` does both. The quotes of
//! a shell are added only when a line is shown; QEMU is started without a shell.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A command line of QEMU. Its `Display` can be pasted into a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program.
    pub program: PathBuf,
    /// Its options, in their order.
    pub settings: Vec<Setting>,
}

/// An option with its value, and why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The option, such as `-drive`.
    pub option: &'static str,
    /// Its value, as QEMU reads it.
    pub value: Option<OsString>,
    /// Why it is there, in half a sentence.
    pub reason: &'static str,
}

impl CommandLine {
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), settings: Vec::new() }
    }

    /// Adds an option without a value.
    pub(crate) fn flag(&mut self, option: &'static str, reason: &'static str) {
        self.settings.push(Setting { option, value: None, reason });
    }

    /// Adds an option with a value.
    pub(crate) fn option(&mut self, option: &'static str, value: impl Into<OsString>, reason: &'static str) {
        self.settings.push(Setting { option, value: Some(value.into()), reason });
    }

    /// The arguments of the program.
    pub fn arguments(&self) -> impl Iterator<Item = &OsStr> {
        self.settings
            .iter()
            .flat_map(|setting| std::iter::once(OsStr::new(setting.option)).chain(setting.value.as_deref()))
    }
}

/// One option in each line, quoted for a POSIX shell, or for bash if a name is not UTF-8.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(self.program.as_os_str()))?;
        for setting in &self.settings {
            write!(f, " \\\n  {}", setting.option)?;
            if let Some(value) = &setting.value {
                write!(f, " {}", quoted(value))?;
            }
        }
        Ok(())
    }
}

/// A value of several parts: `virtio-net-pci,netdev=net`.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    bytes: Vec<u8>,
}

impl Parts {
    /// Begins with a part without a name, which must not come from the user.
    pub(crate) fn new(first: &str) -> Self {
        Self { bytes: first.as_bytes().to_vec() }
    }

    /// Adds `name=value`, with each comma in it doubled for QEMU.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        if !self.bytes.is_empty() {
            self.bytes.push(b',');
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(b'=');
        for &byte in value.as_ref().as_bytes() {
            self.bytes.push(byte);
            if byte == b',' {
                self.bytes.push(b',');
            }
        }
        self
    }

    /// Adds `name=path`. A relative path with a colon would be read as a protocol, so it gets a folder.
    pub(crate) fn with_path(self, name: &str, path: &Path) -> Self {
        if path.is_absolute() { self.with(name, path) } else { self.with(name, Path::new(".").join(path)) }
    }
}

impl From<Parts> for OsString {
    fn from(parts: Parts) -> Self {
        Self::from_vec(parts.bytes)
    }
}

/// `text` as one word of a POSIX shell, or of bash if it is not UTF-8 or has control characters.
pub fn quoted(text: &OsStr) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,:=+@%^".contains(&byte);
    let bytes = text.as_bytes();
    match text.to_str() {
        Some(text) if !bytes.is_empty() && bytes.iter().all(|&byte| is_plain(byte)) => text.to_owned(),
        Some(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let escaped: String = bytes
                .iter()
                .map(|&byte| match byte {
                    b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                    b' '..=b'~' => char::from(byte).to_string(),
                    _ => format!("\\{byte:03o}"),
                })
                .collect();
            format!("$'{escaped}'")
        }
    }
}
