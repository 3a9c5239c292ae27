//! What is expected of a guest after its first boot: a recipe's `[boot]`.

use std::fmt;
use std::path::PathBuf;

use guest::GuestPath;
use toml::Spanned;
use toml::de::DeValue;

use crate::mode::Mode;
use crate::owner::Owner;
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::sha256::Sha256;
use crate::table::{Table, Value};

pub(crate) const BOOT_KEYS: [&str; 10] =
    ["user-data", "services", "packages", "ports", "ssh", "reboot", "two-boots", "allow-complaints", "command", "file"];
pub(crate) const COMMAND_KEYS: [&str; 5] = ["run", "user", "status", "output", "matches"];
pub(crate) const FILE_KEYS: [&str; 7] = ["path", "mode", "owner", "sha256", "text", "matches", "absent"];

/// What is expected of an image's first boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The user-data that the guest gets; a relative path begins in the recipe's folder.
    pub user_data: Option<PathBuf>,
    /// Services that must be active.
    pub services: Vec<String>,
    /// Packages that must be installed.
    pub packages: Vec<String>,
    /// TCP ports that must answer.
    pub ports: Vec<u16>,
    /// The user who must be able to log in by SSH with a key.
    pub ssh: Option<Login>,
    /// Commands to run, and how each must end.
    pub commands: Vec<ExpectedCommand>,
    /// Files, and what each must be.
    pub files: Vec<ExpectedFile>,
    /// Whether all of this must hold after a restart too, without a second first boot.
    pub reboot: bool,
    /// Whether another first boot must have another machine-id.
    pub two_boots: bool,
    /// Whether cloud-init may warn about something, as long as it does its work.
    pub allow_complaints: bool,
}

/// A user who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The image's default user.
    Default,
    /// This user.
    User(String),
}

/// A command, and how it must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedCommand {
    /// The command line, for a shell.
    pub run: String,
    /// The user who runs it; root where this is `None`.
    pub user: Option<String>,
    /// The exit status.
    pub status: u8,
    /// The output; anything where this is `None`.
    pub output: Option<ExpectedText>,
}

/// A file, and what it must be. Whatever is `None` may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedFile {
    /// The path; a symlink is followed.
    pub path: GuestPath,
    /// Its mode.
    pub mode: Option<Mode>,
    /// Its owner.
    pub owner: Option<Owner>,
    /// The SHA-256 of its content.
    pub sha256: Option<Sha256>,
    /// Its content.
    pub text: Option<ExpectedText>,
    /// Whether nothing must be there.
    pub is_absent: bool,
}

impl ExpectedFile {
    /// A path where something must be, whatever it is.
    pub fn new(path: GuestPath) -> Self {
        Self { path, mode: None, owner: None, sha256: None, text: None, is_absent: false }
    }
}

/// An expected text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedText {
    /// Exactly this; line ends at the end do not count.
    Exact(String),
    /// A text with a match of this expression.
    Matching(Pattern),
}

impl ExpectedText {
    /// Whether `text` is as expected.
    pub fn accepts(&self, text: &[u8]) -> bool {
        let trimmed = |text: &[u8]| {
            let end = text.iter().rposition(|&byte| byte != b'\n' && byte != b'\r').map_or(0, |last| last + 1);
            text[..end].to_vec()
        };
        match self {
            Self::Exact(expected) => trimmed(text) == trimmed(expected.as_bytes()),
            Self::Matching(pattern) => pattern.is_in(&trimmed(text)),
        }
    }
}

impl fmt::Display for ExpectedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "`{}`", text.trim_end()),
            Self::Matching(pattern) => write!(f, "a match of `{}`", pattern.as_str()),
        }
    }
}

/// Reads `[boot]`.
pub(crate) fn boot(value: &Value<'_>, problems: &mut Vec<Problem>) -> Option<Boot> {
    let mut table = Table::new(value, "`boot`", &BOOT_KEYS, problems)?;
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let user_data = table.string("user-data").map(PathBuf::from);
    let services = owned(table.strings("services"));
    let packages = owned(table.strings("packages"));
    let ports = table.get("ports").map(|value| ports(value, table.problems())).unwrap_or_default();
    let ssh = match table.get("ssh").map(Spanned::get_ref) {
        Some(DeValue::Boolean(is_wanted)) => is_wanted.then_some(Login::Default),
        _ => table.string("ssh").map(|name| Login::User(name.to_owned())),
    };
    let reboot = table.boolean("reboot").unwrap_or_default();
    let two_boots = table.boolean("two-boots").unwrap_or_default();
    let allow_complaints = table.boolean("allow-complaints").unwrap_or_default();
    let commands = table.array("command");
    let commands = commands.into_iter().filter_map(|value| command(value, table.problems())).collect();
    let files = table.array("file");
    let files = files.into_iter().filter_map(|value| file(value, table.problems())).collect();
    Some(Boot { user_data, services, packages, ports, ssh, commands, files, reboot, two_boots, allow_complaints })
}

fn ports(value: &Value<'_>, problems: &mut Vec<Problem>) -> Vec<u16> {
    let DeValue::Array(items) = value.get_ref() else {
        problems.push(Problem::new("`ports` should be an array of integers", value.span()));
        return Vec::new();
    };
    let port = |item: &Value<'_>| match item.get_ref() {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok().filter(|&port| port != 0),
        _ => None,
    };
    let mut ports = Vec::new();
    for item in items {
        match port(item) {
            Some(port) => ports.push(port),
            None => problems.push(Problem::new("a port is a number from 1 to 65535", item.span())),
        }
    }
    ports
}

fn command(value: &Value<'_>, problems: &mut Vec<Problem>) -> Option<ExpectedCommand> {
    let mut table = Table::new(value, "a `[[boot.command]]`", &COMMAND_KEYS, problems)?;
    let run = required(&mut table, "run", "a command needs `run`", "add `run = \"COMMAND\"`");
    let user = table.string("user").map(str::to_owned);
    let status = table.integer("status").unwrap_or_default();
    let status = u8::try_from(status).unwrap_or_else(|_| {
        let span = table.span_of("status").unwrap_or_default();
        table.problem(Problem::new("an exit status is a number from 0 to 255", span));
        0
    });
    let output = expected_text(&mut table, "output");
    Some(ExpectedCommand { run: run?, user, status, output })
}

fn file(value: &Value<'_>, problems: &mut Vec<Problem>) -> Option<ExpectedFile> {
    let mut table = Table::new(value, "a `[[boot.file]]`", &FILE_KEYS, problems)?;
    let has_path = required(&mut table, "path", "a file needs `path`", "add `path = \"/path/in/the/guest\"`").is_some();
    let path = if has_path { table.parsed("path") } else { None };
    let (mode, owner, sha256) = (table.mode("mode"), table.parsed("owner"), table.parsed("sha256"));
    let text = expected_text(&mut table, "text");
    let is_absent = table.boolean("absent").unwrap_or_default();
    if is_absent {
        for key in ["mode", "owner", "sha256", "text", "matches"] {
            if let Some(span) = table.span_of(key) {
                table.problem(Problem::new(format!("a file that must be absent has no `{key}`"), span));
            }
        }
    }
    Some(ExpectedFile { path: path?, mode, owner, sha256, text, is_absent })
}

/// The expected text: `key` has it exactly, `matches` as an expression.
fn expected_text(table: &mut Table<'_, '_>, key: &str) -> Option<ExpectedText> {
    let exact = table.text(key).map(|text| ExpectedText::Exact(text.to_owned()));
    let matching = table.parsed("matches").map(ExpectedText::Matching);
    if let (true, Some(span)) = (exact.is_some(), table.span_of("matches")) {
        table.problem(
            Problem::new(format!("`{key}` and `matches` exclude each other"), span).hint("leave one of them out"),
        );
    }
    exact.or(matching)
}

fn required(table: &mut Table<'_, '_>, key: &str, problem: &str, hint: &str) -> Option<String> {
    if table.get(key).is_none() {
        let span = table.span();
        table.problem(Problem::new(problem, span).hint(hint));
    }
    table.string(key).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Recipe = crate::Recipe<()>;

    const FULL: &str = r#"
[boot]
user-data = "user-data.yaml"
services = ["cloud-init", "ssh"]
packages = ["git"]
ports = [22, 8_080]
ssh = "developer"
reboot = true
two-boots = true
allow-complaints = true

[[boot.command]]
run = "autonoe --version"
user = "developer"
matches = '^autonoe \d'

[[boot.command]]
run = "false"
status = 1
output = ""

[[boot.file]]
path = "/usr/local/bin/autonoe"
mode = "0755"
owner = "root:root"
sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"

[[boot.file]]
path = "/etc/hostname"
text = "web"

[[boot.file]]
path = "/etc/nologin"
absent = true
"#;

    fn problems(text: &str) -> Vec<(&str, String)> {
        let problems = Recipe::parse(text).unwrap_err();
        let about = |problem: &Problem| text[problem.span.clone().unwrap()].lines().next().unwrap();
        problems.iter().map(|problem| (about(problem), problem.message.clone())).collect()
    }

    #[test]
    fn everything_that_can_be_expected_is_read() {
        let boot = Recipe::parse(FULL).unwrap().boot;
        assert_eq!(boot.user_data, Some(PathBuf::from("user-data.yaml")));
        assert_eq!(
            (boot.services.len(), &boot.packages[..], &boot.ports[..]),
            (2, &["git".to_owned()][..], &[22, 8080][..])
        );
        assert!(boot.allow_complaints);
        assert_eq!((boot.ssh, boot.reboot, boot.two_boots), (Some(Login::User("developer".to_owned())), true, true));
        let [version, failing] = &boot.commands[..] else { panic!("{:?}", boot.commands) };
        assert!(version.output.as_ref().unwrap().accepts(b"autonoe 1.2\n"));
        assert!(!version.output.as_ref().unwrap().accepts(b"no autonoe 1.2\n"));
        assert_eq!((version.status, version.user.as_deref()), (0, Some("developer")));
        assert_eq!((failing.status, failing.output.clone()), (1, Some(ExpectedText::Exact(String::new()))));
        let [binary, hostname, nologin] = &boot.files[..] else { panic!("{:?}", boot.files) };
        assert_eq!((binary.mode.unwrap().bits(), binary.owner.clone()), (0o755, Some("root:root".parse().unwrap())));
        assert!(binary.sha256.as_ref().unwrap().digits().starts_with("e3b0c442"));
        assert!(hostname.text.as_ref().unwrap().accepts(b"web\n"));
        assert!(nologin.is_absent && !hostname.is_absent);
        assert_eq!(Recipe::parse("[boot]\nssh = true").unwrap().boot.ssh, Some(Login::Default));
        assert_eq!(Recipe::parse("").unwrap().boot, Boot::default());
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, about, message) in [
            ("[boot]\nservice = []", "service", "unknown key `service`"),
            ("[boot]\nports = [0]", "0", "a port is a number from 1 to 65535"),
            ("[boot]\nports = [\"22\"]", "\"22\"", "a port is a number from 1 to 65535"),
            ("[boot]\nports = 22", "22", "`ports` should be an array of integers"),
            ("[boot]\nssh = 1", "1", "`ssh` should be a string"),
            ("[boot]\nreboot = \"yes\"", "\"yes\"", "`reboot` should be a boolean"),
            ("[[boot.command]]\nstatus = 1", "[[boot.command]]", "a command needs `run`"),
            ("[[boot.command]]\nrun = 'a'\nstatus = 256", "256", "an exit status is a number from 0 to 255"),
            ("[[boot.command]]\nrun = 'a'\nmatches = '('", "'('", "invalid regular expression: unclosed group"),
            (
                "[[boot.command]]\nrun = 'a'\noutput = 'b'\nmatches = 'b'",
                "'b'",
                "`output` and `matches` exclude each other",
            ),
            ("[[boot.file]]\nmode = '0644'", "[[boot.file]]", "a file needs `path`"),
            ("[[boot.file]]\npath = 'etc'", "'etc'", "a path in the guest begins with `/`"),
            ("[[boot.file]]\npath = '/a'\nmode = '755'", "'755'", "a mode is octal and begins with 0: write `0755`"),
            (
                "[[boot.file]]\npath = '/a'\nsha256 = 'ab'",
                "'ab'",
                "`ab` is not a SHA-256: expected 64 hexadecimal digits",
            ),
            (
                "[[boot.file]]\npath = '/a'\nabsent = true\nmode = '0644'",
                "'0644'",
                "a file that must be absent has no `mode`",
            ),
        ] {
            assert_eq!(problems(text), [(about, message.to_owned())], "{text}");
        }
    }
}
