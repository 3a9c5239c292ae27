//! Reading a seed from a medium, whichever program made it.

use std::io::Read;
use std::sync::Arc;

use iso9660::{Iso, Names};
use storage::{Memory, Printable, ReadAt, Reader, WriteAt};

use crate::check::Role;
use crate::{Content, Error, Seed, tar};

/// The largest file of a seed that is read.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// The largest disk that a seed is read from, in bytes.
const MAX_DISK_BYTES: u64 = 128 << 20;
/// Where the magic bytes of an ISO 9660 are.
const ISO_MAGIC: (u64, &[u8]) = (32_769, b"CD001");
/// Those of a FAT's boot sector, and of an MBR.
const BOOT_MAGIC: (u64, &[u8]) = (510, &[0x55, 0xaa]);
const TAR_MAGIC: (u64, &[u8]) = (257, b"ustar");

/// What was found on a medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What the medium is.
    pub what: &'static str,
    /// The label by which cloud-init looks for it; `None` if it is not a disk.
    pub label: Option<String>,
    /// The files of a seed on it.
    pub files: Vec<(Role, Vec<u8>)>,
}

/// The content of the medium `storage`; `None` if its format is unknown. Nothing is written to it.
///
/// # Errors
///
/// [`Error::Medium`] if it is broken, or if a file on it is larger than [`MAX_FILE_BYTES`].
pub fn read(storage: Arc<dyn WriteAt>) -> Result<Option<Found>, Error> {
    if has(&storage, ISO_MAGIC)? {
        return iso(&storage).map(Some);
    }
    if has(&storage, TAR_MAGIC)? {
        return archive(&storage).map(Some);
    }
    if has(&storage, BOOT_MAGIC)? {
        return fat(storage);
    }
    Ok(None)
}

/// The seed on `disk`, if it is one that cloud-init finds: an ISO 9660 or a FAT with the label and both files.
///
/// # Errors
///
/// [`Error::NotASeed`] for what cloud-init would not take, and for a disk of more than 128 MiB; else as [`read`].
pub fn seed(disk: &dyn ReadAt) -> Result<Seed, Error> {
    let not_a_seed = |problem: String| Error::NotASeed { problem };
    if disk.size_bytes() > MAX_DISK_BYTES {
        let size_bytes = disk.size_bytes();
        return Err(not_a_seed(format!("it has {size_bytes} bytes, the limit is 128 MiB")));
    }
    let mut bytes = vec![0; disk.size_bytes() as usize];
    disk.read_at(0, &mut bytes)?;
    let found = read(Arc::new(Memory::from(bytes)))?;
    let Some(Found { label: Some(label), files, .. }) = found else {
        return Err(not_a_seed("it is neither an ISO 9660 nor a FAT".to_owned()));
    };
    // In small letters or in capitals, but not mixed.
    if !["cidata", "CIDATA"].contains(&label.as_str()) {
        return Err(not_a_seed(format!("its label is `{label}`, not `cidata`")));
    }
    let file = |role: Role| -> Option<Content> {
        let (_, bytes) = files.iter().find(|(found, _)| *found == role)?;
        Some(Arc::new(Memory::from(bytes.clone())))
    };
    let required = |role: Role| file(role).ok_or_else(|| not_a_seed(format!("there is no `{}`", role.name())));
    Ok(Seed {
        user_data: required(Role::UserData)?,
        meta_data: required(Role::MetaData)?,
        network_config: file(Role::NetworkConfig),
        vendor_data: file(Role::VendorData),
    })
}

const ROLES: [Role; 4] = [Role::UserData, Role::MetaData, Role::VendorData, Role::NetworkConfig];

fn has(storage: &dyn ReadAt, (offset, magic): (u64, &[u8])) -> Result<bool, Error> {
    let mut bytes = vec![0; magic.len()];
    if storage.size_bytes() < offset + magic.len() as u64 {
        return Ok(false);
    }
    storage.read_at(offset, &mut bytes)?;
    Ok(bytes == magic)
}

fn broken(what: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Medium { what, source: Box::new(error) }
}

fn too_large(what: &'static str, role: Role, size_bytes: u64) -> Error {
    let problem = format!("`{}` is too large: size_bytes={size_bytes}, the limit is {MAX_FILE_BYTES}", role.name());
    broken(what, std::io::Error::other(problem))
}

fn iso(storage: &dyn ReadAt) -> Result<Found, Error> {
    const WHAT: &str = "an ISO 9660";
    let iso = Iso::open(storage).map_err(|error| broken(WHAT, error))?;
    let mut found = Found {
        what: WHAT,
        label: Some(Printable(iso.volume_id().trim_end().as_bytes()).to_string()),
        files: Vec::new(),
    };
    let Some(names) = [Names::RockRidge, Names::Joliet].into_iter().find(|names| iso.has(*names)) else {
        // Plain names cannot have the `-` of a seed's names.
        return Ok(found);
    };
    for role in ROLES {
        let entry = match iso.find(names, &[role.name()]) {
            Ok(entry) => entry,
            Err(iso9660::Error::NotFound { .. }) => continue,
            Err(error) => return Err(broken(WHAT, error)),
        };
        if entry.size_bytes > MAX_FILE_BYTES {
            return Err(too_large(WHAT, role, entry.size_bytes));
        }
        let content = iso.content(&entry).map_err(|error| broken(WHAT, error))?;
        let mut bytes = Vec::new();
        for part in content.parts() {
            Reader::new(part).read_to_end(&mut bytes).map_err(|error| broken(WHAT, error))?;
        }
        found.files.push((role, bytes));
    }
    Ok(found)
}

fn fat(storage: Arc<dyn WriteAt>) -> Result<Option<Found>, Error> {
    const WHAT: &str = "a FAT";
    // A disk with partitions has the same magic.
    let Ok(filesystem) = fat::FileSystem::open(storage) else { return Ok(None) };
    let label = filesystem.label().map_err(|error| broken(WHAT, error))?;
    let mut found = Found { what: WHAT, label: Some(Printable(&label).to_string()), files: Vec::new() };
    let root: [&str; 0] = [];
    for entry in filesystem.read_directory(&root).map_err(|error| broken(WHAT, error))? {
        let Some(role) = ROLES.into_iter().find(|role| role.name() == entry.name) else { continue };
        if entry.metadata.size_bytes > MAX_FILE_BYTES {
            return Err(too_large(WHAT, role, entry.metadata.size_bytes));
        }
        let mut bytes = Vec::new();
        let mut reader = filesystem.reader(&[role.name()]).map_err(|error| broken(WHAT, error))?;
        reader.read_to_end(&mut bytes).map_err(|error| broken(WHAT, error))?;
        found.files.push((role, bytes));
    }
    Ok(Some(found))
}

fn archive(storage: &dyn ReadAt) -> Result<Found, Error> {
    const WHAT: &str = "a tar archive";
    let mut found = Found { what: WHAT, label: None, files: Vec::new() };
    for entry in tar::entries(storage)? {
        let name = entry.name.rsplit('/').next().unwrap_or_default();
        let Some(role) = ROLES.into_iter().find(|role| role.name() == name) else { continue };
        if entry.size_bytes > MAX_FILE_BYTES {
            return Err(too_large(WHAT, role, entry.size_bytes));
        }
        let mut bytes = vec![0; usize::try_from(entry.size_bytes).unwrap_or(usize::MAX)];
        storage.read_at(entry.offset, &mut bytes)?;
        found.files.push((role, bytes));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstanceId, Medium, MetaData, medium};

    fn example() -> Seed {
        let content = |text: &str| -> Content { Arc::new(Memory::from(text.as_bytes().to_vec())) };
        let meta_data = MetaData { local_hostname: b"web".to_vec(), ..MetaData::default() };
        let (user, vendor) = (content("#cloud-config\n{}\n"), content(&"#!/bin/sh\n".repeat(1000)));
        Seed::generate(user, None, Some(vendor), meta_data, InstanceId::FromContent).unwrap()
    }

    fn texts(seed: &Seed) -> Vec<(&'static str, Vec<u8>)> {
        let bytes = |content: &Content| {
            let mut bytes = vec![0; content.size_bytes() as usize];
            content.read_at(0, &mut bytes).unwrap();
            bytes
        };
        seed.files().into_iter().map(|(name, content)| (name, bytes(content))).collect()
    }

    #[test]
    fn a_disk_that_was_made_is_read_again() {
        for kind in [Medium::Iso, Medium::Vfat] {
            let disk = medium(&example(), kind, 1_700_000_000).unwrap();
            assert_eq!(texts(&seed(&disk).unwrap()), texts(&example()), "{kind:?}");
        }
    }

    #[test]
    fn a_disk_of_genisoimage_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("user-data"), "#cloud-config\n").unwrap();
        std::fs::write(folder.path().join("meta-data"), "").unwrap();
        let made = |label: &str, names: &[&str]| {
            let path = folder.path().join("seed.iso");
            let judge =
                testkit::judge::judge("genisoimage").args(["-quiet", "-volid", label, "-joliet", "-rock", "-o"]);
            judge.arg(&path).args(names.iter().map(|name| folder.path().join(name))).succeed();
            Memory::from(std::fs::read(path).unwrap())
        };
        let both = ["user-data", "meta-data"];
        let expected = vec![("user-data", b"#cloud-config\n".to_vec()), ("meta-data", Vec::new())];
        assert_eq!(texts(&seed(&made("cidata", &both)).unwrap()), expected);
        let problem = |disk: Memory| seed(&disk).unwrap_err().to_string();
        assert_eq!(problem(made("CiData", &both)), "it is not a seed: its label is `CiData`, not `cidata`");
        assert_eq!(problem(made("cidata", &both[..1])), "it is not a seed: there is no `meta-data`");
        assert_eq!(problem(Memory::from(vec![0; 4096])), "it is not a seed: it is neither an ISO 9660 nor a FAT");
    }
}
