//! Built input for the whole program: sharing, depth, cycles, floods and claims of size in recipes, archives, file
//! systems and containers. Each run is a process with [`CPU_SECONDS`] of a processor and [`MEMORY_BYTES`] of addresses;
//! what its input's size does not bound is ended by them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use testkit::fixture::Options;
use testkit::judge::judge;

use crate::support::{ESP, World};

/// What a run may have of a processor; each takes a few seconds of it without optimization.
const CPU_SECONDS: u32 = 100;
/// What a run may have of addresses, idle heaps and stacks included.
const MEMORY_BYTES: u32 = 2 << 30;

/// Runs `imgraft` within the limits: how it ended, and what it said.
#[track_caller]
fn confined(world: &World, arguments: &str) -> (i32, String) {
    let limits = [format!("--cpu={CPU_SECONDS}"), format!("--as={MEMORY_BYTES}"), "--core=0".to_owned()];
    let mut command = Command::new(testkit::judge::find("prlimit").expect("prlimit is installed"));
    command.args(limits).arg(env!("CARGO_BIN_EXE_imgraft")).args(arguments.split_ascii_whitespace());
    let output = command.current_dir(world.folder()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("`{arguments}` ended by {}: {said}", output.status));
    assert!(code == 0 || !said.is_empty(), "`{arguments}` ended with {code} and said nothing");
    assert!(code < 100 && !said.contains("panicked"), "`{arguments}` ended with {code}: {said}");
    assert!(said.len() < 1 << 20, "`{arguments}` said {} bytes", said.len());
    (code, said)
}

#[test]
fn recipes_that_nest_flood_and_claim_are_refused() {
    let world = World::new();
    let deep = 200_000;
    let recipes = [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}1{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}1{}", "{a=".repeat(deep), "}".repeat(deep)),
        format!("{}a = 1\n", "a.".repeat(deep)),
        format!("[{}a]\n", "a.".repeat(deep)),
        format!("a = {{ {}a = 1 }}\n", "a.".repeat(deep)),
        "[[step]]\n".repeat(100_000),
        "[[step]]\nwrite = \"/x\"\n".repeat(100_000),
        (0..100_000).map(|number| format!("k{number} = 1\n")).collect(),
        (0..3000).map(|number| format!("[{}b{number}]\n", "a.".repeat(60))).collect(),
        format!("output = \"{}\"\n", "x".repeat(4 << 20)),
        "size = \"99999999999999999999T\"\n".to_owned(),
    ];
    for recipe in recipes {
        let begin: String = recipe.chars().take(40).collect();
        world.file("r.toml", &recipe);
        let (code, said) = confined(&world, "build r.toml --base base.img -o out.img");
        assert_ne!(code, 0, "{begin}");
        assert!(said.starts_with("error"), "{begin}: {said}");
        assert!(!begin.starts_with("[[step]]\n[[step]]") || said.ends_with("99980 more are left out here\n"), "{said}");
        assert!(!world.path("out.img").exists(), "{begin}");
    }
}

/// A header as `ustar` has it.
fn header(name: &str, kind: u8, size: &str, link: &str) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000755\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..124 + size.len()].copy_from_slice(size.as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].fill(b' ');
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A header with what it says the size of.
fn with_body(name: &str, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, kind, &format!("{:011o}", body.len()), "").to_vec();
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn archives_that_flood_claim_and_go_round_end() {
    let world = World::new();
    let plain = |name: &str, kind: u8| header(name, kind, "00000000000", "").to_vec();
    let link = |name: &str, kind: u8, target: &str| header(name, kind, "00000000000", target).to_vec();
    let deep = "d/".repeat(100_000);
    // What is said of each, and whether there is an image at the end.
    let archives: [(&str, Vec<u8>, bool); 11] = [
        ("one directory often", plain("a/", b'5').repeat(100_000), true),
        ("one file often", plain("a", b'0').repeat(20_000), true),
        ("many facts", [with_body("x", b'x', &b"6 a=b\n".repeat(170_000)), plain("f", b'0')].concat(), true),
        ("too many facts", [with_body("x", b'x', &b"6 a=b\n".repeat(180_000)), plain("f", b'0')].concat(), false),
        ("names before a name", [with_body("x", b'L', &[b'n'; 3000]).repeat(500), plain("f", b'0')].concat(), false),
        ("a deep name", [with_body("x", b'L', deep.as_bytes()), plain("f", b'0')].concat(), false),
        ("a size that is not there", header("f", b'0', "77777777777\0", "").to_vec(), false),
        ("facts that are not there", header("x", b'x', "77777777777\0", "").to_vec(), false),
        ("symlinks in a circle", [link("a", b'2', "b"), link("b", b'2', "a"), plain("a/f", b'0')].concat(), false),
        ("a link to itself", link("a", b'1', "a"), false),
        ("a link to nothing", link("a", b'1', "b"), false),
    ];
    for (what, mut archive, is_made) in archives {
        archive.extend([0; 1024]);
        world.file("a.tar", &archive);
        let (code, said) = confined(&world, "build --base base.img --tar a.tar:/opt -o out.img");
        assert_eq!(code == 0, is_made, "{what}: {said}");
        assert_eq!(world.path("out.img").exists(), is_made, "{what}");
        let _ = fs::remove_file(world.path("out.img"));
    }
}

/// On the EFI system partition, a directory with two entries that are the directory itself: a tree without an end, of
/// which each level has twice as many.
#[test]
fn directories_of_a_fat_that_are_in_themselves_end() {
    let world = World::with_copy(&Options::default());
    world.run("convert my.img my.raw").succeeds();
    let range = testkit::partition::partition_range(&world.path("my.raw"), ESP);
    let place = format!("{}@@{}", world.path("my.raw").display(), range.start);
    judge("mmd").args(["-i", &place, "::/DDDD", "::/DDDD/XXXX", "::/DDDD/YYYY"]).succeed();
    let disk = File::options().read(true).write(true).open(world.path("my.raw")).unwrap();
    let mut bytes = vec![0; (range.end - range.start) as usize];
    disk.read_exact_at(&mut bytes, range.start).unwrap();
    let entry = |name: &str| {
        let wanted = format!("{name}       \x10");
        let found = bytes.windows(wanted.len()).position(|window| window == wanted.as_bytes());
        found.unwrap_or_else(|| panic!("there is no {name}"))
    };
    // The number of an entry's first cluster, in two halves.
    let at = entry("DDDD");
    for name in ["XXXX", "YYYY"] {
        for half in [20..22, 26..28] {
            let offset = range.start + (entry(name) + half.start) as u64;
            disk.write_all_at(&bytes[at + half.start..at + half.end], offset).unwrap();
        }
    }
    drop(disk);
    for arguments in [
        "ls my.raw /boot/efi/DDDD/XXXX/YYYY/XXXX",
        "get my.raw /boot/efi/DDDD tree",
        "diff my.img my.raw",
        "build --base my.raw -o out.raw --copy /boot/efi/DDDD:/opt/",
        "build --base my.raw -o out.raw --remove /boot/efi/DDDD",
        "build --base my.raw -o out.raw --mkdir /boot/efi/DDDD/XXXX/ZZZZ",
    ] {
        let (code, said) = confined(&world, arguments);
        assert_ne!(code, 0, "{arguments}: {said}");
        // A comparison goes on with the next path, and its report names this one.
        assert!(
            arguments.starts_with("diff") || said.contains("DDDD: the directory at cluster "),
            "{arguments}: {said}"
        );
    }
}

#[test]
fn files_that_share_blocks_do_not_fill_the_disk_of_the_host() {
    let world = World::empty();
    world.file("root/etc/os-release", "ID=debian\n").file("root/srv/0", vec![7u8; 1 << 20]);
    fs::create_dir(world.path("root/usr")).unwrap();
    let disk = world.path("x.img");
    let mkfs = judge("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^has_journal", "-d"]);
    mkfs.arg(world.path("root")).arg(&disk).arg("8M").succeed();
    let first = judge("debugfs").args(["-R", "bmap /srv/0 0"]).arg(&disk).succeed().stdout;
    // An extent tree's root with one extent: 1,024 blocks from the first of `0` on.
    let words = [0x0001_F30A, 4, 0, 0, 1024, first.trim().parse::<u32>().unwrap()];
    let mut commands = String::new();
    for number in 1..40 {
        let name = format!("/srv/{number}");
        commands += &format!("write /dev/null {name}\nsif {name} size 1048576\nsif {name} flags 0x80000\n");
        for (index, word) in words.iter().enumerate() {
            commands += &format!("sif {name} block[{index}] {word}\n");
        }
    }
    world.file("commands", commands);
    judge("debugfs").args(["-w", "-f"]).arg(world.path("commands")).arg(&disk).succeed();
    let (code, said) = confined(&world, "get x.img /srv/39 one");
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::metadata(world.path("one")).unwrap().len(), 1 << 20);
    let (code, said) = confined(&world, "get x.img /srv all");
    assert_eq!(code, 2, "{said}");
    // Eight of them fit; they are copied in the order of their names.
    let expected = "error: `/srv/16` is not copied: with it, more was read than the image's file systems can hold, so \
                    files share blocks\nhint: the image is damaged: `imgraft check` says where\n";
    assert!(said.ends_with(expected), "{said}");
    assert!(!world.path("all").exists());
}

/// A sparse VMDK of grains of 4 KiB that are not compressed, whose directory has `directory` in it and whose tables are
/// what follows.
fn vmdk(directory: &[u32], rest_sectors: usize, entry: u32) -> Vec<u8> {
    const SECTOR: usize = 512;
    let grains = directory.len() as u64 * 512;
    let mut bytes = b"KDMV".to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend((grains * 8).to_le_bytes());
    bytes.extend(8u64.to_le_bytes());
    // The descriptor, then the directory.
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(512u32.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(2u64.to_le_bytes());
    bytes.extend([0; 9]);
    bytes.extend(b"\n \r\n");
    bytes.resize(SECTOR, 0);
    bytes.extend(b"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n");
    bytes.extend(format!("RW {} SPARSE \"x.vmdk\"\n", grains * 8).into_bytes());
    bytes.resize(2 * SECTOR, 0);
    directory.iter().for_each(|sector| bytes.extend(sector.to_le_bytes()));
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    bytes.extend(entry.to_le_bytes().repeat(rest_sectors * SECTOR / 4));
    bytes
}

#[test]
fn tables_of_a_vmdk_that_are_shared_or_overlap_end() {
    let world = World::empty();
    const TABLES: u32 = 60_000;
    // 2 where no file system was found, so that none was looked at.
    let first = 2 + TABLES * 4 / 512 + 1;
    let cases = [
        ("one table for all", vmdk(&vec![first; TABLES as usize], 8, first), 1),
        ("a table at each sector", vmdk(&(first..first + TABLES).collect::<Vec<_>>(), TABLES as usize + 4, first), 2),
        ("grains past the end", vmdk(&(first..first + TABLES).collect::<Vec<_>>(), TABLES as usize + 4, u32::MAX), 1),
        ("tables past the end", vmdk(&vec![u32::MAX; TABLES as usize], 0, 0), 1),
    ];
    for (what, bytes, expected) in cases {
        world.file("x.vmdk", &bytes);
        let (code, said) = confined(&world, "check x.vmdk");
        assert_eq!(code, expected, "{what}: {said}");
        confined(&world, "inspect x.vmdk");
    }
}

#[test]
fn claims_of_containers_are_held_against_the_file() {
    let world = World::empty();
    let sound = vmdk(&[0], 8, 0);
    let patched = |at: usize, value: &[u8]| {
        let mut bytes = sound.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let large = u64::MAX.to_le_bytes();
    // A fixed VHD is its disk and a footer of 512 bytes, whose sum is right.
    let vhd = |size: u64| {
        let mut footer = vec![0; 512];
        footer[..8].copy_from_slice(b"conectix");
        footer[8..16].copy_from_slice(&[0, 0, 0, 2, 0, 1, 0, 0]);
        footer[16..24].fill(0xff);
        footer[40..48].copy_from_slice(&size.to_be_bytes());
        footer[48..56].copy_from_slice(&size.to_be_bytes());
        footer[60..64].copy_from_slice(&2u32.to_be_bytes());
        let sum = !footer.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        footer[64..68].copy_from_slice(&sum.to_be_bytes());
        [vec![0; 1 << 20], footer].concat()
    };
    let cases: [(&str, &str, Vec<u8>); 9] = [
        ("capacity", "x.vmdk", patched(12, &large)),
        ("capacity that just fits", "x.vmdk", patched(12, &(1u64 << 40).to_le_bytes())),
        ("grain", "x.vmdk", patched(20, &(1u64 << 40).to_le_bytes())),
        ("descriptor's place", "x.vmdk", patched(28, &large)),
        ("descriptor's length", "x.vmdk", patched(36, &(1u64 << 40).to_le_bytes())),
        ("entries of a table", "x.vmdk", patched(44, &u32::MAX.to_le_bytes())),
        ("directory's place", "x.vmdk", patched(56, &(u64::MAX - 1).to_le_bytes())),
        ("size of a VHD", "x.vhd", vhd(u64::MAX)),
        ("size of a VHD past its file", "x.vhd", vhd(1 << 50)),
    ];
    for (what, name, bytes) in cases {
        fs::File::create(world.path(name)).unwrap().write_all(&bytes).unwrap();
        for arguments in [format!("check {name}"), format!("convert {name} y.qcow2")] {
            let (code, said) = confined(&world, &arguments);
            assert_ne!(code, 0, "{what}: {said}");
        }
        assert!(!world.path("y.qcow2").exists(), "{what}");
    }
}
