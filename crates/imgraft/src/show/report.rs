//! What was made of an image, for people and as JSON.

use std::collections::BTreeMap;
use std::time::Instant;

use customize::{Executed, FileChange, FileLabel, PackageChanges, Room, Upgrade};
use graft::{Change, Clusters, Grown, InPlace, Report};
use recipe::ByteSize;

use super::account::verdict;
use super::{Messages, print, print_json};
use crate::failure::Failure;

/// What a qcow2 file consists of.
pub(crate) fn clusters_line(clusters: &Clusters) -> String {
    let Clusters { kept, compressed, plain, zero } = clusters;
    let kept = kept.map_or_else(String::new, |kept| format!("{kept} kept as they were, "));
    format!("clusters: {kept}{compressed} compressed, {plain} plain, {zero} zero")
}

/// Prints what was asked for on standard output: all of `report` as JSON, the plan of a dry run, or passwords that were
/// made up, which are said nowhere else.
pub(crate) fn print_report(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(report);
    }
    if report.dry_run {
        return print(&plan(report));
    }
    let made_up = report.operations.iter().filter_map(|operation| operation.made_up.as_ref());
    let lines: String = made_up.map(|made_up| format!("{}:{}\n", made_up.user, made_up.password)).collect();
    if lines.is_empty() { Ok(()) } else { print(&lines) }
}

/// Says what was done, and that it took since `start`.
pub(crate) fn tell_report(report: &Report, messages: &Messages, is_customized: bool, start: Instant) {
    if report.is_unchanged() {
        return messages.note(format_args!("{}: nothing was changed", size_already(report)));
    }
    if report.dry_run {
        return;
    }
    if let Some(Grown { disk_bytes, root, root_bytes }) = &report.grown {
        let grew = |what: &str, change: &Change| {
            change.is_change().then(|| format!("{what} from {} to {}", ByteSize(change.from), ByteSize(change.to)))
        };
        let grown: Vec<String> = [grew("the disk", disk_bytes), grew(root, root_bytes)].into_iter().flatten().collect();
        match grown.is_empty() {
            true => messages.note(size_already(report)),
            false => messages.note(format_args!("grew {}", grown.join(", "))),
        }
    }
    for operation in &report.operations {
        operation_lines(operation).iter().for_each(|line| messages.note(line));
        operation.executed.iter().flat_map(change_lines).for_each(|line| messages.detail(line));
    }
    if !report.labels.is_empty() {
        messages.note(format_args!("labelled {}", labelled(&report.labels)));
        report.labels.iter().for_each(|one| messages.detail(format_args!("labelled {} {}", one.path, one.label)));
    }
    if !report.kept_packages.is_empty() {
        messages.note(format_args!("kept {}", report.kept_packages.join(", ")));
    }
    if !report.checked.is_empty() {
        messages.detail(format_args!("checked {}", report.checked.join(", ")));
    }
    if let Some(bytes) = report.copied_bytes {
        messages.note(format_args!(
            "copied {}, as the file system of {} cannot share blocks between files (btrfs and xfs can)",
            ByteSize(bytes),
            report.output
        ));
    }
    messages.note(format_args!("changed {}", verdict(&report.changed)));
    if let Some(clusters) = &report.clusters {
        messages.detail(clusters_line(clusters));
    }
    if let Some(sha256) = report.sha256.as_ref().filter(|_| report.reproducible) {
        messages.note(format_args!("reproducible: sha256 {sha256}"));
    }
    if let Some(file) = &report.checksum_file {
        messages.note(format_args!("wrote {file}"));
    }
    for document in &report.documents {
        messages.note(format_args!("wrote {document}"));
    }
    let file_size_bytes = report.file_size_bytes.unwrap_or(0);
    let (how, growth) = match &report.in_place {
        Some(edit) => (" in place", format!("{}, ", growth(edit, file_size_bytes))),
        None => ("", String::new()),
    };
    messages.note(format_args!(
        "{} {}{how} ({}{}, {}, {growth}disk of {}) in {:.1} s",
        if is_customized { "changed" } else { "built" },
        report.output,
        report.format,
        report.backing_file.as_ref().map(|name| format!(" over {name}")).unwrap_or_default(),
        ByteSize(file_size_bytes),
        ByteSize(report.virtual_size_bytes),
        start.elapsed().as_secs_f64(),
    ));
}

/// What an operation came to.
fn operation_lines(operation: &customize::Report) -> Vec<String> {
    let parents = operation.parents.iter().map(|parent| format!("made {parent}/ (0755 0:0)"));
    parents.chain([operation.text.clone()]).collect()
}

/// Every package and every file that a command in the guest changed.
fn change_lines(executed: &Executed) -> Vec<String> {
    let Executed { runner, runner_because, changes, packages, log } = executed;
    let because = runner_because.as_ref().map(|because| format!(", as {because}")).unwrap_or_default();
    let mut lines = vec![format!("  run by the runner {runner}{because}")];
    if let Some(PackageChanges { installed, upgraded, removed }) = packages {
        lines.extend(installed.iter().map(|package| format!("  + package {} {}", package.name, package.version)));
        lines.extend(upgraded.iter().map(|package| {
            let Upgrade { name, from, to, .. } = package;
            format!("  M package {name} {from} to {to}")
        }));
        lines.extend(removed.iter().map(|package| format!("  - package {} {}", package.name, package.version)));
    }
    lines.extend(changes.iter().map(|FileChange { change, path, size_bytes }| {
        let sign = match change {
            customize::Change::Made => '+',
            customize::Change::Changed => 'M',
            customize::Change::Removed => '-',
        };
        let size = size_bytes.map(|bytes| format!(" ({})", ByteSize(bytes))).unwrap_or_default();
        format!("  {sign} {path}{size}")
    }));
    lines.extend(log.iter().map(|log| format!("  its output is in {}", log.display())));
    lines
}

/// What would be done, and the room that it takes.
fn plan(report: &Report) -> String {
    let mut lines: Vec<String> = report.operations.iter().flat_map(operation_lines).collect();
    for Room { volume, needed_bytes, available_bytes, needed_inodes, available_inodes } in &report.room {
        let (needed, available) = (ByteSize(*needed_bytes), ByteSize(*available_bytes));
        let mut line = format!("{volume} needs {needed} of {available} that are free");
        if let Some(available_inodes) = available_inodes {
            line.push_str(&format!(", and {needed_inodes} of {available_inodes} inodes"));
        }
        lines.push(line);
    }
    lines.push("this was a dry run: nothing was written".to_owned());
    lines.join("\n") + "\n"
}

fn size_already(report: &Report) -> String {
    let size = ByteSize(report.virtual_size_bytes);
    format!("the disk of {} has {size} already, and its root takes what it can", report.output)
}

/// By how much a file grew or shrank to `file_size_bytes`.
fn growth(edit: &InPlace, file_size_bytes: u64) -> String {
    let sign = if file_size_bytes < edit.old_file_size_bytes { '-' } else { '+' };
    format!("{sign}{}", ByteSize(file_size_bytes.abs_diff(edit.old_file_size_bytes)))
}

/// How many files got a label for SELinux, by its type.
fn labelled(labels: &[FileLabel]) -> String {
    let mut types: BTreeMap<&str, usize> = BTreeMap::new();
    for one in labels {
        // The type is what says who may do what with a file: `bin_t` of `system_u:object_r:bin_t:s0`.
        *types.entry(one.label.split(':').nth(2).unwrap_or(&one.label)).or_default() += 1;
    }
    let types: Vec<String> = types.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let files = words::count(labels.len() as u64, "new file", "new files").unwrap_or_default();
    format!("{files} for SELinux: {}", types.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_and_every_file_that_a_command_changed_has_a_line() {
        let package = |name: &str| guest::Package {
            name: name.to_owned(),
            version: "1-1".to_owned(),
            architecture: "amd64".to_owned(),
        };
        let upgraded = Upgrade {
            name: "libc6".to_owned(),
            architecture: "amd64".to_owned(),
            from: "2.36-9".to_owned(),
            to: "2.36-10".to_owned(),
        };
        let packages =
            PackageChanges { installed: vec![package("jq")], upgraded: vec![upgraded], removed: vec![package("nano")] };
        let change = |change, path: &str, size_bytes| FileChange { change, path: path.to_owned(), size_bytes };
        let changes = vec![
            change(customize::Change::Made, "/usr/bin/jq", Some(30_720)),
            change(customize::Change::Changed, "/etc", None),
            change(customize::Change::Removed, "/usr/bin/nano", Some(2048)),
        ];
        let executed = Executed {
            runner: "unpack",
            runner_because: Some("this machine makes no user namespaces for you".to_owned()),
            changes,
            packages: Some(packages),
            log: Some("/tmp/x.log".into()),
        };
        assert_eq!(
            change_lines(&executed),
            [
                "  run by the runner unpack, as this machine makes no user namespaces for you",
                "  + package jq 1-1",
                "  M package libc6 2.36-9 to 2.36-10",
                "  - package nano 1-1",
                "  + /usr/bin/jq (30.0 KiB)",
                "  M /etc",
                "  - /usr/bin/nano (2.0 KiB)",
                "  its output is in /tmp/x.log",
            ]
        );
    }
}
