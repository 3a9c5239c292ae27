//! A guest on the small cloud image, made by foreign tools.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::File;
use std::sync::Arc;

use guest::{Attributes, Error, FileKind, Guest, GuestPath, LastLink, Manager, Packages, PathProblem, Time};
use storage::{FileStorage, Overlay, WriteAt};
use testkit::fixture::{FIXTURE_TIME, Format, LARGE_DIRECTORY, LARGE_FILE, Options, small_cloud_image};

type Disk = Overlay<FileStorage>;

fn disk() -> Arc<Disk> {
    let image = small_cloud_image(&Options { format: Format::Raw, ..Options::default() });
    let file = FileStorage::new(File::open(image).unwrap()).unwrap();
    Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))))
}

fn guest() -> Guest {
    Guest::open(disk()).unwrap()
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap()
}

fn content(guest: &Guest, text: &str) -> String {
    let mut bytes = Vec::new();
    guest.read_to(&path(text), &mut bytes).unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o640, uid: 1, gid: 2, modified: Time { seconds: FIXTURE_TIME, nanoseconds: 0 } };

#[test]
fn file_systems_are_where_fstab_mounts_them() {
    let guest = guest();
    let points: Vec<(Option<u32>, Option<&str>, String)> = guest
        .volumes()
        .iter()
        .enumerate()
        .map(|(index, volume)| {
            let points: Vec<String> = guest.mount_points(index).iter().map(ToString::to_string).collect();
            (volume.partition().map(|partition| partition.number), volume.kind(), points.join(" "))
        })
        .collect();
    let row = |number, kind, points: &str| (Some(number), kind, points.to_owned());
    assert_eq!(
        points,
        [
            row(1, Some("ext4"), "/"),
            row(14, None, ""),
            row(15, Some("fat"), "/boot/efi"),
            row(16, Some("ext4"), "/boot"),
        ]
    );
}

#[test]
fn the_guest_says_what_it_is() {
    let guest = guest();
    let os = guest.operating_system().unwrap();
    assert_eq!(
        (os.id.as_str(), os.version.as_deref(), os.name.as_str()),
        ("ubuntu", Some("24.04"), "Ubuntu 24.04.1 LTS")
    );
    let Packages::Listed(Manager::Dpkg, packages) = guest.packages().unwrap() else { panic!("not dpkg's") };
    assert_eq!(packages.len(), 21);
    assert!(packages.iter().any(|package| package.name == "cloud-init") && packages.iter().all(|p| p.name != "snapd"));
    assert_eq!((guest.user_id("www-data").unwrap(), guest.group_id("syslog").unwrap()), (Some(33), Some(110)));
    assert_eq!(guest.user_id("nginx").unwrap(), None);
}

#[test]
fn paths_cross_mount_points_and_links_both_ways() {
    let guest = guest();
    let real = |text: &str| guest.find(&path(text), LastLink::Follow).unwrap().path.to_string();
    assert_eq!(real("/bin/sh"), "/usr/bin/dash");
    assert_eq!(real("/boot/vmlinuz"), "/boot/vmlinuz-6.8.0-45-generic");
    assert_eq!(real("/boot/efi/.."), "/boot");
    assert_eq!(real("/boot/efi/../../opt/upwards/../etc/hostname"), "/etc/hostname");
    assert_eq!(real("/opt/outside"), "/etc");
    let names = |text: &str| -> Vec<String> {
        let entries = guest.read_directory(&path(text)).unwrap();
        entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
    };
    assert_eq!(names("/boot/efi/EFI"), ["BOOT", "ubuntu"]);
    assert_eq!(names(LARGE_DIRECTORY.0).len(), LARGE_DIRECTORY.1);
    assert_eq!(names("/opt/outside/cloud"), ["build.info", "cloud.cfg", "cloud.cfg.d"]);
}

#[test]
fn content_is_read_through_links() {
    let guest = guest();
    assert_eq!(content(&guest, "/opt/outside/hostname"), "ubuntu\n");
    let mut large = Vec::new();
    guest.read_to(&path(LARGE_FILE.0), &mut large).unwrap().unwrap();
    assert_eq!(large.len() as u64, LARGE_FILE.1);
    let problem = |text: &str| match guest.read_to(&path(text), &mut Vec::new()) {
        Err(Error::Path { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem("/etc"), PathProblem::IsADirectory);
    assert_eq!(problem("/dev/null"), PathProblem::NotARegularFile);
    assert_eq!(problem("/nope"), PathProblem::NotFound);
    assert!(matches!(problem("/usr/bin/git-loop"), PathProblem::LinkLoop { .. }));
    assert!(matches!(problem("/etc/localtime"), PathProblem::DanglingLink { .. }));
}

#[test]
fn edits_are_there_for_the_next_one_who_opens_the_disk() {
    let disk = disk();
    let mut guest = Guest::open(Arc::clone(&disk) as Arc<dyn WriteAt>).unwrap();
    guest.create_directory(&path("/opt/outside/new"), &ATTRIBUTES).unwrap();
    guest.create_file(&path("/opt/outside/new/file"), &ATTRIBUTES, 5, &mut &b"hello"[..]).unwrap();
    guest.create_symlink(&path("/etc/new/link"), b"/etc/new/file", &ATTRIBUTES).unwrap();
    guest.create_file(&path("/boot/efi/EFI/note.txt"), &ATTRIBUTES, 4, &mut &b"note"[..]).unwrap();
    guest.remove_file(&path("/etc/hostname")).unwrap();
    guest.set_attributes(&path("/etc/hosts"), &ATTRIBUTES).unwrap();
    guest.flush().unwrap();
    drop(guest);

    let guest = Guest::open(disk).unwrap();
    assert_eq!(content(&guest, "/etc/new/link"), "hello");
    assert_eq!(content(&guest, "/boot/efi/efi/NOTE.TXT"), "note");
    assert!(guest.find(&path("/etc/hostname"), LastLink::Keep).unwrap_err().is_not_found());
    for (text, kind) in [("/etc/new", FileKind::Directory), ("/etc/hosts", FileKind::Regular)] {
        let metadata = guest.metadata(&guest.find(&path(text), LastLink::Keep).unwrap().node).unwrap();
        assert_eq!((metadata.kind, metadata.permissions, metadata.uid, metadata.gid), (kind, 0o640, 1, 2));
    }
    assert!(guest.volumes().iter().filter_map(|volume| volume.file_system()?.check().unwrap()).all(|f| f.is_empty()));
}

#[test]
fn what_cannot_be_edited_says_why() {
    let mut guest = guest();
    let error = guest.create_file(&path("/etc/hosts/x"), &ATTRIBUTES, 0, &mut &b""[..]).unwrap_err();
    assert_eq!(error.to_string(), "`/etc/hosts/x`: `/etc/hosts` is not a directory");
    let error = guest.create_file(&path("/etc/hosts"), &ATTRIBUTES, 0, &mut &b""[..]).unwrap_err();
    assert_eq!(error.to_string(), "`/etc/hosts` on partition 1 (ext4 `cloudimg-rootfs`)");
    let error = guest.create_symlink(&path("/boot/efi/link"), b"x", &ATTRIBUTES).unwrap_err();
    assert_eq!(error.to_string(), "`/boot/efi/link` on partition 15 (fat `UEFI`)");
    assert!(matches!(guest.remove_file(&path("/etc")), Err(Error::Path { problem: PathProblem::IsADirectory, .. })));
    assert!(guest.create_directory(&path("/"), &ATTRIBUTES).is_err());
}
