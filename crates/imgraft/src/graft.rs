//! From a base and operations to a new image: what `build` and `customize` share.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use customize::recipe::BaseName;
use customize::{ByteSize, DiskSize, Operation, Options, Plan, PutReport, check_packages};
use guest::{FileSystem, Guest};
use image::{Format, Image, NewClusters, WriteOptions, Written};
use serde::Serialize;
use storage::{ReadAt, WriteAt};

use crate::disk::{Disk, OpenedFile, disk, guest};
use crate::environment;
use crate::failure::{Failure, host_error};
use crate::message::{Messages, count};
use crate::output::{Folder, OutputFile};
use crate::progress::Progress;
use crate::soundness;

/// How hard new clusters are compressed. On executables, 6 makes the whole image a fifth of a percent
/// smaller and takes a third longer.
const DEFAULT_LEVEL: u32 = 3;
/// The mode of a new image, less what the umask takes.
const NEW_IMAGE_MODE: u32 = 0o644;

/// What is to be made of what.
pub(crate) struct Job {
    pub(crate) base: OpenedFile,
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
    /// Whether the target is the base, and keeps its mode and owner.
    pub(crate) in_place: bool,
}

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    output: String,
    format: Format,
    file_size_bytes: u64,
    virtual_size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    grown: Option<Grown>,
    put: Vec<PutReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept_packages: Vec<String>,
    /// The file systems that were changed and then checked, before the image got its name.
    checked: Vec<String>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clusters: Option<Clusters>,
}

/// What grew.
#[derive(Debug, Serialize)]
struct Grown {
    disk_bytes: Change,
    root: String,
    root_bytes: Change,
}

/// A number before and after.
#[derive(Debug, Serialize)]
struct Change {
    from: u64,
    to: u64,
}

/// What a new qcow2 file consists of.
#[derive(Debug, Serialize)]
struct Clusters {
    kept: u64,
    compressed: u64,
    plain: u64,
    zero: u64,
}

/// Does the job, and says so.
pub(crate) fn run(job: Job, messages: &Messages) -> Result<Report, Failure> {
    let start = Instant::now();
    let Job { base, target, target_name, operations, keep_packages, expected_base, new_clusters, .. } = job;
    let Job { size, ignore_fs_errors, in_place, .. } = job;
    let (folder_path, name) = match (target.parent(), target.file_name()) {
        (Some(folder), Some(name)) => (folder.to_owned(), name.to_owned()),
        _ => return Err(Failure::new(format!("`{}` is not the name of a file", target.display()))),
    };
    let folder = Folder::open(&folder_path).map_err(|error| folder_failure(&folder_path, &error))?;
    let base_path = base.path.clone();
    let original = base.metadata.clone();
    let image = Arc::new(base.into_image()?);
    let spill_folder = folder.try_clone().map_err(|error| folder_failure(&folder_path, &error))?;
    let size_bytes = match size {
        Some(size) => size.of(image.size_bytes()).map_err(|error| Failure::of(&error))?,
        None => image.size_bytes(),
    };
    let disk = disk(Arc::clone(&image), size_bytes, spill_folder);
    let mut guest = guest(&base_path, Arc::clone(&disk) as Arc<dyn WriteAt>)?;

    for volume in guest.volumes().iter().filter(|volume| volume.journal_replayed()) {
        messages.note(format_args!("replayed the journal of {volume}: the guest was not shut down cleanly"));
    }
    let mut warnings = Vec::new();
    if ignore_fs_errors {
        warnings.extend(noted_errors(&guest));
        guest.allow_errors();
    }
    let grown = match size {
        Some(_) => {
            let from = (image.size_bytes(), guest.root_volume().file_system_bytes());
            let failure = |error: guest::Error| grow_failure(&error, &folder);
            guest = guest.grow_root_partition(Arc::clone(&disk) as Arc<dyn WriteAt>).map_err(failure)?;
            if ignore_fs_errors {
                guest.allow_errors();
            }
            guest.grow_root().map_err(failure)?;
            let root = guest.root_volume();
            Some(Grown {
                disk_bytes: Change { from: from.0, to: size_bytes },
                root: root.to_string(),
                root_bytes: Change { from: from.1, to: root.file_system_bytes() },
            })
        }
        None => None,
    };
    warnings.extend(unexpected_base(&guest, expected_base.as_ref())?);
    if let (Some(_), Format::Raw) = (new_clusters, image.info().format) {
        warnings.push("the base is raw: `--compress` changes nothing".to_owned());
    }
    let options = Options { modified: environment::source_date_epoch()? };
    let plan = Plan::new(&guest, &operations, &options).map_err(|error| plan_failure(&error, &folder))?;
    warnings.extend(plan.warnings().iter().map(ToString::to_string));
    warnings.iter().for_each(|warning| messages.warning(warning));
    apply(&plan, &mut guest, &folder, messages)?;
    check_packages(&guest, &keep_packages).map_err(|error| plan_failure(&error, &folder))?;
    let checked = soundness::check(&base_path, &image, &disk, &guest)?;
    checked.warnings.iter().for_each(|warning| messages.warning(warning));
    warnings.extend(checked.warnings);

    let output = OutputFile::create(folder, &name, NEW_IMAGE_MODE)
        .map_err(|error| Failure::because(format!("no file can be made in `{}`", folder_path.display()), &error))?;
    let new_clusters = new_clusters.unwrap_or(NewClusters::Compressed { level: DEFAULT_LEVEL });
    let written = write(&base_path, &image, &disk, &output, new_clusters, messages);
    // First, because it may be why the other failed.
    plan.check_sources().map_err(|error| plan_failure(&error, output.folder()))?;
    check_base(&base_path, &original)?;
    let written = written?;
    if in_place {
        keep_attributes(&output, &original, messages)?;
    }
    publish(output, &target_name)?;

    let info = image.info();
    let report = Report {
        output: target_name.display().to_string(),
        format: info.format,
        file_size_bytes: written.file_size_bytes,
        virtual_size_bytes: size_bytes,
        grown,
        put: plan.puts().to_vec(),
        kept_packages: keep_packages,
        checked: checked.file_systems,
        warnings,
        clusters: (info.format == Format::Qcow2).then(|| Clusters::of(&written)),
    };
    report.tell(messages, in_place, start);
    Ok(report)
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

fn apply(plan: &Plan, guest: &mut Guest, folder: &Folder, messages: &Messages) -> Result<(), Failure> {
    let progress = Progress::new(messages, "putting");
    plan.apply(guest, &|done, total| progress.set(done, total)).map_err(|error| plan_failure(&error, folder))
}

fn write(
    base_path: &Path,
    image: &Image,
    disk: &Disk,
    output: &OutputFile,
    new_clusters: NewClusters,
    messages: &Messages,
) -> Result<Written, Failure> {
    let progress = Progress::new(messages, "writing");
    let changed = disk.changed();
    let options = WriteOptions { new_clusters, threads: environment::threads() };
    let set_progress = |done, total| progress.set(done, total);
    image::write(image, disk, &changed, output.file(), &options, &set_progress).map_err(|error| {
        let changed_bytes: u64 = changed.iter().map(|range| range.end - range.start).sum();
        let needed_bytes = image.info().file_size_bytes.saturating_add(changed_bytes);
        match error.host_error() {
            Some(host) if is_full(host) => no_space(output.folder(), Some(needed_bytes), host),
            Some(_) => Failure::because("the new image cannot be written", &error),
            None => base_failure(base_path, &error),
        }
    })
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

/// The base is not one that can be used.
fn base_failure(path: &Path, error: &image::Error) -> Failure {
    let path = path.display();
    let failure = Failure::because(format!("`{path}` cannot be used"), error);
    match error {
        image::Error::Corrupt { .. } | image::Error::Truncated { .. } => {
            failure.hint(format!("`imgraft check {path}` says more"))
        }
        _ => failure,
    }
}

/// Gives the finished image its name.
fn publish(output: OutputFile, target_name: &Path) -> Result<(), Failure> {
    let folder = output.folder().try_clone();
    output.publish().map_err(|error| match folder {
        // Some file systems look for room only when they sync.
        Ok(folder) if is_full(&error) => no_space(&folder, None, &error),
        _ => Failure::because(format!("`{}` cannot be written", target_name.display()), &error),
    })
}

/// Refuses a base that somebody wrote to, or put another file in the place of, since it was opened.
fn check_base(path: &Path, original: &Metadata) -> Result<(), Failure> {
    let identity =
        |metadata: &Metadata| (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    match std::fs::metadata(path) {
        Ok(now) if identity(&now) == identity(original) => Ok(()),
        Ok(_) => Err(Failure::new(format!("`{}` changed while it was read", path.display()))
            .hint("see whether a virtual machine or another program uses it")),
        Err(error) => Err(Failure::because(format!("`{}` cannot be read", path.display()), &error)),
    }
}

/// Gives the new file the owner and the mode of the one that it replaces.
fn keep_attributes(output: &OutputFile, original: &Metadata, messages: &Messages) -> Result<(), Failure> {
    let unwritable = |error: io::Error| Failure::because("the new image cannot be written", &error);
    let own = output.file().metadata().map_err(unwritable)?;
    let owner = (original.uid(), original.gid());
    if (own.uid(), own.gid()) != owner && output.set_owner(owner.0, owner.1).is_err() {
        messages.warning(format_args!("the image's owner {}:{} cannot be kept: it is yours now", owner.0, owner.1));
    }
    output.set_mode(original.mode() & 0o7777).map_err(unwritable)
}

fn folder_failure(folder: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("the folder `{}` cannot be written to", folder.display()), error)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// The host has too little room in `folder`.
fn no_space(folder: &Folder, needed_bytes: Option<u64>, error: &io::Error) -> Failure {
    let mut message = format!("no space left on the host in `{}`", folder.path().display());
    if let Some(needed_bytes) = needed_bytes {
        message.push_str(&format!(": up to {} are needed", ByteSize(needed_bytes)));
        if let Ok(free_bytes) = folder.free_bytes() {
            // What was written until then has no name, but is still there.
            message.push_str(&format!(" and {} are left", ByteSize(free_bytes)));
        }
    }
    Failure::because(message, error).hint("make room there, or work in another folder")
}

/// What went wrong before anything was written.
fn plan_failure(error: &customize::Error, folder: &Folder) -> Failure {
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

impl Clusters {
    fn of(written: &Written) -> Self {
        Self {
            kept: written.clusters_kept,
            compressed: written.clusters_compressed,
            plain: written.clusters_plain,
            zero: written.clusters_zero,
        }
    }
}

impl Report {
    /// Says what was done.
    fn tell(&self, messages: &Messages, in_place: bool, start: Instant) {
        if let Some(Grown { disk_bytes, root, root_bytes }) = &self.grown {
            let text = |change: &Change| format!("{} to {}", ByteSize(change.from), ByteSize(change.to));
            messages.note(format_args!("grew the disk from {}, {root} from {}", text(disk_bytes), text(root_bytes)));
        }
        let parents: BTreeSet<&str> = self.put.iter().flat_map(|put| put.parents.iter().map(String::as_str)).collect();
        for parent in parents {
            messages.note(format_args!("made {parent}/ (0755 0:0)"));
        }
        for put in &self.put {
            messages.note(describe(put));
        }
        if !self.kept_packages.is_empty() {
            messages.note(format_args!("kept {}", self.kept_packages.join(", ")));
        }
        if !self.checked.is_empty() {
            messages.detail(format_args!("checked {}", self.checked.join(", ")));
        }
        if let Some(clusters) = &self.clusters {
            messages.detail(format_args!(
                "clusters: {} kept as they were, {} compressed, {} plain, {} zero",
                clusters.kept, clusters.compressed, clusters.plain, clusters.zero
            ));
        }
        messages.note(format_args!(
            "{} {} ({}, {}, disk of {}) in {:.1} s",
            if in_place { "changed" } else { "built" },
            self.output,
            self.format,
            ByteSize(self.file_size_bytes),
            ByteSize(self.virtual_size_bytes),
            start.elapsed().as_secs_f64(),
        ));
    }
}

/// `put dist/app at /usr/local/bin/app (0755 0:0, 110.0 MiB)`.
fn describe(put: &PutReport) -> String {
    let mut facts = Vec::new();
    let owner = format!("{}:{}", put.uid, put.gid);
    match &put.mode {
        Some(mode) => facts.push(format!("{mode} {owner}")),
        None => {
            facts.push(owner);
            facts.extend(count(put.files, "file", "files"));
            facts.extend(count(put.directories, "directory", "directories"));
            facts.extend(count(put.symlinks, "symlink", "symlinks"));
        }
    }
    facts.push(ByteSize(put.size_bytes).to_string());
    let replaced = if put.mode.is_some() && put.replaced > 0 { ", in place of the old one" } else { "" };
    format!("put {} at {} ({}){replaced}", put.source, put.destination, facts.join(", "))
}
