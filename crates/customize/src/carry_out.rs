//! Carries out operations in a guest, one after the other.

use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use guest::resolve::{Found, LastLink, Lookup};
use guest::{Attributes, FileKind, FreeSpace, Guest, GuestPath, Location, PathProblem, Time, Times};
use serde::Serialize;

use crate::error::Error;
use crate::inherit::NEW_DIRECTORY;
use crate::labels::{self, FileLabel, label_new};
use crate::report::Report;
use crate::runner::Runner;
use crate::source::Source;
use crate::verb::Operation;

/// Directories over which every guest mounts something before it uses anything of the image.
const HIDDEN_AT_BOOT: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// The mode of directories that are made on the way to something.
pub(crate) const PARENT_PERMISSIONS: u16 = 0o755;

/// A source of at least this size in bytes may be kept instead of its bytes.
pub(crate) const KEPT_SOURCE_BYTES: u64 = 1 << 20;

/// The most files that are remembered for a look at them in the end.
const MAX_PLACED: usize = 1 << 14;

/// The largest file of the guest that can be edited, because it is read whole, in bytes.
pub(crate) const EDIT_LIMIT_BYTES: u64 = 8 << 20;

/// How operations are carried out.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The time of everything new. If this is `None`, a file with a source gets the source's time, and everything else
    /// gets the time at which the root's file system was last written to.
    pub modified: Option<Time>,
    /// Whether the directories on the way to a path of an operation must exist. Otherwise they are made. `mkdir` always
    /// makes them, and a `put` has an option of its own.
    pub existing_parents: bool,
    /// Whether to leave out warnings about frequent slips: a program that nobody may execute, a file that `append`
    /// made.
    pub without_advice: bool,
    /// Runs commands in the guest. Without it, a verb that needs it is refused.
    pub runner: Option<Arc<dyn Runner>>,
    /// Whether commands may use the network.
    pub network: bool,
    /// Whether to leave new files without labels for SELinux.
    pub without_labels: bool,
    /// Whether [`Done::read`] has the digests of what was read of the host.
    pub digests: bool,
}

/// Something that was done as asked, but may not be what the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The guest mounts something over it at boot.
    HiddenAtBoot {
        /// The path.
        path: GuestPath,
        /// The mount point.
        mount_point: &'static str,
    },
    /// A mode was given for a file on a file system without modes.
    ModeIgnored {
        /// The file.
        path: GuestPath,
    },
    /// Nothing in a file matched.
    NoMatch {
        /// The file.
        path: GuestPath,
        /// The expression.
        pattern: String,
    },
    /// The guest enforces SELinux, and new files have no labels.
    Unlabelled {
        /// Why they got none.
        why: String,
    },
    /// Nobody may execute a file in a folder of programs.
    NotExecutable {
        /// The file.
        path: GuestPath,
        /// The number of further such files.
        more: usize,
    },
    /// Something else.
    Other(String),
}

/// The result of carrying out operations.
#[derive(Debug)]
pub struct Done {
    /// The report of each operation, in their order.
    pub reports: Vec<Report>,
    /// Things that may not be what the user wants.
    pub warnings: Vec<Warning>,
    /// The space that was taken in each file system that is fuller now.
    pub room: Vec<Room>,
    /// The real paths of files that were put and may be programs, libraries or scripts, at most some thousands.
    pub placed: Vec<GuestPath>,
    /// The labels for SELinux that new files got.
    pub labels: Vec<FileLabel>,
    /// What was read of the host, where [`Options::digests`] asks for it.
    pub read: Vec<ReadFile>,
    kept: Vec<Source>,
}

/// A file or a symlink of the host that an operation read. The digest is that of the bytes that went into the guest: what
/// is in the file by now, nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFile {
    /// The file or the tree that the operation names.
    pub source: PathBuf,
    /// The file: `source` itself, or one in that tree.
    pub path: PathBuf,
    /// The SHA-256 of its content, or of a symlink's target, in hexadecimal digits.
    pub sha256: String,
    /// The size of its content in bytes; none of a symlink.
    pub size_bytes: u64,
}

/// The space that operations take in a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// The file system: `partition 1 (ext4 cloudimg-rootfs)`.
    pub volume: String,
    /// The space that is taken, in bytes.
    pub needed_bytes: u64,
    /// The space that was free before, in bytes.
    pub available_bytes: u64,
    /// The number of inodes that are taken.
    pub needed_inodes: u64,
    /// The number of inodes that were free before, if the file system has inodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_inodes: Option<u64>,
}

/// A receiver of progress.
pub trait Watch {
    /// The operation with this index begins. The index after the last one means that all are done.
    fn begins(&self, index: usize) {
        let _ = index;
    }

    /// `done_bytes` of the `expected_bytes` that are known so far are done.
    fn progress(&self, done_bytes: u64, expected_bytes: u64);

    /// A command of the step `step` wrote `bytes`, which may begin and end anywhere. When it begins, there are none.
    fn says(&self, step: &str, bytes: &[u8]) {
        let _ = (step, bytes);
    }
}

impl<F: Fn(u64, u64)> Watch for F {
    fn progress(&self, done_bytes: u64, expected_bytes: u64) {
        self(done_bytes, expected_bytes);
    }
}

/// Carries out `operations` in `guest`, in their order, and flushes it. Each operation sees what those before it did.
/// `watch` receives the progress.
///
/// # Errors
///
/// [`Error`] if something is missing, in the way or too large. Some operations are done then: the guest's disk must not
/// be used any more.
pub fn carry_out(
    guest: &mut Guest,
    operations: &[Operation],
    options: &Options,
    watch: &dyn Watch,
) -> Result<Done, Error> {
    operations.iter().try_for_each(|operation| operation.inner().need().check(options))?;
    let before = free_space(guest)?;
    let now = options.modified.unwrap_or(guest.written());
    let progress = Progress { done_bytes: Cell::new(0), expected_bytes: Cell::new(0), watch };
    let mut work = Work {
        guest,
        options,
        now,
        warnings: Vec::new(),
        read: Vec::new(),
        kept: Vec::new(),
        programs: Vec::new(),
        placed: Vec::new(),
        progress,
    };
    if !options.without_labels && labels::is_used(work.guest)? {
        work.guest.remember_new_names();
    }
    let mut reports = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        watch.begins(index);
        if options.existing_parents {
            work.expect_parents(operation)?;
        }
        reports.push(operation.inner().apply(&mut work).map_err(Error::no_space)?);
    }
    watch.begins(operations.len());
    if !operations.is_empty() {
        work.warn_of_programs()?;
    }
    let Work { mut warnings, kept, placed, read, .. } = work;
    let labels = label_new(guest, options, &mut warnings)?;
    guest.flush()?;
    let room = before.into_iter().zip(free_space(guest)?).filter_map(|(before, after)| Room::of(before, &after));
    Ok(Done { reports, warnings, room: room.collect(), placed, labels, read, kept })
}

impl Done {
    /// Adds what was done after this, in another system of the same disk.
    pub fn append(&mut self, later: Self) {
        self.reports.extend(later.reports);
        self.warnings.extend(later.warnings);
        self.room.extend(later.room);
        self.placed.extend(later.placed);
        self.labels.extend(later.labels);
        self.read.extend(later.read);
        self.kept.extend(later.kept);
    }

    /// Refuses sources that changed. Call this after everything was read from the guest's disk, because large sources
    /// are read only then.
    ///
    /// # Errors
    ///
    /// [`Error::SourceChanged`], [`Error::Source`].
    pub fn check_sources(&self) -> Result<(), Error> {
        self.kept.iter().try_for_each(|source| source.open().map(drop))
    }
}

/// The names of the file systems, and their free space.
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
    /// The space that was taken between `before` and `after`, if any.
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

/// The progress of the content.
pub(crate) struct Progress<'a> {
    done_bytes: Cell<u64>,
    expected_bytes: Cell<u64>,
    watch: &'a dyn Watch,
}

impl Progress<'_> {
    /// Hands on what a command of the step `step` wrote.
    pub(crate) fn says(&self, step: &str, bytes: &[u8]) {
        self.watch.says(step, bytes);
    }

    /// Adds bytes to do.
    pub(crate) fn expect(&self, bytes: u64) {
        self.expected_bytes.set(self.expected_bytes.get() + bytes);
        self.watch.progress(self.done_bytes.get(), self.expected_bytes.get());
    }

    /// Adds bytes that are done.
    pub(crate) fn add(&self, bytes: u64) {
        self.done_bytes.set(self.done_bytes.get() + bytes);
        self.watch.progress(self.done_bytes.get(), self.expected_bytes.get());
    }
}

/// A guest in which operations are carried out.
pub(crate) struct Work<'a> {
    pub(crate) guest: &'a mut Guest,
    pub(crate) options: &'a Options,
    /// The time of everything without a source.
    pub(crate) now: Time,
    pub(crate) warnings: Vec<Warning>,
    /// Sources that are read only when the guest's disk is read.
    pub(crate) read: Vec<ReadFile>,
    pub(crate) kept: Vec<Source>,
    /// Files that were put into folders of programs, and that nobody may execute.
    pub(crate) programs: Vec<GuestPath>,
    /// Files that were put, and may be programs.
    pub(crate) placed: Vec<GuestPath>,
    pub(crate) progress: Progress<'a>,
}

/// A place for a file.
pub(crate) struct Place {
    /// The real path, without symlinks and `..`.
    pub(crate) path: GuestPath,
    /// The file that is there now.
    pub(crate) found: Option<Location>,
    /// Directories that were made on the way.
    pub(crate) parents: Vec<String>,
}

impl Work<'_> {
    /// Remembers the file at `path`, if it is in a folder of programs and nobody may execute it.
    pub(crate) fn note_program(&mut self, path: &GuestPath, permissions: u16) {
        let folder = path.parent().map(|folder| folder.to_string()).unwrap_or_default();
        if permissions & 0o111 == 0 && matches!(folder.rsplit('/').next(), Some("bin" | "sbin")) {
            self.programs.push(path.clone());
        }
    }

    /// Remembers the file at `path`, which was put with this mode, if it may be a program, a library or a script. Of one
    /// that `is_named` by its operation, another may still give the mode.
    pub(crate) fn note_placed(&mut self, path: &GuestPath, permissions: u16, is_named: bool) {
        let is_library = path.name().is_some_and(|name| name.windows(3).any(|part| part == b".so"));
        if self.placed.len() < MAX_PLACED && (permissions & 0o111 != 0 || is_library || is_named) {
            self.placed.push(path.clone());
        }
    }

    /// Warns about the remembered files that exist at the end and still cannot be executed.
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

    /// Refuses an operation if directories on the way to its paths are missing.
    fn expect_parents(&self, operation: &Operation) -> Result<(), Error> {
        for path in operation.inner().targets() {
            if let Lookup::Missing { directory, names } = self.guest.lookup(path, LastLink::Keep)?
                && let [missing, _, ..] = &names[..]
            {
                let path = join(&directory.path, missing)?;
                return Err(guest::Error::Path { path, problem: PathProblem::NotFound }.into());
            }
        }
        Ok(())
    }

    /// The file at `path`, symlinks followed.
    pub(crate) fn existing(&self, path: &GuestPath) -> Result<Found<Location>, Error> {
        Ok(self.guest.find(path, LastLink::Follow)?)
    }

    /// Whether a file is at `path`, symlinks followed.
    pub(crate) fn is_there(&self, path: &GuestPath) -> Result<bool, Error> {
        match self.guest.find(path, LastLink::Follow) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absence() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The place at `path`. Missing directories on the way are made.
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

    /// A mode, with root as the owner and the time of everything without a source.
    pub(crate) fn attributes(&self, permissions: u16) -> Attributes {
        Attributes { permissions, uid: 0, gid: 0, modified: self.now }
    }

    /// Gives a regular file a new content. No symlink is on `path`.
    pub(crate) fn set_content(&mut self, path: &GuestPath, content: &[u8]) -> Result<(), Error> {
        self.guest.replace_content(path, content, self.now)?;
        // As the kernel does it: capabilities of the old content do not pass to the new one.
        Ok(self.guest.remove_xattr(path, b"security.capability")?)
    }

    /// Creates a regular file.
    pub(crate) fn create(&mut self, path: &GuestPath, attributes: &Attributes, content: &[u8]) -> Result<(), Error> {
        Ok(self.guest.create_file(path, attributes, content.len() as u64, &mut &*content)?)
    }

    /// Passes the content of a file through `edit`. Nothing is written if it stays the same. Returns the file's real
    /// path.
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

    /// Sets the times of a file whose content was changed now.
    pub(crate) fn content_changed(&mut self, path: &GuestPath) -> Result<(), Error> {
        let times = Times { accessed: None, modified: Some(self.now), changed: Some(self.now) };
        Ok(self.guest.set_times(path, &times)?)
    }
}

impl Warning {
    /// What [`Unlabelled`](Self::Unlabelled) begins with as text.
    pub const UNLABELLED: &str = "the guest enforces SELinux and new files have no labels";

    /// The warning that a file at `path` will be hidden, if so.
    pub(crate) fn of_hidden(path: &GuestPath) -> Option<Self> {
        let hides = |point: &&str| point.parse().is_ok_and(|point: GuestPath| path.starts_with(&point));
        let mount_point = HIDDEN_AT_BOOT.into_iter().find(hides)?;
        Some(Self::HiddenAtBoot { path: path.clone(), mount_point })
    }
}

/// Appends a component to `parent`.
pub(crate) fn join(parent: &GuestPath, name: &[u8]) -> Result<GuestPath, Error> {
    if name == b".." || name.is_empty() {
        let problem = PathProblem::NotFound;
        return Err(guest::Error::Path { path: parent.clone(), problem }.into());
    }
    parent
        .join(name)
        .map_err(|error| guest::Error::Path { path: parent.clone(), problem: PathProblem::Invalid(error) }.into())
}

/// Refuses a file that is not regular.
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
                write!(f, "`{path}` is on a FAT file system, which has no modes: the given one is ignored")
            }
            Self::NoMatch { path, pattern } => {
                write!(f, "nothing in `{path}` matches `{pattern}`: the file stays as it was")
            }
            Self::Unlabelled { why } => {
                write!(f, "{} ({why}): `relabel` has them labelled at the first boot", Self::UNLABELLED)
            }
            Self::NotExecutable { path, more } => {
                write!(f, "`{path}` ")?;
                match more {
                    0 => write!(f, "has no execute bit")?,
                    1 => write!(f, "and one more have no execute bit")?,
                    _ => write!(f, "and {more} more have no execute bit")?,
                }
                write!(f, ", so that nobody can run it by its name: give it a mode such as 0755")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}
