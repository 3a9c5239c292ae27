//! The proof that a build changed what was asked for and nothing else, made from the overlay before the new
//! image gets a name.

use std::sync::Arc;

use guest::Guest;
use guest::diff::{self, Asked, BlockAccount, OutsideChange, UnexplainedPlace, View, VolumeAccount};
use image::Image;
use recipe::ByteSize;
use storage::{Extended, ReadAt, WriteAt};

use crate::disk::{Disk, scratch_overlay};
use crate::failure::Failure;

/// The most unexplained places that people are shown.
const MAX_LINES: usize = 10;

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
) -> Result<Changed, Failure> {
    let account = match account(image, disk, guest, is_grown) {
        Ok(account) => account,
        Err(error) if !is_sound => {
            let warning = format!("what changed cannot be accounted for: {}", crate::failure::in_one_line(&error));
            return Ok(Changed { account: BlockAccount::default(), warning: Some(warning) });
        }
        Err(error) => return Err(Failure::because("what changed cannot be accounted for", &error)),
    };
    if account.is_explained() {
        return Ok(Changed { account, warning: None });
    }
    let lines = unexplained_lines(&account.unexplained);
    if is_sound {
        return Err(Failure::new("internal error: something would change that was not to")
            .causes(lines)
            .hint("nothing was written; please report this, with the lines above"));
    }
    let warning = format!("not all that changed could be explained: {}", lines.join("; "));
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

/// `3 inodes, 41 metadata blocks, 26,803 data blocks; nothing else`.
pub(crate) fn verdict(account: &BlockAccount) -> String {
    let sum = |number: fn(&VolumeAccount) -> u64| account.volumes.iter().map(number).sum::<u64>();
    let sectors = account.outside.iter().map(|change: &OutsideChange| change.sectors).sum();
    let mut parts = Vec::new();
    for (number, one, many) in [
        (sum(|volume| volume.inodes), "inode", "inodes"),
        (sum(|volume| volume.metadata_blocks), "metadata block", "metadata blocks"),
        (sum(|volume| volume.data_blocks), "data block", "data blocks"),
        (sum(|volume| volume.free_blocks), "free block", "free blocks"),
        (sum(|volume| volume.recovered_blocks), "block of recovery", "blocks of recovery"),
        (sectors, "sector outside partitions", "sectors outside partitions"),
    ] {
        match number {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            _ => parts.push(format!("{} {many}", grouped(number))),
        }
    }
    if parts.is_empty() {
        parts.push("no block".to_owned());
    }
    let rest = match account.unexplained_blocks.max(account.unexplained.len() as u64) {
        0 => "nothing else".to_owned(),
        1 => "1 unexplained block".to_owned(),
        many => format!("{} unexplained blocks", grouped(many)),
    };
    format!("{}; {rest}", parts.join(", "))
}

/// Where the unexplained blocks are.
pub(crate) fn unexplained_lines(places: &[UnexplainedPlace]) -> Vec<String> {
    let mut lines: Vec<String> = places.iter().take(MAX_LINES).map(line).collect();
    if places.len() > MAX_LINES {
        lines.push(format!("and {} more", places.len() - MAX_LINES));
    }
    lines
}

/// `partition 1 (ext4 `root`): block 1234: inode 12 (`/etc/passwd`): its content differs`.
pub(crate) fn line(place: &UnexplainedPlace) -> String {
    let UnexplainedPlace { place, first_block, last_block, owner, problem } = place;
    let blocks = match last_block - first_block {
        0 => format!("block {first_block}"),
        _ => format!("blocks {first_block} to {last_block}"),
    };
    format!("{place}: {blocks}: {owner}: {problem}")
}

/// `26,803`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size as people read it.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (26_803, "26,803"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_verdict_says_what_there_is() {
        let volume = |inodes, metadata_blocks, data_blocks| VolumeAccount {
            inodes,
            metadata_blocks,
            data_blocks,
            ..VolumeAccount::default()
        };
        let mut account = BlockAccount::default();
        assert_eq!(verdict(&account), "no block; nothing else");
        account.volumes = vec![volume(2, 41, 26_000), volume(1, 0, 803)];
        assert_eq!(verdict(&account), "3 inodes, 41 metadata blocks, 26,803 data blocks; nothing else");
        account.unexplained_blocks = 1;
        assert!(verdict(&account).ends_with("; 1 unexplained block"));
    }
}
