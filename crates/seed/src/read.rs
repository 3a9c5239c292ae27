//! A seed that is on a disk already.

use std::sync::Arc;

use fat::FileSystem;
use iso9660::{Iso, Names};
use storage::{Memory, ReadAt};

use crate::{Content, Error, Seed};

/// The largest disk that is read, in bytes.
const MAX_DISK_BYTES: u64 = 128 << 20;

/// The seed on `disk`: an ISO 9660 or a FAT that cloud-init finds by its label.
///
/// # Errors
///
/// [`Error::NotASeed`] for what cloud-init would not take, and for a disk of more than 128 MiB; [`Error::Iso`],
/// [`Error::Vfat`] and [`Error::Storage`] where it cannot be read.
pub fn read(disk: &dyn ReadAt) -> Result<Seed, Error> {
    if disk.size_bytes() > MAX_DISK_BYTES {
        return Err(not_a_seed(format!(
            "it has {} bytes, and one of more than 128 MiB is not read",
            disk.size_bytes()
        )));
    }
    let mut bytes = vec![0; disk.size_bytes() as usize];
    disk.read_at(0, &mut bytes)?;
    let disk = Arc::new(Memory::from(bytes));
    let mut files = match Iso::open(Arc::clone(&disk)) {
        Ok(iso) => {
            check_label(iso.volume_id())?;
            let names = [Names::RockRidge, Names::Joliet].into_iter().find(|names| iso.has(*names));
            let names = names.ok_or_else(|| not_a_seed("it has neither Rock Ridge nor Joliet".to_owned()))?;
            NAMES.map(|name| of_iso(&iso, names, name))
        }
        Err(iso9660::Error::NotAnIso) => {
            let volume =
                FileSystem::open(disk).map_err(|_| not_a_seed("it is neither an ISO 9660 nor a FAT".to_owned()))?;
            check_label(&volume.label().map_err(Error::Vfat)?)?;
            NAMES.map(|name| of_fat(&volume, name))
        }
        Err(error) => return Err(Error::Iso(error)),
    };
    let mut take = |index: usize| std::mem::replace(&mut files[index], Ok(None));
    let required = |found: Result<Option<Content>, Error>, name: &str| {
        found?.ok_or_else(|| not_a_seed(format!("there is no `{name}`")))
    };
    Ok(Seed {
        user_data: required(take(0), NAMES[0])?,
        meta_data: required(take(1), NAMES[1])?,
        network_config: take(2)?,
        vendor_data: take(3)?,
    })
}

const NAMES: [&str; 4] = ["user-data", "meta-data", "network-config", "vendor-data"];

/// cloud-init finds a label in small letters or in capitals.
fn check_label(label: &str) -> Result<(), Error> {
    match label {
        "cidata" | "CIDATA" => Ok(()),
        _ => Err(not_a_seed(format!("its label is `{label}` and not `cidata`"))),
    }
}

fn of_iso(iso: &Iso<Arc<Memory>>, names: Names, name: &str) -> Result<Option<Content>, Error> {
    let entry = match iso.find(names, &[name]) {
        Ok(entry) => entry,
        Err(iso9660::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Error::Iso(error)),
    };
    let content = iso.content(&entry).map_err(Error::Iso)?;
    let mut bytes = Vec::new();
    for part in content.parts() {
        let begin = bytes.len();
        // All of it is on the disk, which is in memory.
        bytes.resize(begin + part.size_bytes() as usize, 0);
        part.read_at(0, &mut bytes[begin..])?;
    }
    Ok(Some(Arc::new(Memory::from(bytes))))
}

fn of_fat(volume: &FileSystem<Arc<Memory>>, name: &str) -> Result<Option<Content>, Error> {
    let mut reader = match volume.reader(&[name]) {
        Ok(reader) => reader,
        Err(fat::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Error::Vfat(error)),
    };
    let mut bytes = Vec::new();
    std::io::copy(&mut reader, &mut bytes).map_err(|error| not_a_seed(format!("`{name}` cannot be read: {error}")))?;
    Ok(Some(Arc::new(Memory::from(bytes))))
}

fn not_a_seed(problem: String) -> Error {
    Error::NotASeed { problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstanceId, Medium, MetaData, medium};

    fn seed() -> Seed {
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
            let disk = medium(&seed(), kind, 1_700_000_000).unwrap();
            assert_eq!(texts(&read(&disk).unwrap()), texts(&seed()), "{kind:?}");
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
        assert_eq!(texts(&read(&made("cidata", &both)).unwrap()), expected);
        let problem = |disk: Memory| read(&disk).unwrap_err().to_string();
        assert_eq!(problem(made("CiData", &both)), "it is no seed: its label is `CiData` and not `cidata`");
        assert_eq!(problem(made("cidata", &both[..1])), "it is no seed: there is no `meta-data`");
        assert_eq!(problem(Memory::from(vec![0; 4096])), "it is no seed: it is neither an ISO 9660 nor a FAT");
    }
}
