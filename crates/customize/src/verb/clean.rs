//! `clean`: removes the traces of one machine. A flag and a key of a recipe ask for it as the last thing that is done,
//! wherever they stand; no step says it.

use audit::hygiene::{self, Mend};
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

impl Apply for Clean {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let (mut removed, mut emptied, mut restricted) = (0, 0, 0);
        let mut paths = Vec::new();
        for trace in hygiene::look(work.guest) {
            let Some(mend) = trace.mend() else { continue };
            let path = trace.path();
            // What was found twice may be gone, with a directory that it was in.
            let Ok(found) = work.guest.find(path, LastLink::Keep) else { continue };
            match mend {
                Mend::Remove | Mend::Scrub => {
                    if mend == Mend::Scrub && work.is_only_name(&found)? {
                        work.overwrite(&found)?;
                    }
                    match work.guest.remove_tree(path) {
                        Err(guest::Error::Path { problem: PathProblem::MountPoint { .. }, .. }) => continue,
                        result => result?,
                    }
                    removed += 1;
                }
                Mend::Empty => {
                    work.set_content(path, b"")?;
                    emptied += 1;
                }
                Mend::NotForAll => {
                    let permissions = work.guest.metadata(&found.node)?.permissions & !0o002;
                    work.guest.set_permissions(path, permissions, work.now)?;
                    restricted += 1;
                }
                Mend::ToRoot => {
                    work.set_owner(path, 0, 0)?;
                    restricted += 1;
                }
            }
            paths.push(path.to_string());
        }
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
