//! A file that is there whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::leftover::Leftover;

/// How many names are tried for a temporary file.
const MAX_ATTEMPTS: u32 = 1000;
/// The longest name of a file, in bytes.
const NAME_MAX_BYTES: usize = 255;

/// A file beside its target that has no name until it is published, or a temporary one where the
/// file system cannot do without.
#[derive(Debug)]
pub struct OutputFile {
    folder: Folder,
    name: OsString,
    file: File,
    temporary: Option<Temporary>,
}

/// The name that a file has until it gets its own.
#[derive(Debug)]
struct Temporary {
    name: OsString,
    leftover: Leftover,
}

/// For how long a file replaces what has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replacing {
    ForGood,
    /// What had the name is kept, where the file system can exchange two names.
    ForNow,
}

/// A file that has its name.
struct Named {
    folder: Folder,
    name: OsString,
    /// What had the name before.
    before: Option<Temporary>,
}

impl Named {
    /// Takes the name away again, and gives it to what had it.
    fn undo(self) -> io::Result<()> {
        let handle = &self.folder.handle;
        match &self.before {
            Some(before) => {
                rustix::fs::renameat_with(handle, &before.name, handle, &self.name, RenameFlags::EXCHANGE)?;
            }
            None => rustix::fs::unlinkat(handle, &self.name, AtFlags::empty())?,
        }
        handle.sync_all()
    }
}

/// A folder that files are made in.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Opens the folder at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), handle: handle.into() })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Free space for an ordinary user, in bytes.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let statistics = rustix::fs::fstatvfs(&self.handle)?;
        Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
    }

    /// Whether this process may make files in it.
    pub fn is_writable(&self) -> io::Result<()> {
        Ok(rustix::fs::accessat(&self.handle, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    /// Another handle for the same folder.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { path: self.path.clone(), handle: self.handle.try_clone()? })
    }

    /// A file without a name, which is gone when it is closed.
    pub fn unnamed_file(&self) -> io::Result<File> {
        match self.open_unnamed(0o600) {
            Err(error) if cannot_be_unnamed(&error) => {
                // Its name goes with what is dropped here.
                self.create_temporary(OsStr::new("spill"), 0o600).map(|(file, _)| file)
            }
            other => other,
        }
    }

    fn open_unnamed(&self, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.handle, ".", flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Makes a file under a name that nothing else has, by `make`, and takes charge of it.
    fn temporary<T>(&self, name: &OsStr, mut make: impl FnMut(&OsStr) -> io::Result<T>) -> io::Result<(T, Temporary)> {
        let make = || {
            let mut made = None;
            let name = with_temporary_name(name, |candidate| {
                made = Some(make(candidate)?);
                Ok(())
            })?;
            let made = made.ok_or(io::ErrorKind::AlreadyExists)?;
            Ok(((made, name.clone()), self.path.join(name)))
        };
        let ((made, name), leftover) = Leftover::make(make)?;
        Ok((made, Temporary { name, leftover }))
    }

    /// A new file with a name that nothing else has.
    fn create_temporary(&self, name: &OsStr, mode: u32) -> io::Result<(File, Temporary)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        self.temporary(name, |candidate| {
            Ok(rustix::fs::openat(&self.handle, candidate, flags, Mode::from_raw_mode(mode))?.into())
        })
    }
}

impl OutputFile {
    /// A file that will be `name` in `folder`, with `mode` less what the umask takes.
    pub fn create(folder: Folder, name: &OsStr, mode: u32) -> io::Result<Self> {
        let (file, temporary) = match folder.open_unnamed(mode) {
            Ok(file) => (file, None),
            Err(error) if cannot_be_unnamed(&error) => {
                let (file, temporary) = folder.create_temporary(name, mode)?;
                (file, Some(temporary))
            }
            Err(error) => return Err(error),
        };
        Ok(Self { folder, name: name.to_owned(), file, temporary })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The folder that it will be in.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Gives the file the mode `mode`, whatever the umask is.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Gives the file an owner.
    pub fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        std::os::unix::fs::fchown(&self.file, Some(uid), Some(gid))
    }

    /// Syncs the file and gives it its name, in place of whatever has it.
    pub fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        self.name(Replacing::ForGood)?.folder.handle.sync_all()
    }

    /// As [`publish`](Self::publish), with files about this one that get their names first: whoever finds this one finds
    /// them, too. If this one cannot have its name, they are not there, and what they replaced is back.
    pub(crate) fn publish_with(self, about: Vec<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        about.iter().try_for_each(|about| about.file.sync_all())?;
        let mut named: Vec<Named> = Vec::new();
        let publish = || {
            for about in about {
                named.push(about.name(Replacing::ForNow)?);
            }
            named.iter().try_for_each(|named| named.folder.handle.sync_all())?;
            self.name(Replacing::ForGood)
        };
        match publish() {
            Ok(own) => own.folder.handle.sync_all(),
            Err(error) => {
                // Where even that fails, what is there vouches for no file.
                named.into_iter().rev().for_each(|named| drop(named.undo()));
                Err(error)
            }
        }
    }

    /// Gives the file its name, in place of whatever has it.
    fn name(mut self, replacing: Replacing) -> io::Result<Named> {
        if self.temporary.is_none() {
            match self.link(&self.name) {
                // The usual case: the name is free, and there is never another one.
                Ok(()) => return Ok(Named { folder: self.folder, name: self.name, before: None }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let ((), temporary) = self.folder.temporary(&self.name, |candidate| self.link(candidate))?;
                    self.temporary = Some(temporary);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(temporary) = self.temporary.take() else { return Err(io::ErrorKind::NotFound.into()) };
        let handle = &self.folder.handle;
        if replacing == Replacing::ForNow
            && rustix::fs::renameat_with(handle, &temporary.name, handle, &self.name, RenameFlags::EXCHANGE).is_ok()
        {
            // What had the name goes with the temporary one.
            return Ok(Named { folder: self.folder, name: self.name, before: Some(temporary) });
        }
        rustix::fs::renameat(handle, &temporary.name, handle, &self.name)?;
        temporary.leftover.keep();
        Ok(Named { folder: self.folder, name: self.name, before: None })
    }

    /// Gives the unnamed file a name that is free.
    fn link(&self, name: &OsStr) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match rustix::fs::linkat(CWD, path, &self.folder.handle, name, AtFlags::SYMLINK_FOLLOW) {
            // Without a /proc; this way needs a right that not everybody has.
            Err(Errno::NOENT) => {
                Ok(rustix::fs::linkat(&self.file, "", &self.folder.handle, name, AtFlags::EMPTY_PATH)?)
            }
            other => Ok(other?),
        }
    }
}

/// A folder that is there whole or not at all: until it is published, it has a temporary name beside its own.
#[derive(Debug)]
pub struct OutputFolder {
    parent: Folder,
    name: OsString,
    temporary: Temporary,
    replaces: bool,
}

impl OutputFolder {
    /// A folder that will be at `path`. What is there already is in the way, unless it `replaces` it, which only a folder
    /// may be.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], [`io::ErrorKind::NotADirectory`] and those of the host.
    pub fn create(path: &Path, replaces: bool) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let parent = Folder::open(path.parent().unwrap_or(Path::new(".")))?;
        match std::fs::symlink_metadata(path) {
            Ok(_) if !replaces => return Err(io::ErrorKind::AlreadyExists.into()),
            Ok(metadata) if !metadata.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mode = Mode::from_raw_mode(0o755);
        let ((), temporary) =
            parent.temporary(&name, |candidate| Ok(rustix::fs::mkdirat(&parent.handle, candidate, mode)?))?;
        Ok(Self { parent, name, temporary, replaces })
    }

    /// Where files are made until it is published.
    pub fn path(&self) -> PathBuf {
        self.parent.path.join(&self.temporary.name)
    }

    /// Gives the folder its name. The files in it must be synced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if something has the name by now, and those of the host.
    pub fn publish(self) -> io::Result<()> {
        let (handle, temporary) = (&self.parent.handle, &self.temporary.name);
        File::open(self.path())?.sync_all()?;
        match rustix::fs::renameat_with(handle, temporary, handle, &self.name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) if self.replaces => {
                rustix::fs::renameat_with(handle, temporary, handle, &self.name, RenameFlags::EXCHANGE)?;
                // What had the name has the temporary one now, and goes with it.
                drop(self.temporary);
            }
            Ok(()) => self.temporary.leftover.keep(),
            Err(error) => return Err(error.into()),
        }
        self.parent.handle.sync_all()
    }
}

/// Whether the file system has no files without names.
fn cannot_be_unnamed(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    // Kernels and file systems that do not know the flag see an attempt to write a directory.
    matches!(errno, Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT | Errno::NOSYS))
}

/// Tries names such as `.NAME.imgraft-1234-0` until one is free.
pub fn with_temporary_name(name: &OsStr, mut attempt: impl FnMut(&OsStr) -> io::Result<()>) -> io::Result<OsString> {
    let process = rustix::process::getpid().as_raw_nonzero();
    for count in 0..MAX_ATTEMPTS {
        let suffix = format!(".imgraft-{process}-{count}");
        let kept = name.len().min(NAME_MAX_BYTES - 1 - suffix.len());
        let candidate = OsString::from_vec([b".", &name.as_bytes()[..kept], suffix.as_bytes()].concat());
        match attempt(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_there_before_it_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputFile::create(Folder::open(folder.path()).unwrap(), "out".as_ref(), 0o644).unwrap();
        output.file().write_all(b"half").unwrap();
        drop(output);
        assert_eq!(names(folder.path()), Vec::<String>::new());

        for content in ["one", "two"] {
            let output = OutputFile::create(Folder::open(folder.path()).unwrap(), "out".as_ref(), 0o644).unwrap();
            output.file().write_all(content.as_bytes()).unwrap();
            output.publish().unwrap();
            assert_eq!(names(folder.path()), ["out"]);
            assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), content);
        }
    }

    #[test]
    fn a_file_about_another_is_there_with_it_or_is_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let output = |name: &str, content: &str| {
            let output = OutputFile::create(Folder::open(folder.path()).unwrap(), name.as_ref(), 0o644).unwrap();
            output.file().write_all(content.as_bytes()).unwrap();
            output
        };
        let content = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        for round in ["one", "two"] {
            output("out", round).publish_with(vec![output("about", round)]).unwrap();
            assert_eq!(
                (names(folder.path()), content("out"), content("about")),
                (vec!["about".into(), "out".into()], round.into(), round.into())
            );
        }
        // A folder takes the place of no file.
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        for about in ["about", "new"] {
            assert!(output("folder", "three").publish_with(vec![output(about, "three")]).is_err());
            assert_eq!(
                (names(folder.path()), content("about")),
                (vec!["about".into(), "folder".into(), "out".into()], "two".into())
            );
        }
    }

    #[test]
    fn a_temporary_name_goes_when_the_work_fails() {
        let folder = tempfile::tempdir().unwrap();
        let open = Folder::open(folder.path()).unwrap();
        let (file, temporary) = open.create_temporary("out".as_ref(), 0o644).unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(OutputFile { folder: open, name: "out".into(), file, temporary: Some(temporary) });
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_folder_is_there_whole_or_is_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let make = |replaces| OutputFolder::create(&target, replaces);
        let fill = |output: &OutputFolder, content: &str| std::fs::write(output.path().join("file"), content).unwrap();
        let content = || std::fs::read_to_string(target.join("file")).unwrap();
        let output = make(false).unwrap();
        fill(&output, "half");
        drop(output);
        assert_eq!(names(folder.path()), Vec::<String>::new());
        let (output, late) = (make(false).unwrap(), make(false).unwrap());
        fill(&output, "one");
        output.publish().unwrap();
        assert_eq!(late.publish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(make(false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let output = make(true).unwrap();
        fill(&output, "two");
        assert_eq!(content(), "one");
        output.publish().unwrap();
        assert_eq!((names(folder.path()), content()), (vec!["out".to_owned()], "two".to_owned()));
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let refused = OutputFolder::create(&folder.path().join("plain"), true).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
        assert_eq!(names(folder.path()), ["out", "plain"]);
    }

    #[test]
    fn a_long_name_still_has_a_temporary_one() {
        let long = "x".repeat(255);
        let name = with_temporary_name(OsStr::new(&long), |_| Ok(())).unwrap();
        assert_eq!(name.len(), 255);
    }
}
