//! `imgraft mount`: a guest's tree in a folder of the host.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use graft::{Folder, Job, Looked, Visitor};
use guest::{Guest, Time};
use mount::{Mounted, Options, Owners};
use scratch::{Spill, Times, View};

use crate::cli::mount::Mount;
use crate::environment::source_date_epoch;
use crate::failure::Failure;
use crate::interrupt;
use crate::show::{Messages, print_report, tell_report};

pub(super) fn run(arguments: Mount, messages: &Messages) -> Result<(), Failure> {
    let start = Instant::now();
    let (image, folder) = (&arguments.image, &arguments.folder);
    expect_folder(folder)?;
    let place = arguments.part.place();
    let session = Session {
        folder: folder.clone(),
        read_only: arguments.read_only,
        latest: source_date_epoch()?,
        messages: *messages,
    };
    if arguments.read_only || arguments.discard {
        let disk = Looked::open(image, arguments.backing.into(), &messages.watcher())?.disk;
        let opened = match &place {
            Some(place) => Guest::open_place(&disk, place),
            None => Guest::open(disk),
        };
        let error = |error| Failure::because(format!("`{}` cannot be used", image.display()), &error);
        let mut guest = opened.map_err(error)?;
        let view = session.mounted(&mut guest).map_err(|error| mount_failure(folder, &*error))?;
        view.discard(&mut guest);
        return Ok(());
    }
    let unchanged = format!("`{}` was not changed", image.display());
    let changed = || -> Result<_, Failure> {
        let mut job = Job::in_place(image, arguments.writing.dry_run)?;
        job.backing = arguments.backing.into();
        job.place = place;
        job.visitor = Some(Arc::new(session));
        arguments.writing.apply(&mut job)?;
        Ok(job.run(&messages.watcher())?)
    };
    let report = changed().map_err(|failure| failure.within(unchanged))?;
    tell_report(&report, messages, true, start);
    print_report(&report, arguments.writing.json)
}

fn expect_folder(folder: &Path) -> Result<(), Failure> {
    let cannot = |why: &str| Failure::new(format!("`{}` {why}", folder.display()));
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(cannot("is not a folder").hint("give an empty folder, such as `/mnt`")),
        Err(error) => {
            Err(Failure::because(format!("`{}` cannot be used", folder.display()), &error)
                .hint("make the folder first"))
        }
    }
}

fn mount_failure(folder: &Path, error: &(dyn Error + 'static)) -> Failure {
    Failure::because(format!("the guest cannot be mounted in `{}`", folder.display()), error)
}

/// The time that a guest's tree is mounted.
#[derive(Debug)]
struct Session {
    folder: PathBuf,
    read_only: bool,
    /// No time is after this one.
    latest: Option<Time>,
    messages: Messages,
}

impl Session {
    /// Mounts `guest` until somebody ends that.
    fn mounted(&self, guest: &mut Guest) -> Result<View, Box<dyn Error + Send + Sync>> {
        let spill = Spill::new(Folder::open(&graft::temporary_folder())?.unnamed_file()?);
        let view = View::new(guest, spill)?;
        let is_root = rustix::process::geteuid().is_root();
        let options = Options { read_only: self.read_only, by_permissions: is_root };
        let owners = if is_root { Owners::AsTheyAre } else { Owners::MadeByRoot };
        let mounted = match Mounted::new(&view, owners, &self.folder, options) {
            Ok(mounted) => mounted,
            Err(error) => {
                view.discard(guest);
                return Err(error.into());
            }
        };
        let folder = self.folder.display();
        let hidden: Vec<String> = view.trees.iter().skip(1).map(|(path, _)| format!("`{path}`")).collect();
        if !is_root && !hidden.is_empty() {
            self.messages.warning(format_args!(
                "what is mounted at {} in the guest is not shown: in the mount of an ordinary user, FUSE mounts nothing else",
                words::list(hidden, "and")
            ));
            self.messages.hint("root sees all of the guest; `--partition N` shows one partition");
        }
        self.messages.note(format_args!("mounted in {folder}: `imgraft umount {folder}` or Ctrl-C ends it"));
        let (places, messages) = (mounted.places(), self.messages);
        interrupt::until_signal(
            move || {
                if let Err(error) = mount::unmount(&places) {
                    let place = places[0].display();
                    messages.note(format_args!("{place} is in use and stays mounted: {error}"));
                }
            },
            || mounted.wait(),
        )?;
        Ok(view)
    }
}

impl Visitor for Session {
    fn visit(&self, guest: &mut Guest) -> Result<(), Box<dyn Error + Send + Sync>> {
        let view = self.mounted(guest)?;
        let times = Times { latest: self.latest, ..Times::AS_THEY_ARE };
        let difference = view.finish(guest, &times, &|_| false)?;
        Ok(difference.graft(guest)?)
    }
}
