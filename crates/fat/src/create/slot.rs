//! Slots of a directory.

use std::collections::BTreeSet;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Error, Time};

pub(super) const SLOT_BYTES: u64 = 32;
const ATTR_VOLUME_ID: u8 = 0x08;
const ATTR_ARCHIVE: u8 = 0x20;
const ATTR_LONG_NAME: u8 = 0x0f;
const LAST_LONG_ENTRY: u8 = 0x40;
const UNITS_PER_SLOT: usize = 13;

/// FAT specification, "Directory Structure".
#[derive(Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    /// 0x00
    dir_name: [u8; 11],
    /// 0x0b
    dir_attr: u8,
    /// 0x0c
    dir_nt_res: u8,
    /// 0x0d: hundredths of the two seconds of the creation.
    dir_crt_time_tenth: u8,
    /// 0x0e
    dir_crt_time: U16,
    /// 0x10
    dir_crt_date: U16,
    /// 0x12
    dir_lst_acc_date: U16,
    /// 0x14
    dir_fst_clus_hi: U16,
    /// 0x16
    dir_wrt_time: U16,
    /// 0x18
    dir_wrt_date: U16,
    /// 0x1a
    dir_fst_clus_lo: U16,
    /// 0x1c
    dir_file_size: U32,
}

/// FAT specification, "Long Directory Entry".
#[derive(Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawLongEntry {
    /// 0x00: from 1 on; the last one, which is first, is marked.
    ldir_ord: u8,
    /// 0x01
    ldir_name1: [U16; 5],
    /// 0x0b
    ldir_attr: u8,
    /// 0x0c
    ldir_type: u8,
    /// 0x0d: of the short name.
    ldir_chksum: u8,
    /// 0x0e
    ldir_name2: [U16; 6],
    /// 0x1a: 0.
    ldir_fst_clus_lo: U16,
    /// 0x1c
    ldir_name3: [U16; 2],
}

const _: () = assert!(size_of::<RawEntry>() as u64 == SLOT_BYTES);
const _: () = assert!(size_of::<RawLongEntry>() as u64 == SLOT_BYTES);

/// A label as it is stored.
pub(super) fn label(text: &str) -> Result<[u8; 11], Error> {
    let is_label = |byte: u8| (b' '..0x7f).contains(&byte) && !b"\"*+,./:;<=>?[\\]|".contains(&byte);
    if text.is_empty() || text.len() > 11 || text.starts_with(' ') || !text.bytes().all(is_label) {
        let problem = "is not a valid label: it must have 1 to 11 ASCII characters, and no punctuation of paths";
        return Err(Error::InvalidName { name: text.to_owned(), problem });
    }
    let mut label = [b' '; 11];
    label[..text.len()].copy_from_slice(text.as_bytes());
    Ok(label)
}

/// The slot of the label.
pub(super) fn volume_label(label: &[u8; 11], modified: Time) -> Vec<u8> {
    entry(*label, ATTR_VOLUME_ID, 0, 0, modified).as_bytes().to_vec()
}

/// The slots of a file: its long name, and a short one that is not in `aliases`.
pub(super) fn file(
    name: &str,
    aliases: &mut BTreeSet<[u8; 11]>,
    cluster: u32,
    size_bytes: u32,
    modified: Time,
) -> Vec<u8> {
    let alias = alias(name, aliases);
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let count = units.len().div_ceil(UNITS_PER_SLOT);
    if units.len() < count * UNITS_PER_SLOT {
        units.push(0);
        units.resize(count * UNITS_PER_SLOT, 0xffff);
    }
    let checksum = alias.iter().fold(0_u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
    let mut slots = Vec::new();
    for (index, part) in units.chunks_exact(UNITS_PER_SLOT).enumerate().rev() {
        let last = if index + 1 == count { LAST_LONG_ENTRY } else { 0 };
        let unit = |number: usize| U16::new(part[number]);
        let raw = RawLongEntry {
            ldir_ord: (index as u8 + 1) | last,
            ldir_name1: std::array::from_fn(unit),
            ldir_attr: ATTR_LONG_NAME,
            ldir_type: 0,
            ldir_chksum: checksum,
            ldir_name2: std::array::from_fn(|number| unit(5 + number)),
            ldir_fst_clus_lo: 0.into(),
            ldir_name3: std::array::from_fn(|number| unit(11 + number)),
        };
        slots.extend_from_slice(raw.as_bytes());
    }
    slots.extend_from_slice(entry(alias, ATTR_ARCHIVE, cluster, size_bytes, modified).as_bytes());
    slots
}

fn entry(dir_name: [u8; 11], dir_attr: u8, cluster: u32, size_bytes: u32, modified: Time) -> RawEntry {
    let time = modified.to_fat();
    RawEntry {
        dir_name,
        dir_attr,
        dir_nt_res: 0,
        dir_crt_time_tenth: time.time_tenth,
        dir_crt_time: time.time.into(),
        dir_crt_date: time.date.into(),
        dir_lst_acc_date: time.date.into(),
        dir_fst_clus_hi: ((cluster >> 16) as u16).into(),
        dir_wrt_time: time.time.into(),
        dir_wrt_date: time.date.into(),
        dir_fst_clus_lo: (cluster as u16).into(),
        dir_file_size: size_bytes.into(),
    }
}

/// FAT specification, "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation Algorithm".
fn alias(name: &str, taken: &mut BTreeSet<[u8; 11]>) -> [u8; 11] {
    let plain = |text: &str, limit: usize| -> Vec<u8> {
        let kept = text.chars().filter(|character| !matches!(character, ' ' | '.')).take(limit);
        kept.map(|character| match character.to_ascii_uppercase() {
            upper @ ('A'..='Z' | '0'..='9') => upper as u8,
            other if "$%'-_@~`!(){}^#&".contains(other) => other as u8,
            _ => b'_',
        })
        .collect()
    };
    let (base, extension) = name.rsplit_once('.').filter(|(base, _)| !base.is_empty()).unwrap_or((name, ""));
    let (base, extension) = (plain(base, 8), plain(extension, 3));
    let mut number = 0_u32;
    // This ends: a root has fewer slots than there are numbers.
    loop {
        number += 1;
        let tail = format!("~{number}");
        let kept = base.len().min(8 - tail.len());
        let mut alias = [b' '; 11];
        alias[..kept].copy_from_slice(&base[..kept]);
        alias[kept..kept + tail.len()].copy_from_slice(tail.as_bytes());
        alias[8..8 + extension.len()].copy_from_slice(&extension);
        if taken.insert(alias) {
            return alias;
        }
    }
}
