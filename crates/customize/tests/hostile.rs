//! Operations in guests on damaged disks and with odd tables: whatever the bytes are, nothing panics or hangs.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::ffi::OsStr;
use std::fs::File;
use std::sync::Arc;

use customize::{
    Append, Chmod, Chown, Copy, FirstBoot, Hardlink, Hostname, Mkdir, Move, Operation, Options, Password, Relabel,
    Remove, Replace, Scrub, SshKey, Timezone, Touch, Truncate, User, Write, carry_out,
};
use guest::Guest;
use storage::{FileStorage, Overlay, ReadAt, WriteAt};
use testkit::fixture::{Format, small_cloud_image};
use testkit::partition::partition_range;

/// How many damaged disks are worked on.
fn rounds() -> u64 {
    testkit::rounds(cfg!(feature = "full-tests"), [20, 100, 500])
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

type Disk = Arc<Overlay<FileStorage>>;

fn disk() -> Disk {
    let image = small_cloud_image(&testkit::fixture::Options { format: Format::Raw, ..Default::default() });
    let file = FileStorage::new(File::open(image).unwrap()).unwrap();
    Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))))
}

/// An operation of each sort, each of which can be done where nothing is damaged.
fn operations() -> Vec<Operation> {
    macro_rules! operations {
        ($($verb:ident $parse:ident $text:literal),* $(,)?) => {
            vec![$(Operation::$verb($verb::$parse(OsStr::new($text)).unwrap())),*]
        };
    }
    let mut operations = operations![
        Write parse "/etc/motd:x", Append parse "/etc/hosts:x", Mkdir parse "/srv/a/b", Touch parse "/usr/bin/x",
        Remove parse "/usr/share/many/file-00*", Remove parse "/var/lib/dpkg", Chmod parse "0600:/etc/fstab",
        Chown parse "1:1:/usr/bin/sudo", Copy parse "/usr/share/doc:/srv/", Copy parse "/boot:/srv/boot",
        Copy parse "/boot/efi:/srv/efi", Move parse "/etc/cloud:/boot/", Move parse "/usr/bin/ls:/usr/bin/cat",
        Remove parse "/boot/efi/EFI", Replace parse "/etc/passwd:root:toor", Truncate parse_recursive "/var/log",
        Hardlink parse "/etc/hosts:/srv/hosts:/etc/hostname", Scrub parse "/var/lib/sparse.img", Hostname parse "web", User parse "ada:groups=sudo",
        SshKey parse "ada:string:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ a",
        FirstBoot parse_command "true", Write parse "/usr/share/zoneinfo/Etc/UTC:x", Timezone parse "Etc/UTC",
    ];
    let password = Password::parse(OsStr::new("ada:password:x"), || Ok(String::new())).unwrap();
    operations.push(Operation::Password(password));
    operations.push(Operation::Relabel(Relabel));
    operations
}

#[test]
fn damaged_disks_are_survived() {
    let image = small_cloud_image(&testkit::fixture::Options { format: Format::Raw, ..Default::default() });
    let mut ranges = Vec::new();
    for number in [1, 15, 16] {
        let range = partition_range(&image, number);
        ranges.push(range.start..range.start + (6 << 20));
    }
    let (mut opened, mut done) = (0, 0);
    for round in 1..=rounds() {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let disk = disk();
        for _ in 0..=random.below(12) {
            let range = &ranges[random.below(ranges.len() as u64) as usize];
            let offset = range.start + random.below(range.end - range.start);
            let mut byte = [0];
            disk.read_at(offset, &mut byte).unwrap();
            let bytes = [byte[0] ^ (1 << random.below(8)), random.below(256) as u8, 0xff, 0];
            disk.write_at(offset, &bytes[..1 + random.below(4) as usize]).unwrap();
        }
        let Ok(mut guest) = Guest::open(disk) else { continue };
        opened += 1;
        for operation in operations() {
            let options = Options::default();
            done += u32::from(carry_out(&mut guest, &[operation], &options, &|_, _| {}).is_ok());
        }
    }
    assert!(opened > 0 && done > 0, "{opened} {done}");
}

#[test]
fn all_of_them_can_be_done_where_nothing_is_damaged() {
    let mut guest = Guest::open(disk()).unwrap();
    let done = carry_out(&mut guest, &operations(), &Options::default(), &|_, _| {}).unwrap();
    assert_eq!(done.reports.len(), operations().len());
}

#[test]
fn tables_of_any_bytes_are_survived() {
    let tables = ["passwd", "shadow", "group", "gshadow", "subuid", "subgid", "hosts", "hostname", "login.defs"];
    let pieces: [&[u8]; 14] = [
        b"root:x:0:0",
        b":",
        b"\n",
        b"\0",
        b"\xff",
        b"99999999999",
        b"4294967295",
        b"ada",
        b",",
        b"+",
        b"UID_MIN 5\n",
        b"SUB_UID_COUNT 4294967295\n",
        b"\r\n",
        b"a:18446744073709551615:2\n",
    ];
    let mut guest = Guest::open(disk()).unwrap();
    for round in 1..=rounds() {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut all = Vec::new();
        for table in tables {
            let count = random.below(20);
            let content =
                (0..count).flat_map(|_| pieces[random.below(pieces.len() as u64) as usize].to_vec()).collect();
            let path = format!("/etc/{table}").parse().unwrap();
            all.push(Operation::Write(Write { path, content, mode: None, owner: None }));
        }
        carry_out(&mut guest, &all, &Options::default(), &|_, _| {}).unwrap();
        for operation in operations() {
            let is_account = matches!(
                operation,
                Operation::User(_) | Operation::Password(_) | Operation::SshKey(_) | Operation::Hostname(_)
            );
            if is_account {
                let _ = carry_out(&mut guest, &[operation], &Options::default(), &|_, _| {});
            }
        }
    }
}
