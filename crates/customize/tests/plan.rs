//! Plans for a guest on the small cloud image: what they say, and that they change nothing.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use customize::{Error, Operation, Options, Plan, Put, Warning, check_packages};
use guest::{Guest, Time};
use storage::{FileStorage, Overlay, WriteAt};
use testkit::fixture::{Format, small_cloud_image};

type Disk = Arc<Overlay<FileStorage>>;

fn guest() -> (Disk, Guest) {
    let image = small_cloud_image(&testkit::fixture::Options { format: Format::Raw, ..Default::default() });
    let file = FileStorage::new(File::open(image).unwrap()).unwrap();
    let disk = Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))));
    let guest = Guest::open(Arc::clone(&disk) as Arc<dyn WriteAt>).unwrap();
    (disk, guest)
}

/// Puts as they are written on the command line, their sources in `folder`.
fn puts(folder: &Path, texts: &[&str]) -> Vec<Operation> {
    let put = |text: &&str| Put::parse(format!("{}/{text}", folder.display()).as_ref()).unwrap();
    texts.iter().map(put).map(Operation::Put).collect()
}

fn content(guest: &Guest, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    guest.read_to(&path.parse().unwrap(), &mut bytes).unwrap().unwrap();
    bytes
}

#[test]
fn a_plan_says_everything_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tree/sub")).unwrap();
    fs::write(folder.path().join("tree/sub/file"), "hello").unwrap();
    std::os::unix::fs::symlink("sub/file", folder.path().join("tree/link")).unwrap();
    let (disk, mut guest) = guest();
    let operations =
        puts(folder.path(), &["tree:/opt/a/b", "tree/sub/file:/run/x:0600:33:33", "tree/sub/file:/etc/hosts"]);
    let plan = Plan::new(&guest, &operations, &Options::default()).unwrap();
    assert_eq!(disk.changed(), []);

    let [tree, file, replaced] = plan.puts() else { panic!("{:?}", plan.puts()) };
    assert_eq!((tree.destination.as_str(), &tree.parents[..]), ("/opt/a/b", &["/opt/a".to_owned()][..]));
    assert_eq!((tree.files, tree.directories, tree.symlinks, tree.size_bytes, &tree.mode), (1, 2, 1, 5, &None));
    assert_eq!((file.mode.as_deref(), file.uid, file.gid, file.replaced), (Some("0600"), 33, 33, 0));
    assert_eq!((replaced.replaced, plan.content_bytes()), (1, 15));
    let hidden = Warning::HiddenAtBoot { path: "/run/x".parse().unwrap(), mount_point: "/run" };
    assert_eq!(plan.warnings(), [hidden]);

    plan.apply(&mut guest, &|_, _| {}).unwrap();
    plan.check_sources().unwrap();
    assert_eq!(content(&guest, "/opt/a/b/link"), b"hello");
    assert_eq!(content(&guest, "/etc/hosts"), b"hello");
}

#[test]
fn everything_new_gets_the_time_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    fs::write(folder.path().join("tree/file"), "hello").unwrap();
    let (_, mut guest) = guest();
    let time = Time { seconds: 1_234_567_890, nanoseconds: 0 };
    let options = Options { modified: Some(time) };
    let plan = Plan::new(&guest, &puts(folder.path(), &["tree:/opt/a/b"]), &options).unwrap();
    plan.apply(&mut guest, &|_, _| {}).unwrap();
    for path in ["/opt/a", "/opt/a/b", "/opt/a/b/file"] {
        let found = guest.find(&path.parse().unwrap(), guest::LastLink::Keep).unwrap();
        assert_eq!(guest.metadata(&found.node).unwrap().modified, time, "{path}");
    }
}

#[test]
fn no_space_is_known_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let large = File::create(folder.path().join("large")).unwrap();
    let (disk, guest) = guest();
    let volume = guest.volumes().iter().find(|volume| volume.partition().is_some_and(|p| p.number == 16)).unwrap();
    let space = volume.file_system().unwrap().free_space().unwrap();
    large.set_len(space.free_bytes() + 1).unwrap();
    let plan = |texts: &[&str]| Plan::new(&guest, &puts(folder.path(), texts), &Options::default());
    let Err(Error::NoSpace { needed_bytes, available_bytes, .. }) = plan(&["large:/boot/large"]) else {
        panic!("it fits")
    };
    assert_eq!(available_bytes, space.free_bytes());
    assert_eq!(needed_bytes, space.free_bytes() + u64::from(space.block_size_bytes));

    // Two halves together are as large as the whole.
    large.set_len(space.free_bytes() / 2 + 4096).unwrap();
    assert!(plan(&["large:/boot/one"]).is_ok());
    assert!(matches!(plan(&["large:/boot/one", "large:/boot/two"]), Err(Error::NoSpace { .. })));
    // The second replaces the first.
    assert!(plan(&["large:/boot/one", "large:/boot/one"]).is_ok());
    assert_eq!(disk.changed(), []);
}

#[test]
fn a_source_that_changed_since_the_plan_is_not_put() {
    let folder = tempfile::tempdir().unwrap();
    for size in [100, 3_000_000] {
        let path = folder.path().join("file");
        fs::write(&path, vec![1; size]).unwrap();
        let (_, mut guest) = guest();
        let plan = Plan::new(&guest, &puts(folder.path(), &["file:/srv/file"]), &Options::default()).unwrap();
        fs::write(&path, vec![2; size + 1]).unwrap();
        let error = plan.apply(&mut guest, &|_, _| {}).unwrap_err();
        assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    }
}

#[test]
fn a_large_source_that_changes_afterwards_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![1; 3_000_000]).unwrap();
    let (_, mut guest) = guest();
    let plan = Plan::new(&guest, &puts(folder.path(), &["file:/srv/file"]), &Options::default()).unwrap();
    plan.apply(&mut guest, &|_, _| {}).unwrap();
    plan.check_sources().unwrap();
    File::options().append(true).open(&path).unwrap().set_len(10).unwrap();
    assert!(matches!(plan.check_sources(), Err(Error::SourceChanged { .. })));
}

#[test]
fn packages_are_looked_for_in_the_guests_list() {
    let (_, guest) = guest();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    check_packages(&guest, &names(&["git", "curl"])).unwrap();
    let error = check_packages(&guest, &names(&["git", "snapd"])).unwrap_err();
    assert_eq!(error.to_string(), "package `snapd` is not installed in the image");
}
