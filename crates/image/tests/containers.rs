//! VMDK and VHD: `qemu-img` judges what we read and write.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use crate::judge::{Random, assert_reads_as, converted, edited, open, path_in, qemu_img, read_all, written};
use image::{Container, Format, Image, NewClusters, Source};
use storage::{Memory, Overlay, ReadAt, WriteAt};

/// What QEMU calls a format.
fn qemu_name(format: Format) -> String {
    match format {
        Format::Vhd => "vpc".to_owned(),
        other => other.to_string(),
    }
}

/// Makes an image of `disk` with qemu-img, in a container with these options.
fn qemu_made(folder: &tempfile::TempDir, disk: &[u8], format: &str, options: &str) -> std::path::PathBuf {
    let (raw_path, raw) = path_in(folder, "base.raw");
    std::fs::write(&raw_path, disk).unwrap();
    let (base_path, base) = path_in(folder, "base.img");
    qemu_img(&["convert", "-f", "raw", "-O", format, "-o", options, &raw, &base]);
    base_path
}

/// qemu-img finds the same disk in the new file, of the same size, and nothing wrong.
fn assert_qemu_agrees(folder: &tempfile::TempDir, new_path: &Path, format: Format, expected: &[u8]) {
    let (raw_path, raw) = path_in(folder, "expected.raw");
    std::fs::write(&raw_path, expected).unwrap();
    let (name, new) = (qemu_name(format), new_path.to_str().unwrap());
    let said = qemu_img(&["compare", "-f", &name, "-F", "raw", new, &raw]);
    assert_eq!(said, "Images are identical.\n");
    if format == Format::Vmdk {
        let said = qemu_img(&["check", "-f", "vmdk", new]);
        assert!(said.contains("No errors were found"), "{said}");
    }
}

/// Opens the image, edits it and writes it anew; qemu-img judges.
fn round(folder: &tempfile::TempDir, base_path: &Path, disk: &[u8], random: &mut Random) -> image::Written {
    let base = Arc::new(open(base_path));
    let format = base.info().format;
    assert_reads_as(&base, disk, random);
    assert_eq!(base.check().unwrap(), vec![]);
    let mut expected = disk.to_vec();
    let overlay = edited(&base, &mut expected, random);
    let level = NewClusters::Compressed { level: random.below(10) as u32 };
    let (one_path, _) = path_in(folder, "one.img");
    let (three_path, _) = path_in(folder, "three.img");
    let counts = written(&base, &overlay, &overlay.changed(), &one_path, (level, 1));
    assert_eq!(counts, written(&base, &overlay, &overlay.changed(), &three_path, (level, 3)));
    assert!(std::fs::read(&one_path).unwrap() == std::fs::read(&three_path).unwrap(), "threads show");
    let new = open(&one_path);
    assert_eq!(new.info().format, format);
    assert_reads_as(&new, &expected, random);
    assert_eq!(new.check().unwrap(), vec![]);
    assert_qemu_agrees(folder, &one_path, format, &expected);
    counts
}

/// Sizes that are no multiples of a grain, a table or a MiB.
fn sizes(random: &mut Random) -> Vec<usize> {
    let odd = |random: &mut Random, bytes: usize| bytes + 512 * random.below(3000) as usize;
    vec![512, 64 << 10, odd(random, 3 << 20), odd(random, 34 << 20)]
}

#[test]
fn vmdk_streams_and_sparse_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(101);
    for options in ["subformat=streamOptimized", "subformat=monolithicSparse", "subformat=streamOptimized,compat6=on"] {
        for size in sizes(&mut random) {
            println!("{options} size={size} seed={:#x}", random.0);
            let disk = random.disk(size);
            let base = qemu_made(&folder, &disk, "vmdk", options);
            let info = open(&base).info().vmdk.unwrap();
            assert!(options.contains(&info.create_type), "{}", info.create_type);
            let counts = round(&folder, &base, &disk, &mut random);
            assert!(info.create_type == "monolithicSparse" || size < 1 << 20 || counts.clusters_kept > 0);
        }
    }
}

/// A stream of ours is the base of another, whose grains are kept, and has its directory at the end.
#[test]
fn a_vmdk_stream_without_changes_is_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(102);
    let disk = random.disk((34 << 20) + 512);
    let base = Arc::new(open(&qemu_made(&folder, &disk, "vmdk", "subformat=streamOptimized")));
    let everything = std::slice::from_ref(&(0..base.size_bytes())).to_vec();
    let (first_path, first) = path_in(&folder, "first.vmdk");
    let counts = written(&base, &base, &everything, &first_path, (NewClusters::Compressed { level: 3 }, 2));
    assert_eq!(counts.clusters_kept, 0);
    assert_qemu_agrees(&folder, &first_path, Format::Vmdk, &disk);
    let (second_path, _) = path_in(&folder, "second.vmdk");
    let kept = written(&open(&first_path), &open(&first_path), &[], &second_path, (NewClusters::Plain, 2));
    assert_eq!((kept.clusters_kept, kept.clusters_compressed), (counts.clusters_compressed, 0));
    assert!(std::fs::read(&first_path).unwrap() == std::fs::read(&second_path).unwrap());
    let said = qemu_img(&["info", &first]);
    assert!(said.contains("create type: streamOptimized") && said.contains("cluster_size: 65536"), "{said}");
    // Another disk is another content.
    let cid = |text: &str| text.lines().find(|line| line.trim().starts_with("cid:")).unwrap().to_owned();
    let overlay = Overlay::new(Arc::clone(&base), 1 << 20, Box::new(tempfile::tempfile));
    overlay.write_at(5 << 20, b"graft").unwrap();
    let (other_path, other) = path_in(&folder, "other.vmdk");
    written(&base, &overlay, &overlay.changed(), &other_path, (NewClusters::Plain, 2));
    assert_ne!(cid(&said), cid(&qemu_img(&["info", &other])));
}

#[test]
fn a_vmdk_of_zeros_has_no_grains_and_a_large_one_costs_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "empty.vmdk");
    for size in ["1M", "2T"] {
        qemu_img(&["create", "-f", "vmdk", "-o", "subformat=streamOptimized", &image, size]);
        let base = open(&path);
        let (new_path, new) = path_in(&folder, "new.vmdk");
        let counts = written(&base, &base, &[], &new_path, (NewClusters::Plain, 2));
        assert_eq!((counts.clusters_kept, counts.clusters_compressed), (0, 0));
        assert!(counts.file_size_bytes < 512 << 10, "{}", counts.file_size_bytes);
        qemu_img(&["check", "-f", "vmdk", &new]);
        assert_eq!(open(&new_path).size_bytes(), base.size_bytes());
        let extent = open(&new_path).extent_at(0).unwrap();
        assert_eq!((extent.kind, extent.length_bytes), (storage::ExtentKind::Zero, base.size_bytes()));
    }
}

#[test]
fn vhd_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(103);
    for options in ["subformat=fixed,force_size=on", "subformat=fixed"] {
        for size in sizes(&mut random) {
            println!("{options} size={size} seed={:#x}", random.0);
            let mut disk = random.disk(size);
            let base = qemu_made(&folder, &disk, "vpc", options);
            // Without force_size, QEMU makes the disk as large as a geometry.
            assert!(open(&base).size_bytes() >= size as u64);
            disk.resize(open(&base).size_bytes() as usize, 0);
            round(&folder, &base, &disk, &mut random);
        }
    }
}

/// Every kind of image becomes a VMDK and a VHD, and each of these becomes the others.
#[test]
fn conversions_between_containers() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(104);
    let level = NewClusters::Compressed { level: 3 };
    for (format, options) in [("qcow2", "cluster_size=64k"), ("vmdk", "subformat=streamOptimized"), ("raw", "")] {
        for size in sizes(&mut random) {
            println!("{format} size={size} seed={:#x}", random.0);
            let mut disk = random.disk(size);
            let base_path = match format {
                "raw" => {
                    let (raw_path, _) = path_in(&folder, "disk.raw");
                    std::fs::write(&raw_path, &disk).unwrap();
                    raw_path
                }
                _ => qemu_made(&folder, &disk, format, options),
            };
            let base = open(&base_path);
            for container in [Container::Vmdk, Container::Vhd { time: 1_700_000_000 }] {
                let (new_path, _) = path_in(&folder, "new.img");
                let (again_path, _) = path_in(&folder, "again.img");
                converted(&Source::image(&base), &container, &new_path, (level, 1));
                converted(&Source::disk(&base), &container, &again_path, (level, 3));
                let is_kept = container == Container::Vmdk && format == "vmdk";
                assert!(is_kept || std::fs::read(&new_path).unwrap() == std::fs::read(&again_path).unwrap());
                disk.resize(container.disk_size_bytes(size as u64) as usize, 0);
                let new = open(&new_path);
                assert_reads_as(&new, &disk, &mut random);
                assert_qemu_agrees(&folder, &new_path, new.info().format, &disk);
                assert!(new.info().format != Format::Vhd || disk.len().is_multiple_of(1 << 20));
            }
        }
    }
}

#[test]
fn a_vhd_is_sparse_on_the_host_and_its_uuid_is_its_contents() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "base.vhd");
    qemu_img(&["create", "-f", "vpc", "-o", "subformat=fixed,force_size=on", &image, "64M"]);
    let base = Arc::new(open(&path));
    let (new_path, new) = path_in(&folder, "new.vhd");
    let mut uuids = Vec::new();
    for place in [0, 40 << 20, 40 << 20] {
        let overlay = Overlay::new(Arc::clone(&base), 1 << 20, Box::new(tempfile::tempfile));
        overlay.write_at(place, b"graft").unwrap();
        written(&base, &overlay, &overlay.changed(), &new_path, (NewClusters::Plain, 1));
        assert!(std::fs::metadata(&new_path).unwrap().blocks() * 512 < 1 << 20);
        assert!(read_all(&open(&new_path)) == read_all(&overlay));
        uuids.push(open(&new_path).info().vhd.unwrap().uuid);
        let said = qemu_img(&["info", "-f", "vpc", &new]);
        assert!(said.contains("(67108864 bytes)"), "{said}");
    }
    assert!(uuids[0] != uuids[1] && uuids[1] == uuids[2], "{uuids:?}");
}

fn refused(bytes: Vec<u8>) -> String {
    Image::open(Memory::from(bytes), None).unwrap_err().to_string()
}

#[test]
fn kinds_of_vmdk_and_vhd_that_are_not_read_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.vmdk");
    for kind in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        qemu_img(&["create", "-f", "vmdk", "-o", &format!("subformat={kind}"), &image, "4M"]);
        assert_eq!(
            refused(std::fs::read(&path).unwrap()),
            format!("a VMDK image of createType={kind:?}, whose disk is in other files, is not supported")
        );
    }
    let (extent, _) = path_in(&folder, "image-s001.vmdk");
    let said = refused(std::fs::read(extent).unwrap());
    assert!(said.starts_with("a VMDK extent without a descriptor, one of several files of a disk,"), "{said}");

    let (base_path, base) = path_in(&folder, "base.vmdk");
    qemu_img(&["create", "-f", "vmdk", &base, "4M"]);
    assert_eq!(open(&base_path).info().vmdk.unwrap().create_type, "monolithicSparse");
    qemu_img(&["create", "-f", "vmdk", "-b", &base, "-F", "vmdk", &image]);
    let said = refused(std::fs::read(&path).unwrap());
    assert!(said.contains(&format!("the image needs backing_file={base:?}")), "{said}");

    let (path, image) = path_in(&folder, "image.vhd");
    qemu_img(&["create", "-f", "vpc", "-o", "subformat=dynamic", &image, "4M"]);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(refused(bytes.clone()), "a dynamic VHD image is not supported");
    let mut differencing = bytes;
    let footer = differencing.len() - 512;
    differencing[footer + 63] = 4;
    differencing[footer + 67] -= 1;
    assert_eq!(refused(differencing), "a differencing VHD image is not supported");

    for format in ["vhdx", "vdi"] {
        qemu_img(&["create", "-f", format, &image, "4M"]);
        let name = format!("a {} image", format.to_uppercase());
        assert_eq!(refused(std::fs::read(&path).unwrap()), format!("{name} is not supported"));
    }
}

#[test]
fn what_is_wrong_with_a_vmdk_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let disk = vec![7; 70 << 20];
    let (path, _) = path_in(&folder, "broken.vmdk");
    let found = |kind: &str, at: Option<u64>, bytes: &[u8]| {
        let base = qemu_made(&folder, &disk, "vmdk", &format!("subformat={kind}"));
        std::fs::copy(&base, &path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let word = |at: u64| {
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, at).unwrap();
            u64::from(u32::from_le_bytes(bytes))
        };
        // Where the directory, the first table and the first grain are.
        let directory = word(56) * 512;
        let table = word(directory) * 512;
        let grain = word(table) * 512;
        let at = at.map_or(72, |place| [directory + 4, table, grain, grain + 20][place as usize]);
        let copied = word(directory).to_le_bytes();
        let bytes = if bytes.is_empty() { &copied[..4] } else { bytes };
        file.write_all_at(bytes, at).unwrap();
        let findings: Vec<String> = open(&path).check().unwrap().iter().map(ToString::to_string).collect();
        findings.join("\n")
    };
    assert_eq!(found("streamOptimized", None, &[1]), "VMDK header: uncleanShutdown is set: the disk is or was in use");
    let twice = found("streamOptimized", Some(0), &[]);
    assert!(twice.contains("VMDK grain table 0: sector=") && twice.contains("is shared with another table"), "{twice}");
    let outside = found("streamOptimized", Some(1), &0x7000_0000_u32.to_le_bytes());
    let starts = |text: &str, end: u64, grain: &str| {
        let size = path.metadata().unwrap().len();
        let first =
            format!("VMDK file: the file ends at {size} of {end} bytes: it was cut off, or 1 reference is wrong\n");
        assert!(text.starts_with(&first), "{text}");
        assert_eq!(text[first.len()..], format!("{grain} is not inside the file, file_size={size:#x}"));
    };
    starts(&outside, 0xe0_0000_000c, "VMDK grain at guest offset 0x0: 0xe000000000..0xe00000000c");
    let outside = found("monolithicSparse", Some(1), &0x7000_0000_u32.to_le_bytes());
    starts(&outside, 0xe0_0001_0000, "VMDK grain at guest offset 0x0: 0xe000000000..0xe000010000");
    let other = found("streamOptimized", Some(2), &[9]);
    assert!(other.contains("lba=0x9, expected 0x0"), "{other}");
    let stream = found("streamOptimized", Some(3), &[0xff; 8]);
    assert!(stream.contains("not a valid zlib stream"), "{stream}");
}

/// The whole disk, or the error.
fn read_or_said(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let image = Image::open(Memory::from(bytes.to_vec()), None).map_err(|error| error.to_string())?;
    let mut disk = vec![0; image.size_bytes() as usize];
    image.read_at(0, &mut disk).map_err(|error| std::error::Error::source(&error).unwrap().to_string())?;
    Ok(disk)
}

#[test]
fn a_vmdk_cut_anywhere_is_never_read_wrongly() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(105);
    let disk = random.disk(300_032);
    let stream = std::fs::read(qemu_made(&folder, &disk, "vmdk", "subformat=streamOptimized")).unwrap();
    let sparse = std::fs::read(qemu_made(&folder, &disk, "vmdk", "subformat=monolithicSparse")).unwrap();
    let (own_path, _) = path_in(&folder, "own.vmdk");
    let memory = Memory::from(disk.clone());
    converted(&Source::disk(&memory), &Container::Vmdk, &own_path, (NewClusters::Compressed { level: 3 }, 1));
    for bytes in [stream, sparse, std::fs::read(own_path).unwrap()] {
        assert!(read_or_said(&bytes).unwrap() == disk);
        let sectors = (0..bytes.len()).step_by(512);
        for cut in sectors.chain((0..60).map(|_| random.below(bytes.len() as u64) as usize)) {
            match read_or_said(&bytes[..cut]) {
                Ok(read) => assert!(read == disk, "cut at {cut:#x}: read other bytes"),
                Err(said) => {
                    let cut_off = format!("the file ends at {cut} of ");
                    let known = [cut_off.as_str(), "corrupt VMDK ", "not a disk image"];
                    assert!(known.iter().any(|start| said.starts_with(start)), "{said}");
                }
            }
        }
    }
}

/// Missing grains are counted. Only a stream whose tables come last does not tell how long it was.
#[test]
fn a_vmdk_that_was_cut_off_says_so_first_and_not_a_thousand_times() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Random(107).disk(100 << 20);
    for kind in ["streamOptimized", "monolithicSparse"] {
        let bytes = std::fs::read(qemu_made(&folder, &disk, "vmdk", &format!("subformat={kind}"))).unwrap();
        let cut = bytes.len() / 3 * 2;
        let image = Image::open(Memory::from(bytes[..cut].to_vec()), None).unwrap();
        let found: Vec<String> = image.check().unwrap().iter().map(ToString::to_string).collect();
        assert!(found[0].starts_with(&format!("VMDK file: the file ends at {cut} of ")), "{}", found[0]);
        let end: usize = found[0].split_ascii_whitespace().nth(8).unwrap().parse().unwrap();
        assert!(end > cut && end <= bytes.len(), "{}, of {} bytes", found[0], bytes.len());
        assert_eq!(found.len(), 11, "{found:?}");
    }
    let (own_path, _) = path_in(&folder, "own.vmdk");
    let memory = Memory::from(disk);
    converted(&Source::disk(&memory), &Container::Vmdk, &own_path, (NewClusters::Compressed { level: 1 }, 2));
    let bytes = std::fs::read(own_path).unwrap();
    let cut = bytes.len() / 2;
    let said = refused(bytes[..cut].to_vec());
    let expected = format!("corrupt VMDK footer: the file ends at {cut} bytes without a footer: it was cut off");
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn the_header_of_a_vmdk_and_the_footer_of_a_vhd_are_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Random(106).disk(1 << 20);
    let vmdk = std::fs::read(qemu_made(&folder, &disk, "vmdk", "subformat=streamOptimized")).unwrap();
    let vhd = std::fs::read(qemu_made(&folder, &disk, "vpc", "subformat=fixed,force_size=on")).unwrap();
    let said_with = |at: usize, value: &[u8]| {
        let mut bytes = vmdk.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        read_or_said(&bytes).unwrap_err()
    };
    assert_eq!(said_with(4, &[4]), "a VMDK image of version=4 is not supported");
    assert_eq!(said_with(11, &[1]), "a VMDK image with flags=0x1000000 is not supported");
    assert_eq!(said_with(12, &[0xff; 8]), "a VMDK image of capacity=18446744073709551615 sectors is not supported");
    let said = said_with(16, &[16]);
    assert!(said.starts_with(&format!("the file ends at {} of ", vmdk.len())), "{said}");
    assert!(said.contains("(VMDK grain directory: offset="), "{said}");
    assert_eq!(said_with(20, &[3]), "corrupt VMDK header: grainSize=3 sectors, expected a power of two from 8 to 4096");
    assert_eq!(said_with(44, &[1, 2, 0, 0]), "corrupt VMDK header: numGTEsPerGT=513, expected 1 to 512");
    assert!(said_with(39, &[1]).starts_with("corrupt VMDK descriptor: length=0x200"));
    assert!(said_with(56, &[0xff; 8]).contains("(no marker of type 3 at "));
    assert!(said_with(74, b"\r").starts_with("corrupt VMDK header: its newlines were changed"));
    assert_eq!(said_with(77, &[2]), "a VMDK image with compressAlgorithm=2 is not supported");

    let said_with = |at: usize, value: u8| {
        let mut bytes = vhd.clone();
        let footer = bytes.len() - 512;
        let sum = u32::from_be_bytes(bytes[footer + 64..footer + 68].try_into().unwrap());
        let sum = sum + u32::from(bytes[footer + at]) - u32::from(value);
        bytes[footer + at] = value;
        bytes[footer + 64..footer + 68].copy_from_slice(&sum.to_be_bytes());
        read_or_said(&bytes).unwrap_err()
    };
    assert_eq!(
        said_with(48, 1),
        "the file ends at 1049088 of 72057594038976512 bytes: it was cut off, or a place is wrong (VHD disk: \
         offset=0x0 length=0x100000000100000)"
    );
    assert_eq!(
        said_with(53, 8),
        "corrupt VHD footer: current_size=0x80000, expected 0x100000, the bytes before the footer"
    );
    assert_eq!(said_with(13, 2), "a VHD image of version=0x20000 is not supported");
    assert_eq!(said_with(63, 9), "corrupt VHD footer: disk_type=9, expected 2");
    assert_eq!(said_with(84, 1), "a VHD image of a suspended virtual machine is not supported");
    let mut bytes = vhd.clone();
    let checksum = bytes.len() - 512 + 67;
    bytes[checksum] ^= 1;
    assert!(read_or_said(&bytes).unwrap_err().starts_with("corrupt VHD footer: checksum="));
}
