//! `SHA256SUMS`, `SHA512SUMS`, `CHECKSUM` and their like: a digest and a file name in each line, as `sha256sum` writes
//! them, with `--tag` or without. A list of one file may be its digest alone.

use crate::cache::{Algorithm, Digest};

/// How large a list may be, in bytes: the largest that was seen has 8 KiB.
pub const LIMIT_BYTES: u64 = 4 << 20;

/// Why a digest cannot be found in a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SumsError {
    /// It is not a text.
    #[error("the list is not text")]
    NotText,
    /// A line of it is not a digest with a file name.
    #[error("line {number} of the list is not a digest with a file name")]
    Line {
        /// The line's number, from 1.
        number: usize,
    },
    /// It does not have the file.
    #[error("the list does not have `{file}`")]
    Missing {
        /// The file.
        file: String,
    },
    /// It has the file twice, with different digests.
    #[error("the list has `{file}` twice, with different digests")]
    Twice {
        /// The file.
        file: String,
    },
}

/// The digests of files by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    lines: Vec<(Digest, String)>,
}

impl Sums {
    /// The list in `text`. If that is a digest alone, it is that of `sole`.
    ///
    /// # Errors
    ///
    /// If a line is not valid.
    pub fn parse(algorithm: Algorithm, text: &[u8], sole: Option<&str>) -> Result<Self, SumsError> {
        let text = std::str::from_utf8(text).map_err(|_| SumsError::NotText)?;
        if let (Some(name), Ok(digest)) = (sole, Digest::from_hex(algorithm, text.trim())) {
            return Ok(Self { lines: vec![(digest, name.to_owned())] });
        }
        let mut lines = Vec::new();
        // Comments tell the sizes of files.
        let said = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        for (index, line) in said {
            let error = || SumsError::Line { number: index + 1 };
            let (hex, name) = match tagged(algorithm, line) {
                Some(tagged) => tagged,
                None => {
                    let (hex, rest) = line.split_once(' ').ok_or_else(error)?;
                    // A blank or an asterisk tells how the file was read, which makes no difference.
                    (hex, rest.strip_prefix([' ', '*']).ok_or_else(error)?)
                }
            };
            if name.is_empty() {
                return Err(error());
            }
            lines.push((Digest::from_hex(algorithm, hex).map_err(|_| error())?, name.to_owned()));
        }
        Ok(Self { lines })
    }

    /// The digest of the file of this name.
    ///
    /// # Errors
    ///
    /// If there is none, or if there are several different ones.
    pub fn digest(&self, file: &str) -> Result<Digest, SumsError> {
        let mut digests = self.lines.iter().filter(|(_, name)| name == file).map(|(digest, _)| *digest);
        let digest = digests.next().ok_or_else(|| SumsError::Missing { file: file.to_owned() })?;
        match digests.all(|other| other == digest) {
            true => Ok(digest),
            false => Err(SumsError::Twice { file: file.to_owned() }),
        }
    }

    /// The names of the files, and their digests.
    pub fn files(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.lines.iter().map(|(digest, name)| (name.as_str(), *digest))
    }
}

/// The digest and the name in a line such as `SHA256 (disk.img) = 0c30…`.
fn tagged(algorithm: Algorithm, line: &str) -> Option<(&str, &str)> {
    let tag = match algorithm {
        Algorithm::Sha256 => "SHA256 (",
        Algorithm::Sha512 => "SHA512 (",
    };
    let (name, hex) = line.strip_prefix(tag)?.rsplit_once(") = ")?;
    Some((hex, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &[u8] = include_bytes!("../../tests/published/noble-release-20260725.SHA256SUMS");

    #[test]
    fn the_published_list_has_its_images() {
        let sums = Sums::parse(Algorithm::Sha256, PUBLISHED, None).unwrap();
        // As `grep` finds it in the file.
        assert_eq!(
            sums.digest("ubuntu-24.04-server-cloudimg-arm64.img").unwrap().hex(),
            "2eaec7286c49fdea713dddabcf5012cafa7097a658e916acb48f4bc5fdc8e419"
        );
        assert_eq!(sums.files().count(), 66);
        let error = sums.digest("ubuntu-24.04-server-cloudimg-sparc.img").unwrap_err();
        assert_eq!(error.to_string(), "the list does not have `ubuntu-24.04-server-cloudimg-sparc.img`");
    }

    #[test]
    fn lines_are_a_digest_and_a_name() {
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let parse = |text: String| Sums::parse(Algorithm::Sha256, text.as_bytes(), None);
        let sums =
            parse(format!("{a}  one\n{a} *two three\n\n{b}  four\r\n{a}  same\n{a}  same\n{a}  x\n{b}  x\n")).unwrap();
        for (file, hex) in [("one", &a), ("two three", &a), ("four", &b), ("same", &a)] {
            assert_eq!(&sums.digest(file).unwrap().hex(), hex);
        }
        assert_eq!(sums.digest("x"), Err(SumsError::Twice { file: "x".to_owned() }));
        for (text, number) in [
            (format!("{a}  one\n{a}\n"), 2),
            (format!("{a} one\n"), 1),
            (format!("{}  one\n", &a[1..]), 1),
            (format!("{a}  \n"), 1),
        ] {
            assert_eq!(parse(text.clone()), Err(SumsError::Line { number }), "{text}");
        }
        assert_eq!(
            Sums::parse(Algorithm::Sha512, format!("{a}  one\n").as_bytes(), Some("one")),
            Err(SumsError::Line { number: 1 })
        );
        assert_eq!(Sums::parse(Algorithm::Sha512, b"\xff", None), Err(SumsError::NotText));
    }

    #[test]
    fn tagged_lines_comments_and_a_digest_alone_are_read() {
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let text = format!("# x (1).qcow2: 5 bytes\nSHA256 (x (1).qcow2) = {a}\n# y: 6 bytes\nSHA256 (y) = {b}\n");
        let sums = Sums::parse(Algorithm::Sha256, text.as_bytes(), None).unwrap();
        let files: Vec<(&str, String)> = sums.files().map(|(name, digest)| (name, digest.hex())).collect();
        assert_eq!(files, [("x (1).qcow2", a.clone()), ("y", b)]);
        let sole = Sums::parse(Algorithm::Sha256, format!("{a}\n").as_bytes(), Some("disk")).unwrap();
        assert_eq!(sole.digest("disk").unwrap().hex(), a);
        for bad in [format!("MD5 (x) = {a}\n"), format!("SHA256 (x) {a}\n"), format!("SHA256 () = {a}\n"), a] {
            assert_eq!(
                Sums::parse(Algorithm::Sha256, bad.as_bytes(), None),
                Err(SumsError::Line { number: 1 }),
                "{bad}"
            );
        }
    }
}
