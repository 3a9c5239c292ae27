use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use guest::OperatingSystem;

use crate::boot::Boot;
use crate::form::Form;
use crate::limit::CommandLimits;
use words::nearest;

use crate::problem::Problem;
use crate::size::DiskSize;
use crate::table::Value;
use crate::template::{Placeholder, Template, Values};

/// A recipe, whose steps are `S`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe<S> {
    /// The image to make; a relative path begins in the folder where the build is started.
    pub output: Option<Template>,
    /// The same where a version is released; as `output` where this is `None`.
    pub release: Option<Template>,
    /// The form of the image's file.
    pub form: Form,
    /// The size of the image's disk; the base's where this is `None`.
    pub size: Option<DiskSize>,
    /// Whether commands in the guest may use the network.
    pub network: bool,
    /// Whether traces of one machine are removed, after everything else that is done.
    pub clean: bool,
    /// What each step's commands in the guest may use.
    pub limits: CommandLimits,
    /// The image to begin with.
    pub base: Option<Base>,
    /// The files and trees of the host that go in, by name.
    pub inputs: Inputs,
    /// What is done, in this order.
    pub steps: Vec<S>,
    /// What the finished image must have.
    pub keep: Keep,
    /// What is expected of the image's first boot.
    pub boot: Boot,
}

/// The inputs of a recipe, by name.
pub type Inputs = BTreeMap<String, Input>;

/// What a `[[step]]` of a recipe does: whoever reads a recipe says what steps there are.
pub trait Step: Sized {
    /// What a step becomes when the files of the inputs are known.
    type Operation;

    /// Reads a step. Everything that is wrong with it is added to `problems`, in any order; without a problem there
    /// is a step.
    fn read(value: &Value<'_>, inputs: &Inputs, problems: &mut Vec<Problem>) -> Option<Self>;

    /// The name of the input that the step uses, if it uses one.
    fn input(&self) -> Option<&str>;

    /// The operation of this step, whose input is the file `source`.
    fn operation(&self, source: Option<PathBuf>) -> Self::Operation;
}

/// A step that nobody looks at, for programs that need the rest of a recipe only.
impl Step for () {
    type Operation = ();

    fn read(_: &Value<'_>, _: &Inputs, _: &mut Vec<Problem>) -> Option<Self> {
        Some(())
    }

    fn input(&self) -> Option<&str> {
        None
    }

    fn operation(&self, _: Option<PathBuf>) {}
}

/// The image that a recipe begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A file; a relative path begins in the recipe's folder.
    File(PathBuf),
    /// A published image.
    Published {
        /// Its name.
        name: BaseName,
        /// The machine that it is for: `amd64`.
        architecture: Option<String>,
        /// The variant, where the distribution publishes several: `server`.
        variant: Option<String>,
    },
}

/// A distribution and a release of it, such as `ubuntu:24.04`, with an optional variant and an optional build:
/// `ubuntu:24.04/minimal@20260826`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseName {
    /// The distribution as `os-release` has it in `ID`: `ubuntu`.
    pub distribution: String,
    /// The release: `24.04` or `noble`.
    pub release: String,
    /// The variant: `minimal`.
    pub variant: Option<String>,
    /// The build: `20260826` or `sha256:…`.
    pub pin: Option<String>,
}

/// A file or a tree of the host that goes into the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// A description, for people.
    pub about: Option<String>,
    /// The file, unless the command line names another one; a relative path begins in the recipe's folder.
    pub file: Option<Template>,
}

/// What the finished image must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Packages that must be installed.
    pub packages: Vec<String>,
}

/// Why the steps of a recipe cannot become operations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// An input has no file.
    #[error("input `{name}`{} has no file", about.as_ref().map(|about| format!(" ({about})")).unwrap_or_default())]
    Missing {
        /// The input's name.
        name: String,
        /// The recipe's description of it.
        about: Option<String>,
    },
    /// A file was given for an input that the recipe does not have.
    #[error("the recipe has no input `{name}`")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The input that was probably meant.
        nearest: Option<String>,
    },
    /// A placeholder in the name of an input's file stands for nothing.
    #[error("the file of input `{name}` has a `{placeholder}`, which stands for nothing here")]
    Unfilled {
        /// The input's name.
        name: String,
        /// The placeholder.
        placeholder: Placeholder,
    },
}

/// A recipe that says nothing. A derived one would ask `S` to have a default.
impl<S> Default for Recipe<S> {
    fn default() -> Self {
        Self {
            output: None,
            release: None,
            form: Form::default(),
            size: None,
            network: false,
            clean: false,
            limits: CommandLimits::default(),
            base: None,
            inputs: Inputs::default(),
            steps: Vec::new(),
            keep: Keep::default(),
            boot: Boot::default(),
        }
    }
}

impl<S: Step> Recipe<S> {
    /// The operations of the recipe's steps. The files `given` on the command line take the place of the recipe's
    /// own; relative paths of the recipe begin in `folder`.
    ///
    /// # Errors
    ///
    /// Every [`InputError`].
    pub fn operations(
        &self,
        given: &BTreeMap<String, PathBuf>,
        folder: &Path,
        values: &Values,
    ) -> Result<Vec<S::Operation>, InputError> {
        self.check_inputs(given)?;
        let file = |name: &str| match (given.get(name), self.inputs.get(name).and_then(|input| input.file.as_ref())) {
            (Some(path), _) => Ok(Some(path.clone())),
            (None, Some(file)) => match file.path(values) {
                Ok(path) => Ok(Some(folder.join(path))),
                Err(placeholder) => Err(InputError::Unfilled { name: name.to_owned(), placeholder }),
            },
            (None, None) => Ok(None),
        };
        self.steps.iter().map(|step| Ok(step.operation(step.input().map(file).transpose()?.flatten()))).collect()
    }

    /// Whether each input that a step uses has a file, and each one `given` is the recipe's.
    ///
    /// # Errors
    ///
    /// [`InputError::Unknown`] and [`InputError::Missing`].
    pub fn check_inputs(&self, given: &BTreeMap<String, PathBuf>) -> Result<(), InputError> {
        if let Some(name) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            let nearest = nearest(name, self.inputs.keys().map(String::as_str)).map(str::to_owned);
            return Err(InputError::Unknown { name: name.clone(), nearest });
        }
        for name in self.steps.iter().filter_map(Step::input).filter(|name| !given.contains_key(*name)) {
            let declared = self.inputs.get(name);
            if declared.is_none_or(|input| input.file.is_none()) {
                let about = declared.and_then(|input| input.about.clone());
                return Err(InputError::Missing { name: name.to_owned(), about });
            }
        }
        Ok(())
    }
}

impl BaseName {
    /// Whether a guest with this `os-release` is of this distribution and release. Version 9.6 is of release 9, and a
    /// distribution without versions has one release.
    pub fn is(&self, os: &OperatingSystem) -> bool {
        let is_release = |text: &String| {
            text.strip_prefix(&*self.release).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut releases = [&os.version, &os.codename].into_iter().flatten();
        os.id == self.distribution && (os.version.is_none() && os.codename.is_none() || releases.any(is_release))
    }
}

impl FromStr for BaseName {
    type Err = BaseNameError;

    fn from_str(text: &str) -> Result<Self, BaseNameError> {
        let part = |text: &str, at: char| match text.split_once(at) {
            Some((text, part)) => (text.to_owned(), Some(part.to_owned())),
            None => (text.to_owned(), None),
        };
        let (rest, pin) = part(text, '@');
        let (rest, variant) = part(&rest, '/');
        let (distribution, release) = part(&rest, ':');
        let is_named = |part: &Option<String>| part.as_ref().is_none_or(|part| !part.is_empty());
        match release {
            Some(release)
                if !distribution.is_empty() && !release.is_empty() && is_named(&variant) && is_named(&pin) =>
            {
                Ok(Self { distribution, release, variant, pin })
            }
            _ => Err(BaseNameError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.distribution, self.release)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))?;
        self.pin.as_ref().map_or(Ok(()), |pin| write!(f, "@{pin}"))
    }
}

/// A text is not the name of a published image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of a base: expected `DISTRIBUTION:RELEASE`, such as `ubuntu:24.04`")]
pub struct BaseNameError {
    /// The text.
    pub text: String,
}
