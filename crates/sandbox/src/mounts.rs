//! The sandbox's mounts.
//!
//! Everything is mounted by descriptor. A place in the guest is looked up with RESOLVE_IN_ROOT, so a symbolic link of
//! the guest leads to a place in the guest, whatever it says.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, open, openat, openat2, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use crate::message::{Fault, Plan};

/// Where the first mount goes that hides nothing that is still needed, in a mount namespace that nobody else sees.
const BASES: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/mnt"];

/// The devices of the host that the guest gets.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// The links in `/dev`.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// What is read-only.
const READ_ONLY: [&str; 6] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/mtrr"];

/// What looks empty.
const HIDDEN: [&str; 14] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kallsyms",
    "/proc/kmsg",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/acpi",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// The guest's tree while it is put together.
#[derive(Debug)]
pub(crate) struct Tree {
    /// A tmpfs of the sandbox's own, in which `root` and `files` are.
    base: OwnedFd,
    /// The mounted root, once it is there.
    root: Option<OwnedFd>,
    /// The devices of the FUSE file systems, by index.
    devices: Vec<u64>,
    /// How many files of the sandbox's own there are.
    files: usize,
}

impl Tree {
    /// A base for the mounts, in this process's new mount namespace.
    pub(crate) fn new() -> Result<Self, Fault> {
        rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .map_err(|error| Fault::mount("a tree of mounts of its own", error))?;
        let place = BASES.iter().find_map(|path| folder(CWD, path).ok());
        let place = place.ok_or_else(|| Fault::host("none of /tmp, /var/tmp, /run and /mnt", Errno::NOENT))?;
        let base = tmpfs(&[("mode", "700")], MountAttrFlags::empty())
            .and_then(|mount| attach(&mount, &place).map(|()| mount))
            .map_err(|error| Fault::mount("a tmpfs", error))?;
        for name in ["root", "files"] {
            mkdirat(&base, name, Mode::from_raw_mode(0o755)).map_err(|error| Fault::host("a tmpfs", error))?;
        }
        Ok(Self { base, root: None, devices: Vec::new(), files: 0 })
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Fault> {
        self.root.as_ref().map(AsFd::as_fd).ok_or_else(|| Fault::host("there is no root", Errno::NOENT))
    }

    /// The devices of the FUSE file systems, by index.
    pub(crate) fn devices(&self) -> &[u64] {
        &self.devices
    }

    /// Mounts a FUSE file system at `point`; `serve` gets its connection.
    pub(crate) fn mount_fuse(
        &mut self,
        point: &OsStr,
        serve: impl FnOnce(&OwnedFd) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let connection = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Fault::Fuse(error.raw_os_error()))?;
        let what = || format!("FUSE at {}", point.display());
        let number = connection.as_raw_fd().to_string();
        let options =
            [("source", "imgraft"), ("fd", &number), ("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")];
        let mount = new_mount("fuse", &options, &["default_permissions", "allow_other"], MountAttrFlags::empty())
            .map_err(|error| Fault::mount(what(), error))?;
        serve(&connection).map_err(|error| Fault::host("a report of the helper", error))?;
        drop(connection);
        if self.root.is_none() {
            self.attach_root(mount).map_err(|error| Fault::mount(what(), error))?;
        } else {
            let place = self.place(point, OFlags::DIRECTORY)?;
            attach(&mount, &place).map_err(|error| Fault::mount(what(), error))?;
        }
        let place = self.place(point, OFlags::DIRECTORY)?;
        let status = rustix::fs::fstat(&place).map_err(|error| Fault::host(what(), error))?;
        self.devices.push(status.st_dev);
        Ok(())
    }

    /// Has a folder of the host as the root.
    pub(crate) fn bind_root(&mut self, folder: &OwnedFd, name: &OsStr) -> Result<(), Fault> {
        // With what is mounted in it: the kernel does not let this namespace see what a mount hides.
        let tree = clone(folder, "", OpenTreeFlags::AT_RECURSIVE);
        tree.and_then(|tree| self.attach_root(tree))
            .map_err(|error| Fault::mount(format!("the folder {}", name.display()), error))
    }

    fn attach_root(&mut self, mount: OwnedFd) -> rustix::io::Result<()> {
        let place = openat(&self.base, "root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        attach(&mount, &place)?;
        self.root = Some(folder(&self.base, "root")?);
        Ok(())
    }

    /// A place in the guest that has to be there.
    fn place(&self, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Fault> {
        match self.look_up(path, flags)? {
            Ok(place) => Ok(place),
            Err(Errno::NOENT) => Err(Fault::NoPlace(path.to_owned())),
            Err(error) => Err(Fault::host(format!("the guest's {}", path.display()), error)),
        }
    }

    fn look_up(&self, path: &OsStr, flags: OFlags) -> Result<rustix::io::Result<OwnedFd>, Fault> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
        let in_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let root = self.root()?;
        // The kernel asks for another try if something was renamed meanwhile; nothing is in this tree.
        Ok((0..32)
            .map(|_| openat2(root, path.as_bytes(), flags, Mode::empty(), in_root))
            .find(|found| !matches!(found, Err(Errno::AGAIN | Errno::INTR)))
            .unwrap_or(Err(Errno::AGAIN)))
    }

    /// Mounts what every guest gets besides its own files, but for `/proc`.
    pub(crate) fn furnish(&mut self, plan: &Plan) -> Result<(), Fault> {
        let share = |parts: u64| plan.memory_bytes.map(|bytes| (bytes / parts).max(1 << 20).to_string());
        let sized = |path: &str, mode: &str, parts: u64, attributes: MountAttrFlags| {
            let size = share(parts);
            let mut options = vec![("mode", mode)];
            options.extend(size.as_deref().map(|size| ("size", size)));
            let place = self.place(OsStr::new(path), OFlags::DIRECTORY)?;
            let mount = tmpfs(&options, attributes).and_then(|mount| attach(&mount, &place).map(|()| mount));
            mount.map_err(|error| Fault::mount(path, error))
        };
        let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        sized("/tmp", "1777", 2, quiet)?;
        let run = sized("/run", "755", 4, quiet)?;
        mkdir(&run, "lock", 0o1777).map_err(|error| Fault::host("/run/lock", error))?;
        let devices = sized("/dev", "755", 64, MountAttrFlags::MOUNT_ATTR_NOSUID)?;
        fill_devices(&devices, plan.is_single).map_err(|error| Fault::mount("/dev", error))?;
        sized("/dev/shm", "1777", 4, quiet)?;
        self.mount_sys(plan.network)?;
        Ok(())
    }

    /// `/sys` can be mounted by whoever has a network namespace of its own; else it is an empty folder.
    fn mount_sys(&self, network: bool) -> Result<(), Fault> {
        let place = self.place(OsStr::new("/sys"), OFlags::DIRECTORY)?;
        let attributes = closed() | MountAttrFlags::MOUNT_ATTR_RDONLY;
        let shown = if network { Err(Errno::PERM) } else { new_mount("sysfs", &[], &[], attributes) };
        let mount = shown.or_else(|_| tmpfs(&[("mode", "555")], attributes));
        mount.and_then(|mount| attach(&mount, &place)).map_err(|error| Fault::mount("/sys", error))
    }

    /// Mounts `/proc` of the pid namespace that this process is the first of, puts the sandbox's own files in their
    /// places, and makes the guest's root this process's. No path leads to the host any more.
    pub(crate) fn enter(mut self, plan: &Plan) -> Result<(), Fault> {
        let place = self.place(OsStr::new("/proc"), OFlags::DIRECTORY)?;
        let mount = new_mount("proc", &[], &[], closed()).and_then(|mount| attach(&mount, &place));
        mount.map_err(|error| Fault::mount("/proc", error))?;
        self.bind_files(plan)?;
        let root = self.root()?;
        let moved = rustix::process::fchdir(root).and_then(|()| rustix::process::pivot_root(".", "."));
        // The host's tree now lies over the guest's, and goes.
        let moved = moved.and_then(|()| rustix::mount::unmount(".", UnmountFlags::DETACH));
        moved.and_then(|()| rustix::process::chdir("/")).map_err(|error| Fault::mount("the guest's root", error))?;
        drop(self);
        if let Some(processes) = plan.processes {
            limit_numbers(processes);
        }
        cover().map_err(|error| Fault::mount("/proc", error))
    }

    fn bind_files(&mut self, plan: &Plan) -> Result<(), Fault> {
        let mut bound = Vec::new();
        for file in &plan.files {
            let mode = if file.is_executable { 0o555 } else { 0o444 };
            let host = |error| Fault::host(format!("the sandbox's own {}", file.path.display()), error);
            match self.destination(&file.path)? {
                Destination::Place(place) => {
                    let name = format!("files/{}", self.files);
                    self.files += 1;
                    write(&self.base, &name, &file.content, mode).map_err(host)?;
                    bound.push((name, place, &file.path));
                }
                Destination::Own(path) => self.write_own(&path, &file.content, mode).map_err(host)?,
            }
        }
        // The whole file system that they are in becomes read-only.
        let read_only =
            rustix::mount::fspick(&self.base, "", rustix::mount::FsPickFlags::FSPICK_EMPTY_PATH).and_then(|context| {
                rustix::mount::fsconfig_set_flag(&context, "ro")?;
                rustix::mount::fsconfig_reconfigure(&context)
            });
        read_only.map_err(|error| Fault::mount("a read-only tmpfs", error))?;
        for (name, place, path) in bound {
            clone(&self.base, &name, OpenTreeFlags::empty())
                .and_then(|mount| attach(&mount, &place))
                .map_err(|error| Fault::mount(path.display().to_string(), error))?;
        }
        Ok(())
    }

    /// Where a file goes: over the guest's own, or into a tmpfs of the sandbox.
    fn destination(&self, path: &OsStr) -> Result<Destination, Fault> {
        let mut target = path.as_bytes().to_vec();
        for _ in 0..MAX_LINKS {
            match self.look_up(OsStr::from_bytes(&target), OFlags::empty())? {
                Ok(place) => return Ok(Destination::Place(place)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(Fault::host(format!("the guest's {}", path.display()), error)),
            }
            // A link to nothing: what it leads to is looked for.
            let Ok(place) = self.look_up(OsStr::from_bytes(&target), OFlags::NOFOLLOW)? else { break };
            let link = rustix::fs::readlinkat(&place, "", Vec::new()).map_err(|error| Fault::host("a link", error))?;
            target = joined(&target, link.to_bytes());
        }
        let steps = steps(&target);
        let own = match steps.split_first() {
            Some((first, rest)) if [&b"run"[..], b"tmp"].contains(first) && !rest.is_empty() => Some(steps),
            Some((&b"var", rest)) if rest.len() > 1 && rest[0] == b"run" => Some(rest.to_vec()),
            _ => None,
        };
        let own = own.ok_or_else(|| Fault::NoPlace(path.to_owned()))?;
        Ok(Destination::Own(own.into_iter().map(|step| OsStr::from_bytes(step).to_owned()).collect()))
    }

    fn write_own(&self, steps: &[OsString], content: &[u8], mode: u32) -> rustix::io::Result<()> {
        let Some((name, folders)) = steps.split_last() else { return Err(Errno::NOENT) };
        let root = self.root.as_ref().ok_or(Errno::NOENT)?;
        let in_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = root.try_clone().map_err(|_| Errno::MFILE)?;
        for (depth, step) in folders.iter().enumerate() {
            if depth > 0 {
                match mkdir(&at, step, 0o755) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
            }
            // The guest's `/run` may be a link; what is below is the sandbox's own and has none.
            let below = if depth == 0 { in_root } else { ResolveFlags::NO_SYMLINKS };
            at = openat2(&at, step.as_bytes(), flags, Mode::empty(), below)?;
        }
        write(&at, name, content, mode)
    }
}

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

enum Destination {
    Place(OwnedFd),
    /// The steps from the root.
    Own(Vec<OsString>),
}

/// The path to which a link at `path` leads.
fn joined(path: &[u8], link: &[u8]) -> Vec<u8> {
    if link.starts_with(b"/") {
        return link.to_vec();
    }
    let parent = path.iter().rposition(|&byte| byte == b'/').map_or(&path[..0], |slash| &path[..slash]);
    [parent, b"/", link].concat()
}

/// A path's steps, without `.` and `..`.
fn steps(path: &[u8]) -> Vec<&[u8]> {
    let mut steps = Vec::new();
    for step in path.split(|&byte| byte == b'/') {
        match step {
            b"" | b"." => {}
            b".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps
}

fn closed() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

fn folder(at: impl AsFd, path: &str) -> rustix::io::Result<OwnedFd> {
    openat(at, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// A file system of a kind, mounted nowhere yet.
fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    flags: &[&str],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        rustix::mount::fsconfig_set_string(&context, *name, *value)?;
    }
    for flag in flags {
        rustix::mount::fsconfig_set_flag(&context, *flag)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn tmpfs(options: &[(&str, &str)], attributes: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    new_mount("tmpfs", options, &[], attributes)
}

fn attach(mount: &OwnedFd, place: &OwnedFd) -> rustix::io::Result<()> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", place, "", both)
}

/// A second mount of what is at a path.
fn clone(at: &OwnedFd, path: &str, more: OpenTreeFlags) -> rustix::io::Result<OwnedFd> {
    let empty = if path.is_empty() { OpenTreeFlags::AT_EMPTY_PATH } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | empty | more;
    rustix::mount::open_tree(at, path, flags)
}

/// A folder with exactly this mode.
fn mkdir(at: &OwnedFd, name: impl AsRef<OsStr>, mode: u32) -> rustix::io::Result<()> {
    let name = name.as_ref().as_bytes();
    mkdirat(at, name, Mode::from_raw_mode(mode))?;
    rustix::fs::chmodat(at, name, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())
}

fn write(at: &OwnedFd, name: impl AsRef<OsStr>, content: &[u8], mode: u32) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(at, name.as_ref().as_bytes(), flags, Mode::from_raw_mode(0o600))?;
    let mut rest = content;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&file, rest)?..];
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
}

fn fill_devices(devices: &OwnedFd, is_single: bool) -> rustix::io::Result<()> {
    let host = folder(CWD, "/dev")?;
    for name in DEVICES {
        let device = match clone(&host, name, OpenTreeFlags::empty()) {
            Ok(device) => device,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        write(devices, name, b"", 0o666)?;
        let place = openat(devices, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        attach(&device, &place)?;
    }
    for (name, target) in LINKS {
        symlinkat(target, devices, name)?;
    }
    for name in ["pts", "shm"] {
        mkdir(devices, name, 0o755)?;
    }
    // Group 5 is `tty` wherever terminals have a group.
    let mut options = vec![("ptmxmode", "666"), ("mode", "620")];
    options.extend((!is_single).then_some(("gid", "5")));
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let terminals = new_mount("devpts", &options, &["newinstance"], attributes)?;
    attach(&terminals, &folder(devices, "pts")?)
}

/// Has the pid namespace give out no more numbers than there may be processes, where that is a namespace's own setting
/// (Linux 6.14). That holds for processes that RLIMIT_NPROC does not count, which are those of the host's root.
fn limit_numbers(processes: u64) {
    /// The least that the kernel accepts: 300 numbers are for the first processes.
    const LEAST: u64 = 301;
    let uname = rustix::system::uname();
    let mut parts = uname.release().to_str().unwrap_or_default().split(['.', '-']).map(str::parse::<u32>);
    if let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next())
        && (major, minor) >= (6, 14)
    {
        let _ = std::fs::write("/proc/sys/kernel/pid_max", processes.saturating_add(LEAST).to_string());
    }
}

/// Makes read-only or hides what of `/proc` and `/sys` is the whole machine's. Paths are the guest's already, and these
/// two are the sandbox's own.
fn cover() -> rustix::io::Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    let is_there = |path: &&&str| rustix::fs::lstat(**path).is_ok();
    for &path in READ_ONLY.iter().filter(is_there) {
        rustix::mount::mount_bind_recursive(path, path)?;
        rustix::mount::mount_remount(path, MountFlags::BIND | quiet, c"")?;
    }
    for &path in HIDDEN.iter().filter(is_there) {
        if rustix::fs::lstat(path)?.st_mode & 0o170_000 == 0o040_000 {
            rustix::mount::mount("tmpfs", path, "tmpfs", quiet, c"mode=555")?;
        } else {
            rustix::mount::mount_bind("/dev/null", path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_its_own_folder_or_from_the_root() {
        assert_eq!(joined(b"/etc/resolv.conf", b"../run/resolv.conf"), b"/etc/../run/resolv.conf");
        assert_eq!(joined(b"/etc/resolv.conf", b"/run/resolv.conf"), b"/run/resolv.conf");
        assert_eq!(steps(b"/etc/../run/./systemd//resolv.conf"), [&b"run"[..], b"systemd", b"resolv.conf"]);
        assert_eq!(steps(b"/../../tmp/a"), [&b"tmp"[..], b"a"]);
    }
}
