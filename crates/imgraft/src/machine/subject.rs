//! The image that is started: what QEMU has to be told of it, and what is in it.

use std::path::{Path, PathBuf};

use graft::{OpenedFile, OpenedImage, in_one_line, scratch_disk, temporary_folder};
use guest::Guest;
use image::Format;
use vm::Needs;

use crate::cli::Backing;
use crate::failure::Failure;
use crate::show::Messages;

/// What an image is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It stays as it is.
    Throwaway,
    /// The guest writes to it.
    Persist,
}

/// An image that is started.
pub(crate) struct Subject {
    /// The name that the user has for it.
    pub(crate) name: PathBuf,
    /// Where it is, whatever the current folder is.
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) needs: Needs,
    /// The guest in it, or why there is none that can be looked into: such an image may well start.
    pub(crate) guest: Result<Guest, String>,
}

impl Subject {
    /// Opens the image at `path`. It is locked against writers until this is dropped, which has to be before QEMU
    /// starts to [persist](Use::Persist).
    pub(crate) fn open(path: &Path, purpose: Use, backing: Backing, messages: &Messages) -> Result<Self, Failure> {
        let unusable =
            |error: &dyn std::error::Error| Failure::new(format!("`{}` cannot be used: {error}", path.display()));
        let opened = match purpose {
            Use::Throwaway => OpenedFile::open(path)?,
            Use::Persist => OpenedFile::open_in_place(path, false)?,
        };
        refuse_compressed(&opened)?;
        let OpenedImage { image, .. } = opened.image(backing.into(), &temporary_folder(), &messages.watcher())?;
        let format = image.info().format;
        if format == Format::Vmdk && purpose == Use::Persist {
            return Err(Failure::new(format!("`{}` is a compressed VMDK, which QEMU cannot write to", path.display()))
                .hint("start it without `--persist`, or a qcow2 of it: `imgraft convert` makes one"));
        }
        let disk = scratch_disk(&image);
        let guest = Guest::open(std::sync::Arc::clone(&disk));
        let needs = Needs::of(&disk, guest.as_ref().ok()).map_err(|error| unusable(&error))?;
        let guest = guest.map_err(|error| in_one_line(&error));
        let absolute = std::path::absolute(path).map_err(|error| unusable(&error))?;
        Ok(Self { name: path.to_owned(), path: absolute, format, needs, guest })
    }

    /// The user that the image itself has, as its cloud-init is configured.
    pub(crate) fn user(&self) -> Option<String> {
        let guest = self.guest.as_ref().ok()?;
        let configuration = guest.read(&"/etc/cloud/cloud.cfg".parse().ok()?, 1 << 20).ok()?;
        default_user(&String::from_utf8_lossy(&configuration)).map(str::to_owned)
    }
}

/// QEMU knows no compressed files.
fn refuse_compressed(opened: &OpenedFile) -> Result<(), Failure> {
    let path = opened.path().display();
    let compression = image::compression_of(&opened.storage()?)
        .map_err(|error| Failure::because(format!("`{path}` cannot be used"), &error))?;
    match compression {
        None => Ok(()),
        Some(compression) => {
            Err(Failure::new(format!("`{path}` is compressed with {compression}, which QEMU does not read"))
                .hint(format!("`imgraft convert {path} disk.qcow2` makes an image of it that starts")))
        }
    }
}

/// The name below `default_user` in cloud-init's own configuration.
fn default_user(configuration: &str) -> Option<&str> {
    let mut lines = configuration.lines().skip_while(|line| line.trim() != "default_user:");
    let outer = indentation(lines.next()?);
    let mut inner = lines.take_while(|line| indentation(line) > outer || line.trim().is_empty());
    let name = inner.find_map(|line| line.trim().strip_prefix("name:"))?.trim().trim_matches(['"', '\'']);
    let is_name = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_own_user_is_found() {
        let configuration = "\
users:
  - default
system_info:
  distro: debian
  default_user:
    # What it may do
    lock_passwd: True

    name: debian
    gecos: Debian
  paths:
    name: other
";
        assert_eq!(default_user(configuration), Some("debian"));
        assert_eq!(default_user(&configuration.replace("    name: debian\n", "")), None);
        assert_eq!(default_user(&configuration.replace("name: debian", "name: $(x)")), None);
        assert_eq!(default_user("users: [default]\n"), None);
    }
}
