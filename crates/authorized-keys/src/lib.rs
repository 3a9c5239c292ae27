//! SSH public keys, as `authorized_keys` has them: one key a line.
//!
//! ```text
//! no-pty,command="uptime" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@home
//! └────── options ──────┘ └─ type ──┘ └──────────────────── the key in base64 ───────────────────────────┘ └ comment
//! ```
//!
//! Options and the comment may be missing. The base64 text holds 51 bytes, which are two fields, each after its length:
//!
//! ```text
//! 00 00 00 0b  73 73 68 2d 65 64 32 35 35 31 39    11 bytes: `ssh-ed25519`, the type again
//! 00 00 00 20  3a c0 4b de … 6a e8 7f              32 bytes: the key
//! ```
//!
//! Each type has its own fields, and a key ends where its last field does: a key that lost a few letters when it was
//! copied is noticed by that. A certificate begins in the same way; what follows its type is not looked at.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// As OpenSSH decodes base64: with padding, and whatever the last letter's unused bits are.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What a field of a key has to be.
enum Field {
    Text(&'static [u8]),
    Bytes(usize),
    Any,
}

use Field::{Any, Bytes, Text};

/// The types that OpenSSH knows, and the fields after the type's name: RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4 and
/// OpenSSH's `PROTOCOL.u2f`. A point of a curve is two numbers after a byte of 4.
const TYPES: [(&str, &[Field]); 8] = [
    ("ssh-ed25519", &[Bytes(32)]),
    ("ssh-rsa", &[Any, Any]),
    ("ecdsa-sha2-nistp256", &[Text(b"nistp256"), Bytes(65)]),
    ("ecdsa-sha2-nistp384", &[Text(b"nistp384"), Bytes(97)]),
    ("ecdsa-sha2-nistp521", &[Text(b"nistp521"), Bytes(133)]),
    ("sk-ssh-ed25519@openssh.com", &[Bytes(32), Any]),
    ("sk-ecdsa-sha2-nistp256@openssh.com", &[Text(b"nistp256"), Bytes(65), Any]),
    ("ssh-dss", &[Any, Any, Any, Any]),
];

/// The types of certificates.
const CERTIFICATES: [&str; 7] = [
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
];

/// A key. Two lines with equal keys let the same person in, whatever their options and comments are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The type, such as `ssh-ed25519`.
    pub kind: &'static str,
    /// The key's bytes.
    pub bytes: Vec<u8>,
}

impl Key {
    /// Whether this is a certificate: a key that an authority has signed.
    pub fn is_certificate(&self) -> bool {
        CERTIFICATES.contains(&self.kind)
    }

    /// The key in a line of `authorized_keys`.
    ///
    /// # Errors
    ///
    /// [`Problem`] if the line is not a key that OpenSSH accepts.
    pub fn parse(line: &str) -> Result<Self, Problem> {
        let line = line.trim();
        if line.starts_with("-----BEGIN") || line.starts_with("---- BEGIN") {
            return Err(if line.contains("PRIVATE") { Problem::Private } else { Problem::OtherFormat });
        }
        let Some((kind, rest)) = split(line) else {
            let is_path = line.starts_with(['/', '~', '.']) || line.ends_with(".pub");
            return Err(if is_path { Problem::Path } else { Problem::NoType });
        };
        let encoded = rest.split_whitespace().next().ok_or(Problem::Nothing { kind })?;
        let bytes = BASE64.decode(encoded).map_err(|_| Problem::Base64)?;
        check(kind, &bytes)?;
        Ok(Self { kind, bytes })
    }
}

/// Why a line is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A private key.
    #[error("this is a private key, which must stay secret")]
    Private,
    /// A key in the format of RFC 4716 or of a PEM file.
    #[error("this key is not in OpenSSH's format")]
    OtherFormat,
    /// The name of a file.
    #[error("this is the name of a file, not a key")]
    Path,
    /// No type of a key.
    #[error("a key begins with its type, as in `ssh-ed25519 AAAAC3… ada@example.org`")]
    NoType,
    /// Only the type.
    #[error("nothing follows `{kind}`")]
    Nothing {
        /// The type.
        kind: &'static str,
    },
    /// Something else than base64 after the type.
    #[error("the key is not base64")]
    Base64,
    /// A field ends after the key does.
    #[error("the key is cut off")]
    CutOff,
    /// A key of another type than the line says.
    #[error("the key says that it is `{kind}`, but it is of type `{inner}`")]
    OtherType {
        /// The type in the line.
        kind: &'static str,
        /// The type in the key, without control characters.
        inner: String,
    },
    /// Fields that a key of this type does not have.
    #[error("the content of this key is not that of an `{kind}` key")]
    Fields {
        /// The type.
        kind: &'static str,
    },
}

impl Problem {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Private => "the public key is in the file whose name ends in `.pub`",
            Self::OtherFormat => "`ssh-keygen -i -f FILE` converts it",
            Self::Path => "the content of that file is needed here",
            Self::NoType | Self::Nothing { .. } | Self::CutOff => {
                "the whole line of the file whose name ends in `.pub` is needed"
            }
            Self::Base64 => "a part of it may be missing",
            Self::OtherType { .. } | Self::Fields { .. } => return None,
        })
    }
}

/// The type of a key and what follows it. Options before the type are skipped; they have blanks in quotes only.
fn split(line: &str) -> Option<(&'static str, &str)> {
    let typed = |text: &'_ str| {
        let kind = text.split([' ', '\t']).next()?;
        TYPES.iter().map(|(name, _)| *name).chain(CERTIFICATES).find(|name| *name == kind)
    };
    if let Some(kind) = typed(line) {
        return Some((kind, &line[kind.len()..]));
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    let end = line.find(|letter| {
        is_quoted ^= letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        !is_quoted && matches!(letter, ' ' | '\t')
    })?;
    let rest = line[end..].trim_start_matches([' ', '\t']);
    typed(rest).map(|kind| (kind, &rest[kind.len()..]))
}

/// Takes a field off `bytes`.
fn field<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Problem> {
    let (length, rest) = bytes.split_first_chunk().ok_or(Problem::CutOff)?;
    let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(Problem::CutOff)?;
    *bytes = rest;
    Ok(field)
}

fn check(kind: &'static str, bytes: &[u8]) -> Result<(), Problem> {
    let mut rest = bytes;
    let inner = field(&mut rest)?;
    if inner != kind.as_bytes() {
        let inner = String::from_utf8_lossy(inner).chars().take(40).collect::<String>();
        return Err(Problem::OtherType { kind, inner: inner.escape_default().to_string() });
    }
    let Some((_, fields)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        return if rest.is_empty() { Err(Problem::CutOff) } else { Ok(()) };
    };
    for expected in *fields {
        let found = field(&mut rest)?;
        let is_right = match expected {
            Text(text) => found == *text,
            Bytes(length) => found.len() == *length,
            Any => !found.is_empty(),
        };
        if !is_right {
            return Err(Problem::Fields { kind });
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Problem::Fields { kind }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@example.org";

    #[test]
    fn options_and_comments_make_no_other_key() {
        let key = Key::parse(KEY).unwrap();
        assert_eq!((key.kind, key.bytes.len(), key.is_certificate()), ("ssh-ed25519", 51, false));
        for line in [
            format!("restrict,command=\"a b\" {KEY}"),
            format!("command=\"say \\\"a b\\\"\"  {KEY}"),
            format!("no-pty\t{KEY}"),
            KEY.replace(' ', "\t"),
            KEY.replace(' ', "  "),
            format!("  {}\r\n", KEY.rsplit_once(' ').unwrap().0),
        ] {
            assert_eq!(Key::parse(&line), Ok(key.clone()), "{line}");
        }
    }

    #[test]
    fn a_problem_says_what_the_text_is_instead() {
        for (line, problem) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3", Problem::Private),
            ("---- BEGIN SSH2 PUBLIC KEY ----", Problem::OtherFormat),
            ("~/.ssh/id_ed25519", Problem::Path),
            ("id_ed25519.pub", Problem::Path),
            ("hello", Problem::NoType),
            ("ssh-foo AAAA", Problem::NoType),
            ("", Problem::NoType),
            ("ssh-rsa", Problem::Nothing { kind: "ssh-rsa" }),
            ("ssh-ed25519 AAAA*C3", Problem::Base64),
            ("ssh-ed25519 AAAA", Problem::CutOff),
            (&KEY[..60], Problem::CutOff),
        ] {
            assert_eq!(Key::parse(line), Err(problem), "{line}");
        }
        let other = Key::parse(&KEY.replace("ssh-ed25519 ", "ssh-rsa ")).unwrap_err().to_string();
        assert_eq!(other, "the key says that it is `ssh-rsa`, but it is of type `ssh-ed25519`");
        // 31 bytes of a key, the last byte of a longer one being no part of it.
        let bytes = |key: &[u8]| [&b"\0\0\0\x0bssh-ed25519\0\0\0"[..], key].concat();
        for key in [&bytes(&[&[31][..], &[1; 31]].concat()), &bytes(&[&[32][..], &[1; 33]].concat())] {
            let line = format!("ssh-ed25519 {}", BASE64.encode(key));
            assert_eq!(Key::parse(&line), Err(Problem::Fields { kind: "ssh-ed25519" }));
        }
    }

    /// Each type, whole and changed: OpenSSH's own program says the same of it.
    #[test]
    fn ssh_keygen_accepts_the_same_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let keygen =
            |arguments: &[&str], file: &str| testkit::judge::judge("ssh-keygen").args(arguments).arg(path(file));
        let mut lines = Vec::new();
        for (kind, bits) in [("ed25519", "256"), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")]
        {
            let name = format!("{kind}{bits}");
            keygen(&["-q", "-t", kind, "-b", bits, "-N", "", "-C", "ada at home", "-f"], &name).succeed();
            let (public, authority) = (format!("{name}.pub"), path("ed25519256"));
            keygen(&["-q", "-I", "id", "-n", "ada", "-s", authority.to_str().unwrap()], &public).succeed();
            for name in [public, format!("{name}-cert.pub")] {
                lines.push(std::fs::read_to_string(path(&name)).unwrap());
            }
        }
        // A security key is needed to make these two; what they hold besides is the point and the key from above.
        let bytes = |line: &str| Key::parse(line).unwrap().bytes;
        let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        for (kind, fields, from) in
            [("sk-ssh-ed25519@openssh.com", 4 + 11, 0), ("sk-ecdsa-sha2-nistp256@openssh.com", 4 + 19, 4)]
        {
            let content = [&string(kind.as_bytes()), &bytes(&lines[from])[fields..], &string(b"ssh:")].concat();
            lines.push(format!("{kind} {}\n", BASE64.encode(content)));
        }
        let mut accepted = 0;
        for line in lines {
            let mut words = line.split_whitespace();
            let (kind, encoded) = (words.next().unwrap(), words.next().unwrap());
            let longer = BASE64.encode([&BASE64.decode(encoded).unwrap()[..], b"x"].concat());
            for (text, is_of_certificates) in [
                (line.clone(), true),
                (format!("command=\"a \\\"b c\",no-pty {line}"), true),
                (format!("{kind}\t{encoded}"), true),
                (format!("{kind} {longer}"), false),
                (format!("{kind} {}", &encoded[..encoded.len() / 8 * 4]), false),
                (format!("{kind} {}", &encoded[..encoded.len() / 8 * 4 - 1]), true),
                (format!("ssh-rsa {}", BASE64.encode(string(b"ssh-rsa"))), true),
            ] {
                if kind.contains("-cert-") && !is_of_certificates {
                    continue;
                }
                std::fs::write(path("one"), format!("{}\n", text.trim_end())).unwrap();
                let verdict = keygen(&["-l", "-f"], "one").run();
                let found = Key::parse(&text);
                assert_eq!(found.is_ok(), verdict.status.success(), "{text}: {found:?}, {verdict}");
                accepted += usize::from(verdict.status.success());
            }
        }
        assert_eq!(accepted, 3 * 12);
    }
}
