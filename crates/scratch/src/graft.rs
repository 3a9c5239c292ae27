//! Carrying a difference out on the guest.
//!
//! First everything goes that is gone or is made anew, then everything new is made in the order of paths, then what
//! stays gets its properties. `chattr`'s flags come last, as an immutable file takes nothing more.

use guest::{Error, FileKind, Guest, GuestPath, Times};

use crate::difference::{Difference, Made, Properties};

/// The flag of a file that cannot be changed.
const IMMUTABLE: u32 = 0x10;

impl Difference {
    /// Adds what differs on another file system of the same guest.
    pub fn append(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.removed.extend(other.removed);
        self.made.extend(other.made);
        self.set.extend(other.set);
        self.changed = other.changed;
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.made.is_empty() && self.set.is_empty()
    }

    /// Has `guest` be as the tree is.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no room or the guest cannot have something. A part of it is done then.
    pub fn graft(self, guest: &mut Guest) -> Result<(), Error> {
        let mut flags: Vec<(GuestPath, u32)> = Vec::new();
        for (path, before, _) in &self.set {
            if before.flags & IMMUTABLE != 0 {
                guest.set_flags(path, before.flags & !IMMUTABLE)?;
                flags.push((path.clone(), before.flags));
            }
        }
        for (path, kind) in &self.removed {
            match kind {
                FileKind::Directory => guest.remove_tree(path)?,
                _ => guest.remove_file(path)?,
            }
        }
        for (path, (made, properties)) in &self.made {
            if let Made::Link(to) = made {
                guest.link(to, path)?;
                continue;
            }
            let Some(properties) = properties else { continue };
            let attributes = &properties.attributes;
            match made {
                Made::Directory => guest.create_directory(path, attributes)?,
                Made::File(source) => guest.create_file_from(path, attributes, source)?,
                Made::Symlink(target) => guest.create_symlink(path, target, attributes)?,
                Made::Special(special) => guest.create_special(path, *special, attributes)?,
                Made::Link(_) => {}
            }
            for (name, value) in &properties.xattrs {
                guest.set_xattr(path, name, value)?;
            }
            if properties.flags != 0 {
                flags.push((path.clone(), properties.flags));
            }
        }
        for (path, before, now) in &self.set {
            self.set_properties(guest, path, before, now)?;
            if before.flags != now.flags {
                flags.retain(|(other, _)| other != path);
                flags.push((path.clone(), now.flags));
            }
        }
        flags.iter().try_for_each(|(path, flags)| guest.set_flags(path, *flags))
    }

    fn set_properties(
        &self,
        guest: &mut Guest,
        path: &GuestPath,
        before: &Properties,
        now: &Properties,
    ) -> Result<(), Error> {
        for name in before.xattrs.keys().filter(|name| !now.xattrs.contains_key(*name)) {
            guest.remove_xattr(path, name)?;
        }
        for (name, value) in now.xattrs.iter().filter(|(name, value)| before.xattrs.get(*name) != Some(*value)) {
            guest.set_xattr(path, name, value)?;
        }
        let accessed = guest.metadata(&guest.find(path, guest::LastLink::Keep)?.node)?.accessed;
        guest.set_attributes(path, &now.attributes)?;
        let times = Times { accessed: Some(accessed), modified: None, changed: Some(self.changed) };
        guest.set_times(path, &times)
    }
}
