//! `imgraft verify`: whether an image is its base and exactly what its manifest says.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use graft::{Change, Comparison, file_states};
use guest::Printable;
use guest::diff;
use provenance::{LIMIT_BYTES, Manifest};
use storage::ReadAt;

use super::build::{Choice, Chosen};
use super::diff::{differing, open, open_file};
use crate::cli::verify::Verify;
use crate::documents::changes;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::ImageFile;
use crate::show::{Messages, print};

/// The most lines about what is not as the manifest says.
const MAX_LINES: usize = 50;

pub(super) fn run(arguments: &Verify, messages: &Messages) -> Result<Exit, Failure> {
    let path = arguments.manifest.clone().unwrap_or_else(|| {
        let mut name = arguments.image.clone().into_os_string();
        name.push(".manifest.json");
        PathBuf::from(name)
    });
    let manifest = read(&path)?;
    let mut lines = Vec::new();
    let said = &manifest.outputs[0];
    digest("the image", &arguments.image, &said.sha256, &mut lines)?;
    match &arguments.base {
        Some(base) => compare(base, &manifest, arguments, messages, &mut lines)?,
        None => messages.warning("there is no base to compare with: only the digest of the image's file is looked at"),
    }
    // A manifest may have any names in it.
    let shown = |text: &str| Printable(text.as_bytes()).to_string();
    for line in lines.iter().take(MAX_LINES) {
        print(&format!("! {}\n", shown(line)))?;
    }
    if let Some(more) = lines.len().checked_sub(MAX_LINES).filter(|&more| more > 0) {
        print(&format!("! and {more} more\n"))?;
    }
    let (image, manifest_path) = (arguments.image.display(), path.display());
    match (lines.is_empty(), &arguments.base) {
        (false, _) => print(&format!("{image} is not what {manifest_path} says\n"))?,
        (true, None) => print(&format!("{image} has the digest that {manifest_path} says\n"))?,
        (true, Some(_)) => {
            let (base, paths) = (shown(&manifest.base.name), manifest.changes.paths.len());
            print(&format!("{image} is {base} and exactly what {manifest_path} says: {paths} paths differ\n"))?;
        }
    }
    Ok(Exit::of_answer(lines.is_empty()))
}

fn read(path: &Path) -> Result<Manifest, Failure> {
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Failure::because(format!("the manifest `{}` cannot be read", path.display()), error)
    };
    let mut bytes = Vec::new();
    // One byte more than there may be: it is refused then, whatever the file is.
    let read = File::open(path).and_then(|file| file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(&error))?;
    Manifest::parse(&bytes).map_err(|error| unreadable(&error))
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
    lines: &mut Vec<String>,
) -> Result<(), Failure> {
    let choice = Choice {
        bases: &arguments.source,
        folder: Path::new(""),
        locked: false,
        dry_run: true,
        overlay: false,
        messages,
    };
    // What is in the cache stays there while this is held.
    let Chosen { file, entry: _entry, .. } = choice.open(Some(base), None)?;
    if !digest("the base", file.path(), &manifest.base.sha256, lines)? {
        // Everything would differ.
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
    lines.extend(provenance::difference(&manifest.changes, &found));
    let account = diff::account_for_listed(&base.view, &image.view, &differing, &listed)
        .map_err(|error| Failure::because("the blocks cannot be accounted for", &error))?;
    lines.extend(account.unexplained.iter().map(|place| format!("bytes differ that belong to no file: {place}")));
    Ok(())
}
