//! What was made of an image, told to people and as JSON.

use std::time::Instant;

use customize::Room;
use guest::diff::BlockAccount;
use image::{Edited, Written};
use recipe::ByteSize;
use serde::Serialize;

use crate::failure::Failure;
use crate::message::{Messages, print, print_json};
use crate::proof::verdict;

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) output: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    pub(crate) format: String,
    /// The file that the image is a difference to, as it names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backing_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_size_bytes: Option<u64>,
    pub(crate) virtual_size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grown: Option<Grown>,
    /// What each operation came to, in their order.
    pub(crate) operations: Vec<customize::Report>,
    /// What that takes of the guest's file systems.
    pub(crate) room: Vec<Room>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept_packages: Vec<String>,
    /// The file systems that were changed and then checked, before the image got its name.
    pub(crate) checked: Vec<String>,
    /// Every block that changed, accounted for.
    pub(crate) changed: BlockAccount,
    pub(crate) warnings: Vec<String>,
    /// What became of a file that changed in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_place: Option<InPlace>,
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
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Grown {
    pub(crate) disk_bytes: Change,
    pub(crate) root: String,
    pub(crate) root_bytes: Change,
}

/// A number before and after.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What a new qcow2 file consists of.
#[derive(Debug, Serialize)]
pub(crate) struct Clusters {
    /// Those that a new file has from its base.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<u64>,
    compressed: u64,
    plain: u64,
    zero: u64,
}

impl Clusters {
    pub(crate) fn of(written: &Written) -> Self {
        Self {
            kept: Some(written.clusters_kept),
            compressed: written.clusters_compressed,
            plain: written.clusters_plain,
            zero: written.clusters_zero,
        }
    }

    /// Says it to the curious.
    pub(crate) fn tell(&self, messages: &Messages) {
        let Self { kept, compressed, plain, zero } = self;
        let kept = kept.map_or_else(String::new, |kept| format!("{kept} kept as they were, "));
        messages.detail(format_args!("clusters: {kept}{compressed} compressed, {plain} plain, {zero} zero"));
    }

    pub(crate) fn of_edit(edited: &Edited) -> Self {
        Self {
            kept: None,
            compressed: edited.clusters_compressed,
            plain: edited.clusters_plain,
            zero: edited.clusters_zero,
        }
    }
}

/// A qcow2 file that changed in place. Host clusters are the file's, its tables included.
#[derive(Debug, Serialize)]
pub(crate) struct InPlace {
    old_file_size_bytes: u64,
    host_clusters_reused: u64,
    host_clusters_appended: u64,
    host_clusters_freed: u64,
}

impl InPlace {
    pub(crate) fn of(edited: &Edited) -> Self {
        Self {
            old_file_size_bytes: edited.old_file_size_bytes,
            host_clusters_reused: edited.host_clusters_reused,
            host_clusters_appended: edited.host_clusters_appended,
            host_clusters_freed: edited.host_clusters_freed,
        }
    }

    /// By how much the file grew or shrank to `file_size_bytes`.
    fn growth(&self, file_size_bytes: u64) -> String {
        let sign = if file_size_bytes < self.old_file_size_bytes { '-' } else { '+' };
        format!("{sign}{}", ByteSize(file_size_bytes.abs_diff(self.old_file_size_bytes)))
    }
}

impl Report {
    /// What each operation came to.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for operation in &self.operations {
            lines.extend(operation.parents.iter().map(|parent| format!("made {parent}/ (0755 0:0)")));
            lines.push(operation.text.clone());
        }
        lines
    }

    /// Prints what was asked for on standard output: all of this as JSON, the plan of a dry run, or passwords that
    /// were made up.
    pub(crate) fn print(&self, json: bool) -> Result<(), Failure> {
        match (json, self.dry_run) {
            (true, _) => print_json(self),
            (false, true) => self.print_plan(),
            (false, false) => self.print_passwords(),
        }
    }

    /// Prints the passwords that were made up, which nobody knows otherwise.
    fn print_passwords(&self) -> Result<(), Failure> {
        let made_up = self.operations.iter().filter_map(|operation| operation.made_up.as_ref());
        let lines: String = made_up.map(|made_up| format!("{}:{}\n", made_up.user, made_up.password)).collect();
        if lines.is_empty() { Ok(()) } else { print(&lines) }
    }

    /// Prints what would be done, and the room that it takes.
    fn print_plan(&self) -> Result<(), Failure> {
        let mut lines = self.lines();
        for Room { volume, needed_bytes, available_bytes, needed_inodes, available_inodes } in &self.room {
            let (needed, available) = (ByteSize(*needed_bytes), ByteSize(*available_bytes));
            let mut line = format!("{volume} needs {needed} of {available} that are free");
            if let Some(available_inodes) = available_inodes {
                line.push_str(&format!(", and {needed_inodes} of {available_inodes} inodes"));
            }
            lines.push(line);
        }
        lines.push("this was a dry run: nothing was written".to_owned());
        print(&(lines.join("\n") + "\n"))
    }

    /// Whether disk and root are as large as they were.
    pub(crate) fn has_grown_nothing(&self) -> bool {
        let is_same = |change: &Change| change.from == change.to;
        self.grown.as_ref().is_some_and(|grown| is_same(&grown.disk_bytes) && is_same(&grown.root_bytes))
    }

    fn size_already(&self) -> String {
        let size = ByteSize(self.virtual_size_bytes);
        format!("the disk of {} has {size} already, and its root takes what it can", self.output)
    }

    /// Says that there was nothing to do.
    pub(crate) fn tell_unchanged(&self, messages: &Messages) {
        messages.note(format_args!("{}: nothing was changed", self.size_already()));
    }

    /// Says what was done.
    pub(crate) fn tell(&self, messages: &Messages, in_place: bool, start: Instant) {
        if let Some(Grown { disk_bytes, root, root_bytes }) = &self.grown {
            let grew = |what: &str, change: &Change| {
                let (from, to) = (ByteSize(change.from), ByteSize(change.to));
                (change.from != change.to).then(|| format!("{what} from {from} to {to}"))
            };
            let grown: Vec<String> =
                [grew("the disk", disk_bytes), grew(root, root_bytes)].into_iter().flatten().collect();
            match grown.is_empty() {
                true => messages.note(self.size_already()),
                false => messages.note(format_args!("grew {}", grown.join(", "))),
            }
        }
        self.lines().iter().for_each(|line| messages.note(line));
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
        messages.note(format_args!("changed {}", verdict(&self.changed)));
        if let Some(clusters) = &self.clusters {
            clusters.tell(messages);
        }
        if let Some(sha256) = &self.sha256 {
            messages.note(format_args!("reproducible: sha256 {sha256}"));
        }
        let file_size_bytes = self.file_size_bytes.unwrap_or(0);
        let (how, growth) = match &self.in_place {
            Some(edit) => (" in place", format!("{}, ", edit.growth(file_size_bytes))),
            None => ("", String::new()),
        };
        messages.note(format_args!(
            "{} {}{how} ({}{}, {}, {growth}disk of {}) in {:.1} s",
            if in_place { "changed" } else { "built" },
            self.output,
            self.format,
            self.backing_file.as_ref().map(|name| format!(" over {name}")).unwrap_or_default(),
            ByteSize(file_size_bytes),
            ByteSize(self.virtual_size_bytes),
            start.elapsed().as_secs_f64(),
        ));
    }
}
