//! LVM2 for tests: physical volumes made by hand, for tests without root, and `lvm` itself as a judge.

use std::path::{Path, PathBuf};

use crate::judge::judge;

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Without device-mapper, and without what the machine has of its own.
const CONFIG: &str = "devices { scan=[\"/dev\"] use_devicesfile=0 global_filter=[\"a|/dev/loop.*|\",\"r|.*|\"] } \
                      global { use_lvmpolld=0 use_lvmlockd=0 } backup { backup=0 archive=0 } \
                      activation { monitoring=0 udev_sync=0 udev_rules=0 verify_udev_operations=1 }";

/// A physical volume.
#[derive(Clone, Copy, Debug)]
pub struct PhysicalVolume {
    /// Fills its UUID.
    pub letter: char,
    /// Size of its device in bytes.
    pub device_bytes: u64,
    /// Where its first extent begins, in bytes; metadata are before it.
    pub first_extent: u64,
}

/// A logical volume: its name, and its segments.
pub type LogicalVolume<'a> = (&'a str, &'a [Segment<'a>]);

/// A segment: its extents, the bytes of a stripe if it has several, and its physical volumes by number, each with the
/// first extent there.
pub type Segment<'a> = (u64, Option<u64>, &'a [(usize, u64)]);

/// A UUID as text has it, of one letter.
fn uuid(letter: char) -> String {
    [6, 4, 4, 4, 4, 4, 6].map(|length| letter.to_string().repeat(length)).join("-")
}

/// The metadata of a group as LVM writes them: its physical volumes have as many extents as they have room for.
pub fn metadata(group: &str, extent_bytes: u64, physical: &[PhysicalVolume], logical: &[LogicalVolume<'_>]) -> String {
    let mut text = format!(
        "{group} {{\nid = \"{}\"\nseqno = 5\nformat = \"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\n\
         extent_size = {}\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\nphysical_volumes {{\n",
        uuid('G'),
        extent_bytes / SECTOR
    );
    for (number, volume) in physical.iter().enumerate() {
        text.push_str(&format!(
            "pv{number} {{\nid = \"{}\"\ndevice = \"/dev/sd{number}\"\t# Hint only\n\nstatus = [\"ALLOCATABLE\"]\nflags = []\n\
             dev_size = {}\npe_start = {}\npe_count = {}\n}}\n",
            uuid(volume.letter),
            volume.device_bytes / SECTOR,
            volume.first_extent / SECTOR,
            (volume.device_bytes - volume.first_extent) / extent_bytes
        ));
    }
    text.push_str("}\n\nlogical_volumes {\n");
    for (index, (name, segments)) in logical.iter().enumerate() {
        let letter = char::from(b'a' + index as u8);
        text.push_str(&format!(
            "{name} {{\nid = \"{}\"\nstatus = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []\nsegment_count = {}\n",
            uuid(letter),
            segments.len()
        ));
        let mut start = 0;
        for (index, (extents, stripe_bytes, places)) in segments.iter().enumerate() {
            let stripe_size =
                stripe_bytes.map(|bytes| format!("stripe_size = {}\n", bytes / SECTOR)).unwrap_or_default();
            let stripes: Vec<String> =
                places.iter().map(|(number, first)| format!("\"pv{number}\", {first}")).collect();
            text.push_str(&format!(
                "\nsegment{} {{\nstart_extent = {start}\nextent_count = {extents}\n\ntype = \"striped\"\nstripe_count = {}\n\
                 {stripe_size}\nstripes = [\n{}\n]\n}}\n",
                index + 1,
                places.len(),
                stripes.join(",\n")
            ));
            start += extents;
        }
        text.push_str("}\n");
    }
    text.push_str("}\n}\n# Generated for a test\n\ncontents = \"Text Format Volume Group\"\nversion = 1\n\n");
    text.push_str("description = \"\"\n\ncreation_host = \"test\"\t# a test\ncreation_time = 1700000000\n\n");
    text
}

/// What is on a physical volume before its first extent: the label in sector 1, and `text` in an area from byte 4096 on.
pub fn head(volume: &PhysicalVolume, text: &str) -> Vec<u8> {
    let mut bytes = vec![0; volume.first_extent as usize];
    let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
    let text = [text.as_bytes(), b"\0"].concat();
    put(512, b"LABELONE\x01");
    put(532, b"\x20\0\0\0LVM2 001");
    put(544, volume.letter.to_string().repeat(32).as_bytes());
    put(576, &volume.device_bytes.to_le_bytes());
    for (index, value) in [volume.first_extent, 0, 0, 0, 4096, volume.first_extent - 4096].into_iter().enumerate() {
        put(584 + index * 8, &value.to_le_bytes());
    }
    put(4100, b" LVM2 x[5A%r0N*>\x01\0\0\0");
    for (index, value) in [4096, volume.first_extent - 4096, 512, text.len() as u64].into_iter().enumerate() {
        put(4120 + index * 8, &value.to_le_bytes());
    }
    put(4152, &crc(&text).to_le_bytes());
    put(4608, &text);
    for (at, range) in [(528, 532..1024), (4096, 4100..4608)] {
        let checksum = crc(&bytes[range]);
        bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// LVM2's `calc_crc`, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    bytes.iter().fold(0xf597_a6cf, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A loop device, given back at the end.
#[derive(Debug)]
pub struct Loop {
    /// Its file.
    pub file: PathBuf,
    /// Its node.
    pub device: String,
}

impl Loop {
    /// The part of `file` from `offset` on that is `size_bytes` large; all of it without a size.
    ///
    /// # Panics
    ///
    /// If there is no loop device for it.
    pub fn new(file: &Path, offset: u64, size_bytes: Option<u64>) -> Self {
        let mut losetup = judge("losetup").args(["--find", "--show", "--offset", &offset.to_string()]);
        if let Some(size) = size_bytes {
            losetup = losetup.args(["--sizelimit", &size.to_string()]);
        }
        let device = losetup.arg(file).succeed().stdout.trim().to_owned();
        Self { file: file.to_owned(), device }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        judge("losetup").args(["-d", &self.device]).run();
    }
}

/// Runs a command of `lvm`, which sees loop devices alone, and returns what it prints.
///
/// # Panics
///
/// If it fails.
pub fn lvm(words: &[&str]) -> String {
    let (command, arguments) = words.split_first().expect("a command");
    judge("lvm").args([*command, "--driverloaded", "n", "--config", CONFIG]).args(arguments).succeed().stdout
}

/// What a command such as `lvs` reports in these columns, one line for each thing, in bytes.
///
/// # Panics
///
/// If it fails.
pub fn reported(command: &str, columns: &str, what: &str) -> Vec<String> {
    let said = lvm(&[command, "--noheadings", "--units", "b", "--nosuffix", "-o", columns, what]);
    said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}
