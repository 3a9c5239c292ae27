//! SELinux: what is new in a guest gets the label that the guest's own policy gives to files there.
//!
//! A guest that enforces SELinux lets confined services use nothing without a label. The kernel of the guest would have
//! given one when it made the file; nobody has here.

use guest::resolve::LastLink;
use guest::{FileSystem, Guest, GuestPath};
use selinux::{FileContexts, Label, Texts};
use serde::Serialize;

use crate::carry_out::{Options, Warning};
use crate::error::Error;
use crate::verb::known;

/// The file that asks a guest to label all of its files at its next boot.
pub(crate) const REQUEST: &str = "/.autorelabel";
/// The guest's setting of SELinux.
const CONFIG: &str = "/etc/selinux/config";
/// The largest file of a policy or a setting that is read, in bytes.
const LIMIT_BYTES: u64 = 4 << 20;
/// The extended attribute that is the label.
pub(crate) const ATTRIBUTE: &[u8] = b"security.selinux";

/// The label that a new file got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileLabel {
    /// The file.
    pub path: String,
    /// Its label: `system_u:object_r:bin_t:s0`.
    pub label: String,
}

/// How a guest uses SELinux.
struct Setting {
    is_enforcing: bool,
    /// The name of its policy: `targeted`.
    policy: String,
}

/// Gives labels to what is new in a guest since [`carry_out`](crate::carry_out) began, or since this was called last.
/// Somebody who changes a guest after `carry_out` calls this again, and flushes the guest.
///
/// # Errors
///
/// [`Error::Guest`] if the guest cannot be read or written.
pub fn label_new(guest: &mut Guest, options: &Options, warnings: &mut Vec<Warning>) -> Result<Vec<FileLabel>, Error> {
    if options.without_labels {
        return Ok(Vec::new());
    }
    let (labels, warning) = match (guest.take_new_names(), Setting::read(guest)?) {
        (_, None) => (Vec::new(), None),
        (Some(new), Some(setting)) => setting.give(guest, &new)?,
        (None, Some(setting)) => (Vec::new(), setting.warning("its SELinux was set up just now".to_owned())),
    };
    // It was told already, or the guest labels all that it has.
    let is_asked = guest.find(&known(REQUEST), LastLink::Keep).is_ok();
    warnings.extend(warning.filter(|warning| !is_asked && !warnings.contains(warning)));
    Ok(labels)
}

/// Whether the guest may use SELinux, so that the names of new files are worth remembering.
pub(crate) fn is_used(guest: &Guest) -> Result<bool, Error> {
    Ok(Setting::read(guest)?.is_some())
}

/// Those of the files that are there, could have a label and have none.
fn without_label(guest: &Guest, paths: &[GuestPath]) -> Result<Vec<GuestPath>, Error> {
    let mut without = Vec::new();
    for path in paths {
        let found = match guest.find(path, LastLink::Keep) {
            Ok(found) => found,
            Err(error) if error.is_absence() => continue,
            Err(error) => return Err(error.into()),
        };
        let file_system = guest.volumes()[found.node.volume()].file_system();
        if file_system.is_some_and(FileSystem::is_unix) && label_of(guest, path)?.is_none() {
            without.push(path.clone());
        }
    }
    Ok(without)
}

fn label_of(guest: &Guest, path: &GuestPath) -> Result<Option<Vec<u8>>, Error> {
    Ok(guest.xattrs(path)?.into_iter().find(|(name, _)| name == ATTRIBUTE).map(|(_, value)| value))
}

/// The content of a file of the guest; `None` if there is none, or it is no file of this size.
fn content(guest: &Guest, path: &GuestPath) -> Result<Option<Vec<u8>>, Error> {
    match guest.find(path, LastLink::Follow).and_then(|found| guest.read(&found.path, LIMIT_BYTES)) {
        Ok(content) => Ok(Some(content)),
        Err(guest::Error::Path { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Setting {
    /// The setting of a guest that uses SELinux.
    fn read(guest: &Guest) -> Result<Option<Self>, Error> {
        Ok(content(guest, &known(CONFIG))?.and_then(|text| Self::parse(&text)))
    }

    /// As libselinux reads it: the last line of a name counts.
    fn parse(text: &[u8]) -> Option<Self> {
        let last = |name: &[u8]| {
            let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
            let value = lines.filter_map(|line| line.strip_prefix(name)).next_back()?;
            Some(String::from_utf8_lossy(value.trim_ascii()).into_owned())
        };
        let state = last(b"SELINUX=")?.to_ascii_lowercase();
        let is_enforcing = state == "enforcing";
        let policy = last(b"SELINUXTYPE=").filter(|name| !name.is_empty() && !name.contains('/') && name != "..");
        let policy = policy.unwrap_or_else(|| "targeted".to_owned());
        (is_enforcing || state == "permissive").then_some(Self { is_enforcing, policy })
    }

    fn warning(&self, why: String) -> Option<Warning> {
        self.is_enforcing.then_some(Warning::Unlabelled { why })
    }

    /// Gives a label to each of these files that is there and has none. Warns if the policy cannot be read, or does not
    /// say which label a file has.
    fn give(&self, guest: &mut Guest, paths: &[GuestPath]) -> Result<(Vec<FileLabel>, Option<Warning>), Error> {
        let (mut given, mut warning) = (Vec::new(), None);
        let paths = without_label(guest, paths)?;
        if paths.is_empty() {
            return Ok((given, None));
        }
        // Such a guest gives labels to all of its files when it boots.
        if label_of(guest, &GuestPath::root())?.is_none() {
            return Ok((given, self.warning("its root directory has none, either".to_owned())));
        }
        let contexts = match self.contexts(guest)? {
            Ok(contexts) => contexts,
            Err(why) => return Ok((given, self.warning(why))),
        };
        for path in paths {
            let kind = guest.find(&path, LastLink::Keep)?.node.kind();
            match contexts.label(path.as_bytes(), kind) {
                Label::Context(context) => {
                    // With a zero at the end, as `setfilecon` writes it.
                    guest.set_xattr(&path, ATTRIBUTE, &[context, b"\0"].concat())?;
                    let label = String::from_utf8_lossy(context).into_owned();
                    given.push(FileLabel { path: path.to_string(), label });
                }
                Label::None | Label::Unknown => {}
                Label::Unreadable(expression) => {
                    let expression = guest::Printable(expression).to_string();
                    warning = self.warning(format!("imgraft cannot read the expression `{expression}` of its policy"));
                }
            }
        }
        Ok((given, warning))
    }

    /// What the policy says of files; the inner error is why it cannot be read.
    fn contexts(&self, guest: &Guest) -> Result<Result<FileContexts, String>, Error> {
        let path = format!("/etc/selinux/{}/contexts/files/file_contexts", self.policy);
        let mut texts = Vec::new();
        for end in ["", ".homedirs", ".local", ".subs", ".subs_dist"] {
            let Ok(path) = GuestPath::new(format!("{path}{end}")) else { break };
            texts.push(content(guest, &path)?);
        }
        let Some(Some(file_contexts)) = texts.first() else {
            return Ok(Err(format!("its policy `{}` has no `{path}`", self.policy)));
        };
        let text = |index: usize| texts.get(index).and_then(Option::as_deref).unwrap_or_default();
        let parsed = FileContexts::parse(&Texts {
            file_contexts,
            homedirs: text(1),
            local: text(2),
            subs: text(3),
            subs_dist: text(4),
        });
        Ok(parsed.map_err(|error| format!("its policy cannot be read: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_setting_counts() {
        let read = |text: &str| Setting::parse(text.as_bytes()).map(|setting| (setting.is_enforcing, setting.policy));
        let set = |is_enforcing: bool, policy: &str| Some((is_enforcing, policy.to_owned()));
        assert_eq!(read("# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=default\n"), set(true, "default"));
        assert_eq!(read("SELINUX=enforcing\nSELINUX=Permissive \n"), set(false, "targeted"));
        assert_eq!(read("SELINUX=enforcing\nSELINUXTYPE=../../tmp\n"), set(true, "targeted"));
        assert_eq!(read("SELINUX=disabled\n"), None);
        assert_eq!(read("#SELINUX=enforcing\nSELINUXTYPE=enforcing\n"), None);
    }
}
