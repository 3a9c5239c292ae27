//! What runs commands in the guest, on this machine.

use std::any::Any;
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use clap::ValueEnum;
use customize::Runner;
use graft::{Folder, Leftover, temporary_folder, with_temporary_name};
use recipe::CommandLimits;
use run::{Auto, Machine, Namespaces, Network, ScratchFolder, Unpacked};
use sandbox::{Ids, Limits, Stopper};

use crate::environment;
use crate::interrupt::LeftoverProcess;

/// Which runner runs commands in the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Namespaces where this machine has them, or else `unpack` for root
    #[default]
    Auto,
    /// In namespaces of their own, with nothing of this machine
    Namespaces,
    /// In a folder that the guest is unpacked into, for root in a container: it does not keep commands from this
    /// machine's network and processes
    Unpack,
}

/// A runner of this machine.
pub(crate) fn runner(kind: Kind, limits: CommandLimits) -> Arc<dyn Runner> {
    let machine = Arc::new(Machine {
        spill: Box::new(|| Folder::open(&temporary_folder())?.unnamed_file()),
        network: Box::new(|| Network {
            resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
            environment: environment::proxies(),
        }),
        log_folder: temporary_folder(),
        limits: Limits {
            time: limits.time.map(|limit| limit.0),
            memory_bytes: limits.memory.map(|limit| limit.bytes),
            processes: None,
        },
    });
    let namespaces = Namespaces { machine: Arc::clone(&machine), ids: Ids::Auto };
    let unpacked = Unpacked { machine, folder: Box::new(scratch_folder), running: Box::new(ended_with_this_program) };
    match kind {
        Kind::Auto => Arc::new(Auto::new(namespaces, unpacked)),
        Kind::Namespaces => Arc::new(namespaces),
        Kind::Unpack => Arc::new(unpacked),
    }
}

/// A new folder that is removed when this program ends.
fn scratch_folder() -> io::Result<ScratchFolder> {
    let folder = std::path::absolute(temporary_folder())?;
    let (path, leftover) = Leftover::make(|| {
        let make = |name: &OsStr| DirBuilder::new().mode(0o700).create(folder.join(name));
        let path = folder.join(with_temporary_name(OsStr::new("guest"), make)?);
        Ok((path.clone(), path))
    })?;
    Ok((path, Box::new(leftover)))
}

fn ended_with_this_program(stopper: Stopper, process: u32) -> Box<dyn Any> {
    Box::new(LeftoverProcess::command(stopper, process))
}
