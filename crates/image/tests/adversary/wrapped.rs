//! Archives in compressed files: floods of headers.

use std::io::Write;

use image::{Compression, UnwrapLimits};
use storage::Memory;

use crate::within_limit;

/// The header of a directory, as `ustar` has it.
fn directory() -> [u8; 512] {
    let mut header = [0; 512];
    header[..2].copy_from_slice(b"a/");
    header[148..156].fill(b' ');
    header[156] = b'5';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn said_of(headers: usize) -> String {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..headers).for_each(|_| encoder.write_all(&directory()).unwrap());
    encoder.write_all(&[0; 1024]).unwrap();
    let file = Memory::from(encoder.finish().unwrap());
    let limits = UnwrapLimits { size_bytes: 1 << 40, data_bytes: 1 << 30 };
    let target = tempfile::tempfile().unwrap();
    within_limit(|| image::unwrap(&file, Compression::Gzip, &target, limits, &|_, _| ())).unwrap_err().to_string()
}

#[test]
fn an_archive_has_a_limited_number_of_headers() {
    assert_eq!(said_of(1024), "a tar archive without \"disk.raw\" is not supported");
    for headers in [1025, 200_000] {
        assert_eq!(said_of(headers), "a tar archive with more than 1024 headers is not supported");
    }
}
