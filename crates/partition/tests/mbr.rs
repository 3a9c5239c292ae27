//! MBRs that `sfdisk` makes, read, checked and grown, with `sfdisk` as the judge; and hybrid ones beside a GPT.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::File;
use std::path::{Path, PathBuf};

use partition::{Error, PartitionType, Table, check, grow, read};
use storage::{FileStorage, ReadAt};
use testkit::judge::{assert_sgdisk_clean, judge};

const MIB: u64 = 1 << 20;

struct Disk {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Disk {
    /// A disk of `mib` MiB that `sfdisk` divides as `script` says.
    fn new(mib: u64, script: &str) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = folder.path().join("disk.raw");
        File::create(&path).unwrap().set_len(mib * MIB).unwrap();
        let disk = Self { folder, path };
        disk.sfdisk(&disk.path, &[], script);
        disk
    }

    fn sfdisk(&self, path: &Path, arguments: &[&str], script: &str) {
        let file = self.folder.path().join("script");
        std::fs::write(&file, script).unwrap();
        let script = File::open(file).unwrap();
        judge("sfdisk")
            .args(["-q", "--no-reread", "--no-tell-kernel"])
            .args(arguments)
            .arg(path)
            .stdin(script)
            .succeed();
    }

    fn open(&self) -> FileStorage {
        FileStorage::new(File::options().read(true).write(true).open(&self.path).unwrap()).unwrap()
    }

    fn enlarge(&self, mib: u64) {
        File::options().write(true).open(&self.path).unwrap().set_len(mib * MIB).unwrap();
    }

    /// `sfdisk`, `fdisk` and our own check find nothing wrong.
    fn assert_good(&self) {
        let said = judge("sfdisk").arg("--verify").arg(&self.path).succeed();
        assert!(said.stdout.contains("No errors detected") && said.stderr.is_empty(), "{said}");
        assert_eq!(judge("fdisk").arg("-l").arg(&self.path).succeed().stderr, "");
        assert_eq!(check(&self.open()).unwrap(), []);
    }

    /// Number, first sector, sectors and type of each partition that can have a file system, as `sfdisk` lists them.
    fn listed(&self) -> Vec<(u32, u64, u64, u8)> {
        let json: serde_json::Value =
            serde_json::from_str(&judge("sfdisk").arg("--json").arg(&self.path).succeed().stdout).unwrap();
        let rows = json["partitiontable"]["partitions"].as_array().unwrap().iter().map(|row| {
            let node = row["node"].as_str().unwrap();
            let number = node.strip_prefix(self.path.to_str().unwrap()).unwrap().parse().unwrap();
            let os_type = u8::from_str_radix(row["type"].as_str().unwrap(), 16).unwrap();
            (number, row["start"].as_u64().unwrap(), row["size"].as_u64().unwrap(), os_type)
        });
        rows.filter(|&(.., os_type)| !matches!(os_type, 0x05 | 0x0f | 0x85)).collect()
    }

    fn ours(&self) -> Vec<(u32, u64, u64, u8)> {
        let Table::Mbr(mbr) = read(&self.open()).unwrap() else { panic!("no MBR") };
        let row = |one: &partition::Partition| {
            let PartitionType::Byte(os_type) = one.kind else { panic!("{one:?}") };
            (one.number, one.first_byte / 512, one.size_bytes / 512, os_type)
        };
        mbr.partitions.iter().map(row).collect()
    }
}

const PRIMARY: &str = "label: dos\nlabel-id: 0x1badc0de\n1MiB,4MiB,82\n5MiB,4MiB,83,*\n";
const LOGICAL: &str =
    "label: dos\nlabel-id: 0x1badc0de\n1MiB,4MiB,83,*\n5MiB,+,f\n6MiB,2MiB,L\n9MiB,2MiB,8e\n12MiB,2MiB,L\n";

#[test]
fn primary_and_logical_partitions_are_those_of_sfdisk() {
    for script in [PRIMARY, LOGICAL, "label: dos\n1MiB,2MiB,ef\n,4MiB,E\n,1MiB,L\n"] {
        let disk = Disk::new(24, script);
        disk.assert_good();
        assert_eq!(disk.ours(), disk.listed(), "{script}");
    }
    let disk = Disk::new(24, LOGICAL);
    assert_eq!(disk.ours().iter().map(|row| row.0).collect::<Vec<_>>(), [1, 5, 6, 7]);
    let table = read(&disk.open()).unwrap();
    assert_eq!(table.name(), Some("MBR"));
    let logical = table.partition(6).unwrap();
    assert_eq!((logical.partuuid.as_str(), logical.kind.name()), ("1badc0de-06", Some("Linux LVM")));
    assert_eq!(table.partition(2), None, "the extended partition has no file system");
}

#[test]
fn a_chain_that_fdisk_put_out_of_order_is_read_in_its_order() {
    let disk = Disk::new(24, LOGICAL);
    // The first goes, and a new one in its place comes last in the chain.
    judge("sfdisk").args(["-q", "--delete"]).arg(&disk.path).arg("5").succeed();
    disk.sfdisk(&disk.path, &["--append"], "6MiB,1MiB,L\n");
    assert_eq!(disk.ours(), disk.listed());
    let last = disk.ours().last().copied().unwrap();
    assert_eq!((last.0, last.1), (7, 6 * 2048));
}

#[test]
fn the_last_partition_grows_as_sfdisk_grows_it() {
    // Past 8 GB there are no addresses of old disks.
    for (script, number, mib) in [(PRIMARY, 2, 64), (PRIMARY, 2, 20 << 10), (LOGICAL, 7, 64), (LOGICAL, 7, 20 << 10)] {
        let disk = Disk::new(24, script);
        disk.enlarge(mib);
        // Theirs is made in that size: `sfdisk -N` would leave the link to a logical partition as it was.
        let theirs =
            Disk::new(mib, &script.replace("5MiB,4MiB,83,*", "5MiB,+,83,*").replace("12MiB,2MiB,L", "12MiB,+,L"));
        let partition = grow(&disk.open(), number).unwrap();
        assert_eq!(partition.first_byte + partition.size_bytes, mib * MIB);
        disk.assert_good();
        // Records and all; the boot code is empty in both.
        let theirs = theirs.open();
        let ours = disk.open();
        let Table::Mbr(mbr) = read(&ours).unwrap() else { panic!("no MBR") };
        for offset in mbr.extended_boot_records.iter().copied().chain([0]) {
            let (mut one, mut other) = ([0; 512], [0; 512]);
            ours.read_at(offset, &mut one).unwrap();
            theirs.read_at(offset, &mut other).unwrap();
            assert_eq!(one, other, "partition {number} to {mib} MiB, the record at byte {offset}");
        }
    }
}

#[test]
fn an_mbr_grows_to_2_tib_and_no_further() {
    let disk = Disk::new(24, PRIMARY);
    disk.enlarge(3 << 20);
    let partition = grow(&disk.open(), 2).unwrap();
    assert_eq!(partition.first_byte + partition.size_bytes, (2 << 40) - MIB);
    disk.assert_good();
    let before = disk.ours();
    grow(&disk.open(), 2).unwrap();
    assert_eq!(disk.ours(), before);
}

#[test]
fn what_is_not_last_is_refused_by_name_and_nothing_changes() {
    let disk = Disk::new(24, LOGICAL);
    disk.enlarge(64);
    let before = std::fs::read(&disk.path).unwrap();
    for (number, next) in [(1, 2), (5, 6), (6, 7)] {
        let error = grow(&disk.open(), number).unwrap_err();
        assert!(matches!(error, Error::NotLast { .. }), "{error}");
        let said = format!("partition {number} cannot grow: partition {next} lies after it on the disk");
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(grow(&disk.open(), 2).unwrap_err().to_string(), "partition 2: there is no such partition");
    assert!(before == std::fs::read(&disk.path).unwrap());

    // A primary partition after the extended one.
    let after = Disk::new(24, "label: dos\n1MiB,8MiB,E\n12MiB,4MiB,L\n2MiB,4MiB,L\n");
    after.enlarge(64);
    let said = grow(&after.open(), 5).unwrap_err().to_string();
    assert_eq!(said, "partition 5 cannot grow: partition 2 lies after it on the disk");
}

#[test]
fn overlaps_that_sfdisk_names_are_found() {
    let overlap = |disk: &Disk| judge("sfdisk").arg("--verify").arg(&disk.path).run();
    let disk = Disk::new(24, PRIMARY);
    let mut bytes = std::fs::read(&disk.path).unwrap();
    // The second begins in the first.
    bytes[446 + 16 + 8..446 + 16 + 12].copy_from_slice(&4096u32.to_le_bytes());
    std::fs::write(&disk.path, bytes).unwrap();
    let said = overlap(&disk);
    assert!(said.stderr.contains("overlaps partition 2"), "{said}");
    let found = check(&disk.open()).unwrap();
    let expected = "partition 2: it starts in sector 4096, inside partition 1, which ends in sector 10239";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_hybrid_mbr_follows_a_growth_of_its_gpt() {
    // The last partition has a record; it has none; `0xee` records before and after.
    for (hybrid, has_record) in [("1", true), ("15", false), ("1:EE", true), ("15:EE", false), ("15:1", true)] {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let disk = folder.path().join("disk.raw");
        File::create(&disk).unwrap().set_len(24 * MIB).unwrap();
        judge("sgdisk").args(["-n", "15:2048:10239", "-n", "1:10240:40959", "-t", "15:EF00"]).arg(&disk).succeed();
        judge("sgdisk").args(["-h", hybrid]).arg(&disk).succeed();
        assert_sgdisk_clean(&disk);
        File::options().write(true).open(&disk).unwrap().set_len(64 * MIB).unwrap();
        let storage = FileStorage::new(File::options().read(true).write(true).open(&disk).unwrap()).unwrap();
        assert!(matches!(read(&storage).unwrap(), Table::Gpt(gpt) if gpt.disk_has_grown), "{hybrid}");
        let partition = grow(&storage, 1).unwrap();
        assert!(matches!(read(&storage).unwrap(), Table::Gpt(gpt) if !gpt.disk_has_grown), "{hybrid}");
        assert_sgdisk_clean(&disk);
        let mut sector = [0; 512];
        storage.read_at(0, &mut sector).unwrap();
        let number = |at: usize| u64::from(u32::from_le_bytes(sector[at..at + 4].try_into().unwrap()));
        let ranges = (0..4).map(|index| 446 + index * 16).map(|at| (sector[at + 4], number(at + 8), number(at + 12)));
        let own = ranges.filter(|&(os_type, first, _)| os_type != 0xee && first == 10240).collect::<Vec<_>>();
        assert_eq!(own.len(), usize::from(has_record), "{hybrid}");
        for (_, _, sectors) in own {
            assert_eq!(sectors * 512, partition.size_bytes, "{hybrid}");
        }
    }
}
