//! `imgraft get`: a file or a tree of an image, copied to the host.
//!
//! What is in the image decides neither where something is written nor what is opened: every name
//! is made new in a folder that this command has made itself, and no symlink is followed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use guest::{FileKind, Guest, GuestPath, Identity, LastLink, Metadata, Volume};
use recipe::ByteSize;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Timespec, Timestamps};

use crate::cli::Get;
use crate::command::guest_path;
use crate::failure::Failure;
use crate::show::{Messages, Spinner, count, stdout_failure};
use graft::Leftover;
use graft::Looked;
use graft::{Folder, OutputFile, with_temporary_name};

/// The most files that are copied: a damaged directory can be inside itself.
const MAX_FILES: u64 = 1 << 22;
/// How much is copied of a file before it is shown again how much that is.
const SHOWN_EVERY_BYTES: u64 = 1 << 20;
/// What is kept of a file's mode: not the set-id bits, which mean nothing without the owner.
const KEPT_PERMISSIONS: u16 = 0o777;

pub(super) fn run(arguments: &Get, messages: &Messages) -> Result<(), Failure> {
    let guest = Looked::guest(
        &arguments.image,
        arguments.part.place().as_ref(),
        arguments.backing.into(),
        &messages.watcher(),
    )?;
    let path = guest_path(&arguments.path)?;
    let found = guest.find(&path, LastLink::Follow).map_err(|error| Failure::of(&error))?;
    if arguments.destination == Path::new("-") {
        return to_stdout(&guest, &found.path, found.node.kind());
    }
    let target = target(&arguments.destination, path.name())?;
    let sizes = guest.volumes().iter().filter(|volume| volume.file_system().is_some());
    let left_bytes = sizes.map(Volume::file_system_bytes).sum();
    let mut copy = Copy {
        guest: &guest,
        messages,
        spinner: Spinner::new(messages, "copying"),
        files: 0,
        directories: 0,
        symlinks: 0,
        bytes: 0,
        copied_bytes: 0,
        left_bytes,
        linked: BTreeMap::new(),
    };
    match found.node.kind() {
        FileKind::Regular => copy.file(&found.path, &target)?,
        FileKind::Directory => copy.tree(&found.path, &target)?,
        _ => return Err(Failure::new(format!("`{path}` is neither a file nor a directory"))),
    }
    let Copy { files, directories, symlinks, bytes, .. } = copy;
    let facts = [
        count(files, "file", "files"),
        count(directories, "directory", "directories"),
        count(symlinks, "symlink", "symlinks"),
        Some(ByteSize(bytes).to_string()),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    messages.note(format_args!("copied {path} to {} ({})", target.display(), facts.join(", ")));
    Ok(())
}

/// Prints a file, as `-` asks for in place of a name.
fn to_stdout(guest: &Guest, path: &GuestPath, kind: FileKind) -> Result<(), Failure> {
    match kind {
        FileKind::Regular => {}
        FileKind::Directory => {
            return Err(Failure::new(format!("`{path}` is a directory, which `-`, standard output, cannot take"))
                .hint("name a folder that it is to be; `./-` is one of the name `-`"));
        }
        _ => return Err(Failure::new(format!("`{path}` is neither a file nor a directory"))),
    }
    let mut stdout = io::stdout().lock();
    let written = guest.read_to(path, &mut stdout).map_err(|error| Failure::of(&error))?;
    written.and_then(|()| stdout.flush()).map_err(stdout_failure)
}

/// Where the file goes: into a folder that is there, or else under a name that is free.
fn target(destination: &Path, name: Option<&[u8]>) -> Result<PathBuf, Failure> {
    let target = match (std::fs::metadata(destination), name) {
        // Not `./NAME`: it is talked about.
        (Ok(_), Some(name)) if destination == Path::new(".") => PathBuf::from(OsStr::from_bytes(name)),
        (Ok(metadata), Some(name)) if metadata.is_dir() => destination.join(OsStr::from_bytes(name)),
        (Ok(metadata), None) if metadata.is_dir() => {
            return Err(Failure::new("`/` has no name of its own").hint("give the new folder one"));
        }
        _ => destination.to_owned(),
    };
    match std::fs::symlink_metadata(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
        Err(error) => Err(unwritable(&target, &error)),
        Ok(_) => Err(Failure::new(format!("`{}` is there already", target.display()))
            .hint("remove it, or give another destination")),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("`{}` cannot be written", path.display()), error)
}

struct Copy<'a> {
    guest: &'a Guest,
    messages: &'a Messages,
    spinner: Spinner,
    files: u64,
    directories: u64,
    symlinks: u64,
    bytes: u64,
    /// What of that was read so far, without the holes.
    copied_bytes: u64,
    /// How much content may still be copied: all files together have no more than the file systems have room for,
    /// unless damage lets them share blocks.
    left_bytes: u64,
    /// Files with several names, and where the first of these was copied to.
    linked: BTreeMap<Identity, PathBuf>,
}

/// A directory of the guest, and the folder of the host that it becomes.
struct Pending {
    path: GuestPath,
    folder: PathBuf,
}

impl Copy<'_> {
    /// Copies one file.
    fn file(&mut self, path: &GuestPath, target: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| unwritable(target, &error);
        let metadata = self.metadata(path)?;
        let (folder, name) = split(target)?;
        let folder = Folder::open(&folder).map_err(failed)?;
        let output = OutputFile::create(folder, &name, 0o600).map_err(failed)?;
        self.content(path, output.file(), target)?;
        finish(output.file(), &metadata).map_err(failed)?;
        output.publish().map_err(failed)
    }

    /// Copies a tree: into a folder with a temporary name first, so that it is there whole or not
    /// at all.
    fn tree(&mut self, path: &GuestPath, target: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| unwritable(target, &error);
        let (folder_path, name) = split(target)?;
        let make = || {
            let name = with_temporary_name(&name, |candidate| {
                Ok(rustix::fs::mkdirat(CWD, folder_path.join(candidate), Mode::from_raw_mode(0o700))?)
            })?;
            let temporary = folder_path.join(name);
            Ok((temporary.clone(), temporary))
        };
        let (temporary, leftover) = Leftover::make(make).map_err(failed)?;
        self.fill(path, &temporary, target)?;
        rustix::fs::renameat_with(CWD, &temporary, CWD, target, RenameFlags::NOREPLACE)
            .map_err(|error| unwritable(target, &error.into()))?;
        leftover.keep();
        Ok(())
    }

    /// Copies what is in the directory at `path` into the folder `temporary`.
    fn fill(&mut self, path: &GuestPath, temporary: &Path, target: &Path) -> Result<(), Failure> {
        let mut folders = Vec::new();
        let mut pending = vec![Pending { path: path.clone(), folder: temporary.to_owned() }];
        while let Some(directory) = pending.pop() {
            pending.extend(self.directory(&directory, target)?);
            folders.push((directory.folder, self.metadata(&directory.path)?));
        }
        // Inner ones first, and only now: a folder may be one that nothing can be made in.
        for (folder, metadata) in folders.iter().rev() {
            open_folder(folder)
                .and_then(|folder| finish(&folder, metadata))
                .map_err(|error| unwritable(target, &error))?;
        }
        Ok(())
    }

    /// Copies what is in a directory, and returns the directories in it.
    fn directory(&mut self, directory: &Pending, target: &Path) -> Result<Vec<Pending>, Failure> {
        let failed = |error: io::Error| unwritable(target, &error);
        let handle = open_folder(&directory.folder).map_err(failed)?;
        let mut below = Vec::new();
        let entries = self.guest.read_directory(&directory.path).map_err(|error| Failure::of(&error))?;
        for entry in entries {
            let path = directory.path.join(&entry.name).map_err(|error| Failure::of(&error))?;
            let name = OsStr::from_bytes(&entry.name);
            if self.files + self.directories + self.symlinks > MAX_FILES {
                return Err(Failure::new(format!("there are more than {MAX_FILES} files in the tree")));
            }
            match entry.kind {
                FileKind::Directory => {
                    rustix::fs::mkdirat(&handle, name, Mode::from_raw_mode(0o700))
                        .map_err(|error| failed(error.into()))?;
                    below.push(Pending { path, folder: directory.folder.join(name) });
                }
                FileKind::Regular => {
                    let node = self.guest.find(&path, LastLink::Keep).map_err(|error| Failure::of(&error))?.node;
                    let identity = self.guest.identity(&node);
                    if let Some(first) = identity.and_then(|identity| self.linked.get(&identity)) {
                        rustix::fs::linkat(CWD, first, &handle, name, AtFlags::empty())
                            .map_err(|error| failed(error.into()))?;
                        self.files += 1;
                        continue;
                    }
                    let metadata = self.metadata(&path)?;
                    if let Some(identity) = identity.filter(|_| metadata.links > 1) {
                        self.linked.insert(identity, directory.folder.join(name));
                    }
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let file = rustix::fs::openat(&handle, name, flags, Mode::from_raw_mode(0o600));
                    let file = File::from(file.map_err(|error| failed(error.into()))?);
                    self.content(&path, &file, target)?;
                    finish(&file, &metadata).map_err(failed)?;
                }
                FileKind::Symlink => {
                    self.symlinks += 1;
                    let link = self.guest.read_link(&path).map_err(|error| Failure::of(&error))?;
                    rustix::fs::symlinkat(OsStr::from_bytes(&link), &handle, name)
                        .map_err(|error| failed(error.into()))?;
                }
                _ => self.spinner.aside(|| {
                    self.messages.warning(format_args!(
                        "`{path}` is neither a file, a directory nor a symlink, and is left out"
                    ));
                }),
            }
        }
        Ok(below)
    }

    /// Copies a file's content; its holes stay holes.
    fn content(&mut self, path: &GuestPath, file: &File, target: &Path) -> Result<(), Failure> {
        let mut is_too_much = false;
        let written = self.guest.read_data(path, &mut |offset, bytes| {
            let left = self.left_bytes.checked_sub(bytes.len() as u64);
            is_too_much = left.is_none();
            self.left_bytes = left.ok_or(io::ErrorKind::StorageFull)?;
            let shown = self.copied_bytes / SHOWN_EVERY_BYTES;
            self.copied_bytes += bytes.len() as u64;
            if self.copied_bytes / SHOWN_EVERY_BYTES != shown {
                let files = count(self.files, "file", "files").unwrap_or_default();
                self.spinner.rename(format!("copying {files}, {}", ByteSize(self.copied_bytes)));
            }
            file.write_all_at(bytes, offset)
        });
        let written = written.map_err(|error| Failure::of(&error))?;
        if is_too_much {
            return Err(Failure::new(format!(
                "`{path}` is not copied: with it, more was read than the image's file systems can hold, so files share blocks"
            ))
            .hint("the image is damaged: `imgraft check` says where"));
        }
        written.and_then(|size_bytes| file.set_len(size_bytes)).map_err(|error| unwritable(target, &error))
    }

    /// What is known of the file at `path`, and counted.
    fn metadata(&mut self, path: &GuestPath) -> Result<Metadata, Failure> {
        let read = || self.guest.metadata(&self.guest.find(path, LastLink::Keep)?.node);
        let metadata = read().map_err(|error| Failure::of(&error))?;
        match metadata.kind {
            FileKind::Directory => self.directories += 1,
            _ => {
                self.files += 1;
                self.bytes += metadata.size_bytes;
            }
        }
        Ok(metadata)
    }
}

/// Opens a folder that was made here, and no symlink in its place.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Gives a file its mode and its time.
fn finish(file: &File, metadata: &Metadata) -> io::Result<()> {
    let mode = Mode::from_raw_mode(u32::from(metadata.permissions & KEPT_PERMISSIONS));
    rustix::fs::fchmod(file, mode)?;
    let time = Timespec { tv_sec: metadata.modified.seconds, tv_nsec: i64::from(metadata.modified.nanoseconds) };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}

/// The folder and the name of a path.
fn split(target: &Path) -> Result<(PathBuf, OsString), Failure> {
    match (target.parent(), target.file_name()) {
        (Some(folder), Some(name)) => Ok((folder.to_owned(), name.to_owned())),
        _ => Err(Failure::new(format!("`{}` is not a name that can be given", target.display()))),
    }
}
