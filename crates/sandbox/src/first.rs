//! The first process of the sandbox: number 1 of its pid namespace. It makes the guest's root its own, starts the
//! command, and takes in processes whose parents ended. When it ends, the kernel kills all others.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::message::{Fault, Plan, PlannedRoot, Report, number_of, send};
use crate::mounts::Tree;
use crate::{chroot, doors};

/// What the guest's package managers need: owners, permissions, ids, chroot, signals, file capabilities. Docker's
/// containers have the same ones.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// The last capability that a kernel may know.
const CAPABILITIES: u32 = 63;

/// The exit status of a process of the sandbox's own that could not go on: its report has the reason.
const CANNOT_GO_ON: i32 = 125;

/// What the first process has of the helper's.
pub(crate) struct Ways<'a> {
    /// To the caller.
    pub(crate) socket: &'a OwnedFd,
    /// Opened when the first process may go on.
    pub(crate) gate: &'a OwnedFd,
    /// Where the listener of a sandbox with a single id goes.
    pub(crate) listeners: Option<&'a OwnedFd>,
}

/// Is the sandbox's first process until the command ends, and returns its own exit status.
pub(crate) fn live(to: &Ways<'_>, plan: Plan, tree: Option<Tree>) -> i32 {
    match begin(to, plan, tree) {
        Ok(()) => 0,
        Err(fault) => {
            let _ = send(to.socket, &Report::Failed(fault), None);
            CANNOT_GO_ON
        }
    }
}

fn begin(to: &Ways<'_>, plan: Plan, tree: Option<Tree>) -> Result<(), Fault> {
    let Ways { socket, gate, listeners } = *to;
    let host = |error: Errno| Fault::host("the sandbox's first process", error);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(host)?;
    // Neither its memory nor its program, which is the host's, can be seen through /proc.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(host)?;
    // If the helper ended before it was to be told, the gate's other end is gone.
    if rustix::io::read(gate, &mut [0; 1]).map_err(host)? == 0 {
        return Ok(());
    }
    if let Some(tree) = tree {
        tree.enter(&plan)?;
    }
    let child = match sandbox_sys::fork().map_err(|error| Fault::host("the command's process", error))? {
        sandbox_sys::Forked::Child => {
            let fault = become_command(plan, listeners);
            let _ = send(socket, &Report::Failed(fault), None);
            std::process::exit(CANNOT_GO_ON);
        }
        sandbox_sys::Forked::Parent(child) => Pid::from_raw(child),
    };
    drop(plan);
    let report = wait_for(child).map_err(host)?;
    send(socket, &report, None).map_err(|error| Fault::host("a report", error))
}

/// Waits for the command, and for every orphan that ends before it.
fn wait_for(command: Option<Pid>) -> rustix::io::Result<Report> {
    loop {
        let (ended, status) = match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some(ended)) => ended,
            Ok(None) | Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        if Some(ended) != command {
            continue;
        }
        if let Some(code) = status.exit_status() {
            return Ok(Report::Exited(code));
        }
        if let Some(signal) = status.terminating_signal() {
            return Ok(Report::Signalled(signal));
        }
    }
}

/// Becomes the command. Returns only if that fails.
fn become_command(plan: Plan, listeners: Option<&OwnedFd>) -> Fault {
    let host = |what: &str, error: Errno| Fault::host(what, error);
    let prepare = || {
        if let (true, PlannedRoot::Folder(folder)) = (plan.is_chroot, &plan.root) {
            chroot::enter(folder)?;
        }
        let _ = rustix::process::setsid();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        limit(&plan).map_err(|error| host("the limits of the command", error))?;
        rustix::process::chdir(plan.directory.as_bytes())
            .map_err(|error| Fault::host(format!("the guest's folder {}", plan.directory.display()), error))?;
        let shut = match listeners {
            // The descriptor goes to the helper, which answers.
            Some(listeners) => doors::shut_and_ask().and_then(|listener| send(listeners, &(), Some(listener.as_fd()))),
            None => doors::shut(),
        };
        shut.map_err(|error| Fault::host("the filter of system calls", error))?;
        drop_capabilities().map_err(|error| host("the capabilities of the command", error))
    };
    if let Err(fault) = prepare() {
        return fault;
    }
    sandbox_sys::reset_signals();
    let number = execute(&plan.arguments, &plan.environment);
    Fault::Program { program: plan.arguments.first().cloned().unwrap_or_default(), number }
}

fn limit(plan: &Plan) -> rustix::io::Result<()> {
    let both = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::setrlimit(Resource::Core, both(0))?;
    if plan.has_cgroup {
        return Ok(());
    }
    let lowered = |resource: Resource, most: Option<u64>| match most {
        // Never above what this process may have itself.
        Some(most) => {
            let host = rustix::process::getrlimit(resource).maximum;
            rustix::process::setrlimit(resource, both(host.map_or(most, |host| host.min(most))))
        }
        None => Ok(()),
    };
    lowered(Resource::Nproc, plan.processes)?;
    lowered(Resource::Data, plan.memory_bytes)
}

/// Leaves the capabilities of [`KEPT`] to this process and to all programs that it starts.
fn drop_capabilities() -> rustix::io::Result<()> {
    for number in 0..=CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if KEPT.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // This kernel has no more of them.
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let has = rustix::thread::capabilities(None)?.permitted & KEPT;
    let sets = CapabilitySets { effective: has, permitted: has, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}

/// Executes the program, and returns the number of the error if that fails.
fn execute(arguments: &[OsString], environment: &[(OsString, OsString)]) -> i32 {
    let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::INVAL.raw_os_error());
    let run = || -> Result<i32, i32> {
        let texts = arguments.iter().map(|each| c_string(each.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let pair = |(name, value): &(OsString, OsString)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat());
        let variables = environment.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        let Some(program) = texts.first() else { return Ok(Errno::NOENT.raw_os_error()) };
        let mut worst = Errno::NOENT.raw_os_error();
        for candidate in candidates(program.to_bytes(), environment) {
            let Err(error) = nix::unistd::execve(&c_string(&candidate)?, &texts, &variables);
            let number = number_of(&io::Error::from(error));
            if ![Errno::NOENT, Errno::NOTDIR].iter().any(|missing| missing.raw_os_error() == number) {
                worst = number;
            }
        }
        Ok(worst)
    };
    run().unwrap_or_else(|number| number)
}

/// The paths at which a program may be: itself, or each folder of `PATH`.
fn candidates(program: &[u8], environment: &[(OsString, OsString)]) -> Vec<Vec<u8>> {
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let path = path.unwrap_or(OsStr::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    path.as_bytes().split(|&byte| byte == b':').map(|folder| [folder, b"/", program].concat()).collect()
}
