//! The source of the seeds that are served.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::{FileStorage, Memory};

use crate::digest::ContentDigest;
use crate::{Content, Error, MetaData, Seed};

/// How many digits of the digest an instance-id has: 128 bits.
const ID_DIGITS: usize = 32;
/// The longest name of an instance, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// The longest host name that a guest gets, in bytes.
const MAX_HOSTNAME_BYTES: usize = 63;

/// One of a seed's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeedFile {
    UserData,
    MetaData,
    NetworkConfig,
    VendorData,
}

impl SeedFile {
    const ALL: [Self; 4] = [Self::UserData, Self::MetaData, Self::NetworkConfig, Self::VendorData];

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UserData => "user-data",
            Self::MetaData => "meta-data",
            Self::NetworkConfig => "network-config",
            Self::VendorData => "vendor-data",
        }
    }

    fn of(self, seed: &Seed) -> Option<&Content> {
        match self {
            Self::UserData => Some(&seed.user_data),
            Self::MetaData => Some(&seed.meta_data),
            Self::NetworkConfig => seed.network_config.as_ref(),
            Self::VendorData => seed.vendor_data.as_ref(),
        }
    }
}

/// The seeds of all instances: a shared one and, in a folder, files for single instances.
///
/// In the folder, `user-data`, `meta-data`, `network-config` and `vendor-data` replace those of the shared seed;
/// a folder in it is an instance of that name, whose files replace the shared ones. Files are read when they
/// are requested. Other files of the folder are served only with [`Seeds::with_other_files`], and never
/// hidden ones. Without a folder, every name is that of an instance.
#[derive(Debug)]
pub struct Seeds {
    shared: Seed,
    /// The digest of the shared seed.
    digest: [u8; 32],
    /// The content of each generated `meta-data`; `None` if all instances get the shared one.
    meta_data: Option<MetaData>,
    /// Absolute and without symlinks.
    folder: Option<PathBuf>,
    /// Whether files that do not belong to seeds are served, too.
    has_other_files: bool,
}

/// The folder of an instance's own files.
enum Place {
    /// There is no such instance.
    Nowhere,
    /// It has none.
    Shared,
    /// Here.
    Folder(PathBuf),
}

impl Seeds {
    /// Instances that get `shared`. With `meta_data`, each gets its own copy of it,
    /// with another instance-id, and with the instance's name if that is a valid host name.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the seed cannot be read.
    pub fn new(shared: Seed, meta_data: Option<MetaData>) -> Result<Self, Error> {
        let digest = ContentDigest::of_files(shared.files().into_iter())?.finish();
        Ok(Self { shared, digest, meta_data, folder: None, has_other_files: false })
    }

    /// The same, with the files of a folder.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is not a folder.
    pub fn with_folder(mut self, folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        if !folder.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        self.folder = Some(folder);
        Ok(self)
    }

    /// The same, with all files of the folder except hidden ones, for `#include` in a seed for example.
    #[must_use]
    pub fn with_other_files(self) -> Self {
        Self { has_other_files: true, ..self }
    }

    /// A seed's file: the instance's own, or else the shared one. It is empty if neither exists, and
    /// `None` if there is no such instance.
    pub(super) fn file(&self, instance: Option<&str>, file: SeedFile) -> io::Result<Option<Content>> {
        let place = self.place(instance)?;
        if let Place::Nowhere = place {
            return Ok(None);
        }
        if let Some(content) = self.own(&place, file)? {
            return Ok(Some(content));
        }
        match &self.meta_data {
            Some(meta_data) if file == SeedFile::MetaData => self.make_meta_data(instance, &place, meta_data).map(Some),
            _ => Ok(Some(file.of(&self.shared).cloned().unwrap_or_else(|| Arc::new(Memory::default())))),
        }
    }

    /// Any other file of the folder, if those are served. Names that begin with a dot are not served: they may be a
    /// repository or keys. Symlinks in the folder are followed within it, as Kubernetes makes `user-data` lead to
    /// `..data/user-data`.
    pub(super) fn other(&self, segments: &[String]) -> io::Result<Option<Content>> {
        match &self.folder {
            Some(folder)
                if self.has_other_files && !segments.is_empty() && !segments.iter().any(|name| is_hidden(name)) =>
            {
                self.open(&segments.iter().fold(folder.clone(), |path, name| path.join(name)))
            }
            _ => Ok(None),
        }
    }

    /// A digest of what all instances share.
    ///
    /// # Errors
    ///
    /// If a file in the folder cannot be read.
    pub fn digest(&self) -> io::Result<[u8; 32]> {
        self.digest_of("", &self.place(None)?).map(|(digest, _)| digest)
    }

    fn make_meta_data(&self, instance: Option<&str>, place: &Place, meta_data: &MetaData) -> io::Result<Content> {
        // However the name is spelled, it is the same instance.
        let name = match (place, instance) {
            (Place::Folder(folder), Some(name)) => folder.file_name().and_then(OsStr::to_str).unwrap_or(name),
            (_, name) => name.unwrap_or_default(),
        };
        let (digest, has_own) = self.digest_of(name, place)?;
        if instance.is_none() && !has_own {
            return Ok(Arc::clone(&self.shared.meta_data));
        }
        let mut meta_data = meta_data.clone();
        if is_hostname(name) {
            meta_data.local_hostname = name.as_bytes().to_vec();
        }
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Arc::new(Memory::from(meta_data.to_json(&format!("iid-{}", &digits[..ID_DIGITS])))))
    }

    /// A digest of everything that an instance gets, and whether any of it is its own.
    fn digest_of(&self, name: &str, place: &Place) -> io::Result<([u8; 32], bool)> {
        let mut own = Vec::new();
        for file in SeedFile::ALL {
            own.extend(self.own(place, file)?.map(|content| (file.name(), content)));
        }
        let files = own.iter().map(|(name, content)| (*name, content));
        let mut digest = ContentDigest::of_files(files).map_err(io::Error::other)?;
        digest.add("shared", &self.digest);
        digest.add("name", name.as_bytes());
        Ok((digest.finish(), !own.is_empty()))
    }

    fn own(&self, place: &Place, file: SeedFile) -> io::Result<Option<Content>> {
        match place {
            Place::Folder(folder) => self.open(&folder.join(file.name())),
            Place::Nowhere | Place::Shared => Ok(None),
        }
    }

    fn place(&self, instance: Option<&str>) -> io::Result<Place> {
        let (folder, name) = match (&self.folder, instance) {
            (_, Some(name)) if !is_name(name) => return Ok(Place::Nowhere),
            (None, _) => return Ok(Place::Shared),
            (Some(folder), None) => return Ok(Place::Folder(folder.clone())),
            (Some(folder), Some(name)) => (folder, name),
        };
        for spelling in spellings(name) {
            match fs::metadata(folder.join(&spelling)) {
                Ok(metadata) if metadata.is_dir() => return Ok(Place::Folder(folder.join(spelling))),
                Ok(_) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Place::Nowhere)
    }

    /// The regular file at `path`, if it exists and is in the folder after symlinks are followed.
    fn open(&self, path: &Path) -> io::Result<Option<Content>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let real = match path.canonicalize() {
            Ok(real) if real.starts_with(folder) => real,
            Ok(_) => return Ok(None),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // This is checked before it is opened: opening a pipe would wait for a writer.
        if !fs::metadata(&real)?.is_file() {
            return Ok(None);
        }
        Ok(Some(Arc::new(FileStorage::new(File::open(real)?)?)))
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::LOOP)
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Whether an instance can have this name: a valid file name that is not hidden.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && !is_hidden(name)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

/// The name itself and the forms that firmware may give it: serial numbers and UUIDs in capitals, hardware
/// addresses with `-`.
fn spellings(name: &str) -> Vec<String> {
    let lower = name.to_ascii_lowercase();
    let mut spellings = vec![name.to_owned(), lower.clone()];
    let is_hardware_address = lower.len() == 17
        && lower.bytes().enumerate().all(|(index, byte)| match index % 3 {
            2 => matches!(byte, b':' | b'-'),
            _ => byte.is_ascii_hexdigit(),
        });
    if is_hardware_address {
        spellings.extend([lower.replace('-', ":"), lower.replace(':', "-")]);
    }
    spellings
}

fn is_hostname(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_HOSTNAME_BYTES && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstanceId;
    use std::os::unix::fs::symlink;
    use storage::ReadAt;

    fn read(content: Option<Content>) -> Option<String> {
        let content = content?;
        let mut bytes = vec![0; content.size_bytes() as usize];
        content.read_at(0, &mut bytes).unwrap();
        Some(String::from_utf8(bytes).unwrap())
    }

    fn seeds() -> Seeds {
        let user_data = Arc::new(Memory::from(b"shared".to_vec()));
        let meta_data = MetaData { local_hostname: b"web".to_vec(), ..MetaData::default() };
        let seed = Seed::generate(user_data, None, None, meta_data.clone(), InstanceId::FromContent).unwrap();
        Seeds::new(seed, Some(meta_data)).unwrap()
    }

    #[test]
    fn every_instance_has_an_instance_id() {
        let seeds = seeds();
        let meta_data = |name: &str| read(seeds.file(Some(name), SeedFile::MetaData).unwrap()).unwrap();
        assert_eq!(read(seeds.file(Some("one"), SeedFile::UserData).unwrap()).unwrap(), "shared");
        assert_eq!(read(seeds.file(Some("one"), SeedFile::VendorData).unwrap()).unwrap(), "");
        assert!(meta_data("one").contains("\"local-hostname\": \"one\""));
        assert!(meta_data("52:54:00:00:00:01").contains("\"local-hostname\": \"web\""));
        assert_ne!(meta_data("one"), meta_data("two"));
        assert_eq!(meta_data("one"), meta_data("one"));
        for name in ["", ".hidden", "a b", "ö", &"x".repeat(129)] {
            assert!(seeds.file(Some(name), SeedFile::UserData).unwrap().is_none(), "{name}");
        }
    }

    #[test]
    fn what_is_in_the_folder_goes_before_and_what_is_not_in_it_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["52-54-00-AA-bb-01", "52-54-00-aa-bb-02", "web-1", "empty"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("52-54-00-aa-bb-02/user-data"), "mine").unwrap();
        fs::write(path("web-1/extra"), "more").unwrap();
        symlink(outside.path(), path("web-1/user-data")).unwrap();
        symlink("..", path("web-1/up")).unwrap();
        symlink("/", path("root")).unwrap();
        symlink("loop", path("loop")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("empty/vendor-data"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        let strict = seeds().with_folder(folder.path()).unwrap();
        let seeds = seeds().with_folder(folder.path()).unwrap().with_other_files();
        let user_data = |name: &str| read(seeds.file(Some(name), SeedFile::UserData).unwrap());
        assert_eq!(user_data("52:54:00:AA:BB:02").unwrap(), "mine");
        assert_eq!(user_data("web-1").unwrap(), "shared", "a symlink that leads out is none");
        assert_eq!(read(seeds.file(Some("empty"), SeedFile::VendorData).unwrap()).unwrap(), "", "a pipe is no file");
        for name in ["web-2", "loop", "extra"] {
            assert_eq!(user_data(name), None, "{name}");
        }
        let other_of = |seeds: &Seeds, path: &[&str]| {
            let segments: Vec<String> = path.iter().map(|&segment| segment.to_owned()).collect();
            read(seeds.other(&segments).unwrap())
        };
        let other = |path: &[&str]| other_of(&seeds, path);
        assert_eq!(other_of(&strict, &["web-1", "extra"]), None, "it is no seed's");
        assert_eq!(other(&["web-1", "extra"]).unwrap(), "more");
        assert_eq!(other(&["web-1", "up", "web-1", "extra"]).unwrap(), "more", "this one stays in");
        for outside in
            [&["root", "etc", "passwd"][..], &["web-1"], &["loop"], &["web-1", "extra", "x"], &["web-1", "user-data"]]
        {
            assert_eq!(other(outside), None, "{outside:?}");
        }

        let meta_data = |name| read(seeds.file(name, SeedFile::MetaData).unwrap()).unwrap();
        assert_eq!(meta_data(Some("52:54:00:AA:BB:02")), meta_data(Some("52-54-00-aa-bb-02")));
        assert_ne!(meta_data(Some("52-54-00-aa-bb-02")), meta_data(Some("52-54-00-AA-bb-01")));
        let (all, one) = (meta_data(None), meta_data(Some("web-1")));
        assert_eq!(all, read(Some(Arc::clone(&seeds.shared.meta_data))).unwrap());
        fs::write(path("web-1/network-config"), "version: 2").unwrap();
        assert_ne!(meta_data(Some("web-1")), one);
        fs::write(path("user-data"), "all").unwrap();
        assert_ne!(meta_data(None), all);
        assert!(meta_data(None).contains("\"local-hostname\": \"web\""));
        assert_eq!(read(seeds.file(None, SeedFile::UserData).unwrap()).unwrap(), "all");
    }
}
