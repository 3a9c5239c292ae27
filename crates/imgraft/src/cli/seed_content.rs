//! What a guest gets at its first boot, as flags that several commands have.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;
use customize::{Hostname, Timezone, User, authorized_keys};
use graft::{SeedFile, SeedSource};
use recipe::SyntaxError;

use crate::failure::Failure;

const HEADING: &str = "First boot";

/// What the guest gets. Without any of it, it gets an empty seed.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SeedContent {
    /// What the guest's user wants: cloud-config, a script, …; `-` is standard input. Several are put into
    /// one: lists of cloud-configs are joined, and of other values the last one stays
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(crate) user_data: Vec<PathBuf>,

    /// Make a user like the image's own: with sudo and without a password
    #[arg(long = "user", value_name = "NAME", value_parser = parse_user, help_heading = HEADING)]
    pub(crate) users: Vec<String>,

    /// Allow a login with a public key, or with those in a file: as each --user, or without one as the
    /// image's own user
    #[arg(long = "ssh-key", value_name = "FILE|KEY", value_parser = parse_ssh_key, help_heading = HEADING)]
    pub(crate) ssh_keys: Vec<SshKeys>,

    /// Install packages; the guest needs a network for that
    #[arg(
        long = "package",
        value_name = "PACKAGE[,PACKAGE]",
        value_delimiter = ',',
        value_parser = parse_package,
        help_heading = HEADING
    )]
    pub(crate) packages: Vec<String>,

    /// Run a command in a shell, as root, when all else has been done
    #[arg(long = "run", value_name = "COMMAND", value_parser = parse_command, help_heading = HEADING)]
    pub(crate) commands: Vec<String>,

    /// The guest's time zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", value_parser = parse_timezone, help_heading = HEADING)]
    pub(crate) timezone: Option<String>,

    /// The guest's name
    #[arg(long, value_name = "NAME", value_parser = parse_hostname, help_heading = HEADING)]
    pub(crate) hostname: Option<String>,

    /// The whole of meta-data. Without it, that has an instance-id made of the seed's content, so that
    /// another content is another first boot
    #[arg(long, value_name = "FILE", conflicts_with = "hostname", help_heading = HEADING)]
    pub(crate) meta_data: Option<PathBuf>,

    /// The guest's network, as cloud-init or netplan has it
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(crate) network_config: Option<PathBuf>,

    /// What the platform wants
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(crate) vendor_data: Option<PathBuf>,

    /// Give the guest the seed as it is, whatever `imgraft seed check` would find in it
    #[arg(long, help_heading = HEADING)]
    pub(crate) no_check: bool,

    /// The user who gets a key from somebody else.
    #[arg(skip)]
    pub(crate) let_in: Option<String>,
}

/// Where public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SshKeys {
    /// Here.
    Text(String),
    /// In a file.
    File(PathBuf),
}

impl SeedContent {
    /// What the seed is made of; `-` is standard input, once, which is read here.
    ///
    /// # Errors
    ///
    /// Standard input that cannot be read, or is named twice.
    pub(crate) fn source(&self) -> Result<SeedSource, Failure> {
        let mut stdin_is_read = false;
        let mut file = |path: &PathBuf| -> Result<SeedFile, Failure> {
            if path != Path::new("-") {
                return Ok(SeedFile::File(path.clone()));
            }
            if std::mem::replace(&mut stdin_is_read, true) {
                return Err(Failure::new("standard input is one file and not two").hint("give `-` once"));
            }
            let content = graft::of_stream(std::io::stdin().lock());
            let content = content.map_err(|error| Failure::because("standard input cannot be read", &error))?;
            Ok(SeedFile::Read(path.clone(), content))
        };
        let ssh_keys = self.ssh_keys.iter().map(|keys| match keys {
            SshKeys::Text(text) => Ok(graft::SshKeys::Text(text.clone())),
            SshKeys::File(path) => file(path).map(graft::SshKeys::File),
        });
        let ssh_keys = ssh_keys.collect::<Result<_, _>>()?;
        let user_data = self.user_data.iter().map(&mut file).collect::<Result<_, _>>()?;
        Ok(SeedSource {
            user_data,
            ssh_keys,
            users: self.users.clone(),
            packages: self.packages.clone(),
            commands: self.commands.clone(),
            timezone: self.timezone.clone(),
            hostname: self.hostname.clone(),
            meta_data: self.meta_data.as_ref().map(&mut file).transpose()?,
            network_config: self.network_config.as_ref().map(&mut file).transpose()?,
            vendor_data: self.vendor_data.as_ref().map(&mut file).transpose()?,
        })
    }

    /// Whether the guest is to get nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { user_data, users, ssh_keys, packages, commands, timezone, hostname, .. } = self;
        let files = [&self.meta_data, &self.network_config, &self.vendor_data];
        user_data.is_empty()
            && users.is_empty()
            && ssh_keys.is_empty()
            && packages.is_empty()
            && commands.is_empty()
            && timezone.is_none()
            && hostname.is_none()
            && files.into_iter().all(Option::is_none)
    }
}

fn parse_user(text: &str) -> Result<String, String> {
    if text == "default" {
        return Err("`default` is what cloud-init calls the image's own user, who is there anyway".to_owned());
    }
    // More than a name is for users in an image, which are there before any first boot.
    match User::parse(OsStr::new(text)) {
        Ok(user) if user.name == text => Ok(user.name),
        Ok(_) => Err(format!("`{text}` is more than a name")),
        Err(error) => Err(error.to_string()),
    }
}

/// A key is told from a file's name by the blank between its kind and the rest.
fn parse_ssh_key(text: &str) -> Result<SshKeys, SyntaxError> {
    let is_key = authorized_keys(text).is_ok()
        || text.contains("PRIVATE KEY-----")
        || text.starts_with("ssh-") && text.contains(' ');
    if !is_key {
        return Ok(SshKeys::File(PathBuf::from(text)));
    }
    authorized_keys(text).map(|_| SshKeys::Text(text.to_owned()))
}

fn parse_package(text: &str) -> Result<String, &'static str> {
    let is_first = |letter: char| letter.is_ascii_alphanumeric() || letter == '@';
    let is_name =
        text.starts_with(is_first) && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    is_name.then(|| text.to_owned()).ok_or("a package's name begins with a letter or a digit and has no blanks")
}

fn parse_command(text: &str) -> Result<String, &'static str> {
    let has_nul = text.contains('\0');
    (!text.trim().is_empty() && !has_nul).then(|| text.to_owned()).ok_or("there is no command in it")
}

fn parse_timezone(text: &str) -> Result<String, SyntaxError> {
    Timezone::parse(OsStr::new(text)).map(|timezone| timezone.zone)
}

/// The name of a guest.
pub(crate) fn parse_hostname(text: &str) -> Result<String, SyntaxError> {
    Hostname::parse(OsStr::new(text)).map(|hostname| hostname.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@example.org";

    #[test]
    fn a_key_is_told_from_the_name_of_a_file() {
        assert_eq!(parse_ssh_key(KEY).unwrap(), SshKeys::Text(KEY.to_owned()));
        for name in ["id_ed25519.pub", "ssh-key.pub", "my keys/id.pub", "-"] {
            assert_eq!(parse_ssh_key(name).unwrap(), SshKeys::File(PathBuf::from(name)), "{name}");
        }
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n";
        for text in [private, "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4g x"] {
            assert!(parse_ssh_key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_those_that_there_can_be() {
        assert!(parse_user("ada").is_ok());
        for name in ["", "default", "a b", "ada:uid=1", "-a", "1a"] {
            assert!(parse_user(name).is_err(), "{name}");
        }
        assert!(parse_package("libc6:amd64=2.36-9").is_ok() && parse_package("@core").is_ok());
        for name in ["", "-y", "a b"] {
            assert!(parse_package(name).is_err(), "{name}");
        }
        assert!(parse_command(" ").is_err() && parse_command("true").is_ok());
    }
}
