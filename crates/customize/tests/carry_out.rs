//! Operations carried out in a guest on the small cloud image.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use customize::{
    Append, Destination, Done, Edit, Error, Filter, Link, Operation, Options, Password, Put, Scheme, Secret, Touch,
    Warning, Watch, Write, carry_out, check_packages,
};
use guest::{Guest, Time};
use storage::{FileStorage, Overlay, WriteAt};
use testkit::fixture::{Format, small_cloud_image};
use testkit::judge::judge;

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

fn done(guest: &mut Guest, operations: &[Operation]) -> Result<Done, Error> {
    carry_out(guest, operations, &Options::default(), &|_, _| {})
}

fn content(guest: &Guest, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    guest.read_to(&path.parse().unwrap(), &mut bytes).unwrap().unwrap();
    bytes
}

#[test]
fn what_is_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tree/sub")).unwrap();
    fs::write(folder.path().join("tree/sub/file"), "hello").unwrap();
    std::os::unix::fs::symlink("sub/file", folder.path().join("tree/link")).unwrap();
    let (_, mut guest) = guest();
    let operations =
        puts(folder.path(), &["tree:/opt/a/b", "tree/sub/file:/run/x:0600:33:33", "tree/sub/file:/etc/hosts"]);
    let progress = std::cell::Cell::new((0, 0));
    let done = carry_out(&mut guest, &operations, &Options::default(), &|done, all| progress.set((done, all))).unwrap();

    let [tree, file, replaced] = &done.reports[..] else { panic!("{:?}", done.reports) };
    assert_eq!(tree.parents, ["/opt/a"]);
    let [tree, file, replaced] = [tree, file, replaced].map(|report| report.put.as_ref().unwrap());
    assert_eq!(tree.destination, "/opt/a/b");
    assert_eq!((tree.files, tree.directories, tree.symlinks, tree.size_bytes, &tree.mode), (1, 2, 1, 5, &None));
    assert_eq!((file.mode.as_deref(), file.uid, file.gid, file.replaced), (Some("0600"), 33, 33, 0));
    assert_eq!((replaced.replaced, progress.get()), (1, (15, 15)));
    let hidden = Warning::HiddenAtBoot { path: "/run/x".parse().unwrap(), mount_point: "/run" };
    assert_eq!(done.warnings, [hidden]);
    let [room] = &done.room[..] else { panic!("{:?}", done.room) };
    // Three directories and two files have a block each, a short symlink has none.
    assert_eq!((room.needed_bytes, room.needed_inodes), (5 * 4096, 6));

    done.check_sources().unwrap();
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
    let options = Options { modified: Some(time), ..Options::default() };
    carry_out(&mut guest, &puts(folder.path(), &["tree:/opt/a/b"]), &options, &|_, _| {}).unwrap();
    for path in ["/opt/a", "/opt/a/b", "/opt/a/b/file"] {
        let found = guest.find(&path.parse().unwrap(), guest::LastLink::Keep).unwrap();
        assert_eq!(guest.metadata(&found.node).unwrap().modified, time, "{path}");
    }
}

#[test]
fn no_space_for_a_put_is_known_before_anything_of_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let large = File::create(folder.path().join("large")).unwrap();
    let (disk, mut guest) = guest();
    let volume = guest.volumes().iter().find(|volume| volume.partition().is_some_and(|p| p.number == 16)).unwrap();
    let space = volume.file_system().unwrap().free_space().unwrap();
    large.set_len(space.free_bytes() + 1).unwrap();
    let mut put = |texts: &[&str]| done(&mut guest, &puts(folder.path(), texts));
    let Err(Error::NoSpace { needed_bytes, available_bytes, .. }) = put(&["large:/boot/large"]) else {
        panic!("it fits")
    };
    assert_eq!(available_bytes, space.free_bytes());
    assert_eq!(needed_bytes, space.free_bytes() + u64::from(space.block_size_bytes));
    assert_eq!(disk.changed(), []);

    // Two halves together are as large as the whole.
    fs::write(folder.path().join("large"), vec![1; space.free_bytes() as usize / 2 + 4096]).unwrap();
    let Err(Error::NoSpace { available_bytes, .. }) = put(&["large:/boot/one", "large:/boot/two"]) else {
        panic!("they fit")
    };
    assert!(available_bytes < space.free_bytes() / 2);
    // The second replaces the first.
    put(&["large:/boot/one", "large:/boot/one"]).unwrap();
}

#[test]
fn a_large_source_that_changes_afterwards_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![1; 3_000_000]).unwrap();
    let (_, mut guest) = guest();
    let done = done(&mut guest, &puts(folder.path(), &["file:/srv/file"])).unwrap();
    done.check_sources().unwrap();
    File::options().append(true).open(&path).unwrap().set_len(10).unwrap();
    assert!(matches!(done.check_sources(), Err(Error::SourceChanged { .. })));
}

#[test]
fn packages_are_looked_for_in_the_guests_list() {
    let (_, guest) = guest();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    check_packages(&guest, &names(&["git", "curl"])).unwrap();
    let error = check_packages(&guest, &names(&["git", "snapd"])).unwrap_err();
    assert_eq!(error.to_string(), "package `snapd` is not installed in the image");
}

#[test]
fn a_file_goes_through_a_filter_of_the_caller() {
    let (_, mut guest) = guest();
    let path: guest::GuestPath = "/etc/hostname".parse().unwrap();
    let edit = |filter| Operation::Edit(Edit { path: path.clone(), filter });
    let upper = Filter::new(|content: &[u8]| Ok(content.to_ascii_uppercase()));
    let report = &done(&mut guest, &[edit(upper)]).unwrap().reports[0];
    assert_eq!((report.verb, report.text.as_str()), ("edit", "edited /etc/hostname"));
    assert_eq!(content(&guest, "/etc/hostname"), b"UBUNTU\n");
    let fails = Filter::new(|_: &[u8]| Err(std::io::Error::other("perl said no")));
    let error = done(&mut guest, &[edit(fails)]).unwrap_err();
    assert_eq!(error.to_string(), "`/etc/hostname` could not be edited");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "perl said no");
}

#[test]
fn a_put_can_ask_for_a_directory_that_is_there_and_keep_a_symlink() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    let (_, mut guest) = guest();
    let put = |to: &[u8]| {
        let put = Put::new(folder.path().join("link"), Destination::new(to).unwrap());
        Operation::Put(Put { keep_link: true, existing: true, ..put })
    };
    done(&mut guest, &[put(b"/usr/local/bin/")]).unwrap();
    assert_eq!(guest.read_link(&"/usr/local/bin/link".parse().unwrap()).unwrap(), b"nowhere");
    for missing in [&b"/usr/local/none/"[..], b"/usr/local/none/x"] {
        let error = done(&mut guest, &[put(missing)]).unwrap_err().to_string();
        assert!(error.starts_with("`/usr/local/none") && error.ends_with("is not in the guest"), "{error}");
    }
    // Without a name of its own it is what it is called.
    done(&mut guest, &[put(b"/usr/local/other")]).unwrap();
}

#[test]
fn a_password_has_the_scheme_and_the_salt_that_are_asked_for() {
    let (_, mut guest) = guest();
    let mut hash = |scheme, salt: Option<&str>| {
        let secret = Secret::Plain("secret".to_owned());
        let salt = salt.map(str::to_owned);
        let password = Password { scheme: Some(scheme), salt, ..Password::new("root", secret) };
        done(&mut guest, &[Operation::Password(password)]).unwrap();
        let shadow = String::from_utf8(content(&guest, "/etc/shadow")).unwrap();
        shadow.lines().next().unwrap().split(':').nth(1).unwrap().to_owned()
    };
    let (one, two) = (hash(Scheme::Yescrypt, None), hash(Scheme::Yescrypt, Some("mine")));
    assert!(one.starts_with("$y$") && two.starts_with("$y$") && one != two);
    assert_eq!(hash(Scheme::Yescrypt, Some("mine")), two);
    assert!(hash(Scheme::Sha512, Some("mine")).starts_with("$6$"));
}

#[test]
fn a_watcher_is_told_of_each_operation_before_it_is_done() {
    struct Told(std::cell::RefCell<Vec<usize>>);
    impl Watch for Told {
        fn begins(&self, index: usize) {
            self.0.borrow_mut().push(index);
        }
        fn progress(&self, _: u64, _: u64) {}
    }
    let (_, mut guest) = guest();
    let told = Told(std::cell::RefCell::default());
    let touch = |path: &str| Operation::Touch(Touch::parse(path.as_ref()).unwrap());
    carry_out(&mut guest, &[touch("/srv/a"), touch("/srv/b")], &Options::default(), &told).unwrap();
    assert_eq!(told.0.take(), [0, 1, 2]);
    carry_out(&mut guest, &[touch("/srv/c"), touch("/srv/c/d"), touch("/srv/e")], &Options::default(), &told)
        .unwrap_err();
    assert_eq!(told.0.take(), [0, 1]);
}

#[test]
fn directories_on_the_way_have_to_be_there_where_that_is_asked_for() {
    let write = Operation::Write(Write::parse("/srv/a/b/c:x".as_ref()).unwrap());
    let strict = Options { existing_parents: true, ..Options::default() };
    let (_, mut guest) = guest();
    let error = carry_out(&mut guest, std::slice::from_ref(&write), &strict, &|_, _| {}).unwrap_err();
    assert_eq!(error.to_string(), "`/srv/a` is not in the guest");
    assert_eq!(done(&mut guest, &[write]).unwrap().reports[0].parents, ["/srv/a", "/srv/a/b"]);
}

#[test]
fn a_put_goes_through_a_symlink_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "new").unwrap();
    let (_, mut guest) = guest();
    let write = Operation::Write(Write::parse("/srv/target:old".as_ref()).unwrap());
    let link = Operation::Link(Link::parse("target:/srv/link".as_ref()).unwrap());
    let [Operation::Put(put)] = &puts(folder.path(), &["file:/srv/link"])[..] else { panic!("it is a put") };
    let through = Operation::Put(Put { through_link: true, ..put.clone() });
    done(&mut guest, &[write, link, through]).unwrap();
    assert_eq!(content(&guest, "/srv/target"), b"new");
    assert_eq!(guest.read_link(&"/srv/link".parse().unwrap()).unwrap(), b"target");
    done(&mut guest, &[Operation::Put(put.clone())]).unwrap();
    assert!(guest.read_link(&"/srv/link".parse().unwrap()).is_err());
}

#[test]
fn an_appended_line_ends_as_those_before_it() {
    for (before, after) in [("a\n", "a\nb\n"), ("a", "a\nb\n"), ("a\r\n", "a\r\nb\r\n"), ("a\rb", "a\rb\rb\r")] {
        let (_, mut guest) = guest();
        let write = Operation::Write(Write::parse(format!("/srv/x:{before}").as_ref()).unwrap());
        let append = Operation::Append(Append::parse("/srv/x:b".as_ref()).unwrap());
        done(&mut guest, &[write, append]).unwrap();
        assert_eq!(content(&guest, "/srv/x"), after.as_bytes(), "{before:?}");
    }
}

/// Whoever asks for digests afterwards would get those of other bytes than the guest's.
#[test]
fn the_digests_are_those_of_what_went_into_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tree/sub")).unwrap();
    fs::write(folder.path().join("tree/sub/small"), "small").unwrap();
    std::os::unix::fs::symlink("sub/small", folder.path().join("tree/link")).unwrap();
    fs::write(folder.path().join("large"), vec![1; 3_000_000]).unwrap();
    let sum = |name: &str| {
        let said = judge("sha256sum").arg(folder.path().join(name)).succeed().stdout;
        said.split(' ').next().unwrap().to_owned()
    };
    let (small, large) = (sum("tree/sub/small"), sum("large"));
    let operations = puts(folder.path(), &["tree:/srv/tree", "large:/srv/large"]);
    let (_, mut guest) = guest();
    let options = Options { digests: true, ..Options::default() };
    let done = carry_out(&mut guest, &operations, &options, &|_, _| {}).unwrap();
    fs::write(folder.path().join("tree/sub/small"), "other").unwrap();
    let found: Vec<(&Path, &str, u64)> =
        done.read.iter().map(|read| (read.path.as_path(), read.sha256.as_str(), read.size_bytes)).collect();
    // Of `printf sub/small | sha256sum`.
    let link = "4bd666d4f56ffe4f05b068fa4dce9f3d1ab51d33587fe5b9e4693022ec41cfae";
    let path = |name: &str| folder.path().join(name);
    let (of_link, of_small, of_large) = (path("tree/link"), path("tree/sub/small"), path("large"));
    assert_eq!(found, [(&*of_link, link, 0), (&*of_small, small.as_str(), 5), (&*of_large, large.as_str(), 3_000_000)]);
    assert_eq!(content(&guest, "/srv/tree/sub/small"), b"small");
    assert!(done.read.iter().take(2).all(|read| read.source == path("tree")) && done.read[2].source == of_large);
}
