//! A third file system: one implementation of the trait and one line of the table, and paths lead into it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod file_system;

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, LazyLock};

use guest::diff::{Asked, BlockAccount, Found, View, account_for_edits, diff, differing};
use guest::file_system::{KINDS, Kind};
use guest::{Attributes, Error, FileSystemError, FileSystemProblem, Guest, GuestPath, PathProblem, Special, Time};
use storage::{FileStorage, Overlay, WriteAt};
use testkit::fixture::{FIXTURE_TIME, Format, Options, small_cloud_image};
use testkit::partition::partition_range;

type Disk = Overlay<FileStorage>;

/// imgraft's own table, and the one line.
static WITH_NOTES: LazyLock<Vec<Kind>> = LazyLock::new(|| [KINDS, &[file_system::KIND]].concat());

const HEADER: &str = "NOTES\nouter todo 4096 5\ninner large 8192 3000000\n";
const LARGE_BYTES: usize = 3_000_000;
const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time { seconds: FIXTURE_TIME, nanoseconds: 0 } };

fn image() -> std::path::PathBuf {
    small_cloud_image(&Options { format: Format::Raw, ..Options::default() })
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap()
}

fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(|at| (at / 7) as u8).collect()
}

/// The small cloud image with `header` and two files where its BIOS boot partition was, and this line in its fstab.
fn disk(header: &str, fstab_line: &str) -> Arc<Disk> {
    let file = FileStorage::new(File::open(image()).unwrap()).unwrap();
    let disk = Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))));
    let start = partition_range(&image(), 14).start;
    let mut first = vec![0; 4096];
    first[..header.len()].copy_from_slice(header.as_bytes());
    disk.write_at(start, &first).unwrap();
    disk.write_at(start + 4096, b"milk\n").unwrap();
    disk.write_at(start + 8192, &large()).unwrap();
    let mut guest = Guest::open(Arc::clone(&disk) as Arc<dyn WriteAt>).unwrap();
    let fstab = guest.read(&path("/etc/fstab"), 1 << 16).unwrap();
    let fstab = [&fstab, fstab_line.as_bytes(), b"\n"].concat();
    guest.replace_content(&path("/etc/fstab"), &fstab, ATTRIBUTES.modified).unwrap();
    guest.create_directory(&path("/data"), &ATTRIBUTES).unwrap();
    guest.create_symlink(&path("/etc/todo"), b"../data/todo", &ATTRIBUTES).unwrap();
    guest.flush().unwrap();
    disk
}

fn guest(header: &str, fstab_line: &str) -> Guest {
    Guest::open_with(disk(header, fstab_line), &WITH_NOTES).unwrap()
}

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> PathProblem {
    match result {
        Err(Error::Path { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_lead_into_it() {
    let guest = guest(HEADER, "UUID=note-1 /data notes defaults 0 0");
    let volume = &guest.volumes()[1];
    assert_eq!(volume.to_string(), "partition 14 (notes `my notes`)");
    assert_eq!(guest.mount_points(1), [path("/data")]);
    let names = |text: &str| -> Vec<String> {
        let entries = guest.read_directory(&path(text)).unwrap();
        entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
    };
    assert_eq!(
        (names("/data"), names("/data/inner")),
        (vec!["inner".to_owned(), "todo".to_owned()], vec!["large".to_owned()])
    );
    assert_eq!(guest.read(&path("/data/../data/todo"), 100).unwrap(), b"milk\n");
    let mut content = Vec::new();
    guest.read_to(&path("/etc/todo"), &mut content).unwrap().unwrap();
    assert_eq!(content, b"milk\n");
    assert_eq!(problem(guest.read(&path("/data/nope"), 100)), PathProblem::NotFound);
    // The table without the line knows nothing of it.
    let guest = Guest::open(disk(HEADER, "UUID=note-1 /data notes defaults 0 0")).unwrap();
    assert!(matches!(problem(guest.read(&path("/data/todo"), 100)), PathProblem::NotOnThisDisk { .. }));
}

#[test]
fn a_large_file_is_given_in_pieces() {
    struct Pieces(Vec<u8>, usize);
    impl Write for Pieces {
        fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
            self.0.extend(buffer);
            self.1 = self.1.max(buffer.len());
            Ok(buffer.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let guest = guest(HEADER, "LABEL=\"my\\040notes\" /data notes subvol=inner,ro 0 0");
    let mut pieces = Pieces(Vec::new(), 0);
    guest.read_to(&path("/data/large"), &mut pieces).unwrap().unwrap();
    assert!(pieces.0 == large() && pieces.1 <= 1 << 20, "up to {} bytes at a time", pieces.1);
}

#[test]
fn a_subvolume_that_is_not_there_is_not_mounted() {
    let guest = guest(HEADER, "UUID=note-1 /data notes subvol=innermost 0 0");
    assert!(matches!(problem(guest.read(&path("/data/large"), 100)), PathProblem::NotUsable { .. }));
}

#[test]
fn every_edit_is_refused_with_the_reason() {
    let mut guest = guest(HEADER, "UUID=note-1 /data notes defaults 0 0");
    let (todo, new, time) = (path("/data/todo"), path("/data/new"), ATTRIBUTES.modified);
    let results = [
        guest.create_file(&new, &ATTRIBUTES, 1, &mut &b"x"[..]),
        guest.create_directory(&new, &ATTRIBUTES),
        guest.create_symlink(&new, b"todo", &ATTRIBUTES),
        guest.create_special(&new, Special::Fifo, &ATTRIBUTES),
        guest.link(&todo, &new),
        guest.rename(&todo, &new),
        guest.remove_file(&todo),
        guest.remove_tree(&path("/data/inner")),
        guest.set_attributes(&todo, &ATTRIBUTES),
        guest.set_owner(&todo, 1, 2, time),
        guest.set_permissions(&todo, 0o600, time),
        guest.set_xattr(&todo, b"user.x", b"y"),
        guest.write_at(&todo, 0, b"x"),
        guest.truncate(&todo, 1),
        guest.replace_content(&todo, b"x", time),
    ];
    for result in results {
        let Err(Error::FileSystem { error, volume, .. }) = result else { panic!("{result:?}") };
        assert_eq!(volume, "partition 14 (notes `my notes`)");
        let reason = "imgraft can only read notes".to_owned();
        assert_eq!(error.problem, FileSystemProblem::ReadOnly { reason });
        assert_eq!(error.to_string(), "the file system is read-only: imgraft can only read notes");
    }
    assert_eq!(problem(guest.rename(&todo, &path("/etc/new"))), PathProblem::OtherFileSystem);
    // The others are still written.
    guest.create_file(&path("/etc/new"), &ATTRIBUTES, 1, &mut &b"x"[..]).unwrap();
    guest.flush().unwrap();
}

#[test]
fn a_damaged_one_is_named_where_its_files_are_asked_for() {
    let guest = guest("NOTES\nouter todo 4096 99999999999\n", "/dev/vda14 /data notes");
    let problem_there = guest.volumes()[1].problem().map(|error| &error.problem);
    assert!(matches!(problem_there, Some(FileSystemProblem::Damaged(finding)) if finding.object == "header"));
    let PathProblem::NotUsable { volume, .. } = problem(guest.read(&path("/data/todo"), 100)) else { panic!() };
    assert_eq!(volume, "partition 14 (notes)");
}

/// Two disks whose large files differ in one byte are compared, and accounted for as if nobody had asked for it.
#[test]
fn it_is_compared_path_by_path_and_what_differs_is_not_explained() {
    let line = "UUID=note-1 /data notes defaults 0 0";
    let (base, image_disk) = (disk(HEADER, line), disk(HEADER, line));
    let at = partition_range(&image(), 14).start + 8192 + 2_000_000;
    image_disk.write_at(at, &[0xff]).unwrap();
    let views = [&base, &image_disk].map(|disk| View::open_with(Arc::clone(disk) as Arc<dyn WriteAt>, &WITH_NOTES));
    let [one, two] = views.map(Result::unwrap);
    let ranges = differing(&base, &image_disk, &image_disk.changed()).unwrap();
    let mut changes = Vec::new();
    diff(&one, &two, &ranges, &mut |found| match found {
        Found::Path(change) => changes.push((change.path, change.what)),
        _ => changes.push(("something else".to_owned(), Vec::new())),
    })
    .unwrap();
    assert_eq!(changes, [("/data/inner/large".to_owned(), vec!["content"])]);

    let unaware = Guest::open_with(Arc::clone(&image_disk) as Arc<dyn WriteAt>, &WITH_NOTES).unwrap();
    let asked = Asked { is_grown: false, differing: &ranges, recovered: &[] };
    let account: BlockAccount = account_for_edits(&one, &two, &unaware, &asked).unwrap();
    let [place] = &account.unexplained[..] else { panic!("{account:#?}") };
    let sector = (8192 + 2_000_000) / 512;
    assert_eq!((place.place.as_str(), place.first_block), ("partition 14 (notes `my notes`)", sector));
}

/// The error as a program sees it.
#[test]
fn errors_of_ext4_and_fat_can_be_matched_on() {
    let mut guest = guest(HEADER, "");
    let mut error_of = |path_text: &str, size_bytes: u64| -> FileSystemError {
        let content = &mut std::io::repeat(1);
        match guest.create_file(&path(path_text), &ATTRIBUTES, size_bytes, content) {
            Err(Error::FileSystem { error, .. }) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error_of("/etc/hosts", 1).problem, FileSystemProblem::Exists);
    assert_eq!(error_of("/boot/efi/EFI", 1).problem, FileSystemProblem::Exists);
    assert_eq!(error_of("/boot/efi/a:b", 1).problem, FileSystemProblem::BadName);
    assert_eq!(error_of("/boot/efi/huge", 1 << 33).problem, FileSystemProblem::TooLarge);
    assert!(matches!(error_of("/etc/huge", 1 << 40).problem, FileSystemProblem::NoSpace(Some(_))));
    assert_eq!(error_of("/boot/efi/large", 1 << 30).problem, FileSystemProblem::NoSpace(None));
    let link = guest.create_symlink(&path("/boot/efi/link"), b"x", &ATTRIBUTES).unwrap_err();
    let Error::FileSystem { error, .. } = link else { panic!("{link:?}") };
    assert_eq!(error.problem, FileSystemProblem::Unsupported { feature: "a symlink on a FAT".to_owned() });
}
