//! `clean`: removes the traces of one machine. A flag and a key of a recipe ask for it as the last thing that is done,
//! wherever they stand; no step says it.

use audit::hygiene::{self, Mend, Trace};
use guest::PathProblem;
use guest::resolve::LastLink;

use super::{Apply, Verb};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// Mends all that [`hygiene::look`] finds and can be mended without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clean;

impl Clean {
    pub(super) const VERBS: &'static [Verb] = &[];
}

/// What was done.
#[derive(Default)]
struct Cleaned {
    removed: u64,
    emptied: u64,
    restricted: u64,
    paths: Vec<String>,
}

impl Apply for Clean {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let mut cleaned = Cleaned::default();
        // One look may not find all. Each but the last mends something, and what is mended is not found again.
        loop {
            let (traces, before) = (hygiene::look(work.guest), cleaned.paths.len());
            for trace in &traces {
                work.mend(trace, &mut cleaned)?;
            }
            if traces.len() < hygiene::MAX_TRACES || cleaned.paths.len() == before {
                break;
            }
        }
        let Cleaned { removed, emptied, restricted, paths } = cleaned;
        let done = [
            words::count(removed, "path", "paths").map(|paths| format!("removed {paths}")),
            words::count(emptied, "file", "files").map(|files| format!("emptied {files}")),
            words::count(restricted, "program", "programs").map(|programs| format!("gave {programs} back to root")),
        ];
        let done: Vec<String> = done.into_iter().flatten().collect();
        let text = match done.is_empty() {
            true => "cleaned: there was nothing to do".to_owned(),
            false => format!("cleaned: {}", words::list(done, "and")),
        };
        Ok(Report::new("clean", text, paths, Vec::new()))
    }
}

impl Work<'_> {
    /// Mends what a trace is about, if that can be done without asking.
    fn mend(&mut self, trace: &Trace, cleaned: &mut Cleaned) -> Result<(), Error> {
        let path = trace.path();
        let Some(mend) = trace.mend() else { return Ok(()) };
        // What was found twice may be gone, with a directory that it was in.
        let Ok(found) = self.guest.find(path, LastLink::Keep) else { return Ok(()) };
        match mend {
            Mend::Remove | Mend::Scrub => {
                if mend == Mend::Scrub && self.is_only_name(&found)? {
                    self.overwrite(&found)?;
                }
                match self.guest.remove_tree(path) {
                    Err(guest::Error::Path { problem: PathProblem::MountPoint { .. }, .. }) => return Ok(()),
                    result => result?,
                }
                cleaned.removed += 1;
            }
            Mend::Empty => {
                self.set_content(path, b"")?;
                cleaned.emptied += 1;
            }
            Mend::NotForAll => {
                let permissions = self.guest.metadata(&found.node)?.permissions & !0o002;
                self.guest.set_permissions(path, permissions, self.now)?;
                cleaned.restricted += 1;
            }
            Mend::ToRoot => {
                self.set_owner(path, 0, 0)?;
                cleaned.restricted += 1;
            }
        }
        cleaned.paths.push(path.to_string());
        Ok(())
    }
}
