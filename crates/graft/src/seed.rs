//! What a guest gets at its first boot: files, and what is said without one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use customize::authorized_keys;
use recipe::SyntaxError;
use seed::check::{Document, Renderer, Report, Role, check_for};
use seed::{Content, InstanceId, MetaData, Part, Seed, UserData};
use storage::{Memory, ReadAt};
use thiserror::Error;

use crate::content;

/// The largest file that is put beside others into one, in bytes.
const PART_LIMIT_BYTES: u64 = 16 << 20;
/// The largest file of public keys, in bytes.
const KEYS_LIMIT_BYTES: u64 = 1 << 20;

/// What a seed is made of. Without any of it, the seed is empty.
///
/// ```no_run
/// use graft::{SeedSource, write_seed};
/// use seed::Medium;
///
/// # fn main() -> Result<(), graft::SeedError> {
/// let source = SeedSource { users: vec!["ada".to_owned()], packages: vec!["git".to_owned()], ..SeedSource::default() };
/// write_seed(&source.seed()?, Medium::Iso, None, "seed.iso".as_ref())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SeedSource {
    /// What the guest's user wants: cloud-config, a script, …. Several are put into one message.
    pub user_data: Vec<SeedFile>,
    /// Users like the image's own: with sudo and without a password.
    pub users: Vec<String>,
    /// Keys that let somebody in: as each of `users`, or without one as the image's own user.
    pub ssh_keys: Vec<SshKeys>,
    /// Packages that the guest installs.
    pub packages: Vec<String>,
    /// Commands that the guest runs in a shell, as root, when all else has been done.
    pub commands: Vec<String>,
    /// The guest's time zone: `Europe/Berlin`.
    pub timezone: Option<String>,
    /// The guest's name. It has no effect beside `meta_data`.
    pub hostname: Option<String>,
    /// The whole of meta-data. Without it, that has an instance-id made of the seed's content.
    pub meta_data: Option<SeedFile>,
    /// The guest's network, as cloud-init or netplan has it.
    pub network_config: Option<SeedFile>,
    /// What the platform wants.
    pub vendor_data: Option<SeedFile>,
}

/// A file of a seed.
#[derive(Clone)]
pub enum SeedFile {
    /// A file of the host.
    File(PathBuf),
    /// Content that has been read, and what it is called in messages.
    Read(PathBuf, Content),
}

/// Where public keys are.
#[derive(Clone, Debug)]
pub enum SshKeys {
    /// Here: lines as `authorized_keys` has them.
    Text(String),
    /// In a file of such lines.
    File(SeedFile),
}

/// Why there is no seed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SeedError {
    /// A file cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// Content that was read before cannot be read again.
    #[error("`{}` cannot be read", path.display())]
    Content {
        /// What it is called.
        path: PathBuf,
        /// Why.
        #[source]
        error: storage::Error,
    },
    /// A file of public keys is larger than 1 MiB.
    #[error("`{}` is not a file of public keys: it is larger than 1 MiB", path.display())]
    KeysTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A private key was given, which is not to leave the host.
    #[error("`{}` is a private key, which stays where it is", path.display())]
    PrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// There are no public keys in a file.
    #[error("`{}` has no keys", path.display())]
    NoKeys {
        /// The file.
        path: PathBuf,
        /// What is there.
        #[source]
        error: SyntaxError,
    },
    /// A text is not a public key.
    #[error(transparent)]
    Key(#[from] SyntaxError),
    /// A file of user-data that is to be beside others is larger than 16 MiB.
    #[error("`{}` is larger than 16 MiB, too large for a file beside others", path.display())]
    PartTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file of user-data that is to be beside others does not say what it is.
    #[error("`{}` does not say what it is: it begins with `{start}`", path.display())]
    UnknownPart {
        /// The file.
        path: PathBuf,
        /// How it begins.
        start: String,
    },
    /// The seed or its medium cannot be made.
    #[error(transparent)]
    Seed(#[from] seed::Error),
    /// The medium cannot be in the container.
    #[error(transparent)]
    Container(#[from] image::Error),
    /// The medium's file cannot be written.
    #[error("`{}` cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// A temporary file cannot be written.
    #[error("a temporary file cannot be written")]
    Temporary(#[source] io::Error),
    /// Whatever a medium is streamed to does not take it.
    #[error("the medium cannot be written")]
    Stream(#[source] io::Error),
}

impl SeedSource {
    /// Whether a file of user-data stays as it is.
    fn wants_nothing_else(&self) -> bool {
        let Self { users, ssh_keys, packages, commands, timezone, .. } = self;
        users.is_empty() && ssh_keys.is_empty() && packages.is_empty() && commands.is_empty() && timezone.is_none()
    }

    /// Users who cannot log in: they are made, no key is given, and nothing else of the seed could set a password.
    pub fn users_without_a_way_in(&self) -> &[String] {
        let could_be_elsewhere = !self.ssh_keys.is_empty()
            || !self.user_data.is_empty()
            || !self.commands.is_empty()
            || self.vendor_data.is_some();
        if could_be_elsewhere { &[] } else { &self.users }
    }

    /// The seed, with all files read. Nothing in it is checked: [`check`](Self::check) does that.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, invalid keys, and what cannot be put beside others.
    pub fn seed(&self) -> Result<Seed, SeedError> {
        self.seed_and_keys().map(|(seed, _)| seed)
    }

    /// As [`seed`](Self::seed), with the keys that let somebody in, a line of `authorized_keys` each, for where there is
    /// another place for them, too. A file may be a pipe, which is read once.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn seed_and_keys(&self) -> Result<(Seed, Vec<String>), SeedError> {
        let keys = self.authorized_keys()?;
        let user_data = self.user_data(&keys)?;
        let read = |file: &Option<SeedFile>| file.as_ref().map(SeedFile::content).transpose();
        let (network_config, vendor_data) = (read(&self.network_config)?, read(&self.vendor_data)?);
        if let Some(meta_data) = &self.meta_data {
            return Ok((Seed { user_data, meta_data: meta_data.content()?, network_config, vendor_data }, keys));
        }
        let local_hostname = self.hostname.clone().unwrap_or_default().into_bytes();
        let meta_data = MetaData { local_hostname, ..MetaData::default() };
        let seed = Seed::generate(user_data, network_config, vendor_data, meta_data, InstanceId::FromContent)?;
        Ok((seed, keys))
    }

    fn authorized_keys(&self) -> Result<Vec<String>, SeedError> {
        let mut all = Vec::new();
        for keys in &self.ssh_keys {
            for key in keys.read()? {
                if !all.contains(&key) {
                    all.push(key);
                }
            }
        }
        Ok(all)
    }

    /// What cloud-init would find wrong with `seed`, which was made of this: its files have the names that they have
    /// here. `renderer` sets up the guest's network.
    ///
    /// # Errors
    ///
    /// Content that cannot be read.
    pub fn check(&self, seed: &Seed, renderer: Renderer) -> Result<Report, SeedError> {
        const ROLES: [Role; 4] = [Role::UserData, Role::MetaData, Role::VendorData, Role::NetworkConfig];
        let mut files: Vec<(Role, String, Vec<u8>)> = Vec::new();
        for (name, content) in seed.files() {
            let Some(role) = ROLES.into_iter().find(|role| role.name() == name) else { continue };
            let name = self.name(role);
            let limit_bytes = seed::read::MAX_FILE_BYTES;
            let bytes = bytes(content, limit_bytes).map_err(|error| SeedError::Content { path: (&name).into(), error });
            if let Some(bytes) = bytes? {
                files.push((role, name, bytes));
            }
        }
        let documents = files.iter().map(|(role, name, bytes)| Document { name, role: *role, bytes });
        Ok(check_for(renderer, &documents.collect::<Vec<_>>()))
    }

    /// The user's own file, where it goes into the seed as it is.
    fn name(&self, role: Role) -> String {
        let file = match (role, &self.user_data[..]) {
            (Role::UserData, [file]) if self.wants_nothing_else() => Some(file),
            (Role::UserData, _) => None,
            (Role::VendorData, _) => self.vendor_data.as_ref(),
            (Role::NetworkConfig, _) => self.network_config.as_ref(),
            (Role::MetaData, _) => self.meta_data.as_ref(),
        };
        file.map_or_else(|| role.name().to_owned(), |file| file.path().display().to_string())
    }

    /// The one file as it is, or what is said without one, or all of them in one.
    fn user_data(&self, ssh_authorized_keys: &[String]) -> Result<Content, SeedError> {
        let wanted = UserData {
            users: self.users.clone(),
            ssh_authorized_keys: ssh_authorized_keys.to_vec(),
            packages: self.packages.clone(),
            commands: self.commands.clone(),
            timezone: self.timezone.clone(),
        };
        if let ([file], true) = (&self.user_data[..], wanted.is_empty()) {
            return file.content();
        }
        let mut parts = Vec::with_capacity(self.user_data.len() + 1);
        for file in &self.user_data {
            parts.extend(file.part()?);
        }
        if parts.is_empty() && wanted.is_empty() {
            return Ok(Arc::new(Memory::default()));
        }
        let config = wanted.to_cloud_config();
        if parts.is_empty() {
            return Ok(Arc::new(Memory::from(config)));
        }
        // What was said now is the last word.
        parts.extend(Part::new("flags", config).filter(|_| !wanted.is_empty()));
        Ok(Arc::new(Memory::from(seed::multipart(&parts))))
    }
}

impl SshKeys {
    /// The keys, a line of `authorized_keys` each.
    fn read(&self) -> Result<Vec<String>, SeedError> {
        let lines = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
        let file = match self {
            Self::Text(text) => return Ok(lines(authorized_keys(text)?)),
            Self::File(file) => file,
        };
        let path = || file.path().to_owned();
        let bytes = file.bytes(KEYS_LIMIT_BYTES)?.ok_or_else(|| SeedError::KeysTooLarge { path: path() })?;
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("PRIVATE KEY-----") {
            return Err(SeedError::PrivateKey { path: path() });
        }
        authorized_keys(&text).map(lines).map_err(|error| SeedError::NoKeys { path: path(), error })
    }
}

impl SeedFile {
    /// What it is called.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Read(path, _) => path,
        }
    }

    fn content(&self) -> Result<Content, SeedError> {
        match self {
            Self::File(path) => {
                content::of_file(path).map_err(|error| SeedError::Unreadable { path: path.clone(), error })
            }
            Self::Read(_, content) => Ok(Arc::clone(content)),
        }
    }

    /// All of it; nothing where it is larger than `limit_bytes`.
    fn bytes(&self, limit_bytes: u64) -> Result<Option<Vec<u8>>, SeedError> {
        let path = || self.path().to_owned();
        bytes(&*self.content()?, limit_bytes).map_err(|error| SeedError::Content { path: path(), error })
    }

    /// The file as a part beside others; nothing where it is empty.
    fn part(&self) -> Result<Option<Part>, SeedError> {
        let path = || self.path().to_owned();
        let content = self.bytes(PART_LIMIT_BYTES)?.ok_or_else(|| SeedError::PartTooLarge { path: path() })?;
        if content.trim_ascii().is_empty() {
            return Ok(None);
        }
        let name = self.path().file_name().unwrap_or_default().to_string_lossy();
        let start = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let start: String = String::from_utf8_lossy(start).trim().chars().take(40).collect();
        Part::new(&name, content).ok_or_else(|| SeedError::UnknownPart { path: path(), start }).map(Some)
    }
}

impl std::fmt::Debug for SeedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SeedFile({})", self.path().display())
    }
}

/// All of `content`; nothing where it is larger than `limit_bytes`.
fn bytes(content: &dyn ReadAt, limit_bytes: u64) -> storage::Result<Option<Vec<u8>>> {
    if content.size_bytes() > limit_bytes {
        return Ok(None);
    }
    let mut bytes = vec![0; content.size_bytes() as usize];
    content.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}
