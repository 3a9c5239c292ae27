//! `relabel`: the guest labels every file for SELinux when it boots.

use guest::resolve::LastLink;

use crate::carry_out::{Warning, Work};
use crate::error::Error;
use crate::report::Report;
use crate::verb::known;

/// What asks the guest for labels at its next boot.
const REQUEST: &str = "/.autorelabel";
/// Where the guest says what it does with SELinux.
const CONFIG: &str = "/etc/selinux/config";
/// The largest such file that is read, in bytes.
const CONFIG_LIMIT_BYTES: u64 = 64 << 10;

impl Work<'_> {
    pub(crate) fn relabel(&mut self) -> Result<Report, Error> {
        let path = known(REQUEST);
        let place = self.place(&path, LastLink::Keep)?;
        if place.found.is_none() {
            self.create(&place.path, &self.attributes(0o644), b"")?;
        }
        let text = format!("asked the guest to label its files when it boots ({path})");
        Ok(Report::new("relabel", text, vec![path.to_string()], Vec::new()))
    }

    /// Warns where a guest that enforces SELinux gets files without labels. Nothing that was not done
    /// needs some.
    pub(crate) fn warn_of_labels(&mut self) -> Result<(), Error> {
        if self.is_there(&known(CONFIG))? && !self.is_there(&known(REQUEST))? {
            let path = self.existing(&known(CONFIG))?.path;
            let config = self.guest.read(&path, CONFIG_LIMIT_BYTES)?;
            if is_enforcing(&config) {
                self.warnings.push(Warning::Unlabelled);
            }
        }
        Ok(())
    }
}

/// Whether the last `SELINUX=` says so.
fn is_enforcing(config: &[u8]) -> bool {
    let lines = config.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let value = lines.filter_map(|line| line.strip_prefix(b"SELINUX=")).next_back();
    value.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"enforcing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        assert!(is_enforcing(b"# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"));
        assert!(!is_enforcing(b"SELINUX=enforcing\nSELINUX=permissive\n"));
        assert!(!is_enforcing(b"#SELINUX=enforcing\nSELINUXTYPE=enforcing\n"));
    }
}
