//! `imgraft build`: a new image out of a base and your files.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use customize::recipe::{Base, InputError, Recipe};

use crate::cli::Build;
use crate::disk::OpenedFile;
use crate::failure::Failure;
use crate::graft::{self, Job, Manner};
use crate::message::Messages;
use crate::snippet::recipe_failure;

/// The recipe that is used where none is named.
const DEFAULT_RECIPE: &str = "imgraft.toml";
/// The largest recipe that is read, in bytes.
const RECIPE_LIMIT_BYTES: u64 = 1 << 20;

pub(super) fn run(arguments: Build, messages: &Messages) -> Result<(), Failure> {
    let recipe_path = match &arguments.recipe {
        Some(path) => Some(path.clone()),
        None if arguments.operations.0.is_empty() => Some(PathBuf::from(DEFAULT_RECIPE)),
        None => None,
    };
    let recipe = match &recipe_path {
        Some(path) => read_recipe(path, arguments.recipe.is_some())?,
        None => Recipe::default(),
    };
    let folder = recipe_path.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
    let inputs = given_inputs(&arguments)?;
    let mut operations = recipe.operations(&inputs, &folder).map_err(|error| input_failure(&error))?;
    operations.extend(arguments.operations.0);

    let dry_run = arguments.writing.dry_run;
    let target_name = match (arguments.output, &recipe.output) {
        (Some(output), _) => output,
        (None, Some(output)) => folder.join(output),
        // It only says in which folder there would have to be room.
        (None, None) if dry_run => PathBuf::from("new image"),
        (None, None) => return Err(Failure::new("there is no name for the new image").hint("give it with `-o IMAGE`")),
    };
    let base = open_base(arguments.base.as_deref(), recipe.base.as_ref(), &folder)?;
    let target = resolve_target(&target_name, &base)?;
    let expected_base = match recipe.base {
        Some(Base::Published { name, .. }) => Some(name),
        _ => None,
    };
    let report = graft::run(
        Job {
            base,
            backing: arguments.backing,
            form: arguments.form.form(arguments.format, arguments.overlay).or(recipe.form),
            target,
            target_name,
            size: arguments.size.size.or(recipe.size),
            operations,
            keep_packages: recipe.keep.packages,
            expected_base,
            new_clusters: arguments.writing.compress,
            ignore_fs_errors: arguments.writing.ignore_fs_errors,
            verify_reproducible: arguments.verify_reproducible,
            in_place: false,
            dry_run,
            manner: Manner::default(),
        },
        messages,
    )?;
    report.print(arguments.writing.json)
}

pub(super) fn read_recipe(path: &Path, is_named: bool) -> Result<Recipe, Failure> {
    let unreadable = |error: &std::io::Error| {
        if !is_named && error.kind() == std::io::ErrorKind::NotFound {
            return Failure::new(format!("there is no recipe: `{DEFAULT_RECIPE}` is not in this folder")).hint(
                "name one with `imgraft build RECIPE`, or do without: \
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
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    Recipe::parse(&text).map_err(|problems| recipe_failure(path, &text, &problems))
}

fn given_inputs(arguments: &Build) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut inputs = BTreeMap::new();
    for (name, path) in &arguments.inputs {
        if inputs.insert(name.clone(), path.clone()).is_some() {
            return Err(Failure::new(format!("input `{name}` is given twice")));
        }
    }
    Ok(inputs)
}

fn input_failure(error: &InputError) -> Failure {
    let failure = Failure::of(error);
    match error {
        InputError::Missing { name, .. } => failure.hint(format!("give it with `--input {name}=PATH`")),
        InputError::Unknown { nearest: Some(nearest), .. } => failure.hint(format!("did you mean `{nearest}`?")),
        InputError::Unknown { nearest: None, .. } => failure,
    }
}

/// Opens the base, which the command line names before the recipe does.
fn open_base(given: Option<&Path>, recipe: Option<&Base>, folder: &Path) -> Result<OpenedFile, Failure> {
    let path = match (given, recipe) {
        (Some(path), _) => path.to_owned(),
        (None, Some(Base::File(path))) => folder.join(path),
        (None, Some(Base::Published { name, architecture, variant })) => {
            let details: Vec<&str> = [variant, architecture].into_iter().flatten().map(String::as_str).collect();
            let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
            return Err(Failure::new(format!("imgraft cannot fetch the base {name}{details} yet"))
                .hint("download the image and give it with `--base IMAGE`"));
        }
        (None, None) => return Err(Failure::new("there is no base").hint("give it with `--base IMAGE`")),
    };
    OpenedFile::open(&path).map_err(|failure| {
        let looks_like_a_name = given.is_some() && path.to_string_lossy().contains(':') && !path.exists();
        match looks_like_a_name {
            true => failure.hint("imgraft cannot fetch bases yet: download the image and give its path"),
            false => failure,
        }
    })
}

/// Where the new image really goes: a symlink stands for what it points to.
pub(super) fn resolve_target(target: &Path, base: &OpenedFile) -> Result<PathBuf, Failure> {
    let metadata = match std::fs::metadata(target) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let ends_in_slash = target.as_os_str().as_encoded_bytes().ends_with(b"/");
            return match ends_in_slash {
                true => Err(Failure::new(format!("`{}` is the name of a folder", target.display()))
                    .hint("name the image to make: `-o FOLDER/IMAGE`")),
                false => Ok(target.to_owned()),
            };
        }
        Err(error) => return Err(Failure::because(format!("`{}` cannot be written", target.display()), &error)),
    };
    check_target(target, &metadata, base)?;
    std::fs::canonicalize(target)
        .map_err(|error| Failure::because(format!("`{}` cannot be written", target.display()), &error))
}

fn check_target(target: &Path, metadata: &Metadata, base: &OpenedFile) -> Result<(), Failure> {
    if base.is(metadata) {
        return Err(Failure::new(format!("`{}` is the base itself, which is never changed", target.display()))
            .hint("make another file with `-o`, or change this one with `imgraft customize`"));
    }
    if metadata.is_dir() {
        return Err(Failure::new(format!("`{}` is a directory", target.display()))
            .hint("name the image to make: `-o FOLDER/IMAGE`"));
    }
    if !metadata.is_file() {
        return Err(Failure::new(format!("`{}` is not a regular file, and cannot be replaced", target.display())));
    }
    Ok(())
}
