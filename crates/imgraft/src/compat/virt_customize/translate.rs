//! From what the command line says to the operations that it comes to.

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use customize::{
    Append, Chmod, Chown, Copy, Destination, Edit, FirstBoot, Hostname, Install, KeySource, Link, Mkdir, Move,
    Operation, Put, PutOwner, Remove, Replace, Run, RunScript, Scrub, SshKey, Tar, Timezone, Touch, Truncate,
    Uninstall, Update, Write,
};
use guest::GuestPath;
use recipe::{Mode, Owner, Principal};

use super::action::Action;
use super::braces;
use super::parse::{Differences, Stop};
use super::perl;
use super::selector::KeySelector;
use crate::environment;

/// What an action comes to, and what is said before.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub(super) messages: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// What has to be known, even where nothing is to be said.
    pub(super) facts: Vec<String>,
    pub(super) operations: Vec<Operation>,
}

impl Step {
    pub(super) fn new(message: String, operations: Vec<Operation>) -> Self {
        Self { messages: vec![message], operations, ..Self::default() }
    }

    /// The step that `action` is.
    ///
    /// # Errors
    ///
    /// What is wrong with it whatever the guest is.
    pub(super) fn of(action: &Action, differences: &Differences) -> Result<Self, Stop> {
        let mut step = Self { messages: action.messages(), ..Self::default() };
        if let Action::NotForLinux { option } = action {
            step.warnings.push(format!("{option} ignored for non-Windows guest"));
            return Ok(step);
        }
        step.operations = operations(action, differences)?;
        Ok(step)
    }
}

fn operations(action: &Action, differences: &Differences) -> Result<Vec<Operation>, Stop> {
    let owner = || if differences.keep_owner { PutOwner::Keep } else { PutOwner::Root };
    let operation = match action {
        Action::AppendLine { path, line } => {
            if line.as_bytes().contains(&b'\n') {
                return Err(Stop::error(
                    "--append-line: line must not contain newline characters.  Use the --append-line option \
                     multiple times to add several lines.",
                ));
            }
            Operation::Append(Append { path: guest_path("append-line", path)?, line: line.as_bytes().to_vec() })
        }
        Action::Chmod { mode, path } => {
            let mode = parse_mode(mode, differences.decimal_modes)?;
            Operation::Chmod(Chmod { path: guest_path("chmod", path)?, mode })
        }
        Action::Chown { uid, gid, path } => {
            let owner = parse_owner(uid, gid)?;
            Operation::Chown(Chown { path: guest_path("chown", path)?, owner, recursive: false })
        }
        Action::Copy { from, to } => {
            Operation::Copy(Copy { from: guest_path("copy", from)?, to: destination("copy", to)? })
        }
        Action::CopyIn { source, directory } => return copy_in(source, directory, owner),
        Action::Delete { pattern } => {
            let remove = |pattern: Vec<u8>| {
                let pattern = OsStr::from_bytes(&pattern);
                Remove::parse(pattern).map(Operation::Remove).map_err(|error| bad("delete", error))
            };
            let Some(patterns) = braces::expand(pattern.as_bytes()) else {
                return Err(bad(
                    "delete",
                    format_args!("the braces stand for too many paths: {} can be", braces::LIMIT),
                )
                .hint("use several `--delete`, or `*` and `?`"));
            };
            return patterns.into_iter().map(remove).collect();
        }
        Action::Edit { path, expression } => {
            Operation::Edit(Edit { path: guest_path("edit", path)?, filter: perl::filter(expression.clone()) })
        }
        Action::Link { target, links } => Operation::Link(Link {
            target: target.as_bytes().to_vec(),
            links: links.iter().map(|link| guest_path("link", link)).collect::<Result<_, _>>()?,
        }),
        Action::Mkdir { path } => Operation::Mkdir(Mkdir { path: guest_path("mkdir", path)?, mode: None, owner: None }),
        Action::Move { from, to } => {
            Operation::Move(Move { from: guest_path("move", from)?, to: destination("move", to)? })
        }
        Action::Replace { argument } => {
            Operation::Replace(Replace::parse(argument).map_err(|error| bad("replace", error))?)
        }
        Action::Scrub { path } => Operation::Scrub(Scrub { path: guest_path("scrub", path)? }),
        Action::Touch { path } => Operation::Touch(Touch { path: guest_path("touch", path)?, only_regular: true }),
        Action::Truncate { path } => {
            Operation::Truncate(Truncate { path: guest_path("truncate", path)?, recursive: false })
        }
        Action::TruncateRecursive { path } => {
            Operation::Truncate(Truncate { path: guest_path("truncate-recursive", path)?, recursive: true })
        }
        Action::Upload { source, destination: to } => {
            let destination = destination("upload", to)?;
            if source.is_dir() {
                return Err(Stop::error(format!("--upload {}: is a directory", source.display()))
                    .hint("`--copy-in` copies directories"));
            }
            Operation::Put(Put {
                owner: owner(),
                through_link: true,
                existing: true,
                ..Put::new(source.clone(), destination)
            })
        }
        Action::Write { path, content } => Operation::Write(Write {
            path: guest_path("write", path)?,
            content: content.as_bytes().to_vec(),
            mode: None,
            owner: None,
        }),
        Action::NotForLinux { .. } => return Ok(Vec::new()),
        // They are set at the end: see `frame`.
        Action::Password { .. } => return Ok(Vec::new()),
        Action::FirstBoot { script } => {
            let parsed = FirstBoot::parse_script(script.as_os_str());
            Operation::FirstBoot(parsed.map_err(|error| bad("firstboot", error))?)
        }
        Action::FirstBootCommand { command } => {
            let parsed = FirstBoot::parse_command(command);
            Operation::FirstBoot(parsed.map_err(|error| bad("firstboot-command", error))?)
        }
        Action::FirstBootInstall { packages } => {
            let parsed = FirstBoot::parse_packages(&packages.join(OsStr::new(",")));
            Operation::FirstBoot(parsed.map_err(|error| bad("firstboot-install", error))?)
        }
        Action::Hostname { name } => {
            Operation::Hostname(Hostname::parse(name).map_err(|error| bad("hostname", error))?)
        }
        Action::Install { packages } => {
            let parsed = Install::parse(&packages.join(OsStr::new(",")));
            Operation::Install(parsed.map_err(|error| bad("install", error))?)
        }
        Action::Run { script } => {
            let parsed = RunScript::parse(script.as_os_str());
            Operation::RunScript(parsed.map_err(|error| bad("run", error))?)
        }
        Action::RunCommand { command } => {
            Operation::Run(Run::parse(command).map_err(|error| bad("run-command", error))?)
        }
        Action::SshInject { user, selector } => {
            Operation::SshKey(SshKey { user: text("ssh-inject", user)?, key: key(selector)? })
        }
        Action::TarIn { archive, directory } => {
            Operation::Tar(Tar { source: archive.clone(), directory: guest_path("tar-in", directory)? })
        }
        Action::Uninstall { packages } => {
            let parsed = Uninstall::parse(&packages.join(OsStr::new(",")));
            Operation::Uninstall(parsed.map_err(|error| bad("uninstall", error))?)
        }
        Action::Update => Operation::Update(Update::default()),
        Action::Timezone { name } => {
            Operation::Timezone(Timezone::parse(name).map_err(|error| bad("timezone", error))?)
        }
    };
    Ok(vec![operation])
}

/// A file or a tree, or what is in it where it has no name of its own.
fn copy_in(source: &Path, directory: &OsStr, owner: impl Fn() -> PutOwner) -> Result<Vec<Operation>, Stop> {
    let path = guest_path("copy-in", directory)?;
    // As the original does: a symlink to nothing is not copied.
    if !source.exists() {
        let text = format!("source ‘{}’ does not exist (or cannot be read)", source.display());
        return Err(Stop::error(text));
    }
    // A tree without a name, such as `.`, is laid over the directory.
    let into = !matches!(source.as_os_str().as_bytes().rsplit(|&byte| byte == b'/').next(), Some(b"." | b".."));
    let destination = Destination { path, into };
    let put = Put { owner: owner(), existing: true, keep_link: into, ..Put::new(source, destination) };
    Ok(vec![Operation::Put(put)])
}

/// What a selector says, or the newest public key of whoever runs this.
fn key(selector: &KeySelector) -> Result<KeySource, Stop> {
    match selector {
        KeySelector::File(path) => Ok(KeySource::File(path.clone())),
        KeySelector::Text(key) => Ok(KeySource::Text(text("ssh-inject", OsStr::from_bytes(key))?)),
        KeySelector::Own => {
            let home =
                environment::home().ok_or_else(|| Stop::error("ssh-inject: $HOME environment variable is not set"))?;
            newest_key(&home.join(".ssh")).map(KeySource::File)
        }
    }
}

fn newest_key(folder: &Path) -> Result<PathBuf, Stop> {
    let cannot = |error: std::io::Error| Stop::error(format!("ssh-inject: {}: {error}", folder.display()));
    let mut newest = None;
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name();
        let name = name.as_bytes();
        if name.starts_with(b"id") && name.ends_with(b".pub") && !name.ends_with(b"-cert.pub") {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).map_err(cannot)?;
            newest = newest.max(Some((modified, entry.path())));
        }
    }
    let missing = || Stop::error(format!("ssh-inject: no public key file found in {}", folder.display()));
    newest.map(|(_, path)| path).ok_or_else(missing)
}

/// A text that has to be UTF-8.
pub(super) fn text(option: &str, value: &OsStr) -> Result<String, Stop> {
    let text = value.to_str().map(str::to_owned);
    text.ok_or_else(|| bad(option, format_args!("`{}` is not UTF-8", value.display())))
}

fn guest_path(option: &str, path: &OsStr) -> Result<GuestPath, Stop> {
    GuestPath::new(path.as_bytes()).map_err(|error| bad(option, format_args!("`{}`: {error}", path.display())))
}

fn destination(option: &str, path: &OsStr) -> Result<Destination, Stop> {
    Destination::new(path.as_bytes()).map_err(|error| bad(option, format_args!("`{}`: {error}", path.display())))
}

fn bad(option: &str, problem: impl Display) -> Stop {
    Stop::error(format!("--{option}: {problem}"))
}

/// A mode: octal where it begins with 0, decimal only where that was asked for.
fn parse_mode(text: &OsStr, decimal: bool) -> Result<Mode, Stop> {
    let shown = text.display();
    let digits = text.to_str().unwrap_or_default();
    if digits.starts_with('0') {
        return digits.parse().map_err(|error| bad("chmod", error));
    }
    let Ok(number) = digits.parse::<u16>() else {
        return Err(Stop::error(format!("--chmod: `{shown}` is not a mode, such as `0755`")));
    };
    if !decimal {
        let suggestion = match u16::from_str_radix(digits, 8) {
            Ok(bits) if bits <= 0o7777 => format!("write `0{digits}`"),
            _ => "write it with a leading 0".to_owned(),
        };
        let text = format!("--chmod: `{shown}` does not begin with 0, and virt-customize reads it as decimal");
        return Err(Stop::error(text).hint(format!("{suggestion}, or take it so with `--decimal-modes`")));
    }
    format!("0{:o}", number & 0o7777).parse().map_err(|error| bad("chmod", error))
}

fn parse_owner(uid: &OsStr, gid: &OsStr) -> Result<Owner, Stop> {
    let number = |text: &OsStr| text.to_str()?.parse().ok().map(Principal::Number);
    match (number(uid), number(gid)) {
        (Some(user), Some(group)) => Ok(Owner { user, group }),
        _ => Err(Stop::error(format!(
            "--chown: could not parse numeric UID:GID from {}:{}",
            uid.display(),
            gid.display()
        ))),
    }
}
