//! Bases by name: found, verified, fetched, and remembered in a lock.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use catalogue::cache::Cache;
use catalogue::config::Mirror;
use catalogue::time::Time;
use catalogue::transport::Error as TransportError;
use catalogue::{
    Address, Base, Catalogue, Client, Config, Download, Entry, FindError, Finder, KeySources, Lock, Name, NameError,
    Transport, Verified, config, lock,
};

use registry::{Reference, Registry};

use crate::cli::base::BaseSource;
use crate::environment;
use crate::explain;
use crate::failure::Failure;
use crate::network::fetch_failure;
use crate::registries::{self, registry_failure};
use crate::show::DownloadProgress;
use crate::show::Messages;
use graft::{Folder, OutputFile};

/// The lock's name, beside the recipe.
const LOCK_NAME: &str = "imgraft.lock";
const FILE_MODE: u32 = 0o644;

/// Finds bases by name and fetches them.
pub(crate) struct Bases<'a> {
    source: &'a BaseSource,
    config: Config,
    client: Client,
    cache: Cache,
    messages: &'a Messages,
}

impl<'a> Bases<'a> {
    /// With what the arguments, the environment and the user's configuration say.
    pub(crate) fn new(source: &'a BaseSource, messages: &'a Messages) -> Result<Self, Failure> {
        let config = read_config()?;
        // Who names such a mirror wants it; lists that are neither signed nor come over TLS are refused all the same.
        let is_http = |url: &str| url.starts_with("http://");
        let allow_http = source.mirror.as_deref().is_some_and(is_http) || config.urls().any(is_http);
        let client = source.network.client(allow_http);
        Ok(Self { source, config, client, cache: source.network.cache.open()?, messages })
    }

    /// The machine that a base is for, where the recipe says `wanted`.
    pub(crate) fn architecture(&self, wanted: Option<&str>) -> String {
        let given = self.source.arch.as_deref().or(wanted);
        given.unwrap_or(host_architecture()).to_owned()
    }

    /// The base that `name` stands for now, as its publisher says; offline, as it did when that was found last.
    pub(crate) fn find(&self, name: &Name, architecture: &str) -> Result<Base, Failure> {
        name.check_architecture(Catalogue::builtin(), architecture).map_err(|error| name_failure(&error))?;
        if self.source.network.offline {
            return self.remembered(name, architecture);
        }
        let mirror = self.mirror(name);
        let keys = KeySources {
            keyring: self.source.keyring.clone().or(mirror.keyring),
            signers: [&self.source.signer[..], &mirror.signers].concat(),
            root: None,
        };
        let finder = Finder {
            catalogue: Catalogue::builtin(),
            transport: &self.client,
            keys: &keys,
            mirror: mirror.url.as_deref(),
            now: Time(environment::seconds_now()),
            insecure: self.source.insecure,
            detail: &|text| self.messages.detail(text),
        };
        let base = finder.find(name, architecture).map_err(|error| find_failure(name, &error))?;
        self.remember(&base);
        Ok(base)
    }

    /// The image of a base, which is fetched where the cache does not have it.
    pub(crate) fn get(&self, name: &Name, base: &Base) -> Result<Entry, TransportError> {
        let site = Catalogue::builtin().distribution(&name.distribution).map_or("", |found| &found.site);
        let download = base.download(site, self.mirror(name).url.as_deref());
        self.fetch(&download)
    }

    /// The image at an address.
    pub(crate) fn get_address(&self, address: &Address) -> Result<Entry, Failure> {
        let download = Download {
            name: address.file_name().to_owned(),
            urls: vec![address.url.clone()],
            digest: address.digest,
            size_bytes: None,
        };
        self.fetch(&download).map_err(|error| fetch_failure(&error))
    }

    /// The image of a registry that the reference `text` names by its digest, and what it is called.
    pub(crate) fn get_registry(&self, text: &str, architecture: &str) -> Result<(Entry, String), Failure> {
        let invalid = |error: registry::ReferenceError| {
            Failure::of(&error).hint("a base in a registry is `oci://REGISTRY/NAME@sha256:…`")
        };
        let reference: Reference = text.parse().map_err(invalid)?;
        let network = &self.source.network;
        let options = registries::options(&network.ca, network.offline);
        let failed = |error: registry::Error| registry_failure(&error, &reference);
        let login = registries::login(&reference)?;
        let registry = Registry::new(&reference, options, login, self.source.plain_http).map_err(failed)?;
        let Some(digest) = reference.digest else {
            let failure = Failure::new(format!("`{reference}` has no digest: what is there under a tag may change"));
            if network.offline {
                return Err(failure.hint("`imgraft publish` prints the reference with its digest"));
            }
            let found = registry.resolve(&reference).map_err(failed)?.digest;
            return Err(failure.hint(format!("write `{}`, which is there now", reference.with_digest(found))));
        };
        let progress = DownloadProgress::new(self.messages, reference.to_string());
        let pulled = registry.pull(&digest, architecture, &self.cache, &progress).map_err(failed)?;
        Ok((pulled.entry, reference.to_string()))
    }

    /// Says what a base is trusted for: loudly, where that is nothing.
    pub(crate) fn tell(&self, base: &Base) {
        match &base.verified {
            Verified::Nothing => {
                self.messages.warning(format_args!("{base} is {}", base.verified));
            }
            verified => self.messages.note(format_args!("{base}: {verified}")),
        }
    }

    fn fetch(&self, download: &Download) -> Result<Entry, TransportError> {
        let progress = DownloadProgress::new(self.messages, download.name.clone());
        self.client.fetch(download, &self.cache, &progress)
    }

    fn mirror(&self, name: &Name) -> Mirror {
        let configured = self.config.mirror(&name.distribution);
        Mirror { url: self.source.mirror.clone().or(configured.url), ..configured }
    }

    /// Keeps what was found, for when nobody can be asked. It is only a help, and nothing is said where it is not
    /// possible.
    fn remember(&self, base: &Base) {
        let path = self.memory(&base.name, &base.architecture);
        let mut memory = Lock::default();
        memory.put(base.clone());
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| write_file(&path, &memory));
        if let Err(error) = written {
            self.messages.detail(format_args!("`{}` cannot be written: {error}", path.display()));
        }
    }

    fn remembered(&self, name: &Name, architecture: &str) -> Result<Base, Failure> {
        let path = self.memory(&name.unpinned(), architecture);
        let text = read_file(&path, lock::LIMIT_BYTES).ok().flatten();
        let memory = text.and_then(|text| Lock::parse(&text).ok()).unwrap_or_default();
        let base = memory.get(name, architecture).filter(|base| base.is(name, architecture)).cloned();
        base.ok_or_else(|| {
            Failure::new(format!(
                "the cache does not know what `{name}` ({architecture}) is, and the network is not used offline"
            ))
            .hint("run it once without `--offline`: the cache knows it from then on")
        })
    }

    /// Where it is kept which base a name stood for.
    fn memory(&self, name: &str, architecture: &str) -> PathBuf {
        let file: String = name
            .chars()
            .map(|character| if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' })
            .collect();
        self.cache.folder().join("names").join(format!("{file}-{architecture}.toml"))
    }
}

/// This machine, as bases are named.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The lock beside a recipe.
pub(crate) struct LockFile {
    pub(crate) path: PathBuf,
    pub(crate) lock: Option<Lock>,
}

impl LockFile {
    /// The lock in `folder`, if there is one.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(LOCK_NAME);
        let unreadable = |error: &(dyn std::error::Error + 'static)| {
            Failure::because(format!("the lock `{}` cannot be read", path.display()), error)
        };
        let text = read_file(&path, lock::LIMIT_BYTES).map_err(|error| unreadable(&error))?;
        let lock = text
            .map(|text| Lock::parse(&text))
            .transpose()
            .map_err(|error| unreadable(&error).hint("`imgraft update` writes a new one where there is none"))?;
        Ok(Self { path, lock })
    }

    /// The base of this name, whichever build it is.
    pub(crate) fn get(&self, name: &Name, architecture: &str) -> Option<&Base> {
        self.lock.as_ref().and_then(|lock| lock.get(name, architecture))
    }

    /// Has it say this base, all or nothing.
    pub(crate) fn put(&mut self, base: Base) -> Result<(), Failure> {
        let mut lock = self.lock.take().unwrap_or_default();
        lock.put(base);
        write_file(&self.path, &lock).map_err(|error| {
            Failure::because(format!("the lock `{}` cannot be written", self.path.display()), &error)
        })?;
        self.lock = Some(lock);
        Ok(())
    }
}

/// What is said of an invalid name.
pub(crate) fn name_failure(error: &NameError) -> Failure {
    hinted(Failure::of(error), error.hint())
}

/// What is said of a name that was not found.
fn find_failure(name: &Name, error: &FindError) -> Failure {
    match error {
        FindError::Name(error) => name_failure(error),
        FindError::Transport(error) if error.is_unreachable() => {
            let who =
                error.unreachable_proxy().map_or("its publisher".to_owned(), |proxy| format!("the proxy `{proxy}`"));
            fetch_failure(error).within(format!("`{name}` could not be looked up: {who} could not be reached"))
        }
        FindError::Transport(error) if error.is_untrusted() => {
            fetch_failure(error).within(format!("`{name}` could not be looked up: a certificate is not trusted"))
        }
        FindError::Transport(error) => fetch_failure(error).within(format!("`{name}` was not found")),
        _ => {
            let is_about_trust =
                matches!(error, FindError::Refused { .. } | FindError::NotTls { .. } | FindError::Keys(_));
            hinted(Failure::because(format!("`{name}` was not found"), error), error.hint())
                .about(is_about_trust.then_some(&explain::UNVERIFIED))
        }
    }
}

fn hinted(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The user's configuration.
fn read_config() -> Result<Config, Failure> {
    let Some(path) = config_path() else { return Ok(Config::default()) };
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Failure::because(format!("the configuration `{}` cannot be read", path.display()), error)
    };
    match read_file(&path, config::LIMIT_BYTES).map_err(|error| unreadable(&error))? {
        Some(text) => Config::parse(Catalogue::builtin(), &text).map_err(|error| unreadable(&error)),
        None => Ok(Config::default()),
    }
}

fn config_path() -> Option<PathBuf> {
    let folder = if cfg!(target_os = "macos") {
        environment::home()?.join("Library/Application Support")
    } else {
        environment::config_home()?
    };
    Some(folder.join("imgraft/config.toml"))
}

/// The text of a file, if it is there.
pub(crate) fn read_file(path: &Path, limit_bytes: u64) -> io::Result<Option<String>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > limit_bytes => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => std::fs::read_to_string(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file, all or nothing.
fn write_file(path: &Path, content: &impl Display) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let output = OutputFile::create(Folder::open(folder)?, name, FILE_MODE)?;
    io::Write::write_all(&mut output.file(), content.to_string().as_bytes())?;
    output.publish()
}
