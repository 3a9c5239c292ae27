//! The account of what a sequence changed: everything is explained by the inodes that are not as before.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ext4::{Error, Expectations, Expected, FileKind, FileSystem, InodeNumber, Side, account};
use storage::FileStorage;

use crate::start::open;

/// What a path shows of an inode, but for content; and for a directory, what is in it.
type Shown = (String, BTreeMap<Vec<u8>, InodeNumber>);

/// Nothing differs between the two file systems but what inodes that are shown differently explain.
pub(crate) fn assert_explained(old: &Path, new: &Path) {
    let (before, after) = (open(old), open(new));
    let shown = [shown(&before), shown(&after)];
    let inode = |side: Side, number: InodeNumber| {
        let own = &shown[usize::from(side == Side::New)];
        match (own.get(&number), shown[0].get(&number) == shown[1].get(&number)) {
            (None, _) => Expected::Nothing,
            // Blocks may have been allocated in advance, holes punched, and times of access set.
            (Some(_), true) => Expected::Unseen,
            (Some(_), false) => Expected::Anything,
        }
    };
    let differing = differing(old, new, u64::from(after.superblock().block_size_bytes()));
    let found = match account(&before, &after, &differing, &Expectations { inode: &inode, is_strict: true }) {
        Ok(found) => found,
        Err(Error::Unsupported { .. }) => return,
        Err(error) => panic!("accounting: {error}"),
    };
    assert!(found.unexplained.is_empty(), "unexplained: {:#?}", found.unexplained);
    let counted = found.data_blocks() + found.metadata_blocks() + found.free_blocks();
    assert_eq!(counted, differing.iter().map(|range| range.end - range.start).sum::<u64>());
}

fn shown(filesystem: &FileSystem<FileStorage>) -> BTreeMap<InodeNumber, Shown> {
    let mut all = BTreeMap::new();
    let mut left = vec![InodeNumber::ROOT];
    while let Some(number) = left.pop() {
        let inode = filesystem.inode(number).unwrap();
        let mut names = BTreeMap::new();
        if inode.kind().unwrap() == FileKind::Directory {
            for entry in filesystem.read_directory(number).unwrap() {
                names.insert(entry.name, entry.inode);
                left.push(entry.inode);
            }
        }
        let own = (inode.permissions(), inode.uid(), inode.gid(), inode.size_bytes(), inode.links());
        let more = (inode.kind().unwrap(), inode.modified(), inode.device(), filesystem.xattrs(number).unwrap());
        all.insert(number, (format!("{own:?} {more:?}"), names));
    }
    all
}

fn differing(old: &Path, new: &Path, block_bytes: u64) -> Vec<Range<u64>> {
    let [old, new] = [old, new].map(|path| File::open(path).unwrap());
    let size = old.metadata().unwrap().len();
    let mut found = Vec::new();
    let (mut one, mut two) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for start in (0..size).step_by(1 << 20) {
        let length = (size - start).min(1 << 20) as usize;
        old.read_exact_at(&mut one[..length], start).unwrap();
        new.read_exact_at(&mut two[..length], start).unwrap();
        let blocks = one[..length].chunks(block_bytes as usize).zip(two[..length].chunks(block_bytes as usize));
        for (index, _) in blocks.enumerate().filter(|(_, (one, two))| one != two) {
            let block = start / block_bytes + index as u64;
            found.push(block..block + 1);
        }
    }
    found
}
