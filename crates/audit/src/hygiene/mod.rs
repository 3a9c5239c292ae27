//! Traces of one machine, of a build or of its user, in a guest that many machines are to be made of.
//!
//! [`look`] finds them, [`findings`] tells of them, [`added`] is for whoever changed a guest: what was not so before.
//! What can be mended without asking says how, by [`Trace::mend`].

mod rules;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use guest::resolve::LastLink;
use guest::{FileKind, Guest, GuestPath, Printable};
use recipe::ByteSize;

use crate::{Finding, content, known};
pub use rules::Mend;
use rules::{
    ACCOUNT, DBUS_MACHINE_ID, DIRTY_JOURNAL, LOG, MACHINE_ID, OLD_LOG, ORDINARY_OWNER, RULES, Rule, UNREADABLE,
    WORLD_WRITABLE,
};

/// The folders that root and users look for programs in.
pub const PATH: [&str; 8] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/games", "/usr/games"];

/// The numbers of ordinary users, as `useradd` and systemd have them.
const ORDINARY: std::ops::RangeInclusive<u32> = 1000..=60_000;
/// Where macOS and older systems begin to count ordinary users. System users may have these numbers, too.
const OLD_ORDINARY: std::ops::RangeInclusive<u32> = 500..=999;
/// The most traces that one look finds. More than that is a whole system that ran.
pub const MAX_TRACES: usize = 10_000;
/// The most homes that are looked in.
const MAX_HOMES: usize = 1000;
/// The largest machine-id that is read, in bytes.
const MACHINE_ID_LIMIT_BYTES: u64 = 4096;

/// One trace.
#[derive(Clone, Debug)]
pub struct Trace {
    rule: &'static Rule,
    /// The path; of a directory that is removed as a whole, the directory's.
    path: GuestPath,
    /// The file's size, or that of all below.
    size_bytes: u64,
    /// The folder that it is told with.
    folder: GuestPath,
    /// What it is removed by, as `--remove` takes it.
    pattern: String,
    /// What is said in place of the rule's own words.
    detail: Option<String>,
    /// The account that it is.
    account: Option<String>,
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Trace {}

impl Trace {
    fn new(rule: &'static Rule, path: &GuestPath, size_bytes: u64) -> Self {
        let folder = path.parent().unwrap_or_else(GuestPath::root);
        Self { rule, path: path.clone(), size_bytes, folder, pattern: path.to_string(), detail: None, account: None }
    }

    fn key(&self) -> (&'static str, &[u8], u64, Option<&str>) {
        (self.rule.code, self.path.as_bytes(), self.size_bytes, self.detail.as_deref())
    }

    /// The code of its finding.
    pub fn code(&self) -> &'static str {
        self.rule.code
    }

    /// The path that it is about.
    pub fn path(&self) -> &GuestPath {
        &self.path
    }

    /// The name of the account that it is, if it is one.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// How it is mended; none for what only its owner can decide.
    pub fn mend(&self) -> Option<Mend> {
        self.rule.mend
    }
}

/// Looks for traces in `guest`. What is damaged there is a trace, too, and nothing else is lost by it.
pub fn look(guest: &Guest) -> Vec<Trace> {
    let mut look = Look { guest, traces: Vec::new() };
    look.dirty_journals();
    look.machine_id();
    let homes = look.homes();
    for rule in RULES {
        for pattern in rule.patterns {
            match pattern.strip_prefix("~/") {
                Some(rest) => homes.iter().for_each(|home| look.pattern(rule, &format!("{home}/{rest}"))),
                None => look.pattern(rule, pattern),
            }
        }
    }
    look.logs();
    look.programs();
    look.accounts();
    look.traces
}

/// Those of `after` that were not among `before`, to the size.
pub fn added(after: Vec<Trace>, before: &[Trace]) -> Vec<Trace> {
    let known: BTreeSet<_> = before.iter().map(Trace::key).collect();
    let is_new: Vec<bool> = after.iter().map(|trace| !known.contains(&trace.key())).collect();
    after.into_iter().zip(is_new).filter(|(_, is_new)| *is_new).map(|(trace, _)| trace).collect()
}

/// What there is to say of `traces`: those of a kind in a folder together.
pub fn findings(traces: &[Trace]) -> Vec<Finding> {
    let mut groups: Vec<Vec<&Trace>> = Vec::new();
    let mut known: BTreeMap<(&str, &GuestPath), usize> = BTreeMap::new();
    for trace in traces {
        let next = groups.len();
        let index = match trace.detail {
            None => *known.entry((trace.rule.code, &trace.folder)).or_insert(next),
            Some(_) => next,
        };
        match groups.get_mut(index) {
            Some(group) => group.push(trace),
            None => groups.push(vec![trace]),
        }
    }
    groups.iter().map(|group| finding(group)).collect()
}

fn finding(group: &[&Trace]) -> Finding {
    let first = group[0];
    let rule = first.rule;
    let (path, message) = match (group, &first.detail) {
        (_, Some(detail)) => (first.path.to_string(), detail.clone()),
        ([_], None) => (first.path.to_string(), format!("`{}` {}", first.path, rule.one)),
        _ => {
            let size = group.iter().fold(0, |sum: u64, trace| sum.saturating_add(trace.size_bytes));
            let folder = &first.folder;
            let message =
                format!("`{folder}` has {} {} ({}, such as `{}`)", group.len(), rule.many, ByteSize(size), first.path);
            (folder.to_string(), message)
        }
    };
    Finding { code: rule.code, path, message, hint: hint(group) }
}

/// How to mend it by flags.
fn hint(group: &[&Trace]) -> String {
    let first = group[0];
    let Some(mend) = first.rule.mend else {
        return match first.rule.code {
            "account" => {
                let name = first.pattern.as_str();
                format!(
                    "`--run 'userdel --remove {name}'` removes it; a seed makes users at the first boot, such as \
                     `imgraft seed iso --user {name}`"
                )
            }
            "dirty-journal" => "any change replays its journal, such as `imgraft customize IMAGE --clean`".to_owned(),
            _ => "`imgraft check` says more".to_owned(),
        };
    };
    let mut flags: Vec<String> = Vec::new();
    for trace in group {
        let path = &trace.path;
        let flag = match mend {
            // Logs below one folder are of both kinds.
            _ if trace.rule.code == "log" && group.len() > 1 => format!("--truncate-recursive {}", trace.folder),
            Mend::Remove | Mend::Scrub => format!("--remove {}", quoted(&trace.pattern)),
            Mend::Empty => format!("--truncate {}", quoted(&path.to_string())),
            Mend::NotForAll => format!("--chmod 0755:{}", quoted(&path.to_string())),
            Mend::ToRoot => format!("--chown root:root:{}", quoted(&path.to_string())),
        };
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
    const MAX_FLAGS: usize = 2;
    match flags.len() <= MAX_FLAGS {
        true => format!("`{}`, or `--clean`", flags.join(" ")),
        false => "`--clean`".to_owned(),
    }
}

/// `text` as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&byte);
    if text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

struct Look<'a> {
    guest: &'a Guest,
    traces: Vec<Trace>,
}

impl Look<'_> {
    fn push(&mut self, trace: Trace) {
        if self.traces.len() < MAX_TRACES {
            self.traces.push(trace);
        }
    }

    fn unreadable(&mut self, path: &GuestPath, error: &guest::Error) {
        // A file system that is not on this disk is another image's.
        if matches!(error, guest::Error::Path { .. }) {
            return;
        }
        let detail = Some(format!("`{path}` could not be looked at: {error}"));
        self.push(Trace { detail, ..Trace::new(&UNREADABLE, path, 0) });
    }

    fn dirty_journals(&mut self) {
        let guest = self.guest;
        for (index, volume) in guest.volumes().iter().enumerate().filter(|(_, volume)| volume.journal_replayed()) {
            let point = guest.mount_points(index).into_iter().next().unwrap_or_else(GuestPath::root);
            let detail = Some(format!("{volume} was not shut down cleanly: the guest ran, or was cut off"));
            self.push(Trace { detail, ..Trace::new(&DIRTY_JOURNAL, &point, 0) });
        }
    }

    fn machine_id(&mut self) {
        let is_id = |content: &[u8]| !matches!(content.trim_ascii(), b"" | b"uninitialized");
        for (path, rule) in [("/etc/machine-id", &MACHINE_ID), ("/var/lib/dbus/machine-id", &DBUS_MACHINE_ID)] {
            let path = known(path);
            let Ok(found) = self.guest.find(&path, LastLink::Keep) else { continue };
            // A symlink leads to the other one.
            if found.node.kind() == FileKind::Regular
                && let Some(id) = content(self.guest, &path, MACHINE_ID_LIMIT_BYTES).filter(|id| is_id(id))
            {
                self.push(Trace::new(rule, &found.path, id.len() as u64));
            }
        }
    }

    /// The homes of the guest's users, and those that nobody has any more.
    fn homes(&self) -> Vec<String> {
        let accounts = self.guest.accounts().unwrap_or_default();
        let mut homes: BTreeSet<String> = accounts.into_iter().map(|account| account.home).collect();
        homes.insert("/root".to_owned());
        let left = self.guest.matching(&known("/home/*")).unwrap_or_default();
        homes.extend(left.iter().filter_map(|path| String::from_utf8(path.as_bytes().to_vec()).ok()));
        // What a pattern or a folder of the system would be is nobody's home.
        let is_home = |home: &String| {
            home.starts_with('/') && home.len() > 1 && !home.contains(['*', '?', '[', '\\']) && home != "/nonexistent"
        };
        homes.into_iter().filter(is_home).take(MAX_HOMES).collect()
    }

    fn pattern(&mut self, rule: &'static Rule, pattern: &str) {
        let Ok(path) = pattern.parse::<GuestPath>() else { return };
        let matching = match self.guest.matching(&path) {
            Ok(matching) => matching,
            Err(error) => return self.unreadable(&path, &error),
        };
        let name = pattern.rsplit('/').next().unwrap_or_default();
        for path in matching {
            let Ok(found) = self.guest.find(&path, LastLink::Keep) else { continue };
            let size_bytes = match walk::size(self.guest, &found) {
                Ok(size) => size,
                Err(error) => {
                    self.unreadable(&found.path, &error);
                    continue;
                }
            };
            // An empty file is a place for something; other empty things, such as links and directories, are traces.
            if found.node.kind() == FileKind::Regular && size_bytes == 0 {
                continue;
            }
            let mut trace = Trace::new(rule, &found.path, size_bytes);
            if name.contains('*') {
                trace.pattern = format!("{}/{name}", trace.folder).replace("//", "/");
            }
            if !self.traces.iter().rev().take(MAX_SAME).any(|other| other.path == trace.path) {
                self.push(trace);
            }
        }
    }

    fn logs(&mut self) {
        let folder = known("/var/log");
        let journal = known("/var/log/journal");
        let files = match walk::files(self.guest, &folder, &|path| !path.starts_with(&journal)) {
            Ok(files) => files,
            Err(error) => return self.unreadable(&folder, &error),
        };
        for (path, size_bytes) in files {
            let name = path.name().unwrap_or_default();
            if size_bytes > 0 && !name.starts_with(b"README") {
                let rule = if is_put_aside(name) { &OLD_LOG } else { &LOG };
                self.push(Trace { folder: folder.clone(), ..Trace::new(rule, &path, size_bytes) });
            }
        }
    }

    /// The folders of programs and the files in them.
    fn programs(&mut self) {
        let guest = self.guest;
        let mut seen = BTreeSet::new();
        for folder in PATH.map(known) {
            let Ok(found) = guest.find(&folder, LastLink::Follow) else { continue };
            if !seen.insert(found.path.clone()) {
                continue;
            }
            let folder = found.path;
            self.program(&folder);
            let entries = match guest.read_directory(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unreadable(&folder, &error);
                    continue;
                }
            };
            for entry in entries {
                let Ok(path) = folder.join(&entry.name) else { continue };
                let real = match entry.kind {
                    FileKind::Regular => path,
                    FileKind::Symlink => match guest.find(&path, LastLink::Follow) {
                        Ok(found) if found.node.kind() == FileKind::Regular => found.path,
                        _ => continue,
                    },
                    _ => continue,
                };
                if seen.insert(real.clone()) {
                    self.program(&real);
                }
            }
        }
    }

    fn program(&mut self, path: &GuestPath) {
        let Ok(found) = self.guest.find(path, LastLink::Keep) else { return };
        // A FAT has neither modes nor owners.
        let volume = &self.guest.volumes()[found.node.volume()];
        if !volume.file_system().is_some_and(guest::FileSystem::is_unix) {
            return;
        }
        let metadata = match self.guest.metadata(&found.node) {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(path, &error),
        };
        if metadata.permissions & 0o002 != 0 {
            let mode = metadata.permissions;
            let detail = Some(format!("`{path}` is on the path, and everybody may write to it (mode 0{mode:o})"));
            self.push(Trace { detail, ..Trace::new(&WORLD_WRITABLE, path, 0) });
        }
        if ORDINARY.contains(&metadata.uid) {
            let uid = metadata.uid;
            let detail = Some(format!("`{path}` is on the path, and belongs to an ordinary user ({uid})"));
            self.push(Trace { detail, ..Trace::new(&ORDINARY_OWNER, path, 0) });
        }
    }

    fn accounts(&mut self) {
        let Ok(accounts) = self.guest.accounts() else { return };
        for account in accounts {
            let has_shell = !["nologin", "false"].iter().any(|name| account.shell.ends_with(name));
            let is_old = OLD_ORDINARY.contains(&account.uid) && account.home.starts_with("/home/") && has_shell;
            if ORDINARY.contains(&account.uid) || is_old {
                let name = Printable(account.name.as_bytes()).to_string();
                let detail = Some(format!(
                    "the image has the account `{name}` ({}), which every machine made of it would have",
                    account.uid
                ));
                let trace = Trace::new(&ACCOUNT, &known("/etc/passwd"), 0);
                self.push(Trace { detail, pattern: quoted(&name), account: Some(account.name), ..trace });
            }
        }
    }
}

/// How many traces back the same path may have been found by another pattern.
const MAX_SAME: usize = 64;

/// Whether a log with this name was put aside: `syslog.1`, `dpkg.log.2.gz`, `dnf.log-20261101`.
fn is_put_aside(name: &[u8]) -> bool {
    let name = [&b".gz"[..], b".xz", b".bz2", b".zst"].iter().find_map(|end| name.strip_suffix(*end)).ok_or(name);
    let Err(name) = name else { return true };
    if name.ends_with(b".old") {
        return true;
    }
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let before = name.len() - digits;
    digits > 0 && before > 0 && (name[before - 1] == b'.' || (digits == 8 && name[before - 1] == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_that_were_put_aside_have_numbers_dates_or_are_packed() {
        for name in ["syslog.1", "dpkg.log.2.gz", "dnf.log-20261101", "Xorg.0.log.old", "eipp.log.xz"] {
            assert!(is_put_aside(name.as_bytes()), "{name}");
        }
        for name in ["syslog", "dpkg.log", "wtmp", "php8.2-fpm.log", "a-1", "1", ".1x", ""] {
            assert!(!is_put_aside(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_word_of_a_shell_is_quoted_where_it_has_to_be() {
        assert_eq!(quoted("/etc/ssh/ssh_host_*"), "'/etc/ssh/ssh_host_*'");
        assert_eq!(quoted("/root/.bash_history"), "/root/.bash_history");
        assert_eq!(quoted("/tmp/it's"), "'/tmp/it'\\''s'");
    }
}
