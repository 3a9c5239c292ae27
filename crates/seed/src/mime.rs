//! Several files of user-data as one: a MIME message with a part for each.
//!
//! Two cloud-configs, `a.yaml` and `b.yaml`, and a script become this; the text on the right is a comment:
//!
//! ```text
//! MIME-Version: 1.0
//! Content-Type: multipart/mixed; boundary="imgraft-f524…"
//!                                                            an empty line ends the headers
//! --imgraft-f524…                                            each part begins with `--` and the boundary
//! Content-Type: text/cloud-config; charset="utf-8"           what cloud-init does with the part
//! Content-Transfer-Encoding: 7bit                            as it is; binary content would be base64
//! Content-Disposition: attachment; filename="002-b.yaml"
//! Merge-Type: list(prepend)+dict(no_replace,recurse_list)    how to merge it with the cloud-configs before it
//!
//! #cloud-config
//! packages: [curl]
//!
//! --imgraft-f524…
//! …                                                          001-a.yaml in the same way, then 003-c.sh:
//! Content-Type: text/x-shellscript; charset="utf-8"
//! …
//! --imgraft-f524…--                                          two more dashes end the message
//! ```
//!
//! No line of a part may be the boundary, so the boundary is a digest of all parts. By cloud-init's own rules a list in
//! one cloud-config replaces the same list in another. With this merge type, lists are joined, and for single values the
//! file that was given last wins, because the cloud-configs are written into the message in reverse order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

/// How many bytes of a file cloud-init searches for the header that makes it a MIME message.
const MESSAGE_HEADER_BYTES: usize = 4096;
/// The longest line of a part that is not encoded, in bytes: RFC 5322, "Line Length Limits".
const MAX_LINE_BYTES: usize = 998;
/// Digits of base64 in a line: RFC 2045, "Base64 Content-Transfer-Encoding".
const BASE64_LINE_DIGITS: usize = 76;
/// The longest name of a part, in characters.
const MAX_NAME_CHARACTERS: usize = 64;

/// Puts later lists before earlier ones and keeps earlier values: for parts in reverse order.
const LAST_FIRST: &str = "list(prepend)+dict(no_replace,recurse_list)";
/// Puts later lists after earlier ones, and later strings win.
const FIRST_FIRST: &str = "list(append)+dict(no_replace,recurse_list,recurse_str)+str()";

/// What a file of user-data is, according to its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `#cloud-config`
    CloudConfig,
    /// `#cloud-config-archive`: parts as a list of YAML.
    CloudConfigArchive,
    /// `#cloud-config-jsonp`: a JSON patch of the cloud-configs before it.
    CloudConfigPatch,
    /// `#!`: a program that runs once, late in the first boot.
    Script,
    /// `#cloud-boothook`: a program that runs early in each boot.
    Boothook,
    /// `#include`: addresses of more user-data.
    Include,
    /// `#include-once`: the same, fetched once.
    IncludeOnce,
    /// `#part-handler`: a program that handles parts of other types.
    PartHandler,
    /// `## template: jinja`: a cloud-config or a script with placeholders that cloud-init fills in.
    Jinja,
    /// A MIME message with parts of its own.
    Message,
    /// Any of the others, compressed.
    Gzip,
}

/// How files begin, in small letters, longer ones before their own prefixes.
const BEGINNINGS: [(&str, Kind); 9] = [
    ("#cloud-config-archive", Kind::CloudConfigArchive),
    ("#cloud-config-jsonp", Kind::CloudConfigPatch),
    ("## template: jinja", Kind::Jinja),
    ("#cloud-boothook", Kind::Boothook),
    ("#cloud-config", Kind::CloudConfig),
    ("#include-once", Kind::IncludeOnce),
    ("#part-handler", Kind::PartHandler),
    ("#include", Kind::Include),
    ("#!", Kind::Script),
];

impl Kind {
    /// What cloud-init reads a file as; `None` if it would ignore it.
    pub fn of(content: &[u8]) -> Option<Self> {
        if content.starts_with(&[0x1f, 0x8b]) {
            return Some(Self::Gzip);
        }
        let text = std::str::from_utf8(content).ok()?;
        // Python's blanks, too.
        let text =
            text.trim_start_matches(|letter: char| letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter));
        let begins = |beginning: &str| {
            text.as_bytes().get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
        };
        let kind = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning)).map(|&(_, kind)| kind);
        kind.or_else(|| is_message(content).then_some(Self::Message))
    }

    /// Its type, as in the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::CloudConfig => "text/cloud-config",
            Self::CloudConfigArchive => "text/cloud-config-archive",
            Self::CloudConfigPatch => "text/cloud-config-jsonp",
            Self::Script => "text/x-shellscript",
            Self::Boothook => "text/cloud-boothook",
            Self::Include => "text/x-include-url",
            Self::IncludeOnce => "text/x-include-once-url",
            Self::PartHandler => "text/part-handler",
            Self::Jinja => "text/jinja2",
            Self::Message => "multipart/mixed",
            Self::Gzip => "application/gzip",
        }
    }

    /// Whether it is, or may turn out to be, a cloud-config to which a merge header applies.
    fn is_merged(self) -> bool {
        matches!(self, Self::CloudConfig | Self::Jinja)
    }

    /// Whether it may contain cloud-configs to which our merge header does not apply.
    fn may_hold_others(self) -> bool {
        matches!(
            self,
            Self::CloudConfigArchive
                | Self::CloudConfigPatch
                | Self::Include
                | Self::IncludeOnce
                | Self::Message
                | Self::Gzip
        )
    }
}

fn is_message(content: &[u8]) -> bool {
    let start = &content[..content.len().min(MESSAGE_HEADER_BYTES)];
    start.to_ascii_lowercase().windows(13).any(|window| window == b"mime-version:")
}

/// A file of user-data or vendor-data that becomes a part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    name: String,
    kind: Kind,
    content: Vec<u8>,
}

impl Part {
    /// A part, whose kind follows from its content; `None` if cloud-init would ignore it.
    /// cloud-init shows the name in its log.
    pub fn new(name: &str, content: Vec<u8>) -> Option<Self> {
        Some(Self { name: name.to_owned(), kind: Kind::of(&content)?, content })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it defines itself how it is merged with the cloud-configs before it.
    fn says_how_to_merge(&self) -> bool {
        ["merge_how", "merge_type"].iter().any(|key| {
            let key = key.as_bytes();
            self.content.windows(key.len()).any(|window| window == key)
        })
    }
}

/// The message with these parts. The same parts give the same bytes.
///
/// Scripts run in the order of the parts. Cloud-configs are merged: their lists are joined in the order of the
/// parts, their maps are joined key by key, and of other values the last one stays. By default cloud-init lets
/// the last part replace a whole key, lists included. If a part has its own `merge_how`, or contains
/// parts itself, that is respected: of values other than strings the first one stays then.
pub fn multipart(parts: &[Part]) -> Vec<u8> {
    let boundary = boundary(parts);
    let mut message =
        format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n").into_bytes();
    for (number, part, merge) in arranged(parts) {
        message.extend(format!("--{boundary}\n").bytes());
        push_part(&mut message, number, part, merge);
    }
    message.extend(format!("--{boundary}--\n").bytes());
    message
}

/// The parts in the order of the message: each with its number and its merge rule.
///
/// No rule of cloud-init both joins lists and lets a later number or `true` replace an earlier one. But one rule
/// keeps earlier values and puts later lists first: so the cloud-configs are written in reverse order.
fn arranged(parts: &[Part]) -> Vec<(usize, &Part, Option<&'static str>)> {
    let merged: Vec<usize> = (0..parts.len()).filter(|&index| parts[index].kind.is_merged()).collect();
    let keeps_order =
        parts.iter().any(|part| part.kind.may_hold_others() || (part.kind.is_merged() && part.says_how_to_merge()));
    let mut order: Vec<usize> = (0..parts.len()).collect();
    if !keeps_order {
        for (&slot, &index) in merged.iter().zip(merged.iter().rev()) {
            order[slot] = index;
        }
    }
    let is_alone = merged.len() < 2 && !keeps_order;
    let rule = if keeps_order { FIRST_FIRST } else { LAST_FIRST };
    let merge = |part: &Part| (part.kind.is_merged() && !is_alone && !part.says_how_to_merge()).then_some(rule);
    order.into_iter().map(|index| (index + 1, &parts[index], merge(&parts[index]))).collect()
}

fn push_part(message: &mut Vec<u8>, number: usize, part: &Part, merge: Option<&str>) {
    let content = &part.content;
    if part.kind == Kind::Message {
        // Its own headers are the part's.
        message.extend(content);
        message.push(b'\n');
        return;
    }
    let is_plain = is_plain(content);
    let charset = if part.kind == Kind::Gzip { "" } else { "; charset=\"utf-8\"" };
    message.extend(format!("Content-Type: {}{charset}\n", part.kind.content_type()).bytes());
    message.extend(format!("Content-Transfer-Encoding: {}\n", if is_plain { "7bit" } else { "base64" }).bytes());
    message
        .extend(format!("Content-Disposition: attachment; filename=\"{}\"\n", file_name(number, &part.name)).bytes());
    if let Some(merge) = merge {
        message.extend(format!("Merge-Type: {merge}\n").bytes());
    }
    message.push(b'\n');
    if is_plain {
        message.extend(content);
    } else {
        for (line, bytes) in content.chunks(BASE64_LINE_DIGITS / 4 * 3).enumerate() {
            message.extend(if line > 0 { "\n" } else { "" }.bytes().chain(BASE64.encode(bytes).bytes()));
        }
    }
    // The newline before a boundary belongs to it.
    message.push(b'\n');
}

/// Whether every MIME reader accepts the content as it is.
fn is_plain(content: &[u8]) -> bool {
    content.iter().all(|&byte| matches!(byte, b'\t' | b'\n' | b' '..=b'~'))
        && content.split(|&byte| byte == b'\n').all(|line| line.len() <= MAX_LINE_BYTES)
}

/// The number comes first, because cloud-init stores scripts under these names and runs them in the order of names.
fn file_name(number: usize, name: &str) -> String {
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let name: String =
        name.chars().take(MAX_NAME_CHARACTERS).map(|letter| if is_safe(letter) { letter } else { '_' }).collect();
    format!("{number:03}-{name}")
}

/// A line that no part has, made from a digest of all parts.
fn boundary(parts: &[Part]) -> String {
    let mut digest = Sha256::new_with_prefix("imgraft parts 1");
    for part in parts {
        for bytes in [part.name.as_bytes(), &part.content] {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
    }
    let digits: String = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // Nobody can write a text that contains its own digest.
    format!("imgraft-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, content: &str) -> Part {
        Part::new(name, content.as_bytes().to_vec()).unwrap()
    }

    /// Names of the parts and their rules, as they stand.
    fn stand(parts: &[Part]) -> Vec<(usize, Option<&'static str>)> {
        arranged(parts).into_iter().map(|(number, _, merge)| (number, merge)).collect()
    }

    #[test]
    fn the_longest_beginning_says_what_a_file_is() {
        for (content, kind) in [
            ("#cloud-config\n", Kind::CloudConfig),
            ("\n  #Cloud-Config\n", Kind::CloudConfig),
            ("#cloud-config-archive\n", Kind::CloudConfigArchive),
            ("#cloud-config-jsonp\n", Kind::CloudConfigPatch),
            ("#!/bin/sh\n", Kind::Script),
            ("#cloud-boothook\n#!/bin/sh\n", Kind::Boothook),
            ("#include-once\n", Kind::IncludeOnce),
            ("#include http://x\n", Kind::Include),
            ("#part-handler\n", Kind::PartHandler),
            ("## template: jinja\n#cloud-config\n", Kind::Jinja),
            ("Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n", Kind::Message),
            ("#cloud-config\n# mime-version: 1\n", Kind::CloudConfig),
            ("\x1f\u{8b}", Kind::Gzip),
        ] {
            let bytes = if kind == Kind::Gzip { vec![0x1f, 0x8b, 8] } else { content.as_bytes().to_vec() };
            assert_eq!(Kind::of(&bytes), Some(kind), "{content}");
        }
        for content in [&b"users: []\n"[..], b"", b"#", b"# cloud-config\n", b"\xef\xbb\xbf#cloud-config\n", b"#!\xff"]
        {
            assert_eq!(Kind::of(content), None, "{content:?}");
        }
    }

    #[test]
    fn cloud_configs_go_in_last_first_and_the_others_where_they_are() {
        let (a, b, script) = (part("a", "#cloud-config\n"), part("b", "#cloud-config\n{}"), part("c", "#!/bin/sh\n"));
        assert_eq!(
            stand(&[a.clone(), script.clone(), b.clone()]),
            [(3, Some(LAST_FIRST)), (2, None), (1, Some(LAST_FIRST))]
        );
        assert_eq!(stand(&[a.clone(), script]), [(1, None), (2, None)]);
        let own = part("own", "#cloud-config\nmerge_how: list(append)\n");
        assert_eq!(
            stand(&[a.clone(), own.clone(), b.clone()]),
            [(1, Some(FIRST_FIRST)), (2, None), (3, Some(FIRST_FIRST))]
        );
        let include = part("i", "#include\nhttp://x\n");
        assert_eq!(stand(&[include, b]), [(1, None), (2, Some(FIRST_FIRST))]);
    }

    #[test]
    fn lines_of_base64_have_76_digits() {
        let content = [&[0x1f, 0x8b, 8][..], &[0xff; 55]].concat();
        let mut message = Vec::new();
        push_part(&mut message, 1, &Part::new("a.gz", content).unwrap(), None);
        let text = String::from_utf8(message).unwrap();
        assert!(text.ends_with(&format!("\n\nH4sI{}\n/w==\n", "/".repeat(72))), "{text}");
    }

    #[test]
    fn names_are_safe_and_keep_their_order() {
        assert_eq!(file_name(7, "a b\"/ö.sh"), "007-a_b___.sh");
        assert_eq!(file_name(1, &"x".repeat(99)).len(), 68);
    }
}
