//! A job: from an image and operations to a new image, or to the same one changed.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{Finding, fit};
use customize::{Done, Operation, Options, RunError, Watch, carry_out, check_packages, label_new};
use guest::diff::BlockAccount;
use guest::{FileSystem, Guest, Place, Time};
use image::{Container, Image, NewClusters};
use recipe::{BaseName, DiskSize, Form};
use storage::{ReadAt, WriteAt};

use crate::attentive::Attentive;
use crate::backing::Layer;
use crate::commit::Way;
use crate::comparison::Comparison;
use crate::container;
use crate::disk::{Disk, disk};
use crate::error::{Error, full};
use crate::findings;
use crate::output::Folder;
use crate::proof;
use crate::report::{Change, Grown, Inventory, Report};
use crate::soundness;
use crate::source::{Backing, OpenedFile, OpenedImage};
use crate::target;
use crate::watch::{Event, Lasting, Stage, Watcher};

/// Changes a guest in a way of its own, as somebody does who has it mounted.
pub trait Visitor: std::fmt::Debug + Send + Sync {
    /// Changes `guest`.
    ///
    /// # Errors
    ///
    /// Then the image is not changed.
    fn visit(&self, guest: &mut Guest) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Writes documents about a new image.
pub trait Author: std::fmt::Debug + Send + Sync {
    /// Where they go.
    fn paths(&self) -> Vec<PathBuf>;

    /// Whether they tell what the image has: the comparison with digests, and the inventory. Either takes a while.
    fn tells_contents(&self) -> bool {
        true
    }

    /// Their contents, in the order of [`paths`](Self::paths), when the image is written and has no name yet. `report` has
    /// the image's digest and, if they [tell contents](Self::tells_contents), the comparison with digests and the inventory.
    ///
    /// # Errors
    ///
    /// Then there is no image.
    fn write(&self, report: &Report) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>>;
}

/// What is to be made of an image.
///
/// Operations are carried out on the image's disk, in an overlay. Before anything gets a name, each file system that
/// changed is checked and each changed block is accounted for. Then a new file comes into being, or a qcow2 image
/// changes in its own file, all or nothing.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut job = graft::Job::new_image("noble.img".as_ref(), "app.qcow2".as_ref())?;
/// job.operations.push(customize::Put::parse("dist/app:/usr/local/bin/app:0755".as_ref())?.into());
/// let report = job.run(&graft::Watcher::silent())?;
/// println!("{} has {} bytes", report.output, report.file_size_bytes.unwrap_or_default());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Job {
    /// The image that is read. Jobs that share it read and decompress it once.
    pub base: Arc<OpenedFile>,
    /// What the base is called in the report, where that is not its path.
    pub base_name: Option<String>,
    /// Whether the files under the base are opened.
    pub backing: Backing,
    /// What the new image's file is like.
    pub form: Form,
    /// Where the new image goes: no symlink.
    pub(crate) target: PathBuf,
    /// The same, as the user calls it.
    pub(crate) target_name: PathBuf,
    /// How large the disk is to be, for the root to grow into what it gets.
    pub size: Option<DiskSize>,
    /// What is done, in this order.
    pub operations: Vec<Operation>,
    /// What is done in the second system on the disk and in those after it. Without this, a disk with several systems is
    /// refused.
    pub other_systems: Vec<Vec<Operation>>,
    /// How it is done, and the time that everything new gets.
    pub options: Options,
    /// Packages that have to be installed in the end.
    pub keep_packages: Vec<String>,
    /// What the base should be; it is a warning if it is not.
    pub expected_base: Option<BaseName>,
    /// What becomes of clusters that change; compressed at level 3 where this is `None`.
    pub new_clusters: Option<NewClusters>,
    /// Whether file systems are written to although errors were noted in them.
    pub ignore_fs_errors: bool,
    /// Who changes the guest after the operations.
    pub visitor: Option<Arc<dyn Visitor>>,
    /// The file system that is taken for the guest, by its place on the disk. Without it, the guest is the operating
    /// system on the disk.
    pub place: Option<Place>,
    /// Whether what was put and does not fit the guest ends the job.
    pub strict: bool,
    /// Whether it is done twice, to see that the same comes out.
    pub verify_reproducible: bool,
    /// Whether the report says what differs, path by path.
    pub compares: bool,
    /// Whether a new image has a file beside it that says its SHA-256, as `sha256sum -c` reads it: `IMAGE.sha256`.
    pub checksum: bool,
    /// Who writes documents about a new image, which are there with it or not at all.
    pub author: Option<Arc<dyn Author>>,
    /// Whether the target is the base, and keeps its mode and owner.
    pub(crate) in_place: bool,
    /// Whether what would be done is only said.
    pub dry_run: bool,
    /// How many threads compress. The bytes do not depend on it.
    pub threads: NonZeroUsize,
}

impl Job {
    /// A new image at `target`, made of the one at `base`, which is never written to.
    ///
    /// # Errors
    ///
    /// A base that cannot be opened, and [`Error::Target`].
    pub fn new_image(base: &Path, target: &Path) -> Result<Self, Error> {
        Self::of_base(OpenedFile::open(base)?, target)
    }

    /// As [`new_image`](Self::new_image), of a base that is open.
    ///
    /// # Errors
    ///
    /// [`Error::Target`].
    pub fn of_base(base: impl Into<Arc<OpenedFile>>, target: &Path) -> Result<Self, Error> {
        let base = base.into();
        let path = target::resolve(target, &base)?;
        Ok(Self::new(base, path, target, false))
    }

    /// The image at `path` changed: a qcow2 in its own file, another one by a new file in its place. A symlink stands
    /// for what it points to.
    ///
    /// With `dry_run`, the image is opened for reading only.
    ///
    /// # Errors
    ///
    /// An image that cannot be opened or is not to be changed.
    pub fn in_place(path: &Path, dry_run: bool) -> Result<Self, Error> {
        let base = OpenedFile::open_in_place(path, dry_run)?;
        let target = base.real_path()?;
        Ok(Self { dry_run, ..Self::new(Arc::new(base), target, path, true) })
    }

    fn new(base: Arc<OpenedFile>, target: PathBuf, target_name: &Path, in_place: bool) -> Self {
        Self {
            base,
            base_name: None,
            backing: Backing::default(),
            form: Form::default(),
            target,
            target_name: target_name.to_owned(),
            size: None,
            operations: Vec::new(),
            other_systems: Vec::new(),
            options: Options::default(),
            keep_packages: Vec::new(),
            expected_base: None,
            new_clusters: None,
            ignore_fs_errors: false,
            visitor: None,
            place: None,
            strict: false,
            verify_reproducible: false,
            compares: false,
            checksum: false,
            author: None,
            in_place,
            dry_run: false,
            threads: crate::threads(),
        }
    }

    /// Whether documents are written that tell what the image has.
    fn tells_contents(&self) -> bool {
        self.author.as_ref().is_some_and(|author| author.tells_contents())
    }

    /// Does it. `watcher` is told how far that is, and of what may not be what is wanted.
    ///
    /// # Errors
    ///
    /// Then nothing was changed, unless it is [`Error::Undecided`].
    pub fn run(self, watcher: &Watcher) -> Result<Report, Error> {
        let folder = self.target.parent().unwrap_or(Path::new(""));
        let opened = self.base.shared_image(self.backing, folder, watcher)?;
        let way = Way::of(&self, opened.image.info().format)?;
        container::refuse_layer(&self.target, &opened.layers)?;
        let planned = Planned::new(&self, opened, way.spill(), watcher)?;
        let mut report = planned.report(&self);
        if self.dry_run {
            planned.done.check_sources().map_err(|error| operation_error(error, way.spill()))?;
            return Ok(report);
        }
        let has_nothing_to_do = self.operations.is_empty() && planned.changed.is_empty() && report.has_grown_nothing();
        if self.in_place && has_nothing_to_do {
            return Ok(report);
        }
        let committed = way.commit(&planned, &self, watcher)?;
        report.file_size_bytes = Some(committed.file_size_bytes);
        report.in_place = committed.in_place;
        report.copied_bytes = committed.copied_bytes;
        report.reproducible = self.verify_reproducible && committed.sha256.is_some();
        report.sha256 = committed.sha256;
        report.checksum_file = committed.checksum_file.map(|path| path.display().to_string());
        report.clusters = committed.clusters;
        report.documents = committed.documents.iter().map(|path| path.display().to_string()).collect();
        Ok(report)
    }
}

/// An image with what was asked for, all of which is kept apart from its file.
pub(crate) struct Planned {
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
    comparison: Option<Arc<Comparison>>,
    inventory: Option<Inventory>,
    warnings: Vec<String>,
    fit: Vec<Finding>,
    hygiene: Vec<Finding>,
}

impl Planned {
    /// Carries out `job`'s operations; what does not fit memory is kept in a file in `folder`.
    pub(crate) fn new(job: &Job, opened: OpenedImage, folder: &Folder, watcher: &Watcher) -> Result<Self, Error> {
        let base_path = job.base.path();
        let OpenedImage { image, layers, wrapping } = opened;
        if let (true, Some(wrapping)) = (job.form.overlay, wrapping) {
            return Err(Error::OverlayOverCompressed { base: base_path.to_owned(), wrapping });
        }
        let new_name = (!job.in_place).then_some(&*job.target_name);
        let modified = job.options.modified;
        let container = container::of_edit(&job.form, new_name, &image.info(), folder.path(), base_path, modified)?;
        let spill_folder = folder.try_clone().map_err(Error::folder(folder.path()))?;
        let size_bytes = match job.size {
            Some(size) => {
                let size_bytes = size.of(image.size_bytes())?;
                // Some containers hold whole units only: the root takes the last one, too.
                container.as_ref().map_or(size_bytes, |container| container.disk_size_bytes(size_bytes))
            }
            None => image.size_bytes(),
        };
        let disk = disk(Arc::clone(&image), size_bytes, spill_folder);
        let attentive = Attentive::new(Arc::clone(&disk) as Arc<dyn WriteAt>);
        let storage = Arc::clone(&attentive) as Arc<dyn WriteAt>;
        let opened = match &job.place {
            Some(place) => Guest::open_place(&storage, place),
            None if job.other_systems.is_empty() => Guest::open(storage),
            None => Guest::open_first(storage),
        };
        let mut guest = opened.map_err(|error| Error::Guest { path: base_path.to_owned(), error })?;

        for volume in guest.volumes().iter().filter(|volume| volume.journal_replayed()) {
            watcher.note(format_args!("replayed the journal of {volume}: the guest was not shut down cleanly"));
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
            (guest, change) = grow(guest, image.size_bytes(), &attentive, job.ignore_fs_errors).map_err(|error| {
                match full(&error) {
                    Some(host) => Error::no_space(folder, None, host),
                    None => Error::Grow(error),
                }
            })?;
            grown = Some(change);
        }
        warnings.extend(unexpected_base(&guest, job.expected_base.as_ref())?);
        if job.new_clusters.is_some() && format == "raw" {
            warnings.push("the new image is raw: there are no clusters that could be compressed".to_owned());
        }
        let (mut done, fit) = apply(&mut guest, job, folder, watcher)?;
        let failed = |error: storage::Error| Error::Guest { path: base_path.to_owned(), error: error.into() };
        // What the host could not read is not missing in the guest.
        attentive.host_has_not_failed().map_err(failed)?;
        if job.strict && !fit.is_empty() {
            return Err(Error::Unfit { findings: fit });
        }
        if let Some(visitor) = &job.visitor {
            visitor.visit(&mut guest).map_err(Error::Visit)?;
            done.labels.extend(label_new(&mut guest, &job.options, &mut done.warnings)?);
            guest.flush()?;
        }
        warnings.extend(done.warnings.iter().map(ToString::to_string));
        warnings.iter().for_each(|warning| watcher.warning(warning));
        check_packages(&guest, &job.keep_packages).map_err(|error| operation_error(error, folder))?;
        let inventory = job.tells_contents().then(|| inventory(&guest, modified)).transpose()?;
        let hygiene = findings::left(job, &image, &guest).map_err(failed)?;
        attentive.host_has_not_failed().map_err(failed)?;
        let stage = watcher.stage(Stage::Check);
        let checked = soundness::check(base_path, &image, &disk, &guest, &stage)?;
        drop(stage);
        checked.warnings.iter().for_each(|warning| watcher.warning(warning));
        let is_sound = checked.warnings.is_empty();
        warnings.extend(checked.warnings);
        let stage = watcher.stage(Stage::Account);
        let digests = job.tells_contents();
        let compares = job.compares || digests;
        let wanted = proof::Wanted { is_grown: grown.is_some(), is_sound, compares, digests };
        let proof = proof::check(&image, &disk, &guest, wanted)?;
        drop(stage);
        proof.warning.iter().for_each(|warning| watcher.warning(warning));
        warnings.extend(proof.warning);
        let (checked, changed) = (checked.file_systems, proof.account);
        let comparison = proof.comparison.map(Arc::new);
        Ok(Self {
            image,
            layers,
            container,
            disk,
            done,
            grown,
            checked,
            changed,
            comparison,
            inventory,
            warnings,
            fit,
            hygiene,
        })
    }

    /// The new image's format.
    pub(crate) fn format(&self) -> String {
        self.container.as_ref().map_or(self.image.info().format.to_string(), ToString::to_string)
    }

    /// What there is to report before anything is committed.
    pub(crate) fn report(&self, job: &Job) -> Report {
        let virtual_size_bytes = self.disk.size_bytes();
        let of_container = |container: &Container| container.disk_size_bytes(virtual_size_bytes);
        Report {
            output: job.target_name.display().to_string(),
            base: job.base_name.clone().unwrap_or_else(|| job.base.path().display().to_string()),
            base_file_size_bytes: job.base.metadata().len(),
            dry_run: job.dry_run,
            format: self.format(),
            backing_file: match &self.container {
                Some(Container::Qcow2(options)) => options.backing.as_ref().map(|backing| backing.name.clone()),
                _ => None,
            },
            file_size_bytes: None,
            virtual_size_bytes: self.container.as_ref().map_or(virtual_size_bytes, of_container),
            grown: self.grown.clone(),
            operations: self.done.reports.clone(),
            room: self.done.room.clone(),
            labels: self.done.labels.clone(),
            kept_packages: job.keep_packages.clone(),
            checked: self.checked.clone(),
            changed: self.changed.clone(),
            comparison: self.comparison.clone(),
            inventory: self.inventory.clone(),
            read: if job.author.is_some() { self.done.read.clone() } else { Vec::new() },
            documents: Vec::new(),
            warnings: self.warnings.clone(),
            fit: self.fit.clone(),
            hygiene: self.hygiene.clone(),
            in_place: None,
            copied_bytes: None,
            sha256: None,
            reproducible: false,
            checksum_file: None,
            clusters: None,
        }
    }
}

/// The first second of the year 10000, since 1970.
const YEAR_10000: i64 = 253_402_300_800;

/// What the documents say of the guest as a whole.
fn inventory(guest: &Guest, modified: Option<Time>) -> Result<Inventory, guest::Error> {
    let written = || guest.root_volume().file_system().and_then(FileSystem::written);
    Ok(Inventory {
        system: guest.operating_system().ok(),
        packages: guest.packages()?,
        // A super block may say anything; documents have four digits for the year.
        time: modified.or_else(written).filter(|time| (0..YEAR_10000).contains(&time.seconds)),
    })
}

/// Gives the root what room the disk has, which was `old_bytes` large.
fn grow(
    guest: Guest,
    old_bytes: u64,
    disk: &Arc<Attentive>,
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
fn unexpected_base(guest: &Guest, expected: Option<&BaseName>) -> Result<Option<String>, Error> {
    let Some(expected) = expected else { return Ok(None) };
    let os = guest.operating_system()?;
    let text = || format!("the recipe asks for {expected}, the base is {}", guest::Printable(os.name.as_bytes()));
    Ok((!expected.is(&os)).then(text))
}

/// What to say of file systems that errors were noted in.
pub fn noted_errors(guest: &Guest) -> impl Iterator<Item = String> {
    let noted = guest.volumes().iter().filter(|volume| volume.file_system().is_some_and(FileSystem::has_errors));
    noted.map(|volume| format!("errors were noted in {volume}; e2fsck repairs it"))
}

/// Hands on what [`carry_out`] tells of each system, as if all of it were one.
struct Spectator<'a> {
    stage: Lasting<'a>,
    watcher: &'a Watcher,
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
        self.watcher.on(Event::Operation(operations));
    }

    fn progress(&self, done_bytes: u64, expected_bytes: u64) {
        let earlier = self.earlier.get();
        let (done_bytes, expected_bytes) = (earlier.done_bytes + done_bytes, earlier.expected_bytes + expected_bytes);
        self.last.set(Seen { done_bytes, expected_bytes, ..self.last.get() });
        self.stage.set(done_bytes, expected_bytes);
    }

    fn says(&self, step: &str, bytes: &[u8]) {
        self.watcher.on(Event::Output { step, bytes });
    }
}

/// Carries out what is asked for in each system, and looks whether what was put fits it.
fn apply(guest: &mut Guest, job: &Job, folder: &Folder, watcher: &Watcher) -> Result<(Done, Vec<Finding>), Error> {
    if job.other_systems.len() + 1 != guest.systems() {
        return Err(Error::Changed { path: job.base.path().to_owned() });
    }
    let stage = watcher.stage(Stage::Operations);
    let spectator = Spectator { stage, watcher, earlier: Cell::default(), last: Cell::default() };
    let options = Options { digests: job.author.is_some(), ..job.options.clone() };
    let carry_out = |guest: &mut Guest, operations: &[Operation]| {
        carry_out(guest, operations, &options, &spectator).map_err(|error| operation_error(error, folder))
    };
    // Files of a data disk are not run by what is on it.
    let look = |guest: &Guest, done: &Done| match job.options.without_advice || job.place.is_some() {
        true => Vec::new(),
        false => fit::look(guest, &done.placed),
    };
    let mut done = carry_out(guest, &job.operations)?;
    let mut fit = look(guest, &done);
    for (index, operations) in job.other_systems.iter().enumerate() {
        spectator.earlier.set(spectator.last.get());
        guest.enter_system(index + 1)?;
        let later = carry_out(guest, operations)?;
        fit.extend(look(guest, &later));
        done.append(later);
    }
    Ok((done, fit))
}

/// What went wrong before anything was written: the host may have no room for what does not fit memory.
pub(crate) fn operation_error(error: customize::Error, folder: &Folder) -> Error {
    let is_ours = matches!(
        error,
        customize::Error::Put { .. } | customize::Error::Guest(_) | customize::Error::Run(RunError::Guest(_))
    );
    match full(&error).filter(|_| is_ours) {
        Some(host) => Error::no_space(folder, None, host),
        None => Error::Operation(error),
    }
}
