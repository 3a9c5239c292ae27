//! Why a command ended without having done its work.

use std::error::Error;
use std::io;
use std::process::ExitCode;

/// What a user is told: what happened, why, and what to do about it.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    /// A text that says it all, with the place in the user's own file.
    pub(crate) drawing: Option<String>,
    silent: bool,
    /// Whether it is no cause of anything larger.
    is_final: bool,
    exit_code: u8,
}

impl Failure {
    /// A failure with nothing behind it.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 1, ..Self::default() }
    }

    /// A failure that is `error` itself.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(describe(error));
        failure.add_causes(error.source());
        failure
    }

    /// A failure that is due to `error`.
    pub(crate) fn because(message: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(message);
        failure.add_causes(Some(error));
        failure
    }

    /// A failure that has told its story already.
    pub(crate) fn drawn(drawing: String) -> Self {
        Self { drawing: Some(drawing), ..Self::new("") }
    }

    /// The reader of our output has gone away: it has what it wanted.
    pub(crate) fn silent() -> Self {
        Self { silent: true, exit_code: 0, ..Self::new("") }
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Says what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says why, a line each.
    pub(crate) fn causes(self, causes: Vec<String>) -> Self {
        Self { causes, ..self }
    }

    /// It stays what is said first, whatever it is [`within`](Self::within).
    pub(crate) fn final_word(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// This failure as the cause of a larger one.
    pub(crate) fn within(mut self, message: impl Into<String>) -> Self {
        if self.drawing.is_none() && !self.silent && !self.is_final {
            self.causes.insert(0, std::mem::replace(&mut self.message, message.into()));
        }
        self
    }

    /// The exit code to end with.
    pub(crate) fn code(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }

    /// The message with its causes, for where there is a line and no more.
    pub(crate) fn in_one_line(&self) -> String {
        [std::slice::from_ref(&self.message), &self.causes[..]].concat().join(": ")
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_code)
    }

    fn add_causes(&mut self, mut error: Option<&(dyn Error + 'static)>) {
        while let Some(cause) = error {
            let text = describe(cause);
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            error = cause.source();
        }
    }
}

/// An error in our voice: what the system says is told in lower case and without its number.
fn describe(error: &dyn Error) -> String {
    let text = error.to_string();
    let Some(code) = text.find(" (os error ") else { return text };
    let text = &text[..code];
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// An error with everything behind it.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    Failure::of(error).in_one_line()
}

/// The host's own error at the end of the chain, if there is one.
pub(crate) fn host_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_errors_are_told_in_our_voice() {
        let failure = Failure::because("`x` cannot be read", &io::Error::from_raw_os_error(2));
        assert_eq!(failure.causes, ["no such file or directory"]);
    }

    #[test]
    fn a_failure_within_another_is_its_cause() {
        let failure = Failure::new("a").hint("h").within("b");
        assert_eq!(
            (failure.message.as_str(), &failure.causes[..], failure.hint.as_deref()),
            ("b", &["a".to_owned()][..], Some("h"))
        );
    }
}
