//! What is done to the guest, as the command line says it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::selector::{KeySelector, PasswordSelector};

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    AppendLine { path: OsString, line: OsString },
    Chmod { mode: OsString, path: OsString },
    Chown { uid: OsString, gid: OsString, path: OsString },
    Copy { from: OsString, to: OsString },
    CopyIn { source: PathBuf, directory: OsString },
    Delete { pattern: OsString },
    Edit { path: OsString, expression: OsString },
    FirstBoot { script: PathBuf },
    FirstBootCommand { command: OsString },
    FirstBootInstall { packages: Vec<OsString> },
    Hostname { name: OsString },
    Install { packages: Vec<OsString> },
    Link { target: OsString, links: Vec<OsString> },
    Mkdir { path: OsString },
    Move { from: OsString, to: OsString },
    NotForLinux { option: &'static str },
    Password { user: OsString, selector: PasswordSelector },
    Replace { argument: OsString },
    Run { script: PathBuf },
    RunCommand { command: OsString },
    Scrub { path: OsString },
    SshInject { user: OsString, selector: KeySelector },
    TarIn { archive: PathBuf, directory: OsString },
    Timezone { name: OsString },
    Touch { path: OsString },
    Truncate { path: OsString },
    TruncateRecursive { path: OsString },
    Uninstall { packages: Vec<OsString> },
    Update,
    Upload { source: PathBuf, destination: OsString },
    Write { path: OsString, content: OsString },
}

impl Action {
    /// What is said before it is done, a line each.
    pub(super) fn messages(&self) -> Vec<String> {
        let packages = |packages: &[OsString]| packages.join(" ".as_ref());
        let one = match self {
            Self::AppendLine { path, .. } => format!("Appending line to {}", path.display()),
            Self::Chmod { mode, path } => format!("Changing permissions of {} to {}", path.display(), mode.display()),
            Self::Chown { uid, gid, path } => {
                format!("Changing owner of {} to {}:{}", path.display(), uid.display(), gid.display())
            }
            Self::Copy { from, to } => format!("Copying (in image): {} to {}", from.display(), to.display()),
            Self::CopyIn { source, directory } => format!("Copying: {} to {}", source.display(), directory.display()),
            Self::Delete { pattern } => format!("Deleting: {}", pattern.display()),
            Self::Edit { path, .. } => format!("Editing: {}", path.display()),
            Self::FirstBoot { script } => format!("Installing firstboot script: {}", script.display()),
            Self::FirstBootCommand { command } => format!("Installing firstboot command: {}", command.display()),
            Self::FirstBootInstall { packages: names } => {
                format!("Installing firstboot packages: {}", packages(names).display())
            }
            Self::Hostname { name } => format!("Setting the hostname: {}", name.display()),
            Self::Install { packages: names } => format!("Installing packages: {}", packages(names).display()),
            Self::Link { target, links } => {
                let message = |link: &OsString| format!("Linking: {} -> {}", link.display(), target.display());
                return links.iter().map(message).collect();
            }
            Self::Mkdir { path } => format!("Making directory: {}", path.display()),
            Self::Move { from, to } => format!("Moving: {} -> {}", from.display(), to.display()),
            // A warning is all there is, or all of them are set at the end.
            Self::NotForLinux { .. } | Self::Password { .. } => return Vec::new(),
            Self::Replace { argument } => format!("Replacing: {}", argument.display()),
            Self::Run { script } => format!("Running: {}", script.display()),
            Self::RunCommand { command } => format!("Running: {}", command.display()),
            Self::Scrub { path } => format!("Scrubbing: {}", path.display()),
            Self::SshInject { user, .. } => format!("SSH key inject: {}", user.display()),
            Self::TarIn { archive, directory } => {
                format!("Unpack tar file: {} to {}", archive.display(), directory.display())
            }
            Self::Timezone { name } => format!("Setting the timezone: {}", name.display()),
            Self::Touch { path } => format!("Running touch: {}", path.display()),
            Self::Truncate { path } => format!("Truncating: {}", path.display()),
            Self::TruncateRecursive { path } => format!("Recursively truncating: {}", path.display()),
            Self::Uninstall { packages: names } => format!("Uninstalling packages: {}", packages(names).display()),
            Self::Update => "Updating packages".to_owned(),
            Self::Upload { source, destination } => {
                format!("Uploading: {} to {}", source.display(), destination.display())
            }
            Self::Write { path, .. } => format!("Writing: {}", path.display()),
        };
        vec![one]
    }
}
