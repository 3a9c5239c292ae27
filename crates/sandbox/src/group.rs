//! A cgroup (version 2) for the sandbox, where this user can make one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Limits;

const PREFIX: &str = "imgraft-";

/// A cgroup of the sandbox's own. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes one that holds `limits`, beside the cgroup of this process or in it; none if there are no limits to hold
    /// or the kernel has no such cgroups for this user.
    pub(crate) fn make(limits: Limits) -> Option<Self> {
        if limits.memory_bytes.is_none() && limits.processes.is_none() {
            return None;
        }
        let (mount, own) = own_folder()?;
        // A cgroup with processes in it lends no limits to those below, so the usual place is beside it.
        let beside = own.parent().filter(|parent| parent.starts_with(&mount));
        beside.into_iter().chain([own.as_path()]).find_map(|parent| Self::make_in(parent, limits))
    }

    fn make_in(parent: &Path, limits: Limits) -> Option<Self> {
        remove_old(parent);
        let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
        // Another sandbox of this process has it: the second is watched.
        fs::create_dir(&folder).ok()?;
        let group = Self { folder };
        group.limit(limits).ok().map(|()| group)
    }

    fn limit(&self, limits: Limits) -> io::Result<()> {
        if let Some(bytes) = limits.memory_bytes {
            self.write("memory.max", bytes)?;
            // Without swap there is none of these two.
            let _ = self.write("memory.swap.max", 0);
            self.write("memory.oom.group", 1)?;
        }
        if let Some(processes) = limits.processes {
            // And the sandbox's own first process.
            self.write("pids.max", processes.saturating_add(1))?;
        }
        Ok(())
    }

    fn write(&self, file: &str, value: u64) -> io::Result<()> {
        write(&self.folder.join(file), value)
    }

    /// Moves a process into it. Its children begin in it.
    pub(crate) fn add(&self, process: i32) -> io::Result<()> {
        write(&self.folder.join("cgroup.procs"), process)
    }

    /// Whether the kernel has ended processes of it for want of memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|kills| kills.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Writes to a file that the kernel has made.
fn write(file: &Path, value: impl ToString) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.to_string().as_bytes())
}

/// Removes the cgroups that programs left which were killed. One with processes cannot be removed.
fn remove_old(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Where cgroups are mounted, and the folder of this process's.
fn own_folder() -> Option<(PathBuf, PathBuf)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    folder_of(&mounts, &own)
}

fn folder_of(mounts: &str, own: &str) -> Option<(PathBuf, PathBuf)> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (after.starts_with("cgroup2 ") && root == "/").then_some(point)
    })?;
    Some((PathBuf::from(mount), Path::new(mount).join(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_version_2() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let own = "8:pids:/x\n0::/user.slice/a.scope\n";
        assert_eq!(folder_of(mounts, own), Some(("/sys/fs/cgroup".into(), "/sys/fs/cgroup/user.slice/a.scope".into())));
        assert_eq!(folder_of(mounts, "8:pids:/x\n"), None);
        assert_eq!(folder_of("", own), None);
    }

    #[test]
    fn without_limits_there_is_none() {
        assert!(Group::make(Limits::default()).is_none());
    }
}
