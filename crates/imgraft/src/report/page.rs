//! The report as one self-contained page.

use ::page::{Made, Markup};
use askama::Template;
use customize::PackageChanges;
use graft::{Extent, PartitionChange};
use guest::diff::{BlockAccount, Found, VolumeAccount};

use super::ImageReport;
use super::disk::{Drawing, drawings};
use super::paths::{self, Directory, Row, Tally, signed};
use crate::show::account::{grouped, size};
use crate::show::difference::text;
use graft::Finding;

const STYLE: &str = include_str!("../../templates/report.css");
const SCRIPT: &str = include_str!("../../templates/report.js");

/// The most of each list that the page has. What is left out is counted.
const MAX_OPERATIONS: usize = 500;
const MAX_OTHERS: usize = 100;
const MAX_PACKAGES: usize = 5_000;
const MAX_FINDINGS: usize = 500;
const MAX_UNEXPLAINED: usize = 100;
/// So few paths are seen at a glance, and need no sums.
const FEW_PATHS: usize = 12;

/// `templates/report.html`, which escapes every text that it is given.
#[derive(Template)]
#[template(path = "report.html")]
struct Body<'a> {
    report: &'a ImageReport<'a>,
    facts: Vec<String>,
    /// The identifier and the name of each section.
    sections: Vec<(&'static str, &'static str)>,
    verdict: String,
    figures: Vec<Figure>,
    drawings: [Drawing; 2],
    has_lost: bool,
    partitions: Vec<PartitionRow>,
    others: Vec<String>,
    others_left_out: usize,
    operations: Vec<&'a str>,
    operations_left_out: usize,
    tally: String,
    directories: Vec<Directory>,
    directories_left_out: usize,
    rows: Vec<Row>,
    rows_listed: String,
    rows_noun: &'static str,
    rows_left_out: usize,
    packages_text: String,
    packages: Vec<PackageRow<'a>>,
    packages_left_out: usize,
    findings: &'a [Finding],
    findings_left_out: usize,
    volumes: Vec<VolumeRow<'a>>,
    unexplained: Vec<String>,
    unexplained_left_out: usize,
    provenance: Vec<(&'static str, String)>,
    boots: Vec<(&'a str, Markup)>,
}

/// A number that stands at the top.
struct Figure {
    name: &'static str,
    value: String,
    note: String,
}

struct PartitionRow {
    name: String,
    file_system: String,
    mounted_at: String,
    size: String,
    used_before: String,
    used_after: String,
    free_after: String,
    changed: String,
}

struct PackageRow<'a> {
    change: &'static str,
    name: &'a str,
    architecture: &'a str,
    before: &'a str,
    after: &'a str,
}

struct VolumeRow<'a> {
    name: &'a str,
    numbers: [String; 7],
    kinds: String,
}

/// The page. It loads nothing, and says what was left out of a list that is too long.
pub(crate) fn page(report: &ImageReport<'_>, made: &Made) -> String {
    let comparison = report.comparison;
    let paths = &comparison.differences.paths;
    let drawings = drawings(comparison);
    let others = others(report);
    let rows = paths::rows(paths);
    let (directories, directories_left_out) = match paths.len() > FEW_PATHS {
        true => paths::directories(paths),
        false => (Vec::new(), 0),
    };
    let packages = comparison.packages.as_ref();
    let package_rows = packages.map(package_rows).unwrap_or_default();
    let unexplained = &report.blocks.unexplained;
    let body = Body {
        report,
        facts: facts(report, made),
        sections: sections(report),
        verdict: verdict(report),
        figures: figures(report),
        has_lost: drawings[0].partitions.iter().any(|part| part.lost.is_some()),
        drawings,
        partitions: comparison.partitions.iter().map(PartitionRow::of).collect(),
        others_left_out: others.len().saturating_sub(MAX_OTHERS),
        others: others.into_iter().take(MAX_OTHERS).collect(),
        operations: report.operations.iter().take(MAX_OPERATIONS).map(|operation| &*operation.text).collect(),
        operations_left_out: report.operations.len().saturating_sub(MAX_OPERATIONS),
        tally: Tally::of(paths).text(),
        directories,
        directories_left_out,
        rows_listed: grouped(rows.len() as u64),
        rows_noun: if rows.len() == 1 { "path" } else { "paths" },
        rows_left_out: paths.len() - rows.len(),
        rows,
        packages_text: packages_text(packages),
        packages_left_out: package_rows.len().saturating_sub(MAX_PACKAGES),
        packages: package_rows.into_iter().take(MAX_PACKAGES).collect(),
        findings: report.findings.get(..MAX_FINDINGS).unwrap_or(&report.findings),
        findings_left_out: report.findings.len().saturating_sub(MAX_FINDINGS),
        volumes: report.blocks.volumes.iter().map(VolumeRow::of).collect(),
        unexplained: unexplained.iter().take(MAX_UNEXPLAINED).map(ToString::to_string).collect(),
        unexplained_left_out: unexplained.len().saturating_sub(MAX_UNEXPLAINED),
        provenance: provenance(report, made),
        boots: report.boots.iter().map(|boot| (&*boot.name, judge::report::timeline(boot))).collect(),
    };
    let title = format!("{}: what changed", report.image.path);
    let body = ::page::markup(&body);
    ::page::Page { title: &title, body, command: "imgraft", style: STYLE, script: Some(SCRIPT) }.render()
}

fn facts(report: &ImageReport<'_>, made: &Made) -> Vec<String> {
    let image = &report.image;
    let dry_run = report.dry_run.then(|| "not written: a dry run".to_owned());
    let file = image.file_size_bytes.map(size);
    let disk = format!("disk of {}", size(report.comparison.disk_bytes.to));
    let made = [format!("imgraft {}", made.version), made.date.clone()];
    let parts = [dry_run, image.format.clone(), file, Some(disk), report.comparison.system.clone()];
    parts.into_iter().flatten().chain(made).collect()
}

fn sections(report: &ImageReport<'_>) -> Vec<(&'static str, &'static str)> {
    let sections = [
        (true, "disk", "Disk"),
        (!report.operations.is_empty(), "steps", "What was asked for"),
        (true, "files", "Files"),
        (true, "packages", "Packages"),
        (!report.findings.is_empty(), "findings", "Fit and hygiene"),
        (true, "blocks", "Blocks"),
        (true, "provenance", "Provenance"),
        (!report.boots.is_empty(), "boots", "Boot"),
    ];
    sections.into_iter().filter(|(is_there, ..)| *is_there).map(|(_, id, name)| (id, name)).collect()
}

fn verdict(report: &ImageReport<'_>) -> String {
    match report.dry_run {
        true => format!("It would change {}.", report.verdict),
        false => format!("Changed {}.", report.verdict),
    }
}

fn figures(report: &ImageReport<'_>) -> Vec<Figure> {
    let figure = |name, value: String, note: String| Figure { name, value, note };
    let tally = Tally::of(&report.comparison.differences.paths);
    let mut figures = vec![
        figure(
            "paths",
            format!("+{} \u{2212}{}", grouped(tally.added), grouped(tally.removed)),
            format!("{} changed", grouped(tally.changed)),
        ),
        figure("in files", signed(tally.grown_bytes), String::new()),
    ];
    if let Some(PackageChanges { installed, upgraded, removed }) = &report.comparison.packages {
        let [installed, upgraded, removed] =
            [installed.len(), upgraded.len(), removed.len()].map(|count| grouped(count as u64));
        figures.push(figure(
            "packages",
            format!("+{installed} \u{2212}{removed}"),
            format!("{upgraded} in another version"),
        ));
    }
    if let Some(bytes) = report.image.file_size_bytes {
        let base = report.base.file_size_bytes.map(|base| signed(i128::from(bytes) - i128::from(base)));
        figures.push(figure("image file", size(bytes), base.unwrap_or_default()));
    }
    figures.push(figure("unexplained", grouped(unexplained_blocks(report.blocks)), "blocks".to_owned()));
    figures
}

fn unexplained_blocks(account: &BlockAccount) -> u64 {
    account.unexplained_blocks.max(account.unexplained.len() as u64)
}

/// What differs and is in no file, a line each.
fn others(report: &ImageReport<'_>) -> Vec<String> {
    let differences = &report.comparison.differences;
    let tables = differences.partition_table.iter().cloned().map(Found::Table);
    let outside = differences.outside.iter().cloned().map(Found::Outside);
    let volumes = differences.volumes.iter().cloned().map(Found::Volume);
    let lines: String = tables.chain(outside).chain(volumes).map(|found| text(&found)).collect();
    lines.lines().map(|line| line.strip_prefix("M ").unwrap_or(line).to_owned()).collect()
}

fn package_rows(changes: &PackageChanges) -> Vec<PackageRow<'_>> {
    let PackageChanges { installed, upgraded, removed } = changes;
    let installed = installed.iter().map(|package| PackageRow {
        change: "added",
        name: &package.name,
        architecture: &package.architecture,
        before: "",
        after: &package.version,
    });
    let upgraded = upgraded.iter().map(|upgrade| PackageRow {
        change: "changed",
        name: &upgrade.name,
        architecture: &upgrade.architecture,
        before: &upgrade.from,
        after: &upgrade.to,
    });
    let removed = removed.iter().map(|package| PackageRow {
        change: "removed",
        name: &package.name,
        architecture: &package.architecture,
        before: &package.version,
        after: "",
    });
    installed.chain(upgraded).chain(removed).collect()
}

fn packages_text(packages: Option<&PackageChanges>) -> String {
    match packages {
        None => "Packages were not compared: imgraft reads dpkg's list, and there is none that it can read.".to_owned(),
        Some(changes) if changes.is_empty() => "No package changed.".to_owned(),
        Some(PackageChanges { installed, upgraded, removed }) => {
            let [installed, upgraded, removed] =
                [installed.len(), upgraded.len(), removed.len()].map(|count| grouped(count as u64));
            format!("{installed} added, {upgraded} in another version, {removed} removed")
        }
    }
}

fn provenance(report: &ImageReport<'_>, made: &Made) -> Vec<(&'static str, String)> {
    let code = |text: &String| format!("`{}`", text.replace('`', "'"));
    let mut facts = Vec::new();
    if let Some(published) = &report.published {
        facts.push(("base", published.name.clone()));
        facts.push(("published at", code(&published.address)));
        facts.push(("its digest", code(&published.digest)));
        facts.push(("trusted, as", published.verified.clone()));
        facts.extend(published.lock.as_ref().map(|lock| ("locked in", code(lock))));
    }
    for (file, name, digest) in
        [(&report.base, "base's file", "its SHA-256"), (&report.image, "image's file", "its SHA-256")]
    {
        let size = file.file_size_bytes.map(|bytes| format!(", {} bytes", grouped(bytes))).unwrap_or_default();
        facts.push((name, format!("{}{size}", code(&file.path))));
        facts.extend(file.sha256.as_ref().map(|sha256| (digest, code(sha256))));
    }
    facts.push(("report by", format!("imgraft {}, {}", made.version, made.date)));
    facts
}

impl PartitionRow {
    fn of(partition: &PartitionChange) -> Self {
        let PartitionChange { number, logical_volume, label, r#type, base, image, changed_bytes, .. } = partition;
        let number = number.map(|number| number.to_string()).or_else(|| logical_volume.clone());
        let name = label.clone().or(r#type.clone());
        let used = |extent: &Option<Extent>| extent.and_then(|extent| extent.used_bytes).map(size).unwrap_or_default();
        let sizes = [base, image].map(|extent| extent.map(|extent| extent.size_bytes));
        Self {
            name: match (number, name) {
                (Some(number), Some(name)) => format!("{number} {name}"),
                (number, name) => number.or(name).unwrap_or_else(|| "whole disk".to_owned()),
            },
            file_system: partition.file_system.unwrap_or_default().to_owned(),
            mounted_at: partition.mounted_at.clone().unwrap_or_default(),
            size: match sizes {
                [Some(base), Some(image)] if base != image => format!("{} \u{2192} {}", size(base), size(image)),
                [None, Some(image)] => format!("{}, new", size(image)),
                [Some(base), None] => format!("{}, gone", size(base)),
                [base, image] => image.or(base).map(size).unwrap_or_default(),
            },
            used_before: used(base),
            used_after: used(image),
            free_after: image.and_then(|extent| extent.free_bytes).map(size).unwrap_or_default(),
            changed: size(*changed_bytes),
        }
    }
}

impl<'a> VolumeRow<'a> {
    fn of(volume: &'a VolumeAccount) -> Self {
        let kinds: Vec<String> =
            volume.kinds.iter().map(|count| format!("{} {}", grouped(count.blocks), count.kind)).collect();
        Self {
            name: &volume.volume,
            numbers: [
                u64::from(volume.block_size_bytes),
                volume.inodes,
                volume.metadata_blocks,
                volume.data_blocks,
                volume.free_blocks,
                volume.recovered_blocks,
                volume.unexplained_blocks,
            ]
            .map(grouped),
            kinds: kinds.join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::paths::MAX_ROWS;
    use super::super::sample::{EVIL, TURNED, added, made, sample};
    use super::*;

    #[test]
    fn no_name_is_markup_and_none_turns_the_line() {
        let sample = sample([]);
        let page = page(&sample.report(), &made());
        assert!(!page.contains("<script>document") && !page.contains("onerror=\"") && !page.contains(EVIL));
        for part in ["<img", "url(", "@import", "<link", "javascript:"] {
            assert!(!page.contains(part), "{part}");
        }
        assert!(!page.contains(['\u{202e}', '\u{2066}']));
        assert!(page.contains("<code>/srv/[U+202E]txt.exe[U+2066]\\x0a`x`</code>"), "{TURNED}");
        // Once each: title, heading, system, warning, row, target of a symlink, package, two findings, volume twice,
        // unexplained place, file, module of the boot (each drawing has it twice).
        assert!(page.matches("&#60;script&#62;document").count() >= 14);
    }

    #[test]
    fn every_section_is_named_and_linked_and_an_empty_one_is_left_out() {
        let sample = sample([]);
        let mut report = sample.report();
        let full = page(&report, &made());
        for id in ["disk", "files", "packages", "findings", "blocks", "provenance", "boots"] {
            let is_there = |part: &str| full.contains(&format!("{part}{id}\""));
            assert!(is_there("href=\"#") && is_there(" id=\"") && is_there("aria-labelledby=\""), "{id}");
        }
        report.findings.clear();
        report.boots.clear();
        let page = page(&report, &made());
        for id in ["findings", "boots", "steps"] {
            assert!(!page.contains(&format!("#{id}")) && !page.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(page.contains("1 changed") && page.contains("Nothing explains these:"));
    }

    #[test]
    fn what_is_too_long_is_cut_and_counted() {
        let more = (0..MAX_ROWS as u64).map(|at| added(&format!("/opt/{at:06}"), at + 100));
        let mut sample = sample(more);
        let place = sample.blocks.unexplained[0].clone();
        sample.blocks.unexplained = vec![place; MAX_UNEXPLAINED + 3];
        let page = page(&sample.report(), &made());
        // The sample has 27 paths of its own.
        assert!(page.contains("The list has the 20,000 paths with the largest files; 27 more are left out."));
        assert!(page.contains("<p>3 more are left out.</p>"));
        assert_eq!(page.matches("<td class=\"change ").count(), MAX_ROWS + 4);
        assert!(page.len() < 8 << 20, "{}", page.len());
    }
}
