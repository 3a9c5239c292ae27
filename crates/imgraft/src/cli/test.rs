//! `imgraft test`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use guest::GuestPath;
use recipe::{Boot, ExpectedCommand, ExpectedFile, ExpectedText, LimitError, Login, Mode, Owner, Pattern, TimeLimit};

use super::Backing;
use super::machine::{MachineFlags, SeedSource};
use crate::cli::seed_content::SeedContent;

pub(super) const EXAMPLES: &str = "\
Examples:
  imgraft test my.img
  imgraft test my.img --recipe recipes/app.toml --user-data user-data.yaml
  imgraft test my.img --expect-service nginx --expect-port 80 --reboot
  imgraft test my.img --expect-output 'app --version' '^app 1\\.' --expect-file /usr/local/bin/app:0755:root:root
  imgraft test my.img --user ada --expect-ssh ada --two-boots
  imgraft test my.img --html report.html --junit report.xml

The image stays as it is. Besides what you expect, three things are always checked: that cloud-init did its work without a
complaint, that no unit of systemd failed, and that the kernel met no errors in a file system.

A small program in the guest runs the commands; it is started by the seed and needs no network. It comes as
vendor-data; if the user-data switches vendor-data off, use `--agent user-data`.

Exit codes:
  0  everything is as it should be
  1  the guest was checked, and something is wrong
  2  the guest could not be checked, or not completely; wrong usage";

const EXPECTED: &str = "Expected";
const WAITING: &str = "Waiting";
const OUTPUT: &str = "Output";

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The image
    pub(crate) image: PathBuf,

    /// A recipe: its [boot] says what is expected
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) content: SeedContent,

    #[command(flatten)]
    pub(crate) seed: SeedSource,

    /// Boot without a seed
    #[arg(long, conflicts_with_all = ["seed", "seed_url"], help_heading = "First boot")]
    pub(crate) no_seed: bool,

    /// How the program that runs commands gets into the guest
    #[arg(long, value_enum, value_name = "PART", default_value = "vendor-data", help_heading = "First boot")]
    pub(crate) agent: AgentPart,

    #[command(flatten)]
    pub(crate) machine: MachineFlags,

    #[command(flatten)]
    pub(crate) expected: Expected,

    /// How long the guest may show no progress before it counts as hung: seconds, or a number and s, m or h
    /// [default: 2m, and 5m under emulation]
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = WAITING)]
    pub(crate) stall: Option<Duration>,

    /// How long a boot may take in all [default: 15m, and 45m under emulation]
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = WAITING)]
    pub(crate) timeout: Option<Duration>,

    /// Print a report as JSON
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) json: bool,

    /// Write a report as CI systems read it, in JUnit's XML
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) junit: Option<PathBuf>,

    /// Write a report as a page, with the boot's timeline drawn
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) html: Option<PathBuf>,

    /// Keep the console, as it was written
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) console: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) backing: Backing,
}

/// What is expected of the guest, besides what a recipe says.
#[derive(Debug, Args)]
pub(crate) struct Expected {
    /// A command of a shell succeeds
    #[arg(long, value_name = "COMMAND", help_heading = EXPECTED)]
    expect_run: Vec<String>,

    /// A command ends with an exit status
    #[arg(long, num_args = 2, value_names = ["COMMAND", "STATUS"], help_heading = EXPECTED)]
    expect_status: Vec<String>,

    /// A command succeeds, and its output contains a match of a regular expression
    #[arg(long, num_args = 2, value_names = ["COMMAND", "REGEX"], help_heading = EXPECTED)]
    expect_output: Vec<String>,

    /// A file is there, with a mode and an owner
    #[arg(long, value_name = "PATH[:MODE[:USER:GROUP]]", value_parser = parse_file, help_heading = EXPECTED)]
    expect_file: Vec<ExpectedFile>,

    /// A file has a SHA-256
    #[arg(long, num_args = 2, value_names = ["PATH", "DIGEST"], help_heading = EXPECTED)]
    expect_sha256: Vec<String>,

    /// A file contains a match of a regular expression
    #[arg(long, num_args = 2, value_names = ["PATH", "REGEX"], help_heading = EXPECTED)]
    expect_text: Vec<String>,

    /// No file has this name
    #[arg(long, value_name = "PATH", value_parser = parse_path, help_heading = EXPECTED)]
    expect_absent: Vec<GuestPath>,

    /// A service is active
    #[arg(long, value_name = "NAME", help_heading = EXPECTED)]
    expect_service: Vec<String>,

    /// A package is installed
    #[arg(long, value_name = "NAME", help_heading = EXPECTED)]
    expect_package: Vec<String>,

    /// A TCP port answers
    #[arg(long, value_name = "PORT", value_parser = parse_port, help_heading = EXPECTED)]
    expect_port: Vec<u16>,

    /// A login by SSH succeeds: as the image's own user, or as this one; with the key of --identity, or with a new one
    #[arg(long, value_name = "USER", num_args = 0..=1, help_heading = EXPECTED)]
    expect_ssh: Option<Option<String>>,

    /// The private key to log in with
    #[arg(long, value_name = "FILE", help_heading = EXPECTED)]
    pub(crate) identity: Option<PathBuf>,

    /// Restart the guest: everything is as before, and cloud-init does not take it for a first boot
    #[arg(long, help_heading = EXPECTED)]
    reboot: bool,

    /// Boot the image a second time from the start: the machine-id differs
    #[arg(long, help_heading = EXPECTED)]
    two_boots: bool,

    /// Accept warnings from cloud-init, as long as it does its work
    #[arg(long, help_heading = EXPECTED)]
    allow_complaints: bool,
}

/// What brings the program that runs commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AgentPart {
    /// A part of vendor-data, beside what is there
    VendorData,
    /// A part of user-data, beside what is there
    UserData,
    /// Nothing does: only the console is looked at
    None,
}

impl Expected {
    /// What a recipe expects, and the flags besides.
    ///
    /// # Errors
    ///
    /// A text, for people, where one of two values is none of its kind.
    pub(crate) fn with(&self, mut boot: Boot) -> Result<Boot, String> {
        let command = |run: &str| ExpectedCommand { run: run.to_owned(), user: None, status: 0, output: None };
        boot.services.extend_from_slice(&self.expect_service);
        boot.packages.extend_from_slice(&self.expect_package);
        boot.ports.extend_from_slice(&self.expect_port);
        boot.commands.extend(self.expect_run.iter().map(|run| command(run)));
        for (run, status) in pairs(&self.expect_status) {
            let status = parsed(status, "--expect-status", "an exit status from 0 to 255")?;
            boot.commands.push(ExpectedCommand { status, ..command(run) });
        }
        for (run, regex) in pairs(&self.expect_output) {
            let output = Some(matching(regex, "--expect-output")?);
            boot.commands.push(ExpectedCommand { output, ..command(run) });
        }
        boot.files.extend_from_slice(&self.expect_file);
        for (path, digest) in pairs(&self.expect_sha256) {
            let sha256 = Some(said(digest.parse(), "--expect-sha256")?);
            boot.files.push(ExpectedFile { sha256, ..ExpectedFile::new(said(parse_path(path), "--expect-sha256")?) });
        }
        for (path, regex) in pairs(&self.expect_text) {
            let text = Some(matching(regex, "--expect-text")?);
            boot.files.push(ExpectedFile { text, ..ExpectedFile::new(said(parse_path(path), "--expect-text")?) });
        }
        let absent = |path: &GuestPath| ExpectedFile { is_absent: true, ..ExpectedFile::new(path.clone()) };
        boot.files.extend(self.expect_absent.iter().map(absent));
        if let Some(login) = &self.expect_ssh {
            boot.ssh = Some(login.clone().map_or(Login::Default, Login::User));
        }
        boot.reboot |= self.reboot;
        boot.two_boots |= self.two_boots;
        boot.allow_complaints |= self.allow_complaints;
        Ok(boot)
    }
}

/// The values of a flag that has two, two by two.
fn pairs(values: &[String]) -> impl Iterator<Item = (&str, &str)> {
    values.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()))
}

fn said<T, E: std::fmt::Display>(parsed: Result<T, E>, flag: &str) -> Result<T, String> {
    parsed.map_err(|error| format!("{flag}: {error}"))
}

fn parsed<T: FromStr>(text: &str, flag: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag}: `{text}` is not {what}"))
}

fn matching(regex: &str, flag: &str) -> Result<ExpectedText, String> {
    said(regex.parse::<Pattern>().map(ExpectedText::Matching), flag)
}

fn parse_path(text: &str) -> Result<GuestPath, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn parse_port(text: &str) -> Result<u16, String> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.filter(|&port| port > 0).ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

/// `/usr/local/bin/app:0755:root:root`.
fn parse_file(text: &str) -> Result<ExpectedFile, String> {
    let mut parts = text.splitn(3, ':');
    let path = parse_path(parts.next().unwrap_or_default())?;
    let mode = parts.next().map(|mode| mode.parse::<Mode>().map_err(|error| error.to_string())).transpose()?;
    let owner = parts.next().map(|owner| owner.parse::<Owner>().map_err(|error| error.to_string())).transpose()?;
    Ok(ExpectedFile { mode, owner, ..ExpectedFile::new(path) })
}

fn parse_time(text: &str) -> Result<Duration, LimitError> {
    Ok(text.parse::<TimeLimit>()?.0)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        expected: Expected,
    }

    fn boot(arguments: &[&str]) -> Result<Boot, String> {
        let arguments = ["x"].iter().chain(arguments);
        let line = Line::try_parse_from(arguments).map_err(|error| error.to_string())?;
        line.expected.with(Boot::default())
    }

    #[test]
    fn flags_say_what_a_recipe_says() {
        let recipe = "[boot]\nservices = ['a']\npackages = ['b']\nports = [80]\nssh = true\nreboot = true\n\
                      two-boots = true\nallow-complaints = true\n\
                      [[boot.command]]\nrun = 'c d'\n[[boot.command]]\nrun = 'e'\nstatus = 3\n\
                      [[boot.command]]\nrun = 'f'\nmatches = '^g'\n\
                      [[boot.file]]\npath = '/h'\nmode = '0755'\nowner = 'i:j'\n[[boot.file]]\npath = '/k'\n\
                      [[boot.file]]\npath = '/l'\nmatches = 'm'\n[[boot.file]]\npath = '/n'\nabsent = true\n";
        let arguments = [
            "--expect-service=a",
            "--expect-package=b",
            "--expect-port=80",
            "--expect-ssh",
            "--reboot",
            "--two-boots",
            "--allow-complaints",
            "--expect-run=c d",
            "--expect-status",
            "e",
            "3",
            "--expect-output",
            "f",
            "^g",
            "--expect-file=/h:0755:i:j",
            "--expect-file=/k",
            "--expect-text",
            "/l",
            "m",
            "--expect-absent=/n",
        ];
        let expected = recipe::Recipe::<()>::parse(recipe).unwrap().boot;
        assert_eq!(boot(&arguments).unwrap(), expected);
        // Both together.
        let both = Line::try_parse_from(["x", "--expect-service=z"]).unwrap().expected.with(expected).unwrap();
        assert_eq!(both.services, ["a", "z"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (arguments, problem) in [
            (&["--expect-status", "e", "256"][..], "`256` is not an exit status"),
            (&["--expect-output", "e", "("], "invalid regular expression"),
            (&["--expect-sha256", "/a", "b"], "`b` is not a SHA-256"),
            (&["--expect-file", "a"], "a path in the guest begins with `/`"),
            (&["--expect-file", "/a:755"], "write `0755`"),
            (&["--expect-file", "/a:0755:root"], "has no group"),
            (&["--expect-port", "0"], "a port is a number from 1 to 65535"),
            (&["--expect-port", "http"], "a port is a number from 1 to 65535"),
            (&["--expect-port", "65536"], "a port is a number from 1 to 65535"),
            (&["--expect-port", "+80"], "a port is a number from 1 to 65535"),
            (&["--expect-output", "e"], "2 values required"),
        ] {
            let error = boot(arguments).unwrap_err();
            assert!(error.contains(problem), "{arguments:?}: {error}");
        }
    }
}
