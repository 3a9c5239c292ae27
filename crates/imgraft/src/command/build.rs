//! `imgraft build`: a new image out of a base and your files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use catalogue::{BaseRef, Catalogue, Entry, Name};
use customize::Recipe;
use graft::{Job, OpenedFile};
use recipe::{Base, BaseName, InputError};

use crate::bases::{Bases, LockFile, name_failure};
use crate::cli::Build;
use crate::cli::base::BaseSource;
use crate::documents::Documents;
use crate::failure::Failure;
use crate::network::fetch_failure;
use crate::placeholders::{Asked, Placeholders, Source};
use crate::report::{self, ImageFile, Published};
use crate::show::{Messages, print_report, recipe_failure, tell_findings, tell_report};

/// The recipe that is used where none is named.
pub(super) const DEFAULT_RECIPE: &str = "imgraft.toml";
/// The largest recipe that is read, in bytes.
const RECIPE_LIMIT_BYTES: u64 = 1 << 20;

pub(super) fn run(arguments: Build, messages: &Messages) -> Result<(), Failure> {
    let start = Instant::now();
    let recipe_path = match &arguments.recipe {
        Some(path) => Some(path.clone()),
        // Growth alone is a change, too; a recipe in this folder is meant all the same.
        None if arguments.operations.0.is_empty()
            && (arguments.size.size.is_none() && !arguments.finish.clean || Path::new(DEFAULT_RECIPE).exists()) =>
        {
            refuse_nothing(&arguments)?;
            Some(PathBuf::from(DEFAULT_RECIPE))
        }
        None => None,
    };
    let source = match &recipe_path {
        Some(path) => read_source(path, arguments.recipe.is_some())?,
        None if arguments.release_version.is_some() => return Err(version_without_recipe()),
        None => Source { path: PathBuf::new(), text: "".into(), recipe: Recipe::default() },
    };
    if recipe::Recipe::<()>::matrix(&source.text).is_ok_and(|matrix| matrix.is_some()) {
        return Err(Failure::new(format!("`{}` has a `[matrix]`: it is many images", source.path.display()))
            .hint(format!("build them with `imgraft matrix {}`", source.path.display())));
    }
    let recipe = &source.recipe;
    let folder = source.path.parent().unwrap_or(Path::new("")).to_owned();
    let inputs = given_inputs(&arguments.inputs)?;
    recipe.check_inputs(&inputs).map_err(|error| input_failure(&error))?;
    let asked = Asked {
        version: arguments.release_version.as_deref(),
        architecture: arguments.source.arch.as_deref(),
        has_output: arguments.output.is_some(),
        has_base: arguments.base.is_some(),
    };
    let mut placeholders = Placeholders::new(&source, &asked, &inputs)?;

    let dry_run = arguments.writing.dry_run;
    let is_release = arguments.release_version.is_some();
    arguments.output.as_deref().map_or(Ok(()), super::refuse_stdout)?;
    if arguments.output.is_none() && !dry_run && !placeholders.has_output(is_release) {
        return Err(Failure::new("there is no name for the new image").hint("give it with `-o IMAGE`"));
    }
    let form = arguments.form.form(arguments.format.clone(), arguments.overlay).or(recipe.form.clone());
    let choice = Choice {
        bases: &arguments.source,
        folder: &folder,
        locked: arguments.locked,
        dry_run,
        overlay: form.overlay,
        messages,
    };
    // What is in the cache stays there while this is held.
    let Chosen { file: base, name: base_name, entry: _entry, published } =
        choice.open(arguments.base.as_deref(), recipe.base.as_ref())?;
    placeholders.look_at(&base, arguments.backing.into(), &messages.watcher())?;
    let operations = recipe.operations(&inputs, &folder, placeholders.values());
    let mut operations = operations.map_err(|error| input_failure(&error))?;
    operations.extend(arguments.operations.0);
    let target_name = match (arguments.output, placeholders.output(is_release)) {
        (Some(output), _) => output,
        // Where it is typed, as with `-o`: the recipe's folder may be a checkout that nothing is to be left in.
        (None, Some(output)) => output,
        // It only says in which folder there would have to be room.
        (None, None) => PathBuf::from("new image"),
    };
    super::refuse_stdout(&target_name)?;
    let base_path = base.path().to_owned();
    let mut job = Job::of_base(base, &target_name)?;
    job.base_name = base_name;
    job.compares = arguments.page.html.is_some();
    job.backing = arguments.backing.into();
    expect(&mut job, recipe);
    job.form = form;
    job.size = arguments.size.size.or(recipe.size);
    job.operations = operations;
    job.place = arguments.part.place();
    job.verify_reproducible = arguments.verify_reproducible;
    job.checksum = arguments.sha256;
    arguments.commands.apply(&mut job, recipe.network, recipe.limits);
    arguments.finish.apply(&mut job, recipe.clean);
    arguments.writing.apply(&mut job)?;
    if !dry_run {
        let recipe = recipe_path.is_some().then_some((&*source.path, &*source.text));
        let backing = arguments.backing;
        job.author = Documents::of(arguments.documents, backing, recipe, &base_path, published.clone(), &inputs, &job)?;
    }
    let report = job.run(&messages.watcher())?;
    tell_report(&report, messages, false, start);
    tell_findings(&report, messages);
    if let Some(html) = &arguments.page.html {
        report::write(html, &report, ImageFile::of(&base_path, None)?, published, messages)?;
    }
    print_report(&report, arguments.writing.json)
}

/// What a recipe expects of its base and of its image.
pub(super) fn expect(job: &mut Job, recipe: &Recipe) {
    job.keep_packages = recipe.keep.packages.clone();
    job.expected_base = match &recipe.base {
        Some(Base::Published { name, .. }) => Some(name.clone()),
        _ => None,
    };
}

/// Refuses a command line that names a base and a new image and no change, where no recipe says one.
fn refuse_nothing(arguments: &Build) -> Result<(), Failure> {
    let (Some(base), Some(output)) = (&arguments.base, &arguments.output) else { return Ok(()) };
    if arguments.size.size.is_some() || arguments.finish.clean || Path::new(DEFAULT_RECIPE).exists() {
        return Ok(());
    }
    let (base, output) = (base.display(), output.display());
    Err(Failure::new("there is nothing to do: no change is asked for").hint(format!(
        "say one, such as `--put SRC:DEST` or `--size +2G`, or name a recipe; \
         `imgraft convert {base} {output}` makes the same disk in another file"
    )))
}

fn version_without_recipe() -> Failure {
    Failure::new("`--release-version` changes nothing: there is no recipe")
        .hint("without one, the name of the new image is what `-o` says")
}

pub(super) fn read_recipe(path: &Path, is_named: bool) -> Result<Recipe, Failure> {
    read_source(path, is_named).map(|source| source.recipe)
}

fn read_source(path: &Path, is_named: bool) -> Result<Source, Failure> {
    let text = read_text(path, is_named)?;
    let recipe = Recipe::parse(&text).map_err(|problems| recipe_failure(path, &text, &problems))?;
    Ok(Source { path: path.to_owned(), text: text.into(), recipe })
}

pub(super) fn read_text(path: &Path, is_named: bool) -> Result<String, Failure> {
    let unreadable = |error: &std::io::Error| {
        if !is_named && error.kind() == std::io::ErrorKind::NotFound {
            return Failure::new(format!("there is no recipe: `{DEFAULT_RECIPE}` is not in this folder")).hint(
                "name one with `imgraft build RECIPE`, write one with `imgraft init`, or do without: \
                 `imgraft build --base IMAGE --put SRC:DEST -o IMAGE`",
            );
        }
        Failure::because(format!("the recipe `{}` cannot be read", path.display()), error)
    };
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if metadata.len() > RECIPE_LIMIT_BYTES {
        return Err(Failure::new(format!("`{}` is too large for a recipe", path.display()))
            .hint("an image that is to be changed goes to `imgraft customize`, a base to `--base`"));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(&error))
}

pub(super) fn given_inputs(given: &[(String, PathBuf)]) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut inputs = BTreeMap::new();
    for (name, path) in given {
        if inputs.insert(name.clone(), path.clone()).is_some() {
            return Err(Failure::new(format!("input `{name}` is given twice")));
        }
    }
    Ok(inputs)
}

pub(super) fn input_failure(error: &InputError) -> Failure {
    let failure = Failure::of(error);
    match error {
        InputError::Missing { name, .. } => failure.hint(format!("give it with `--input {name}=PATH`")),
        InputError::Unknown { nearest: Some(nearest), .. } => failure.hint(format!("did you mean `{nearest}`?")),
        InputError::Unknown { nearest: None, .. } | InputError::Unfilled { .. } => failure,
    }
}

/// The base of the catalogue that a recipe names.
pub(super) fn published(name: &BaseName, variant: Option<&str>) -> Result<Name, Failure> {
    if let (Some(variant), Some(named)) = (variant, &name.variant)
        && variant != named
    {
        return Err(Failure::new(format!("the recipe's base is `{name}`, and its variant `{variant}`"))
            .hint("give only one of them"));
    }
    let pin = name.pin.as_deref().map(str::parse).transpose().map_err(|error| name_failure(&error))?;
    let variant = variant.or(name.variant.as_deref());
    Name::find(Catalogue::builtin(), &name.distribution, &name.release, variant, pin)
        .map_err(|error| name_failure(&error))
}

/// What a published base is called: its name, its build, and its digest.
fn name_of(base: &catalogue::Base) -> String {
    format!("{base} {}", base.digest)
}

/// How the base is chosen.
pub(super) struct Choice<'a> {
    pub(super) bases: &'a BaseSource,
    /// The recipe's folder.
    pub(super) folder: &'a Path,
    /// Whether the lock has to have it.
    pub(super) locked: bool,
    pub(super) dry_run: bool,
    /// Whether the new image needs the base as a file.
    pub(super) overlay: bool,
    pub(super) messages: &'a Messages,
}

/// A base that was chosen.
pub(super) struct Chosen {
    pub(super) file: OpenedFile,
    /// What it is called, unless that is the file's own name.
    pub(super) name: Option<String>,
    /// What the cache has of it, if that is where it is.
    pub(super) entry: Option<Entry>,
    /// Where it came from, if it goes by a name.
    pub(super) published: Option<Published>,
}

impl Chosen {
    fn file(path: &Path) -> Result<Self, graft::Error> {
        Ok(Self { file: OpenedFile::open(path)?, name: None, entry: None, published: None })
    }
}

impl Choice<'_> {
    /// Opens the base, which the command line names before the recipe does.
    pub(super) fn open(&self, given: Option<&Path>, recipe: Option<&Base>) -> Result<Chosen, Failure> {
        match (given, recipe) {
            (Some(path), _) => self.open_given(path),
            (None, Some(Base::File(path))) => Ok(Chosen::file(&self.folder.join(path))?),
            (None, Some(Base::Published { name, architecture, variant })) => {
                let name = published(name, variant.as_deref())?;
                self.open_published(&name, architecture.as_deref())
            }
            (None, None) => Err(Failure::new("there is no base").hint("give it with `--base BASE`")),
        }
    }

    /// Opens what `--base` names: a file, if there is one, and else what is published.
    fn open_given(&self, path: &Path) -> Result<Chosen, Failure> {
        let reference = match path.to_str() {
            Some(text) if !path.exists() => text.parse().map_err(|error| name_failure(&error))?,
            _ => BaseRef::File(path.to_owned()),
        };
        let (entry, name, published) = match reference {
            BaseRef::File(file) => {
                return Chosen::file(&file).map_err(|error| {
                    let failure = Failure::from(error);
                    let nearest = path.to_str().filter(|_| !path.exists() && file == path);
                    match nearest.and_then(|text| catalogue::name::nearest_name(Catalogue::builtin(), text)) {
                        Some(name) => failure.hint(format!("did you mean the base `{name}`?")),
                        None => failure,
                    }
                });
            }
            BaseRef::Address(address) => {
                let entry = Bases::new(self.bases, self.messages)?.get_address(&address)?;
                (entry, format!("{} {}", address.url, address.digest), None)
            }
            BaseRef::Registry(reference) => {
                let bases = Bases::new(self.bases, self.messages)?;
                let (entry, name) = bases.get_registry(&reference, &bases.architecture(None))?;
                (entry, name, None)
            }
            BaseRef::Name(name) => {
                let bases = Bases::new(self.bases, self.messages)?;
                let base = bases.find(&name, &bases.architecture(None))?;
                let entry = bases.get(&name, &base).map_err(|error| fetch_failure(&error))?;
                bases.tell(&base);
                (entry, name_of(&base), Some(Published::of(&base, None)))
            }
        };
        self.open_entry(entry, name, published)
    }

    /// Opens what the lock has of a recipe's base, and else what is published, which the lock has from then on.
    fn open_published(&self, name: &Name, architecture: Option<&str>) -> Result<Chosen, Failure> {
        let bases = Bases::new(self.bases, self.messages)?;
        let architecture = bases.architecture(architecture);
        let mut lock = LockFile::open(self.folder)?;
        let locked = lock.get(name, &architecture).filter(|base| base.is(name, &architecture)).cloned();
        if let Some(base) = locked {
            let entry = bases.get(name, &base).map_err(|error| {
                let failure = fetch_failure(&error);
                match error {
                    catalogue::transport::Error::Status { status: 403 | 404 | 410, .. } => {
                        failure.hint("publishers remove old builds: `imgraft update` has the lock say the newest one")
                    }
                    _ => failure,
                }
            })?;
            bases.tell(&base);
            return self.open_entry(entry, name_of(&base), Some(Published::of(&base, Some(&lock.path))));
        }
        if self.locked {
            return Err(self.not_locked(&lock, name, &architecture));
        }
        let base = bases.find(name, &architecture)?;
        let entry = bases.get(name, &base).map_err(|error| fetch_failure(&error))?;
        bases.tell(&base);
        let published = Published::of(&base, (!self.dry_run).then_some(&*lock.path));
        let name = name_of(&base);
        if !self.dry_run {
            lock.put(base)?;
            self.messages.note(format_args!("wrote {}", lock.path.display()));
        }
        self.open_entry(entry, name, Some(published))
    }

    fn not_locked(&self, lock: &LockFile, name: &Name, architecture: &str) -> Failure {
        let path = lock.path.display();
        let problem = match (&lock.lock, lock.get(name, architecture)) {
            (None, _) => format!("there is no lock: `{path}`"),
            (Some(_), None) => format!("the lock `{path}` does not have `{name}` ({architecture})"),
            (Some(_), Some(base)) => format!("the recipe asks for `{name}`, and the lock `{path}` has {base}"),
        };
        Failure::new(problem).hint("`imgraft update` writes it; without `--locked`, this does")
    }

    fn open_entry(&self, entry: Entry, name: String, published: Option<Published>) -> Result<Chosen, Failure> {
        if self.overlay {
            self.messages.warning(format_args!(
                "the overlay needs {}, which `imgraft cache prune` may remove",
                entry.path().display()
            ));
        }
        let file = OpenedFile::open(entry.path())?;
        Ok(Chosen { file, name: Some(name), entry: Some(entry), published })
    }
}
