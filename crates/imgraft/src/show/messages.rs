//! What is said to the user: data on standard output, everything else here, on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use graft::{Event, Stage, Watch, Watcher};
use seed::check::Severity;

use super::annotation::{Annotation, plain};
use super::output::Output;
use super::{Progress, Spinner};
use crate::environment;
use crate::failure::Failure;
pub(crate) use words::count;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const CAUSE: Style = Style::new().bold();

/// The way to standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages {
    quiet: bool,
    verbose: bool,
    format: MessageFormat,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MessageFormat {
    /// For people: the place in the text is drawn
    #[default]
    Human,
    /// For GitHub's runners: errors and warnings are shown beside the files of a pull request
    Github,
}

impl Messages {
    pub(crate) fn new(quiet: bool, verbose: bool, format: MessageFormat) -> Self {
        Self { quiet, verbose, format }
    }

    /// Whether messages are for GitHub's runners.
    pub(crate) fn is_for_github(&self) -> bool {
        self.format == MessageFormat::Github
    }

    /// A line that is no more than that to whoever reads it.
    fn line(&self, text: impl Display) {
        match self.format {
            MessageFormat::Human => say(format_args!("{text}")),
            MessageFormat::Github => {
                for line in text.to_string().lines() {
                    say(format_args!("{}", plain(line)));
                }
            }
        }
    }

    /// A teller of what the library does.
    pub(crate) fn watcher(&self) -> Watcher {
        Watcher::new(Teller { messages: *self, shown: Mutex::default(), output: Mutex::default() })
    }

    /// Whether progress is to be shown as a terminal can.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Whether progress is to be told in lines: somebody may look at a log that stands still.
    pub(crate) fn tells_progress(&self) -> bool {
        !self.quiet && !io::stderr().is_terminal() && environment::is_ci()
    }

    /// Prints a text for people, in which lines may be a guest's, on standard output.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        match self.format {
            MessageFormat::Human => print(text),
            MessageFormat::Github => print(&text.lines().map(|line| plain(line) + "\n").collect::<String>()),
        }
    }

    /// Something that was done.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// Something that only the curious want to know.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.verbose && !self.quiet {
            self.line(text);
        }
    }

    /// Something that may not be what is wanted.
    pub(crate) fn warning(&self, text: impl Display) {
        if self.quiet {
            return;
        }
        match self.format {
            MessageFormat::Human => say(format_args!("{WARNING}warning:{WARNING:#} {text}")),
            MessageFormat::Github => say_command(&Annotation::new(Severity::Warning, text)),
        }
    }

    /// What could be done about something that was said.
    pub(crate) fn hint(&self, text: impl Display) {
        if !self.quiet {
            self.line(format_args!("{HINT}hint:{HINT:#} {text}"));
        }
    }

    /// As [`warning`](Self::warning), with its place shown in a drawing or beside the text.
    pub(crate) fn drawing(&self, drawing: &str, annotation: &Annotation) {
        if self.quiet {
            return;
        }
        match self.format {
            MessageFormat::Human => say(format_args!("{}\n", drawing.trim_end())),
            MessageFormat::Github => say_command(annotation),
        }
    }

    /// Why nothing was done. This is said even when quiet.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        if self.is_for_github() {
            failure.output.iter().for_each(|line| self.line(format_args!("  | {line}")));
            return match failure.annotations.is_empty() {
                true => say_command(&Annotation::new(Severity::Error, in_lines(failure))),
                false => failure.annotations.iter().for_each(say_command),
            };
        }
        if let Some(drawing) = &failure.drawing {
            say(format_args!("{}", drawing.trim_end()));
            return;
        }
        say(format_args!("{ERROR}error:{ERROR:#} {}", failure.message));
        for cause in &failure.causes {
            say(format_args!("  {CAUSE}cause:{CAUSE:#} {cause}"));
        }
        for line in &failure.output {
            say(format_args!("  | {line}"));
        }
        if let Some(hint) = &failure.hint {
            say(format_args!("{HINT}hint:{HINT:#} {hint}"));
        }
        if let Some(topic) = failure.topic {
            say(format_args!("for more, run `imgraft explain {}`", topic.code));
        }
    }
}

/// Says what a job of the library does.
struct Teller {
    messages: Messages,
    /// The stages that last, with what is shown of each.
    shown: Mutex<Vec<(Stage, Shown)>>,
    /// What commands in the guest write.
    output: Mutex<Output>,
}

enum Shown {
    Bar(Progress),
    Spinner(Spinner),
}

impl Watch for Teller {
    fn on(&self, event: Event<'_>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let say = |say: &dyn Fn()| match shown.last() {
            // It would be painted over otherwise.
            Some((_, Shown::Spinner(spinner))) => spinner.aside(say),
            Some((_, Shown::Bar(bar))) => bar.aside(say),
            None => say(),
        };
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = |line: &str| say(&|| self.messages.note(line));
        if matches!(event, Event::Operation(_) | Event::Ends(_)) {
            output.end(&mut note);
        }
        if let Event::Output { step, bytes } = event
            && output.take(step, bytes, &mut note)
        {
            shown.iter().for_each(|(_, shown)| shown.call(step));
        }
        match event {
            Event::Operation(_) => shown.iter().for_each(|(stage, shown)| shown.call(&stage.to_string())),
            Event::Note(text) => say(&|| self.messages.note(text)),
            Event::Detail(text) => say(&|| self.messages.detail(text)),
            Event::Warning(text) => say(&|| self.messages.warning(text)),
            Event::Begins(stage) => shown.push((stage, Shown::new(&self.messages, stage))),
            Event::Progress { stage, done, total } => {
                if let Some((_, Shown::Bar(bar))) = shown.iter().find(|(other, _)| *other == stage) {
                    bar.set(done, total);
                }
            }
            Event::Ends(stage) => shown.retain(|(other, _)| *other != stage),
            _ => {}
        }
    }
}

impl Shown {
    fn new(messages: &Messages, stage: Stage) -> Self {
        match stage {
            Stage::Unpack | Stage::Operations | Stage::Write => Self::Bar(Progress::new(messages, stage.to_string())),
            Stage::Check => Self::Bar(Progress::of_steps(messages, stage.to_string())),
            _ => Self::Spinner(Spinner::new(messages, stage.to_string())),
        }
    }

    /// It is `what` that goes on now.
    fn call(&self, what: &str) {
        if let Self::Bar(bar) = self {
            bar.call(what);
        }
    }
}

/// All that a failure says but what a command wrote, a line each.
fn in_lines(failure: &Failure) -> String {
    let message = failure.drawing.as_ref().unwrap_or(&failure.message).clone();
    let causes = failure.causes.iter().map(|cause| format!("cause: {cause}"));
    let hint = failure.hint.iter().map(|hint| format!("hint: {hint}"));
    std::iter::once(message).chain(causes).chain(hint).collect::<Vec<_>>().join("\n")
}

/// Has GitHub show it.
fn say_command(annotation: &Annotation) {
    say(format_args!("{}", annotation.command()));
}

/// Standard error may be closed: then there is nothing left to do.
fn say(text: std::fmt::Arguments<'_>) {
    // In one piece, whoever else says something.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Writes data to standard output.
///
/// # Errors
///
/// A silent failure if the reader has gone away, another one if it cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// As [`print`].
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(stdout_failure)
}

/// Prints `value` as JSON, for people who like to read it.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| Failure::because("making JSON", &error))?;
    text.push('\n');
    print(&text)
}

/// What it means that standard output did not take something.
pub(crate) fn stdout_failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(),
        _ => Failure::because("standard output cannot be written", &error),
    }
}
