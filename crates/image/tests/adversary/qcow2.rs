//! qcow2: snapshots that share an L1 table, and entries that share a stream or a cluster.

use std::io::Write;

use image::Image;
use storage::Memory;

use crate::{not_converted, within_limit};

/// A header of version 3. The refcount table is in the second cluster, the L1 table at the given place.
fn header(cluster_bits: u32, size: u64, l1: (u64, u32), snapshots: (u64, u32)) -> Vec<u8> {
    let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
    bytes.extend([0; 12]);
    bytes.extend(cluster_bits.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(l1.1.to_be_bytes());
    bytes.extend(l1.0.to_be_bytes());
    bytes.extend((1u64 << cluster_bits).to_be_bytes());
    bytes.extend(1u32.to_be_bytes());
    bytes.extend(snapshots.1.to_be_bytes());
    bytes.extend(snapshots.0.to_be_bytes());
    bytes.extend([0; 24]);
    bytes.extend(4u32.to_be_bytes());
    bytes.extend(104u32.to_be_bytes());
    bytes
}

fn findings(bytes: Vec<u8>) -> Vec<String> {
    let image = Image::open(Memory::from(bytes), None).unwrap();
    within_limit(|| image.check().unwrap()).iter().map(ToString::to_string).collect()
}

/// 65,536 tables of 65,536 clusters each, all of them the same.
#[test]
fn snapshots_that_share_the_largest_l1_table_are_counted_a_limited_number_of_times() {
    const TABLE: u64 = 32 << 20;
    let (cluster, snapshots) = (512u64, 65536u32);
    let (shared, entries) = (4 * cluster, snapshots);
    let list = shared + TABLE;
    let mut bytes = header(9, 0, (2 * cluster, 0), (list, snapshots));
    bytes.resize(list as usize, 0);
    for _ in 0..entries {
        bytes.extend(shared.to_be_bytes());
        bytes.extend(((TABLE / 8) as u32).to_be_bytes());
        bytes.extend([0; 28]);
    }
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    let found = findings(bytes);
    let expected =
        "l1 table (snapshot 1): an l1 table overlaps an l1 table in the host cluster at 0x800 and in 65535 more";
    assert_eq!(found.iter().filter(|finding| *finding == expected).count(), 1, "{:?}", &found[..3]);
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An L2 table of 262,144 entries for clusters of 2 MiB, which all have the same stream: 512 GiB.
#[test]
fn entries_that_share_a_stream_decompress_it_a_limited_number_of_times() {
    let cluster = 2u64 << 20;
    let entries = cluster / 8;
    let (l1, l2, stream) = (2 * cluster, 3 * cluster, 4 * cluster);
    let mut bytes = header(21, entries * cluster, (l1, 1), (0, 0));
    bytes.resize(l1 as usize, 0);
    bytes.extend(l2.to_be_bytes());
    bytes.resize(l2 as usize, 0);
    let packed = deflated(&vec![7; cluster as usize]);
    let sectors = (packed.len() as u64).div_ceil(512) - 1;
    let entry = 1u64 << 62 | sectors << (62 - 13) | stream;
    bytes.extend(entry.to_be_bytes().repeat(entries as usize));
    bytes.extend(&packed);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    let found = findings(bytes);
    assert!(found.iter().all(|finding| !finding.contains("the stream at")), "{found:?}");
    assert!(found.iter().any(|finding| finding.contains("refcount=0, expected 262144 (too low)")), "{found:?}");
}

/// Eight L2 tables for clusters of 2 MiB, whose entries are all the same: 4 TiB in 24 MiB.
fn tables_of(entry: u64, data: &[u8]) -> Vec<u8> {
    let cluster = 2u64 << 20;
    let entries = cluster / 8;
    let mut bytes = header(21, 8 * entries * cluster, (2 * cluster, 8), (0, 0));
    bytes.resize(2 * cluster as usize, 0);
    bytes.extend((3..11).flat_map(|table| (table * cluster).to_be_bytes()));
    bytes.resize(3 * cluster as usize, 0);
    bytes.extend(entry.to_be_bytes().repeat(8 * entries as usize));
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn entries_that_share_a_cluster_or_a_stream_are_not_converted_for_as_long_as_their_disk_is_large() {
    let (cluster, place) = (2u64 << 20, 22u64 << 20);
    let said = not_converted(tables_of(1 << 63 | place, &vec![0; cluster as usize]));
    assert!(said.starts_with("corrupt qcow2 image: its tables claim 549755813888 bytes of data"), "{said}");
    let packed = deflated(&vec![0; cluster as usize]);
    let sectors = (packed.len() as u64).div_ceil(512) - 1;
    let said = not_converted(tables_of(1 << 62 | sectors << (62 - 13) | place, &packed));
    assert!(said.starts_with("corrupt qcow2 image: its tables claim 549755813888 bytes of data"), "{said}");
}
