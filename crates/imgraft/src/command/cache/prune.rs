//! `imgraft cache prune`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use catalogue::Digest;
use catalogue::cache::{Pruned, Rule};
use recipe::ByteSize;
use serde::Serialize;

use super::list::{EntryRow, PartRow};
use super::{short, time};
use crate::cli::cache::Prune;
use crate::environment;
use crate::failure::Failure;
use crate::network::cache_failure;
use crate::show::minutes;
use crate::show::{Messages, print, print_json};

/// The largest file that digests are looked for in, in bytes.
const MAX_LOCK_BYTES: u64 = 16 << 20;

/// What was removed.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    freed_bytes: u64,
    left_bytes: u64,
    entries: Vec<EntryRow>,
    parts: Vec<PartRow>,
    in_use: Vec<EntryRow>,
}

pub(super) fn run(arguments: &Prune, messages: &Messages) -> Result<(), Failure> {
    let mut keep = BTreeSet::new();
    for path in &arguments.keep {
        keep.extend(digests_in(path)?);
    }
    let has_other_rule = arguments.older_than.is_some() || arguments.larger_than.is_some();
    let rule = Rule {
        older_than: arguments.older_than,
        larger_than_bytes: arguments.larger_than,
        all: arguments.all || !has_other_rule,
        keep,
    };
    let cache = arguments.cache.open()?;
    let pruned = cache.prune(&rule, environment::now(), arguments.dry_run).map_err(|error| cache_failure(&error))?;
    let freed_bytes = pruned.entries.iter().map(|entry| entry.size_bytes).sum::<u64>()
        + pruned.parts.iter().map(|part| part.have_bytes).sum::<u64>();
    if arguments.json {
        return print_json(&Report {
            dry_run: arguments.dry_run,
            freed_bytes,
            left_bytes: pruned.left_bytes,
            entries: pruned.entries.iter().map(EntryRow::of).collect(),
            parts: pruned.parts.iter().map(PartRow::of).collect(),
            in_use: pruned.in_use.iter().map(EntryRow::of).collect(),
        });
    }
    tell(&pruned, freed_bytes, arguments.dry_run, messages)
}

fn tell(pruned: &Pruned, freed_bytes: u64, dry_run: bool, messages: &Messages) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for entry in &pruned.entries {
        let name = entry.name.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
        let (size, used) = (ByteSize(entry.size_bytes), minutes(time(entry.used)));
        lines.push(format!("{} ({name}{size}, last used {used})", short(&entry.digest)));
    }
    for part in &pruned.parts {
        let (size, written) = (ByteSize(part.have_bytes), minutes(time(part.written)));
        lines.push(format!("{} (a part, {size}, grew last {written})", short(&part.digest)));
    }
    for line in lines {
        // What a dry run finds is what was asked for.
        match dry_run {
            true => print(&format!("would remove {line}\n"))?,
            false => messages.note(format_args!("removed {line}")),
        }
    }
    for entry in &pruned.in_use {
        messages.note(format_args!("kept {}, which another process uses", short(&entry.digest)));
    }
    let freed = if dry_run { "would free" } else { "freed" };
    messages.note(format_args!("{freed} {}; {} are left", ByteSize(freed_bytes), ByteSize(pruned.left_bytes)));
    Ok(())
}

/// The digests that the text in the file at `path` names.
///
/// # Errors
///
/// A file that cannot be read, or names none: it is another one than the user thinks.
fn digests_in(path: &Path) -> Result<BTreeSet<Digest>, Failure> {
    let because = |error: std::io::Error| Failure::because(format!("`{}` cannot be read", path.display()), &error);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_LOCK_BYTES + 1).read_to_end(&mut bytes)).map_err(because)?;
    if bytes.len() as u64 > MAX_LOCK_BYTES {
        return Err(Failure::new(format!("`{}` is too large for a lock", path.display())));
    }
    let text = String::from_utf8_lossy(&bytes);
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == ':'));
    let digests: BTreeSet<Digest> = words.filter_map(|word| word.parse().ok()).collect();
    if digests.is_empty() {
        return Err(Failure::new(format!("`{}` names nothing by a digest", path.display()))
            .hint("an imgraft.lock does, and any text with `sha256:…` or `sha512:…` in it"));
    }
    Ok(digests)
}
