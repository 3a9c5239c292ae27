//! The proof that a build changed what was asked for and nothing else, made from the overlay before the new
//! image gets a name.

use std::sync::Arc;

use guest::Guest;
use guest::diff::{self, Asked, BlockAccount, View};
use image::Image;
use storage::{Extended, ReadAt, WriteAt};

use crate::comparison::Comparison;
use crate::disk::{Disk, scratch_overlay};
use crate::error::{Error, in_one_line, lines};
use crate::report::Change;
use crate::state::{StateError, file_states};

/// The account of what a build changed.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) account: BlockAccount,
    /// What differs, path by path, where that was asked for.
    pub(crate) comparison: Option<Comparison>,
    /// Why it is not whole.
    pub(crate) warning: Option<String>,
}

/// What is known of a build, and what is to be found out.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) is_grown: bool,
    /// Whether no damage is known of.
    pub(crate) is_sound: bool,
    /// Whether the disks are compared path by path.
    pub(crate) compares: bool,
    /// Whether files that differ get digests.
    pub(crate) digests: bool,
}

/// Accounts for everything on `disk` that is not as in `image`, its base, by what `guest` was asked to edit.
///
/// # Errors
///
/// Where something changed that nothing explains. In a base that is damaged, which `wanted` says, owners
/// of blocks cannot be told for sure: then that is a warning.
pub(crate) fn check(image: &Arc<Image>, disk: &Arc<Disk>, guest: &Guest, wanted: Wanted) -> Result<Changed, Error> {
    let Wanted { is_sound, .. } = wanted;
    let (account, comparison) = match account(image, disk, guest, wanted) {
        Ok(account) => account,
        Err(StateError::TooMuch { path, disk_bytes }) => {
            return Err(Error::Document(Box::new(StateError::TooMuch { path, disk_bytes })));
        }
        Err(StateError::Guest(error)) if !is_sound => {
            let warning = format!("what changed cannot be accounted for: {}", in_one_line(&error));
            return Ok(Changed { warning: Some(warning), ..Changed::default() });
        }
        Err(StateError::Guest(error)) => return Err(Error::Account(error)),
    };
    if account.is_explained() {
        return Ok(Changed { account, comparison, warning: None });
    }
    if is_sound {
        return Err(Error::Unexplained { places: account.unexplained });
    }
    let warning = format!(
        "not all that changed could be explained: {}",
        lines(&account.unexplained, ToString::to_string).join("; ")
    );
    Ok(Changed { account, comparison, warning: Some(warning) })
}

fn account(
    image: &Arc<Image>,
    disk: &Arc<Disk>,
    guest: &Guest,
    wanted: Wanted,
) -> Result<(BlockAccount, Option<Comparison>), StateError> {
    let written = disk.changed();
    // Before the base is opened, a journal may have to be replayed and deletions finished, as in the disk.
    let old = scratch_overlay(image);
    let mut base = View::open(Arc::clone(&old) as Arc<dyn WriteAt>)?;
    base.recover_like(guest)?;
    // What is still in a source is not read for this: it counts as different.
    let kept = disk.kept_in_sources();
    let compared = diff::without(&written, &kept);
    let differing = diff::union(&diff::differing(&old, disk, &compared).map_err(guest::Error::from)?, &kept);
    let original = Extended::new(Arc::clone(image), disk.size_bytes());
    let recovered = diff::differing(&original, disk, &old.changed()).map_err(guest::Error::from)?;
    let asked = Asked { is_grown: wanted.is_grown, differing: &differing, recovered: &recovered };
    let new = View::open(Arc::clone(disk) as Arc<dyn WriteAt>)?;
    let account = diff::account_for_edits(&base, &new, guest, &asked)?;
    let disk_bytes = Change { from: image.size_bytes(), to: disk.size_bytes() };
    let comparison = wanted.compares.then(|| Comparison::of(&base, &new, disk_bytes, &differing)).transpose()?;
    let mut comparison = comparison.map(|(comparison, _)| comparison);
    if let Some(comparison) = comparison.as_mut().filter(|_| wanted.digests) {
        comparison.states = file_states(&new, &comparison.differences.paths, disk.size_bytes())?;
    }
    Ok((account, comparison))
}
