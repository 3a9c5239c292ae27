//! Commands in a folder of the host, for root who may neither make namespaces nor mount: a plain container.
//!
//! 1. The guest's whole tree is unpacked into a folder: contents with their holes, hard links, owners, modes, times,
//!    attributes, devices.
//! 2. The command enters it by `chroot`. Its processes and its network are the container's.
//! 3. What changed in the folder is brought back into the trees. A file of the host whose size and times are as they
//!    were after unpacking was not touched.
//!
//! The trees still have what the folder cannot hold, so that what nobody touched stays as it was: attributes that only
//! the host's root may set (`trusted.…`, labels of security modules), devices that may not be made. What would be lost
//! when a command copies a file (owners, capabilities, ACLs, attributes of users) has to go into the folder, or the
//! runner refuses.

mod bring_back;
mod host_file;
mod record;
mod write;

use std::any::Any;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use customize::{Outcome, Program, RunError, Runner, Task};
use guest::{FileKind, Guest, Time};
use rustix::fs::StatVfsMountFlags;
use sandbox::{Confinement, Root, Spec, Stopper};
use scratch::View;

use crate::machine::{Machine, SCRIPT, arguments, host_path, unavailable};
use crate::unpack::host_file::make_special;

/// What every `/dev` has: name, major and minor number.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The links in `/dev`. Without `/proc` they lead nowhere, so that a program fails instead of writing into a file.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Directories that are there for the time of a command, and their modes.
const DIRECTORIES: [(&str, u32); 5] =
    [("run/lock", 0o1777), ("run/imgraft", 0o755), ("dev/pts", 0o755), ("dev/shm", 0o1777), ("tmp", 0o1777)];

/// What a user can do about a folder that does not do.
const OTHER_FOLDER: &str = "name a folder on another file system: `TMPDIR=/folder imgraft …`";

/// A new folder of the host that only root may enter, and what removes it when it is dropped.
pub type ScratchFolder = (PathBuf, Box<dyn Any>);

/// Runs commands in a folder that the guest was unpacked into.
pub struct Unpacked {
    /// What it has of the machine.
    pub machine: Arc<Machine>,
    /// Makes the folder.
    pub folder: Box<dyn Fn() -> io::Result<ScratchFolder> + Send + Sync>,
    /// Is told how a command can be stopped, and the process that is gone afterwards, so that this can be done if the
    /// program ends early. What it returns is dropped when the command has ended.
    pub running: Box<dyn Fn(Stopper, u32) -> Box<dyn Any> + Send + Sync>,
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacked").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl Runner for Unpacked {
    fn run(&self, guest: &mut Guest, task: &Task, said: &mut dyn FnMut(&[u8])) -> Result<Outcome, RunError> {
        self.machine.run_in_view(guest, task, said, "unpack", &mut |view, _, said| self.run_in(view, task, said))
    }
}

impl Unpacked {
    fn run_in(
        &self,
        view: &View,
        task: &Task,
        said: &mut dyn FnMut(&[u8]),
    ) -> Result<(sandbox::Ended, Time), RunError> {
        if !rustix::process::geteuid().is_root() {
            return Err(RunError::Unavailable {
                problem: "only root can unpack a guest and enter it by chroot".to_owned(),
                hint: Some("run imgraft as root, or with `--runner namespaces`".to_owned()),
            });
        }
        let (outer, removed_at_the_end) = (self.folder)().map_err(|error| RunError::Host {
            what: "the folder that the guest is unpacked into cannot be made".to_owned(),
            error,
        })?;
        check_folder(&outer)?;
        // What is made in the folder gets nothing from a folder around it.
        set_mode(&outer, 0o700)?;
        let _ = rustix::fs::removexattr(&outer, "system.posix_acl_default");
        // The guest's root may be open to all; the folder around it is not.
        let folder = outer.join("root");
        let mut spec = Spec::new(Root::Folder(folder.clone()), arguments(&task.program));
        spec.confinement = Confinement::Chroot;
        self.machine.furnish(&mut spec, view, task)?;
        let record = write::unpack(view, &folder)?;
        furnish(&folder, &task.program)?;
        let began = record.wait_for_the_clock(&outer)?;
        let started = sandbox::start(&spec, &mut |_, _| Err(io::ErrorKind::Unsupported.into()));
        let ended = started.and_then(|started| {
            let _running = (self.running)(started.stopper()?, started.helper_process());
            started.run(&(), said)
        });
        let ended = ended.map_err(|error| unavailable(&error))?;
        if ended == sandbox::Ended::Exited(0) {
            bring_back::bring_back(view, &folder, &record, began)?;
        }
        drop(removed_at_the_end);
        Ok((ended, began))
    }
}

/// Refuses a folder in which no guest can run.
fn check_folder(folder: &Path) -> Result<(), RunError> {
    let found = rustix::fs::statvfs(folder).map_err(|error| failed(folder, error.into()))?;
    let flags = [(StatVfsMountFlags::NODEV, "nodev"), (StatVfsMountFlags::NOEXEC, "noexec")];
    match flags.iter().find(|(flag, _)| found.f_flag.contains(*flag)) {
        None => Ok(()),
        Some((_, name)) => Err(RunError::Unavailable {
            problem: format!(
                "the file system of {} is mounted with `{name}`: no guest can run there",
                folder.display()
            ),
            hint: Some(OTHER_FOLDER.to_owned()),
        }),
    }
}

/// Puts into the folder what is there for the time of the command and is no file of the guest.
fn furnish(folder: &Path, program: &Program) -> Result<(), RunError> {
    let place = |name: &str| folder.join(name);
    for name in ["dev", "proc", "run", "sys"] {
        set_mode(&place(name), 0o755)?;
    }
    for (name, mode) in DIRECTORIES {
        let path = place(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&path, error)),
            _ => set_mode(&path, mode)?,
        }
    }
    for (name, target) in LINKS {
        let path = place("dev").join(name);
        symlink(target, &path).map_err(|error| failed(&path, error))?;
    }
    for (name, major, minor) in DEVICES {
        let path = place("dev").join(name);
        let made = make_special(&path, FileKind::CharDevice, Some((major, minor)));
        made.map_err(|error| RunError::Unavailable {
            problem: format!("the device /dev/{name}, which programs need, cannot be made for the guest: {error}"),
            hint: Some("give this container the right to make devices: `--cap-add MKNOD`".to_owned()),
        })?;
        set_mode(&path, 0o666)?;
    }
    // It can be made where it can be used, but for containers whose devices are listed one by one.
    let null = place("dev/null");
    fs::OpenOptions::new().write(true).open(&null).map_err(|error| RunError::Unavailable {
        problem: format!("the device /dev/null of the guest cannot be opened: {error}"),
        hint: Some(OTHER_FOLDER.to_owned()),
    })?;
    if let Program::Script(content) = program {
        let path = folder.join(SCRIPT.trim_start_matches('/'));
        fs::write(&path, content).map_err(|error| failed(&path, error))?;
        set_mode(&path, 0o755)?;
    }
    Ok(())
}

/// Makes a directory that only its owner may enter, until it gets its own mode.
fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), RunError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| failed(path, error))
}

/// The place of a guest's path in the folder.
fn place(folder: &Path, path: &guest::GuestPath) -> PathBuf {
    let path = host_path(path);
    folder.join(path.strip_prefix("/").unwrap_or(&path))
}

/// An error of the folder.
fn failed(path: &Path, error: io::Error) -> RunError {
    let what = format!("{}: the guest's files cannot be unpacked or read there", path.display());
    RunError::Host { what, error }
}

/// A file that the folder cannot hold.
fn cannot_hold(path: &guest::GuestPath, what: &str, error: &dyn std::fmt::Display, remedy: &str) -> RunError {
    RunError::Refused {
        problem: format!("`{path}` {what}, which the folder that the guest is unpacked into cannot hold: {error}"),
        hint: Some(remedy.to_owned()),
    }
}
