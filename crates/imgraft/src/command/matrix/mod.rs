//! `imgraft matrix`: the images of a recipe's matrix; `imgraft collect`: whether all of them are there.

mod input;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use customize::{Operation, Recipe};
use graft::{Event, Job, OpenedFile, OutputFolder, Watcher, make_delta};
use recipe::{Base, Cell};
use serde::Serialize;

use self::input::Digests;
use self::record::{Made, Record, Recorder, sha256};
use super::build::{self, Choice, Chosen};
use crate::cli::finish::Finish;
use crate::cli::matrix::{Cells, Collect, Matrix};
use crate::environment::source_date_epoch;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::placeholders::{Asked, Placeholders, Source};
use crate::report::ImageFile;
use crate::show::{Messages, count, print, print_json, recipe_failure};

/// What the name of a delta has after the name of its image.
const DELTA_END: &str = ".delta";

/// A cell, and what its recipe says.
struct Planned {
    cell: Cell,
    source: Source,
    canonical: String,
}

/// What became of a cell.
#[derive(Debug, Serialize)]
struct Outcome {
    /// With the axes in the recipe's order, which a JSON object has not.
    #[serde(skip)]
    name: String,
    cell: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    result: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Built,
    UpToDate,
    Failed,
    /// There is no image, or nothing that says what it is.
    Missing,
    /// The image is not the one that its record says.
    Damaged,
    /// It was made of another recipe.
    Outdated,
    Present,
}

/// A base that several cells begin with.
struct SharedBase {
    file: Arc<OpenedFile>,
    name: Option<String>,
    sha256: String,
    /// What is in the cache stays there while this is held.
    _entry: Option<catalogue::Entry>,
}

pub(super) fn run(arguments: &Matrix, messages: &Messages) -> Result<Exit, Failure> {
    let mut planned = plan(&arguments.cells)?;
    if let Some(shard) = arguments.shard {
        let mut index = 0..;
        planned.retain(|_| index.next().is_some_and(|index| shard.has(index)));
    }
    if arguments.list_json {
        return list_json(&planned).map(|()| Exit::Done);
    }
    let fleet = Fleet::new(arguments, messages, &planned)?;
    if arguments.list {
        return fleet.list().map(|()| Exit::Done);
    }
    let start = Instant::now();
    let outcomes = fleet.build_all();
    let has_failed = outcomes.iter().any(|outcome| outcome.result == Verdict::Failed);
    if arguments.cells.json {
        print_json(&outcomes)?;
    } else {
        let seconds = format!(" in {:.1} s", start.elapsed().as_secs_f64());
        print(&summary(&outcomes, &seconds))?;
    }
    // One that could not be built is no answer: the others were.
    Ok(if has_failed { Exit::Trouble } else { Exit::Done })
}

pub(super) fn collect(arguments: &Collect) -> Result<Exit, Failure> {
    let planned = plan(&arguments.cells)?;
    let mut outcomes = Vec::with_capacity(planned.len());
    for cell in &planned {
        let image = output(cell, &arguments.cells, |_, _| Ok(()))?;
        outcomes.push(found(cell, &image)?);
    }
    let is_whole = outcomes.iter().all(|outcome| outcome.result == Verdict::Present);
    if arguments.cells.json {
        print_json(&outcomes)?
    } else {
        print(&summary(&outcomes, ""))?
    }
    Ok(Exit::of_answer(is_whole))
}

/// The cells that are asked for.
fn plan(asked: &Cells) -> Result<Vec<Planned>, Failure> {
    let path = &asked.recipe;
    let text: Arc<str> = build::read_text(path, true)?.into();
    let refused = |problems: Vec<recipe::Problem>| recipe_failure(path, &text, &problems);
    let Some(matrix) = Recipe::matrix(&text).map_err(refused)? else {
        return Err(Failure::new(format!("`{}` has no `[matrix]`", path.display()))
            .hint("`imgraft build` builds a recipe without one"));
    };
    for (axis, value) in asked.cells.iter().flat_map(Cell::values) {
        let Some(values) = matrix.values(axis) else {
            let hint = recipe::suggestion(axis, matrix.axes());
            return Err(Failure::new(format!("the matrix has no axis `{axis}`")).hint(hint));
        };
        if !values.iter().any(|known| known == value) {
            let failure = Failure::new(format!("the axis `{axis}` has no value `{value}`"));
            return Err(failure.hint(recipe::suggestion(value, values.iter().take(20).map(String::as_str))));
        }
    }
    let is_asked = |cell: &Cell| asked.cells.is_empty() || asked.cells.iter().any(|part| cell.has(part));
    let mut planned = Vec::new();
    for cell in matrix.cells().into_iter().filter(is_asked) {
        let filled = Recipe::parse_cell(&text, &cell).map_err(refused)?;
        let source = Source { path: path.clone(), text: Arc::clone(&text), recipe: filled.recipe };
        planned.push(Planned { cell, source, canonical: filled.canonical });
    }
    if planned.is_empty() {
        return Err(Failure::new("no cell of the matrix has all these values").hint("`exclude` may leave them out"));
    }
    Ok(planned)
}

/// The name of a cell's image. `look` finds out what only the base says, if the name needs that.
fn output<'a>(
    planned: &'a Planned,
    asked: &Cells,
    look: impl FnOnce(&mut Placeholders<'a>, &Recipe) -> Result<(), Failure>,
) -> Result<PathBuf, Failure> {
    placeholders(planned, asked, &BTreeMap::new(), look).map(|(path, _)| path)
}

fn placeholders<'a>(
    planned: &'a Planned,
    asked: &Cells,
    inputs: &BTreeMap<String, PathBuf>,
    look: impl FnOnce(&mut Placeholders<'a>, &Recipe) -> Result<(), Failure>,
) -> Result<(PathBuf, Placeholders<'a>), Failure> {
    let version = asked.release_version.as_deref();
    let command_line =
        Asked { version, architecture: asked.source.arch.as_deref(), has_output: false, has_base: false };
    let mut placeholders = Placeholders::new(&planned.source, &command_line, inputs)?;
    if placeholders.needs_base() {
        look(&mut placeholders, &planned.source.recipe)?;
    }
    let mut path = placeholders.output(version.is_some()).ok_or_else(|| {
        Failure::new("the recipe says no name for the images, or one that only a base knows")
            .hint("say one with the axes in it, such as `output = \"app-{matrix.arch}.img\"`")
    })?;
    super::refuse_stdout(&path)?;
    if asked.delta {
        path.as_mut_os_string().push(DELTA_END);
    }
    Ok((path, placeholders))
}

/// What is there of a cell's image.
fn found(planned: &Planned, image: &Path) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::new(&planned.cell, Verdict::Present);
    outcome.image = Some(image.display().to_string());
    let mut is = |verdict, why: &str| (outcome.result, outcome.error) = (verdict, Some(why.to_owned()));
    let record = Record::read(image);
    match &record {
        None if image.exists() => is(Verdict::Missing, "nothing beside it says what it is"),
        None => is(Verdict::Missing, "it is not there"),
        Some(_) if !image.exists() => is(Verdict::Missing, "it is not there"),
        Some(record) if record.made.cell != planned.cell.to_string() => is(Verdict::Damaged, "it is of another cell"),
        Some(record) if record.made.recipe != sha256(&planned.canonical) => {
            is(Verdict::Outdated, "it was made of another recipe");
        }
        Some(record) if ImageFile::of(image, None)?.sha256.as_deref() != Some(&*record.sha256) => {
            is(Verdict::Damaged, "it is not what was built: its SHA-256 is another one");
        }
        Some(_) => {}
    }
    if let (Verdict::Present, Some(record)) = (outcome.result, record) {
        (outcome.sha256, outcome.size_bytes) = (Some(record.sha256), Some(record.size_bytes));
    }
    Ok(outcome)
}

/// The cells as `strategy.matrix` takes them.
fn list_json(planned: &[Planned]) -> Result<(), Failure> {
    let include = planned.iter().map(|planned| {
        let mut cell = values(&planned.cell);
        // One string for `--cell`.
        cell.insert("cell".to_owned(), planned.cell.to_string());
        cell
    });
    print(&format!("{}\n", serde_json::json!({ "include": include.collect::<Vec<_>>() })))
}

fn values(cell: &Cell) -> BTreeMap<String, String> {
    cell.values().map(|(axis, value)| (axis.to_owned(), value.to_owned())).collect()
}

impl Outcome {
    fn new(cell: &Cell, result: Verdict) -> Self {
        let (name, cell) = (cell.to_string(), values(cell));
        Self { name, cell, image: None, result, sha256: None, size_bytes: None, warnings: Vec::new(), error: None }
    }
}

/// How many there are of each, and which are not as they should be.
fn summary(outcomes: &[Outcome], seconds: &str) -> String {
    let of = |verdict| outcomes.iter().filter(|outcome| outcome.result == verdict).count();
    let mut parts = Vec::new();
    for (verdict, name) in [
        (Verdict::Built, "built"),
        (Verdict::UpToDate, "up to date"),
        (Verdict::Present, "there"),
        (Verdict::Missing, "missing"),
        (Verdict::Outdated, "out of date"),
        (Verdict::Damaged, "damaged"),
        (Verdict::Failed, "failed"),
    ] {
        if of(verdict) > 0 {
            parts.push(format!("{} {name}", of(verdict)));
        }
    }
    let mut text = String::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.error.is_some()) {
        let image = outcome.image.as_deref().unwrap_or("no image");
        let _ = writeln!(text, "{} ({image}): {}", outcome.name, outcome.error.as_deref().unwrap_or_default());
    }
    let _ = writeln!(
        text,
        "{}: {}{seconds}",
        count(outcomes.len() as u64, "cell", "cells").unwrap_or_else(|| "no cell".to_owned()),
        parts.join(", ")
    );
    text
}

/// All that is built, and what the cells share.
struct Fleet<'a> {
    arguments: &'a Matrix,
    messages: &'a Messages,
    planned: &'a [Planned],
    inputs: BTreeMap<String, PathBuf>,
    folder: PathBuf,
    time: Option<guest::Time>,
    bases: HashMap<String, Result<SharedBase, String>>,
    digests: Digests,
}

impl<'a> Fleet<'a> {
    fn new(arguments: &'a Matrix, messages: &'a Messages, planned: &'a [Planned]) -> Result<Self, Failure> {
        let inputs = build::given_inputs(&arguments.inputs)?;
        for cell in planned {
            cell.source.recipe.check_inputs(&inputs).map_err(|error| build::input_failure(&error))?;
        }
        let folder = arguments.cells.recipe.parent().unwrap_or(Path::new("")).to_owned();
        let time = source_date_epoch()?;
        let digests = Digests::default();
        let mut fleet = Self { arguments, messages, planned, inputs, folder, time, bases: HashMap::new(), digests };
        for cell in planned {
            let name = base_key(&cell.source.recipe);
            if !fleet.bases.contains_key(&name) {
                let base = fleet.open(&cell.source.recipe).map_err(|failure| failure.in_one_line());
                fleet.bases.insert(name, base);
            }
        }
        if arguments.cells.delta && planned.iter().any(|cell| cell.source.recipe.form.overlay) {
            return Err(Failure::new("`overlay = true` makes thin images, and a delta is made of whole ones")
                .hint("leave out `--delta`, or `overlay` in the recipe's table `[output]`"));
        }
        fleet.refuse_same_names()?;
        Ok(fleet)
    }

    fn open(&self, recipe: &Recipe) -> Result<SharedBase, Failure> {
        let choice = Choice {
            bases: &self.arguments.cells.source,
            folder: &self.folder,
            locked: self.arguments.locked,
            dry_run: self.arguments.list,
            overlay: recipe.form.overlay,
            messages: self.messages,
        };
        let Chosen { file, name, entry, .. } = choice.open(None, recipe.base.as_ref())?;
        // A list tells names only.
        let digest = if self.arguments.list { None } else { ImageFile::of(file.path(), None)?.sha256 };
        Ok(SharedBase { file: Arc::new(file), name, sha256: digest.unwrap_or_default(), _entry: entry })
    }

    fn base(&self, recipe: &Recipe) -> Result<&SharedBase, Failure> {
        match self.bases.get(&base_key(recipe)) {
            Some(Ok(base)) => Ok(base),
            Some(Err(problem)) => Err(Failure::new(problem.clone())),
            None => Err(Failure::new("there is no base").hint("name it in the recipe's table `[base]`")),
        }
    }

    /// The name of a cell's image, and what placeholders stand for in it.
    fn output(&self, planned: &'a Planned) -> Result<(PathBuf, Placeholders<'a>), Failure> {
        placeholders(planned, &self.arguments.cells, &self.inputs, |placeholders, recipe| {
            placeholders.look_at(&self.base(recipe)?.file, self.arguments.backing.into(), &Watcher::silent())
        })
    }

    fn refuse_same_names(&self) -> Result<(), Failure> {
        let mut known: HashMap<PathBuf, &Cell> = HashMap::new();
        for planned in self.planned {
            // A cell whose name is not known fails by itself.
            let Ok((path, _)) = self.output(planned) else { continue };
            if let Some(other) = known.insert(path.clone(), &planned.cell) {
                return Err(Failure::new(format!(
                    "two cells have the same image `{}`: {other} and {}",
                    path.display(),
                    planned.cell
                ))
                .hint("have the axes in `output`, such as `app-{matrix.arch}.img`"));
            }
        }
        Ok(())
    }

    fn list(&self) -> Result<(), Failure> {
        let mut lines = String::new();
        for planned in self.planned {
            let (path, _) = self.output(planned)?;
            let _ = writeln!(lines, "{}  {}", planned.cell, path.display());
        }
        print(&lines)
    }

    /// Builds the cells, some at a time, each whatever becomes of the others.
    fn build_all(&self) -> Vec<Outcome> {
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(planned) = self.planned.get(index) else { return };
                let outcome = self.build_one(planned);
                self.tell(&outcome, planned);
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
            }
        };
        let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = self.arguments.jobs.unwrap_or(processors).get().min(self.planned.len());
        std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn tell(&self, outcome: &Outcome, planned: &Planned) {
        let (cell, image) = (&planned.cell, outcome.image.as_deref().unwrap_or("no image"));
        for warning in &outcome.warnings {
            self.messages.warning(format_args!("{cell}: {warning}"));
        }
        match (outcome.result, &outcome.error) {
            (Verdict::Built, _) => self.messages.note(format_args!("built {image} ({cell})")),
            (Verdict::Failed, Some(error)) => self.messages.note(format_args!("failed: {cell}: {error}")),
            _ => self.messages.detail(format_args!("{image} is up to date ({cell})")),
        }
    }

    fn build_one(&self, planned: &'a Planned) -> Outcome {
        let mut outcome = Outcome::new(&planned.cell, Verdict::Failed);
        if let Err(failure) = self.try_build(planned, &mut outcome) {
            outcome.result = Verdict::Failed;
            outcome.error = Some(failure.in_one_line());
        }
        outcome
    }

    fn try_build(&self, planned: &'a Planned, outcome: &mut Outcome) -> Result<(), Failure> {
        let recipe = &planned.source.recipe;
        let base = self.base(recipe)?;
        let (path, placeholders) = self.output(planned)?;
        outcome.image = Some(path.display().to_string());
        let operations = recipe.operations(&self.inputs, &self.folder, placeholders.values());
        let operations = operations.map_err(|error| build::input_failure(&error))?;
        let made = self.made(planned, base, &operations)?;
        let record = Record::read(&path).filter(|record| record.made == made && record.is_there(&path));
        if let Some(record) = record.filter(|_| !self.arguments.rebuild) {
            outcome.result = Verdict::UpToDate;
            (outcome.sha256, outcome.size_bytes) = (Some(record.sha256), Some(record.size_bytes));
            return Ok(());
        }
        let recorder = Arc::new(Recorder { made, image: path.clone() });
        // The image itself is for the delta alone, and goes with this.
        let work = if self.arguments.cells.delta { Some(work_folder(&path)?) } else { None };
        let target = work.as_ref().map_or_else(|| path.clone(), |work| image_of(&path, &work.path()));
        let mut job = Job::of_base(Arc::clone(&base.file), &target)?;
        build::expect(&mut job, recipe);
        job.base_name = base.name.clone();
        job.backing = self.arguments.backing.into();
        job.form = recipe.form.clone();
        job.size = recipe.size;
        job.operations = operations;
        job.options.modified = self.time;
        if work.is_none() {
            job.author = Some(Arc::clone(&recorder) as _);
        }
        if self.planned.len() > 1 {
            // The other processors have other cells.
            job.threads = NonZeroUsize::MIN;
        }
        self.arguments.commands.apply(&mut job, recipe.network, recipe.limits);
        Finish::default().apply(&mut job, recipe.clean);
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&warnings);
        let watcher = Watcher::new(move |event: Event<'_>| {
            if let Event::Warning(text) = event {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
            }
        });
        let report = job.run(&watcher);
        outcome.warnings = std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner));
        let report = report?;
        (outcome.sha256, outcome.size_bytes) = (report.sha256, report.file_size_bytes);
        if work.is_some() {
            let unwritable = |error: io::Error| {
                Failure::because(format!("`{}` cannot be written", Record::path(&path).display()), &error)
            };
            recorder.remove().map_err(unwritable)?;
            let size_bytes = make_delta(base.file.path(), &target, &path, &Watcher::silent())?.delta_bytes;
            let sha256 = ImageFile::of(&path, None)?.sha256.unwrap_or_default();
            recorder.write_after(sha256.clone(), size_bytes).map_err(unwritable)?;
            (outcome.sha256, outcome.size_bytes) = (Some(sha256), Some(size_bytes));
        }
        outcome.result = Verdict::Built;
        Ok(())
    }

    /// What the image of a cell is made of.
    fn made(&self, planned: &Planned, base: &SharedBase, operations: &[Operation]) -> Result<Made, Failure> {
        let seconds = self.time.map(|time| time.seconds);
        let (cell, recipe) = (planned.cell.to_string(), sha256(&planned.canonical));
        let mut made = Made::new(cell, recipe, base.sha256.clone(), seconds);
        for source in operations.iter().filter_map(Operation::source) {
            let given = self.inputs.iter().find(|(_, path)| **path == source).map(|(name, _)| name.clone());
            // Where a checkout is changes nothing.
            let inside = source.strip_prefix(&self.folder).unwrap_or(&source);
            made.inputs.insert(given.unwrap_or_else(|| inside.display().to_string()), self.digests.of(&source)?);
        }
        Ok(made)
    }
}

/// A folder beside the delta `path`, which goes when it is dropped, and when a signal ends us.
fn work_folder(path: &Path) -> Result<OutputFolder, Failure> {
    let mut name = path.to_owned();
    name.as_mut_os_string().push(".work");
    OutputFolder::create(&name, false)
        .map_err(|error| Failure::because(format!("`{}` cannot be made", name.display()), &error))
}

/// Where the image of the delta `path` is in `folder`.
fn image_of(path: &Path, folder: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder.join(name.strip_suffix(DELTA_END).unwrap_or(&name))
}

/// What tells the base of a recipe from others.
fn base_key(recipe: &Recipe) -> String {
    match &recipe.base {
        Some(Base::File(path)) => format!("file {}", path.display()),
        Some(Base::Published { name, architecture, variant }) => format!("name {name} {architecture:?} {variant:?}"),
        None => String::new(),
    }
}
