//! `hostname`: sets the guest's name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, known, utf8};
use crate::carry_out::{EDIT_LIMIT_BYTES, Work};
use crate::error::Error;
use crate::report::Report;

/// The longest name that the kernel accepts, in bytes.
const MAX_BYTES: usize = 64;

/// Sets the guest's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname {
    /// The name, with or without a domain.
    pub name: String,
    /// The other file that gets the name.
    pub also: HostnameAlso,
}

/// A file that gets the guest's name besides `/etc/hostname`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostnameAlso {
    /// `/etc/hosts`, if it has the old name.
    #[default]
    Hosts,
    /// `/etc/machine-info`, as `PRETTY_HOSTNAME`.
    MachineInfo,
    /// No other file.
    Nothing,
}

impl Hostname {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "hostname",
            value: Some("NAME"),
            help: "Set the guest's name, also in /etc/hosts",
            parse: |text, _| Hostname::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "hostname",
            value: "NAME",
            keys: &[],
            read: |step| step.said(Hostname::parse).map(Into::into),
        },
    }];

    /// Reads `NAME`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if no host can have the name.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let name = utf8(text.as_bytes())?;
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > MAX_BYTES || !name.split('.').all(is_label) {
            let expected = "use letters, digits, `-` and `.`, at most 64 of them";
            return Err(SyntaxError::invalid(name, "a valid hostname", expected));
        }
        Ok(Self { name: name.to_owned(), also: HostnameAlso::default() })
    }
}

impl Apply for Hostname {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let place = work.place(&known("/etc/hostname"), LastLink::Follow)?;
        let new = format!("{}\n", self.name);
        let mut old = String::new();
        match &place.found {
            Some(_) => {
                let content = work.guest.read(&place.path, EDIT_LIMIT_BYTES)?;
                let text = String::from_utf8_lossy(&content).into_owned();
                let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
                old = lines.find(|line| !line.is_empty()).unwrap_or_default().to_owned();
                work.set_content(&place.path, new.as_bytes())?;
            }
            None => work.create(&place.path, &work.attributes(0o644), new.as_bytes())?,
        }
        let mut paths = vec![place.path.to_string()];
        match self.also {
            HostnameAlso::Hosts => {
                let hosts = known("/etc/hosts");
                // Every host is also called `localhost`, so that this name stays.
                if !matches!(old.as_str(), "" | "localhost" | "localhost.localdomain") && work.is_there(&hosts)? {
                    let rename = |content: &[u8]| Ok(rename_in_hosts(content, &old, &self.name));
                    paths.push(work.edit_content(&hosts, rename)?.to_string());
                }
            }
            HostnameAlso::MachineInfo => {
                let info = work.place(&known("/etc/machine-info"), LastLink::Follow)?;
                match &info.found {
                    Some(_) => {
                        work.edit_content(&info.path, |content| Ok(pretty_hostname(content, &self.name)))?;
                    }
                    None => {
                        let content = pretty_hostname(b"", &self.name);
                        work.create(&info.path, &work.attributes(0o644), &content)?;
                    }
                }
                paths.push(info.path.to_string());
            }
            HostnameAlso::Nothing => {}
        }
        let was =
            if old.is_empty() { String::new() } else { format!(" (it was {})", guest::Printable(old.as_bytes())) };
        Ok(Report::new("hostname", format!("set the hostname to {}{was}", self.name), paths, place.parents))
    }
}

/// The content of `/etc/machine-info` with `name` as the pretty hostname, in the last line.
fn pretty_hostname(content: &[u8], name: &str) -> Vec<u8> {
    const KEY: &[u8] = b"PRETTY_HOSTNAME=";
    let lines = content.split_inclusive(|&byte| byte == b'\n').filter(|line| !line.starts_with(KEY));
    let mut edited = lines.collect::<Vec<_>>().concat();
    if edited.last().is_some_and(|&byte| byte != b'\n') {
        edited.push(b'\n');
    }
    [&edited, KEY, name.as_bytes(), b"\n"].concat()
}

/// The content of `/etc/hosts` with the host `old` renamed to `new`, alone or before its domain. The short name of
/// `old` after a name with a domain becomes the short name of `new`.
fn rename_in_hosts(content: &[u8], old: &str, new: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let (old_short, new_short) = (short(old), short(new));
    let mut renamed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (entry, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        // The first word is the address.
        let mut words = 0;
        let mut has_new = false;
        for word in entry.split_inclusive(char::is_whitespace) {
            let name = word.trim_end();
            words += usize::from(!name.is_empty());
            let domain = name.strip_prefix(old).filter(|rest| rest.is_empty() || rest.starts_with('.'));
            match domain {
                _ if words < 2 || name.is_empty() => renamed.push_str(word),
                // The name with its domain came before: this is its alias.
                Some("") if has_new => {
                    renamed.push_str(&new_short);
                    renamed.push_str(&word[name.len()..]);
                }
                Some(domain) => {
                    renamed.push_str(new);
                    renamed.push_str(if new.contains('.') { "" } else { domain });
                    renamed.push_str(&word[name.len()..]);
                    has_new = new.contains('.');
                }
                None if name == old_short && name != "localhost" => {
                    renamed.push_str(&new_short);
                    renamed.push_str(&word[name.len()..]);
                }
                None => renamed.push_str(word),
            }
        }
        renamed.push_str(comment);
    }
    renamed.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_name_is_renamed_and_nothing_else() {
        let hosts = "127.0.0.1\tlocalhost\n127.0.1.1  web.example.org web # web\n::1 webs web\nweb 1\n#web\n";
        let renamed = rename_in_hosts(hosts.as_bytes(), "web", "db");
        let expected = "127.0.0.1\tlocalhost\n127.0.1.1  db.example.org db # web\n::1 webs db\nweb 1\n#web\n";
        assert_eq!(String::from_utf8(renamed).unwrap(), expected);
        let renamed = rename_in_hosts(b"1 web.example.org web", "web", "db.test");
        assert_eq!(renamed, b"1 db.test db");
    }

    #[test]
    fn the_short_name_stays_an_alias() {
        let renamed = |hosts: &str, old, new| String::from_utf8(rename_in_hosts(hosts.as_bytes(), old, new)).unwrap();
        assert_eq!(renamed("1 web.lan web webs\n", "web.lan", "db.test"), "1 db.test db webs\n");
        assert_eq!(renamed("1 web.lan web\n", "web.lan", "db"), "1 db db\n");
        assert_eq!(renamed("1 web\n2 web\n", "web", "db.test"), "1 db.test\n2 db.test\n");
        assert_eq!(renamed("1 localhost\n", "localhost.lan", "db.test"), "1 localhost\n");
    }

    #[test]
    fn the_pretty_name_is_said_once_and_the_rest_stays() {
        let edited = |content: &[u8]| String::from_utf8(pretty_hostname(content, "db.test")).unwrap();
        assert_eq!(edited(b""), "PRETTY_HOSTNAME=db.test\n");
        let old = b"PRETTY_HOSTNAME=web\nCHASSIS=vm\nPRETTY_HOSTNAME=\"a b\"\n# x";
        assert_eq!(edited(old), "CHASSIS=vm\n# x\nPRETTY_HOSTNAME=db.test\n");
    }

    #[test]
    fn an_invalid_name_is_refused() {
        for name in ["web", "web-1.example.org", "A1"] {
            assert!(Hostname::parse(OsStr::new(name)).is_ok(), "{name}");
        }
        for name in ["", ".", "a..b", "-a", "a-", "a b", "a_b", "ä", "a\n", &"a".repeat(65)] {
            assert!(Hostname::parse(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
