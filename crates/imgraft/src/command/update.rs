//! `imgraft update`: the newest build of a recipe's base, into the lock.

use std::path::Path;

use catalogue::Base;
use serde::Serialize;

use super::build::{published, read_recipe};
use super::fetch::Trust;
use crate::bases::{Bases, LockFile};
use crate::cli::update::Update;
use crate::failure::Failure;
use crate::show::{Messages, print, print_json};

/// What changed.
#[derive(Debug, Serialize)]
struct Report {
    lock: String,
    changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Locked>,
    to: Locked,
}

/// A base as the lock has it.
#[derive(Debug, Serialize)]
struct Locked {
    name: String,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    address: String,
    digest: String,
    #[serde(flatten)]
    verified: Trust,
}

pub(super) fn run(arguments: &Update, messages: &Messages) -> Result<(), Failure> {
    let path = &arguments.recipe;
    let recipe = read_recipe(path, true)?;
    let Some(recipe::Base::Published { name, architecture, variant }) = &recipe.base else {
        return Err(Failure::new(format!("the recipe `{}` begins with no base that goes by a name", path.display()))
            .hint("`base.name` is what a lock is for"));
    };
    let name = published(name, variant.as_deref())?;
    let bases = Bases::new(&arguments.source, messages)?;
    let architecture = bases.architecture(architecture.as_deref());
    let mut lock = LockFile::open(path.parent().unwrap_or(Path::new("")))?;
    let base = bases.find(&name, &architecture)?;
    let old = lock.get(&name, &architecture).cloned();
    let changed = old.as_ref() != Some(&base);
    if changed && !arguments.dry_run {
        lock.put(base.clone())?;
    }
    bases.tell(&base);
    let report = Report {
        lock: lock.path.display().to_string(),
        changed,
        dry_run: arguments.dry_run,
        from: old.as_ref().map(Locked::of),
        to: Locked::of(&base),
    };
    if arguments.json { print_json(&report) } else { print(&report.text()) }
}

impl Locked {
    fn of(base: &Base) -> Self {
        Self {
            name: base.name.clone(),
            architecture: base.architecture.clone(),
            serial: base.serial.clone(),
            address: base.address.clone(),
            digest: base.digest.to_string(),
            verified: Trust::of(&base.verified),
        }
    }
}

impl Report {
    /// What changed, a line each.
    fn text(&self) -> String {
        let Self { lock, changed, dry_run, from, to } = self;
        let title = format!("{} ({})", to.name, to.architecture);
        let serial = |locked: &Locked| locked.serial.clone().unwrap_or_else(|| "unknown".to_owned());
        let mut lines = match from {
            Some(_) if !changed => vec![format!("{title}: {lock} has the newest build, {}", serial(to))],
            Some(from) => {
                let mut lines = vec![title];
                for (what, from, to) in [
                    ("build", &serial(from), &serial(to)),
                    ("digest", &from.digest, &to.digest),
                    ("address", &from.address, &to.address),
                ] {
                    if from != to {
                        lines.push(format!("  {what:8} {from}\n        -> {to}"));
                    }
                }
                lines
            }
            None => vec![title, format!("  build    {}", serial(to)), format!("  digest   {}", to.digest)],
        };
        match (changed, dry_run) {
            (true, true) => lines.push(format!("this was a dry run: {lock} is as it was")),
            (true, false) => lines.push(format!("wrote {lock}")),
            (false, _) => {}
        }
        lines.join("\n") + "\n"
    }
}
