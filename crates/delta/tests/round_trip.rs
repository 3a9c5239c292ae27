//! What is made is applied to the identical bytes, and is small where little changed.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{apply, make, noise};

/// A part of an image.
#[derive(Clone, Debug)]
enum Piece {
    OfBase { from: usize, length: usize },
    Noise { seed: u64, length: usize },
    Same { byte: u8, length: usize },
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => (0..300_000usize, 0..100_000usize).prop_map(|(from, length)| Piece::OfBase { from, length }),
        2 => (any::<u64>(), 0..3000usize).prop_map(|(seed, length)| Piece::Noise { seed, length }),
        1 => (prop_oneof![Just(0u8), any::<u8>()], 0..40_000usize).prop_map(|(byte, length)| Piece::Same { byte, length }),
    ]
}

fn image(base: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let mut image = Vec::new();
    for piece in pieces {
        match *piece {
            Piece::OfBase { from, length } => {
                let from = from.min(base.len());
                image.extend(&base[from..(from + length).min(base.len())]);
            }
            Piece::Noise { seed, length } => image.extend(noise(seed, length)),
            Piece::Same { byte, length } => image.resize(image.len() + length, byte),
        }
    }
    image
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_image_comes_back(base in vec(piece(), 0..6), pieces in vec(piece(), 0..8)) {
        let base = image(&noise(1, 300_000), &base);
        let image = image(&base, &pieces);
        let (delta, summary) = make(&base, &image);
        let of_all = summary.copied_bytes + summary.literal_bytes + summary.zero_bytes + summary.table_bytes;
        prop_assert_eq!(of_all, image.len() as u64);
        prop_assert!(apply(&base, &delta).unwrap() == image);
    }
}

#[test]
fn moved_runs_cost_nothing_and_a_change_costs_its_bytes() {
    let base = noise(1, 4 << 20);
    // 100 bytes of each 64 KiB change, and a shift of 3 bytes with each change.
    let mut image = Vec::new();
    for cluster in base.chunks(64 << 10) {
        image.extend(&cluster[..30_000]);
        image.extend(noise(image.len() as u64 + 7, 103));
        image.extend(&cluster[30_100..]);
    }
    let (delta, summary) = make(&base, &image);
    assert!(summary.literal_bytes <= 64 * 103, "{summary:?}");
    assert!(delta.len() < 64 * 103 + 64 * 16 + 200, "{}", delta.len());
    assert!(apply(&base, &delta).unwrap() == image);
}

#[test]
fn zeros_and_the_same_file_cost_next_to_nothing() {
    let base = noise(3, 3 << 20);
    for image in [base.clone(), vec![0; 5 << 20], Vec::new(), [vec![0; 1 << 20], base.clone(), vec![0; 4095]].concat()]
    {
        let (delta, summary) = make(&base, &image);
        assert!(summary.literal_bytes < 8192 && delta.len() < 300, "{summary:?}, {}", delta.len());
        assert!(apply(&base, &delta).unwrap() == image);
    }
    let (delta, _) = make(&[], &base);
    assert!(apply(&[], &delta).unwrap() == base);
}

/// A qcow2's header with an L1 table of one entry, its L2 table, and clusters that the entries point to.
fn qcow2(shift: u64, first: usize) -> Vec<u8> {
    let mut file = vec![0; 3 << 16];
    file[..4].copy_from_slice(b"QFI\xfb");
    file[20..24].copy_from_slice(&16u32.to_be_bytes());
    file[36..40].copy_from_slice(&1u32.to_be_bytes());
    file[40..48].copy_from_slice(&(1u64 << 16).to_be_bytes());
    file[1 << 16..][..8].copy_from_slice(&(1u64 << 63 | 2 << 16).to_be_bytes());
    let mut offset = 3 << 16;
    for (entry, length) in noise(5, 8192).into_iter().enumerate() {
        let moved = if entry >= first { shift } else { 0 };
        file[(2 << 16) + entry * 8..][..8].copy_from_slice(&(1u64 << 62 | (offset + moved)).to_be_bytes());
        offset += 20_000 + u64::from(length);
    }
    file
}

#[test]
fn tables_of_moved_clusters_cost_next_to_nothing() {
    let (base, image) = (qcow2(0, 0), qcow2(12_345, 4000));
    let (delta, summary) = make(&base, &image);
    assert_eq!(summary.table_bytes, 65_536);
    assert!(delta.len() < 400, "{}", delta.len());
    assert!(apply(&base, &delta).unwrap() == image);
}

#[test]
fn headers_that_lie_about_tables_do_no_harm() {
    let sound = qcow2(0, 0);
    for (at, value) in [(20, 21), (20, 9), (36, u32::MAX), (40, u32::MAX), (44, 3 << 16), (44, 0), (1 << 16, u32::MAX)]
    {
        let mut lying = sound.clone();
        lying[at..at + 4].copy_from_slice(&value.to_be_bytes());
        for (base, image) in [(&sound, &lying), (&lying, &sound), (&lying, &lying)] {
            assert!(apply(base, &make(base, image).0).unwrap() == *image, "{at}");
        }
    }
    // All tables at the same place.
    let mut lying = sound;
    for entry in 0..8192 {
        lying[(1 << 16) + entry * 8..][..8].copy_from_slice(&(1u64 << 16).to_be_bytes());
    }
    lying[36..40].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(apply(&lying, &make(&lying, &lying).0).unwrap() == lying);
}

#[test]
fn bases_of_one_byte_over_and_over_are_no_trouble() {
    for period in [1, 64, 1000] {
        let base: Vec<u8> = noise(period as u64, period).into_iter().cycle().take(4 << 20).collect();
        let image = [&base[1..], &noise(9, 100), &base[..1 << 19]].concat();
        let (delta, _) = make(&base, &image);
        assert!(delta.len() < 10_000, "{period}: {}", delta.len());
        assert!(apply(&base, &delta).unwrap() == image);
    }
}
