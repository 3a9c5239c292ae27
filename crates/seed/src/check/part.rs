//! User-data and vendor-data: what cloud-init unpacks of it, and each part by its kind.

use std::io::Read;

use super::finding::{Finding, Findings};
use super::header::{self, Kind};
use super::mime::{self, Part};
use super::{Checker, Document, Role, archive, cloud_config, jinja, script};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The largest size that a compressed document may unpack to.
const MAX_UNPACKED_BYTES: u64 = 16 << 20;
/// EC2's limit, which other clouds have adopted.
const MAX_EC2_BYTES: usize = 16 << 10;
/// The MIME types of compressed parts.
const PACKED_TYPES: [&str; 8] = [
    "application/gzip",
    "application/gzip-compressed",
    "application/gzipped",
    "application/x-compress",
    "application/x-compressed",
    "application/x-gunzip",
    "application/x-gzip",
    "application/x-gzip-compressed",
];
/// The MIME types that leave it to the part's first line.
const OPEN_TYPES: [&str; 2] = ["text/plain", "text/x-not-multipart"];
/// The MIME type of scripts. The part's first line decides here too, if cloud-init knows it.
const SCRIPT_TYPE: &str = "text/x-shellscript";

/// A text in which a part is.
#[derive(Clone, Copy)]
pub(super) struct Place<'text> {
    /// The part itself.
    pub(super) text: &'text str,
    pub(super) source: usize,
    /// Where in the source it begins.
    pub(super) base: usize,
    pub(super) role: Role,
}

impl<'text> Place<'text> {
    pub(super) fn findings(&self) -> Findings<'text> {
        Findings::within(self.text, self.source, self.base)
    }
}

/// Looks at a whole document.
pub(super) fn check(checker: &mut Checker, document: &Document<'_>) {
    if document.bytes.is_empty() {
        checker.kind("nothing");
        return;
    }
    match unpacked(document.bytes) {
        Some(Ok(bytes)) => {
            let name = format!("{} (unpacked)", document.name);
            checker.kind("gzip");
            plain(checker, &Document { name: &name, role: document.role, bytes: &bytes });
        }
        Some(Err(problem)) => {
            let source = checker.source(document.name, "");
            let mut findings = Findings::new("", source);
            findings.push(Finding::error("gzip", format!("this begins like gzip, but {problem}"), 0..0).anywhere());
            checker.add(findings);
        }
        None => plain(checker, document),
    }
    if document.bytes.len() > MAX_EC2_BYTES && document.role == Role::UserData {
        let source = checker.report.sources.len() - 1;
        let text = checker.report.sources[source].text.clone();
        let mut findings = Findings::new(&text, source);
        let message =
            format!("this is too large for EC2: size_bytes={}, the limit is {MAX_EC2_BYTES}", document.bytes.len());
        findings.push(
            Finding::note("size", message, 0..0)
                .anywhere()
                .hint("a seed on a disk may be larger; elsewhere gzip makes it smaller"),
        );
        checker.add(findings);
    }
}

/// The uncompressed content, if this is gzip.
fn unpacked(bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return None;
    }
    let mut unpacked = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).take(MAX_UNPACKED_BYTES + 1).read_to_end(&mut unpacked);
    Some(match read {
        Ok(size) if size as u64 > MAX_UNPACKED_BYTES => {
            Err(format!("it unpacks to more than {MAX_UNPACKED_BYTES} bytes"))
        }
        Ok(_) => Ok(unpacked),
        Err(error) => Err(format!("it cannot be unpacked: {error}")),
    })
}

fn plain(checker: &mut Checker, document: &Document<'_>) {
    let Some((text, source)) = checker.text(document) else { return };
    let place = Place { text, source, base: 0, role: document.role };
    if mime::is_message(text) {
        checker.kind("MIME");
        message(checker, place, document.name, text);
    } else {
        part(checker, place, document.name, "text/x-not-multipart");
    }
}

fn message(checker: &mut Checker, place: Place<'_>, name: &str, text: &str) {
    let mut findings = place.findings();
    let parts = mime::parts(text, &mut findings);
    checker.add(findings);
    for (index, found) in parts.iter().enumerate() {
        let number = index + 1;
        let name = match &found.file_name {
            Some(file) => format!("{name} (part {number}, {file})"),
            None => format!("{name} (part {number})"),
        };
        mime_part(checker, place, &name, found);
    }
}

fn mime_part(checker: &mut Checker, whole: Place<'_>, name: &str, found: &Part<'_>) {
    let span = found.span.clone();
    let refuse = |checker: &mut Checker, problem: String| {
        let mut findings = whole.findings();
        findings.push(Finding::error("mime", problem, found.header.clone()));
        checker.add(findings);
    };
    let bytes = match &found.decoded {
        Some(Ok(bytes)) => bytes.clone(),
        Some(Err(problem)) => return refuse(checker, (*problem).to_owned()),
        None => {
            let place = Place { text: &whole.text[span.clone()], base: whole.base + span.start, ..whole };
            if !PACKED_TYPES.contains(&found.content_type.as_str()) {
                return part(checker, place, name, &found.content_type);
            }
            place.text.as_bytes().to_vec()
        }
    };
    let (bytes, content_type) = match PACKED_TYPES.contains(&found.content_type.as_str()) {
        false => (bytes, found.content_type.as_str()),
        // A part whose end cannot be unpacked may have yielded something before.
        true if checker.is_full() => return,
        true => match unpacked(&bytes) {
            Some(Ok(bytes)) => (bytes, "text/plain"),
            Some(Err(problem)) => {
                refuse(checker, format!("the part claims to be compressed, but {problem}"));
                checker.has_room(name, MAX_UNPACKED_BYTES as usize);
                return;
            }
            None => return refuse(checker, "the part claims to be compressed, but it is not gzip".to_owned()),
        },
    };
    if !checker.has_room(name, bytes.len()) {
        return;
    }
    if let Some((text, source)) = checker.text(&Document { name, role: whole.role, bytes: &bytes }) {
        part(checker, Place { text, source, base: 0, role: whole.role }, name, content_type);
    }
}

/// Looks at one part of type `content_type`.
pub(super) fn part(checker: &mut Checker, place: Place<'_>, name: &str, content_type: &str) {
    let text = place.text;
    let looks = Kind::of(text);
    let is_open = OPEN_TYPES.contains(&content_type) || content_type == SCRIPT_TYPE;
    let kind = if is_open { looks.or(Kind::of_type(content_type)) } else { Kind::of_type(content_type) };
    let mut findings = place.findings();
    let Some(kind) = kind else {
        if text.trim().is_empty() {
            checker.kind("nothing");
        } else if is_open {
            checker.kind("unknown");
            header::unknown(&mut findings);
        } else {
            checker.kind("unknown");
            findings.push(unknown_type(content_type, text));
        }
        return checker.add(findings);
    };
    checker.kind(kind.name());
    if looks == Some(kind) {
        header::look(kind, &mut findings);
        if content_type == SCRIPT_TYPE && kind != Kind::Script {
            let message = format!("this does not run as a script: cloud-init reads it as a {}", kind.name());
            let start = text.len() - text.trim_start().len();
            let line = text[start..].lines().next().unwrap_or_default().trim_end().len();
            let hint = format!("the part claims to be `{SCRIPT_TYPE}`, but a script begins with `#!`");
            findings.push(Finding::warning("mime", message, start..start + line).hint(hint));
        }
    } else if let Some(looks) = looks.filter(|looks| *looks != Kind::Jinja) {
        let message = format!("the part claims to be `{content_type}`, but it begins like a {}", looks.name());
        let line = text.lines().next().unwrap_or_default().len();
        findings.push(Finding::warning("mime", message, 0..line));
    }
    match kind {
        Kind::CloudConfig => cloud_config::check(&mut findings, place.role, &mut checker.facts, place.source),
        Kind::Script => script::check(&mut findings, content_type),
        Kind::Boothook => script::check_boothook(&mut findings),
        Kind::PartHandler => script::check_part_handler(&mut findings),
        Kind::Include | Kind::IncludeOnce => script::check_include(&mut findings),
        Kind::Jsonp => script::check_jsonp(&mut findings),
        Kind::Jinja => jinja::check(checker, &mut findings, place),
        Kind::Archive => {
            checker.add(findings);
            return archive::check(checker, place, name);
        }
    }
    checker.add(findings);
}

fn unknown_type(content_type: &str, text: &str) -> Finding {
    const TYPES: [&str; 8] = [
        "text/cloud-config",
        "text/x-shellscript",
        "text/cloud-boothook",
        "text/part-handler",
        "text/x-include-url",
        "text/x-include-once-url",
        "text/cloud-config-archive",
        "text/jinja2",
    ];
    let line = text.lines().next().unwrap_or_default().len();
    let message = format!("cloud-init ignores a part of type `{content_type}`");
    let finding = Finding::warning("mime", message, 0..line).hint("a part handler in an earlier part could handle it");
    match words::did_you_mean(content_type, TYPES) {
        Some(label) => finding.label(label),
        None => finding,
    }
}
