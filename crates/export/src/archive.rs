//! An OVA: one tar archive of a virtual appliance.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use crate::{Subject, Text};

/// The largest file in an archive, in bytes: `ustar` writes sizes as 11 octal digits.
const MEMBER_MAX_BYTES: u64 = (1 << 33) - 1;

/// A file that is larger than an archive can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` has {size_bytes} bytes, and a file in an OVA has less than 8 GiB")]
pub struct TooLarge {
    /// The file.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
}

/// A large file of an archive.
pub struct Member<'a> {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// What is in it.
    pub content: &'a mut dyn Read,
}

/// Writes the archive of `subject` to `out`: the descriptor, the manifest with the SHA-256 of every other file, then
/// `members` as they come.
///
/// # Errors
///
/// Those of reading and writing, and [`TooLarge`] inside an [`io::Error`].
pub fn write_ova(
    out: &mut dyn Write,
    subject: &Subject,
    descriptor: &Text,
    members: &mut [Member<'_>],
) -> io::Result<()> {
    if let Some(large) = members.iter().find(|member| member.size_bytes > MEMBER_MAX_BYTES) {
        return Err(io::Error::other(TooLarge { name: large.name.clone(), size_bytes: large.size_bytes }));
    }
    let mut manifest = line(&descriptor.name, &sha256(&descriptor.content));
    for member in members.iter() {
        manifest.push_str(&line(&member.name, &member.sha256));
    }
    let time = subject.created.max(0) as u64;
    let mut archive = tar::Builder::new(out);
    let manifest = Text::new(subject.file(".mf"), manifest);
    for text in [descriptor, &manifest] {
        append(&mut archive, &text.name, text.content.len() as u64, time, &mut &text.content[..])?;
    }
    for member in members {
        append(&mut archive, &member.name, member.size_bytes, time, &mut member.content)?;
    }
    archive.into_inner()?.flush()
}

/// A file in an archive that is `ustar` and nothing else.
pub(crate) fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    size_bytes: u64,
    time: u64,
    content: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_size(size_bytes);
    // As many digits as `ustar` has; a later time is no reason to fail.
    header.set_mtime(time.min(MEMBER_MAX_BYTES));
    header.set_cksum();
    let mut content = content.take(size_bytes);
    archive.append(&header, &mut content)?;
    // The header has promised more than there was.
    if content.limit() == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// `sha256sum` writes it in another way: this is that of the OVF specification.
fn line(name: &str, sha256: &str) -> String {
    format!("SHA256({name})= {sha256}\n")
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Firmware, Name};

    #[test]
    fn a_file_too_large_for_ustar_is_refused_before_anything_is_written() {
        let name = Name::new("app").unwrap();
        let subject = Subject::new(name, vm::Architecture::X86_64, Firmware { bios: true, uefi: false });
        let descriptor = Text::new("app.ovf".to_owned(), "<x/>");
        let write = |size_bytes| {
            let (mut out, mut content) = (Vec::new(), &b"12345"[..]);
            let member = Member { name: "disk".to_owned(), size_bytes, sha256: String::new(), content: &mut content };
            (write_ova(&mut out, &subject, &descriptor, &mut [member]), out.len())
        };
        let (refused, length) = write(1 << 33);
        let expected = TooLarge { name: "disk".to_owned(), size_bytes: 1 << 33 };
        assert_eq!((refused.unwrap_err().to_string(), length), (expected.to_string(), 0));
        assert_eq!(write(6).0.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        // Three headers, each with a block after it, and two blocks at the end.
        let (written, length) = write(5);
        assert!(written.is_ok() && length == 8 * 512, "{length}");
    }
}
