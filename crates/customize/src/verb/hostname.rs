//! `hostname`: the guest's name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;

use super::{SyntaxError, known, utf8};
use crate::carry_out::{EDIT_LIMIT_BYTES, Work};
use crate::error::Error;
use crate::report::Report;

/// The longest name that the kernel takes, in bytes.
const MAX_BYTES: usize = 64;

/// The guest's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname {
    /// The name, with or without a domain.
    pub name: String,
}

impl Hostname {
    /// The hostname that `NAME` says.
    ///
    /// # Errors
    ///
    /// What no host can be called.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let name = utf8(text.as_bytes())?;
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > MAX_BYTES || !name.split('.').all(is_label) {
            return Err(SyntaxError::new(format!(
                "`{name}` is no name of a host: letters, digits, `-` and `.` are, up to {MAX_BYTES}"
            )));
        }
        Ok(Self { name: name.to_owned() })
    }
}

impl Work<'_> {
    pub(crate) fn hostname(&mut self, hostname: &Hostname) -> Result<Report, Error> {
        let place = self.place(&known("/etc/hostname"), LastLink::Follow)?;
        let new = format!("{}\n", hostname.name);
        let mut old = String::new();
        match &place.found {
            Some(_) => {
                let content = self.guest.read(&place.path, EDIT_LIMIT_BYTES)?;
                let text = String::from_utf8_lossy(&content).into_owned();
                let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
                old = lines.find(|line| !line.is_empty()).unwrap_or_default().to_owned();
                self.set_content(&place.path, new.as_bytes())?;
            }
            None => self.create(&place.path, &self.attributes(0o644), new.as_bytes())?,
        }
        let mut paths = vec![place.path.to_string()];
        let hosts = known("/etc/hosts");
        // `localhost` is the name of every host, and stays.
        if !matches!(old.as_str(), "" | "localhost" | "localhost.localdomain") && self.is_there(&hosts)? {
            let rename = |content: &[u8]| Ok(rename_in_hosts(content, &old, &hostname.name));
            paths.push(self.edit_content(&hosts, rename)?.to_string());
        }
        let was = if old.is_empty() { String::new() } else { format!(" (it was {old})") };
        Ok(Report::new("hostname", format!("set the hostname to {}{was}", hostname.name), paths, place.parents))
    }
}

/// `/etc/hosts` with the host `old` called `new`: as a whole name, or before its domain.
fn rename_in_hosts(content: &[u8], old: &str, new: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    let mut renamed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (entry, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        // The first word is the address.
        let mut words = 0;
        for word in entry.split_inclusive(char::is_whitespace) {
            let name = word.trim_end();
            words += usize::from(!name.is_empty());
            let domain = name.strip_prefix(old).filter(|rest| rest.is_empty() || rest.starts_with('.'));
            match domain.filter(|_| words > 1 && !name.is_empty()) {
                Some(domain) => {
                    renamed.push_str(new);
                    renamed.push_str(if new.contains('.') { "" } else { domain });
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
        assert_eq!(renamed, b"1 db.test db.test");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["web", "web-1.example.org", "A1"] {
            assert!(Hostname::parse(OsStr::new(name)).is_ok(), "{name}");
        }
        for name in ["", ".", "a..b", "-a", "a-", "a b", "a_b", "ä", "a\n", &"a".repeat(65)] {
            assert!(Hostname::parse(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
