//! How far something is, on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::message::Messages;

/// A bar on standard error, or nothing where that is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for something that is called `what`.
    pub(crate) fn new(messages: &Messages, what: &'static str) -> Self {
        if !messages.shows_progress() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(15));
        let template = "{msg:>8} {bar:32} {binary_bytes:>10} of {binary_total_bytes:10}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// `done` of `total` bytes are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        if self.bar.is_hidden() {
            return;
        }
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }
}

/// That something goes on whose length nobody knows: what it is, and for how long. Nothing where standard error is no
/// terminal.
pub(crate) struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    pub(crate) fn new(messages: &Messages, what: impl Into<String>) -> Self {
        if !messages.shows_progress() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.into());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// It is `what` that goes on now.
    pub(crate) fn set(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
        self.bar.reset_elapsed();
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
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
