//! `imgraft doctor`: what this machine can do, and the remedy for each thing that it cannot.

use sandbox::{Check, Survey};
use serde::Serialize;
use vm::{Accelerator, Architecture, Host, Uefi};

use crate::cli::doctor::Doctor;
use crate::environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{print, print_json};

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// The runner that commands would have.
    runner: Option<&'static str>,
    checks: Vec<Check>,
}

pub(super) fn run(arguments: &Doctor) -> Result<Exit, Failure> {
    let Survey { namespaces, unpack, parts, .. } = sandbox::survey();
    let runner = match (namespaces.works, unpack.works) {
        (true, _) => Some("namespaces"),
        (false, true) => Some("unpack"),
        (false, false) => None,
    };
    let mut checks = vec![namespaces, unpack];
    checks.extend(parts);
    checks.extend(machines());
    checks.push(login());
    let report = Report { runner, checks };
    if arguments.json {
        print_json(&report)?
    } else {
        print(&report.text())?
    }
    Ok(Exit::of_answer(runner.is_some()))
}

/// What boots guests.
fn machines() -> Vec<Check> {
    let host = Host::look();
    let mut checks = Vec::new();
    if let Some(architecture) = host.architecture {
        let choice = Accelerator::choose(architecture, &host);
        checks.push(Check {
            subject: "accelerator",
            works: choice.accelerator != Accelerator::Tcg,
            found: format!("{} ({})", choice.accelerator, choice.reason),
            remedies: choice.hint.into_iter().collect(),
        });
    }
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let program = architecture.program();
        checks.push(match installed(program) {
            Some(path) => Check::good(program, path),
            None => Check::bad(program, "it is not installed", install(architecture.package())),
        });
        let subject = match architecture {
            Architecture::X86_64 => "UEFI firmware for x86_64",
            Architecture::Aarch64 => "UEFI firmware for aarch64",
        };
        checks.push(match Uefi::find(architecture, false, environment::config_home().as_deref()) {
            Some(uefi) => Check::good(subject, uefi.code.display().to_string()),
            None => Check::bad(subject, "none was found", install(Uefi::package(architecture))),
        });
    }
    checks
}

/// What `test` logs in with.
fn login() -> Check {
    match installed("ssh") {
        Some(path) => Check::good("ssh", path),
        None => Check::bad("ssh", "it is not installed, and `test` needs it for a login", install("openssh-client")),
    }
}

fn installed(program: &str) -> Option<String> {
    let paths = environment::search_path().into_iter().map(|folder| folder.join(program));
    paths.into_iter().find(|path| path.is_file()).map(|path| path.display().to_string())
}

fn install(package: &str) -> String {
    format!("run `sudo apt-get install {package}`")
}

impl Report {
    /// What works, a line each, with the remedies below what does not.
    fn text(&self) -> String {
        let mut lines = vec![match self.runner {
            Some(runner) => format!("commands in guests: yes, by the runner `{runner}`"),
            None => "commands in guests: no".to_owned(),
        }];
        for Check { subject, works, found, remedies, .. } in &self.checks {
            lines.push(format!("  {:4} {subject}: {found}", if *works { "ok" } else { "no" }));
            lines.extend(remedies.iter().map(|remedy| format!("       hint: {remedy}")));
        }
        lines.join("\n") + "\n"
    }
}
