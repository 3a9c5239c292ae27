//! What the fuzz targets have found: their corpus once more, without the fuzzer, and each bug by its name.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../../fuzz/src/lib.rs"]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    reason = "a part of another program"
)]
mod fuzz;

use std::path::Path;

use ext4::{Attributes, Error, FileSystem, InodeNumber, Time, Times};
use fuzz::Target;
use storage::Memory;
use testkit::judge::judge;

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time { seconds: 1_700_000_000, nanoseconds: 0 } };

#[test]
fn each_input_of_the_corpus_ends_in_an_answer_or_an_error() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in Target::ALL {
        // The seeds as they are, and edits of all kinds.
        for number in 0..=u8::MAX {
            target.run(&[number]);
            target.run(&[number, 0, number, 3, 4, 5, 6, 7, 8, 9, number / 2, 1, 1, 1, 1, 1, 1, 1, 1]);
        }
        let folder = corpus.join(target.name());
        let mut inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() > 10, "{} has few inputs", folder.display());
        inputs.iter().for_each(|input| target.run(&std::fs::read(input).unwrap()));
    }
}

fn filesystem(options: &[&str]) -> FileSystem<Memory> {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    judge("mke2fs").args(["-q", "-F", "-b", "1024"]).args(options).arg(&image).arg("4096k").succeed();
    FileSystem::open(Memory::from(std::fs::read(&image).unwrap())).unwrap()
}

/// It got times, which made it an inode that is neither in use nor free.
#[test]
fn what_was_removed_is_not_edited_by_its_number() {
    let mut filesystem = filesystem(&["-t", "ext4"]);
    let root = InodeNumber::ROOT;
    let gone = filesystem.create_file(root, b"gone", &ATTRIBUTES, 5, &mut &b"hello"[..]).unwrap();
    filesystem.remove_file(root, b"gone").unwrap();
    let is_refused = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    };
    is_refused(filesystem.set_attributes(gone, &ATTRIBUTES));
    is_refused(filesystem.set_times(gone, &Times { modified: Some(Time::default()), ..Times::default() }));
    is_refused(filesystem.write_file_at(gone, 0, b"again"));
    is_refused(filesystem.truncate(gone, 100));
    is_refused(filesystem.punch_hole(gone, 0..1));
    is_refused(filesystem.preallocate(gone, 0..1));
    is_refused(filesystem.set_xattr(gone, b"user.name", b"value"));
    is_refused(filesystem.link(gone, root, b"again"));
    is_refused(filesystem.create_directory(gone, b"below", &ATTRIBUTES).map(drop));
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
}

/// One more than 65,535 overflowed.
#[test]
fn a_directory_that_claims_as_many_links_as_can_be_written_gets_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    judge("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "1024"]).arg(&image).arg("4096k").succeed();
    judge("debugfs").args(["-w", "-R", "sif / links_count 65535"]).arg(&image).succeed();
    let mut filesystem = FileSystem::open(Memory::from(std::fs::read(&image).unwrap())).unwrap();
    let error = filesystem.create_directory(InodeNumber::ROOT, b"new", &ATTRIBUTES).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

/// An inode that holds an attribute's value, and had been a file before, got a name.
#[test]
fn the_file_systems_own_inodes_are_not_edited() {
    let mut filesystem = filesystem(&["-t", "ext4", "-O", "ea_inode,quota,orphan_file"]);
    let root = InodeNumber::ROOT;
    let file = filesystem.create_file(root, b"file", &ATTRIBUTES, 5, &mut &b"hello"[..]).unwrap();
    let gone = filesystem.create_file(root, b"gone", &ATTRIBUTES, 5, &mut &b"hello"[..]).unwrap();
    filesystem.remove_file(root, b"gone").unwrap();
    filesystem.set_xattr(file, b"user.large", &[b'v'; 5000]).unwrap();
    // The value, the quota of users, the journal, and what is kept for more descriptors.
    for number in [gone, InodeNumber(3), InodeNumber(8), InodeNumber(7)] {
        assert!(matches!(filesystem.link(number, root, b"again"), Err(Error::Unsupported { .. })), "inode {number}");
        assert!(matches!(filesystem.truncate(number, 0), Err(Error::Unsupported { .. })), "inode {number}");
        assert!(matches!(filesystem.set_attributes(number, &ATTRIBUTES), Err(Error::Unsupported { .. })));
    }
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
}
