//! `relabel`: has the guest label its files for SELinux when it boots.

use guest::resolve::LastLink;

use super::{Apply, Flag, StepForm, Verb, known};
use crate::carry_out::Work;
use crate::error::Error;
use crate::labels::REQUEST;
use crate::report::Report;

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
