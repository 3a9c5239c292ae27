//! What this machine can do: which runner works, and what it is made of, each with its remedy.

use std::error::Error as _;
use std::fs;

use rustix::process::geteuid;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use crate::error::{APPARMOR_REMEDIES, no_fuse_remedy};
use crate::group::Group;
use crate::ids::{IdFile, lent, missing_line, user_name};
use crate::program::INSTALL_EMULATORS;
use crate::{Emulator, Error, Ids, Limits, Root, Spec, start};

const APPARMOR_SWITCH: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub subject: &'static str,
    /// Whether it is as it should be.
    pub works: bool,
    /// What was found, in a line.
    pub found: String,
    /// What to do about it, each a way of its own; empty if it works or nothing helps.
    pub remedies: Vec<String>,
}

impl Check {
    /// Something that is as it should be.
    pub fn good(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, works: true, found: found.into(), remedies: Vec::new() }
    }

    /// Something that is not, and one remedy.
    pub fn bad(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, works: false, found: found.into(), remedies: vec![remedy.into()] }
    }
}

/// What this machine can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// Commands in namespaces, by FUSE: tried for real.
    pub namespaces: Check,
    /// Commands by chroot, in a folder.
    pub unpack: Check,
    /// What the two are made of.
    pub parts: Vec<Check>,
}

/// Looks at this machine. A sandbox is made and thrown away, so the program has to have called
/// [`enter_if_asked`](crate::enter_if_asked).
pub fn survey() -> Survey {
    let mut parts = vec![ids(), fuse()];
    parts.extend(apparmor());
    parts.extend([limits(), emulators()]);
    Survey { namespaces: namespaces(), unpack: unpack(), parts }
}

/// Whether AppArmor takes the rights from user namespaces of programs without a profile.
pub(crate) fn is_restricted_by_apparmor() -> bool {
    fs::read_to_string(APPARMOR_SWITCH).is_ok_and(|value| value.trim() == "1")
}

fn namespaces() -> Check {
    const SUBJECT: &str = "runner namespaces";
    let spec = Spec::new(Root::Fuse { mount_points: vec!["/".into()] }, ["true"]);
    // When the descriptor of a mounted file system arrives, everything that a machine can deny was done.
    let tried = start(&spec, &mut |_, _| Err(std::io::ErrorKind::Interrupted.into()));
    match tried {
        Ok(_) | Err(Error::Serve(_)) => {
            Check::good(SUBJECT, "a sandbox with its own ids and a mounted FUSE file system was made")
        }
        Err(error) => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            Check { subject: SUBJECT, works: false, found: format!("{error}{cause}"), remedies: error.remedies() }
        }
    }
}

fn unpack() -> Check {
    const SUBJECT: &str = "runner unpack";
    let needed = CapabilitySet::SYS_CHROOT | CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE;
    let has = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    if geteuid().is_root() && has.contains(needed) {
        return Check::good(SUBJECT, "root may change owners and enter a folder by chroot");
    }
    Check::bad(SUBJECT, format!("{} may not enter a folder by chroot", user_name()), "run imgraft as root")
}

fn ids() -> Check {
    const SUBJECT: &str = "subordinate ids";
    let found = [IdFile::Users, IdFile::Groups].map(|file| (file, lent(file)));
    let user = user_name();
    match found {
        [(_, Some(users)), (_, Some(groups))] => {
            Check::good(SUBJECT, format!("{user} has {} from {users} (groups from {groups})", Ids::COUNT))
        }
        _ if geteuid().is_root() => Check::good(SUBJECT, format!("root lends {} from {}", Ids::COUNT, Ids::LENT)),
        lacking => {
            let lines = lacking.iter().filter(|(_, first)| first.is_none());
            let remedies = lines.map(|&(file, _)| Error::remedy_for_ids(file, &missing_line(file, &user)));
            let found = format!("{user} has none");
            Check { subject: SUBJECT, works: false, found, remedies: remedies.collect() }
        }
    }
}

fn fuse() -> Check {
    const SUBJECT: &str = "/dev/fuse";
    match fs::OpenOptions::new().read(true).write(true).open(SUBJECT) {
        Ok(_) => Check::good(SUBJECT, "it can be opened"),
        Err(error) => Check::bad(SUBJECT, error.to_string(), no_fuse_remedy(&error)),
    }
}

/// Nothing on machines without this switch.
fn apparmor() -> Option<Check> {
    const SUBJECT: &str = "AppArmor";
    let is_on = is_restricted_by_apparmor();
    if !is_on {
        return fs::exists(APPARMOR_SWITCH)
            .is_ok_and(|is_there| is_there)
            .then(|| Check::good(SUBJECT, "it does not restrict user namespaces"));
    }
    let found = "it restricts user namespaces to programs with a profile";
    if geteuid().is_root() {
        return Some(Check::good(SUBJECT, format!("{found}, and root has none to ask for")));
    }
    // A profile may allow them: the trial of a sandbox has the answer.
    let remedies = APPARMOR_REMEDIES.map(str::to_owned).to_vec();
    Some(Check { subject: SUBJECT, works: false, found: found.to_owned(), remedies })
}

fn limits() -> Check {
    const SUBJECT: &str = "limits of memory";
    let limits = Limits { memory_bytes: Some(1 << 30), processes: Some(1000), time: None };
    match Group::make(limits) {
        Some(_) => Check::good(SUBJECT, "a cgroup holds them"),
        None => Check::good(SUBJECT, "no cgroup can be made: processes are counted ten times a second"),
    }
}

fn emulators() -> Check {
    const SUBJECT: &str = "guests of other processors";
    let (fixed, loose): (Vec<_>, Vec<_>) = Emulator::all()
        .into_iter()
        .filter(|emulator| emulator.name.starts_with("qemu-"))
        .partition(|emulator| emulator.is_fixed);
    let names =
        |all: &[Emulator]| all.iter().map(|each| each.name.trim_start_matches("qemu-")).collect::<Vec<_>>().join(", ");
    match (fixed.is_empty(), loose.is_empty()) {
        (false, _) => Check::good(SUBJECT, format!("emulated: {}", names(&fixed))),
        (true, false) => {
            let found = format!("the emulators of {} are registered without the flag F", names(&loose));
            Check::bad(SUBJECT, found, INSTALL_EMULATORS)
        }
        (true, true) => Check::bad(SUBJECT, "no emulator is registered", INSTALL_EMULATORS),
    }
}
