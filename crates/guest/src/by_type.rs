//! Partitions that a guest mounts because of their type, if its fstab does not name the mount point.
//!
//! The rules are those of systemd-gpt-auto-generator(8) and of the Discoverable Partitions Specification: the
//! generator takes the first partition of each type on the root's disk, unless an attribute of the partition forbids
//! it, and mounts it if the directory is empty or missing. `/usr` is mounted earlier, by the initial RAM disk; in
//! CoreOS, whose `/usr` has a type of its own, by the kernel's command line.

use partition::{COREOS_USR, LINUX_HOME, LINUX_SRV, LINUX_USR_ARM64, LINUX_USR_X86_64, LINUX_VAR, LINUX_VAR_TMP, Uuid};

use crate::error::Error;
use crate::fstab;
use crate::guest::Guest;
use crate::metadata::FileKind;
use crate::mount::{Mount, Mounted};
use crate::path::GuestPath;
use crate::resolve::{LastLink, Lookup, lookup};
use crate::volume::Volume;

/// Bit 63 of a partition's attributes: do not mount it because of its type.
const NO_AUTO: u64 = 1 << 63;
/// The types of partitions that hold `/usr`.
const USR: [Uuid; 3] = [LINUX_USR_X86_64, LINUX_USR_ARM64, COREOS_USR];
/// What the generator mounts. Outer mount points come first.
const OTHERS: [(Uuid, &str); 4] =
    [(LINUX_HOME, "/home"), (LINUX_SRV, "/srv"), (LINUX_VAR, "/var"), (LINUX_VAR_TMP, "/var/tmp")];
/// Where the generator is installed.
const GENERATORS: [&str; 2] = [
    "/usr/lib/systemd/system-generators/systemd-gpt-auto-generator",
    "/lib/systemd/system-generators/systemd-gpt-auto-generator",
];
/// A file here replaces the generator; a link to nothing switches it off.
const SWITCHED_OFF: &str = "/etc/systemd/system-generators/systemd-gpt-auto-generator";

/// The index of the first partition that has one of these types and may be mounted because of it.
fn of_type(volumes: &[Volume], types: &[Uuid]) -> Option<usize> {
    volumes.iter().position(|volume| {
        let partition = volume.partition();
        partition.is_some_and(|one| types.iter().any(|&guid| one.kind.is(guid)) && one.attributes & NO_AUTO == 0)
    })
}

/// The index of the partition whose type and files say that it is `/usr`.
pub(crate) fn usr(volumes: &[Volume]) -> Option<usize> {
    of_type(volumes, &USR).filter(|&index| volumes[index].has_file(&["lib", "os-release"]))
}

impl Guest {
    /// Mounts the partitions that are mounted because of their type. `fstab` is the text of the guest's own.
    pub(crate) fn mount_by_type(&mut self, fstab: &str) -> Result<(), Error> {
        if let Some(index) = usr(&self.volumes) {
            self.mount_at("/usr", Mounted::whole(&self.volumes, index), fstab)?;
        }
        let wanted = OTHERS.map(|(guid, point)| (of_type(&self.volumes, &[guid]), guid, point));
        if wanted.iter().all(|(index, ..)| index.is_none()) || !self.has_generator()? {
            return Ok(());
        }
        for (index, guid, point) in wanted {
            let Some(index) = index.filter(|&index| index != self.root.volume) else { continue };
            let what = match guid {
                LINUX_VAR => Mounted::Undecided(self.volumes[index].to_string()),
                _ => Mounted::whole(&self.volumes, index),
            };
            self.mount_at(point, what, fstab)?;
        }
        Ok(())
    }

    /// Mounts `what` at `point`, if fstab does not name that and nothing is there.
    fn mount_at(&mut self, point: &str, what: Mounted, fstab: &str) -> Result<(), Error> {
        let path = GuestPath::new(point).map_err(|error| Error::bad_path(&GuestPath::root(), error))?;
        if fstab::names_mount_point(fstab, &path) {
            return Ok(());
        }
        let point = match lookup(self, &path, LastLink::Follow) {
            Ok(Lookup::Found(found)) if found.node.kind() == FileKind::Directory => found.path,
            // systemd makes the directory.
            Ok(Lookup::Missing { directory, names }) if names.len() == 1 => {
                directory.path.join(&names[0]).map_err(|error| Error::bad_path(&path, error))?
            }
            Ok(_) | Err(Error::Path { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.read_directory(&point) {
            Ok(entries) if !entries.is_empty() => return Ok(()),
            Ok(_) | Err(Error::Path { .. }) => {}
            Err(error) => return Err(error),
        }
        self.mounts.push(Mount { point, what });
        Ok(())
    }

    fn has_generator(&self) -> Result<bool, Error> {
        let is_there = |path: &str, last: LastLink| -> Result<bool, Error> {
            let path = GuestPath::new(path).map_err(|error| Error::bad_path(&GuestPath::root(), error))?;
            match self.find(&path, last) {
                Ok(_) => Ok(true),
                Err(Error::Path { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        if is_there(SWITCHED_OFF, LastLink::Keep)? {
            return Ok(false);
        }
        Ok(is_there(GENERATORS[0], LastLink::Follow)? || is_there(GENERATORS[1], LastLink::Follow)?)
    }
}
