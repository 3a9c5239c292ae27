use guest::PathError;

use crate::mode::ModeError;
use crate::owner::OwnerError;

/// Why a text, such as the value of a flag, is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// The text has another form.
    #[error("expected {form}, such as `{example}`")]
    Form {
        /// The form: `PATH:LINE`.
        form: &'static str,
        /// An example of it.
        example: &'static str,
    },
    /// The text is not UTF-8.
    #[error("`{text}` is not UTF-8")]
    NotUtf8 {
        /// The text, with what is not UTF-8 replaced.
        text: String,
    },
    /// A path in the guest is invalid.
    #[error("`{text}`: {error}")]
    Path {
        /// The path.
        text: String,
        /// Why it is invalid.
        error: PathError,
    },
    /// A mode is invalid.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// An owner is invalid.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A regular expression is invalid.
    #[error("invalid regular expression: {problem}")]
    Pattern {
        /// Why.
        problem: String,
    },
    /// Something else is invalid.
    #[error("`{text}` is not {what}: {expected}")]
    Invalid {
        /// The text.
        text: String,
        /// What it should be: `a valid hostname`.
        what: &'static str,
        /// What is valid: `use letters and digits`.
        expected: &'static str,
    },
    /// Something else is wrong with the text.
    #[error("{0}")]
    Other(String),
}

impl SyntaxError {
    /// The text does not have this form.
    pub fn form(form: &'static str, example: &'static str) -> Self {
        Self::Form { form, example }
    }

    /// `text` is not `what`.
    pub fn invalid(text: impl Into<String>, what: &'static str, expected: &'static str) -> Self {
        Self::Invalid { text: text.into(), what, expected }
    }

    /// Something that the other variants do not say.
    pub fn other(problem: impl Into<String>) -> Self {
        Self::Other(problem.into())
    }

    /// `bytes` are not a path in the guest.
    pub fn path(bytes: &[u8], error: PathError) -> Self {
        Self::Path { text: String::from_utf8_lossy(bytes).into_owned(), error }
    }
}
