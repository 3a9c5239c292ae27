//! `imgraft diff`: what differs between two images.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use graft::{OpenedFile, Scratch, scratch_overlay, temporary_folder};
use guest::FileKind;
use guest::diff::{
    self, BlockAccount, Facts, Found, OutsideChange, PathChange, PathChangeKind, Property, Side, TableChange, View,
    VolumeChange,
};
use image::Image;
use serde::Serialize;
use storage::{Extended, ReadAt, WriteAt};

use crate::cli::{Backing, Diff};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::account::{grouped, size, verdict};
use crate::show::{Messages, Spinner, print, print_json};

/// Everything that differs.
#[derive(Debug, Default, Serialize)]
struct Differences {
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<[u64; 2]>,
    partition_table: Vec<TableChange>,
    outside: Vec<OutsideChange>,
    volumes: Vec<VolumeChange>,
    paths: Vec<PathChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<Blocks>,
}

/// The account of every block.
#[derive(Debug, Serialize)]
struct Blocks {
    verdict: String,
    #[serde(flatten)]
    account: BlockAccount,
}

/// An image that is compared.
struct Opened {
    image: Arc<Image>,
    disk: Arc<Scratch>,
    view: View,
}

/// What was found so far, where it is not all kept for JSON.
#[derive(Default)]
struct Tally {
    differences: u64,
    unknown: u64,
    failure: Option<Failure>,
}

pub(super) fn run(arguments: &Diff, messages: &Messages) -> Result<Exit, Failure> {
    let (base, image) =
        (open(&arguments.base, arguments.backing, messages)?, open(&arguments.image, arguments.backing, messages)?);
    let spinner = Spinner::new(messages, "looking for blocks that differ");
    let differing =
        differing(&base, &image).map_err(|error| Failure::because("the images cannot be compared", &error))?;
    drop(spinner);
    let mut found = Differences::default();
    let mut tally = Tally::default();
    let sizes = [base.disk.size_bytes(), image.disk.size_bytes()];
    if sizes[0] != sizes[1] {
        tally.differences += 1;
        found.disk_bytes = Some(sizes);
        if !arguments.json {
            print(&format!("M disk: size {} -> {} bytes\n", sizes[0], sizes[1]))?;
        }
    }
    // What nothing explains is said first, for which the list has to be there before it is printed.
    let keeps = arguments.json || arguments.blocks;
    let mut kept = Vec::new();
    let listed = diff::diff(&base.view, &image.view, &differing, &mut |one| {
        tally.note(&one);
        match keeps {
            true => kept.push(one),
            false => tally.tell(&one),
        }
    })
    .map_err(|error| Failure::because("the images cannot be compared", &error))?;
    if arguments.blocks {
        let account = diff::account_for_listed(&base.view, &image.view, &differing, &listed)
            .map_err(|error| Failure::because("the blocks cannot be accounted for", &error))?;
        if !arguments.json {
            account.unexplained.iter().try_for_each(|place| print(&format!("! {place}\n")))?;
        }
        if !differing.is_empty() {
            tally.differences = tally.differences.max(1);
        }
        found.blocks = Some(Blocks { verdict: verdict(&account), account });
    }
    if arguments.json {
        kept.into_iter().for_each(|one| found.keep(one));
        print_json(&found)?;
    } else {
        kept.iter().for_each(|one| tally.tell(one));
        if let Some(blocks) = &found.blocks {
            print(&block_lines(&blocks.account))?;
            print(&format!("{}\n", blocks.verdict))?;
        }
    }
    tally.end(messages)
}

impl Tally {
    fn note(&mut self, found: &Found) {
        self.differences += 1;
        if matches!(found, Found::Path(PathChange { change: PathChangeKind::Unknown, .. })) {
            self.unknown += 1;
        }
    }

    /// Prints a difference, unless something could not be printed.
    fn tell(&mut self, found: &Found) {
        if self.failure.is_none() {
            self.failure = print(&text(found)).err();
        }
    }

    fn end(self, messages: &Messages) -> Result<Exit, Failure> {
        match (self.failure, self.unknown, self.differences) {
            (Some(failure), ..) => Err(failure),
            (None, 0, differences) => Ok(Exit::of_answer(differences == 0)),
            (None, unknown, _) => {
                messages.warning(format_args!("{unknown} of the paths could not be compared"));
                Ok(Exit::Trouble)
            }
        }
    }
}

impl Differences {
    fn keep(&mut self, found: Found) {
        match found {
            Found::Table(change) => self.partition_table.push(change),
            Found::Outside(change) => self.outside.push(change),
            Found::Volume(change) => self.volumes.push(change),
            Found::Path(change) => self.paths.push(change),
        }
    }
}

fn open(path: &Path, backing: Backing, messages: &Messages) -> Result<Opened, Failure> {
    let watcher = messages.watcher();
    let image = OpenedFile::look(path, &watcher)?.image(backing.into(), &temporary_folder(), &watcher)?.image;
    let disk = scratch_overlay(&image);
    let view = View::open(Arc::clone(&disk) as Arc<dyn WriteAt>)
        .map_err(|error| Failure::because(format!("`{}` cannot be used", path.display()), &error))?;
    for volume in view.volumes().iter().filter(|volume| volume.journal_replayed()) {
        let path = path.display();
        messages.note(format_args!("`{path}` is seen with the journal of {volume} replayed, as a mount would"));
    }
    Ok(Opened { image, disk, view })
}

/// Where the disks differ as they are seen, journals replayed.
fn differing(base: &Opened, image: &Opened) -> storage::Result<Vec<Range<u64>>> {
    let size = base.disk.size_bytes().max(image.disk.size_bytes());
    let whole = 0..size;
    let replayed = diff::union(&base.disk.changed(), &image.disk.changed());
    let (one, two) = (Extended::new(Arc::clone(&base.image), size), Extended::new(Arc::clone(&image.image), size));
    let as_they_are = diff::without(std::slice::from_ref(&whole), &replayed);
    let found = diff::differing(&one, &two, &as_they_are)?;
    Ok(diff::union(&found, &diff::differing(&base.disk, &image.disk, &replayed)?))
}

/// A line, or some.
fn text(found: &Found) -> String {
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

fn volume_text(change: &VolumeChange) -> String {
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

fn facts_text(facts: &Facts) -> String {
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
        FileKind::CharacterDevice => "character device",
        FileKind::BlockDevice => "block device",
        FileKind::Fifo => "FIFO",
        FileKind::Socket => "socket",
    }
}

/// What differs, with how it was and how it is where that is short.
fn what_text(what: &str, old: &Facts, new: &Facts) -> String {
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
fn block_lines(account: &BlockAccount) -> String {
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
