//! How far a download is: a bar on a terminal, a line now and then elsewhere.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use catalogue::transport::{Event, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use recipe::ByteSize;

use graft::in_one_line;

use super::Messages;
use super::pace::Lines;

/// Tells a user of one download.
pub(crate) struct DownloadProgress<'a> {
    messages: &'a Messages,
    name: String,
    state: RefCell<State>,
}

/// How far it is.
struct State {
    bar: Option<ProgressBar>,
    total_bytes: Option<u64>,
    lines: Lines,
    /// Whether it was told that another process is waited for.
    waits: bool,
}

impl<'a> DownloadProgress<'a> {
    /// For a download that is called `name`.
    pub(crate) fn new(messages: &'a Messages, name: impl Into<String>) -> Self {
        let bar = messages.shows_progress().then(new_bar);
        let state = State { bar, total_bytes: None, lines: Lines::new(0, Instant::now()), waits: false };
        Self { messages, name: name.into(), state: RefCell::new(state) }
    }

    fn note(&self, state: &State, text: String) {
        // A line beside a bar would be painted over.
        match &state.bar {
            Some(bar) => bar.suspend(|| self.messages.note(text)),
            None => self.messages.note(text),
        }
    }

    fn started(&self, state: &mut State, url: &str, have_bytes: u64, total_bytes: Option<u64>) {
        let size = total_bytes.map(|bytes| format!(" ({})", ByteSize(bytes))).unwrap_or_default();
        let rest = if have_bytes > 0 { format!(", from {} on", ByteSize(have_bytes)) } else { String::new() };
        self.note(state, format!("fetching {}{size} from {url}{rest}", self.name));
        state.total_bytes = total_bytes;
        state.lines = Lines::new(have_bytes, Instant::now());
        if let Some(bar) = &state.bar {
            bar.set_length(total_bytes.unwrap_or(0));
            bar.set_position(have_bytes);
            bar.set_message("");
        }
    }

    fn received(&self, state: &mut State, have_bytes: u64) {
        if let Some(bar) = &state.bar {
            bar.set_position(have_bytes);
            // The bar's own rate would count what was there before.
            bar.set_message(state.lines.pace(have_bytes, state.total_bytes, Instant::now()));
        } else if let Some(line) = state.lines.line(have_bytes, state.total_bytes, Instant::now()) {
            self.messages.note(format_args!("{}: {line}", self.name));
        }
    }

    fn waiting(&self, state: &mut State, have_bytes: u64, total_bytes: Option<u64>) {
        if !state.waits {
            state.waits = true;
            self.note(state, format!("waiting for another process that fetches {}", self.name));
            state.lines = Lines::new(have_bytes, Instant::now());
        }
        if let Some(bar) = &state.bar {
            bar.set_length(total_bytes.unwrap_or(0));
        }
        state.total_bytes = total_bytes;
        self.received(state, have_bytes);
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    let template = "{bar:32} {binary_bytes:>10} of {binary_total_bytes:10}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

impl Progress for DownloadProgress<'_> {
    fn event(&self, event: Event<'_>) {
        let mut state = self.state.borrow_mut();
        match event {
            Event::Waiting { have_bytes, total_bytes } => self.waiting(&mut state, have_bytes, total_bytes),
            Event::Rehashing { have_bytes } => {
                self.messages.detail(format_args!("reading the {} that are here already", ByteSize(have_bytes)));
            }
            Event::Started { url, have_bytes, total_bytes } => self.started(&mut state, url, have_bytes, total_bytes),
            Event::Received { have_bytes } => self.received(&mut state, have_bytes),
            Event::Retrying { cause, after, .. } => {
                let seconds = after.as_secs_f64();
                let when = if after.is_zero() { "now".to_owned() } else { format!("in {seconds:.1} s") };
                self.note(&state, format!("trying again {when}: {}", in_one_line(cause)));
            }
            Event::NextMirror { cause, .. } => {
                self.note(&state, format!("trying the next mirror: {}", in_one_line(cause)));
            }
            Event::Cached { size_bytes } => {
                self.messages.detail(format_args!("{} is in the cache ({})", self.name, ByteSize(size_bytes)));
            }
            _ => {}
        }
    }
}

impl Drop for DownloadProgress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.state.get_mut().bar {
            bar.finish_and_clear();
        }
    }
}
