//! One command with a guest's files as its `/`, which sees nothing of the host: a sandbox; and what this machine can do
//! of that ([`survey`]).
//!
//! ```no_run
//! use sandbox::{Ended, File, Root, Spec, start};
//!
//! // First in `main`: the sandbox's helper is this very program, started again.
//! sandbox::enter_if_asked();
//!
//! let mut spec = Spec::new(Root::Fuse { mount_points: vec!["/".into(), "/boot".into()] }, ["sh", "-c", "dpkg -l"]);
//! spec.environment = vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())];
//! spec.files = vec![File { path: "/etc/resolv.conf".into(), content: b"nameserver 9.9.9.9\n".into(), is_executable: false }];
//! # fn serve(index: usize, connection: std::os::fd::OwnedFd) -> std::io::Result<()> { Ok(()) }
//! let started = start(&spec, &mut |index, connection| serve(index, connection))?;
//! let ended = started.run(&(), &mut |said| print!("{}", String::from_utf8_lossy(said)))?;
//! assert_eq!(ended, Ended::Exited(0));
//! # Ok::<(), sandbox::Error>(())
//! ```
//!
//! # How such a sandbox works, step by step
//!
//! Linux keeps several lists of things for all processes: mounts, process numbers, network devices, host name, user ids.
//! A *namespace* is a second list of one kind. A process in it, and every child of it, sees that list and no other. Put
//! all of them together, and give the processes another `/`, and there is a machine within the machine. These are the
//! steps, with a user `ann` (id 1000) who has the line `ann:700000:65536` in `/etc/subuid`:
//!
//! 1. **A helper is started.** [`start`] runs `/proc/self/exe`, which is the same program, with the name
//!    `imgraft-sandbox`, an empty environment and one end of a socket. A program with threads must not fork(2) and go on:
//!    a lock that another thread held would stay locked. The helper has one thread.
//! 2. **It leaves the host's lists.** unshare(2) makes new namespaces of users, mounts, processes, IPC, host names,
//!    cgroups and, without [`Spec::network`], networks. Whoever makes a *user* namespace has all capabilities in it, over
//!    what belongs to it, and none outside. That is why no root is needed.
//! 3. **It gets ids.** In the new list of users nobody is there. The caller writes "0 700000 65536" into
//!    `/proc/HELPER/uid_map`: the guest's root is the host's 700000, the guest's 1000 is 701000. Only root may lend ids
//!    that are not its own, so for `ann` the set-user-ID program `newuidmap` does it, which reads `/etc/subuid`. A process
//!    that got out of all the rest would be user 700000, who owns nothing.
//! 4. **The guest's files become mounts.** The helper opens `/dev/fuse`, mounts it (which counts as its own, as it was
//!    opened in the new user namespace), and sends the descriptor to the caller over the socket. The caller answers the
//!    kernel's questions about files on it. `/boot` is looked for in the mounted `/`, so the caller has to answer on the
//!    first descriptor when it comes, before the second one.
//! 5. **The rest of a system is mounted**: tmpfs on `/tmp`, `/run`, `/dev` and `/dev/shm`; six harmless devices of the
//!    host, bound into `/dev`; a new devpts; `/sys`, read-only. Each place is looked up with RESOLVE_IN_ROOT, so a link in
//!    the guest that says `/dev -> /etc` means the guest's `/etc`.
//! 6. **The first process** is forked. It is number 1 of the new list of processes. It mounts `/proc`, which shows that
//!    list, binds [`Spec::files`] over the guest's, and calls pivot_root(2): the guest's root is `/`, and the host's tree
//!    is unmounted. No path leads to it any more, and no descriptor: all are closed when the command starts.
//! 7. **The command** is forked from it. It gets limits, loses the capabilities that package managers do not need
//!    (mounting above all), and gets a filter of system calls (`doors.rs`): no new namespaces, modules, keyrings, BPF and
//!    so on. It keeps the right to run set-user-ID programs, which have no more capabilities than the guest's root.
//! 8. **It runs.** Output comes through a pipe, [`Started::run`] hands it out. The first process waits for orphans.
//! 9. **It ends.** When process 1 ends, the kernel kills every process of its list, whatever signals they ignore, and
//!    removes the mounts. If the caller is killed, its end of the socket is closed, and the helper kills process 1. If the
//!    helper is killed, the kernel kills process 1 (PR_SET_PDEATHSIG). So nothing outlives the build.
//!
//! # What a command notices
//!
//! It cannot mount, load modules, make devices or set the clock, `trusted.…` attributes or the immutable flag, and
//! `clone3` and `io_uring` seem not to exist. With [`Spec::network`] it has the host's network as it is: the host's
//! services on 127.0.0.1 and its abstract sockets too, and `/sys` is empty. [`Enforced`] says how limits are kept,
//! [`Ids::Single`] what is different for a user without subordinate ids, and [`Confinement::Chroot`] is the way for
//! containers in which none of this is possible.
//!
//! Linux 5.10 or later is needed, on x86_64 or aarch64.

mod chroot;
mod doors;
mod emulator;
mod error;
mod first;
mod group;
mod helper;
mod ids;
mod loopback;
mod message;
mod mounts;
mod owners;
mod program;
mod shown;
mod spec;
mod start;
mod supervisor;
mod survey;
mod usage;
mod watch;

pub use emulator::Emulator;
pub use error::{Error, NoNamespaces};
pub use helper::enter_if_asked;
pub use ids::IdFile;
pub use owners::Owners;
pub use program::{Kind, NotRunnable, Runs, runs};
pub use spec::{Confinement, Ended, File, Ids, Limits, Root, Spec};
pub use start::{Started, start};
pub use survey::{Check, Survey, survey};
pub use watch::{Enforced, Stopper};
