//! `imgraft report`: what was made of a base.

use std::path::Path;

use audit::hygiene;
use graft::{Change, Comparison, Finding};
use guest::diff::{self, View};
use judge::verdict::Boot;
use storage::ReadAt;

use super::build::{Choice, Chosen};
use super::diff::{differing, open, open_file};
use crate::bases::read_file;
use crate::cli::report::Report;
use crate::failure::Failure;
use crate::report::{ImageFile, ImageReport, text, write_page};
use crate::show::account::verdict;
use crate::show::{Messages, print, print_json};

pub(super) fn run(arguments: &Report, messages: &Messages) -> Result<(), Failure> {
    let choice = Choice {
        bases: &arguments.source,
        folder: Path::new(""),
        locked: false,
        dry_run: true,
        overlay: false,
        messages,
    };
    let boots = arguments.tested.as_deref().map(read_boots).transpose()?.unwrap_or_default();
    // What is in the cache stays there while this is held.
    let Chosen { file, entry: _entry, published, .. } = choice.open(Some(&arguments.base), None)?;
    let (base, image) =
        (open_file(&file, arguments.backing, messages)?, open(&arguments.image, arguments.backing, messages)?);
    let incomparable =
        |error: &(dyn std::error::Error + 'static)| Failure::because("the images cannot be compared", error);
    let differing = differing(&base, &image).map_err(|error| incomparable(&error))?;
    let disk_bytes = Change { from: base.disk.size_bytes(), to: image.disk.size_bytes() };
    let compared = Comparison::of(&base.view, &image.view, disk_bytes, &differing);
    let (comparison, listed) = compared.map_err(|error| incomparable(&error))?;
    let account = diff::account_for_listed(&base.view, &image.view, &differing, &listed)
        .map_err(|error| Failure::because("the blocks cannot be accounted for", &error))?;
    let format = |opened: &super::diff::Opened| Some(opened.image.info().format.to_string());
    let report = ImageReport {
        image: ImageFile::of(&arguments.image, format(&image))?,
        base: ImageFile::of(file.path(), format(&base))?,
        published,
        dry_run: false,
        verdict: verdict(&account),
        operations: &[],
        warnings: &[],
        comparison: &comparison,
        blocks: &account,
        findings: traces_of(&base.view, &image.view),
        boots,
    };
    if let Some(html) = &arguments.html {
        write_page(html, &report, messages)?;
    }
    match (arguments.json, &arguments.html) {
        (true, _) => print_json(&report),
        (false, Some(_)) => Ok(()),
        (false, None) => print(&text(&report)),
    }
}

/// What the image's guest has of one machine, and the base's has not.
fn traces_of(base: &View, image: &View) -> Vec<Finding> {
    match (base.guest(), image.guest()) {
        (Some(base), Some(image)) => hygiene::findings(&hygiene::added(hygiene::look(image), &hygiene::look(base))),
        _ => Vec::new(),
    }
}

/// The largest report of `imgraft test` that is read, in bytes.
const TESTED_LIMIT_BYTES: u64 = 64 << 20;

/// The boots in what `imgraft test --json` printed.
fn read_boots(path: &Path) -> Result<Vec<Boot>, Failure> {
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Failure::because(format!("`{}` is not a report that `imgraft test --json` printed", path.display()), error)
    };
    let text = read_file(path, TESTED_LIMIT_BYTES)
        .and_then(|text| text.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .map_err(|error| Failure::because(format!("`{}` cannot be read", path.display()), &error))?;
    let report: judge::verdict::Report = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    Ok(report.boots)
}
