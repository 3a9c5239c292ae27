//! What is done before and after what the command line says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use customize::{HostnameAlso, Operation, Password, Relabel, Remove, Scheme, Write};
use guest::{FileKind, Guest, GuestPath, LastLink};
use recipe::{Mode, Owner};

use super::action::Action;
use super::parse::{Crypto, Request, Stop};
use super::selector::Secret;
use super::translate::{Step, text};
use crate::environment;

/// Where guests keep a random seed: all that are there get a new one.
const SEEDS: [&str; 5] = [
    "/var/lib/random-seed",
    "/var/lib/systemd/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/lib/misc/random-seed",
    "/etc/random-seed",
];
/// How long a seed is, in bytes.
const SEED_BYTES: usize = 512;
/// What else says the hostname, by the `ID` of the guests in which the original sets it.
const HOSTNAMES: [(&[&str], HostnameAlso); 3] = [
    (&["debian", "ubuntu", "kali"], HostnameAlso::Hosts),
    (&["fedora", "rhel", "centos", "scientific", "ol", "rocky", "almalinux"], HostnameAlso::MachineInfo),
    (&["opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles", "sled"], HostnameAlso::Nothing),
];
const MACHINE_ID: &str = "/etc/machine-id";
/// What `--run` and `--install` of the original write.
const LOG_FILE: &str = "/tmp/builder.log";

/// The steps with those before and after them.
pub(super) fn frame(request: &Request, steps: Vec<Step>, guest: &Guest) -> Result<Vec<Step>, Stop> {
    let mut all = Vec::new();
    if request.differences.set_random_seed {
        all.push(random_seed(guest)?);
    }
    if request.differences.set_machine_id && is_empty_file(guest, MACHINE_ID) {
        let id: String =
            environment::random_bytes::<16>().map_err(unrandom)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let write = write(MACHINE_ID, format!("{id}\n").into_bytes(), None)?;
        all.push(Step::new(format!("Setting the machine ID in {MACHINE_ID}"), vec![write]));
    }
    all.extend(steps);
    set_hostname_as_the_original(&mut all, guest)?;
    all.extend(passwords(request)?);
    if request.relabel && !request.no_relabel {
        let is_labelled = kind(guest, "/usr/sbin/load_policy") == Some(FileKind::Regular)
            && kind(guest, "/etc/selinux/config") == Some(FileKind::Regular);
        if is_labelled {
            let message = "Asking the guest for SELinux relabelling at its next boot".to_owned();
            all.push(Step::new(message, vec![Operation::Relabel(Relabel)]));
        } else {
            request.voice.debug("--selinux-relabel has no effect: the guest does not use SELinux");
        }
    }
    if request.scrub_log_file && kind(guest, LOG_FILE).is_some() {
        let remove = Remove::parse(LOG_FILE.as_ref()).map_err(|error| Stop::error(error.to_string()))?;
        all.push(Step::new("Scrubbing the log file".to_owned(), vec![Operation::Remove(remove)]));
    }
    Ok(all)
}

/// Has the hostname written where the original writes it for a guest of this kind, which may be nowhere.
fn set_hostname_as_the_original(steps: &mut [Step], guest: &Guest) -> Result<(), Stop> {
    let is_hostname = |operation: &Operation| matches!(operation, Operation::Hostname(_));
    if !steps.iter().any(|step| step.operations.iter().any(is_hostname)) {
        return Ok(());
    }
    let os = guest.operating_system().map_err(|error| Stop::error(error.to_string()))?;
    let also = HOSTNAMES.iter().find(|(ids, _)| ids.contains(&os.id.as_str())).map(|(_, also)| *also);
    for step in steps {
        let before = step.operations.len();
        step.operations.retain_mut(|operation| match (operation, also) {
            (Operation::Hostname(hostname), Some(also)) => {
                hostname.also = also;
                true
            }
            (Operation::Hostname(_), None) => false,
            _ => true,
        });
        if step.operations.len() < before {
            step.warnings.push("hostname could not be set for this type of guest".to_owned());
        }
    }
    Ok(())
}

/// All passwords, which are set behind everything else.
fn passwords(request: &Request) -> Result<Option<Step>, Stop> {
    let mut step = Step::new("Setting passwords".to_owned(), Vec::new());
    let mut users = Vec::new();
    for action in &request.actions {
        let Action::Password { user, selector } = action else { continue };
        let user = text("password", user)?;
        if users.contains(&user) {
            return Err(Stop::error(format!(
                "multiple --root-password/--password options set the password for user ‘{user}’ twice"
            )));
        }
        let secret = match (&selector.secret, selector.locked) {
            (Secret::File(path), _) => customize::Secret::File(path.clone()),
            (Secret::Text(password), _) => customize::Secret::Plain(text("password", OsStr::from_bytes(password))?),
            (Secret::Random, _) => {
                let password = environment::random_password().map_err(unrandom)?;
                step.facts.push(format!("Setting random password of {user} to {password}"));
                customize::Secret::Random(password)
            }
            // As the original has it: `!!` for the lock, and no hash behind it.
            (Secret::Disabled, true) => customize::Secret::Hash("!!*".to_owned()),
            (Secret::Disabled, false) => customize::Secret::Disabled,
        };
        let scheme = scheme(request.password_crypto)?;
        let locked = selector.locked && selector.secret != Secret::Disabled;
        step.operations.push(Operation::Password(Password { scheme, locked, ..Password::new(user.clone(), secret) }));
        users.push(user);
    }
    Ok((!users.is_empty()).then_some(step))
}

/// How the guest is to have its passwords; none where it says so itself.
fn scheme(crypto: Option<Crypto>) -> Result<Option<Scheme>, Stop> {
    match crypto {
        None => Ok(None),
        Some(Crypto::Yescrypt) => Ok(Some(Scheme::Yescrypt)),
        Some(Crypto::Sha512) => Ok(Some(Scheme::Sha512)),
        Some(Crypto::Md5 | Crypto::Sha256) => {
            Err(Stop::error("--password-crypto: md5 and sha256 are too weak, and are not made")
                .hint("leave it out: passwords are hashed as the guest does it itself"))
        }
    }
}

/// A seed in each file for one, or in a new one of the guest's family.
fn random_seed(guest: &Guest) -> Result<Step, Stop> {
    let message = "Setting a random seed".to_owned();
    let mut paths: Vec<&str> = SEEDS.into_iter().filter(|path| kind(guest, path) == Some(FileKind::Regular)).collect();
    let mut mode = None;
    if paths.is_empty() {
        let os = guest.operating_system().map_err(|error| Stop::error(error.to_string()))?;
        let is = |name: &str| os.id == name || os.like.iter().any(|like| like == name);
        let path = match () {
            () if is("debian") || is("ubuntu") => SEEDS[2],
            () if is("suse") || is("opensuse") => SEEDS[3],
            () => SEEDS[0],
        };
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        if kind(guest, folder) != Some(FileKind::Directory) {
            let warning = "random seed could not be set for this type of guest".to_owned();
            return Ok(Step { warnings: vec![warning], ..Step::new(message, Vec::new()) });
        }
        paths.push(path);
        mode = Some("0600".parse().map_err(|_| Stop::error("0600 is a mode"))?);
    }
    let seed = |path| write(path, environment::random_bytes::<SEED_BYTES>().map_err(unrandom)?.to_vec(), mode);
    Ok(Step::new(message, paths.into_iter().map(seed).collect::<Result<_, _>>()?))
}

fn write(path: &str, content: Vec<u8>, mode: Option<Mode>) -> Result<Operation, Stop> {
    let path = path.parse().map_err(|error: guest::PathError| Stop::error(error.to_string()))?;
    let owner = mode.map(|_| Owner::default());
    Ok(Operation::Write(Write { path, content, mode, owner }))
}

fn unrandom(error: std::io::Error) -> Stop {
    Stop::error(format!("there is nothing random to be had: {error}"))
}

/// What is at `path`, symlinks followed; none where there is nothing, or it cannot be known.
fn kind(guest: &Guest, path: &str) -> Option<FileKind> {
    Some(guest.find(&path.parse::<GuestPath>().ok()?, LastLink::Follow).ok()?.node.kind())
}

fn is_empty_file(guest: &Guest, path: &str) -> bool {
    let metadata = path.parse::<GuestPath>().ok().and_then(|path| {
        let found = guest.find(&path, LastLink::Keep).ok()?;
        guest.metadata(&found.node).ok()
    });
    metadata.is_some_and(|metadata| metadata.kind == FileKind::Regular && metadata.size_bytes == 0)
}
