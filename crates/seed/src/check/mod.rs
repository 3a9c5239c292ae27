//! Finds out before the first boot whether cloud-init will do with a seed what its user wants.
//!
//! [`check`] reads [`Document`]s as cloud-init would: which kind of user-data it is, what each part of it is
//! as YAML, whether that matches cloud-init's own schemas, and then what those cannot express. It reads and writes
//! no files, and no text can make it panic.
//!
//! ```
//! use seed::check::{Document, Role, Severity, check};
//!
//! let bytes = b"#cloud-config\npackage: [nginx]\n";
//! let report = check(&[Document { name: "user-data", role: Role::UserData, bytes }]);
//! let finding = &report.findings[0];
//! assert_eq!((finding.severity, report.position(finding).unwrap().line), (Severity::Error, 2));
//! assert_eq!(finding.label.as_deref(), Some("did you mean `packages`?"));
//! ```

mod archive;
mod cloud_config;
mod facts;
mod finding;
mod header;
mod jinja;
mod lint;
mod meta_data;
mod mime;
mod netplan;
mod network;
mod part;
mod schema;
mod script;
mod whole;

use crate::yaml::{Position, Positions};
use facts::Facts;
use finding::Findings;
pub use finding::{Finding, Severity};
pub use schema::CLOUD_INIT_VERSION;
pub use whole::check_seed;

/// What a document is to cloud-init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `user-data`: what the guest's user wants.
    UserData,
    /// `vendor-data`: what the platform wants.
    VendorData,
    /// The guest's network.
    NetworkConfig,
    /// What the guest is called, and whether it has booted before.
    MetaData,
}

impl Role {
    /// The name of the file that has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserData => "user-data",
            Self::VendorData => "vendor-data",
            Self::NetworkConfig => "network-config",
            Self::MetaData => "meta-data",
        }
    }

    /// What a file is by its name and its content, and how that was decided.
    pub fn guess(name: &str, bytes: &[u8]) -> (Self, &'static str) {
        header::guess(name, bytes)
    }
}

/// The program that sets up a guest's network from what cloud-init gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Renderer {
    /// Unknown: what only one of the others refuses is a warning.
    #[default]
    Unknown,
    /// netplan, as in Ubuntu: it reads version 2 itself, and cloud-init's schema does not matter.
    Netplan,
    /// Another one, whose files cloud-init writes: networkd, NetworkManager, ifupdown or sysconfig.
    CloudInit,
}

/// A file of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Document<'content> {
    /// Its name, for people.
    pub name: &'content str,
    /// What it is.
    pub role: Role,
    /// What is in it.
    pub bytes: &'content [u8],
}

/// A text with findings: a document, or a part that is packed in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, for people.
    pub name: String,
    /// Its content; invalid UTF-8 is replaced.
    pub text: String,
}

/// A document that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its name, for people.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// What cloud-init reads it as, such as `cloud-config`; for several parts, each of them.
    pub kinds: Vec<&'static str>,
}

/// What was checked and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The texts that findings are in.
    pub sources: Vec<Source>,
    /// The documents.
    pub documents: Vec<Checked>,
    /// What was found, in the order of the documents.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Where a finding begins; `None` if it is about all of a document.
    pub fn position(&self, finding: &Finding) -> Option<Position> {
        let text = &self.sources.get(finding.source)?.text;
        Some(Positions::new(text).of(finding.span.as_ref()?.start))
    }
}

/// Looks at documents of one seed, for any guest.
pub fn check(documents: &[Document<'_>]) -> Report {
    check_for(Renderer::Unknown, documents)
}

/// Looks at documents of one seed, for a guest whose network `renderer` sets up.
pub fn check_for(renderer: Renderer, documents: &[Document<'_>]) -> Report {
    let mut checker = Checker { renderer, ..Checker::default() };
    for document in documents {
        checker.report.documents.push(Checked {
            name: document.name.to_owned(),
            role: document.role,
            kinds: Vec::new(),
        });
        match document.role {
            Role::UserData | Role::VendorData => part::check(&mut checker, document),
            Role::NetworkConfig => network::check(&mut checker, document),
            Role::MetaData => meta_data::check(&mut checker, document),
        }
    }
    facts::check(&mut checker, documents);
    checker.report
}

/// A check of a seed while it runs.
#[derive(Default)]
struct Checker {
    renderer: Renderer,
    report: Report,
    facts: Facts,
    /// What was unpacked so far: parts, and bytes.
    unpacked: (usize, usize),
    /// How many archives the current part is in.
    archives: usize,
}

/// The most parts of a seed's documents, their size together in bytes, and how deep archives may be nested:
/// aliases and gzip turn a small text into a large one, each part may be an archive again, and the bounds of a
/// single text do not limit that.
const MAX_UNPACKED_PARTS: usize = 1000;
const MAX_UNPACKED_BYTES: usize = 64 << 20;
const MAX_ARCHIVES: usize = 8;

impl Checker {
    /// A further text that findings can be in.
    fn source(&mut self, name: &str, text: &str) -> usize {
        self.report.sources.push(Source { name: name.to_owned(), text: text.to_owned() });
        self.report.sources.len() - 1
    }

    /// Adds what cloud-init reads the current document, or a part of it, as.
    fn kind(&mut self, kind: &'static str) {
        if let Some(document) = self.report.documents.last_mut() {
            document.kinds.push(kind);
        }
    }

    fn add(&mut self, findings: Findings<'_>) {
        self.report.findings.extend(findings.into_vec());
    }

    /// Whether there is room for another part of `size_bytes`; if so, it is counted. The first time that there is
    /// none is reported.
    fn has_room(&mut self, name: &str, size_bytes: usize) -> bool {
        let was_full = self.is_full();
        let (parts, bytes) = self.unpacked;
        self.unpacked = (parts.saturating_add(1), bytes.saturating_add(size_bytes));
        if !was_full && self.is_full() {
            let message = format!(
                "this has too many parts: the limit is {MAX_UNPACKED_PARTS} parts and {} MiB",
                MAX_UNPACKED_BYTES >> 20
            );
            self.limit(name, message);
        }
        !self.is_full()
    }

    /// Whether a bound on what is unpacked was reached.
    fn is_full(&self) -> bool {
        let (parts, bytes) = self.unpacked;
        parts > MAX_UNPACKED_PARTS || bytes > MAX_UNPACKED_BYTES
    }

    /// Reports that a bound was reached at the part `name`.
    fn limit(&mut self, name: &str, message: String) {
        let source = self.source(name, "");
        let mut findings = Findings::new("", source);
        findings.push(Finding::error("limit", message, 0..0).anywhere());
        self.add(findings);
    }

    /// The document as a text, if it is one; otherwise that is reported.
    fn text<'bytes>(&mut self, document: &Document<'bytes>) -> Option<(&'bytes str, usize)> {
        match std::str::from_utf8(document.bytes) {
            Ok(text) => Some((text, self.source(document.name, text))),
            Err(error) => {
                let text = String::from_utf8_lossy(document.bytes).into_owned();
                let source = self.source(document.name, &text);
                let mut findings = Findings::new(&text, source);
                // What is before the error is the same in both.
                const REPLACEMENT: usize = char::REPLACEMENT_CHARACTER.len_utf8();
                let at = error.valid_up_to();
                let finding = Finding::error("text", format!("`{}` is not UTF-8", document.name), at..at + REPLACEMENT);
                findings.push(finding.hint("cloud-init reads texts as UTF-8; encode binary content in base64"));
                self.add(findings);
                None
            }
        }
    }
}
