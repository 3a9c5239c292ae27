//! `first-boot`: has the guest run a script, run a command or install packages when it first boots.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use guest::resolve::LastLink;
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, known, utf8};
use crate::carry_out::{EDIT_LIMIT_BYTES, Work};
use crate::error::Error;
use crate::package_manager::{check_names, parse_names};
use crate::report::Report;
use crate::source::read_small;

/// The folder of the scripts. Their names begin with their number.
const SCRIPTS: &str = "/usr/lib/imgraft/first-boot";
/// The program that runs the scripts.
const RUNNER: &str = "/usr/lib/imgraft/run-first-boot";
/// The unit that runs the program.
const UNIT: &str = "/etc/systemd/system/imgraft-first-boot.service";
/// The link that enables the unit.
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/imgraft-first-boot.service";
/// The preset that keeps the unit enabled in guests that apply presets at their first boot.
const PRESET: &str = "/etc/systemd/system-preset/00-imgraft.preset";
/// The setting that makes the unit wait for a network.
const NETWORK: &str = "/etc/systemd/system/imgraft-first-boot.service.d/network.conf";

const RUNNER_TEXT: &str = include_str!("first_boot/run-first-boot");
const UNIT_TEXT: &str = include_str!("first_boot/imgraft-first-boot.service");
const PRESET_TEXT: &str = "enable imgraft-first-boot.service\n";
const NETWORK_TEXT: &str = include_str!("first_boot/network.conf");

/// Has the guest do something once, when it first boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstBoot {
    /// Run a script, which is a file of the host.
    Script(PathBuf),
    /// Run a shell command.
    Command(String),
    /// Install packages, which needs a network.
    Packages(Vec<String>),
}

impl FirstBoot {
    pub(super) const VERBS: &'static [Verb] = &[
        Verb {
            flags: &[Flag {
                name: "first-boot",
                value: Some("FILE"),
                help: "Have the guest run a script when it first boots",
                parse: |text, _| FirstBoot::parse_script(text).map(Into::into),
            }],
            step: StepForm {
                name: "first-boot",
                value: "INPUT",
                keys: &[],
                read: |step| Some(FirstBoot::Script(step.input("first-boot")?).into()),
            },
        },
        Verb {
            flags: &[Flag {
                name: "first-boot-command",
                value: Some("COMMAND"),
                help: "Have the guest run a command when it first boots",
                parse: |text, _| FirstBoot::parse_command(text).map(Into::into),
            }],
            step: StepForm {
                name: "first-boot-command",
                value: "COMMAND",
                keys: &[],
                read: |step| step.said(FirstBoot::parse_command).map(Into::into),
            },
        },
        Verb {
            flags: &[Flag {
                name: "first-boot-install",
                value: Some("PACKAGE[,PACKAGE]"),
                help: "Have the guest install packages when it first boots, with a network",
                parse: |text, _| FirstBoot::parse_packages(text).map(Into::into),
            }],
            step: StepForm {
                name: "first-boot-install",
                value: "[PACKAGE, …]",
                keys: &[],
                read: |step| {
                    let names = step.table.strings("first-boot-install");
                    let packages = FirstBoot::Packages(names.into_iter().map(str::to_owned).collect());
                    step.table.checked("first-boot-install", packages.check())?;
                    Some(packages.into())
                },
            },
        },
    ];

    /// Reads `FILE`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the text is empty.
    pub fn parse_script(text: &OsStr) -> Result<Self, SyntaxError> {
        match text.is_empty() {
            true => Err(SyntaxError::form("FILE", "setup.sh")),
            false => Ok(Self::Script(PathBuf::from(text))),
        }
    }

    /// Reads `COMMAND`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the text is empty or not UTF-8.
    pub fn parse_command(text: &OsStr) -> Result<Self, SyntaxError> {
        let command = Self::Command(utf8(text.as_bytes())?.to_owned());
        command.check()?;
        Ok(command)
    }

    /// Reads `PACKAGE[,PACKAGE]`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if a name is not one that a package can have.
    pub fn parse_packages(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self::Packages(parse_names(text)?))
    }

    /// Refuses a command that cannot be run, and names that no package has.
    pub(crate) fn check(&self) -> Result<(), SyntaxError> {
        match self {
            Self::Script(_) => Ok(()),
            Self::Command(command) if command.trim().is_empty() || command.contains('\0') => {
                Err(SyntaxError::form("COMMAND", "systemctl enable --now app"))
            }
            Self::Command(_) => Ok(()),
            Self::Packages(names) => check_names(names),
        }
    }
}

impl Apply for FirstBoot {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let has_systemd =
            work.is_there(&known("/usr/lib/systemd/system"))? || work.is_there(&known("/lib/systemd/system"))?;
        if !has_systemd {
            return Err(Error::refused("the guest has no systemd, which has to run this at its first boot"));
        }
        let (name, script, what) = match self {
            FirstBoot::Script(path) => {
                let script = read_small(path, EDIT_LIMIT_BYTES)?;
                work.note_read(path, &script);
                let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
                (name, script, format!("script {}", path.display()))
            }
            FirstBoot::Command(command) => {
                (b"command".to_vec(), format!("#!/bin/sh\n{command}\n").into_bytes(), format!("command `{command}`"))
            }
            FirstBoot::Packages(names) => {
                let names = names.join(" ");
                let script = format!("#!/bin/sh\nset -e\n{} {names}\n", work.first_boot_installer()?);
                work.make_file(NETWORK, 0o644, NETWORK_TEXT.as_bytes())?;
                (b"packages".to_vec(), script.into_bytes(), format!("installation of {names}"))
            }
        };
        work.make_file(RUNNER, 0o755, RUNNER_TEXT.as_bytes())?;
        work.make_file(UNIT, 0o644, UNIT_TEXT.as_bytes())?;
        work.make_file(PRESET, 0o644, PRESET_TEXT.as_bytes())?;
        let wanted = work.place(&known(WANTED), LastLink::Keep)?;
        if wanted.found.is_none() {
            work.guest.create_symlink(&wanted.path, UNIT.as_bytes(), &work.attributes(0o777))?;
        }
        let number = work.next_script()?;
        let path = format!("{SCRIPTS}/{number:04}-{}", file_name(&name));
        let path = work.make_file(&path, 0o755, &script)?;
        if let Ok(path) = path.parse() {
            work.note_placed(&path, 0o755, true);
        }
        Ok(Report::new("first-boot", format!("set up {what} for the first boot ({path})"), vec![path], Vec::new()))
    }

    fn source_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Script(path) => Some(path),
            Self::Command(_) | Self::Packages(_) => None,
        }
    }
}

impl Work<'_> {
    /// Makes a file with this content and mode, and returns its path.
    fn make_file(&mut self, path: &str, permissions: u16, content: &[u8]) -> Result<String, Error> {
        let place = self.place(&known(path), LastLink::Keep)?;
        if place.found.is_some() {
            self.guest.remove_file(&place.path)?;
        }
        self.create(&place.path, &self.attributes(permissions), content)?;
        Ok(place.path.to_string())
    }

    /// The number after those of the scripts that exist.
    fn next_script(&self) -> Result<u32, Error> {
        let Some(scripts) = self.directory_at(&known(SCRIPTS))? else { return Ok(1) };
        let names = self.guest.read_directory(&scripts)?;
        let numbers = names.iter().filter_map(|entry| {
            let digits = entry.name.split(|&byte| byte == b'-').next()?;
            std::str::from_utf8(digits).ok()?.parse::<u32>().ok()
        });
        let number = numbers.max().unwrap_or(0).saturating_add(1);
        match number {
            1..=9999 => Ok(number),
            _ => Err(Error::refused(format!("`{SCRIPTS}` has no number left for another script"))),
        }
    }
}

/// `name` without the characters that the name of a script cannot have.
fn file_name(name: &[u8]) -> String {
    let keep = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let name: String = name.iter().map(|byte| if keep(byte) { char::from(*byte) } else { '-' }).take(100).collect();
    if name.is_empty() { "script".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_names_that_no_shell_reads_otherwise() {
        let parse = |text: &str| FirstBoot::parse_packages(OsStr::new(text));
        assert_eq!(
            parse("a,b c=1.2:3~4+5").unwrap(),
            FirstBoot::Packages(vec!["a".into(), "b".into(), "c=1.2:3~4+5".into()])
        );
        for text in ["", ",", "a;b", "$(x)", "-y", "a\nb", "a`b`"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_scripts_are_tame() {
        assert_eq!(file_name(b"set up.sh"), "set-up.sh");
        assert_eq!(file_name("ü/\n".as_bytes()), "----");
        assert_eq!(file_name(b""), "script");
    }
}
