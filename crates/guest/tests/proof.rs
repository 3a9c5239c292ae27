//! What is changed behind the engine's back is named by the account of what was to change.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::File;
use std::sync::Arc;

use guest::diff::{Asked, BlockAccount, View, account_for_edits, differing};
use guest::{Attributes, Guest, GuestPath, Time};
use storage::{FileStorage, Overlay, ReadAt, WriteAt};
use testkit::fixture::{FIXTURE_TIME, Format, Options, small_cloud_image};
use testkit::judge::judge;
use testkit::partition::{extract_partition, partition_range};

type Disk = Overlay<FileStorage>;

const ATTRIBUTES: Attributes =
    Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time { seconds: FIXTURE_TIME, nanoseconds: 0 } };

/// Without checksums: a byte that changes leaves nothing that cannot be read.
fn options() -> Options {
    Options { format: Format::Raw, features: "^metadata_csum,^orphan_file".to_owned(), ..Options::default() }
}

fn disk() -> Arc<Disk> {
    let file = FileStorage::new(File::open(small_cloud_image(&options())).unwrap()).unwrap();
    Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))))
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap()
}

/// A guest with a file made at each of the paths, and its disk.
fn edited(paths: &[GuestPath]) -> (Guest, Arc<Disk>) {
    let disk = disk();
    let mut guest = Guest::open(Arc::clone(&disk) as Arc<dyn WriteAt>).unwrap();
    for path in paths {
        guest.create_file(path, &ATTRIBUTES, 10_000, &mut &vec![b'x'; 10_000][..]).unwrap();
    }
    guest.flush().unwrap();
    (guest, disk)
}

/// The account of what is on the disk that `guest` was to edit.
fn account(guest: &Guest, disk: &Arc<Disk>) -> BlockAccount {
    let base = self::disk();
    let view = View::open(Arc::clone(&base) as Arc<dyn WriteAt>).unwrap();
    let differing = differing(&base, disk, &disk.changed()).unwrap();
    let asked = Asked { is_grown: false, differing: &differing, recovered: &[] };
    let image = View::open(Arc::clone(disk) as Arc<dyn WriteAt>).unwrap();
    account_for_edits(&view, &image, guest, &asked).unwrap()
}

fn tamper(disk: &Disk, offset: u64) {
    let mut byte = [0];
    disk.read_at(offset, &mut byte).unwrap();
    disk.write_at(offset, &[byte[0] ^ 0x55]).unwrap();
}

/// What `debugfs` says of the root file system of the base.
fn debugfs(request: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root");
    extract_partition(&small_cloud_image(&options()), 1, &file);
    judge("debugfs").args(["-R", request]).arg(&file).succeed().stdout
}

/// A guest that knows of no edit, on a disk that has some.
fn unaware(disk: &Arc<Disk>) -> Guest {
    Guest::open(Arc::clone(disk) as Arc<dyn WriteAt>).unwrap()
}

#[test]
fn files_on_every_file_system_are_explained_by_the_edits_and_by_nothing_else() {
    let paths = [path("/usr/bin/app"), path("/boot/app"), path("/boot/efi/EFI/app"), path("/etc/new")];
    let (guest, disk) = edited(&paths);
    let found = account(&guest, &disk);
    assert!(found.is_explained(), "{:#?}", found.unexplained);
    assert_eq!(found.volumes.len(), 3);
    assert!(found.outside.is_empty());
    // Each of them is missed where nobody asked for it, with its name.
    for (index, name) in ["app", "app", "EFI/app", "new"].into_iter().enumerate() {
        let (guest, disk) = edited(&paths[index..=index]);
        assert!(account(&guest, &disk).is_explained());
        let found = account(&unaware(&disk), &disk);
        let said: Vec<String> =
            found.unexplained.iter().map(|place| format!("{}: {}", place.owner, place.problem)).collect();
        assert!(found.unexplained_blocks > 3 && said.iter().any(|line| line.contains(name)), "{name}: {said:#?}");
    }
}

#[test]
fn a_stray_write_is_named_with_place_block_and_owner() {
    let app = path("/usr/bin/app");
    let image = small_cloud_image(&options());
    let [root, esp, boot] = [1, 15, 16].map(|number| partition_range(&image, number));
    let said = debugfs("imap /etc/passwd");
    let (block, offset) = said.split_once("located at block ").unwrap().1.trim().split_once(", offset 0x").unwrap();
    let slot = block.parse::<u64>().unwrap() * 4096 + u64::from_str_radix(offset, 16).unwrap();
    let first_block = |path: &str| -> u64 {
        debugfs(&format!("blocks {path}")).split_ascii_whitespace().next().unwrap().parse().unwrap()
    };
    let (data, entries) = (first_block("/usr/lib/large.bin"), first_block("/etc"));
    let root_name = "partition 1 (ext4 `cloudimg-rootfs`)";
    let cases = [
        ("slot", root.start + slot + 0x7E, root_name, slot / 4096, "(`/etc/passwd`)"),
        ("content", root.start + data * 4096, root_name, data, "(`/usr/lib/large.bin`)"),
        ("entries", root.start + entries * 4096 + 9, root_name, entries, "(`/etc/`)"),
        ("super block", root.start + 1024 + 0x50, root_name, 0, "super block"),
        ("boot loader", root.start + 100, root_name, 0, "super block"),
        ("another file system", boot.start + 1024 + 0x50, "partition 16 (ext4 `BOOT`)", 0, "super block"),
        ("the ESP's boot sector", esp.start + 3, "partition 15 (fat `UEFI`)", 0, "boot sectors"),
        ("BIOS boot", 2048 * 512 + 9, "partition 14", 0, "partition 14"),
        ("gap", 100 * 512, "between partitions", 100, "no partition"),
        ("boot sector", 5, "boot sector", 0, "no partition"),
        ("table", 512 + 200, "GPT", 1, "no partition"),
    ];
    for (what, offset, place, block, owner) in cases {
        let (guest, disk) = edited(std::slice::from_ref(&app));
        assert!(account(&guest, &disk).is_explained());
        tamper(&disk, offset);
        let found = account(&guest, &disk);
        let named = found.unexplained.iter().any(|found| {
            found.place == place
                && (found.first_block..=found.last_block).contains(&block)
                && found.owner.contains(owner)
        });
        assert!(named && found.unexplained_blocks > 0, "{what}: {:#?}", found.unexplained);
    }
}

#[test]
fn an_entry_that_was_not_to_change_is_named() {
    let (app, other) = (path("/usr/bin/app"), path("/usr/bin/other"));
    let (guest, disk) = edited(std::slice::from_ref(&app));
    let mut stranger = unaware(&disk);
    stranger.create_symlink(&other, b"app", &ATTRIBUTES).unwrap();
    stranger.flush().unwrap();
    let found = account(&guest, &disk);
    let problems: Vec<&str> = found.unexplained.iter().map(|place| place.problem.as_str()).collect();
    assert!(problems.contains(&"the entry `other` differs, but no edit was about it"), "{problems:?}");
}

#[test]
fn removing_renaming_and_changing_are_explained() {
    let (mut guest, disk) = edited(&[]);
    guest.remove_tree(&path("/usr/share/many")).unwrap();
    guest.rename(&path("/etc/cloud"), &path("/srv/cloud")).unwrap();
    guest.rename(&path("/etc/hosts"), &path("/etc/hostname")).unwrap();
    guest.link(&path("/etc/passwd"), &path("/etc/passwd-too")).unwrap();
    guest.truncate(&path("/usr/lib/large.bin"), 1000).unwrap();
    guest.write_at(&path("/etc/group"), 3, b"xyz").unwrap();
    guest.set_owner(&path("/etc/fstab"), 1, 2, ATTRIBUTES.modified).unwrap();
    guest.set_xattr(&path("/etc/shadow"), b"user.note", &vec![b'v'; 1000]).unwrap();
    guest.replace_content(&path("/etc/sudoers"), b"root\n", ATTRIBUTES.modified).unwrap();
    guest.create_directory(&path("/boot/efi/new"), &ATTRIBUTES).unwrap();
    guest.flush().unwrap();
    let found = account(&guest, &disk);
    assert!(found.is_explained(), "{:#?}", found.unexplained);
}
