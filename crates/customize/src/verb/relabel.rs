//! `relabel`: has the guest label its files for SELinux when it boots.

use guest::resolve::LastLink;

use super::{Apply, Flag, StepForm, Verb, known};
use crate::carry_out::{Warning, Work};
use crate::error::Error;
use crate::report::Report;

/// The file that asks the guest for labels at its next boot.
const REQUEST: &str = "/.autorelabel";
/// The guest's setting of SELinux.
const CONFIG: &str = "/etc/selinux/config";
/// The largest such file that is read, in bytes.
const CONFIG_LIMIT_BYTES: u64 = 64 << 10;

/// Has the guest label all of its files for SELinux when it boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relabel;

impl Relabel {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "relabel",
            value: None,
            help: "Have the guest label its files for SELinux when it boots",
            parse: |_, _| Ok(Relabel.into()),
        }],
        step: StepForm {
            name: "relabel",
            value: "true",
            keys: &[],
            read: |step| {
                if !step.table.boolean("relabel")? {
                    step.problem("this step does nothing".to_owned(), Some("leave it out"));
                }
                Some(Relabel.into())
            },
        },
    }];
}

impl Apply for Relabel {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let path = known(REQUEST);
        let place = work.place(&path, LastLink::Keep)?;
        if place.found.is_none() {
            work.create(&place.path, &work.attributes(0o644), b"")?;
        }
        let text = format!("asked the guest to label its files when it boots ({path})");
        Ok(Report::new("relabel", text, vec![path.to_string()], Vec::new()))
    }
}

impl Work<'_> {
    /// Warns if a guest that enforces SELinux has new files without labels.
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

/// Whether the last `SELINUX=` is `enforcing`.
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
