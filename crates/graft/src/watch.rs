//! What is told while a job is done.

use std::fmt;
use std::sync::Arc;

/// Something that happens while a job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something was done that a user wants to know.
    Note(&'a str),
    /// Something that only the curious want to know.
    Detail(&'a str),
    /// Something that may not be what is wanted. A [`Report`](crate::Report) has it, too.
    Warning(&'a str),
    /// A stage begins.
    Begins(Stage),
    /// So much of a stage is done: of bytes, or of what else it counts.
    Progress {
        /// The stage.
        stage: Stage,
        /// How much is done.
        done: u64,
        /// How much there is to do, as far as that is known.
        total: u64,
    },
    /// A stage is over.
    Ends(Stage),
    /// The operation with this index is next; after the last one, all of them are done.
    Operation(usize),
    /// A command in the guest wrote something. It may begin and end anywhere, also in the middle of a character. When
    /// the command begins, it is nothing.
    Output {
        /// The step that runs the command.
        step: &'a str,
        /// What it wrote.
        bytes: &'a [u8],
    },
}

/// A part of a job that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// A compressed image is unpacked.
    Unpack,
    /// A file is read for its digest.
    Read,
    /// A file is sent.
    Send,
    /// Operations are carried out.
    Operations,
    /// What was changed is checked for damage.
    Check,
    /// Each changed block is accounted for.
    Account,
    /// The image is written.
    Write,
    /// The host brings what was written to its disk.
    Sync,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpack => "unpacking",
            Self::Read => "reading",
            Self::Send => "sending",
            Self::Operations => "putting",
            Self::Check => "checking what was changed",
            Self::Account => "accounting for each block",
            Self::Write => "writing",
            Self::Sync => "writing to disk",
        })
    }
}

/// Whoever is told. Calls come from one thread at a time, but not always from the same one.
pub trait Watch: Send + Sync {
    /// `event` happens.
    fn on(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Send + Sync> Watch for F {
    fn on(&self, event: Event<'_>) {
        self(event);
    }
}

/// A handle of whoever is told, or of nobody.
#[derive(Clone, Default)]
pub struct Watcher(Option<Arc<dyn Watch>>);

impl Watcher {
    /// `watch` is told.
    pub fn new(watch: impl Watch + 'static) -> Self {
        Self(Some(Arc::new(watch)))
    }

    /// Nobody is told.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Tells.
    pub fn on(&self, event: Event<'_>) {
        if let Some(watch) = &self.0 {
            watch.on(event);
        }
    }

    pub(crate) fn note(&self, text: impl fmt::Display) {
        self.on(Event::Note(&text.to_string()));
    }

    pub(crate) fn detail(&self, text: impl fmt::Display) {
        self.on(Event::Detail(&text.to_string()));
    }

    pub(crate) fn warning(&self, text: impl fmt::Display) {
        self.on(Event::Warning(&text.to_string()));
    }

    /// `stage` lasts until what is returned is dropped.
    pub fn stage(&self, stage: Stage) -> Lasting<'_> {
        self.on(Event::Begins(stage));
        Lasting { watcher: self, stage }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watcher" } else { "Watcher::silent" })
    }
}

/// A stage that lasts.
#[derive(Debug)]
pub struct Lasting<'a> {
    watcher: &'a Watcher,
    stage: Stage,
}

impl Lasting<'_> {
    /// So much is done.
    pub fn set(&self, done: u64, total: u64) {
        self.watcher.on(Event::Progress { stage: self.stage, done, total });
    }
}

impl Drop for Lasting<'_> {
    fn drop(&mut self) {
        self.watcher.on(Event::Ends(self.stage));
    }
}
