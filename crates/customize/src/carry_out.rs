//! Carrying operations out in a guest, one after the other.

use std::cell::Cell;
use std::fmt;

use guest::resolve::{Found, LastLink, Lookup};
use guest::{Attributes, FileKind, FreeSpace, Guest, GuestPath, Location, PathProblem, Time, Times};
use serde::Serialize;

use crate::error::Error;
use crate::inherit::NEW_DIRECTORY;
use crate::operation::Operation;
use crate::report::Report;
use crate::source::Source;

/// Directories over which every guest mounts something before anything of the image is used.
const HIDDEN_AT_BOOT: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// The mode of directories that have to be made on the way to something.
pub(crate) const PARENT_PERMISSIONS: u16 = 0o755;

/// From this size in bytes on, a source may be kept in place of its bytes.
pub(crate) const KEPT_SOURCE_BYTES: u64 = 1 << 20;

/// The largest file of the guest that is read whole to be edited, in bytes.
pub(crate) const EDIT_LIMIT_BYTES: u64 = 8 << 20;

/// How operations are carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The time that everything new gets. Where this is `None`, it is a source's own, and the time at
    /// which the root's file system was last written to for what has no source.
    pub modified: Option<Time>,
    /// Whether directories on the way to what an operation names have to be there. Where this is not set, they
    /// are made; `mkdir` makes them either way, and a `put` says it itself.
    pub existing_parents: bool,
    /// Whether nothing is said of what was done as asked and is often a slip: a program that nobody may
    /// execute, a file that `append` made.
    pub without_advice: bool,
}

/// Something that was done as asked, and may not be what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The guest mounts something over it at boot.
    HiddenAtBoot {
        /// What.
        path: GuestPath,
        /// Where something is mounted.
        mount_point: &'static str,
    },
    /// A mode was asked for where there are none.
    ModeIgnored {
        /// Where.
        path: GuestPath,
    },
    /// Nothing in a file was what should be replaced.
    NoMatch {
        /// The file.
        path: GuestPath,
        /// What was looked for.
        pattern: String,
    },
    /// The guest enforces SELinux, and what is new has no label.
    Unlabelled,
    /// What is in a folder of programs, and nobody may execute it.
    NotExecutable {
        /// What.
        path: GuestPath,
        /// How many more there are.
        more: usize,
    },
    /// Something else, in words.
    Other(String),
}

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// What each operation came to, in their order.
    pub reports: Vec<Report>,
    /// What may not be what is wanted.
    pub warnings: Vec<Warning>,
    /// What it takes of each file system that is fuller now.
    pub room: Vec<Room>,
    kept: Vec<Source>,
}

/// What operations take of a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Which one: `partition 1 (ext4 cloudimg-rootfs)`.
    pub volume: String,
    /// What is taken, in bytes.
    pub needed_bytes: u64,
    /// What was free before, in bytes.
    pub available_bytes: u64,
    /// Inodes that are taken.
    pub needed_inodes: u64,
    /// Inodes that were free before, where there are inodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_inodes: Option<u64>,
}

/// Somebody who is told how far the operations are.
pub trait Watch {
    /// The operation with this index is next; behind the last one, all of them are done.
    fn begins(&self, index: usize) {
        let _ = index;
    }

    /// So many bytes of content are done, of those that are known to be there.
    fn progress(&self, done_bytes: u64, expected_bytes: u64);
}

impl<F: Fn(u64, u64)> Watch for F {
    fn progress(&self, done_bytes: u64, expected_bytes: u64) {
        self(done_bytes, expected_bytes);
    }
}

/// Carries out `operations` in `guest`, in their order, and flushes it: each sees what those before it
/// did. `watch` is told how far that is.
///
/// # Errors
///
/// What is missing, in the way or too large. A part is done then: the disk behind the guest is not to
/// be used.
pub fn carry_out(
    guest: &mut Guest,
    operations: &[Operation],
    options: &Options,
    watch: &dyn Watch,
) -> Result<Done, Error> {
    let before = free_space(guest)?;
    let now = options.modified.unwrap_or(guest.written());
    let progress = Progress { done_bytes: Cell::new(0), expected_bytes: Cell::new(0), watch };
    let mut work = Work { guest, options, now, warnings: Vec::new(), kept: Vec::new(), programs: Vec::new(), progress };
    let mut reports = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        watch.begins(index);
        if options.existing_parents {
            work.expect_parents(operation)?;
        }
        reports.push(work.carry_out(operation).map_err(Error::no_space)?);
    }
    watch.begins(operations.len());
    if !operations.is_empty() {
        work.warn_of_labels()?;
        work.warn_of_programs()?;
    }
    let Work { warnings, kept, .. } = work;
    guest.flush()?;
    let room = before.into_iter().zip(free_space(guest)?).filter_map(|(before, after)| Room::of(before, &after));
    Ok(Done { reports, warnings, room: room.collect(), kept })
}

impl Done {
    /// Adds what was done after this, in another system of the same disk.
    pub fn append(&mut self, later: Self) {
        self.reports.extend(later.reports);
        self.warnings.extend(later.warnings);
        self.room.extend(later.room);
        self.kept.extend(later.kept);
    }

    /// Refuses sources that are no longer what they were. To be called when everything has been
    /// read from the disk behind the guest, which may read large sources only then.
    ///
    /// # Errors
    ///
    /// [`Error::SourceChanged`], [`Error::Source`].
    pub fn check_sources(&self) -> Result<(), Error> {
        self.kept.iter().try_for_each(|source| source.open().map(drop))
    }
}

/// The file systems' names and what is free in them.
fn free_space(guest: &Guest) -> Result<Vec<(String, FreeSpace)>, Error> {
    let mut spaces = Vec::new();
    for volume in guest.volumes() {
        let Some(file_system) = volume.file_system() else { continue };
        let error = |error| guest::Error::FileSystem { volume: volume.to_string(), path: None, error };
        spaces.push((volume.to_string(), file_system.free_space().map_err(error)?));
    }
    Ok(spaces)
}

impl Room {
    /// What was taken between `before` and `after`, if anything was.
    fn of((volume, before): (String, FreeSpace), (_, after): &(String, FreeSpace)) -> Option<Self> {
        let inodes = |space: &FreeSpace| space.free_inodes.map(u64::from);
        let room = Self {
            volume,
            needed_bytes: before.free_bytes().saturating_sub(after.free_bytes()),
            available_bytes: before.free_bytes(),
            needed_inodes: inodes(&before).unwrap_or(0).saturating_sub(inodes(after).unwrap_or(0)),
            available_inodes: inodes(&before),
        };
        (room.needed_bytes > 0 || room.needed_inodes > 0).then_some(room)
    }
}

/// How far the content is.
pub(crate) struct Progress<'a> {
    done_bytes: Cell<u64>,
    expected_bytes: Cell<u64>,
    watch: &'a dyn Watch,
}

impl Progress<'_> {
    /// There are so many bytes more to do.
    pub(crate) fn expect(&self, bytes: u64) {
        self.expected_bytes.set(self.expected_bytes.get() + bytes);
        self.watch.progress(self.done_bytes.get(), self.expected_bytes.get());
    }

    /// So many bytes more are done.
    pub(crate) fn add(&self, bytes: u64) {
        self.done_bytes.set(self.done_bytes.get() + bytes);
        self.watch.progress(self.done_bytes.get(), self.expected_bytes.get());
    }
}

/// A guest that operations are being carried out in.
pub(crate) struct Work<'a> {
    pub(crate) guest: &'a mut Guest,
    pub(crate) options: &'a Options,
    /// The time of what has no time of its own.
    pub(crate) now: Time,
    pub(crate) warnings: Vec<Warning>,
    /// Sources that are read only when the disk behind the guest is.
    pub(crate) kept: Vec<Source>,
    /// Files that were put into folders of programs without a mode that lets anybody execute them.
    pub(crate) programs: Vec<GuestPath>,
    pub(crate) progress: Progress<'a>,
}

/// Where something is to be written.
pub(crate) struct Place {
    /// Where it really is: no symlink and no `..` in it.
    pub(crate) path: GuestPath,
    /// What is there now.
    pub(crate) found: Option<Location>,
    /// Directories that were made on the way.
    pub(crate) parents: Vec<String>,
}

impl Work<'_> {
    /// Carries out one operation.
    fn carry_out(&mut self, operation: &Operation) -> Result<Report, Error> {
        match operation {
            Operation::Put(put) => self.put(put),
            Operation::Write(write) => self.write(write),
            Operation::Append(append) => self.append(append),
            Operation::Mkdir(mkdir) => self.mkdir(mkdir),
            Operation::Touch(touch) => self.touch(touch),
            Operation::Remove(remove) => self.remove(remove),
            Operation::Link(link) => self.link(link),
            Operation::Chmod(chmod) => self.chmod(chmod),
            Operation::Chown(chown) => self.chown(chown),
            Operation::Hostname(hostname) => self.hostname(hostname),
            Operation::Timezone(timezone) => self.timezone(timezone),
            Operation::User(user) => self.user(user),
            Operation::Password(password) => self.password(password),
            Operation::SshKey(key) => self.ssh_key(key),
            Operation::FirstBoot(first_boot) => self.first_boot(first_boot),
            Operation::Tar(tar) => self.tar(tar),
            Operation::Truncate(truncate) => self.truncate(truncate),
            Operation::Copy(copy) => self.copy(copy),
            Operation::Move(rename) => self.rename(rename),
            Operation::Replace(replace) => self.replace(replace),
            Operation::Edit(edit) => self.edit(edit),
            Operation::Scrub(scrub) => self.scrub(scrub),
            Operation::Relabel => self.relabel(),
        }
    }

    /// Notes that a file was put at `path`, if that is in a folder of programs and it cannot be executed.
    pub(crate) fn note_program(&mut self, path: &GuestPath, permissions: u16) {
        let folder = path.parent().map(|folder| folder.to_string()).unwrap_or_default();
        if permissions & 0o111 == 0 && matches!(folder.rsplit('/').next(), Some("bin" | "sbin")) {
            self.programs.push(path.clone());
        }
    }

    /// Warns of those that are still there in the end, and still cannot be executed.
    fn warn_of_programs(&mut self) -> Result<(), Error> {
        if self.options.without_advice {
            return Ok(());
        }
        let mut paths = Vec::new();
        for path in std::mem::take(&mut self.programs) {
            let Ok(found) = self.guest.find(&path, LastLink::Keep) else { continue };
            let metadata = self.guest.metadata(&found.node)?;
            if metadata.kind == FileKind::Regular && metadata.permissions & 0o111 == 0 {
                paths.push(path);
            }
        }
        let more = paths.len().saturating_sub(1);
        self.warnings.extend(paths.into_iter().next().map(|path| Warning::NotExecutable { path, more }));
        Ok(())
    }

    /// Refuses an operation for which directories would have to be made that it does not say itself.
    fn expect_parents(&self, operation: &Operation) -> Result<(), Error> {
        let targets = match operation {
            Operation::Write(write) => vec![&write.path],
            Operation::Append(append) => vec![&append.path],
            Operation::Touch(touch) => vec![&touch.path],
            Operation::Link(link) => link.links.iter().collect(),
            Operation::Copy(copy) => vec![&copy.to.path],
            Operation::Move(rename) => vec![&rename.to.path],
            Operation::Tar(tar) => {
                self.existing(&tar.directory)?;
                return Ok(());
            }
            _ => Vec::new(),
        };
        for path in targets {
            if let Lookup::Missing { directory, names } = self.guest.lookup(path, LastLink::Keep)?
                && let [missing, _, ..] = &names[..]
            {
                let path = join(&directory.path, missing)?;
                return Err(guest::Error::Path { path, problem: PathProblem::NotFound }.into());
            }
        }
        Ok(())
    }

    /// What is at `path`, symlinks followed.
    pub(crate) fn existing(&self, path: &GuestPath) -> Result<Found<Location>, Error> {
        Ok(self.guest.find(path, LastLink::Follow)?)
    }

    /// Whether there is something at `path`, symlinks followed.
    pub(crate) fn is_there(&self, path: &GuestPath) -> Result<bool, Error> {
        match self.guest.find(path, LastLink::Follow) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absence() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The place that `path` is; directories on the way that are missing are made.
    pub(crate) fn place(&mut self, path: &GuestPath, last: LastLink) -> Result<Place, Error> {
        let (directory, mut names) = match self.guest.lookup(path, last)? {
            Lookup::Found(found) => {
                return Ok(Place { path: found.path, found: Some(found.node), parents: Vec::new() });
            }
            Lookup::Missing { directory, names } => (directory, names),
        };
        let name = names.pop().unwrap_or_default();
        let (parent, parents) = self.make_directories(directory.path, &names)?;
        let path = join(&parent, &name)?;
        self.warnings.extend(Warning::of_hidden(&path));
        Ok(Place { path, found: None, parents })
    }

    /// Makes the directories `names` below the directory `parent`.
    pub(crate) fn make_directories(
        &mut self,
        mut parent: GuestPath,
        names: &[Vec<u8>],
    ) -> Result<(GuestPath, Vec<String>), Error> {
        let mut made = Vec::new();
        for name in names {
            parent = join(&parent, name)?;
            self.guest.create_directory(&parent, &self.attributes(PARENT_PERMISSIONS))?;
            self.inherit(&parent, NEW_DIRECTORY)?;
            made.push(parent.to_string());
        }
        Ok((parent, made))
    }

    /// Mode, root as the owner, and the time of what has no time of its own.
    pub(crate) fn attributes(&self, permissions: u16) -> Attributes {
        Attributes { permissions, uid: 0, gid: 0, modified: self.now }
    }

    /// Gives the regular file at `path`, where no symlink is, another content.
    pub(crate) fn set_content(&mut self, path: &GuestPath, content: &[u8]) -> Result<(), Error> {
        self.guest.replace_content(path, content, self.now)?;
        // As the kernel does: what was granted to the old content is not granted to the new one.
        Ok(self.guest.remove_xattr(path, b"security.capability")?)
    }

    /// Creates the regular file `path` with this content.
    pub(crate) fn create(&mut self, path: &GuestPath, attributes: &Attributes, content: &[u8]) -> Result<(), Error> {
        Ok(self.guest.create_file(path, attributes, content.len() as u64, &mut &*content)?)
    }

    /// Passes the text of a file through `edit`; nothing is written where it stays as it is. Returns where
    /// the file is.
    pub(crate) fn edit_content(
        &mut self,
        path: &GuestPath,
        edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<GuestPath, Error> {
        let found = self.existing(path)?;
        let content = self.guest.read(&found.path, EDIT_LIMIT_BYTES)?;
        let edited = edit(&content)?;
        if edited != content {
            self.set_content(&found.path, &edited)?;
        }
        Ok(found.path)
    }

    /// The content was changed now.
    pub(crate) fn content_changed(&mut self, path: &GuestPath) -> Result<(), Error> {
        let times = Times { accessed: None, modified: Some(self.now), changed: Some(self.now) };
        Ok(self.guest.set_times(path, &times)?)
    }
}

impl Warning {
    /// What is at `path` will not be seen.
    pub(crate) fn of_hidden(path: &GuestPath) -> Option<Self> {
        let hides = |point: &&str| point.parse().is_ok_and(|point: GuestPath| path.starts_with(&point));
        let mount_point = HIDDEN_AT_BOOT.into_iter().find(hides)?;
        Some(Self::HiddenAtBoot { path: path.clone(), mount_point })
    }
}

/// `parent` and one more component.
pub(crate) fn join(parent: &GuestPath, name: &[u8]) -> Result<GuestPath, Error> {
    if name == b".." || name.is_empty() {
        let problem = PathProblem::NotFound;
        return Err(guest::Error::Path { path: parent.clone(), problem }.into());
    }
    parent
        .join(name)
        .map_err(|error| guest::Error::Path { path: parent.clone(), problem: PathProblem::Invalid(error) }.into())
}

/// Refuses what is no regular file.
pub(crate) fn expect_regular(path: &GuestPath, kind: FileKind) -> Result<(), Error> {
    let problem = match kind {
        FileKind::Regular => return Ok(()),
        FileKind::Directory => PathProblem::IsADirectory,
        _ => PathProblem::NotARegularFile,
    };
    Err(guest::Error::Path { path: path.clone(), problem }.into())
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HiddenAtBoot { path, mount_point } => {
                write!(f, "`{path}` will be hidden at boot: the guest mounts something over `{mount_point}`")
            }
            Self::ModeIgnored { path } => {
                write!(f, "`{path}` is on a FAT file system, which has no modes: the one asked for is not kept")
            }
            Self::NoMatch { path, pattern } => write!(f, "nothing in `{path}` matches `{pattern}`: it is as it was"),
            Self::Unlabelled => write!(
                f,
                "the guest enforces SELinux and what is new has no label: `relabel` has it labelled at first boot"
            ),
            Self::NotExecutable { path, more } => {
                write!(f, "`{path}` ")?;
                match more {
                    0 => write!(f, "has no execute bit")?,
                    1 => write!(f, "and one more have no execute bit")?,
                    _ => write!(f, "and {more} more have no execute bit")?,
                }
                write!(f, ", and nobody can run it by its name: give it a mode such as 0755")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}
