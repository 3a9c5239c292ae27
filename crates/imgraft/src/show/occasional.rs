//! How far something is, where nobody watches: a line now and then, as logs of CI have them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pace::{Lines, duration};

/// After how long the first line comes; each time after that is twice as long.
const FIRST: Duration = Duration::from_secs(10);
/// The longest time without a line.
const LONGEST: Duration = Duration::from_secs(60);

/// Says how far something is until it is dropped.
pub(super) struct Occasional {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    what: String,
    begin: Instant,
    pace: Lines,
    unit: Unit,
    done: u64,
    total: u64,
    is_over: bool,
}

/// What is counted of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    /// What a user has no word for.
    Steps,
}

impl Occasional {
    /// Something that is called `what` begins. Each line goes to `say`.
    pub(super) fn new(what: String, unit: Unit, say: impl Fn(String) + Send + 'static) -> Self {
        Self::with_times(what, unit, [FIRST, LONGEST], say)
    }

    fn with_times(
        what: String,
        unit: Unit,
        [first, longest]: [Duration; 2],
        say: impl Fn(String) + Send + 'static,
    ) -> Self {
        let state = State::new(what, unit);
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        // Without a thread there are no lines.
        let thread = std::thread::Builder::new().name("progress".to_owned());
        let thread = thread.spawn(move || for_thread.tell([first, longest], &say)).ok();
        Self { shared, thread }
    }

    /// It is `what` that goes on now.
    pub(super) fn call(&self, what: String) {
        let mut state = self.shared.state();
        *state = State::new(what, state.unit);
    }

    /// It is still the same, under another name.
    pub(super) fn rename(&self, what: &str) {
        what.clone_into(&mut self.shared.state().what);
    }

    /// `done` of `total` are done.
    pub(super) fn set(&self, done: u64, total: u64) {
        let mut state = self.shared.state();
        (state.done, state.total) = (done, total);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, [first, longest]: [Duration; 2], say: &dyn Fn(String)) {
        let mut interval = first;
        loop {
            let waited = self.changed.wait_timeout_while(self.state(), interval, |state| !state.is_over);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.is_over {
                return;
            }
            let line = state.line(Instant::now());
            // Whoever works goes on while the line is written.
            drop(state);
            say(line);
            interval = (interval * 2).min(longest);
        }
    }
}

impl State {
    fn new(what: String, unit: Unit) -> Self {
        let begin = Instant::now();
        Self { what, begin, pace: Lines::new(0, begin), unit, done: 0, total: 0, is_over: false }
    }

    fn line(&self, now: Instant) -> String {
        let Self { what, begin, pace, done, total, .. } = self;
        let seconds = now.duration_since(*begin).as_secs_f64();
        match (total, self.unit) {
            (0, _) => format!("{what}: {} so far", duration(seconds)),
            (_, Unit::Bytes) => format!("{what}: {}", pace.text(*done, Some(*total), now)),
            (_, Unit::Steps) => {
                let part = *done as f64 / *total as f64;
                let left = if part > 0.0 { duration(seconds / part - seconds) } else { "some time".to_owned() };
                format!("{what}: {} %, {left} left", (part * 100.0) as u64)
            }
        }
    }
}

impl Drop for Occasional {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_line_comes_now_and_then_and_none_afterwards() {
        let (say, said) = channel();
        let times = [Duration::from_millis(5), Duration::from_millis(10)];
        let occasional =
            Occasional::with_times("writing".to_owned(), Unit::Bytes, times, move |line| drop(say.send(line)));
        assert_eq!(said.recv().unwrap(), "writing: 1 s so far");
        occasional.set(50, 100);
        // One may have been on its way.
        let next = said.iter().find(|line| line != "writing: 1 s so far").unwrap();
        assert!(next.starts_with("writing: 50 % of 100 B, "), "{next}");
        occasional.rename("run make");
        assert!(said.iter().any(|line| line.starts_with("run make: 50 %")));
        occasional.call("syncing".to_owned());
        assert!(said.iter().any(|line| line == "syncing: 1 s so far"));
        drop(occasional);
        // Nobody is left who could say something.
        while said.recv().is_ok() {}
    }

    #[test]
    fn nothing_is_said_of_what_is_soon_over() {
        let (say, said) = channel();
        drop(Occasional::new("writing".to_owned(), Unit::Bytes, move |line| drop(say.send(line))));
        assert!(said.recv().is_err());
    }

    #[test]
    fn a_line_has_percent_rate_and_time_left() {
        let state = State::new("writing".to_owned(), Unit::Bytes);
        let begin = state.begin;
        let state = State { pace: Lines::new(0, begin), done: 3 << 20, total: 12 << 20, ..state };
        assert_eq!(state.line(begin + Duration::from_secs(3)), "writing: 25 % of 12.0 MiB, 1.0 MiB/s, 9 s left");
        let state = State { unit: Unit::Steps, ..state };
        assert_eq!(state.line(begin + Duration::from_secs(3)), "writing: 25 %, 9 s left");
        assert_eq!(State { total: 0, ..state }.line(begin + Duration::from_secs(150)), "writing: 3 min so far");
    }
}
