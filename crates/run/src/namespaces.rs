//! Commands in namespaces of their own, on the guest's files served through FUSE.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, PoisonError};

use customize::{Outcome, Program, RunError, Runner, Task};
use guest::Guest;
use mount::{Owners, Served};
use sandbox::{Ids, Root, Spec};
use scratch::View;

use crate::machine::{Machine, SCRIPT, arguments, host, host_path, now, unavailable};

/// Runs commands in namespaces of their own, on the guest's files served through FUSE.
#[derive(Debug)]
pub struct Namespaces {
    /// What it has of the machine.
    pub machine: Arc<Machine>,
    /// Which ids of the host stand for the guest's.
    pub ids: Ids,
}

impl Runner for Namespaces {
    fn run(&self, guest: &mut Guest, task: &Task, said: &mut dyn FnMut(&[u8])) -> Result<Outcome, RunError> {
        self.machine.run_in_view(guest, task, said, "namespaces", &mut |view, hostname, said| {
            let began = now();
            Ok((self.run_in(view, task, hostname, said)?, began))
        })
    }
}

impl Namespaces {
    /// Runs a task on the trees of `view`.
    fn run_in(
        &self,
        view: &View,
        task: &Task,
        hostname: &str,
        said: &mut dyn FnMut(&[u8]),
    ) -> Result<sandbox::Ended, RunError> {
        let mount_points = view.trees.iter().map(|(point, _)| host_path(point)).collect();
        let mut spec = Spec::new(Root::Fuse { mount_points }, arguments(&task.program));
        self.machine.furnish(&mut spec, view, task)?;
        spec.hostname = hostname.to_owned();
        spec.ids = self.ids;
        if let Program::Script(content) = &task.program {
            spec.files.push(sandbox::File { path: SCRIPT.into(), content: content.clone(), is_executable: true });
        }
        let mut served: Vec<Served> = Vec::new();
        let mut started = start(&spec, view, &mut served);
        if let (Err(sandbox::Error::NoSubordinateIds { .. }), Ids::Auto) = (&started, self.ids) {
            // With one id, the trees record whose files they are.
            spec.ids = Ids::Single;
            started = start(&spec, view, &mut served);
        }
        let recorder = Recorder { view, served: &served };
        let ended = started.and_then(|started| started.run(&recorder, said)).map_err(|error| unavailable(&error));
        // The sandbox is gone, and with it the mounts.
        for served in served {
            let waited = served.wait();
            if ended.is_ok() {
                waited.map_err(host("the guest's files could not be served"))?;
            }
        }
        ended
    }
}

/// Makes a sandbox on the trees of `view`.
fn start(spec: &Spec, view: &View, served: &mut Vec<Served>) -> Result<sandbox::Started, sandbox::Error> {
    let owners = if spec.ids == Ids::Single { Owners::AllRoot } else { Owners::AsTheyAre };
    sandbox::start(spec, &mut |index, connection| {
        served.push(mount::serve(&view.trees[index].1, owners, connection)?);
        Ok(())
    })
}

/// Records in the trees what a user with one id cannot have the kernel do.
struct Recorder<'a> {
    view: &'a View,
    /// In the order of the trees.
    served: &'a [Served],
}

impl Recorder<'_> {
    fn in_tree<T>(&self, mount: usize, record: impl FnOnce(&mut scratch::Tree) -> scratch::Result<T>) -> io::Result<T> {
        let (_, tree) = self.view.trees.get(mount).ok_or(io::ErrorKind::NotFound)?;
        Ok(record(&mut tree.lock().unwrap_or_else(PoisonError::into_inner))?)
    }
}

impl sandbox::Owners for Recorder<'_> {
    fn chown(&self, mount: usize, inode: u64, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let settings = scratch::Settings { uid, gid, ..scratch::Settings::default() };
        self.in_tree(mount, |tree| tree.set(inode, &settings, now()))?;
        // The bits that have a program run as its owner may be gone.
        self.served.get(mount).iter().for_each(|served| served.forget_attributes(inode));
        Ok(())
    }

    fn owner(&self, mount: usize, inode: u64) -> io::Result<[u32; 2]> {
        let metadata = self.in_tree(mount, |tree| tree.facts(inode))?.metadata;
        Ok([metadata.uid, metadata.gid])
    }

    fn make_node(&self, mount: usize, directory: u64, name: &OsStr, mode: u32, device: u64) -> io::Result<()> {
        let kind = match mode & 0o170_000 {
            0o020_000 => guest::FileKind::CharDevice,
            0o060_000 => guest::FileKind::BlockDevice,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let numbers = (rustix::fs::major(device), rustix::fs::minor(device));
        let owner = scratch::Owner { uid: 0, gid: 0 };
        self.in_tree(mount, |tree| {
            let new = scratch::New::Special(kind, Some(numbers));
            tree.create(directory, name.as_bytes(), new, ((mode & 0o7777) as u16, 0), owner, now()).map(drop)
        })?;
        self.served.get(mount).iter().for_each(|served| served.forget_name(directory, name));
        Ok(())
    }

    fn set_xattr(&self, mount: usize, inode: u64, name: &OsStr, value: &[u8]) -> io::Result<()> {
        self.in_tree(mount, |tree| tree.set_xattr(inode, name.as_bytes(), value, now()))
    }
}
