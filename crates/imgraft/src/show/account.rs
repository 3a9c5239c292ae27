//! The account of what changed, for people.

use guest::diff::{BlockAccount, OutsideChange, VolumeAccount};
use recipe::ByteSize;

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
