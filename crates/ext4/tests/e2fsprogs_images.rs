//! e2fsprogs' own test images, of `scripts/e2fsprogs-images`: our check and `e2fsck -fn` agree on each, but for those
//! that stand here by name.
#![cfg(feature = "full-tests")]
#![allow(clippy::disallowed_methods, reason = "where the images are is known to the script that fetched them")]

use std::path::{Path, PathBuf};

use ext4::{Error, FileSystem};
use storage::Memory;
use testkit::judge::judge;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Clean,
    Wrong(String),
    /// It was not looked at, or not to its end: nobody is told that it is sound.
    NotLookedAt(String),
}

/// Those that the two judge differently, and why that harms nobody.
const DIFFERENT: &[(&str, &str)] = &[
    ("f_first_meta_bg_too_big", "s_first_meta_bg without meta_bg is read by nobody"),
    ("f_sb_extra_isize", "sizes that are only wished for: new inodes get a size that fits"),
    ("f_uninit_disable", "flags of groups mean nothing without checksums of groups"),
    ("f_jnl_32bit", "we judge what the replay of the journal gives, e2fsck -n what was there before"),
    ("f_jnl_64bit", "we judge what the replay of the journal gives, e2fsck -n what was there before"),
    ("f_zero_inode_size", "e2fsck goes on with a backup of the super block; we call the first one wrong"),
    ("j_corrupt_journal_block", "e2fsck -n does not read the journal, whose damage we find"),
    ("j_corrupt_revoke_rcount", "e2fsck -n does not read the journal, whose damage we find"),
    ("f_illitable_flexbg", "e2fsck is at it for minutes"),
    ("f_misstable", "e2fsck is at it for minutes"),
];

fn ours(image: &Path) -> Verdict {
    let filesystem = match FileSystem::open(Memory::from(std::fs::read(image).unwrap())) {
        Ok(filesystem) => filesystem,
        Err(error @ Error::Corrupt { .. }) => return Verdict::Wrong(error.to_string()),
        Err(error) => return Verdict::NotLookedAt(error.to_string()),
    };
    match filesystem.examine(&|_, _| ()) {
        Ok(checked) if !checked.findings.is_empty() => {
            Verdict::Wrong(checked.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
        Ok(checked) if !checked.not_checked.is_empty() => Verdict::NotLookedAt(checked.not_checked.join("; ")),
        Ok(_) => Verdict::Clean,
        Err(error) => Verdict::NotLookedAt(error.to_string()),
    }
}

/// Whether `e2fsck -fn` finds nothing. Of some damage it asks, and says with -n that the answer is no, but ends as if
/// there were none; what it would only make faster is no damage.
fn is_clean_to_e2fsck(image: &Path) -> bool {
    let verdict = judge("e2fsck").arg("-fn").arg(image).run();
    let asks = |line: &str| line.contains("? no") && !line.contains("Optimize? no");
    verdict.status.success() && !verdict.stdout.lines().chain(verdict.stderr.lines()).any(asks)
}

#[test]
fn e2fsprogs_own_images_are_judged_as_e2fsck_judges_them() {
    let folder = std::env::var("IMGRAFT_TEST_E2FSPROGS_IMAGES")
        .expect("IMGRAFT_TEST_E2FSPROGS_IMAGES is what scripts/e2fsprogs-images prints: run ./test");
    let mut images: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    assert!(images.len() > 150, "only {} images", images.len());
    let mut different = Vec::new();
    for image in &images {
        let name = image.file_name().unwrap().to_string_lossy().into_owned();
        // Each ends, whether or not it is compared.
        let ours = ours(image);
        if DIFFERENT.iter().any(|(known, _)| *known == name) {
            continue;
        }
        match (&ours, is_clean_to_e2fsck(image)) {
            (Verdict::Clean, true) | (Verdict::Wrong(_), false) | (Verdict::NotLookedAt(_), _) => {}
            (ours, theirs) => different.push(format!("{name}: clean to e2fsck is {theirs}, we say {ours:?}")),
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
