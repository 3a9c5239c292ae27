//! `imgraft umount`: ends an `imgraft mount`.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cli::mount::Umount;
use crate::failure::Failure;
use crate::show::Messages;

/// The types that our file systems can have, and the beginning of their source: `imgraft:1234` for the process that
/// serves it.
const TYPES: [&str; 2] = ["fuse", "fuse.imgraft"];
const SOURCE: &str = "imgraft:";

pub(super) fn run(arguments: &Umount, messages: &Messages) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let cannot = |error: &std::io::Error| Failure::because(format!("`{}` cannot be used", folder.display()), error);
    let folder = folder.canonicalize().map_err(|error| cannot(&error))?;
    let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(|error| cannot(&error))?;
    let (places, server) = mounted_at(&table, &folder);
    let Some(server) = server else {
        return Err(Failure::new(format!("`imgraft mount` has nothing mounted in `{}`", folder.display()))
            .hint("`findmnt -t fuse,fuse.imgraft` lists what it has mounted"));
    };
    // Before the mount ends, so that it is that process and not a later one with its number.
    let process = Pid::from_raw(server).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    mount::unmount(&places).map_err(|error| {
        Failure::because(format!("`{}` cannot be unmounted", folder.display()), &error)
            .hint("something in it may be in use: `fuser -vm` says by whom")
    })?;
    let Some(process) = process else { return Ok(()) };
    messages.note("unmounted; waiting until the image is written");
    let mut polled = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
    while rustix::event::poll(&mut polled, None) == Err(rustix::io::Errno::INTR) {}
    Ok(())
}

/// Our mounts at `folder` and below it, outer ones first, and the process that serves the one at `folder`.
fn mounted_at(table: &str, folder: &Path) -> (Vec<PathBuf>, Option<i32>) {
    let (mut places, mut server) = (Vec::new(), None);
    for line in table.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else { continue };
        let (Some(place), mut file_system) = (mount.split(' ').nth(4), file_system.split(' ')) else { continue };
        let place = PathBuf::from(unescaped(place));
        let (Some(kind), Some(source)) = (file_system.next(), file_system.next()) else { continue };
        let number = source.strip_prefix(SOURCE).filter(|_| TYPES.contains(&kind));
        let Some(number) = number else { continue };
        if place == folder {
            server = number.parse().ok();
        }
        if place.starts_with(folder) {
            places.push(place);
        }
    }
    (places, server)
}

/// A path of the table of mounts, in which blanks and the like are octal numbers.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_their_folder() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     31 22 0:40 / /mnt/a\\040b rw,nosuid - fuse.imgraft imgraft:77 rw\n\
                     32 31 0:41 / /mnt/a\\040b/boot rw - fuse imgraft:77 rw\n\
                     33 22 0:42 / /mnt/a rw - fuse.sshfs host: rw\n";
        let (places, server) = mounted_at(table, Path::new("/mnt/a b"));
        assert_eq!(places, [PathBuf::from("/mnt/a b"), PathBuf::from("/mnt/a b/boot")]);
        assert_eq!(server, Some(77));
        assert_eq!(mounted_at(table, Path::new("/mnt/a")), (Vec::new(), None));
        assert_eq!(mounted_at(table, Path::new("/mnt")).1, None);
    }
}
