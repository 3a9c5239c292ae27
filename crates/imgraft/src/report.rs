//! What was made of an image, told to people and as JSON.

use std::collections::BTreeSet;
use std::time::Instant;

use customize::{ByteSize, PutReport};
use image::{Format, Written};
use serde::Serialize;

use crate::message::{Messages, count};

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) output: String,
    pub(crate) format: Format,
    pub(crate) file_size_bytes: u64,
    pub(crate) virtual_size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grown: Option<Grown>,
    pub(crate) put: Vec<PutReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept_packages: Vec<String>,
    /// The file systems that were changed and then checked, before the image got its name.
    pub(crate) checked: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// What had to be copied of an image that changed in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) copied_bytes: Option<u64>,
    /// The file's SHA-256, where it was built twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clusters: Option<Clusters>,
}

/// What grew.
#[derive(Debug, Serialize)]
pub(crate) struct Grown {
    pub(crate) disk_bytes: Change,
    pub(crate) root: String,
    pub(crate) root_bytes: Change,
}

/// A number before and after.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What a new qcow2 file consists of.
#[derive(Debug, Serialize)]
pub(crate) struct Clusters {
    kept: u64,
    compressed: u64,
    plain: u64,
    zero: u64,
}

impl Clusters {
    pub(crate) fn of(written: &Written) -> Self {
        Self {
            kept: written.clusters_kept,
            compressed: written.clusters_compressed,
            plain: written.clusters_plain,
            zero: written.clusters_zero,
        }
    }
}

impl Report {
    /// Says what was done.
    pub(crate) fn tell(&self, messages: &Messages, in_place: bool, start: Instant) {
        if let Some(Grown { disk_bytes, root, root_bytes }) = &self.grown {
            let text = |change: &Change| format!("{} to {}", ByteSize(change.from), ByteSize(change.to));
            messages.note(format_args!("grew the disk from {}, {root} from {}", text(disk_bytes), text(root_bytes)));
        }
        let parents: BTreeSet<&str> = self.put.iter().flat_map(|put| put.parents.iter().map(String::as_str)).collect();
        for parent in parents {
            messages.note(format_args!("made {parent}/ (0755 0:0)"));
        }
        for put in &self.put {
            messages.note(describe(put));
        }
        if !self.kept_packages.is_empty() {
            messages.note(format_args!("kept {}", self.kept_packages.join(", ")));
        }
        if !self.checked.is_empty() {
            messages.detail(format_args!("checked {}", self.checked.join(", ")));
        }
        if let Some(bytes) = self.copied_bytes {
            messages.note(format_args!(
                "copied {}, as the file system of {} cannot share blocks between files (btrfs and xfs can)",
                ByteSize(bytes),
                self.output
            ));
        }
        if let Some(clusters) = &self.clusters {
            messages.detail(format_args!(
                "clusters: {} kept as they were, {} compressed, {} plain, {} zero",
                clusters.kept, clusters.compressed, clusters.plain, clusters.zero
            ));
        }
        if let Some(sha256) = &self.sha256 {
            messages.note(format_args!("reproducible: sha256 {sha256}"));
        }
        messages.note(format_args!(
            "{} {} ({}, {}, disk of {}) in {:.1} s",
            if in_place { "changed" } else { "built" },
            self.output,
            self.format,
            ByteSize(self.file_size_bytes),
            ByteSize(self.virtual_size_bytes),
            start.elapsed().as_secs_f64(),
        ));
    }
}

/// `put dist/app at /usr/local/bin/app (0755 0:0, 110.0 MiB)`.
fn describe(put: &PutReport) -> String {
    let mut facts = Vec::new();
    let owner = format!("{}:{}", put.uid, put.gid);
    match &put.mode {
        Some(mode) => facts.push(format!("{mode} {owner}")),
        None => {
            facts.push(owner);
            facts.extend(count(put.files, "file", "files"));
            facts.extend(count(put.directories, "directory", "directories"));
            facts.extend(count(put.symlinks, "symlink", "symlinks"));
        }
    }
    facts.push(ByteSize(put.size_bytes).to_string());
    let replaced = if put.mode.is_some() && put.replaced > 0 { ", in place of the old one" } else { "" };
    format!("put {} at {} ({}){replaced}", put.source, put.destination, facts.join(", "))
}
