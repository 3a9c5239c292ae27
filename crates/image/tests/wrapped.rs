//! Compressed images, made by the usual programs and compared with what we read, and Google's archive.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::judge::{Random, converted, open, path_in, qemu_img, read_all};
use image::{Compression, Container, Error, Image, NewClusters, Source, UnwrapLimits, Wrapping};
use storage::{FileStorage, Memory, ReadAt};
use testkit::judge::judge as program;

const NO_LIMITS: UnwrapLimits = UnwrapLimits { size_bytes: 1 << 40, data_bytes: 1 << 40 };
const LEVEL: NewClusters = NewClusters::Compressed { level: 4 };

fn unwrap_to(file: &dyn ReadAt, limits: UnwrapLimits) -> Result<(Wrapping, File), Error> {
    let target = tempfile::tempfile().unwrap();
    let compression = image::compression_of(file)?.expect("the file is compressed");
    let wrapping = image::unwrap(file, compression, &target, limits, &|done, total| assert!(done <= total))?;
    Ok((wrapping, target))
}

fn unwrapped(bytes: &[u8]) -> Result<(Wrapping, Vec<u8>), String> {
    let memory = Memory::from(bytes.to_vec());
    let (wrapping, target) = unwrap_to(&memory, NO_LIMITS).map_err(|error| error.to_string())?;
    Ok((wrapping, read_all(&FileStorage::new(target).unwrap())))
}

/// What a program makes of a file.
fn compressed(command: &str, path: &Path) -> Vec<u8> {
    let (name, arguments) = command.split_once(' ').unwrap();
    program(name).args(arguments.split(' ')).arg(path).succeed().stdout_bytes
}

const COMMANDS: [(Compression, &str); 7] = [
    (Compression::Gzip, "gzip -c"),
    (Compression::Gzip, "gzip -1nc"),
    (Compression::Xz, "xz -0c"),
    (Compression::Xz, "xz -9c --check=sha256"),
    (Compression::Xz, "xz -0c --block-size=300000 --x86 --lzma2"),
    (Compression::Zstd, "zstd -qc"),
    (Compression::Zstd, "zstd -19qc --no-check"),
];

#[test]
fn what_programs_compress_comes_back_with_holes() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(201);
    for (compression, command) in COMMANDS {
        println!("{command} seed={:#x}", random.0);
        let size = (3 << 20) + 512 * random.below(3000) as usize;
        let mut disk = random.disk(size);
        disk[1 << 20..2 << 20].fill(0);
        let (path, _) = path_in(&folder, "disk.img");
        std::fs::write(&path, &disk).unwrap();
        let one = compressed(command, &path);
        let (wrapping, target) = unwrap_to(&Memory::from(one.clone()), NO_LIMITS).unwrap();
        assert_eq!(wrapping, Wrapping { compression, archive: false });
        assert!(target.metadata().unwrap().blocks() * 512 <= disk.len() as u64 - (1 << 20) + 4096);
        let image = Image::open(FileStorage::new(target).unwrap(), None).unwrap();
        assert!(read_all(&image) == disk);
        // Two members, streams or frames, one after the other.
        let (_, twice) = unwrapped(&[&one[..], &one[..]].concat()).unwrap();
        assert!(twice == [&disk[..], &disk[..]].concat());
    }
}

#[test]
fn a_file_that_is_cut_off_or_goes_on_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(202);
    let disk = random.disk(300_000);
    let (path, _) = path_in(&folder, "disk.img");
    std::fs::write(&path, &disk).unwrap();
    for (compression, command) in COMMANDS {
        let bytes = compressed(command, &path);
        let cuts = (8..40).chain((0..40).map(|_| 8 + random.below(bytes.len() as u64 - 8) as usize));
        for cut in cuts.chain(bytes.len() - 20..bytes.len()) {
            let said = unwrapped(&bytes[..cut]).unwrap_err();
            assert!(said.contains("the file ends inside the stream, file_size="), "{command} cut={cut}: {said}");
        }
        for garbage in [&b"garbage"[..], b"\x1f", b"\0\0\0\0\x01", b"\xfd7zXZ"] {
            let said = unwrapped(&[&bytes[..], garbage].concat()).unwrap_err();
            assert!(said.contains("other bytes follow at offset"), "{command}: {said}");
            assert!(said.contains(&compression.to_string()), "{said}");
        }
    }
    // "Stream Padding" belongs to xz.
    let padded = [&compressed("xz -c", &path)[..], &[0; 8]].concat();
    assert!(unwrapped(&padded).unwrap().1 == disk);
}

#[test]
fn bytes_flipped_anywhere_are_errors_or_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(203);
    let (path, _) = path_in(&folder, "disk.img");
    std::fs::write(&path, random.disk(100_000)).unwrap();
    for (_, command) in COMMANDS {
        let bytes = compressed(command, &path);
        for _ in 0..150 {
            println!("{command} seed={:#x}", random.0);
            let mut broken = bytes.clone();
            for _ in 0..=random.below(3) {
                let span = [64, bytes.len() as u64][random.below(2) as usize];
                broken[random.below(span) as usize] = random.next() as u8;
            }
            let memory = Memory::from(broken);
            if image::compression_of(&memory).unwrap().is_some() {
                let _ = unwrap_to(&memory, UnwrapLimits { size_bytes: 4 << 20, data_bytes: 4 << 20 });
            }
        }
    }
}

/// A GiB of zeros in a megabyte.
#[test]
fn a_bomb_ends_at_the_limit_that_the_error_says() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "zeros");
    File::create(&path).unwrap().set_len(32 << 20).unwrap();
    let limits = UnwrapLimits { size_bytes: 10 << 20, data_bytes: 1 << 40 };
    for command in ["gzip -c", "xz -0c", "zstd -qc"] {
        let bomb = Memory::from(compressed(command, &path));
        let error = unwrap_to(&bomb, limits).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit_bytes: 10_485_760, .. }));
        assert!(error.to_string().ends_with("holds more than 10485760 bytes, the limit"), "{error}");
    }
    // Zeros take no room, other bytes do.
    let data_limit = UnwrapLimits { size_bytes: 1 << 40, data_bytes: 1 << 20 };
    unwrap_to(&Memory::from(compressed("gzip -c", &path)), data_limit).unwrap();
    std::fs::write(&path, vec![7; 8 << 20]).unwrap();
    let error = unwrap_to(&Memory::from(compressed("gzip -c", &path)), data_limit).unwrap_err();
    assert_eq!(error.host_error().unwrap().kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn a_stream_that_needs_much_memory_is_refused_before_it_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "disk.img");
    std::fs::write(&path, Random(204).disk(1 << 20)).unwrap();
    let said = |command: &str| unwrapped(&compressed(command, &path)).unwrap_err();
    assert_eq!(
        said("xz -0c --lzma2=dict=128MiB"),
        "an xz file that takes more than 0x4000000 bytes of memory is not supported"
    );
    // The window of a stream of unknown length is what the level asks for.
    let disk = File::open(&path).unwrap();
    let stream = program("zstd").args(["-qc", "--ultra", "-22", "--long=28"]).stdin(disk).succeed().stdout_bytes;
    assert_eq!(
        unwrapped(&stream).unwrap_err(),
        "a zstd file that takes more than 0x4000000 bytes of memory is not supported"
    );
    // What `xz -9` makes is within it.
    assert!(unwrapped(&compressed("xz -9c", &path)).is_ok());
}

#[test]
fn archives_with_the_disk_are_read_in_every_format_of_tar() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Random(205).disk(3 << 20);
    // More parts than a header has, and a hole at the end.
    for part in 0..40 {
        disk[part * 65536 + 30_000..(part + 1) * 65536].fill(0);
    }
    disk[2 << 20..].fill(0);
    let (path, _) = path_in(&folder, "disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(disk.len() as u64).unwrap();
    for (at, unit) in disk.chunks(4096).enumerate().filter(|(_, unit)| unit.iter().any(|&byte| byte != 0)) {
        file.write_all_at(unit, at as u64 * 4096).unwrap();
    }
    let tar =
        |arguments: &str| program("tar").arg("-C").arg(folder.path()).args(arguments.split(' ')).succeed().stdout_bytes;
    for arguments in [
        "--format=oldgnu -czf - disk.raw",
        "--format=oldgnu -Sczf - disk.raw",
        "--format=gnu -Sczf - ./disk.raw",
        "--format=ustar -czf - disk.raw",
        "--format=posix -czf - disk.raw",
        "--format=v7 -czf - disk.raw",
        "--format=gnu -cJf - disk.raw",
        "--format=gnu --zstd -cf - disk.raw",
    ] {
        let bytes = tar(arguments);
        if arguments.contains("v7") {
            // Without a magic number, it is a disk as good as any.
            assert!(!unwrapped(&bytes).unwrap().0.archive);
            continue;
        }
        let (wrapping, read) = unwrapped(&bytes).map_err(|error| format!("{arguments}: {error}")).unwrap();
        assert!(wrapping.archive && read == disk, "{arguments}");
    }
    std::fs::write(folder.path().join("other"), "other").unwrap();
    let said = |arguments: &str| unwrapped(&tar(arguments)).unwrap_err();
    assert_eq!(
        said("-czf - disk.raw other"),
        "a tar archive with \"other\" and not only \"disk.raw\" is not supported"
    );
    assert!(said("--format=posix -Sczf - disk.raw").contains("GNU.sparse"));
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    assert_eq!(said("-czf - empty"), "a tar archive without \"disk.raw\" is not supported");
}

#[test]
fn an_archive_for_google_is_what_tar_and_qemu_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(206);
    let (raw_path, raw) = path_in(&folder, "disk.img");
    let size = (5 << 20) + 512 * random.below(3000) as usize;
    let disk = random.disk(size);
    std::fs::write(&raw_path, &disk).unwrap();
    // Its zeros are known here, and have to be looked for there.
    let (qcow2_path, qcow2) = path_in(&folder, "disk.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", &raw, &qcow2]);
    let container = Container::Gce { time: 1_700_000_000 };
    assert_eq!(container.disk_size_bytes(disk.len() as u64), 1 << 30);
    let (one_path, _) = path_in(&folder, "one.tar.gz");
    let (three_path, _) = path_in(&folder, "three.tar.gz");
    converted(&Source::image(&open(&raw_path)), &container, &one_path, (LEVEL, 1));
    converted(&Source::image(&open(&qcow2_path)), &container, &three_path, (LEVEL, 3));
    let bytes = std::fs::read(&one_path).unwrap();
    assert!(bytes == std::fs::read(&three_path).unwrap(), "threads, or where zeros come from, show");
    // Deflate cannot do more than a thousandth for zeros.
    assert!((bytes.len() as u64) < disk.len() as u64 + (2 << 20), "{}", bytes.len());
    assert_eq!(bytes[3..10], [0, 0, 0, 0, 0, 0, 255], "no name and no time");

    program("gzip").arg("-t").arg(&one_path).succeed();
    let listed = program("tar").args(["--utc", "--full-time", "-tvzf"]).arg(&one_path).succeed().stdout;
    assert_eq!(listed, "-rw-r--r-- root/root 1073741824 2023-11-14 22:13:20 disk.raw\n");
    program("tar").args(["-Sxzf"]).arg(&one_path).arg("-C").arg(folder.path()).succeed();
    let (_, unpacked) = path_in(&folder, "disk.raw");
    let said = qemu_img(&["compare", "-f", "raw", "-F", "raw", &unpacked, &raw]);
    assert!(said.contains("Images are identical."), "{said}");
    let (wrapping, target) = unwrap_to(&Memory::from(bytes), NO_LIMITS).unwrap();
    assert_eq!(wrapping.to_string(), "tar in gzip");
    let mut read = vec![1; disk.len() + 4096];
    target.read_exact_at(&mut read, 0).unwrap();
    assert!(read[..disk.len()] == disk && read[disk.len()..].iter().all(|&byte| byte == 0));
    assert_eq!(target.metadata().unwrap().len(), 1 << 30);
}

#[test]
fn what_is_compressed_twice_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "disk.img");
    std::fs::write(&path, Random(207).disk(100_000)).unwrap();
    std::fs::write(&path, compressed("xz -0c", &path)).unwrap();
    let (_, inner) = unwrapped(&compressed("gzip -c", &path)).unwrap();
    let said = Image::open(Memory::from(inner), None).unwrap_err().to_string();
    assert_eq!(said, "an xz file (an image may be inside) is not supported");
}
