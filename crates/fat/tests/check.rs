//! Damage that the check names, with `fsck.vfat` as the judge of whether it is any.

#![allow(clippy::unwrap_used, reason = "in tests, helpers included")]

use std::fs;

use fat::{FileSystem, Time};
use storage::Memory;
use testkit::judge::judge;

const MODIFIED: Time = Time { seconds: 1_700_000_000, nanoseconds: 0 };
const END: u32 = 0x0fff_ffff;

/// The width of a table's entries, and the size in bytes, of each kind.
const KINDS: [(u64, u64); 3] = [(12, 2 << 20), (16, 16 << 20), (32, 40 << 20)];

/// A file system whose bytes are changed one by one.
#[derive(Clone)]
struct Volume {
    bytes: Vec<u8>,
    bits: u64,
    table: usize,
    table_bytes: usize,
    data: usize,
    cluster_bytes: usize,
}

impl Volume {
    /// `/DIR/ONE` of five clusters, `/TWO` of two, `/THREE` and `/DIR/DEEP`.
    fn new(bits: u64, size_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fat");
        fs::File::create(&path).unwrap().set_len(size_bytes).unwrap();
        judge("mkfs.vfat").args(["--invariant", "-s", "1", "-F", &bits.to_string()]).arg(&path).succeed();
        let memory = std::sync::Arc::new(Memory::from(fs::read(path).unwrap()));
        let mut filesystem = FileSystem::open(std::sync::Arc::clone(&memory)).unwrap();
        filesystem.create_directory(&["DIR"], MODIFIED).unwrap();
        filesystem.create_directory(&["DIR", "DEEP"], MODIFIED).unwrap();
        for (path, size) in [(&["DIR", "ONE"][..], 2500u64), (&["TWO"], 1000), (&["THREE"], 10)] {
            filesystem.create_file(path, MODIFIED, size, &mut &vec![7; size as usize][..]).unwrap();
        }
        filesystem.flush().unwrap();
        drop(filesystem);
        let bytes = std::sync::Arc::into_inner(memory).unwrap().into_bytes();
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]) as usize;
        let (table, sectors) = (word(14) * 512, if bits == 32 { word(36) } else { word(22) });
        let data = table + 2 * sectors * 512 + word(17) * 32;
        Self { bits, table, table_bytes: sectors * 512, data, cluster_bytes: 512, bytes }
    }

    /// Sets the entry of `cluster` in the tables from `first` to `last`.
    fn link(&mut self, cluster: u32, entry: u32, tables: std::ops::Range<usize>) {
        for number in tables {
            let at = self.table + number * self.table_bytes + (u64::from(cluster) * self.bits / 8) as usize;
            match self.bits {
                12 => {
                    let old = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
                    let entry = entry as u16 & 0xfff;
                    let new = if cluster.is_multiple_of(2) { old & 0xf000 | entry } else { old & 0xf | entry << 4 };
                    self.bytes[at..at + 2].copy_from_slice(&new.to_le_bytes());
                }
                16 => self.bytes[at..at + 2].copy_from_slice(&(entry as u16).to_le_bytes()),
                _ => self.bytes[at..at + 4].copy_from_slice(&(entry & 0x0fff_ffff).to_le_bytes()),
            }
        }
    }

    /// Where the slot with this short name is.
    fn slot(&self, name: &str) -> usize {
        let name = format!("{name:11}");
        let slots = (self.table..self.bytes.len()).step_by(32);
        slots.into_iter().find(|&at| &self.bytes[at..at + 11] == name.as_bytes()).unwrap()
    }

    fn first_cluster(&self, name: &str) -> u32 {
        let at = self.slot(name) + 26;
        u32::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    fn set_first_cluster(&mut self, slot: usize, cluster: u32) {
        self.bytes[slot + 26..slot + 28].copy_from_slice(&(cluster as u16).to_le_bytes());
    }

    fn cluster(&self, cluster: u32) -> usize {
        self.data + (cluster as usize - 2) * self.cluster_bytes
    }

    fn findings(&self) -> String {
        let filesystem = FileSystem::open(Memory::from(self.bytes.clone())).unwrap();
        filesystem.check().unwrap().iter().map(|finding| format!("{finding}\n")).collect()
    }

    /// Whether `fsck.vfat` has nothing to repair.
    fn is_sound_to_fsck(&self) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fat");
        fs::write(&path, &self.bytes).unwrap();
        judge("fsck.vfat").arg("-n").arg(&path).run().status.success()
    }
}

type Damage = fn(&mut Volume);

/// What is found, and what is done for it. `fsck.vfat` has to find each, too.
const DAMAGES: [(&str, Damage); 12] = [
    ("file allocation table: its copy differs, first for cluster 40", |volume| volume.link(40, END, 1..2)),
    ("file allocation table: cluster 40 is in use and belongs to nothing\n", |volume| volume.link(40, END, 0..2)),
    ("its cluster ONE is marked as free\n", |volume| volume.link(volume.first_cluster("ONE"), 0, 0..2)),
    ("its cluster ONE is followed by ", |volume| volume.link(volume.first_cluster("ONE"), 0x0fff_fff0, 0..2)),
    ("belongs to something else too\n", |volume| {
        volume.set_first_cluster(volume.slot("TWO"), volume.first_cluster("THREE"))
    }),
    (
        // A loop: the second cluster leads to the first.
        "file /DIR/ONE: its cluster ONE belongs to something else too\n",
        |volume| volume.link(volume.first_cluster("ONE") + 1, volume.first_cluster("ONE"), 0..2),
    ),
    ("file /TWO: its size is 9000, and it has 2 clusters of 512 bytes\n", |volume| {
        let slot = volume.slot("TWO");
        volume.bytes[slot + 28..slot + 32].copy_from_slice(&9000u32.to_le_bytes());
    }),
    ("root directory: two entries are named `TWO`\n", |volume| {
        let slot = volume.slot("THREE");
        volume.bytes[slot..slot + 11].copy_from_slice(b"TWO        ");
    }),
    ("directory /DIR: its size is 5, a directory's is 0\n", |volume| {
        let slot = volume.slot("DIR");
        volume.bytes[slot + 28] = 5;
    }),
    ("directory /DIR: `.` leads to cluster 9, not to ", |volume| {
        volume.set_first_cluster(volume.cluster(volume.first_cluster("DIR")), 9)
    }),
    ("directory /DIR: `..` is missing\n", |volume| {
        let slot = volume.cluster(volume.first_cluster("DIR")) + 32;
        volume.bytes[slot] = b'X';
    }),
    (
        // A directory that is in itself.
        "directory /DIR/DEEP: its cluster DIR belongs to something else too\n",
        |volume| volume.set_first_cluster(volume.slot("DEEP"), volume.first_cluster("DIR")),
    ),
];

#[test]
fn each_damage_is_named_and_a_sound_one_has_none() {
    for (bits, size_bytes) in KINDS {
        let sound = Volume::new(bits, size_bytes);
        assert!(sound.is_sound_to_fsck());
        assert_eq!(sound.findings(), "", "FAT{bits}");
        for (said, damage) in DAMAGES {
            let mut damaged = sound.clone();
            damage(&mut damaged);
            let said = ["ONE", "DIR"].into_iter().fold(said.to_owned(), |said, name| {
                said.replace(&format!("cluster {name}"), &format!("cluster {}", sound.first_cluster(name)))
            });
            let findings = damaged.findings();
            assert!(findings.contains(&said), "FAT{bits}: {said} is not in {findings}");
            assert!(!damaged.is_sound_to_fsck(), "FAT{bits}: {said}");
        }
    }
}

#[test]
fn a_wrong_count_of_free_clusters_is_found() {
    let mut volume = Volume::new(32, 40 << 20);
    volume.bytes[512 + 0x1e8..512 + 0x1ec].copy_from_slice(&7u32.to_le_bytes());
    assert!(volume.findings().starts_with("FSInfo sector: fsi_free_count=7, but "), "{}", volume.findings());
    assert!(!volume.is_sound_to_fsck());
    volume.bytes[512 + 0x1e8..512 + 0x1ec].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(volume.findings(), "");
}

/// Every entry of every directory names every directory, and every cluster is followed by the first.
#[test]
fn directories_and_chains_that_lead_to_each_other_end() {
    let mut volume = Volume::new(16, 16 << 20);
    let dir = volume.first_cluster("DIR");
    let slot = volume.bytes[volume.slot("DEEP")..][..32].to_vec();
    for cluster in 100..4000 {
        volume.link(cluster, cluster + 1, 0..2);
        let at = volume.cluster(cluster);
        for (index, place) in volume.bytes[at..at + 512].chunks_mut(32).enumerate() {
            place.copy_from_slice(&slot);
            place[..8].copy_from_slice(format!("{:08}", cluster * 16 + index as u32).as_bytes());
            place[26..28].copy_from_slice(&((100 + (cluster * 16 + index as u32) % 3900) as u16).to_le_bytes());
        }
    }
    volume.link(4000, dir, 0..2);
    volume.set_first_cluster(volume.slot("DEEP"), 100);
    let start = std::time::Instant::now();
    let findings = volume.findings();
    assert_eq!(findings.lines().count(), 1000);
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
