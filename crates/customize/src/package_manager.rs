//! The guest's package manager, and what a shell of the guest has to do to have it install, remove and update packages.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, OperatingSystem};
use recipe::SyntaxError;

use crate::carry_out::Work;
use crate::error::Error;
use crate::package_changes::Installed;
use crate::report::Report;
use crate::runner::Program;
use crate::verb::{known, utf8};

/// Where programs are in guests.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
/// The longest name of a package, in bytes.
const NAME_LIMIT_BYTES: usize = 255;

/// A package manager, as text for a shell.
pub(crate) struct PackageManager {
    /// The program that a guest with it has.
    program: &'static str,
    /// The distributions that use it, by the words of `ID` and `ID_LIKE` in os-release.
    distributions: &'static [&'static str],
    /// What comes before everything else.
    prepare: &'static str,
    /// Has it read the lists of packages, where it does not do so by itself.
    refresh: Option<&'static str>,
    /// Installs the packages whose names follow.
    install: &'static str,
    /// Removes the packages whose names follow.
    uninstall: &'static str,
    /// Updates all packages.
    update: &'static str,
    /// The options of `install` that leave recommended packages out, and that have them.
    recommends: Option<[&'static str; 2]>,
    /// What comes after everything else: it takes away what would differ each time.
    finish: &'static str,
    /// What comes before, and after everything else, to have what was downloaded removed.
    clean: [&'static str; 2],
    /// Takes the packages from the state of the archive that `$snapshot` says.
    snapshot: Option<&'static str>,
    /// The statuses that say that all went well, besides 0.
    fine: &'static [u8],
    /// Installs the packages whose names follow when the guest first boots, where that is another text.
    first_boot: &'static str,
}

/// The known package managers. Of those that a guest has, the first that its distribution uses is taken, or else the
/// first.
const MANAGERS: [PackageManager; 7] = [
    PackageManager {
        program: "apt-get",
        distributions: &["debian", "ubuntu"],
        prepare: include_str!("package_manager/apt"),
        refresh: Some("apt-get \"$@\" update"),
        install: "apt-get \"$@\" install",
        uninstall: "apt-get \"$@\" remove",
        update: "apt-get \"$@\" upgrade",
        recommends: Some(["--no-install-recommends", "--install-recommends"]),
        finish: include_str!("package_manager/apt-finish"),
        clean: [
            "old_lists=$(find /var/lib/apt/lists -type f -name '*Packages*' 2>/dev/null | head -n 1)\n",
            include_str!("package_manager/apt-clean"),
        ],
        snapshot: Some(include_str!("package_manager/apt-snapshot")),
        fine: &[],
        first_boot: "export DEBIAN_FRONTEND=noninteractive\n\
                     apt-get -q -y -o DPkg::Lock::Timeout=600 update\n\
                     exec apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold install",
    },
    PackageManager { program: "dnf", update: "dnf -y upgrade", ..rpm(["dnf -y install", "dnf -y remove"]) },
    PackageManager {
        program: "microdnf",
        update: "microdnf -y upgrade",
        clean: ["", "microdnf clean all\n"],
        first_boot: "exec microdnf -y install",
        ..rpm(["microdnf -y install", "microdnf -y remove"])
    },
    PackageManager {
        program: "yum",
        update: "yum -y update",
        recommends: None,
        clean: ["", "yum clean all\n"],
        first_boot: "exec yum -y install",
        ..rpm(["yum -y install", "yum -y remove"])
    },
    PackageManager {
        program: "zypper",
        distributions: &["suse", "opensuse", "sles"],
        prepare: "",
        refresh: None,
        install: "zypper --non-interactive install --auto-agree-with-licenses",
        uninstall: "zypper --non-interactive remove",
        update: "zypper --non-interactive update --auto-agree-with-licenses",
        recommends: Some(["--no-recommends", "--recommends"]),
        finish: "",
        clean: ["", "zypper --non-interactive clean --all\n"],
        snapshot: None,
        // The system should be started anew, and zypper itself.
        fine: &[102, 103],
        first_boot: "exec zypper --non-interactive install --auto-agree-with-licenses",
    },
    PackageManager {
        program: "apk",
        distributions: &["alpine"],
        prepare: "",
        refresh: Some("apk update"),
        install: "apk add",
        uninstall: "apk del",
        update: "apk upgrade",
        recommends: None,
        finish: "",
        clean: ["", "rm -rf /var/cache/apk/*\n"],
        snapshot: None,
        fine: &[],
        first_boot: "apk update\nexec apk add",
    },
    PackageManager {
        program: "pacman",
        distributions: &["arch"],
        prepare: "",
        refresh: None,
        // Arch knows no state in which some packages are of today and others are not.
        install: "pacman -Syu --noconfirm --needed",
        uninstall: "pacman -R --noconfirm",
        update: "pacman -Syu --noconfirm",
        recommends: None,
        finish: "",
        clean: ["", "rm -rf /var/cache/pacman/pkg/*\n"],
        snapshot: None,
        fine: &[],
        first_boot: "exec pacman -Sy --noconfirm --needed",
    },
];

/// What dnf and its like have in common.
const fn rpm([install, uninstall]: [&'static str; 2]) -> PackageManager {
    PackageManager {
        program: "dnf",
        distributions: &["fedora", "rhel", "centos"],
        prepare: "",
        refresh: None,
        install,
        uninstall,
        update: "",
        recommends: Some(["--setopt=install_weak_deps=False", "--setopt=install_weak_deps=True"]),
        finish: "",
        clean: ["", "dnf clean all\n"],
        snapshot: None,
        fine: &[],
        first_boot: "exec dnf -y install",
    }
}

/// What a package manager is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) action: Action,
    pub(crate) packages: &'a [String],
    /// The moment of the archive: `20261101T000000Z`.
    pub(crate) snapshot: Option<&'a str>,
    pub(crate) recommends: Option<bool>,
    /// Whether what was downloaded is removed afterwards.
    pub(crate) clean: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Uninstall,
    Update,
}

impl<'a> Request<'a> {
    pub(crate) fn new(action: Action, packages: &'a [String]) -> Self {
        Self { action, packages, snapshot: None, recommends: None, clean: false }
    }
}

impl PackageManager {
    /// What a shell of the guest has to do.
    fn script(&self, request: &Request<'_>) -> Result<String, Error> {
        let mut script = format!("set -eu\n{}", self.prepare);
        let program = self.program;
        if let Some(moment) = request.snapshot {
            let Some(text) = self.snapshot else {
                let problem = format!("imgraft knows no snapshots of the archive that the guest's {program} uses");
                return Err(Error::refused(problem).hint("leave out `snapshot`"));
            };
            let _ = write!(script, "snapshot={}\n{text}", quoted(moment));
        }
        let is_downloading = request.action != Action::Uninstall;
        let [before, after] = if request.clean && is_downloading { self.clean } else { ["", ""] };
        script.push_str(before);
        if let Some(refresh) = self.refresh.filter(|_| is_downloading) {
            let _ = writeln!(script, "{refresh}");
        }
        let mut command = match request.action {
            Action::Install => self.install,
            Action::Uninstall => self.uninstall,
            Action::Update => self.update,
        }
        .to_owned();
        if let Some(is_wanted) = request.recommends {
            let Some([without, with]) = self.recommends else {
                let problem = format!("the guest's {program} knows no recommended packages");
                return Err(Error::refused(problem).hint("leave out `recommends`"));
            };
            let _ = write!(command, " {}", if is_wanted { with } else { without });
        }
        for package in request.packages {
            let _ = write!(command, " {}", quoted(package));
        }
        if self.fine.is_empty() {
            let _ = writeln!(script, "{command}");
        } else {
            let fine: Vec<String> = self.fine.iter().map(u8::to_string).collect();
            let _ = write!(
                script,
                "status=0\n{command} || status=$?\ncase $status in\n0 | {}) ;;\n*) exit \"$status\" ;;\nesac\n",
                fine.join(" | ")
            );
        }
        script.push_str(self.finish);
        script.push_str(after);
        Ok(script)
    }

    fn is_of(&self, os: &OperatingSystem) -> bool {
        let words = std::iter::once(&os.id).chain(&os.like);
        // `opensuse-leap` is an openSUSE.
        words.into_iter().any(|word| {
            let family = word.split('-').next().unwrap_or_default();
            self.distributions.contains(&word.as_str()) || self.distributions.contains(&family)
        })
    }
}

impl Work<'_> {
    /// Has the guest's package manager do what `request` says, as the step `name`.
    pub(crate) fn manage_packages(
        &mut self,
        verb: &'static str,
        name: String,
        request: &Request<'_>,
    ) -> Result<Report, Error> {
        let script = self.package_manager()?.script(request)?;
        let before = Installed::of(self.guest)?;
        let outcome = self.run(name.clone(), Program::Shell(script))?;
        let changes = before.changes(Installed::of(self.guest)?);
        let what = match &changes {
            Some(changes) => changes.text(),
            None => format!("{name}: what changed is unknown, as imgraft cannot read the guest's list of packages"),
        };
        Ok(Report::executed(verb, &what, outcome, changes))
    }

    /// The commands that install the packages whose names follow at the first boot.
    pub(crate) fn first_boot_installer(&self) -> Result<&'static str, Error> {
        Ok(self.package_manager()?.first_boot)
    }

    /// The guest's package manager.
    fn package_manager(&self) -> Result<&'static PackageManager, Error> {
        let os = self.guest.operating_system().ok();
        let is_of = |manager: &&PackageManager| os.as_ref().is_some_and(|os| manager.is_of(os));
        let (own, others): (Vec<_>, Vec<_>) = MANAGERS.iter().partition(is_of);
        for manager in own.into_iter().chain(others) {
            if self.has_program(manager.program)? {
                return Ok(manager);
            }
        }
        let known = words::list(MANAGERS.iter().map(|manager| manager.program), "and");
        Err(Error::refused(format!("the guest has none of the package managers that imgraft knows: {known}")))
    }

    fn has_program(&self, name: &str) -> Result<bool, Error> {
        for folder in FOLDERS {
            match self.guest.find(&known(&format!("{folder}/{name}")), LastLink::Follow) {
                Ok(found) if found.node.kind() == FileKind::Regular => return Ok(true),
                Ok(_) => {}
                Err(error) if error.is_absence() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

/// `text` as one word of a shell's command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Reads `PACKAGE[,PACKAGE]`.
pub(crate) fn parse_names(text: &OsStr) -> Result<Vec<String>, SyntaxError> {
    let names = utf8(text.as_bytes())?.split([',', ' ']).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    check_names(&names)?;
    Ok(names)
}

/// Refuses an empty list, and names that no package has or that a package manager would not read as a name.
pub(crate) fn check_names(names: &[String]) -> Result<(), SyntaxError> {
    let is_name = |name: &&String| {
        name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'@')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:_=~/@^".contains(&byte))
            // `apt-get install nginx-` removes nginx.
            && !name.ends_with('-')
            && name.len() <= NAME_LIMIT_BYTES
    };
    match names.iter().find(|name| !is_name(name)) {
        None if names.is_empty() => Err(SyntaxError::form("PACKAGE[,PACKAGE]", "nginx,curl")),
        None => Ok(()),
        Some(name) => Err(SyntaxError::invalid(
            name,
            "a valid package name",
            "use letters, digits and `+-.:_=~/@^`, a letter or digit first and no `-` at the end",
        )),
    }
}

#[cfg(test)]
mod tests;
