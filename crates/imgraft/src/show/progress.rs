//! How far something is: on a terminal, and in the log of CI.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Messages;
use super::occasional::{Occasional, Unit};

/// What is shown until it is known how much there is to do.
const STAGE: &str = "{msg:>8} {spinner}";
/// What is shown from then on.
const AMOUNT: &str = "{msg:>8} {bar:24} {percent:>3}% {binary_bytes:>10} of {binary_total_bytes:10} \
                      {binary_bytes_per_sec:>12}, {eta} left";
/// As [`AMOUNT`], where what is counted is nothing that a user has a word for.
const PART: &str = "{msg:>8} {bar:24} {percent:>3}%, {eta} left";

/// A bar on standard error, or a line now and then; nothing if that is neither a terminal nor CI's log.
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: Option<Occasional>,
    unit: Unit,
}

/// The lines that say how far something is that is called `what`, where there are to be some.
fn lines(messages: &Messages, what: &str, unit: Unit) -> Option<Occasional> {
    let messages = *messages;
    messages.tells_progress().then(|| Occasional::new(what.to_owned(), unit, move |line| messages.note(line)))
}

impl Progress {
    /// A bar for something that is called `what`, in bytes.
    pub(crate) fn new(messages: &Messages, what: impl Into<String>) -> Self {
        Self::of(messages, what.into(), Unit::Bytes)
    }

    /// A bar for something that is called `what`, in steps that a user need not know of.
    pub(crate) fn of_steps(messages: &Messages, what: impl Into<String>) -> Self {
        Self::of(messages, what.into(), Unit::Steps)
    }

    fn of(messages: &Messages, what: String, unit: Unit) -> Self {
        if !messages.shows_progress() {
            return Self { bar: ProgressBar::hidden(), lines: lines(messages, &what, unit), unit };
        }
        let progress = Self::on(ProgressDrawTarget::stderr_with_hz(15), what, unit);
        progress.bar.enable_steady_tick(Duration::from_millis(200));
        progress
    }

    /// A bar for work whose amount is not known yet.
    fn on(target: ProgressDrawTarget, what: impl Into<String>, unit: Unit) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template(STAGE) {
            bar.set_style(style);
        }
        bar.set_message(what.into());
        Self { bar, lines: None, unit }
    }

    /// It is `what` that goes on now.
    pub(crate) fn call(&self, what: &str) {
        self.lines.iter().for_each(|lines| lines.rename(what));
        self.bar.set_message(what.to_owned());
    }

    /// `done` of `total` are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        if total == 0 {
            return;
        }
        self.lines.iter().for_each(|lines| lines.set(done, total));
        let known = self.bar.length();
        if known != Some(total) {
            self.bar.set_length(total);
        }
        if known.is_none()
            && let Ok(style) = ProgressStyle::with_template(if self.unit == Unit::Bytes { AMOUNT } else { PART })
        {
            self.bar.set_style(style.progress_chars("━╸ "));
        }
        self.bar.set_position(done);
    }

    /// Says something that would be painted over otherwise.
    pub(crate) fn aside(&self, say: impl FnOnce()) {
        match self.bar.is_hidden() {
            true => say(),
            false => self.bar.suspend(say),
        }
    }
}

/// Shows work whose length is not known: what it is, and for how long it has gone on. Shows nothing if standard error is
/// neither a terminal nor CI's log.
pub(crate) struct Spinner {
    bar: ProgressBar,
    lines: Option<Occasional>,
}

impl Spinner {
    pub(crate) fn new(messages: &Messages, what: impl Into<String>) -> Self {
        let what = what.into();
        if !messages.shows_progress() {
            return Self { bar: ProgressBar::hidden(), lines: lines(messages, &what, Unit::Bytes) };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, lines: None }
    }

    /// It is `what` that goes on now.
    pub(crate) fn set(&self, what: impl Into<String>) {
        let what = what.into();
        self.lines.iter().for_each(|lines| lines.call(what.clone()));
        self.bar.set_message(what);
        self.bar.reset_elapsed();
    }

    /// It is still the same, under another name.
    pub(crate) fn rename(&self, what: String) {
        self.lines.iter().for_each(|lines| lines.rename(&what));
        self.bar.set_message(what);
    }

    /// Says something that would be painted over otherwise.
    pub(crate) fn aside(&self, say: impl FnOnce()) {
        match self.bar.is_hidden() {
            true => say(),
            false => self.bar.suspend(say),
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        // However fast it was, what was done is drawn.
        self.bar.suspend(|| ());
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // However fast it was reached, the end is drawn.
        self.bar.suspend(|| ());
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_total_before_there_is_one() {
        let progress = Progress::on(ProgressDrawTarget::hidden(), "putting", Unit::Bytes);
        assert_eq!(progress.bar.length(), None);
        progress.set(0, 0);
        assert_eq!(progress.bar.length(), None, "`0 B of 0 B` says nothing");
        progress.set(0, 10);
        assert_eq!((progress.bar.length(), progress.bar.position()), (Some(10), 0));
        progress.set(4, 20);
        assert_eq!((progress.bar.length(), progress.bar.position()), (Some(20), 4));
    }

    #[test]
    fn what_is_shown_can_be_drawn() {
        for template in [STAGE, AMOUNT, PART] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
