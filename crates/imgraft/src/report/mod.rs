//! What was made of a base, as `imgraft report` tells it: as text, as JSON, and as a page.

#[cfg(all(test, feature = "full-tests"))]
mod browser;
mod disk;
mod page;
mod paths;
#[cfg(test)]
mod sample;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::page::Made;
use catalogue::cache::{Algorithm, Hasher};
use customize::PackageChanges;
use graft::{Comparison, Finding};
use guest::Time;
use guest::diff::BlockAccount;
use judge::verdict::Boot;
use recipe::ByteSize;
use serde::Serialize;

use crate::environment;
use crate::failure::Failure;
use crate::show::account::verdict;
use crate::show::{Messages, minutes};

pub(crate) use self::page::page;
use self::paths::Tally;

/// A file is read in pieces of that many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// All that is known of an image beside its base. As JSON it is what `imgraft report --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct ImageReport<'a> {
    /// The image.
    pub(crate) image: ImageFile,
    /// What it was made of.
    pub(crate) base: ImageFile,
    /// Where the base came from, if it goes by a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) published: Option<Published>,
    /// Whether nothing was written: it is what would be made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    /// What changed, in one line.
    pub(crate) verdict: String,
    /// What was asked for, where this is known.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) operations: &'a [customize::Report],
    /// What may not be what is wanted.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) warnings: &'a [String],
    #[serde(flatten)]
    pub(crate) comparison: &'a Comparison,
    /// Every block that changed, accounted for.
    pub(crate) blocks: &'a BlockAccount,
    /// What may not fit, or should not be in an image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<Finding>,
    /// The boots that `imgraft test` judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) boots: Vec<Boot>,
}

/// An image's file.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ImageFile {
    /// The file, as the user calls it.
    pub(crate) path: String,
    /// Its format: `qcow2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_size_bytes: Option<u64>,
    /// Its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

/// A base that goes by a name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Published {
    /// Its name, its build and its machine.
    pub(crate) name: String,
    /// Its address at the publisher.
    pub(crate) address: String,
    /// The digest that its publisher states.
    pub(crate) digest: String,
    /// Why that is trusted.
    pub(crate) verified: String,
    /// The lock that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<String>,
}

impl ImageFile {
    /// The file at `path`, which is read for its digest.
    pub(crate) fn of(path: &Path, format: Option<String>) -> Result<Self, Failure> {
        let read = || -> io::Result<(u64, String)> {
            let mut file = File::open(path)?;
            let size_bytes = file.metadata()?.len();
            let (mut hasher, mut piece) = (Hasher::new(Algorithm::Sha256), vec![0; PIECE_BYTES]);
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok((size_bytes, hasher.finish().hex())),
                    length => hasher.update(&piece[..length]),
                }
            }
        };
        let (size_bytes, sha256) =
            read().map_err(|error| Failure::because(format!("`{}` cannot be read", path.display()), &error))?;
        Ok(Self { path: path.display().to_string(), format, file_size_bytes: Some(size_bytes), sha256: Some(sha256) })
    }
}

impl Published {
    pub(crate) fn of(base: &catalogue::Base, lock: Option<&Path>) -> Self {
        Self {
            name: base.to_string(),
            address: base.address.clone(),
            digest: base.digest.to_string(),
            verified: base.verified.to_string(),
            lock: lock.map(|lock| lock.display().to_string()),
        }
    }
}

/// Writes the page about what a job did to `html`. `base` is its base, if that is a file of its own.
pub(crate) fn write(
    html: &Path,
    report: &graft::Report,
    base: ImageFile,
    published: Option<Published>,
    messages: &Messages,
) -> Result<(), Failure> {
    let Some(comparison) = &report.comparison else {
        messages.warning(format_args!(
            "`{}` was not written: the base is too damaged to say what differs from it",
            html.display()
        ));
        return Ok(());
    };
    let image = match report.file_size_bytes {
        Some(_) => ImageFile::of(Path::new(&report.output), Some(report.format.clone()))?,
        None => ImageFile { path: report.output.clone(), format: Some(report.format.clone()), ..ImageFile::default() },
    };
    let told = ImageReport {
        image,
        base,
        published,
        dry_run: report.dry_run,
        verdict: verdict(&report.changed),
        operations: &report.operations,
        warnings: &report.warnings,
        comparison,
        blocks: &report.changed,
        findings: [&report.fit[..], &report.hygiene].concat(),
        boots: Vec::new(),
    };
    write_page(html, &told, messages)
}

/// Writes the page to `html`.
pub(crate) fn write_page(html: &Path, report: &ImageReport<'_>, messages: &Messages) -> Result<(), Failure> {
    std::fs::write(html, page(report, &made()?))
        .map_err(|error| Failure::because(format!("`{}` cannot be written", html.display()), &error))?;
    messages.note(format_args!("wrote {}", html.display()));
    Ok(())
}

/// Which version makes a page, and when.
pub(crate) fn made() -> Result<Made, Failure> {
    let date = environment::source_date_epoch()?
        .unwrap_or(Time { seconds: environment::seconds_now().cast_signed(), nanoseconds: 0 });
    Ok(Made { version: env!("CARGO_PKG_VERSION").to_owned(), date: format!("{} UTC", minutes(date)) })
}

/// The report in a few lines.
pub(crate) fn text(report: &ImageReport<'_>) -> String {
    let tally = Tally::of(&report.comparison.differences.paths);
    let mut text = format!("{}, made of {}\nchanged {}\n", report.image.path, report.base.path, report.verdict);
    text.push_str(&format!("paths: {}\n", tally.text()));
    if let Some(packages) = &report.comparison.packages {
        let PackageChanges { installed, upgraded, removed } = packages;
        let (added, changed, removed) = (installed.len(), upgraded.len(), removed.len());
        text.push_str(&format!("packages: {added} added, {changed} in another version, {removed} removed\n"));
    }
    let size = |file: &ImageFile| file.file_size_bytes.map(|bytes| ByteSize(bytes).to_string()).unwrap_or_default();
    text.push_str(&format!("file: {}, of a base of {}\n", size(&report.image), size(&report.base)));
    text
}
