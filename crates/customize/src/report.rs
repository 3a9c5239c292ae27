use std::fmt;
use std::path::PathBuf;

use recipe::ByteSize;
use serde::Serialize;

use crate::package_changes::PackageChanges;
use crate::runner::{Change, FileChange, Outcome};
use crate::verb::Put;

/// The result of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The verb: `chmod`.
    pub verb: &'static str,
    /// What was done, in one line for people.
    #[serde(rename = "done")]
    pub text: String,
    /// The real paths that were changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Further facts of a `put`.
    #[serde(flatten)]
    pub put: Option<PutReport>,
    /// The password that was made up, which is shown nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_up: Option<MadeUp>,
    /// Further facts of a command in the guest.
    #[serde(flatten)]
    pub executed: Option<Executed>,
    /// Directories that were made on the way.
    pub parents: Vec<String>,
}

/// What a command in the guest came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Executed {
    /// How it was run: `namespaces`, `unpack`.
    pub runner: &'static str,
    /// Why it was run like that and not in namespaces, where nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_because: Option<String>,
    /// Every file that it changed.
    pub changes: Vec<FileChange>,
    /// The packages that it changed, for a step of the package manager whose list can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<PackageChanges>,
    /// The file of the host that has all of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

/// A password that was made up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MadeUp {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Report {
    /// `verb` changed `paths`.
    pub(crate) fn new(verb: &'static str, text: impl Into<String>, paths: Vec<String>, parents: Vec<String>) -> Self {
        Self { verb, text: text.into(), paths, put: None, made_up: None, executed: None, parents }
    }

    pub(crate) fn put(put: PutReport, parents: Vec<String>) -> Self {
        Self { put: Some(put.clone()), ..Self::new("put", put.to_string(), Vec::new(), parents) }
    }

    /// A command did `what`.
    pub(crate) fn executed(verb: &'static str, what: &str, outcome: Outcome, packages: Option<PackageChanges>) -> Self {
        let Outcome { changes, log, runner, runner_because } = outcome;
        let text = format!("{what} ({})", change_counts(&changes));
        let executed = Executed { runner, runner_because, changes, packages, log };
        Self { executed: Some(executed), ..Self::new(verb, text, Vec::new(), Vec::new()) }
    }
}

/// `25 files made, 3 changed, 1 removed; 12.3 MiB`.
fn change_counts(changes: &[FileChange]) -> String {
    let number = |change| changes.iter().filter(|file| file.change == change).count();
    let [made, changed, removed] = [Change::Made, Change::Changed, Change::Removed].map(number);
    let mut counts: Vec<String> = [(made, "made"), (changed, "changed"), (removed, "removed")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    let Some(first) = counts.first_mut() else { return "no file changed".to_owned() };
    let (number, what) = first.split_once(' ').unwrap_or_default();
    let noun = if number == "1" { "file" } else { "files" };
    *first = format!("{number} {noun} {what}");
    let left = changes.iter().filter(|file| file.change != Change::Removed);
    let size_bytes = left.filter_map(|file| file.size_bytes).fold(0, u64::saturating_add);
    format!("{}; {}", counts.join(", "), ByteSize(size_bytes))
}

/// The result of a `put`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PutReport {
    /// The file or directory of the host, as it was given.
    pub source: String,
    /// The real path in the guest, without symlinks on the way.
    pub destination: String,
    /// The mode of the file; `None` for a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The number of regular files.
    pub files: u64,
    /// The number of new directories, without those on the way.
    pub directories: u64,
    /// The number of symlinks.
    pub symlinks: u64,
    /// The size of all files in bytes.
    pub size_bytes: u64,
    /// The number of files and symlinks of the guest that were replaced.
    pub replaced: u64,
}

impl PutReport {
    pub(crate) fn new(put: &Put, (uid, gid): (u32, u32)) -> Self {
        Self {
            source: put.source.display().to_string(),
            destination: String::new(),
            mode: None,
            uid,
            gid,
            files: 0,
            directories: 0,
            symlinks: 0,
            size_bytes: 0,
            replaced: 0,
        }
    }
}

impl fmt::Display for PutReport {
    /// `put dist/app at /usr/local/bin/app (0755 0:0, 110.0 MiB)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Vec::new();
        let owner = format!("{}:{}", self.uid, self.gid);
        match &self.mode {
            Some(mode) => facts.push(format!("{mode} {owner}")),
            None => {
                facts.push(owner);
                facts.extend(words::count(self.files, "file", "files"));
                facts.extend(words::count(self.directories, "directory", "directories"));
                facts.extend(words::count(self.symlinks, "symlink", "symlinks"));
            }
        }
        facts.push(ByteSize(self.size_bytes).to_string());
        let replaced = if self.mode.is_some() && self.replaced > 0 { ", in place of the old one" } else { "" };
        write!(f, "put {} at {} ({}){replaced}", self.source, self.destination, facts.join(", "))
    }
}
