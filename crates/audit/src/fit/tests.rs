//! Reading ELF files: real ones, by what binutils say of them, and such as are built to do harm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::program::{Program, read};
use super::{is_library, order, split};
use testkit::judge::judge;

/// Some of the machine's own programs and libraries.
fn files_of_this_machine() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| {
            let metadata = fs::symlink_metadata(path).unwrap();
            metadata.is_file() && metadata.len() < 8 << 20
        });
        paths.sort();
        let step = (paths.len() / 40).max(1);
        files.extend(paths.into_iter().step_by(step));
    }
    let others = ["/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let found: Vec<PathBuf> = others.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    files.extend(found);
    files
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `objdump -p` says of a file.
#[derive(Default)]
struct Said {
    needed: Vec<String>,
    runpath: Option<String>,
    /// The versions that it needs, by library.
    needs: BTreeMap<String, BTreeSet<String>>,
    /// The versions that it has itself.
    own: BTreeSet<String>,
}

fn by_objdump(path: &Path) -> Said {
    let mut file = Said::default();
    let said = judge("objdump").arg("-p").arg(path).succeed().stdout;
    let (mut part, mut library) = ("", String::new());
    for line in said.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match &words[..] {
            ["Version", "definitions:"] | ["Version", "References:"] | ["Dynamic", "Section:"] => part = words[1],
            ["NEEDED", name] => file.needed.push((*name).to_owned()),
            // It may be empty.
            ["RUNPATH", folders @ ..] => file.runpath = Some(folders.concat()),
            ["required", "from", name] => library = name.trim_end_matches(':').to_owned(),
            [_, flags, _, version] if part == "References:" && *flags != "0x02" => {
                file.needs.entry(library.clone()).or_default().insert((*version).to_owned());
            }
            [_, flags, _, version] if part == "definitions:" && flags.starts_with("0x") => {
                file.own.insert((*version).to_owned());
            }
            _ => {}
        }
    }
    file
}

#[test]
fn objdump_and_readelf_say_the_same_of_real_files() {
    let mut programs = 0;
    for path in files_of_this_machine() {
        let bytes = fs::read(&path).unwrap();
        let found = read(&bytes[..]).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        let Some(program) = found else {
            // An object file is none that a loader starts.
            assert!(!bytes.starts_with(b"\x7fELF") || bytes[16] == 1, "{}", path.display());
            continue;
        };
        programs += 1;
        let Said { needed, runpath, needs, own } = by_objdump(&path);
        assert_eq!(program.needed.iter().map(|name| text(name)).collect::<Vec<_>>(), needed, "{}", path.display());
        assert_eq!(program.runpath.as_deref().map(text), runpath, "{}", path.display());
        assert_eq!(needs_of(&program), needs, "{}", path.display());
        assert_eq!(program.versions.iter().map(|name| text(name)).collect::<BTreeSet<_>>(), own, "{}", path.display());
        let said = judge("readelf").args(["-l", "-W"]).arg(&path).succeed().stdout;
        let loader =
            said.split_once("Requesting program interpreter: ").map(|(_, rest)| rest.split(']').next().unwrap());
        assert_eq!(program.loader.as_deref().map(text).as_deref(), loader, "{}", path.display());
    }
    assert!(programs > 30, "this machine has {programs} programs");
}

/// A library that is needed without any strong version counts for nothing.
fn needs_of(program: &Program) -> BTreeMap<String, BTreeSet<String>> {
    let mut needs = BTreeMap::<String, BTreeSet<String>>::new();
    for need in program.version_needs.iter().filter(|need| !need.versions.is_empty()) {
        needs.entry(text(&need.library)).or_default().extend(need.versions.iter().map(|version| text(version)));
    }
    needs
}

/// A little-endian program of 64 bits with a segment that has the whole file, a dynamic section and strings.
struct Elf {
    bytes: Vec<u8>,
}

const PHDR: usize = 64;
const DYNAMIC: usize = 0x200;
const STRINGS: usize = 0x800;
const VERSIONS: usize = 0x900;

impl Elf {
    fn new(dynamic: &[(u64, u64)], strings: &[u8], versions: &[u8]) -> Self {
        let mut bytes = vec![0; VERSIONS + versions.len()];
        bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
        let mut elf = Self { bytes };
        // Type, machine, version; the tables' places; sizes and counts.
        elf.put(16, &[3, 0, 62, 0, 1, 0, 0, 0]);
        elf.put(32, &(PHDR as u64).to_le_bytes());
        elf.put(52, &[64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
        let size = elf.bytes.len() as u64;
        elf.segment(0, 1, 0, size);
        elf.segment(1, 2, DYNAMIC as u64, (dynamic.len() * 16 + 16) as u64);
        for (index, (tag, value)) in dynamic.iter().enumerate() {
            elf.put(DYNAMIC + index * 16, &[tag.to_le_bytes(), value.to_le_bytes()].concat());
        }
        elf.put(STRINGS, strings);
        elf.put(VERSIONS, versions);
        elf
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn segment(&mut self, index: usize, kind: u32, offset: u64, size: u64) {
        let at = PHDR + index * 56;
        self.put(at, &kind.to_le_bytes());
        for (place, value) in [(8, offset), (16, offset), (24, offset), (32, size), (40, size)] {
            self.put(at + place, &value.to_le_bytes());
        }
    }

    fn read(&self) -> Result<Option<Program>, String> {
        read(&self.bytes[..])
    }
}

const STRTAB: (u64, u64) = (5, STRINGS as u64);
const STRSZ: (u64, u64) = (10, 0x100);
const NEEDED: u64 = 1;
const VERNEED: (u64, u64) = (0x6fff_fffe, VERSIONS as u64);
const VERNEEDNUM: u64 = 0x6fff_ffff;
const VERDEF: (u64, u64) = (0x6fff_fffc, VERSIONS as u64);
const VERDEFNUM: u64 = 0x6fff_fffd;

/// An entry of a table of needs: a library with `count` versions from `versions_at` on, and the next one.
fn need(count: u16, versions_at: u32, next: u32) -> Vec<u8> {
    let numbers = [1_u32, versions_at, next].map(u32::to_le_bytes).concat();
    [&1_u16.to_le_bytes()[..], &count.to_le_bytes(), &numbers].concat()
}

/// A version of such an entry.
fn version(next: u32) -> Vec<u8> {
    [0, 0, 9, next].map(u32::to_le_bytes).concat()
}

#[test]
fn a_file_that_was_built_is_read() {
    let versions = [need(2, 16, 0), version(16), version(0)].concat();
    let dynamic = [STRTAB, STRSZ, (NEEDED, 1), VERNEED, (VERNEEDNUM, 1)];
    let program = Elf::new(&dynamic, b"\0libc.so\0V_1\0", &versions).read().unwrap().unwrap();
    assert_eq!(program.needed, [b"libc.so"]);
    assert_eq!(program.version_needs[0].library, b"libc.so");
    assert_eq!(program.version_needs[0].versions, [b"V_1", b"V_1"]);
    assert_eq!(program.machine.to_string(), "x86_64");
}

#[test]
fn adversary_counts_of_sections_and_segments() {
    let mut elf = Elf::new(&[STRTAB, STRSZ], b"\0", b"");
    // Sections are not looked at: 65,535 of them, or as many as an entry says that is not there.
    elf.put(40, &u64::MAX.to_le_bytes());
    elf.put(60, &[0xff, 0xff]);
    assert!(elf.read().unwrap().is_some());
    elf.put(60, &[0, 0]);
    assert!(elf.read().unwrap().is_some());
    elf.put(56, &[0xff, 0xff]);
    assert_eq!(elf.read().unwrap_err(), "it says that it has 65535 segments, and at most 512 are read");
    elf.put(56, &[0, 2]);
    assert_eq!(elf.read().unwrap_err(), "it is cut off: the table of its segments is not in the file");
    elf.put(54, &[0, 0]);
    assert_eq!(elf.read().unwrap_err(), "its segments have 0 bytes each, not 56");
}

#[test]
fn adversary_chains_of_versions() {
    let read = |count: u64, versions: &[u8]| {
        let dynamic = [STRTAB, STRSZ, VERNEED, (VERNEEDNUM, count)];
        Elf::new(&dynamic, b"\0libc.so\0V_1\0", versions).read()
    };
    // One that leads to itself, of as many as there are numbers.
    let needs = read(u64::MAX, &[need(u16::MAX, 16, 0), version(0)].concat()).unwrap().unwrap().version_needs;
    assert_eq!(needs.len(), 1);
    assert_eq!(needs[0].versions.len(), 1);
    // A long chain, each link of which has all versions after it.
    let chain = (0..4000).map(|_| need(u16::MAX, 16, 16)).collect::<Vec<_>>().concat();
    assert_eq!(read(u64::MAX, &chain).unwrap_err(), "it has more than 4096 versions of symbols");
    // Definitions: version, flags, index, count, hash, name, next.
    let definition = [&[1_u8, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0][..], &[0; 4], &20_u32.to_le_bytes()].concat();
    let dynamic = [STRTAB, STRSZ, VERDEF, (VERDEFNUM, u64::MAX)];
    let elf = Elf::new(&dynamic, b"\0V_1\0", &definition.repeat(5000));
    assert!(elf.read().is_err());
}

#[test]
fn adversary_strings_and_addresses() {
    // The string goes on to the end of the file, or for longer than any name.
    let endless = [b"x".repeat(0x100), b"y".repeat(0x400)];
    let elf = Elf::new(&[STRTAB, STRSZ, (NEEDED, 1)], &endless[0], &endless[1]);
    assert_eq!(elf.read().unwrap_err(), "the name of a library does not end within 255 bytes");
    for (dynamic, problem) in [
        (vec![STRTAB, STRSZ, (NEEDED, 0x100)], "the name of a library is not among its strings"),
        (vec![STRTAB, (10, u64::MAX), (NEEDED, u64::MAX - 1)], "the name of a library is not among its strings"),
        (vec![(5, u64::MAX), STRSZ, (NEEDED, 1)], "the name of a library is not among its strings"),
        (vec![(5, 1 << 40), STRSZ, (NEEDED, 1)], "the address 0x10000000001 is in no segment"),
        (vec![STRSZ, (NEEDED, 1)], "its dynamic section has no strings"),
        (vec![STRTAB, STRSZ, (VERNEED.0, 1 << 40), (VERNEEDNUM, 1)], "the address 0x10000000000 is in no segment"),
    ] {
        assert_eq!(Elf::new(&dynamic, b"\0libc.so\0", b"").read().unwrap_err(), problem);
    }
    // A dynamic section without end, and a segment that is larger than all there is.
    let mut elf = Elf::new(&[STRTAB, STRSZ], b"\0", b"");
    elf.segment(1, 2, DYNAMIC as u64, u64::MAX);
    assert!(elf.read().unwrap().is_some());
    elf.segment(0, 1, 8, u64::MAX);
    assert!(elf.read().unwrap_err().starts_with("it is cut off: a segment ends after"));
}

#[test]
fn adversary_any_bytes_are_read_or_refused() {
    let original = fs::read(fs::canonicalize("/usr/bin/env").unwrap()).unwrap();
    let mut state: u64 = 7;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    for _ in 0..testkit::rounds(cfg!(feature = "full-tests"), [2000, 20_000, 200_000]) {
        let mut bytes = original[..original.len().min(0x4000)].to_vec();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
            // Most of what is read is in the header and the segments.
            let at = random(0x400);
            bytes[at] = random(256) as u8;
        }
        let _ = read(&bytes[..]);
        let _ = read(&bytes[..random(0x200)]);
    }
    for length in 0..80 {
        let _ = read(&original[..length]);
    }
}

#[test]
fn versions_are_compared_by_their_numbers() {
    assert!(order(b"GLIBC_2.10") > order(b"GLIBC_2.9") && order(b"GLIBC_2.2.5") < order(b"GLIBC_2.3"));
    assert!(order(b"GLIBC_2.4") > order(b"GLIBC_PRIVATE"));
    assert_eq!(split(b"GLIBCXX_3.4.30"), (&b"GLIBCXX"[..], &b"3.4.30"[..]));
    assert!(is_library(b"libc.so.6") && is_library(b"x.so") && !is_library(b"some.sock") && !is_library(b"soon"));
    assert!(!is_library(b"libc.so.6.debug"));
}
