//! `imgraft cache verify`.

use catalogue::cache::Verdict;
use recipe::ByteSize;
use serde::Serialize;

use super::short;
use crate::cli::cache::Verify;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::network::cache_failure;
use crate::show::Progress;
use crate::show::{Messages, count, print, print_json};

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    folder: String,
    right: u64,
    /// How many bytes were read.
    size_bytes: u64,
    damaged: Vec<Damaged>,
    not_looked_at: Vec<NotLookedAt>,
}

/// A file that is not what its name says.
#[derive(Debug, Serialize)]
struct Damaged {
    digest: String,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    path: String,
    removed: bool,
}

/// A file that could not be read.
#[derive(Debug, Serialize)]
struct NotLookedAt {
    digest: String,
    path: String,
    problem: String,
}

pub(super) fn run(arguments: &Verify, messages: &Messages) -> Result<Exit, Failure> {
    let look = || -> Result<Report, Failure> {
        let cache = arguments.cache.open()?;
        let listing = cache.list().map_err(|error| cache_failure(&error))?;
        let mut report = Report { folder: cache.folder().display().to_string(), ..Report::default() };
        let total_bytes = listing.entries.iter().map(|entry| entry.size_bytes).sum();
        let progress = Progress::new(messages, "reading");
        for entry in &listing.entries {
            progress.set(report.size_bytes, total_bytes);
            let (digest, path) = (entry.digest.to_string(), entry.path.display().to_string());
            match cache.check(&entry.digest, arguments.remove) {
                Ok(Verdict::Right) => report.right += 1,
                Ok(Verdict::Damaged { found }) => {
                    let (found, name) = (found.to_string(), entry.name.clone());
                    report.damaged.push(Damaged { digest, found, name, path, removed: arguments.remove });
                }
                Ok(_) => continue,
                Err(error) => {
                    let problem = cache_failure(&error).in_one_line();
                    report.not_looked_at.push(NotLookedAt { digest, path, problem });
                }
            }
            report.size_bytes += entry.size_bytes;
        }
        Ok(report)
    };
    let report = look()?;
    report.tell(arguments.json, messages)?;
    Ok(match report {
        Report { not_looked_at, .. } if !not_looked_at.is_empty() => Exit::Trouble,
        Report { damaged, .. } if !damaged.is_empty() && !arguments.remove => Exit::No,
        _ => Exit::Done,
    })
}

impl Report {
    fn tell(&self, json: bool, messages: &Messages) -> Result<(), Failure> {
        if json {
            return print_json(self);
        }
        for Damaged { found, name, path, removed, .. } in &self.damaged {
            let name = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            let found = found.parse().map(|digest| short(&digest)).unwrap_or_default();
            let removed = if *removed { ", and removed" } else { "" };
            print(&format!("{path}{name}: damaged, it is {found} by now{removed}\n"))?;
        }
        for NotLookedAt { problem, .. } in &self.not_looked_at {
            messages.failure(&Failure::new(problem.clone()));
        }
        let damaged = self.damaged.len() as u64;
        let verdicts =
            [count(self.right, "file is right", "files are right"), count(damaged, "is damaged", "are damaged")];
        let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
        messages.note(match verdicts.is_empty() {
            true => format!("nothing is in `{}`", self.folder),
            false => format!("{}, {} were read", verdicts.join(" and "), ByteSize(self.size_bytes)),
        });
        if damaged > 0 && self.damaged.iter().all(|file| !file.removed) {
            messages.note("`--remove` removes what is damaged; it is fetched again when it is needed");
        }
        Ok(())
    }
}
