//! `imgraft verify`: whether an image is its base and exactly what its manifest says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use graft::{Change, Comparison, file_states};
use guest::Printable;
use guest::diff;
use provenance::{
    LIMIT_BYTES, MANIFEST_NAMESPACE, Manifest, SIGNATURE_LIMIT_BYTES, SIGNERS_LIMIT_BYTES, Signature, SignatureError,
    Signer, Signers, SignersError,
};
use serde::Serialize;
use storage::ReadAt;

use super::build::{Choice, Chosen};
use super::diff::{differing, open, open_file};
use crate::cli::verify::Verify;
use crate::documents::{changes, signature_of};
use crate::environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::ImageFile;
use crate::show::{Messages, print, print_json};

/// The most lines about what is not as the manifest says.
const MAX_LINES: usize = 50;

/// What was looked at, and what came of it.
#[derive(Debug, Serialize)]
struct Verified {
    verdict: Verdict,
    /// The image, as the user calls it.
    image: String,
    /// Its manifest, as the user calls it.
    manifest: String,
    /// The base that it was compared with, as the manifest calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    /// Who signed the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<SignedBy>,
    checked: Checked,
    /// The same for people: what nobody looked at.
    not_checked: Vec<String>,
    /// Each way in which it is not what the manifest says.
    findings: Vec<String>,
    /// How many paths differ from the base, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<usize>,
}

/// What came of it. Only one of these means that everything was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// The image is its base and exactly what the manifest says.
    Match,
    /// The file has its digest, and nothing else was looked at.
    DigestOnlyMatch,
    /// Something is not what the manifest says, or its signature does not count.
    Mismatch,
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
struct Checked {
    signature: bool,
    image_digest: bool,
    base_digest: bool,
    changes: bool,
}

/// Who signed a manifest.
#[derive(Debug, Serialize)]
struct SignedBy {
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    algorithm: String,
    fingerprint: String,
}

pub(super) fn run(arguments: &Verify, messages: &Messages) -> Result<Exit, Failure> {
    let path = arguments.manifest.clone().unwrap_or_else(|| {
        let mut name = arguments.image.clone().into_os_string();
        name.push(".manifest.json");
        PathBuf::from(name)
    });
    let bytes = read("the manifest", &path, LIMIT_BYTES)?;
    let mut verified = Verified {
        verdict: Verdict::Mismatch,
        image: arguments.image.display().to_string(),
        manifest: path.display().to_string(),
        base: None,
        signed_by: None,
        checked: Checked::default(),
        not_checked: Vec::new(),
        findings: Vec::new(),
        paths: None,
    };
    let signature_path = arguments.signature.clone().unwrap_or_else(|| signature_of(&path));
    match &arguments.signer {
        None => {
            let there_is_one =
                signature_path.exists().then(|| format!("; its signature is `{}`", signature_path.display()));
            let there_is_one = there_is_one.unwrap_or_default();
            verified.not_checked.push(format!("who made {} (no --signer{there_is_one})", path.display()));
        }
        Some(signers) => match signer(signers, &signature_path, &bytes, arguments.identity.as_deref())? {
            Ok(Signer { identity, fingerprint, algorithm }) => {
                verified.checked.signature = true;
                verified.signed_by = Some(SignedBy { identity, algorithm, fingerprint });
            }
            // Nothing in the manifest is worth looking at.
            Err(error) => {
                verified.checked.signature = true;
                let signature = signature_path.display();
                verified.findings.push(format!("the signature `{signature}` does not count: {error}"));
                verified.not_checked.push("anything else: the manifest may be anybody's".to_owned());
                return tell(&verified, arguments.json);
            }
        },
    }
    let manifest = Manifest::parse(&bytes)
        .map_err(|error| Failure::because(format!("the manifest `{}` cannot be read", path.display()), &error))?;
    if arguments.base.is_none() && !arguments.digest_only {
        return Err(no_base(&manifest, arguments));
    }
    let said = &manifest.outputs[0];
    verified.checked.image_digest = true;
    digest("the image", &arguments.image, &said.sha256, &mut verified.findings)?;
    match &arguments.base {
        Some(base) => {
            compare(base, &manifest, arguments, messages, &mut verified)?;
            verified.base = Some(manifest.base.name.clone());
        }
        None => verified.not_checked.push(format!(
            "whether the image is {} and exactly the changes that the manifest lists (no --base)",
            manifest.base.name
        )),
    }
    verified.verdict = match (verified.findings.is_empty(), verified.checked.changes) {
        (false, _) => Verdict::Mismatch,
        (true, true) => Verdict::Match,
        (true, false) => Verdict::DigestOnlyMatch,
    };
    tell(&verified, arguments.json)
}

/// Says what came of it.
fn tell(verified: &Verified, json: bool) -> Result<Exit, Failure> {
    let exit = Exit::of_answer(verified.verdict != Verdict::Mismatch);
    if json {
        print_json(verified)?;
        return Ok(exit);
    }
    // A manifest may have any names in it.
    let shown = |text: &str| Printable(text.as_bytes()).to_string();
    let Verified { image, manifest, findings, .. } = verified;
    for line in findings.iter().take(MAX_LINES) {
        print(&format!("! {}\n", shown(line)))?;
    }
    if let Some(more) = findings.len().checked_sub(MAX_LINES).filter(|&more| more > 0) {
        print(&format!("! and {more} more\n"))?;
    }
    if let Some(SignedBy { identity, algorithm, fingerprint }) = &verified.signed_by {
        let who = identity.as_ref().map(|identity| format!("{identity} with ")).unwrap_or_default();
        print(&format!("{manifest} is signed by {}{} {fingerprint}\n", shown(&who), shown(algorithm)))?;
    }
    match verified.verdict {
        Verdict::Mismatch if verified.checked.image_digest => print(&format!("{image} is not what {manifest} says\n"))?,
        Verdict::Mismatch => print(&format!("{manifest} is not trusted\n"))?,
        Verdict::DigestOnlyMatch => {
            print(&format!("{image} has the digest that {manifest} says, and no more is known\n"))?
        }
        Verdict::Match => {
            let base = shown(verified.base.as_deref().unwrap_or_default());
            let paths = verified.paths.unwrap_or_default();
            print(&format!("{image} is {base} and exactly what {manifest} says: {paths} paths differ\n"))?;
        }
    }
    for what in &verified.not_checked {
        print(&format!("not checked: {}\n", shown(what)))?;
    }
    Ok(exit)
}

/// What to say where a manifest would be compared with nothing: that the file has its digest is less than what is asked.
fn no_base(manifest: &Manifest, arguments: &Verify) -> Failure {
    let base = &manifest.base;
    let base_name = match &base.published {
        Some(published) => format!("`{}#sha256:{}`", published.address, base.sha256),
        None => format!("`{}` with the SHA-256 {}", base.name, base.sha256),
    };
    let image = arguments.image.display();
    Failure::new(format!("there is no base, without which nothing but the digest of `{image}` can be checked")).hint(
        format!(
            "give the base with `--base`: the manifest names {}; if the file's digest is all you want to know, \
             say `--digest-only`",
            Printable(base_name.as_bytes())
        ),
    )
}

/// Reads a file, which has to be small, whatever it is.
fn read(what: &str, path: &Path, limit_bytes: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than there may be: whoever reads them refuses it then.
    let read = File::open(path).and_then(|file| file.take(limit_bytes + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::because(format!("{what} `{}` cannot be read", path.display()), &error))?;
    Ok(bytes)
}

/// Who of `signers` signed `bytes`, or why nobody did.
fn signer(
    signers: &Path,
    signature: &Path,
    bytes: &[u8],
    identity: Option<&str>,
) -> Result<Result<Signer, SignatureError>, Failure> {
    let unusable = |error: &SignersError| {
        let failure = Failure::because(format!("the signers in `{}` cannot be used", signers.display()), error);
        failure.hint_if(match error {
            SignersError::NoIdentity => Some("say whose it has to be with `--identity NAME`".to_owned()),
            SignersError::Identity => Some("leave `--identity` out, or name a file of allowed signers".to_owned()),
            _ => None,
        })
    };
    let who = Signers::parse(&read("the file", signers, SIGNERS_LIMIT_BYTES)?).map_err(|error| unusable(&error))?;
    who.check_identity(identity).map_err(|error| unusable(&error))?;
    let parsed = Signature::parse(&read("the signature", signature, SIGNATURE_LIMIT_BYTES)?)
        .map_err(|error| Failure::because(format!("the signature `{}` cannot be read", signature.display()), &error))?;
    let now = environment::seconds_now().cast_signed();
    Ok(who.verify(&parsed, identity, MANIFEST_NAMESPACE, now, bytes))
}

/// Holds a file against its digest; says whether it has it.
fn digest(what: &str, path: &Path, said: &str, lines: &mut Vec<String>) -> Result<bool, Failure> {
    let found = ImageFile::of(path, None)?.sha256.unwrap_or_default();
    if found != said {
        let path = path.display();
        lines.push(format!("{what} `{path}` has the SHA-256 {found}, and the manifest says {said}"));
    }
    Ok(found == said)
}

/// Compares the image with its base, and what differs with the manifest.
fn compare(
    base: &Path,
    manifest: &Manifest,
    arguments: &Verify,
    messages: &Messages,
    verified: &mut Verified,
) -> Result<(), Failure> {
    let source = arguments.source.source();
    let choice =
        Choice { bases: &source, folder: Path::new(""), locked: false, dry_run: true, overlay: false, messages };
    // What is in the cache stays there while this is held.
    let Chosen { file, entry: _entry, .. } = choice.open(Some(base), None)?;
    verified.checked.base_digest = true;
    if !digest("the base", file.path(), &manifest.base.sha256, &mut verified.findings)? {
        // Everything would differ.
        verified.not_checked.push("what differs from the base that it was made of: this is another one".to_owned());
        return Ok(());
    }
    let incomparable =
        |error: &(dyn std::error::Error + 'static)| Failure::because("the images cannot be compared", error);
    let (base, image) =
        (open_file(&file, arguments.backing, messages)?, open(&arguments.image, arguments.backing, messages)?);
    let differing = differing(&base, &image).map_err(|error| incomparable(&error))?;
    let disk_bytes = Change { from: base.disk.size_bytes(), to: image.disk.size_bytes() };
    let compared = Comparison::of(&base.view, &image.view, disk_bytes, &differing);
    let (mut comparison, listed) = compared.map_err(|error| incomparable(&error))?;
    let states = file_states(&image.view, &comparison.differences.paths, disk_bytes.to);
    comparison.states = states.map_err(|error| incomparable(&error))?;
    let found = changes(&comparison).map_err(|error| incomparable(&*error))?;
    verified.checked.changes = true;
    verified.paths = Some(manifest.changes.paths.len());
    verified.findings.extend(provenance::difference(&manifest.changes, &found));
    let account = diff::account_for_listed(&base.view, &image.view, &differing, &listed)
        .map_err(|error| Failure::because("the blocks cannot be accounted for", &error))?;
    verified
        .findings
        .extend(account.unexplained.iter().map(|place| format!("bytes differ that belong to no file: {place}")));
    Ok(())
}
