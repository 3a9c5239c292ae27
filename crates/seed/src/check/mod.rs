//! Whether cloud-init does with a seed what its user wants, found out before the first boot.
//!
//! [`check`] looks at [`Document`]s as cloud-init would: which kind of user-data it is, what each part of it is
//! as YAML, whether that fits cloud-init's own schemas, and then at what those cannot say. It reads and writes
//! nothing, and no text can make it panic.
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
    /// What the guest's user wants.
    UserData,
    /// What the platform wants.
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

    /// What a file is by its name and its content; why is told in the second place.
    pub fn guess(name: &str, bytes: &[u8]) -> (Self, &'static str) {
        header::guess(name, bytes)
    }
}

/// What sets up the network of a guest, of what cloud-init is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Renderer {
    /// It is not known: what only one of the others refuses is a warning.
    #[default]
    Unknown,
    /// netplan, as in Ubuntu: it reads version 2 itself, and cloud-init's schema is not asked.
    Netplan,
    /// cloud-init writes the files of another: networkd, NetworkManager, ifupdown or sysconfig.
    CloudInit,
}

/// A file of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Document<'content> {
    /// What people call it.
    pub name: &'content str,
    /// What it is.
    pub role: Role,
    /// What is in it.
    pub bytes: &'content [u8],
}

/// A text that findings are in: a document, or a part of one that is packed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What people call it.
    pub name: String,
    /// What is in it. What is not UTF-8 is replaced.
    pub text: String,
}

/// A document that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What people call it.
    pub name: String,
    /// What it was taken for.
    pub role: Role,
    /// What cloud-init takes it for, such as `cloud-config`; of several parts, each.
    pub kinds: Vec<&'static str>,
}

/// What was looked at and what was found.
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
    /// How many findings are as bad as this.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Where a finding begins; `None` where it is about all of a document.
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

/// A look at a seed on its way.
#[derive(Default)]
struct Checker {
    renderer: Renderer,
    report: Report,
    facts: Facts,
    /// What was unpacked so far: parts, and bytes.
    unpacked: (usize, usize),
    /// How many archives are one in the other at hand.
    archives: usize,
}

/// The most parts that are taken out of a seed's documents, what they have together in bytes, and how deep archives are
/// in archives: aliases and gzip make much of little, each of the parts may be an archive again, and none of that
/// is bounded by the bounds of one text.
const MAX_UNPACKED_PARTS: usize = 1000;
const MAX_UNPACKED_BYTES: usize = 64 << 20;
const MAX_ARCHIVES: usize = 8;

impl Checker {
    /// A further text that findings can be in.
    fn source(&mut self, name: &str, text: &str) -> usize {
        self.report.sources.push(Source { name: name.to_owned(), text: text.to_owned() });
        self.report.sources.len() - 1
    }

    /// What the document at hand is, or a part of it.
    fn kind(&mut self, kind: &'static str) {
        if let Some(document) = self.report.documents.last_mut() {
            document.kinds.push(kind);
        }
    }

    fn add(&mut self, findings: Findings<'_>) {
        self.report.findings.extend(findings.into_vec());
    }

    /// Whether there is room for another part of `size_bytes`, of which this one is one then. Where there is none for the
    /// first time, that is said.
    fn has_room(&mut self, name: &str, size_bytes: usize) -> bool {
        let was_full = self.is_full();
        let (parts, bytes) = self.unpacked;
        self.unpacked = (parts.saturating_add(1), bytes.saturating_add(size_bytes));
        if !was_full && self.is_full() {
            let message = format!(
                "the parts of this are more than is looked at: {MAX_UNPACKED_PARTS} parts and {} MiB are the limit",
                MAX_UNPACKED_BYTES >> 20
            );
            self.limit(name, message);
        }
        !self.is_full()
    }

    /// Whether more was unpacked than is looked at.
    fn is_full(&self) -> bool {
        let (parts, bytes) = self.unpacked;
        parts > MAX_UNPACKED_PARTS || bytes > MAX_UNPACKED_BYTES
    }

    /// Says that a bound was met at the part `name`.
    fn limit(&mut self, name: &str, message: String) {
        let source = self.source(name, "");
        let mut findings = Findings::new("", source);
        findings.push(Finding::error("limit", message, 0..0).anywhere());
        self.add(findings);
    }

    /// The document as a text, if it is one; it is said where it is none.
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
                let finding = Finding::error("text", format!("`{}` is no UTF-8", document.name), at..at + REPLACEMENT);
                findings.push(finding.hint("cloud-init reads texts as UTF-8; binary content is put in as base64"));
                self.add(findings);
                None
            }
        }
    }
}
