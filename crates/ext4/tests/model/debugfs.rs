//! What the model has, held against what `debugfs` finds under each path.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use ext4::{Special, Time};
use testkit::judge::judge;

use crate::tree::{Id, Kind, Limits, Object, Tree};

/// Larger files are not taken out: `debugfs` writes holes as zeros.
const WHOLE_BYTES: u64 = 1 << 20;
const EXT4_INLINE_DATA_FL: u32 = 0x1000_0000;
/// What `debugfs` puts before each command that it took from a file.
const PROMPT: &[u8] = b"debugfs: ";

/// `debugfs` finds each path, and what is there is as in the model.
pub(crate) fn assert_debugfs_shows(image: &Path, tree: &Tree) {
    let folder = tempfile::tempdir_in(image.parent().unwrap()).unwrap();
    let mut script = Vec::new();
    let mut asked: Vec<(Vec<u8>, Id)> = Vec::new();
    tree.walk(&mut |path, id| {
        let path = [b"/", &path.bytes()[..]].concat();
        script.extend_from_slice(&[b"stat \"", &path[..], b"\"\n"].concat());
        if is_taken_out(&tree.objects[&id]) {
            script.extend_from_slice(&[b"dump \"", &path[..], b"\" "].concat());
            writeln!(script, "{}", folder.path().join(asked.len().to_string()).display()).unwrap();
        }
        asked.push((path, id));
    });
    let commands = folder.path().join("commands");
    std::fs::write(&commands, &script).unwrap();
    let verdict = judge("debugfs").arg("-f").args([&commands, image]).succeed();
    let complaints: Vec<&str> = verdict.stderr.lines().filter(|line| !line.starts_with("debugfs 1.")).collect();
    assert!(complaints.is_empty(), "debugfs: {complaints:?}");
    let stats: Vec<&[u8]> = answers(&verdict.stdout_bytes).filter(|answer| answer.starts_with(b"stat ")).collect();
    assert_eq!(stats.len(), asked.len(), "debugfs answers each question");
    for (number, (stat, (path, id))) in stats.into_iter().zip(asked).enumerate() {
        let object = &tree.objects[&id];
        let stat = Stat::parse(stat);
        let place = path.escape_ascii().to_string();
        stat.assert_is(&place, object, &tree.limits);
        if !object.is_directory() {
            assert_eq!(stat.number("Links:"), object.names, "{place}: links, says debugfs");
        }
        if is_taken_out(object) {
            let mut found = std::fs::read(folder.path().join(number.to_string())).unwrap();
            if stat.has_inline_data() {
                // All the room that the inode has for it is taken out.
                found.truncate(stat.number("Size:") as usize);
            }
            assert_content(&found, object, &place);
        }
    }
}

fn is_taken_out(object: &Object) -> bool {
    match &object.kind {
        Kind::File(content) => content.size_bytes() <= WHOLE_BYTES,
        // A shorter target is in the inode; `stat` says it.
        Kind::Symlink(target) => target.len() >= 60,
        _ => false,
    }
}

fn assert_content(found: &[u8], object: &Object, place: &str) {
    match &object.kind {
        Kind::File(content) => {
            assert_eq!(found.len() as u64, content.size_bytes(), "{place}: size, debugfs takes out");
            assert_eq!(crc32c::crc32c(found), content.crc32c(), "{place}: content, debugfs takes out");
        }
        Kind::Symlink(target) => assert_eq!(found, target, "{place}: debugfs takes out"),
        _ => {}
    }
}

/// What was said to each command, the command in front.
fn answers(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> = (0..output.len())
        .filter(|at| output[*at..].starts_with(PROMPT) && (*at == 0 || output[at - 1] == b'\n'))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([output.len()]).collect::<Vec<_>>();
    starts.into_iter().zip(ends).map(|(start, end)| &output[start + PROMPT.len()..end])
}

/// An answer to `stat`.
struct Stat {
    text: String,
}

impl Stat {
    fn parse(answer: &[u8]) -> Self {
        Self { text: String::from_utf8_lossy(answer).into_owned() }
    }

    /// The word behind a label; the first such label counts.
    fn word(&self, label: &str) -> &str {
        let (_, rest) = self.text.split_once(label).unwrap_or_else(|| panic!("no `{label}`: {}", self.text));
        rest.split_whitespace().next().unwrap_or_default()
    }

    fn number(&self, label: &str) -> u64 {
        self.word(label).parse().unwrap_or_else(|_| panic!("`{label}`: {}", self.text))
    }

    fn has_inline_data(&self) -> bool {
        let flags = u32::from_str_radix(self.word("Flags:").trim_start_matches("0x"), 16).unwrap();
        flags & EXT4_INLINE_DATA_FL != 0
    }

    fn time(&self, label: &str) -> Time {
        let (low, extra) = self.word(label).split_once(':').unwrap_or((self.word(label), "0"));
        let low = u32::from_str_radix(low.trim_start_matches("0x"), 16).unwrap();
        let extra = u32::from_str_radix(extra, 16).unwrap();
        Time { seconds: i64::from(low as i32) + (i64::from(extra & 3) << 32), nanoseconds: extra >> 2 }
    }

    fn assert_is(&self, place: &str, object: &Object, limits: &Limits) {
        let text = &self.text;
        let kind = match &object.kind {
            Kind::File(_) => "Type: regular ",
            Kind::Symlink(_) => "Type: symlink ",
            Kind::Directory { .. } => "Type: directory ",
            Kind::Special(Special::CharDevice { .. }) => "Type: character special ",
            Kind::Special(Special::BlockDevice { .. }) => "Type: block special ",
            Kind::Special(Special::Fifo) => "Type: FIFO ",
            Kind::Special(Special::Socket) => "Type: socket ",
        };
        assert!(text.contains(kind), "{place}: {kind}: {text}");
        assert_eq!(u16::from_str_radix(self.word("Mode:"), 8), Ok(object.permissions), "{place}: {text}");
        let owner = (u64::from(object.uid), u64::from(object.gid));
        assert_eq!((self.number("User:"), self.number("Group:")), owner, "{place}: {text}");
        let times = (self.time("ctime:"), self.time("atime:"), self.time("mtime:"));
        assert_eq!(times, (object.changed, object.accessed, object.modified), "{place}: {text}");
        match &object.kind {
            Kind::File(content) => assert_eq!(self.number("Size:"), content.size_bytes(), "{place}: {text}"),
            Kind::Symlink(target) => {
                assert_eq!(self.number("Size:"), target.len() as u64, "{place}: {text}");
                let target = format!("Fast link dest: \"{}\"", String::from_utf8_lossy(target));
                // Inline data has a way of its own to say this.
                assert!(self.number("Size:") >= 60 || text.contains(&target), "{place}: {target}: {text}");
            }
            Kind::Special(Special::CharDevice { major, minor } | Special::BlockDevice { major, minor }) => {
                let numbers = format!("{major:02}:{minor:02}");
                assert_eq!(self.word("Device major/minor number:"), numbers, "{place}: {text}");
            }
            Kind::Directory { .. } => assert_eq!(self.number("Size:") % limits.block_bytes, 0, "{place}: {text}"),
            Kind::Special(_) => {}
        }
        assert_eq!(self.xattrs(), names_and_lengths(object), "{place}: {text}");
    }

    /// Names of attributes and how long their values are; what is inline data to `debugfs` is none.
    fn xattrs(&self) -> BTreeMap<Vec<u8>, u64> {
        let Some((_, list)) = self.text.split_once("Extended attributes:\n") else { return BTreeMap::new() };
        let lines = list.lines().map_while(|line| line.strip_prefix("  "));
        let entry = |line: &str| {
            let (name, rest) = line.split_once(" (")?;
            Some((unescaped(name), rest.split_once(')')?.0.parse().ok()?))
        };
        let entries = lines.map(|line| entry(line).unwrap_or_else(|| panic!("`{line}`: {}", self.text)));
        entries.filter(|(name, _)| name != b"system.data").collect()
    }
}

fn names_and_lengths(object: &Object) -> BTreeMap<Vec<u8>, u64> {
    object.xattrs.iter().map(|(name, value)| (name.clone(), bytes_on_disk(name, value))).collect()
}

/// A name as `debugfs` shows it: as it is, with octal numbers for bytes that are not ASCII, or where there
/// are many of those all in hexadecimal numbers.
fn unescaped(shown: &str) -> Vec<u8> {
    let numbers: Option<Vec<u8>> = shown.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    if let Some(bytes) = numbers.filter(|_| shown.ends_with(' ')) {
        return bytes;
    }
    let mut bytes = Vec::new();
    let mut rest = shown;
    while let Some(first) = rest.bytes().next() {
        let octal = rest.get(1..4).filter(|_| first == b'\\').and_then(|octal| u8::from_str_radix(octal, 8).ok());
        bytes.push(octal.unwrap_or(first));
        rest = &rest[if octal.is_some() { 4 } else { 1 }..];
    }
    bytes
}

/// How long a value is where it is stored: entries of ACLs have an id only where that is someone's.
fn bytes_on_disk(name: &[u8], value: &[u8]) -> u64 {
    if !name.starts_with(b"system.posix_acl_") {
        return value.len() as u64;
    }
    4 + value[4..].chunks(8).map(|entry| if entry[4..] == [0xFF; 4] { 4 } else { 8 }).sum::<u64>()
}
