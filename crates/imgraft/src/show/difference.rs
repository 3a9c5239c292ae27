//! What differs between two images, for people.

use guest::FileKind;
use guest::diff::{
    BlockAccount, Facts, Found, OutsideChange, PathChange, PathChangeKind, Property, Side, TableChange, VolumeChange,
};

use super::account::{grouped, size};

/// A line, or some.
pub(crate) fn text(found: &Found) -> String {
    match found {
        Found::Table(TableChange { partition, property }) => {
            let place = partition.map_or("partition table".to_owned(), |number| format!("partition {number}"));
            format!("M {place}: {}\n", property_text(property))
        }
        Found::Outside(OutsideChange { place, first_byte, sectors }) => {
            format!("M {place}: {} from byte {first_byte:#x} on\n", sectors_text(*sectors))
        }
        Found::Volume(change) => volume_text(change),
        Found::Path(change) => path_text(change),
    }
}

fn sectors_text(sectors: u64) -> String {
    if sectors == 1 { "1 sector".to_owned() } else { format!("{} sectors", grouped(sectors)) }
}

fn property_text(property: &Property) -> String {
    let Property { name, base, image } = property;
    match (base.is_empty(), image.is_empty()) {
        (true, true) => name.clone(),
        _ => format!("{name} {base} -> {image}"),
    }
}

pub(crate) fn volume_text(change: &VolumeChange) -> String {
    let VolumeChange { volume, only_in, properties, sectors } = change;
    match only_in {
        Some(Side::Base) => return format!("- {volume}\n"),
        Some(Side::Image) => return format!("+ {volume}\n"),
        None => {}
    }
    let mut text = String::new();
    for property in properties {
        text.push_str(&format!("M {volume}: {}\n", property_text(property)));
    }
    if let Some(sectors) = sectors {
        text.push_str(&format!("M {volume}: {}\n", sectors_text(*sectors)));
    }
    text
}

/// `+ /usr/local/bin/autonoe (0755 0:0, 104.9 MiB)`, `M /etc/hosts (content, size 12 -> 24)`.
fn path_text(change: &PathChange) -> String {
    let PathChange { change: kind, path, what, base, image, problem, .. } = change;
    let slash = |facts: &Option<Facts>| match facts {
        Some(Facts { kind: FileKind::Directory, .. }) if path != "/" => "/",
        _ => "",
    };
    match (kind, base, image) {
        (PathChangeKind::Unknown, ..) => format!("? {path}: {}\n", problem.as_deref().unwrap_or_default()),
        (PathChangeKind::Added, _, Some(facts)) => format!("+ {path}{} ({})\n", slash(image), facts_text(facts)),
        (PathChangeKind::Removed, Some(facts), _) => format!("- {path}{} ({})\n", slash(base), facts_text(facts)),
        (_, Some(old), Some(new)) => {
            let what: Vec<String> = what.iter().map(|what| what_text(what, old, new)).collect();
            format!("M {path}{} ({})\n", slash(image), what.join(", "))
        }
        _ => format!("M {path} ({})\n", what.join(", ")),
    }
}

pub(crate) fn facts_text(facts: &Facts) -> String {
    let owner = format!("{} {}:{}", facts.mode, facts.uid, facts.gid);
    match (facts.kind, &facts.target, facts.device, facts.size_bytes) {
        (FileKind::Symlink, Some(target), ..) => format!("{}:{}, symlink to {target}", facts.uid, facts.gid),
        (kind, _, Some((major, minor)), _) => format!("{owner}, {} {major}, {minor}", kind_text(kind)),
        (FileKind::Regular, _, _, Some(bytes)) => format!("{owner}, {}", size(bytes)),
        (FileKind::Directory, ..) => owner,
        (kind, ..) => format!("{owner}, {}", kind_text(kind)),
    }
}

fn kind_text(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::CharDevice => "character device",
        FileKind::BlockDevice => "block device",
        FileKind::Fifo => "FIFO",
        FileKind::Socket => "socket",
    }
}

/// What differs, with how it was and how it is where that is short.
pub(crate) fn what_text(what: &str, old: &Facts, new: &Facts) -> String {
    let change = |old: String, new: String| format!("{what} {old} -> {new}");
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    match what {
        "kind" => change(kind_text(old.kind).to_owned(), kind_text(new.kind).to_owned()),
        "mode" => change(old.mode.clone(), new.mode.clone()),
        "owner" => change(format!("{}:{}", old.uid, old.gid), format!("{}:{}", new.uid, new.gid)),
        "size" => change(number(old.size_bytes), number(new.size_bytes)),
        "target" => change(old.target.clone().unwrap_or_default(), new.target.clone().unwrap_or_default()),
        "hard links" if old.links != new.links => {
            change(number(old.links.map(u64::from)), number(new.links.map(u64::from)))
        }
        _ => what.to_owned(),
    }
}

/// What the blocks that differ are, a line for each partition.
pub(crate) fn block_lines(account: &BlockAccount) -> String {
    let mut text = String::new();
    for volume in &account.volumes {
        let kinds: Vec<String> =
            volume.kinds.iter().map(|count| format!("{} {}", grouped(count.blocks), count.kind)).collect();
        let remade = if volume.is_remade { ", another file system" } else { "" };
        let list = if kinds.is_empty() { "none explained".to_owned() } else { kinds.join(", ") };
        text.push_str(&format!("{}: blocks of {} bytes: {list}{remade}\n", volume.volume, volume.block_size_bytes));
    }
    text
}
