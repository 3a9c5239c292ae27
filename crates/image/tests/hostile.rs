//! Images that are cut, broken by hand or broken at random, and images that are refused.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where a step fails, and says its seed")]

use crate::judge;
use std::path::Path;

use crate::judge::{Random, open, path_in, qemu_img, qemu_img_says, read_all, written};
use image::{Error, Image, NewClusters};
use storage::{Memory, ReadAt};

const CLUSTER: u64 = 4096;

/// An image of a disk of some hundred clusters, half of it compressed, and the disk.
fn sample(options: &str, flags: &[&str], seed: u64) -> (Vec<u8>, Vec<u8>) {
    sample_of(1 << 20, options, flags, seed)
}

/// As `sample`, of a disk of `size` bytes: an L2 table is for 2 MiB.
fn sample_of(size: usize, options: &str, flags: &[&str], seed: u64) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Random(seed).disk(size);
    let (raw_path, raw) = path_in(&folder, "disk.raw");
    let (path, qcow2) = path_in(&folder, "disk.qcow2");
    std::fs::write(raw_path, &disk).unwrap();
    let options = format!("cluster_size={CLUSTER}{options}");
    qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2", "-o", &options][..], flags, &[&raw, &qcow2]].concat());
    (std::fs::read(path).unwrap(), disk)
}

fn open_bytes(bytes: &[u8]) -> Result<Image, Error> {
    Image::open(Memory::from(bytes.to_vec()), None)
}

fn number(bytes: &[u8], at: u64) -> u64 {
    u64::from_be_bytes(bytes[at as usize..][..8].try_into().unwrap())
}

fn set(bytes: &mut [u8], at: u64, value: u64) {
    bytes[at as usize..][..8].copy_from_slice(&value.to_be_bytes());
}

fn offset_in(entry: u64) -> u64 {
    entry & 0x00ff_ffff_ffff_fe00
}

/// Where the L2 entry of the first cluster that satisfies `wanted` is, and the cluster.
fn entry_where(bytes: &[u8], wanted: impl Fn(u64) -> bool) -> (u64, u64) {
    let (l1, l1_entries) = (number(bytes, 40), number(bytes, 32) & 0xffff_ffff);
    for index in 0..l1_entries {
        let table = offset_in(number(bytes, l1 + index * 8));
        let entries = CLUSTER / 8;
        let found = (0..entries).find(|entry| table != 0 && wanted(number(bytes, table + entry * 8)));
        if let Some(entry) = found {
            return (table + entry * 8, index * entries + entry);
        }
    }
    panic!("the sample has such a cluster");
}

fn is_plain(entry: u64) -> bool {
    entry >> 62 == 0b10
}

fn is_compressed(entry: u64) -> bool {
    entry >> 62 & 1 == 1
}

/// The image's own error of a read that failed.
fn cause(error: storage::Error) -> String {
    std::error::Error::source(&error).unwrap().to_string()
}

/// Everything that can be asked of an image; the disk where all of it can be read.
fn ask_everything(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let image = open_bytes(bytes).map_err(|error| error.to_string())?;
    let _ = image.info();
    let findings = image.check().map_err(|error| error.to_string())?;
    assert!(findings.len() <= 1001);
    let target = tempfile::tempfile().unwrap();
    let options = image::WriteOptions {
        new_clusters: NewClusters::Compressed { level: 1 },
        threads: std::num::NonZeroUsize::MIN,
    };
    let end = image.size_bytes().min(10_000);
    let _ = image::write(&image, &image, std::slice::from_ref(&(end / 2..end)), &target, &options, &|_, _| ());
    // A broken size may stand for terabytes, whose extents are few.
    let mut disk = Vec::new();
    let mut at = 0;
    for _ in 0..2000 {
        if at >= image.size_bytes() {
            break;
        }
        let extent = image.extent_at(at).map_err(cause)?;
        assert!(extent.length_bytes > 0 && extent.length_bytes <= image.size_bytes() - at);
        let mut part = vec![0; extent.length_bytes.min(8 << 20) as usize];
        image.read_at(at, &mut part).map_err(cause)?;
        if disk.len() < 16 << 20 {
            disk.extend_from_slice(&part);
        }
        at += extent.length_bytes;
    }
    Ok(disk)
}

#[test]
fn a_file_cut_anywhere_is_never_read_wrongly() {
    for (options, flags) in [("", &[][..]), ("", &["-c"][..]), (",compression_type=zstd", &["-c"][..])] {
        let (bytes, disk) = sample(options, flags, 11);
        let mut random = Random(12);
        let edges = (0..bytes.len() as u64 / CLUSTER).step_by(3).map(|cluster| cluster * CLUSTER);
        let cuts: Vec<u64> = edges.chain((0..60).map(|_| random.below(bytes.len() as u64))).chain(0..130).collect();
        for cut in cuts {
            match ask_everything(&bytes[..cut as usize]) {
                Ok(read) => assert!(read == disk, "cut at {cut:#x}: read other bytes"),
                Err(text) => {
                    let says_where = text.starts_with(&format!("the file ends at {cut} of "));
                    assert!(
                        says_where || text.starts_with("not a disk image") || text.starts_with("corrupt "),
                        "{text}"
                    );
                }
            }
        }
    }
}

#[test]
fn bits_flipped_anywhere_are_errors_or_other_bytes() {
    for (options, flags, seed) in [("", &["-c"][..], 21), (",compat=0.10", &[][..], 22)] {
        let (bytes, _) = sample(options, flags, seed);
        let mut random = Random(seed);
        let tables: Vec<u64> =
            vec![0, number(&bytes, 40), number(&bytes, 48), offset_in(number(&bytes, number(&bytes, 40)))];
        for _ in 0..1000 {
            println!("seed={:#x}", random.0);
            let mut broken = bytes.clone();
            for _ in 0..=random.below(3) {
                let span = [112, CLUSTER][random.below(2) as usize];
                let at = tables[random.below(tables.len() as u64) as usize] + random.below(span);
                match random.below(3) {
                    0 => broken[at as usize] ^= 1 << random.below(8),
                    1 => broken[at as usize] = random.next() as u8,
                    _ => broken[at as usize] = 0xff,
                }
            }
            let _ = ask_everything(&broken);
        }
    }
}

#[test]
fn an_entry_that_points_outside_is_named_with_the_file_size() {
    let (mut bytes, _) = sample("", &[], 31);
    let (at, cluster) = entry_where(&bytes, is_plain);
    set(&mut bytes, at, 1 << 63 | 0x7000_0000);
    let image = open_bytes(&bytes).unwrap();
    let error = image.read_at(cluster * CLUSTER, &mut [0; 512]).unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        format!(
            "the file ends at {} of 1879048704 bytes: it was cut off, or a place is wrong (cluster at guest offset \
             {:#x}: offset=0x70000000 length=0x200)",
            bytes.len(),
            cluster * CLUSTER
        )
    );
}

/// The findings of our check of `bytes`. qemu-img has to find something, too.
fn findings(bytes: &[u8], path: &Path) -> String {
    std::fs::write(path, bytes).unwrap();
    let (sound, text) = qemu_img_says(&["check", path.to_str().unwrap()]);
    assert!(!sound, "qemu-img finds nothing: {text}");
    let findings: Vec<String> = open(path).check().unwrap().iter().map(ToString::to_string).collect();
    assert!(!findings.is_empty(), "qemu-img finds: {text}");
    findings.join("\n")
}

/// A download that ended early gave a thousand findings, and nowhere the reason.
#[test]
fn a_file_that_was_cut_off_says_so_first_and_not_a_thousand_times() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "cut.qcow2");
    let (bytes, _) = sample_of(4 << 20, "", &[], 43);
    let length = bytes.len() / 2;
    let found = findings(&bytes[..length], &path);
    let first = found.lines().next().unwrap();
    assert!(first.starts_with(&format!("qcow2 file: the file ends at {length} of ")), "{first}");
    let end: u64 = first.split_ascii_whitespace().nth(8).unwrap().parse().unwrap();
    assert!(end <= bytes.len() as u64 && end > length as u64, "{first}, of {} bytes", bytes.len());
    assert_eq!(found.matches("is not inside the file").count(), 10);
}

/// The tables of a new file of ours come first and its refcounts last, those of QEMU lie between the clusters.
#[test]
fn wherever_a_file_is_cut_off_the_check_says_so_first_in_a_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (own_path, _) = path_in(&folder, "own.qcow2");
    for (options, flags) in [("", &["-c"][..]), ("", &[][..]), (",refcount_bits=64", &["-c"][..])] {
        let (bytes, disk) = sample_of(6 << 20, options, flags, 47);
        let image = open_bytes(&bytes).unwrap();
        written(&image, &image, &[], &own_path, (NewClusters::Compressed { level: 1 }, 1));
        for bytes in [bytes, std::fs::read(&own_path).unwrap()] {
            let length = bytes.len() as u64;
            let places = [number(&bytes, 40), number(&bytes, 48), number(&bytes, number(&bytes, 48)), length];
            let cuts = (0..24).map(|part| length * part / 24);
            for cut in cuts.chain(places.into_iter().flat_map(|place| [place - 8, place, place + 1, place + 9])) {
                let cut = cut.min(length - 1);
                let said = match open_bytes(&bytes[..cut as usize]) {
                    Ok(image) => {
                        let found = image.check().unwrap();
                        if found.is_empty() {
                            assert!(read_all(&image) == disk, "cut at {cut} of {length}");
                            continue;
                        }
                        assert!(found.len() <= 30, "cut at {cut} of {length}: {} findings", found.len());
                        found[0].to_string()
                    }
                    Err(error) => error.to_string(),
                };
                let expected = format!("the file ends at {cut} of ");
                let is_said = said.starts_with(&expected) || said.starts_with(&format!("qcow2 file: {expected}"));
                assert!(is_said || cut < 8, "cut at {cut} of {length}: {said}");
            }
        }
    }
}

/// All counts of the image are in a block that is not there.
#[test]
fn refcounts_that_cannot_be_read_are_counted_and_not_compared() {
    let (mut bytes, _) = sample_of(6 << 20, "", &["-c"], 49);
    let (length, table) = (bytes.len() as u64, number(&bytes, 48));
    set(&mut bytes, table, 1 << 40);
    let found: Vec<String> = open_bytes(&bytes).unwrap().check().unwrap().iter().map(ToString::to_string).collect();
    let needed = (1u64 << 40) + CLUSTER;
    assert_eq!(
        found,
        [
            format!("qcow2 file: the file ends at {length} of {needed} bytes: it was cut off, or 1 reference is wrong"),
            format!("refcount block 0: 0x10000000000..{needed:#x} is not inside the file, file_size={length:#x}"),
            format!("qcow2 file: the refcounts of {} host clusters cannot be read", length.div_ceil(CLUSTER)),
        ]
    );
}

#[test]
fn what_is_broken_by_hand_is_found_here_and_by_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "broken.qcow2");
    let (bytes, _) = sample_of(3 << 20, "", &[], 41);
    let (at, _) = entry_where(&bytes, is_plain);
    let host = offset_in(number(&bytes, at));
    let block = number(&bytes, number(&bytes, 48));
    type Break<'a> = (&'a str, &'a dyn Fn(&mut [u8]));
    let breaks: [Break; 5] = [
        (&format!("host cluster at {host:#x}: refcount=0, expected 1 (too low)"), &|bytes| {
            bytes[(block + host / CLUSTER * 2 + 1) as usize] = 0;
        }),
        (&format!("host cluster at {host:#x}: refcount=1, expected 0 (leaked)"), &|bytes| set(bytes, at, 0)),
        ("copied=0 does not match refcount=1", &|bytes| set(bytes, at, host)),
        ("is not a multiple of the cluster size", &|bytes| set(bytes, at, 1 << 63 | (host + 512))),
        ("is not inside the file", &|bytes| set(bytes, at, 1 << 63 | 0x7000_0000)),
    ];
    for (expected, damage) in &breaks {
        let mut broken = bytes.clone();
        damage(&mut broken);
        let found = findings(&broken, &path);
        assert!(found.contains(expected), "{expected:?} is not in\n{found}");
    }
    let mut broken = bytes.clone();
    let (l1, refcount_table) = (number(&bytes, 40), number(&bytes, 48));
    set(&mut broken, at, 1 << 63 | refcount_table);
    let found = findings(&broken, &path);
    assert!(found.contains("a cluster of the disk overlaps the refcount table"), "{found}");
    let mut broken = bytes.clone();
    set(&mut broken, l1, number(&bytes, l1 + 8));
    let found = findings(&broken, &path);
    assert!(found.contains("is shared with another entry"), "{found}");
}

#[test]
fn a_broken_stream_is_found() {
    for options in ["", ",compression_type=zstd"] {
        let (mut bytes, _) = sample(options, &["-c"], 51);
        let (at, cluster) = entry_where(&bytes, is_compressed);
        let offset = number(&bytes, at) & ((1 << (62 - 4)) - 1);
        bytes[offset as usize..][..8].fill(0xff);
        let image = open_bytes(&bytes).unwrap();
        let found: Vec<String> = image.check().unwrap().iter().map(ToString::to_string).collect();
        let object = format!("compressed cluster at guest offset {:#x}: the stream at {offset:#x}", cluster * CLUSTER);
        assert!(found.iter().any(|finding| finding.starts_with(&object)), "{found:?}");
        assert!(image.read_at(cluster * CLUSTER, &mut [0; 9]).is_err());
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_, base) = path_in(&folder, "base.qcow2");
    qemu_img(&["create", "-f", "qcow2", &base, "4M"]);
    let (path, image) = path_in(&folder, "image.qcow2");
    let (_, data) = path_in(&folder, "image.data");
    let refused = |arguments: &[&str], expected: &str| {
        qemu_img(arguments);
        let file = storage::FileStorage::new(std::fs::File::open(&path).unwrap()).unwrap();
        let text = Image::open(file, None).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    };
    refused(
        &["create", "-f", "qcow2", "-b", &base, "-F", "qcow2", &image],
        &format!("the image needs backing_file={base:?}, which is not opened"),
    );
    let options = format!("data_file={data}");
    refused(&["create", "-f", "qcow2", "-o", &options, &image, "4M"], &format!("data_file={data:?}"));
    let aes = "encrypt.format=aes,encrypt.key-secret=s";
    let secret = "secret,id=s,data=x";
    refused(&["create", "--object", secret, "-f", "qcow2", "-o", aes, &image, "4M"], "encryption (AES)");

    qemu_img(&["create", "-f", "qcow2", &image, "4M"]);
    let bytes = std::fs::read(&path).unwrap();
    // qemu-img measures how fast the machine is for LUKS, and gives up where that is too uneven.
    let mut luks = bytes.clone();
    luks[32..36].copy_from_slice(&2u32.to_be_bytes());
    assert!(open_bytes(&luks).unwrap_err().to_string().contains("encryption (LUKS)"));
    let with_incompatible = |bits: u64| {
        let mut bytes = bytes.clone();
        set(&mut bytes, 72, bits);
        open_bytes(&bytes).map(|_| ()).map_err(|error| error.to_string()).unwrap_err()
    };
    assert!(with_incompatible(2).contains("the corrupt bit is set"));
    assert_eq!(with_incompatible(1 << 40), "the incompatible qcow2 feature of bit 40 is not supported");
    let mut named = bytes.clone();
    set(&mut named, 72, 1 << 40);
    // The first entry of the feature name table, which follows the extension's eight bytes.
    named[112 + 8 + 1] = 40;
    assert_eq!(
        open_bytes(&named).unwrap_err().to_string(),
        "the incompatible qcow2 feature of bit 40 (`dirty bit`) is not supported"
    );
}

#[test]
fn snapshots_and_bitmaps_are_read_and_checked_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    for (options, second) in [("compat=0.10", ["snapshot", "-c", "one"]), ("compat=1.1", ["bitmap", "--add", ""])] {
        let (raw_path, raw) = path_in(&folder, "disk.raw");
        let (path, image) = path_in(&folder, "image.qcow2");
        let disk = Random(61).disk(2 << 20);
        std::fs::write(raw_path, &disk).unwrap();
        qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "-o", options, &raw, &image]);
        match second[0] {
            "snapshot" => qemu_img(&["snapshot", "-c", "one", &image]),
            _ => qemu_img(&["bitmap", "--add", &image, "marks"]),
        };
        let opened = open(&path);
        assert!(read_all(&opened) == disk);
        assert_eq!(opened.check().unwrap(), vec![]);
        let target = tempfile::tempfile().unwrap();
        let options = image::WriteOptions { new_clusters: NewClusters::Plain, threads: std::num::NonZeroUsize::MIN };
        let error = image::write(&opened, &opened, &[], &target, &options, &|_, _| ()).unwrap_err().to_string();
        assert!(error.contains("snapshots=1") || error.contains("persistent bitmaps"), "{error}");
    }
}

#[test]
fn a_dirty_image_is_reported_and_its_new_file_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "image.qcow2");
    let (mut bytes, disk) = sample(",lazy_refcounts=on", &["-c"], 71);
    set(&mut bytes, 72, 1);
    std::fs::write(&path, &bytes).unwrap();
    let image = open(&path);
    assert_eq!(image.check().unwrap().len(), 1);
    let (new_path, new) = path_in(&folder, "new.qcow2");
    written(&image, &image, &[], &new_path, (NewClusters::Plain, 1));
    qemu_img(&["check", &new]);
    assert!(read_all(&open(&new_path)) == disk);
    assert_eq!(open(&new_path).info().qcow2.unwrap().features, ["lazy refcounts"]);
}

#[test]
fn the_hosts_own_error_is_behind_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = path_in(&folder, "new.qcow2");
    let (bytes, _) = sample("", &[], 81);
    let image = open_bytes(&bytes).unwrap();
    // Writing begins, and reading the new tables again does not work.
    let target = std::fs::File::create(&path).unwrap();
    let options = image::WriteOptions { new_clusters: NewClusters::Plain, threads: std::num::NonZeroUsize::MIN };
    let error = image::write(&image, &image, &[], &target, &options, &|_, _| ()).unwrap_err();
    assert!(error.host_error().is_some());
    // The header comes last, so the file is not an image yet.
    assert!(Image::open(storage::FileStorage::new(std::fs::File::open(&path).unwrap()).unwrap(), None).is_err());
}

#[test]
fn bits_flipped_in_subclusters_and_in_a_chains_headers_are_errors_or_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (_, base) = path_in(&folder, "base.qcow2");
    let (path, image) = path_in(&folder, "image.qcow2");
    qemu_img(&["create", "-f", "qcow2", &base, "1M"]);
    judge::qemu_io(&base, &["write -P 9 100k 300k".into()]);
    let options = "cluster_size=16k,extended_l2=on";
    qemu_img(&["create", "-f", "qcow2", "-o", options, "-b", "base.qcow2", "-F", "qcow2", &image, "2M"]);
    let writes =
        ["write -P 1 0 512", "write -z 20k 3k", "write -P 2 100k 40k", "write -c -P 3 160k 16k", "discard 120k 1k"];
    judge::qemu_io(&image, &writes.map(String::from));
    let bytes = std::fs::read(&path).unwrap();
    let table = offset_in(number(&bytes, number(&bytes, 40)));
    let mut random = Random(91);
    for _ in 0..600 {
        println!("seed={:#x}", random.0);
        let mut broken = bytes.clone();
        for _ in 0..=random.below(3) {
            let (start, span) = [(0, 600), (table, 16 * 16)][random.below(2) as usize];
            broken[(start + random.below(span)) as usize] ^= 1 << random.below(8);
        }
        std::fs::write(&path, &broken).unwrap();
        let Ok(image) = judge::open_chain(&path) else { continue };
        let _ = image.check();
        let size = image.size_bytes();
        let mut at = 0;
        for _ in 0..500 {
            let Some(extent) = (at < size).then(|| image.extent_at(at)).and_then(Result::ok) else { break };
            assert!(extent.length_bytes > 0 && extent.length_bytes <= size - at);
            let _ = image.read_at(at, &mut vec![0; extent.length_bytes.min(1 << 20) as usize]);
            at += extent.length_bytes;
        }
        let target = tempfile::tempfile().unwrap();
        let options = image::WriteOptions {
            new_clusters: NewClusters::Compressed { level: 1 },
            threads: std::num::NonZeroUsize::MIN,
        };
        if size < 64 << 20 {
            let container = image::Container::Qcow2(image::Qcow2Options::default());
            let _ = image::convert(&image::Source::image(&image), &target, &container, &options, &|_, _| ());
        }
    }
}

#[test]
fn subclusters_of_two_kinds_are_found_here_and_by_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    qemu_img(&["create", "-f", "qcow2", "-o", "cluster_size=16k,extended_l2=on", &image, "2M"]);
    judge::qemu_io(&image, &["write -P 1 0 512".into()]);
    let bytes = std::fs::read(&path).unwrap();
    let table = offset_in(number(&bytes, number(&bytes, 40)));
    // The first subcluster is in the host cluster, and zeros.
    let mut broken = bytes.clone();
    set(&mut broken, table + 8, 1 | 1 << 32);
    let found = findings(&broken, &path);
    assert!(found.contains("has subclusters of two kinds, bitmap=0x0000000100000001"), "{found}");
    // A subcluster of a cluster that is nowhere.
    let mut broken = bytes.clone();
    set(&mut broken, table + 16 + 8, 1);
    std::fs::write(&path, &broken).unwrap();
    let found: Vec<String> = open(&path).check().unwrap().iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|finding| finding.contains("has no offset and subclusters")), "{found:?}");
    assert!(open(&path).read_at(16 << 10, &mut [0; 512]).is_err());
}

#[test]
fn refcounts_of_every_width_are_recounted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = path_in(&folder, "image.qcow2");
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        let (bytes, disk) = sample(&format!(",refcount_bits={bits}"), &[], 100 + bits);
        std::fs::write(&path, &bytes).unwrap();
        if bits > 1 {
            // Clusters that are used twice.
            qemu_img(&["snapshot", "-c", "one", &image]);
            judge::qemu_io(&image, &["write -P 7 64k 200k".into()]);
        }
        let opened = open(&path);
        assert_eq!(opened.info().qcow2.unwrap().refcount_bits as u64, bits);
        assert_eq!(opened.check().unwrap(), vec![], "{bits} bits");
        assert!(bits > 1 || read_all(&opened) == disk);
        // A count that is wrong by one is found, wherever it is in its byte.
        let bytes = std::fs::read(&path).unwrap();
        let block = number(&bytes, number(&bytes, 48));
        for cluster in [0, 3, 5] {
            let mut broken = bytes.clone();
            // Narrow counts begin at a byte's least significant bit, wide ones end at their last byte.
            let (at, bit) = match bits {
                1..8 => (cluster * bits / 8, cluster * bits % 8),
                _ => ((cluster + 1) * bits / 8 - 1, 0),
            };
            broken[(block + at) as usize] ^= 1 << bit;
            let found = findings(&broken, &path);
            assert!(found.contains(&format!("host cluster at {:#x}: refcount=", cluster * CLUSTER)), "{bits}: {found}");
        }
    }
}
