//! What the placeholders of a recipe stand for in a build.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use customize::Recipe;
use graft::{Backing, Looked, OpenedFile, Watcher};
use recipe::{Base, Placeholder, Problem, Template, Values};

use crate::environment::{seconds_now, source_date_epoch};
use crate::failure::Failure;
use crate::git;
use crate::show::recipe_failure;

/// A recipe, and where it is from.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Cells of a matrix share it.
    pub(crate) text: Arc<str>,
    pub(crate) recipe: Recipe,
}

/// What the command line says that placeholders depend on.
pub(crate) struct Asked<'a> {
    /// The version that is released.
    pub(crate) version: Option<&'a str>,
    /// The machine that the base is for.
    pub(crate) architecture: Option<&'a str>,
    /// Whether it names the new image.
    pub(crate) has_output: bool,
    /// Whether it names the base.
    pub(crate) has_base: bool,
}

/// What a build makes of the placeholders of its recipe.
pub(crate) struct Placeholders<'a> {
    source: &'a Source,
    used: BTreeMap<Placeholder, Range<usize>>,
    values: Values,
}

impl<'a> Placeholders<'a> {
    /// With all that is known before there is a base: only what a build uses has to be known.
    pub(crate) fn new(
        source: &'a Source,
        asked: &Asked<'_>,
        given: &BTreeMap<String, PathBuf>,
    ) -> Result<Self, Failure> {
        let recipe = &source.recipe;
        let version = asked.version;
        let output = (!asked.has_output).then(|| output(recipe, version.is_some())).flatten();
        let inputs = recipe.inputs.iter().filter(|(name, _)| !given.contains_key(*name));
        let files = inputs.filter_map(|(_, input)| input.file.as_ref());
        let used = output.into_iter().chain(files).flat_map(Template::placeholders).collect();
        let mut placeholders = Self { source, used, values: Values::default() };
        match version {
            Some(version) => placeholders.release(version)?,
            None => placeholders.refuse(
                Placeholder::Version,
                "no version is given for `{version}`",
                "give it with `--release-version VERSION`",
            )?,
        }
        if placeholders.uses(Placeholder::Date) {
            let seconds = match source_date_epoch()? {
                Some(time) => time.seconds,
                None => i64::try_from(seconds_now()).unwrap_or(i64::MAX),
            };
            placeholders.set(Placeholder::Date, &words::day(seconds))?;
        }
        if placeholders.uses(Placeholder::GitSha) {
            match git::commit(source.path.parent().filter(|path| *path != "").unwrap_or(Path::new("."))) {
                Ok(commit) => placeholders.set(Placeholder::GitSha, &commit)?,
                Err(git::NoCommit(why)) => placeholders.refuse(
                    Placeholder::GitSha,
                    &why,
                    "`{git.sha}` is the commit that is checked out where the recipe is",
                )?,
            }
        }
        let architecture = match (asked.architecture, &recipe.base, asked.has_base) {
            (Some(given), ..) => Some(given.to_owned()),
            (None, Some(Base::Published { architecture: Some(wanted), .. }), _) => Some(wanted.clone()),
            (None, Some(Base::Published { .. }), false) => Some(crate::bases::host_architecture().to_owned()),
            _ => None,
        };
        match architecture {
            Some(architecture) if placeholders.uses(Placeholder::Architecture) => {
                placeholders.set(Placeholder::Architecture, &architecture)?;
            }
            Some(_) => {}
            None => placeholders.refuse(
                Placeholder::Architecture,
                "the base is a file, and nothing says which machine it is for",
                "say it with `--arch`, such as `--arch amd64`",
            )?,
        }
        Ok(placeholders)
    }

    /// Finds out what only the base says.
    pub(crate) fn look_at(&mut self, base: &OpenedFile, backing: Backing, watcher: &Watcher) -> Result<(), Failure> {
        if !self.needs_base() {
            return Ok(());
        }
        let guest = Looked::guest(base.path(), None, backing, watcher)?;
        match guest.operating_system().map_err(graft::Error::from)?.version {
            Some(version) => self.set(Placeholder::BaseVersion, &version),
            None => self.refuse(
                Placeholder::BaseVersion,
                "the base does not say its version",
                "`{base.version}` is VERSION_ID of the base's /etc/os-release",
            ),
        }
    }

    /// What all of them stand for.
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Whether the recipe says a name of the new image.
    pub(crate) fn has_output(&self, is_release: bool) -> bool {
        output(&self.source.recipe, is_release).is_some()
    }

    /// The name of the new image that the recipe says.
    pub(crate) fn output(&self, is_release: bool) -> Option<PathBuf> {
        // All that is used has a value.
        output(&self.source.recipe, is_release)?.path(&self.values).ok()
    }

    /// The version, without the `v` that tags begin with.
    fn release(&mut self, version: &str) -> Result<(), Failure> {
        let Recipe { output, release, inputs, .. } = &self.source.recipe;
        let named = [output, release].into_iter().chain(inputs.values().map(|input| &input.file)).flatten();
        if !named.flat_map(Template::placeholders).any(|(placeholder, _)| placeholder == Placeholder::Version) {
            let path = self.source.path.display();
            return Err(Failure::new(format!("`--release-version` changes nothing: `{path}` has no `{{version}}`"))
                .hint("write `release = \"NAME-{version}.img\"` into the table `[output]` of the recipe"));
        }
        let bare = version.strip_prefix('v').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        self.values
            .set(Placeholder::Version, bare.unwrap_or(version))
            .map_err(|error| Failure::because(format!("`--release-version {version}` is not a version"), &error))
    }

    /// Whether only the base says what one of them stands for.
    pub(crate) fn needs_base(&self) -> bool {
        self.uses(Placeholder::BaseVersion)
    }

    fn uses(&self, placeholder: Placeholder) -> bool {
        self.used.contains_key(&placeholder)
    }

    fn set(&mut self, placeholder: Placeholder, value: &str) -> Result<(), Failure> {
        self.values.set(placeholder, value).or_else(|error| self.refuse(placeholder, &error.to_string(), ""))
    }

    /// Says in its place in the recipe why `placeholder`, if it is used, stands for nothing.
    fn refuse(&self, placeholder: Placeholder, message: &str, hint: &str) -> Result<(), Failure> {
        let Some(span) = self.used.get(&placeholder) else { return Ok(()) };
        let problem = Problem::new(message, span.clone());
        let problem = if hint.is_empty() { problem } else { problem.hint(hint) };
        Err(recipe_failure(&self.source.path, &self.source.text, &[problem]))
    }
}

/// The name of the new image as the recipe has it.
fn output(recipe: &Recipe, is_release: bool) -> Option<&Template> {
    recipe.release.as_ref().filter(|_| is_release).or(recipe.output.as_ref())
}
