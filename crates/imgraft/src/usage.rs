//! What is said of a command line that is not understood.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use recipe::Elsewhere;
use words::nearest;

use crate::environment;
use crate::failure::Failure;
use crate::show::{MessageFormat, Messages};

/// Commands that change an image, whose flags other programs have other words for.
const CHANGING: [&str; 2] = ["build", "customize"];

/// Says what is wrong with the command line, or prints the help that it asks for.
pub(crate) fn refuse(mut error: clap::Error) -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg).cloned()
    {
        if let Some(meant) = Elsewhere::find(&flag).filter(|_| CHANGING.contains(&&*command) && flag.starts_with('-')) {
            let failure =
                Failure::new(format!("`imgraft {command}` has no `{flag}` ({})", meant.whose())).hint(meant.as_flag());
            Messages::new(false, false, message_format()).failure(&failure);
            return failure.exit().into();
        }
        leave_out_far_suggestions(&mut error, &flag);
    }
    let code = error.exit_code();
    if error.use_stderr() && message_format() == MessageFormat::Github {
        let text = error.render().to_string();
        let failure = Failure::new(text.trim_end().trim_start_matches("error: "));
        Messages::new(false, false, MessageFormat::Github).failure(&failure);
        return failure.exit().into();
    }
    // Who reads it may have gone away.
    let _ = error.print();
    ExitCode::from(u8::try_from(code).unwrap_or(2))
}

/// How messages are written where no flag says it: GitHub's runners say who they are.
pub(crate) fn message_format() -> MessageFormat {
    match environment::text("GITHUB_ACTIONS").as_deref() {
        Some("true") => MessageFormat::Github,
        _ => MessageFormat::Human,
    }
}

/// Leaves out a flag that is no slip away from `flag`, and the advice to take `flag` for the name of a file.
fn leave_out_far_suggestions(error: &mut clap::Error, flag: &str) {
    let is_near = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(suggested)) => nearest(flag, [suggested.as_str()]).is_some(),
        _ => false,
    };
    if !is_near {
        error.remove(ContextKind::SuggestedArg);
    }
    error.remove(ContextKind::Suggested);
}
