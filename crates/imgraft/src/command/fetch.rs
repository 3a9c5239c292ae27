//! `imgraft fetch`: a base, verified and in the cache.

use std::io;
use std::path::Path;

use catalogue::{Address, Base, BaseRef, Catalogue, Entry, Verified};
use recipe::ByteSize;
use serde::Serialize;

use crate::bases::{Bases, name_failure};
use crate::cli::fetch::Fetch;
use crate::failure::Failure;
use crate::network::fetch_failure;
use crate::show::{Messages, print, print_json};
use graft::{Folder, OutputFile};

const IMAGE_MODE: u32 = 0o644;

/// What was fetched.
#[derive(Debug, Serialize)]
struct Report {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    address: String,
    digest: String,
    size_bytes: u64,
    #[serde(flatten)]
    verified: Trust,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// What a digest is trusted for.
#[derive(Debug, Serialize)]
pub(super) struct Trust {
    verified: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
}

/// A release that goes by a name.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    codename: Option<String>,
    variants: Vec<String>,
    default_variant: String,
    architectures: Vec<String>,
    signed: bool,
}

pub(super) fn run(arguments: Fetch, messages: &Messages) -> Result<(), Failure> {
    let Some(text) = &arguments.name else { return list(arguments.json) };
    let reference = match &arguments.sha256 {
        Some(sha256) => Address::new(text, &format!("sha256:{sha256}")).map(BaseRef::Address),
        None => text.parse(),
    };
    let bases = Bases::new(&arguments.source, messages)?;
    let (mut report, entry) = match reference.map_err(|error| name_failure(&error))? {
        BaseRef::Name(name) => {
            let architecture = bases.architecture(None);
            let base = bases.find(&name, &architecture)?;
            let entry = bases.get(&name, &base).map_err(|error| fetch_failure(&error))?;
            bases.tell(&base);
            (Report::of(&base, &entry), entry)
        }
        BaseRef::Address(address) => {
            let entry = bases.get_address(&address)?;
            (Report::of_address(&address, &entry), entry)
        }
        BaseRef::Registry(reference) => {
            let (entry, name) = bases.get_registry(&reference, &bases.architecture(None))?;
            (Report::of_registry(name, &entry), entry)
        }
        BaseRef::File(path) => {
            let failure =
                Failure::new(format!("`{}` is neither a name of the catalogue nor an address", path.display()));
            let nearest = catalogue::name::nearest_name(Catalogue::builtin(), text);
            return Err(failure.hint(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "`imgraft fetch --list` lists the names".to_owned(),
            }));
        }
    };
    if let Some(output) = &arguments.output {
        copy(&entry, output)?;
        messages.note(format_args!("wrote {} ({})", output.display(), ByteSize(entry.size_bytes())));
        report.output = Some(output.display().to_string());
    } else if !arguments.print_path && !arguments.json {
        messages.note(format_args!("it is {} ({})", report.path, ByteSize(report.size_bytes)));
    }
    match (arguments.json, arguments.print_path) {
        (true, _) => print_json(&report),
        (_, true) => print(&format!("{}\n", report.path)),
        _ => Ok(()),
    }
}

/// Prints the names that there are.
fn list(json: bool) -> Result<(), Failure> {
    let catalogue = Catalogue::builtin();
    let mut listed = Vec::new();
    for (name, distribution) in catalogue.distributions() {
        for release in &distribution.releases {
            listed.push(Listed {
                name: format!("{name}:{}", release.version),
                codename: release.codename.clone(),
                variants: distribution.variants().map(|(name, _)| name.to_owned()).collect(),
                default_variant: distribution.default_variant.clone(),
                architectures: distribution.architectures.clone(),
                signed: catalogue.signer(distribution).is_some(),
            });
        }
    }
    if json {
        return print_json(&listed);
    }
    let mut text = String::new();
    for (name, distribution) in catalogue.distributions() {
        let signed = if catalogue.signer(distribution).is_some() { "signed" } else { "unsigned, over TLS" };
        text.push_str(&format!("{name} ({}; {signed})\n", distribution.architectures.join(", ")));
        for release in &distribution.releases {
            let codename = release.codename.as_deref().unwrap_or_default();
            text.push_str(format!("  {:16} {codename}", format!("{name}:{}", release.version)).trim_end());
            text.push('\n');
        }
        for (variant, data) in distribution.variants() {
            let default = if variant == distribution.default_variant { ", unless another one is named" } else { "" };
            text.push_str(&format!("  {:16} {}{default}\n", format!("/{variant}"), data.about));
        }
    }
    print(&text)
}

/// Copies the image out of the cache, all or nothing.
fn copy(entry: &Entry, output: &Path) -> Result<(), Failure> {
    let unwritable = |error: &io::Error| Failure::because(format!("`{}` cannot be written", output.display()), error);
    if output.is_dir() {
        return Err(Failure::new(format!("`{}` is a directory", output.display()))
            .hint("name the file to make: `-o FOLDER/FILE`"));
    }
    let name = output.file_name().ok_or_else(|| unwritable(&io::ErrorKind::InvalidFilename.into()))?;
    let folder = output.parent().unwrap_or(Path::new(""));
    let copied = Folder::open(folder).and_then(|folder| {
        let file = OutputFile::create(folder, name, IMAGE_MODE)?;
        // A handle of its own: others read the same one at their own places.
        io::copy(&mut std::fs::File::open(entry.path())?, &mut file.file())?;
        file.publish()
    });
    copied.map_err(|error| unwritable(&error))
}

impl Report {
    fn of(base: &Base, entry: &Entry) -> Self {
        Self {
            name: base.name.clone(),
            architecture: Some(base.architecture.clone()),
            serial: base.serial.clone(),
            address: base.address.clone(),
            digest: base.digest.to_string(),
            size_bytes: entry.size_bytes(),
            verified: Trust::of(&base.verified),
            path: entry.path().display().to_string(),
            output: None,
        }
    }

    fn of_address(address: &Address, entry: &Entry) -> Self {
        Self {
            name: address.file_name().to_owned(),
            architecture: None,
            serial: None,
            address: address.url.clone(),
            digest: address.digest.to_string(),
            size_bytes: entry.size_bytes(),
            verified: Trust { verified: "digest", signer: None, signed: None },
            path: entry.path().display().to_string(),
            output: None,
        }
    }

    fn of_registry(name: String, entry: &Entry) -> Self {
        Self {
            name: name.clone(),
            architecture: None,
            serial: None,
            address: name,
            digest: entry.digest().to_string(),
            size_bytes: entry.size_bytes(),
            verified: Trust { verified: "digest", signer: None, signed: None },
            path: entry.path().display().to_string(),
            output: None,
        }
    }
}

impl Trust {
    pub(super) fn of(verified: &Verified) -> Self {
        match verified {
            Verified::Signature { signer, signed } => {
                Self { verified: "signature", signer: Some(signer.to_string()), signed: Some(signed.clone()) }
            }
            Verified::Tls => Self { verified: "tls", signer: None, signed: None },
            Verified::Nothing => Self { verified: "nothing", signer: None, signed: None },
        }
    }
}
