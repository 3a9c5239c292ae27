//! `imgraft ls`: files of an image, listed.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use guest::{FileKind, Guest, GuestPath, LastLink, Metadata, Printable};
use serde::Serialize;

use crate::cli::Ls;
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
    let guest = Looked::guest(&arguments.image, arguments.backing.into(), &messages.watcher())?;
    let path = guest_path(&arguments.path)?;
    let mut listing = Listing { guest: &guest, messages, count: 0, is_complete: true };
    let found = guest
        .find(&path, if arguments.path.as_bytes().ends_with(b"/") { LastLink::Follow } else { LastLink::Keep })
        .map_err(|error| Failure::of(&error))?;
    let mut sections = Vec::new();
    if found.node.kind() == FileKind::Directory {
        listing.directories(path, arguments.recursive, &mut sections)?;
    } else {
        let name = path.to_string();
        sections.push(Section { title: None, rows: vec![listing.row(&path, name)?] });
    }
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
    messages: &'a Messages,
    count: usize,
    /// Whether everything could be listed.
    is_complete: bool,
}

impl Listing<'_> {
    /// Lists the directory at `path` and, if `is_recursive`, those in it.
    fn directories(&mut self, path: GuestPath, is_recursive: bool, sections: &mut Vec<Section>) -> Result<(), Failure> {
        let mut pending = vec![path];
        while let Some(path) = pending.pop() {
            let entries = match self.guest.read_directory(&path) {
                Ok(entries) => entries,
                Err(error) if !sections.is_empty() => {
                    self.messages.failure(&Failure::of(&error));
                    self.is_complete = false;
                    continue;
                }
                Err(error) => return Err(Failure::of(&error)),
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
            sections.push(Section { title: is_recursive.then(|| path.to_string()), rows });
            if is_recursive {
                pending.extend(below.into_iter().rev());
            }
        }
        Ok(())
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
        // A guest without these files has numbers.
        let users = self.guest.user_names().unwrap_or_default();
        let groups = self.guest.group_names().unwrap_or_default();
        let mut text = String::new();
        for (index, section) in sections.iter().enumerate() {
            if let Some(title) = &section.title {
                text.push_str(&format!("{}{title}:\n", if index > 0 { "\n" } else { "" }));
            }
            text.push_str(&columns(&section.rows, &users, &groups));
        }
        text
    }
}

fn columns(rows: &[Row], users: &BTreeMap<u32, String>, groups: &BTreeMap<u32, String>) -> String {
    let name_of = |names: &BTreeMap<u32, String>, number: u32| match names.get(&number) {
        Some(name) => Printable(name.as_bytes()).to_string(),
        None => number.to_string(),
    };
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let size = match row.device {
                Some((major, minor)) => format!("{major}, {minor}"),
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

/// `drwxr-sr-t`.
fn permissions(metadata: &Metadata) -> String {
    let kind = match metadata.kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharacterDevice => 'c',
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
