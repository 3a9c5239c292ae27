//! Recipes: what an image is, as a TOML file says it.

mod boot;
mod problem;
mod read;
mod step;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use guest::{GuestPath, OperatingSystem};

use crate::form::Form;
use crate::mode::Mode;
use crate::operation::Operation;
use crate::owner::Owner;
use crate::size::DiskSize;
use crate::verb::{Destination, FirstBoot, KeySource, Password, Put, PutOwner, Secret, SshKey, Tar};

pub use boot::{Boot, ExpectedCommand, ExpectedFile, ExpectedText, Login, NoSha256, Sha256};
pub use problem::Problem;
pub use words::nearest;

/// A recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// The image to make; a relative path begins where the build is started.
    pub output: Option<PathBuf>,
    /// What its file is like.
    pub form: Form,
    /// How large its disk is to be, where that is not as large as the base's.
    pub size: Option<DiskSize>,
    /// The image to begin with.
    pub base: Option<Base>,
    /// The files and trees of the host that go in, by name.
    pub inputs: BTreeMap<String, Input>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// What has to be there at the end.
    pub keep: Keep,
    /// What is expected of its first boot.
    pub boot: Boot,
}

/// The image that a recipe begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A file; a relative path begins at the recipe's folder.
    File(PathBuf),
    /// A published image.
    Published {
        /// Which one.
        name: BaseName,
        /// The machine it is for: `amd64`.
        architecture: Option<String>,
        /// Which of several: `server`.
        variant: Option<String>,
    },
}

/// A distribution and a release of it: `ubuntu:24.04`, and where more is said, `ubuntu:24.04/minimal@20260826`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseName {
    /// `ubuntu`, as `os-release` has it in `ID`.
    pub distribution: String,
    /// `24.04` or `noble`.
    pub release: String,
    /// `minimal`: which of several.
    pub variant: Option<String>,
    /// `20260826` or `sha256:…`: which build.
    pub pin: Option<String>,
}

/// A file or a tree of the host that goes into the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// What it is, for people.
    pub about: Option<String>,
    /// Where it is, unless the command line says; a relative path begins at the recipe's folder.
    pub file: Option<PathBuf>,
}

/// One thing that a recipe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Puts an input into the guest.
    Put {
        /// The input's name.
        input: String,
        /// Where it goes.
        to: Destination,
        /// The mode of its files.
        mode: Option<Mode>,
        /// The owner of everything put.
        owner: Option<Owner>,
        /// Whether everything put keeps its owner on the host.
        keep_owner: bool,
    },
    /// Unpacks an input.
    Tar {
        /// The input's name.
        input: String,
        /// Where.
        directory: GuestPath,
    },
    /// Lets somebody in with keys that are an input.
    SshKey {
        /// The user.
        user: String,
        /// The input's name.
        input: String,
    },
    /// Sets a password that is an input.
    Password {
        /// The input's name.
        input: String,
        /// What else is said of it.
        password: Password,
    },
    /// Has the guest run an input when it boots first.
    FirstBoot {
        /// The input's name.
        input: String,
    },
    /// Does what needs no input.
    Do(Operation),
}

/// What has to be in the finished image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Packages that have to be installed.
    pub packages: Vec<String>,
}

/// Why a recipe's steps could not become operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputError {
    /// An input has no file.
    Missing {
        /// The input's name.
        name: String,
        /// What the recipe says that it is.
        about: Option<String>,
    },
    /// A file was given for an input that the recipe does not have.
    Unknown {
        /// The name that was given.
        name: String,
        /// The input that was probably meant.
        nearest: Option<String>,
    },
}

impl Recipe {
    /// The recipe's steps as operations, with the files `given` on the command line in place of its
    /// own; relative paths of the recipe begin at `folder`.
    ///
    /// # Errors
    ///
    /// Every [`InputError`].
    pub fn operations(&self, given: &BTreeMap<String, PathBuf>, folder: &Path) -> Result<Vec<Operation>, InputError> {
        if let Some(name) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            let nearest = nearest(name, self.inputs.keys().map(String::as_str)).map(str::to_owned);
            return Err(InputError::Unknown { name: name.clone(), nearest });
        }
        self.steps.iter().map(|step| self.operation(step, given, folder)).collect()
    }

    fn operation(
        &self,
        step: &Step,
        given: &BTreeMap<String, PathBuf>,
        folder: &Path,
    ) -> Result<Operation, InputError> {
        let file = |input: &String| {
            let declared = self.inputs.get(input).cloned().unwrap_or_default();
            match (given.get(input), declared.file) {
                (Some(path), _) => Ok(path.clone()),
                (None, Some(path)) => Ok(folder.join(path)),
                (None, None) => Err(InputError::Missing { name: input.clone(), about: declared.about }),
            }
        };
        Ok(match step {
            Step::Put { input, to, mode, owner, keep_owner } => {
                let owner = match (owner, keep_owner) {
                    (Some(owner), _) => PutOwner::Given(owner.clone()),
                    (None, true) => PutOwner::Keep,
                    (None, false) => PutOwner::Root,
                };
                Operation::Put(Put { mode: *mode, owner, ..Put::new(file(input)?, to.clone()) })
            }
            Step::Tar { input, directory } => {
                Operation::Tar(Tar { source: file(input)?, directory: directory.clone() })
            }
            Step::SshKey { user, input } => {
                Operation::SshKey(SshKey { user: user.clone(), key: KeySource::File(file(input)?) })
            }
            Step::Password { input, password } => {
                Operation::Password(Password { secret: Secret::File(file(input)?), ..password.clone() })
            }
            Step::FirstBoot { input } => Operation::FirstBoot(FirstBoot::Script(file(input)?)),
            Step::Do(operation) => operation.clone(),
        })
    }
}

impl BaseName {
    /// Whether a guest with this `os-release` is what is meant.
    pub fn is(&self, os: &OperatingSystem) -> bool {
        os.id == self.distribution
            && [&os.version, &os.codename].into_iter().flatten().any(|release| *release == self.release)
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

/// A text that names no published image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseNameError {
    /// The text.
    pub text: String,
}

impl fmt::Display for BaseNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` names no base: `DISTRIBUTION:RELEASE` does, such as `ubuntu:24.04`", self.text)
    }
}

impl std::error::Error for BaseNameError {}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.distribution, self.release)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))?;
        self.pin.as_ref().map_or(Ok(()), |pin| write!(f, "@{pin}"))
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, about: Some(about) } => write!(f, "there is no file for input `{name}` ({about})"),
            Self::Missing { name, about: None } => write!(f, "there is no file for input `{name}`"),
            Self::Unknown { name, .. } => write!(f, "the recipe has no input `{name}`"),
        }
    }
}

impl std::error::Error for InputError {}
