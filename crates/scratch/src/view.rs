//! The guest's whole tree: a [`Tree`] for each of its mounted file systems.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use guest::{Guest, GuestPath};

use crate::difference::{Difference, Error, Times};
use crate::inode::InodeNumber;
use crate::spill::Spill;
use crate::tree::{SharedGuest, Tree};

/// A tree that a kernel and others use.
pub type SharedTree = Arc<Mutex<Tree>>;

/// The file systems of a guest as programs see them, outer mount points first.
pub struct View {
    guest: SharedGuest,
    /// Mount points and the trees there.
    pub trees: Vec<(GuestPath, SharedTree)>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("trees", &self.trees).finish_non_exhaustive()
    }
}

impl View {
    /// A view of `guest`, which it keeps until [`finish`](Self::finish). What is written goes to `spill`.
    ///
    /// # Errors
    ///
    /// [`Error`] if something cannot be read; the guest is as it was then.
    pub fn new(guest: &mut Guest, spill: Spill) -> Result<Self, Error> {
        let mut mounted = guest.mounted();
        // The same files in two places would be two trees that know nothing of each other: the outer place has them.
        let mut seen = HashSet::new();
        mounted.retain(|mounted| seen.insert(mounted.volume));
        let spill = Arc::new(spill);
        let mut view = Self { guest: Arc::new(Mutex::new(guest.lend())), trees: Vec::new() };
        for mounted in mounted {
            let made = Tree::new(&view.guest, mounted.volume, &mounted.root, &spill).map_err(Error::from);
            match made.and_then(|tree| view.make_mount_point(&mounted.point).map(|()| tree)) {
                Ok(tree) => view.trees.push((mounted.point, Arc::new(Mutex::new(tree)))),
                Err(error) => {
                    view.give_back(guest);
                    return Err(error);
                }
            }
        }
        Ok(view)
    }

    /// Has a directory at a mount point, as systemd makes it if it is missing.
    fn make_mount_point(&self, point: &GuestPath) -> Result<(), Error> {
        if point.is_root() {
            return Ok(());
        }
        self.in_folder(point, |tree, folder, name| tree.phantom_directory(folder, name).map(drop))
    }

    /// Calls `make` with the tree that `path` is on, the directory that it is in and its name there. Symlinks are not
    /// followed; directories on the way that are missing are there until the view ends.
    ///
    /// # Errors
    ///
    /// [`Error`] if something cannot be read, or is no directory.
    pub fn in_folder<T>(
        &self,
        path: &GuestPath,
        make: impl FnOnce(&mut Tree, InodeNumber, &[u8]) -> crate::tree::Result<T>,
    ) -> Result<T, Error> {
        let parent = path.parent().unwrap_or_else(GuestPath::root);
        let place = self.trees.iter().rev().find(|(point, _)| parent.starts_with(point));
        let Some((point, tree)) = place else { return Err(rustix::io::Errno::NOENT.into()) };
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folder = tree.root();
        for name in parent.components().skip(point.components().count()) {
            folder = tree.phantom_directory(folder, name)?;
        }
        Ok(make(&mut tree, folder, path.name().unwrap_or_default())?)
    }

    /// What was wrong with the guest when programs read it, if anything was.
    pub fn fault(&self) -> Option<String> {
        let fault =
            |tree: &SharedTree| tree.lock().unwrap_or_else(PoisonError::into_inner).fault().map(ToOwned::to_owned);
        self.trees.iter().find_map(|(_, tree)| fault(tree))
    }

    /// What differs now, but for the paths that `is_left_out` names. The guest is back in `guest`, as it was. Nobody may
    /// use the trees any more.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn finish(
        mut self,
        guest: &mut Guest,
        times: &Times,
        is_left_out: &dyn Fn(&GuestPath) -> bool,
    ) -> Result<Difference, Error> {
        let mut difference = Ok(Difference::default());
        for (point, tree) in std::mem::take(&mut self.trees) {
            let Some(tree) = Arc::into_inner(tree) else { continue };
            let tree = tree.into_inner().unwrap_or_else(PoisonError::into_inner);
            difference = difference.and_then(|mut all: Difference| {
                all.append(tree.into_difference(&point, times, is_left_out)?);
                Ok(all)
            });
        }
        self.give_back(guest);
        difference
    }

    /// Ends without telling what differs.
    pub fn discard(mut self, guest: &mut Guest) {
        self.trees.clear();
        self.give_back(guest);
    }

    fn give_back(self, guest: &mut Guest) {
        let Self { guest: lent, trees } = self;
        drop(trees);
        if let Some(lent) = Arc::into_inner(lent) {
            *guest = lent.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
    }
}
