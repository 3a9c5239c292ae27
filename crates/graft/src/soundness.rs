//! The check of what was changed, before anything gets a name: a build never makes a file system worse.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use guest::{Guest, Volume, open_volumes};
use image::Image;
use storage::Finding;

use crate::disk::{Disk, scratch_disk};
use crate::error::{self, Error};
use crate::watch::Lasting;

/// A base with as many findings is not compared: the check itself may have left some out.
const MAX_OLD_FINDINGS: usize = 500;

/// What was checked.
pub(crate) struct Checked {
    /// The file systems that had changed and can be checked.
    pub(crate) file_systems: Vec<String>,
    /// What was wrong with the base already, and still is.
    pub(crate) warnings: Vec<String>,
}

/// What the findings after a build mean.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Sound,
    /// All of it was there before.
    OldDamage,
    /// There was damage before, and now there is more: of these kinds.
    MoreDamage(Vec<Finding>),
    /// We made it.
    OurFault,
}

/// Checks the file systems of `guest` that were changed on `disk`, which is that of the image at
/// `base_path`.
///
/// # Errors
///
/// Where one has damage that the base does not have.
pub(crate) fn check(
    base_path: &Path,
    image: &Arc<Image>,
    disk: &Disk,
    guest: &Guest,
    stage: &Lasting<'_>,
) -> Result<Checked, Error> {
    let changed = disk.changed();
    let sizes = guest.volumes().iter().filter(|volume| is_changed(volume, &changed)).map(Volume::size_bytes);
    let (total_bytes, mut done_bytes) = (sizes.sum::<u64>(), 0);
    let mut checked = Checked { file_systems: Vec::new(), warnings: Vec::new() };
    for (index, volume) in guest.volumes().iter().enumerate().filter(|(_, volume)| is_changed(volume, &changed)) {
        // As large as they are, so long they take.
        let size_bytes = volume.size_bytes();
        let progress = |done: u64, of: u64| {
            let part = u128::from(size_bytes) * u128::from(done) / u128::from(of.max(1));
            stage.set(done_bytes + part as u64, total_bytes);
        };
        let after = findings(volume, &progress)?;
        done_bytes += size_bytes;
        let Some(after) = after else { continue };
        let old = || -> Result<Vec<Finding>, Error> {
            // A journal that was left dirty is replayed here too.
            let volumes = open_volumes(&scratch_disk(image))?;
            Ok(volumes.get(index).map(|volume| findings(volume, &|_, _| ())).transpose()?.flatten().unwrap_or_default())
        };
        let before = if after.is_empty() { Vec::new() } else { old()? };
        match judge(&before, &after) {
            Verdict::Sound => {}
            Verdict::OldDamage => checked.warnings.push(format!(
                "`{}` is damaged in {volume}, and so is the new image: {}",
                base_path.display(),
                error::findings(&after)
            )),
            Verdict::MoreDamage(findings) => {
                let (path, volume) = (base_path.to_owned(), volume.to_string());
                return Err(Error::MoreDamage { path, volume, findings });
            }
            Verdict::OurFault => return Err(Error::WouldDamage { volume: volume.to_string(), findings: after }),
        }
        checked.file_systems.push(volume.to_string());
    }
    Ok(checked)
}

fn findings(volume: &Volume, progress: &dyn Fn(u64, u64)) -> Result<Option<Vec<Finding>>, Error> {
    // A FAT is written to at each flush, whether anything changed in it or not.
    let Some(file_system) = volume.file_system().filter(|file_system| file_system.is_unix()) else { return Ok(None) };
    let examined = file_system.examine(progress).map_err(|error| Error::Check { volume: volume.to_string(), error })?;
    Ok(examined.map(|examined| examined.findings))
}

fn is_changed(volume: &Volume, changed: &[Range<u64>]) -> bool {
    !volume.within(changed).is_empty()
}

fn judge(before: &[Finding], after: &[Finding]) -> Verdict {
    if after.is_empty() {
        return Verdict::Sound;
    }
    if before.is_empty() {
        return Verdict::OurFault;
    }
    let known: BTreeSet<(&str, String)> = before.iter().map(kind).collect();
    let new = after.iter().filter(|finding| before.len() >= MAX_OLD_FINDINGS || !known.contains(&kind(finding)));
    let new: Vec<Finding> = new.cloned().collect();
    if new.is_empty() { Verdict::OldDamage } else { Verdict::MoreDamage(new) }
}

/// What makes a finding the same after an edit: a count of free blocks or inodes that was wrong is so by
/// another number then, everything else to the letter.
fn kind(finding: &Finding) -> (&str, String) {
    let counts = finding.object == "super block" || finding.object.starts_with("group ");
    let is_number = |character: char| counts && character.is_ascii_digit();
    (&finding.object, finding.problem.replace(is_number, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(object: &str, problem: &str) -> Finding {
        Finding::new(object, problem)
    }

    #[test]
    fn damage_in_a_sound_base_is_our_fault() {
        assert_eq!(judge(&[], &[]), Verdict::Sound);
        assert_eq!(judge(&[], &[damage("inode 12", "i_links_count=1, but it has 2")]), Verdict::OurFault);
    }

    #[test]
    fn a_count_that_was_wrong_before_may_be_wrong_by_another_number() {
        let before = [damage("super block", "s_free_blocks_count=100, but 90 are free")];
        let after = [damage("super block", "s_free_blocks_count=80, but 70 are free")];
        assert_eq!(judge(&before, &after), Verdict::OldDamage);
        assert_eq!(judge(&before, &[]), Verdict::Sound);
    }

    #[test]
    fn the_same_in_another_object_or_more_of_it_is_more_damage() {
        let before = [damage("inode 12", "3 of its blocks are claimed by something else too")];
        for (object, blocks) in [("inode 13", 3), ("inode 12", 4)] {
            let new = damage(object, &format!("{blocks} of its blocks are claimed by something else too"));
            assert_eq!(judge(&before, &[before[0].clone(), new.clone()]), Verdict::MoreDamage(vec![new]));
        }
    }

    #[test]
    fn too_much_damage_is_not_compared() {
        let before: Vec<Finding> = (0..MAX_OLD_FINDINGS).map(|at| damage(&format!("inode {at}"), "damaged")).collect();
        assert!(matches!(judge(&before, &before), Verdict::MoreDamage(_)));
    }
}
