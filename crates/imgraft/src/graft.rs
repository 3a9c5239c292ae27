//! From a base and operations to a new image: what `build`, `customize` and `resize` share.

use std::cell::Cell;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use customize::recipe::BaseName;
use customize::{DiskSize, Done, Form, Operation, Options, Watch, carry_out, check_packages};
use guest::diff::BlockAccount;
use guest::{FileSystem, Guest};
use image::{Container, Image, NewClusters};
use storage::{ReadAt, WriteAt};

use crate::backing::Layer;
use crate::cli::Backing;
use crate::commit::{Way, folder_failure, is_full, no_space};
use crate::container;
use crate::disk::{Disk, OpenedFile, OpenedImage, disk, usable};
use crate::environment;
use crate::failure::{Failure, host_error};
use crate::message::Messages;
use crate::output::Folder;
use crate::progress::{Progress, Spinner};
use crate::proof;
use crate::report::{Change, Grown, Report};
use crate::soundness;

/// What is to be made of what.
pub(crate) struct Job {
    pub(crate) base: OpenedFile,
    /// Whether the files under the base are opened.
    pub(crate) backing: Backing,
    /// What the new image's file is like.
    pub(crate) form: Form,
    /// Where the new image goes: no symlink.
    pub(crate) target: PathBuf,
    /// The same, as the user calls it.
    pub(crate) target_name: PathBuf,
    /// How large the disk is to be, for the root to grow into what it gets.
    pub(crate) size: Option<DiskSize>,
    pub(crate) operations: Vec<Operation>,
    /// Packages that have to be installed in the end.
    pub(crate) keep_packages: Vec<String>,
    /// What the base should be.
    pub(crate) expected_base: Option<BaseName>,
    pub(crate) new_clusters: Option<NewClusters>,
    /// Whether file systems are written to although errors were noted in them.
    pub(crate) ignore_fs_errors: bool,
    /// Whether it is done twice, to see that the same comes out.
    pub(crate) verify_reproducible: bool,
    /// Whether the target is the base, and keeps its mode and owner.
    pub(crate) in_place: bool,
    /// Whether what would be done is only said.
    pub(crate) dry_run: bool,
    pub(crate) manner: Manner,
}

/// How another command line has it done.
#[derive(Default)]
pub(crate) struct Manner {
    /// Who is told which operation is next.
    pub(crate) begins: Option<Box<dyn Fn(usize) + Send + Sync>>,
    /// Whether directories on the way to something have to be there.
    pub(crate) existing_parents: bool,
    /// Whether it says nothing of slips that are done as asked.
    pub(crate) without_advice: bool,
    /// What is done in the second system on the disk and in those after it; without this, a disk with several systems
    /// is refused.
    pub(crate) other_systems: Vec<Vec<Operation>>,
}

/// An image with what was asked for, all of which is kept apart from its file.
pub(crate) struct Graft {
    pub(crate) image: Arc<Image>,
    /// The files that the image is read from.
    pub(crate) layers: Vec<Layer>,
    /// What the new image is, where it is not as this one is in everything.
    pub(crate) container: Option<Container>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) done: Done,
    grown: Option<Grown>,
    checked: Vec<String>,
    changed: BlockAccount,
    warnings: Vec<String>,
}

/// Does the job, and says so.
pub(crate) fn run(job: Job, messages: &Messages) -> Result<Report, Failure> {
    let start = Instant::now();
    let folder = job.target.parent().unwrap_or(Path::new(""));
    let opened = job.base.image(job.backing, folder, messages)?;
    let way = Way::of(&job, opened.image.info().format)?;
    container::refuse_layer(&job.target, &opened.layers)?;
    let graft = Graft::new(&job, opened, way.spill(), messages)?;
    let format = graft.format();
    let virtual_size_bytes = graft.disk.size_bytes();
    let of_container = |container: &Container| container.disk_size_bytes(virtual_size_bytes);
    let mut report = Report {
        output: job.target_name.display().to_string(),
        dry_run: job.dry_run,
        format: format.clone(),
        backing_file: graft.backing_file(),
        file_size_bytes: None,
        virtual_size_bytes: graft.container.as_ref().map_or(virtual_size_bytes, of_container),
        grown: graft.grown.clone(),
        operations: graft.done.reports.clone(),
        room: graft.done.room.clone(),
        kept_packages: job.keep_packages.clone(),
        checked: graft.checked.clone(),
        changed: graft.changed.clone(),
        warnings: graft.warnings.clone(),
        in_place: None,
        copied_bytes: None,
        sha256: None,
        clusters: None,
    };
    if job.dry_run {
        graft.done.check_sources().map_err(|error| plan_failure(&error, way.spill()))?;
        return Ok(report);
    }
    if job.in_place && job.operations.is_empty() && graft.changed.is_empty() && report.has_grown_nothing() {
        report.tell_unchanged(messages);
        return Ok(report);
    }
    let committed = way.commit(&graft, &job, messages)?;
    report.file_size_bytes = Some(committed.file_size_bytes);
    report.in_place = committed.in_place;
    report.copied_bytes = committed.copied_bytes;
    report.sha256 = committed.sha256;
    report.clusters = committed.clusters;
    report.tell(messages, job.in_place, start);
    Ok(report)
}

impl Graft {
    /// Carries out `job`'s operations; what does not fit memory is kept in a file in `folder`.
    pub(crate) fn new(job: &Job, opened: OpenedImage, folder: &Folder, messages: &Messages) -> Result<Self, Failure> {
        let base_path = &job.base.path;
        let OpenedImage { image, layers, wrapping } = opened;
        if let (true, Some(wrapping)) = (job.form.overlay, wrapping) {
            return Err(Failure::new(format!("`{}` is compressed: {wrapping}", base_path.display()))
                .hint("an overlay needs a base that a virtual machine can read: `imgraft convert` makes one"));
        }
        let new_name = (!job.in_place).then_some(&*job.target_name);
        let container = container::of_edit(&job.form, new_name, &image.info(), folder.path(), base_path)?;
        let spill_folder = folder.try_clone().map_err(|error| folder_failure(folder.path(), &error))?;
        let size_bytes = match job.size {
            Some(size) => {
                let size_bytes = size.of(image.size_bytes()).map_err(|error| Failure::of(&error))?;
                // Some containers hold whole units only: the root takes the last one, too.
                container.as_ref().map_or(size_bytes, |container| container.disk_size_bytes(size_bytes))
            }
            None => image.size_bytes(),
        };
        let disk = disk(Arc::clone(&image), size_bytes, spill_folder);
        let storage = Arc::clone(&disk) as Arc<dyn WriteAt>;
        let opened =
            if job.manner.other_systems.is_empty() { Guest::open(storage) } else { Guest::open_first(storage) };
        let mut guest = usable(base_path, opened)?;

        for volume in guest.volumes().iter().filter(|volume| volume.journal_replayed()) {
            messages.note(format_args!("replayed the journal of {volume}: the guest was not shut down cleanly"));
        }
        let format = container.as_ref().map_or(image.info().format.to_string(), ToString::to_string);
        let mut warnings: Vec<String> = container::name_warning(&job.target_name, &format).into_iter().collect();
        if job.ignore_fs_errors {
            warnings.extend(noted_errors(&guest));
            guest.allow_errors();
        }
        let mut grown = None;
        if job.size.is_some() {
            let change;
            (guest, change) = grow(guest, image.size_bytes(), &disk, job.ignore_fs_errors)
                .map_err(|error| grow_failure(&error, folder))?;
            grown = Some(change);
        }
        warnings.extend(unexpected_base(&guest, job.expected_base.as_ref())?);
        if job.new_clusters.is_some() && format == "raw" {
            warnings.push("the new image is raw: `--compress` changes nothing".to_owned());
        }
        let options = Options {
            modified: environment::source_date_epoch()?,
            existing_parents: job.manner.existing_parents,
            without_advice: job.manner.without_advice,
        };
        let done = apply(&mut guest, job, &options, folder, messages)?;
        warnings.extend(done.warnings.iter().map(ToString::to_string));
        warnings.iter().for_each(|warning| messages.warning(warning));
        check_packages(&guest, &job.keep_packages).map_err(|error| plan_failure(&error, folder))?;
        let spinner = Spinner::new(messages, "checking what was changed");
        let checked = soundness::check(base_path, &image, &disk, &guest)?;
        drop(spinner);
        checked.warnings.iter().for_each(|warning| messages.warning(warning));
        let is_sound = checked.warnings.is_empty();
        warnings.extend(checked.warnings);
        let spinner = Spinner::new(messages, "accounting for each block");
        let proof = proof::check(&image, &disk, &guest, grown.is_some(), is_sound)?;
        drop(spinner);
        proof.warning.iter().for_each(|warning| messages.warning(warning));
        warnings.extend(proof.warning);
        let (checked, changed) = (checked.file_systems, proof.account);
        Ok(Self { image, layers, container, disk, done, grown, checked, changed, warnings })
    }

    /// The new image's format.
    pub(crate) fn format(&self) -> String {
        self.container.as_ref().map_or(self.image.info().format.to_string(), ToString::to_string)
    }

    /// The file that the new image names, as it does.
    fn backing_file(&self) -> Option<String> {
        match &self.container {
            Some(Container::Qcow2(options)) => options.backing.as_ref().map(|backing| backing.name.clone()),
            _ => None,
        }
    }
}

/// Gives the root what room the disk has, which was `old_bytes` large.
fn grow(
    guest: Guest,
    old_bytes: u64,
    disk: &Arc<Disk>,
    ignore_fs_errors: bool,
) -> Result<(Guest, Grown), guest::Error> {
    let old_root_bytes = guest.root_volume().file_system_bytes();
    let mut guest = guest.grow_root_partition(Arc::clone(disk) as Arc<dyn WriteAt>)?;
    if ignore_fs_errors {
        guest.allow_errors();
    }
    guest.grow_root()?;
    let root = guest.root_volume();
    let grown = Grown {
        disk_bytes: Change { from: old_bytes, to: disk.size_bytes() },
        root: root.to_string(),
        root_bytes: Change { from: old_root_bytes, to: root.file_system_bytes() },
    };
    Ok((guest, grown))
}

/// What to say of a base that is not what the recipe asks for.
fn unexpected_base(guest: &Guest, expected: Option<&BaseName>) -> Result<Option<String>, Failure> {
    let Some(expected) = expected else { return Ok(None) };
    let os = guest.operating_system().map_err(|error| Failure::of(&error))?;
    let text = || format!("the recipe asks for {expected}, the base is {}", guest::Printable(os.name.as_bytes()));
    Ok((!expected.is(&os)).then(text))
}

/// What to say of file systems that errors were noted in.
pub(crate) fn noted_errors(guest: &Guest) -> impl Iterator<Item = String> {
    let noted = guest.volumes().iter().filter(|volume| volume.file_system().is_some_and(FileSystem::has_errors));
    noted.map(|volume| format!("errors were noted in {volume}; e2fsck repairs it"))
}

/// The user, who sees the bytes and may be told of each operation.
struct Spectator<'a> {
    progress: Progress,
    begins: Option<&'a dyn Fn(usize)>,
    /// What was done in the systems before this one.
    earlier: Cell<Seen>,
    last: Cell<Seen>,
}

/// How far operations are: how many are done, the bytes that are done, and those that there are.
#[derive(Clone, Copy, Default)]
struct Seen {
    operations: usize,
    done_bytes: u64,
    expected_bytes: u64,
}

impl Watch for Spectator<'_> {
    fn begins(&self, index: usize) {
        let operations = self.earlier.get().operations + index;
        self.last.set(Seen { operations, ..self.last.get() });
        if let Some(tell) = self.begins {
            tell(operations);
        }
    }

    fn progress(&self, done_bytes: u64, expected_bytes: u64) {
        let Seen { done_bytes: earlier_done, expected_bytes: earlier_expected, .. } = self.earlier.get();
        let (done_bytes, expected_bytes) = (earlier_done + done_bytes, earlier_expected + expected_bytes);
        self.last.set(Seen { done_bytes, expected_bytes, ..self.last.get() });
        self.progress.set(done_bytes, expected_bytes);
    }
}

fn apply(
    guest: &mut Guest,
    job: &Job,
    options: &Options,
    folder: &Folder,
    messages: &Messages,
) -> Result<Done, Failure> {
    let systems: Vec<&[Operation]> =
        std::iter::once(&job.operations).chain(&job.manner.other_systems).map(Vec::as_slice).collect();
    if systems.len() != guest.systems() {
        return Err(Failure::new(format!("`{}` changed while it was read", job.base.path.display())));
    }
    let spectator = Spectator {
        progress: Progress::new(messages, "putting"),
        begins: job.manner.begins.as_deref().map(|begins| begins as &dyn Fn(usize)),
        earlier: Cell::default(),
        last: Cell::default(),
    };
    let mut all: Option<Done> = None;
    for (index, operations) in systems.into_iter().enumerate() {
        if index > 0 {
            guest.enter_system(index).map_err(|error| Failure::of(&error))?;
        }
        let done = carry_out(guest, operations, options, &spectator).map_err(|error| plan_failure(&error, folder))?;
        spectator.earlier.set(spectator.last.get());
        match &mut all {
            Some(all) => all.append(done),
            None => all = Some(done),
        }
    }
    all.ok_or_else(|| Failure::new("nothing was to be done"))
}

/// Why the root cannot have more room.
fn grow_failure(error: &guest::Error, folder: &Folder) -> Failure {
    if let Some(host) = host_error(error as &(dyn Error + 'static)).filter(|host| is_full(host)) {
        return no_space(folder, None, host);
    }
    let failure = Failure::because("the root cannot grow", error);
    match error {
        guest::Error::Partition(partition::Error::NotLast { .. }) => {
            failure.hint("only the partition that lies last on the disk can have what is behind it")
        }
        _ => failure,
    }
}

/// What went wrong before anything was written.
pub(crate) fn plan_failure(error: &customize::Error, folder: &Folder) -> Failure {
    if let customize::Error::Put { .. } | customize::Error::Guest(_) = error
        && let Some(host) = host_error(error as &(dyn Error + 'static)).filter(|host| is_full(host))
    {
        return no_space(folder, None, host);
    }
    let failure = Failure::of(error);
    if is_for_noted_errors(error) {
        return failure.hint("with `--ignore-fs-errors` it is written to all the same");
    }
    match error {
        customize::Error::NoSpace { .. } | customize::Error::NoInodes { .. } => {
            failure.hint("`--size` makes room in the root, such as `--size +2G`")
        }
        customize::Error::Refused { hint: Some(hint), .. } => failure.hint(hint),
        customize::Error::UnknownName { .. } => failure.hint("a number is taken as it is"),
        customize::Error::Guest(guest::Error::Path {
            problem: guest::PathProblem::DanglingLink { target, .. },
            ..
        }) => {
            let target = guest::Printable(target);
            failure.hint(format!("symlinks are followed inside the guest only: put something at `{target}` first"))
        }
        customize::Error::NoPackageList { .. } => failure.hint("leave out `keep.packages`"),
        _ => failure,
    }
}

/// Whether a file system is not written to because errors were noted in it.
fn is_for_noted_errors<'a>(error: &'a (dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref::<guest::FileSystemError>())
        .any(guest::FileSystemError::is_for_noted_errors)
}
