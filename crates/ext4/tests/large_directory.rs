//! Directories whose index has as many levels as it can have.

use std::fs::File;
use std::path::Path;

use ext4::{Attributes, Error, FileSystem, InodeNumber, Time};
use storage::FileStorage;
use testkit::judge::judge;

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time { seconds: 0, nanoseconds: 0 } };

/// Three names of this length fill a block of 1 KiB.
fn name(number: u32) -> String {
    format!("{number}-{:x<240}", "")
}

/// Names one file again and again until there is no room, or `names` times; returns how many names it has.
fn fill(filesystem: &mut FileSystem<FileStorage>, directory: InodeNumber, names: u32) -> (u32, Option<Error>) {
    // A file can have 65,000 names.
    let mut file = InodeNumber(0);
    for number in 0..names {
        let result = if number % 60_000 == 0 {
            let created =
                filesystem.create_file(directory, name(number).as_bytes(), &ATTRIBUTES, 0, &mut std::io::empty());
            created.map(|created| file = created)
        } else {
            filesystem.link(file, directory, name(number).as_bytes())
        };
        if let Err(error) = result {
            return (number, Some(error));
        }
    }
    (names, None)
}

fn filled(features: &str, names: u32, image: &Path) -> (u32, Option<Error>) {
    judge("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", features]).arg(image).arg("131072k").succeed();
    let storage = FileStorage::new(File::options().read(true).write(true).open(image).unwrap()).unwrap();
    let mut filesystem = FileSystem::open(storage).unwrap();
    let directory = filesystem.create_directory(InodeNumber::ROOT, b"many", &ATTRIBUTES).unwrap();
    let (names, error) = fill(&mut filesystem, directory, names);
    filesystem.flush().unwrap();
    assert_eq!(filesystem.check().unwrap(), Vec::new());
    testkit::judge::assert_e2fsck_clean(image, 0);
    assert_eq!(filesystem.read_directory(directory).unwrap().len(), names as usize);
    for number in [0, 1, names / 2, names - 1] {
        assert!(filesystem.lookup(directory, name(number).as_bytes()).unwrap().is_some(), "{number} of {names}");
    }
    assert_eq!(filesystem.lookup(directory, name(names).as_bytes()).unwrap(), None);
    (names, error)
}

#[test]
fn a_full_index_is_an_error_and_large_dir_lets_it_grow_another_level() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let (names, error) = filled("metadata_csum,^large_dir", 100_000, &image);
    let error = error.unwrap();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("the large_dir feature would let it grow"), "{error}");

    let (more, error) = filled("metadata_csum,large_dir", names + names / 4, &image);
    assert!(error.is_none() && more > names);
    let dumped = judge("debugfs").args(["-R", "htree_dump /many"]).arg(&image).succeed().stdout;
    assert!(dumped.contains("Indirect levels: 2"), "{}", &dumped[..dumped.len().min(400)]);
}
