use zerocopy::IntoBytes;

use super::plan::{Plan, Target};
use super::susp::{Posix, SystemUse};
use super::{Options, Space};
use crate::layout::{FLAG_DIRECTORY, RECORD_HEADER_BYTES, RawDirectoryRecord};
use crate::{BLOCK_BYTES, time};

const MODE_DIRECTORY: u32 = 0o40_000;
const MODE_REGULAR: u32 = 0o100_000;
/// The names of a directory itself and of the one that it is in.
const SELF: &[u8] = &[0];
const PARENT: &[u8] = &[1];

/// Where everything is.
pub(super) struct Places {
    /// The block of each directory, and its size in bytes.
    pub(super) directories: Vec<(u64, u64)>,
    /// The block of each file.
    pub(super) files: Vec<u64>,
}

impl Places {
    /// Before it is known.
    pub(super) fn unknown(plan: &Plan<'_>) -> Self {
        Self { directories: vec![(0, 0); plan.directories.len()], files: vec![0; plan.files.len()] }
    }
}

/// A directory's bytes: whole blocks of records, and what of their system use areas did not fit.
pub(super) struct Written {
    pub(super) directory: Vec<u8>,
    pub(super) continuation: Vec<u8>,
}

impl Written {
    /// The directory number `number`; its size does not depend on `places`.
    pub(super) fn new(plan: &Plan<'_>, space: Space, number: usize, places: &Places, options: &Options<'_>) -> Self {
        let planned = &plan.directories[number];
        let (block, size_bytes) = places.directories[number];
        let mut writer = Writer {
            written: Vec::new(),
            system_use: SystemUse::new(block + size_bytes / BLOCK_BYTES),
            space,
            options,
        };
        for (name, index) in [(SELF, number), (PARENT, planned.parent)] {
            let is_start = name == SELF && number == 0;
            writer.add(name, places.directories[index], FLAG_DIRECTORY, &directory_posix(plan, index), "", is_start);
        }
        for entry in planned.sorted(space) {
            let name = entry.in_space(space);
            match entry.target {
                Target::Directory(index) => {
                    let posix = directory_posix(plan, index);
                    writer.add(name, places.directories[index], FLAG_DIRECTORY, &posix, entry.name, false);
                }
                Target::File(index) => {
                    let file = &plan.files[index];
                    let posix = Posix { mode: MODE_REGULAR | u32::from(file.permissions), links: 1 };
                    writer.add(name, (places.files[index], file.size_bytes), 0, &posix, entry.name, false);
                }
            }
        }
        let mut directory = writer.written;
        directory.resize(directory.len().next_multiple_of(BLOCK_BYTES as usize), 0);
        Self { directory, continuation: writer.system_use.into_continuation() }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        (self.directory.len() + self.continuation.len()) as u64
    }
}

fn directory_posix(plan: &Plan<'_>, index: usize) -> Posix {
    let directory = &plan.directories[index];
    Posix { mode: MODE_DIRECTORY | u32::from(directory.permissions), links: directory.links }
}

struct Writer<'a> {
    written: Vec<u8>,
    system_use: SystemUse,
    space: Space,
    options: &'a Options<'a>,
}

impl Writer<'_> {
    fn add(&mut self, name: &[u8], place: (u64, u64), flags: u8, posix: &Posix, full_name: &str, is_start: bool) {
        let mut bytes = record(name, place, flags, self.options).as_bytes().to_vec();
        bytes.extend_from_slice(name);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        if self.space == Space::RockRidge {
            let entries = posix.entries(full_name, self.options.seconds, is_start);
            bytes.extend(self.system_use.lay_out(&entries, bytes.len()));
            bytes.resize(bytes.len().next_multiple_of(2), 0);
        }
        bytes[0] = bytes.len() as u8;
        let block = BLOCK_BYTES as usize;
        // No record is in two blocks.
        if self.written.len() % block + bytes.len() > block {
            self.written.resize(self.written.len().next_multiple_of(block), 0);
        }
        self.written.extend(bytes);
    }
}

/// The record of the root, as a volume descriptor has it.
pub(super) fn root_record(places: &Places, options: &Options<'_>) -> [u8; 34] {
    let mut bytes = [0; RECORD_HEADER_BYTES + 1];
    bytes[..RECORD_HEADER_BYTES]
        .copy_from_slice(record(SELF, places.directories[0], FLAG_DIRECTORY, options).as_bytes());
    bytes[0] = bytes.len() as u8;
    bytes
}

/// A record that does not know its length yet.
fn record(name: &[u8], (block, size_bytes): (u64, u64), file_flags: u8, options: &Options<'_>) -> RawDirectoryRecord {
    RawDirectoryRecord {
        length: 0,
        extended_attribute_record_length: 0,
        location_of_extent: (block as u32).into(),
        data_length: (size_bytes as u32).into(),
        recording: time::to_record(options.seconds),
        file_flags,
        file_unit_size: 0,
        interleave_gap_size: 0,
        volume_sequence_number: 1.into(),
        length_of_file_identifier: name.len() as u8,
    }
}
