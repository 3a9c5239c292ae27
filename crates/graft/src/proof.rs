//! The proof that a build changed what was asked for and nothing else, made from the overlay before the new
//! image gets a name.

use std::sync::Arc;

use guest::Guest;
use guest::diff::{self, Asked, BlockAccount, View};
use image::Image;
use storage::{Extended, ReadAt, WriteAt};

use crate::disk::{Disk, scratch_overlay};
use crate::error::{Error, in_one_line, lines};

/// The account of what a build changed.
pub(crate) struct Changed {
    pub(crate) account: BlockAccount,
    /// Why it is not whole.
    pub(crate) warning: Option<String>,
}

/// Accounts for everything on `disk` that is not as in `image`, its base, by what `guest` was asked to edit.
///
/// # Errors
///
/// Where something changed that nothing explains. In a base that is damaged, which `is_sound` says, owners
/// of blocks cannot be told for sure: then that is a warning.
pub(crate) fn check(
    image: &Arc<Image>,
    disk: &Arc<Disk>,
    guest: &Guest,
    is_grown: bool,
    is_sound: bool,
) -> Result<Changed, Error> {
    let account = match account(image, disk, guest, is_grown) {
        Ok(account) => account,
        Err(error) if !is_sound => {
            let warning = format!("what changed cannot be accounted for: {}", in_one_line(&error));
            return Ok(Changed { account: BlockAccount::default(), warning: Some(warning) });
        }
        Err(error) => return Err(Error::Account(error)),
    };
    if account.is_explained() {
        return Ok(Changed { account, warning: None });
    }
    if is_sound {
        return Err(Error::Unexplained { places: account.unexplained });
    }
    let warning = format!(
        "not all that changed could be explained: {}",
        lines(&account.unexplained, ToString::to_string).join("; ")
    );
    Ok(Changed { account, warning: Some(warning) })
}

fn account(image: &Arc<Image>, disk: &Arc<Disk>, guest: &Guest, is_grown: bool) -> Result<BlockAccount, guest::Error> {
    let written = disk.changed();
    // Before the base is opened, a journal may have to be replayed and deletions finished, as in the disk.
    let old = scratch_overlay(image);
    let mut base = View::open(Arc::clone(&old) as Arc<dyn WriteAt>)?;
    base.recover_like(guest)?;
    // What is still in a source is not read for this: it counts as different.
    let kept = disk.kept_in_sources();
    let compared = diff::without(&written, &kept);
    let differing = diff::union(&diff::differing(&old, disk, &compared)?, &kept);
    let original = Extended::new(Arc::clone(image), disk.size_bytes());
    let recovered = diff::differing(&original, disk, &old.changed())?;
    let asked = Asked { is_grown, differing: &differing, recovered: &recovered };
    let new = View::open(Arc::clone(disk) as Arc<dyn WriteAt>)?;
    diff::account_for_edits(&base, &new, guest, &asked)
}
