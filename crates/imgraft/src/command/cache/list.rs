//! `imgraft cache list`.

use catalogue::cache::{Listed, ListedPart};
use recipe::ByteSize;
use serde::Serialize;

use super::{short, time};
use crate::cli::cache::List;
use crate::failure::Failure;
use crate::network::cache_failure;
use crate::show::{Messages, count, print, print_json};
use crate::show::{minutes, rfc3339};

/// What is in a cache.
#[derive(Debug, Serialize)]
struct Report {
    folder: String,
    size_bytes: u64,
    entries: Vec<EntryRow>,
    parts: Vec<PartRow>,
}

/// An entry, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct EntryRow {
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    path: String,
    size_bytes: u64,
    fetched: String,
    used: String,
}

/// A part, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct PartRow {
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    path: String,
    have_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    written: String,
}

impl EntryRow {
    pub(super) fn of(entry: &Listed) -> Self {
        Self {
            digest: entry.digest.to_string(),
            name: entry.name.clone(),
            address: entry.url.clone(),
            path: entry.path.display().to_string(),
            size_bytes: entry.size_bytes,
            fetched: rfc3339(time(entry.fetched)),
            used: rfc3339(time(entry.used)),
        }
    }
}

impl PartRow {
    pub(super) fn of(part: &ListedPart) -> Self {
        Self {
            digest: part.digest.to_string(),
            address: part.url.clone(),
            path: part.path.display().to_string(),
            have_bytes: part.have_bytes,
            total_bytes: part.total_bytes,
            written: rfc3339(time(part.written)),
        }
    }
}

pub(super) fn run(arguments: &List, messages: &Messages) -> Result<(), Failure> {
    let cache = arguments.cache.open()?;
    let listing = cache.list().map_err(|error| cache_failure(&error))?;
    let size_bytes = listing.entries.iter().map(|entry| entry.size_bytes).sum::<u64>()
        + listing.parts.iter().map(|part| part.have_bytes).sum::<u64>();
    let folder = cache.folder().display().to_string();
    if arguments.json {
        let entries = listing.entries.iter().map(EntryRow::of).collect();
        let parts = listing.parts.iter().map(PartRow::of).collect();
        return print_json(&Report { folder, size_bytes, entries, parts });
    }
    let mut rows: Vec<[String; 4]> = Vec::new();
    for entry in &listing.entries {
        let name = entry.name.clone().unwrap_or_else(|| "-".to_owned());
        rows.push([ByteSize(entry.size_bytes).to_string(), minutes(time(entry.used)), short(&entry.digest), name]);
    }
    for part in &listing.parts {
        let total = part.total_bytes.map(|bytes| format!(" of {}", ByteSize(bytes))).unwrap_or_default();
        let url = part.url.as_deref().map(|url| format!(" from {url}")).unwrap_or_default();
        let name = format!("(a part{total}{url})");
        rows.push([ByteSize(part.have_bytes).to_string(), minutes(time(part.written)), short(&part.digest), name]);
    }
    print(&columns(&rows))?;
    let files =
        [count(listing.entries.len() as u64, "file", "files"), count(listing.parts.len() as u64, "part", "parts")];
    let files: Vec<String> = files.into_iter().flatten().collect();
    messages.note(match files.is_empty() {
        true => format!("nothing is in `{folder}`"),
        false => format!("{}, {} in `{folder}`", files.join(" and "), ByteSize(size_bytes)),
    });
    Ok(())
}

/// Rows below a title, in columns; nothing where there are no rows.
fn columns(rows: &[[String; 4]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let title = ["SIZE", "LAST USED", "DIGEST", "NAME"].map(str::to_owned);
    let rows: Vec<&[String; 4]> = std::iter::once(&title).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (size, used, digest) = (width(0), width(1), width(2));
    rows.iter().map(|row| format!("{:>size$}  {:<used$}  {:<digest$}  {}\n", row[0], row[1], row[2], row[3])).collect()
}
