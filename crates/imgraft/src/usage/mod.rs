//! What is said of a command line that is not understood.

mod given;
mod instead;
mod line;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use recipe::Elsewhere;
use words::nearest;

use self::given::ADD;
use self::line::Line;
use crate::cli::Cli;
use crate::environment;
use crate::failure::Failure;
use crate::show::{MessageFormat, Messages};

/// Commands that change an image, whose flags other programs have other words for.
const CHANGING: [&str; 2] = ["build", "customize"];

/// What the command line asks for.
///
/// # Errors
///
/// How the program ends, where it was said what is wrong with the command line, or the help was printed.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match Cli::try_parse() {
        Ok(cli) => Ok(cli),
        Err(error) => {
            let (before, command, rest) = split(&arguments);
            match without_add(&error, before, &command, rest) {
                Some(Ok(cli)) => Ok(cli),
                Some(Err(better)) => Err(refuse(better, &command, rest)),
                None => Err(refuse(error, &command, rest)),
            }
        }
    }
}

/// The options before the command, the command and its arguments.
fn split(arguments: &[OsString]) -> (&[OsString], String, &[OsString]) {
    let is_option = |argument: &&OsString| argument.as_encoded_bytes().starts_with(b"-");
    let place = arguments.iter().take_while(is_option).count();
    match arguments.get(place) {
        Some(command) => (&arguments[..place], command.to_string_lossy().into_owned(), &arguments[place + 1..]),
        None => (arguments, String::new(), &[]),
    }
}

/// The command line with its image as an argument without a flag, where it is one of a virt tool: `-a IMAGE`.
fn without_add(
    error: &clap::Error,
    before: &[OsString],
    command: &str,
    arguments: &[OsString],
) -> Option<Result<Cli, clap::Error>> {
    // What the one image of a build is cannot be known: the base or one that is to be changed.
    if command == "build" || !is_about_add(error) {
        return None;
    }
    let mut others = Vec::new();
    for (image, rest) in with_add(arguments) {
        match Line::new(before).with([OsString::from(command), image]).with(rest).parse() {
            Ok(cli) => return Some(Ok(cli)),
            Err(error) if !is_about_add(&error) => others.push(error),
            Err(_) => {}
        }
    }
    others.into_iter().next().map(Err)
}

/// Each image that `-a` may say, and the other arguments then: a value of another flag may be `-a`, too.
fn with_add(arguments: &[OsString]) -> impl Iterator<Item = (OsString, Vec<OsString>)> {
    arguments.iter().enumerate().filter_map(|(place, argument)| {
        let (image, after) = match argument.to_str().and_then(|text| text.strip_prefix("--add=")) {
            Some(image) => (OsString::from(image), place + 1),
            None if ADD.iter().any(|add| argument == add) => (arguments.get(place + 1)?.clone(), place + 2),
            None => return None,
        };
        Some((image, [&arguments[..place], &arguments[after..]].concat()))
    })
}

fn is_about_add(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::UnknownArgument
        && matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(flag)) if ADD.contains(&&**flag))
}

/// Says what is wrong with the command line, or prints the help that it asks for.
fn refuse(mut error: clap::Error, command: &str, arguments: &[OsString]) -> ExitCode {
    if let Some(failure) = better(&error, command, arguments) {
        Messages::new(false, false, message_format()).failure(&failure);
        return failure.exit().into();
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg).cloned()
    {
        leave_out_far_suggestions(&mut error, &flag);
    }
    // The `-h` of `ls` is one of its own, but there is nothing else that this could be.
    if command == "ls" && arguments.iter().all(|argument| argument == "-h") && !arguments.is_empty() {
        error = Line::new(["ls", "--help"]).parse().err().unwrap_or(error);
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

/// What to say of words that other programs have.
fn better(error: &clap::Error, command: &str, arguments: &[OsString]) -> Option<Failure> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::InvalidSubcommand, _) => not_a_command(command, arguments),
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) if command == "build" && is_about_add(error) => {
            Some(Failure::new(format!("`imgraft build` has no `{flag}`")).hint(base_or_image(arguments)))
        }
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) if CHANGING.contains(&command) => {
            let meant = Elsewhere::find(flag).filter(|_| flag.starts_with('-'))?;
            let message = format!("`imgraft {command}` has no `{flag}` ({})", meant.whose());
            Some(Failure::new(message).hint(meant.as_flag()))
        }
        (ErrorKind::ValueValidation, Some(ContextValue::String(argument)))
            if command == "resize" && argument.contains("SIZE") =>
        {
            let line = instead::resize_to(arguments)?;
            Some(
                Failure::new("`imgraft resize IMAGE SIZE` changes the image in its place")
                    .hint(format!("`{line}` makes another one")),
            )
        }
        _ => None,
    }
}

/// `imgraft rm my.img /etc/x`: there is no such command, and this is what does it.
fn not_a_command(command: &str, arguments: &[OsString]) -> Option<Failure> {
    let (lines, last) = instead::lines(command, arguments);
    let lines: Vec<String> = lines.iter().map(Line::to_string).collect();
    match lines.is_empty() {
        true => None,
        false => Some(
            Failure::new(format!("`{command}` is not a command of imgraft"))
                .hint(format!("try {}", words::quoted_list(lines, last))),
        ),
    }
}

/// What `build -a IMAGE` may be: the image is the base of a new one, or it is to be changed.
fn base_or_image(arguments: &[OsString]) -> String {
    let lines = with_add(arguments).map(|(image, rest)| {
        let base = Line::new(["build".into(), "--base".into(), image.clone()]).with(&rest);
        [base, Line::new(["customize".into(), image]).with(rest)]
    });
    let understood = |lines: [Line; 2]| lines.into_iter().filter(|line| line.parse().is_ok()).collect::<Vec<_>>();
    match lines.map(understood).find(|lines| !lines.is_empty()) {
        Some(lines) => format!("try {}", words::quoted_list(lines.iter().map(Line::to_string), "or")),
        None => "the base is `--base IMAGE`; an image that is to be changed is `imgraft customize IMAGE`".to_owned(),
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
