//! The paths that differ, as rows of a table and summed up.

use std::collections::BTreeMap;

use guest::FileKind;
use guest::diff::{Facts, PathChange, PathChangeKind};

use crate::show::account::{grouped, size};
use crate::show::difference::{facts_text, what_text};

/// The most rows of the table. Of more paths, those with the largest files are in it.
pub(super) const MAX_ROWS: usize = 20_000;
/// The most directories that are summed up, and how far below the root they are.
const MAX_DIRECTORIES: usize = 12;
const DEPTH: usize = 3;

/// How many paths there are of each kind, and what their files came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) added: u64,
    pub(super) changed: u64,
    pub(super) removed: u64,
    pub(super) unknown: u64,
    /// By how many bytes the files grew.
    pub(super) grown_bytes: i128,
}

/// A path.
pub(super) struct Row {
    /// `added`, `changed`, …; its class, too.
    pub(super) change: &'static str,
    pub(super) path: String,
    /// What differs, or what it is.
    pub(super) what: String,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) difference: String,
}

/// What the files below a directory came to.
pub(super) struct Directory {
    pub(super) path: String,
    pub(super) paths: String,
    pub(super) difference: String,
    /// How long its bar is, of 100.
    pub(super) percent: f64,
}

impl Tally {
    pub(super) fn of(paths: &[PathChange]) -> Self {
        let mut tally = Self::default();
        for path in paths {
            *match path.change {
                PathChangeKind::Added => &mut tally.added,
                PathChangeKind::Changed => &mut tally.changed,
                PathChangeKind::Removed => &mut tally.removed,
                PathChangeKind::Unknown => &mut tally.unknown,
            } += 1;
            tally.grown_bytes += grown_bytes(path);
        }
        tally
    }

    /// `1 added, 2 changed, 0 removed; +104.9 MiB`
    pub(super) fn text(&self) -> String {
        let Self { added, changed, removed, unknown, grown_bytes } = self;
        let mut text =
            format!("{} added, {} changed, {} removed", grouped(*added), grouped(*changed), grouped(*removed));
        if *unknown > 0 {
            text.push_str(&format!(", {} that could not be compared", grouped(*unknown)));
        }
        format!("{text}; {}", signed(*grown_bytes))
    }
}

/// The rows, in the order of the paths.
pub(super) fn rows(paths: &[PathChange]) -> Vec<Row> {
    let mut kept: Vec<&PathChange> = paths.iter().collect();
    if kept.len() > MAX_ROWS {
        // Those that take most are what is looked for. The sort is stable, so that the same page comes of it each time.
        kept.sort_by_key(|path| std::cmp::Reverse(bytes_of(&path.base).max(bytes_of(&path.image))));
        kept.truncate(MAX_ROWS);
        kept.sort_by(|one, other| one.path.cmp(&other.path));
    }
    kept.into_iter().map(Row::of).collect()
}

/// The directories whose files came to most, the largest first, and how many there are beside these.
pub(super) fn directories(paths: &[PathChange]) -> (Vec<Directory>, usize) {
    let mut sums: BTreeMap<&str, (u64, i128)> = BTreeMap::new();
    for path in paths {
        let (count, bytes) = sums.entry(directory(&path.path)).or_default();
        *count += 1;
        *bytes += grown_bytes(path);
    }
    sums.retain(|_, (_, bytes)| *bytes != 0);
    let mut sums: Vec<(&str, (u64, i128))> = sums.into_iter().collect();
    sums.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(bytes.unsigned_abs()));
    let rest = sums.len().saturating_sub(MAX_DIRECTORIES);
    sums.truncate(MAX_DIRECTORIES);
    let most = sums.first().map_or(1, |(_, (_, bytes))| bytes.unsigned_abs());
    let directory = |(path, (count, bytes)): (&str, (u64, i128))| Directory {
        path: path.to_owned(),
        paths: grouped(count),
        difference: signed(bytes),
        percent: (bytes.unsigned_abs() as f64 / most as f64 * 1000.0).round() / 10.0,
    };
    (sums.into_iter().map(directory).collect(), rest)
}

/// The directory of `path` that is at most [`DEPTH`] below the root.
fn directory(path: &str) -> &str {
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).take(DEPTH + 1).collect();
    match slashes.last() {
        None | Some(0) => "/",
        Some(&end) => &path[..end],
    }
}

impl Row {
    fn of(path: &PathChange) -> Self {
        let PathChange { change: kind, base, image, what, problem, .. } = path;
        let (change, what) = match (kind, base, image) {
            (PathChangeKind::Unknown, ..) => ("unknown", problem.clone().unwrap_or_default()),
            (PathChangeKind::Added, _, Some(facts)) => ("added", what_it_is(facts)),
            (PathChangeKind::Removed, Some(facts), _) => ("removed", what_it_is(facts)),
            (_, Some(old), Some(new)) => {
                // The sizes have columns of their own.
                let what = what.iter().filter(|&&what| what != "size");
                let what: Vec<String> = what.map(|what| what_text(what, old, new)).collect();
                ("changed", what.join(", "))
            }
            _ => ("changed", what.join(", ")),
        };
        let bytes =
            |facts: &Option<Facts>| facts.as_ref().and_then(|facts| facts.size_bytes).map(size).unwrap_or_default();
        let (before, after) = (bytes(base), bytes(image));
        let difference = match (before.is_empty() && after.is_empty(), kind) {
            (true, _) | (_, PathChangeKind::Unknown) => String::new(),
            _ => signed(grown_bytes(path)),
        };
        Self { change, path: path.path.clone(), what, before, after, difference }
    }
}

/// Its mode and owner, and more if it is no regular file. The size has a column of its own.
fn what_it_is(facts: &Facts) -> String {
    match facts.kind {
        FileKind::Regular => format!("{} {}:{}", facts.mode, facts.uid, facts.gid),
        _ => facts_text(facts),
    }
}

fn bytes_of(facts: &Option<Facts>) -> u64 {
    facts.as_ref().and_then(|facts| facts.size_bytes).unwrap_or(0)
}

/// By how many bytes a file grew.
fn grown_bytes(path: &PathChange) -> i128 {
    i128::from(bytes_of(&path.image)) - i128::from(bytes_of(&path.base))
}

/// `+104.9 MiB`, `−3.0 KiB`, `0 B`.
pub(super) fn signed(bytes: i128) -> String {
    let text = size(u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX));
    match bytes {
        0 => text,
        1.. => format!("+{text}"),
        _ => format!("\u{2212}{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(size_bytes: u64) -> Facts {
        Facts {
            kind: FileKind::Regular,
            mode: "0644".to_owned(),
            uid: 0,
            gid: 0,
            size_bytes: Some(size_bytes),
            modified: (0, 0),
            links: Some(1),
            target: None,
            device: None,
        }
    }

    fn change(path: &str, sizes: [Option<u64>; 2]) -> PathChange {
        let change = match sizes {
            [None, Some(_)] => PathChangeKind::Added,
            [Some(_), None] => PathChangeKind::Removed,
            _ => PathChangeKind::Changed,
        };
        let [base, image] = sizes.map(|size_bytes| size_bytes.map(facts));
        let what = if change == PathChangeKind::Changed { vec!["content", "size"] } else { Vec::new() };
        PathChange {
            change,
            path: path.to_owned(),
            volume: String::new(),
            what,
            base,
            image,
            problem: None,
            file: None,
        }
    }

    #[test]
    fn files_are_summed_up_by_kind_and_by_directory() {
        let paths = [
            change("/usr/lib/a/b/c", [None, Some(3 << 20)]),
            change("/usr/lib/a/d", [None, Some(1 << 20)]),
            change("/etc/hosts", [Some(100), Some(50)]),
            change("/var/cache/x", [Some(2 << 20), None]),
            change("/x", [Some(5), Some(5)]),
        ];
        assert_eq!(Tally::of(&paths).text(), "2 added, 2 changed, 1 removed; +1.9 MiB");
        let (sums, rest) = directories(&paths);
        let sums: Vec<_> = sums.iter().map(|sum| (&*sum.path, &*sum.paths, &*sum.difference, sum.percent)).collect();
        let expected = [
            ("/usr/lib/a", "2", "+4.0 MiB", 100.0),
            ("/var/cache", "1", "\u{2212}2.0 MiB", 50.0),
            ("/etc", "1", "\u{2212}50 B", 0.0),
        ];
        assert_eq!((&sums[..], rest), (&expected[..], 0));
        let rows = rows(&paths);
        let row = &rows[2];
        assert_eq!(
            (row.change, &*row.what, &*row.before, &*row.difference),
            ("changed", "content", "100 B", "\u{2212}50 B")
        );
        assert_eq!((&*rows[0].what, &*rows[0].before, &*rows[0].after), ("0644 0:0", "", "3.0 MiB"));
    }

    #[test]
    fn of_too_many_paths_the_largest_are_listed_in_their_order() {
        let paths: Vec<PathChange> =
            (0..MAX_ROWS as u64 + 10).map(|at| change(&format!("/{at:06}"), [None, Some(at)])).collect();
        let rows = rows(&paths);
        assert_eq!((rows.len(), &*rows[0].path, &*rows[1].path), (MAX_ROWS, "/000010", "/000011"));
    }
}
