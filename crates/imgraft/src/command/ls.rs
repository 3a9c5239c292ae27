//! `imgraft ls`: files of an image, listed.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::{FileKind, Guest, GuestPath, LastLink, Metadata, Printable};
use serde::Serialize;

use crate::cli::ls::Ls;
use crate::command::guest_path;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{Messages, print, print_json};
use crate::show::{minutes, rfc3339};
use graft::Looked;

/// The most files that are listed: a damaged directory can be inside itself.
const MAX_FILES: usize = 1 << 22;

/// A file as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    path: String,
    kind: FileKind,
    mode: String,
    links: u32,
    uid: u32,
    gid: u32,
    size_bytes: u64,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    metadata: Metadata,
}

/// A directory's files, or the one file that was asked for.
struct Section {
    title: Option<String>,
    rows: Vec<Row>,
}

pub(super) fn run(arguments: &Ls, messages: &Messages) -> Result<Exit, Failure> {
    let guest = Looked::guest(
        &arguments.image,
        arguments.part.place().as_ref(),
        arguments.backing.into(),
        &messages.watcher(),
    )?;
    let mut listing = Listing { guest: &guest, arguments, messages, count: 0, is_complete: true };
    let sections = listing.sections()?;
    if arguments.json {
        let rows: Vec<&Row> = sections.iter().flat_map(|section| &section.rows).collect();
        print_json(&rows)?;
    } else {
        print(&listing.text(&sections))?;
    }
    Ok(if listing.is_complete { Exit::Done } else { Exit::Trouble })
}

struct Listing<'a> {
    guest: &'a Guest,
    arguments: &'a Ls,
    messages: &'a Messages,
    count: usize,
    /// Whether everything could be listed.
    is_complete: bool,
}

impl Listing<'_> {
    /// All that was asked for: files first, and then the content of directories, as `ls` does it.
    fn sections(&mut self) -> Result<Vec<Section>, Failure> {
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        for argument in &self.arguments.paths {
            match self.look_at(argument) {
                Ok((path, true)) => directories.push(path),
                Ok((path, false)) => {
                    let name = path.to_string();
                    files.push(self.row(&path, name)?);
                }
                Err(failure) => self.leave_out(failure)?,
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        directories.sort_by(|one: &GuestPath, other| one.as_bytes().cmp(other.as_bytes()));
        let mut sections = Vec::new();
        if !files.is_empty() {
            sections.push(Section { title: None, rows: self.sorted(files) });
        }
        for path in directories {
            self.directories(path, &mut sections)?;
        }
        Ok(sections)
    }

    /// The path that is asked for, and whether it is what is in it that is to be listed.
    fn look_at(&self, argument: &OsStr) -> Result<(GuestPath, bool), Failure> {
        let path = guest_path(argument)?;
        let last = if argument.as_bytes().ends_with(b"/") { LastLink::Follow } else { LastLink::Keep };
        let found = self.guest.find(&path, last).map_err(|error| Failure::of(&error))?;
        Ok((path, found.node.kind() == FileKind::Directory && !self.arguments.directory))
    }

    /// One that cannot be looked at does not hide the others.
    fn leave_out(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.arguments.paths.len() == 1 {
            return Err(failure);
        }
        self.messages.failure(&failure);
        self.is_complete = false;
        Ok(())
    }

    /// Lists the directory at `path` and, if that is asked for, those in it.
    fn directories(&mut self, path: GuestPath, sections: &mut Vec<Section>) -> Result<(), Failure> {
        let is_recursive = self.arguments.recursive;
        let has_title = is_recursive || self.arguments.paths.len() > 1;
        let mut pending = vec![path];
        while let Some(path) = pending.pop() {
            let entries = match self.guest.read_directory(&path) {
                Ok(entries) => entries,
                Err(error) if !sections.is_empty() => {
                    self.messages.failure(&Failure::of(&error));
                    self.is_complete = false;
                    continue;
                }
                Err(error) => {
                    self.leave_out(Failure::of(&error))?;
                    continue;
                }
            };
            self.count += entries.len();
            if self.count > MAX_FILES {
                return Err(Failure::new(format!("there are more than {MAX_FILES} files below `{path}`")));
            }
            let mut rows = Vec::new();
            let mut below = Vec::new();
            for entry in entries {
                let Ok(child) = path.join(&entry.name) else { continue };
                if entry.kind == FileKind::Directory {
                    below.push(child.clone());
                }
                match self.row(&child, Printable(&entry.name).to_string()) {
                    Ok(row) => rows.push(row),
                    // One file that cannot be looked at does not hide the others.
                    Err(failure) => {
                        self.messages.failure(&failure);
                        self.is_complete = false;
                    }
                }
            }
            sections.push(Section { title: has_title.then(|| path.to_string()), rows: self.sorted(rows) });
            if is_recursive {
                pending.extend(below.into_iter().rev());
            }
        }
        Ok(())
    }

    /// The rows in the order that is asked for; they come sorted by name.
    fn sorted(&self, mut rows: Vec<Row>) -> Vec<Row> {
        if self.arguments.by_time {
            rows.sort_by_key(|row| Reverse(row.metadata.modified));
        } else if self.arguments.by_size {
            rows.sort_by_key(|row| Reverse(row.size_bytes));
        }
        if self.arguments.reverse {
            rows.reverse();
        }
        rows
    }

    fn row(&self, path: &GuestPath, name: String) -> Result<Row, Failure> {
        let read = || -> Result<_, guest::Error> {
            let found = self.guest.find(path, LastLink::Keep)?;
            let metadata = self.guest.metadata(&found.node)?;
            let target = match metadata.kind {
                FileKind::Symlink => Some(Printable(&self.guest.read_link(path)?).to_string()),
                _ => None,
            };
            Ok((metadata, target))
        };
        let (metadata, target) = read().map_err(|error| Failure::of(&error))?;
        Ok(Row {
            path: path.to_string(),
            kind: metadata.kind,
            mode: format!("{:04o}", metadata.permissions),
            links: metadata.links,
            uid: metadata.uid,
            gid: metadata.gid,
            size_bytes: metadata.size_bytes,
            modified: rfc3339(metadata.modified),
            target,
            device: metadata.device,
            name,
            metadata,
        })
    }

    fn text(&self, sections: &[Section]) -> String {
        // A guest without these files has numbers, and so has who asks for them.
        let is_numeric = self.arguments.numeric_uid_gid;
        let names =
            |names: Result<_, guest::Error>| if is_numeric { BTreeMap::new() } else { names.unwrap_or_default() };
        let (users, groups) = (names(self.guest.user_names()), names(self.guest.group_names()));
        let mut text = String::new();
        for (index, section) in sections.iter().enumerate() {
            let blank = if index > 0 { "\n" } else { "" };
            text.push_str(blank);
            if let Some(title) = &section.title {
                text.push_str(&format!("{title}:\n"));
            }
            match self.arguments.names && !self.arguments.long {
                true => section.rows.iter().for_each(|row| text.push_str(&format!("{}\n", row.name))),
                false => text.push_str(&self.columns(&section.rows, &users, &groups)),
            }
        }
        text
    }

    fn columns(&self, rows: &[Row], users: &BTreeMap<u32, String>, groups: &BTreeMap<u32, String>) -> String {
        let name_of = |names: &BTreeMap<u32, String>, number: u32| match names.get(&number) {
            Some(name) => Printable(name.as_bytes()).to_string(),
            None => number.to_string(),
        };
        let cells: Vec<[String; 4]> = rows
            .iter()
            .map(|row| {
                let size = match row.device {
                    Some((major, minor)) => format!("{major}, {minor}"),
                    None if self.arguments.human_readable => short_size(row.size_bytes),
                    None => row.size_bytes.to_string(),
                };
                [row.links.to_string(), name_of(users, row.uid), name_of(groups, row.gid), size]
            })
            .collect();
        let width = |column: usize| cells.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let (links, user, group, size) = (width(0), width(1), width(2), width(3));
        let line = |(row, cells): (&Row, &[String; 4])| {
            let target = row.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
            format!(
                "{} {:>links$} {:<user$} {:<group$} {:>size$} {} {}{target}\n",
                permissions(&row.metadata),
                cells[0],
                cells[1],
                cells[2],
                cells[3],
                minutes(row.metadata.modified),
                row.name
            )
        };
        rows.iter().zip(&cells).map(line).collect()
    }
}

/// `512`, `1.5K`, `12M`, rounded up, as `ls -h` has them.
fn short_size(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut unit = 1024;
    for letter in ["K", "M", "G", "T", "P"] {
        let tenths = (u128::from(bytes) * 10).div_ceil(unit);
        if tenths < 100 {
            return format!("{}.{}{letter}", tenths / 10, tenths % 10);
        }
        let whole = u128::from(bytes).div_ceil(unit);
        if whole < 1024 {
            return format!("{whole}{letter}");
        }
        unit *= 1024;
    }
    format!("{}E", u128::from(bytes).div_ceil(unit))
}

/// `drwxr-sr-t`.
fn permissions(metadata: &Metadata) -> String {
    let kind = match metadata.kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    };
    let bits = metadata.permissions;
    let mut text = String::from(kind);
    for (shift, special_bit, special) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let may = |bit: u16| bits >> shift & bit != 0;
        text.push(if may(4) { 'r' } else { '-' });
        text.push(if may(2) { 'w' } else { '-' });
        text.push(match (may(1), bits & special_bit != 0) {
            (true, true) => special,
            (false, true) => special.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}
