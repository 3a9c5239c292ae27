//! What is looked at in a guest when everything was done to it, and before anything is written.

use std::sync::Arc;

use audit::Finding;
use audit::hygiene::{self, Trace};
use customize::Operation;
use guest::Guest;
use image::Image;
use storage::WriteAt;

use crate::attentive::Attentive;
use crate::disk::scratch_disk;
use crate::job::Job;

/// What `job` left in `guest` that the guest on `image` did not have. An account that it was asked to make is none.
///
/// Of a disk with several systems, this is about the last one that was entered.
///
/// # Errors
///
/// If the host cannot read the base.
pub(crate) fn left(job: &Job, image: &Arc<Image>, guest: &Guest) -> storage::Result<Vec<Finding>> {
    let is_asked = !job.operations.is_empty() && job.other_systems.is_empty();
    if !is_asked || job.place.is_some() || job.options.without_advice {
        return Ok(Vec::new());
    }
    let made: Vec<&str> = job.operations.iter().filter_map(user).collect();
    let is_ours = |trace: &Trace| trace.account().is_some_and(|account| made.contains(&account));
    let mut after = hygiene::look(guest);
    after.retain(|trace| !is_ours(trace));
    // A guest without any trace needs no comparison.
    if after.is_empty() {
        return Ok(Vec::new());
    }
    let disk = Attentive::new(scratch_disk(image));
    let found = match Guest::open(Arc::clone(&disk) as Arc<dyn WriteAt>) {
        Ok(base) => hygiene::findings(&hygiene::added(after, &hygiene::look(&base))),
        Err(_) => Vec::new(),
    };
    disk.host_has_not_failed()?;
    Ok(found)
}

/// The name of the user that an operation makes.
fn user(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::User(user) => Some(&user.name),
        _ => None,
    }
}
