use std::fmt;

use serde::Serialize;

use crate::size::ByteSize;
use crate::verb::Put;

/// What an operation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The operation, as a user says it: `chmod`.
    pub verb: &'static str,
    /// What was done, in a line for people.
    #[serde(rename = "done")]
    pub text: String,
    /// What was changed: where it really is in the guest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// More of a `put`.
    #[serde(flatten)]
    pub put: Option<PutReport>,
    /// The password that was made up: nothing else says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_up: Option<MadeUp>,
    /// Directories made on the way.
    pub parents: Vec<String>,
}

/// A password that was made up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MadeUp {
    /// Whose.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Report {
    /// `verb` changed `paths`.
    pub(crate) fn new(verb: &'static str, text: impl Into<String>, paths: Vec<String>, parents: Vec<String>) -> Self {
        Self { verb, text: text.into(), paths, put: None, made_up: None, parents }
    }

    pub(crate) fn put(put: PutReport, parents: Vec<String>) -> Self {
        Self { put: Some(put.clone()), ..Self::new("put", put.to_string(), Vec::new(), parents) }
    }
}

/// What a `put` comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PutReport {
    /// The file or directory of the host, as it was asked for.
    pub source: String,
    /// Where it really goes in the guest: no symlink on the way.
    pub destination: String,
    /// The mode that the file gets; none for a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Number of regular files.
    pub files: u64,
    /// Number of new directories, without those on the way.
    pub directories: u64,
    /// Number of symlinks.
    pub symlinks: u64,
    /// Size of all files in bytes.
    pub size_bytes: u64,
    /// Number of files and symlinks of the guest that this replaces.
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
