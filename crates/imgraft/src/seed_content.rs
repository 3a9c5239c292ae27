//! What a guest gets at its first boot, as flags that several commands have.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use customize::{Hostname, Timezone, User, authorized_keys};
use recipe::SyntaxError;
use seed::{Content, InstanceId, MetaData, Part, Seed, UserData};
use storage::{Memory, ReadAt};

use crate::content;
use crate::failure::Failure;

/// The largest file that is put beside others into one, in bytes.
const PART_LIMIT_BYTES: u64 = 16 << 20;
/// The largest file of public keys, in bytes.
const KEYS_LIMIT_BYTES: u64 = 1 << 20;

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

    /// Let somebody in with a public key, or with those in a file: as each --user, or without one as the
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

    /// Whether a file of user-data stays as it is.
    pub(crate) fn wants_nothing_else(&self) -> bool {
        let Self { users, ssh_keys, packages, commands, timezone, .. } = self;
        users.is_empty() && ssh_keys.is_empty() && packages.is_empty() && commands.is_empty() && timezone.is_none()
    }

    /// Users whom nothing lets in: flags make them, no key is given, and nothing else of the seed could set a password.
    pub(crate) fn users_without_a_way_in(&self) -> &[String] {
        let could_be_elsewhere = !self.ssh_keys.is_empty()
            || !self.user_data.is_empty()
            || !self.commands.is_empty()
            || self.vendor_data.is_some();
        if could_be_elsewhere { &[] } else { &self.users }
    }

    /// The seed, with all files read and nobody having looked at it, and the keys that are let in, for where there is
    /// another place for them, too.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, keys that are none, and what cannot be put beside others.
    pub(crate) fn seed_and_keys(&self) -> Result<(Seed, Vec<String>), Failure> {
        let mut reader = FileReader::default();
        let wanted = self.wanted(&mut reader)?;
        let user_data = self.user_data(&wanted, &mut reader)?;
        let keys = wanted.ssh_authorized_keys;
        let mut optional = |path: &Option<PathBuf>| path.as_deref().map(|path| reader.read(path)).transpose();
        let network_config = optional(&self.network_config)?;
        let vendor_data = optional(&self.vendor_data)?;
        if let Some(meta_data) = &self.meta_data {
            let seed = Seed { user_data, meta_data: reader.read(meta_data)?, network_config, vendor_data };
            return Ok((seed, keys));
        }
        let local_hostname = self.hostname.clone().unwrap_or_default().into_bytes();
        let meta_data = MetaData { local_hostname, ..MetaData::default() };
        let seed = Seed::generate(user_data, network_config, vendor_data, meta_data, InstanceId::FromContent);
        seed.map(|seed| (seed, keys)).map_err(|error| Failure::of(&error))
    }

    /// The one file as it is, or what flags say, or all of them in one.
    fn user_data(&self, wanted: &UserData, reader: &mut FileReader) -> Result<Content, Failure> {
        if let ([path], true) = (&self.user_data[..], wanted.is_empty()) {
            return reader.read(path);
        }
        let mut parts = Vec::with_capacity(self.user_data.len() + 1);
        for path in &self.user_data {
            parts.extend(part(path, reader.read(path)?.as_ref())?);
        }
        if parts.is_empty() && wanted.is_empty() {
            return Ok(Arc::new(Memory::default()));
        }
        let config = wanted.to_cloud_config();
        if parts.is_empty() {
            return Ok(Arc::new(Memory::from(config)));
        }
        // What was typed now is the last word.
        parts.extend(Part::new("flags", config).filter(|_| !wanted.is_empty()));
        Ok(Arc::new(Memory::from(seed::multipart(&parts))))
    }

    /// What the flags say.
    fn wanted(&self, reader: &mut FileReader) -> Result<UserData, Failure> {
        let mut ssh_authorized_keys = Vec::new();
        for keys in &self.ssh_keys {
            for key in keys.read(reader)? {
                if !ssh_authorized_keys.contains(&key) {
                    ssh_authorized_keys.push(key);
                }
            }
        }
        Ok(UserData {
            users: self.users.clone(),
            ssh_authorized_keys,
            packages: self.packages.clone(),
            commands: self.commands.clone(),
            timezone: self.timezone.clone(),
        })
    }
}

impl SshKeys {
    /// The keys, a line of `authorized_keys` each.
    fn read(&self, reader: &mut FileReader) -> Result<Vec<String>, Failure> {
        let lines = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
        let path = match self {
            Self::Text(text) => return authorized_keys(text).map(lines).map_err(|error| Failure::of(&error)),
            Self::File(path) => path,
        };
        let name = path.display();
        let content = reader.read(path)?;
        let too_large = || Failure::new(format!("`{name}` is no file of public keys: it is larger than 1 MiB"));
        let text = bytes(content.as_ref(), KEYS_LIMIT_BYTES, &path.to_string_lossy())?.ok_or_else(too_large)?;
        let text = String::from_utf8_lossy(&text);
        if text.contains("PRIVATE KEY-----") {
            return Err(Failure::new(format!("`{name}` is a private key, which stays where it is"))
                .hint(format!("give the public one, `{name}.pub` as a rule; `ssh-keygen -y -f {name}` prints it")));
        }
        authorized_keys(&text).map(lines).map_err(|error| Failure::because(format!("`{name}` has no keys"), &error))
    }
}

/// A file as a part beside others; nothing where it is empty.
fn part(path: &Path, content: &dyn ReadAt) -> Result<Option<Part>, Failure> {
    let name = path.display();
    let too_large = || Failure::new(format!("`{name}` is larger than 16 MiB, too large for a file beside others"));
    let content = bytes(content, PART_LIMIT_BYTES, &path.to_string_lossy())?.ok_or_else(too_large)?;
    if content.trim_ascii().is_empty() {
        return Ok(None);
    }
    let part_name = path.file_name().unwrap_or_default().to_string_lossy();
    let start = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let start: String = String::from_utf8_lossy(start).trim().chars().take(40).collect();
    let unknown = || {
        Failure::new(format!("`{name}` does not say what it is: it begins with `{start}`"))
            .hint("begin it with `#cloud-config`, with `#!` and an interpreter, or as cloud-init has it otherwise")
    };
    Part::new(&part_name, content).ok_or_else(unknown).map(Some)
}

/// All of `content`; nothing where it is larger than `limit`.
fn bytes(content: &dyn ReadAt, limit_bytes: u64, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    if content.size_bytes() > limit_bytes {
        return Ok(None);
    }
    let mut bytes = vec![0; content.size_bytes() as usize];
    content.read_at(0, &mut bytes).map_err(|error| Failure::because(format!("`{name}` cannot be read"), &error))?;
    Ok(Some(bytes))
}

/// Reads files; `-` is standard input, once.
#[derive(Default)]
struct FileReader {
    stdin_is_read: bool,
}

impl FileReader {
    fn read(&mut self, path: &Path) -> Result<Content, Failure> {
        let unreadable = |error| Failure::because(format!("`{}` cannot be read", path.display()), &error);
        if path != Path::new("-") {
            return content::of_file(path).map_err(unreadable);
        }
        if std::mem::replace(&mut self.stdin_is_read, true) {
            return Err(Failure::new("standard input is one file and not two").hint("give `-` once").code(2));
        }
        content::of_stream(std::io::stdin().lock()).map_err(unreadable)
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
