//! How far a download is: a bar on a terminal, a line now and then elsewhere.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use catalogue::transport::{Event, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use recipe::ByteSize;

use graft::in_one_line;

use super::Messages;

/// How long there is no line, at most.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

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

/// When to say a line, and which: at each tenth of the way, and where that takes longer, now and then.
struct Lines {
    start_bytes: u64,
    start: Instant,
    told_tenth: u64,
    told: Instant,
}

impl Lines {
    fn new(have_bytes: u64, now: Instant) -> Self {
        Self { start_bytes: have_bytes, start: now, told_tenth: u64::MAX, told: now }
    }

    fn line(&mut self, have_bytes: u64, total_bytes: Option<u64>, now: Instant) -> Option<String> {
        let total = total_bytes.filter(|total| *total > 0);
        let tenth_of = |bytes: u64| total.map_or(0, |total| (u128::from(bytes) * 10 / u128::from(total)) as u64);
        if self.told_tenth == u64::MAX {
            self.told_tenth = tenth_of(self.start_bytes);
        }
        if tenth_of(have_bytes) == self.told_tenth && now.duration_since(self.told) < LINE_INTERVAL {
            return None;
        }
        self.told_tenth = tenth_of(have_bytes);
        self.told = now;
        let pace = self.pace(have_bytes, total_bytes, now);
        Some(match total {
            None => format!("{}, {pace}", ByteSize(have_bytes)),
            Some(total) => {
                let percent = (u128::from(have_bytes) * 100 / u128::from(total)) as u64;
                format!("{percent} % of {}, {pace}", ByteSize(total))
            }
        })
    }

    /// How fast it comes, and how long that will take.
    fn pace(&self, have_bytes: u64, total_bytes: Option<u64>, now: Instant) -> String {
        let seconds = now.duration_since(self.start).as_secs_f64().max(0.001);
        let rate = have_bytes.saturating_sub(self.start_bytes) as f64 / seconds;
        let left = match total_bytes.map_or(0, |total| total.saturating_sub(have_bytes)) {
            0 => String::new(),
            _ if rate < 1.0 && seconds < 5.0 => String::new(),
            _ if rate < 1.0 => ", no byte comes".to_owned(),
            left => format!(", {} left", duration(left as f64 / rate)),
        };
        format!("{}/s{left}", ByteSize(rate as u64))
    }
}

/// `45 s`, `12 min`, `3 h 05 min`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_line_for_each_tenth_and_now_and_then() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mib = |count: u64| count << 20;
        let mut lines = Lines::new(mib(10), start);
        let mut line = |have: u64, seconds| lines.line(mib(have), Some(mib(100)), at(seconds));
        assert_eq!(line(11, 1), None);
        assert_eq!(line(19, 3), None);
        assert_eq!(line(20, 5).as_deref(), Some("20 % of 100.0 MiB, 2.0 MiB/s, 40 s left"));
        assert_eq!(line(21, 6), None);
        assert_eq!(line(22, 15).as_deref(), Some("22 % of 100.0 MiB, 819.1 KiB/s, 98 s left"));
        assert_eq!(line(22, 16), None);
        // Several tenths at once have one line.
        assert_eq!(line(100, 18).as_deref(), Some("100 % of 100.0 MiB, 5.0 MiB/s"));

        let mut lines = Lines::new(0, start);
        assert_eq!(lines.line(mib(50), None, at(9)), None);
        assert_eq!(lines.line(mib(50), None, at(10)).as_deref(), Some("50.0 MiB, 5.0 MiB/s"));
        let mut lines = Lines::new(0, start);
        assert_eq!(lines.line(0, Some(0), at(11)).as_deref(), Some("0 B, 0 B/s"));
        let mut lines = Lines::new(0, start);
        assert_eq!(lines.line(0, Some(10), at(10)).as_deref(), Some("0 % of 10 B, 0 B/s, no byte comes"));
    }

    #[test]
    fn what_is_left_is_told_in_the_unit_that_fits() {
        for (seconds, text) in
            [(0.2, "1 s"), (119.0, "119 s"), (121.0, "3 min"), (7199.0, "120 min"), (11_100.0, "3 h 05 min")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
