//! An ELF file, as far as a loader looks at it: header, segments, the dynamic section and the versions in it.
//!
//! Sections are not looked at: a loader does not need them, and `strip` and `sstrip` take them away.

use std::fmt;

use elf::abi;
use elf::dynamic::Dyn;
use elf::endian::AnyEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::gnu_symver::{VerDefIterator, VerNeedIterator};
use elf::parse::{ParseAt, ParsingIterator};
use elf::segment::ProgramHeader;

/// The most segments that are read. Programs have a dozen.
const MAX_SEGMENTS: usize = 512;
/// The most entries of a dynamic section. Programs have some dozens, and one for each library that they need.
const MAX_DYNAMIC: usize = 4096;
/// The most versions that a file may need or define. A libc has 50, a large C++ library some hundreds.
const MAX_VERSIONS: usize = 4096;
/// The bytes of a table of versions that are read.
const VERSIONS_LIMIT_BYTES: usize = 256 << 10;
/// The longest path in a file, as of a loader, in bytes; one of folders may be longer.
const PATH_LIMIT_BYTES: usize = 4096;
/// The longest name of a library or a version, in bytes.
const NAME_LIMIT_BYTES: usize = 255;
/// The bytes of a file header.
const HEADER_BYTES: usize = 64;

/// Bytes at offsets.
pub(super) trait Bytes {
    /// Up to `length` bytes from `offset` on; fewer at the end, and where they cannot be read.
    fn read(&self, offset: u64, length: usize) -> Vec<u8>;

    /// How many there are.
    fn size_bytes(&self) -> u64;
}

impl Bytes for [u8] {
    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        self[start..start.saturating_add(length).min(self.len())].to_vec()
    }

    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// The machine that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// `e_machine`.
    pub(super) number: u16,
    /// Whether it is one of 64 bits.
    pub(super) is_64_bit: bool,
    is_little_endian: bool,
}

impl Machine {
    /// The name of the machine's folders in Debian and Ubuntu.
    pub(super) fn triplet(self) -> Option<&'static str> {
        Some(match (self.number, self.is_64_bit, self.is_little_endian) {
            (abi::EM_X86_64, true, _) => "x86_64-linux-gnu",
            (abi::EM_X86_64, false, _) => "x86_64-linux-gnux32",
            (abi::EM_386, ..) => "i386-linux-gnu",
            (abi::EM_AARCH64, ..) => "aarch64-linux-gnu",
            (abi::EM_ARM, ..) => "arm-linux-gnueabihf",
            (abi::EM_RISCV, true, _) => "riscv64-linux-gnu",
            (abi::EM_S390, true, _) => "s390x-linux-gnu",
            (abi::EM_PPC64, _, true) => "powerpc64le-linux-gnu",
            _ => return None,
        })
    }

    /// Whether kernels for this machine run programs for `other`, too.
    pub(super) fn runs(self, other: Self) -> bool {
        self == other
            || matches!((self.number, other.number), (abi::EM_X86_64, abi::EM_386) | (abi::EM_AARCH64, abi::EM_ARM))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.is_64_bit { "64" } else { "" };
        let little = if self.is_little_endian { "le" } else { "" };
        match self.number {
            abi::EM_X86_64 => f.write_str("x86_64"),
            abi::EM_386 => f.write_str("i386"),
            abi::EM_AARCH64 => f.write_str("aarch64"),
            abi::EM_ARM => f.write_str("arm"),
            abi::EM_RISCV => write!(f, "riscv{}", if self.is_64_bit { "64" } else { "32" }),
            abi::EM_S390 => write!(f, "s390{}", if self.is_64_bit { "x" } else { "" }),
            abi::EM_PPC64 | abi::EM_PPC => write!(f, "ppc{bits}{little}"),
            abi::EM_MIPS => write!(f, "mips{bits}{}", if self.is_little_endian { "el" } else { "" }),
            number => write!(f, "the machine with ELF's number {number}"),
        }
    }
}

/// The versions that a file needs of one library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VersionNeed {
    /// The library: `libc.so.6`.
    pub(super) library: Vec<u8>,
    /// The versions: `GLIBC_2.34`.
    pub(super) versions: Vec<Vec<u8>>,
}

/// What a loader reads of an ELF file.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The machine.
    pub(super) machine: Machine,
    /// The loader.
    pub(super) loader: Option<Vec<u8>>,
    /// The libraries that it needs.
    pub(super) needed: Vec<Vec<u8>>,
    /// The folders of `DT_RPATH` and `DT_RUNPATH`.
    pub(super) rpath: Option<Vec<u8>>,
    pub(super) runpath: Option<Vec<u8>>,
    /// The versions that it needs of libraries.
    pub(super) version_needs: Vec<VersionNeed>,
    /// The versions that it has itself, as a library.
    pub(super) versions: Vec<Vec<u8>>,
}

/// Why a file that begins as an ELF file cannot be read as one.
pub(super) type Problem = String;

/// Reads an ELF file; `None` if it is something else, or a kind that no loader starts.
pub(super) fn read(file: &(impl Bytes + ?Sized)) -> Result<Option<Program>, Problem> {
    let start = file.read(0, HEADER_BYTES);
    if !start.starts_with(&abi::ELFMAGIC) {
        return Ok(None);
    }
    if start.len() < abi::EI_NIDENT {
        return Err("it is cut off in its header".to_owned());
    }
    let header = header(&start).map_err(|_| "its header is not valid".to_owned())?;
    if !matches!(header.e_type, abi::ET_EXEC | abi::ET_DYN) {
        return Ok(None);
    }
    let machine = Machine {
        number: header.e_machine,
        is_64_bit: header.class == Class::ELF64,
        is_little_endian: header.endianness == AnyEndian::Little,
    };
    let segments = segments(file, &header)?;
    let loaded: Vec<&ProgramHeader> = segments.iter().filter(|segment| segment.p_type == abi::PT_LOAD).collect();
    for segment in &loaded {
        if segment.p_offset.checked_add(segment.p_filesz).is_none_or(|end| end > file.size_bytes()) {
            return Err(format!("it is cut off: a segment ends after the file's {} bytes", file.size_bytes()));
        }
    }
    let mut program = Program {
        machine,
        loader: None,
        needed: Vec::new(),
        rpath: None,
        runpath: None,
        version_needs: Vec::new(),
        versions: Vec::new(),
    };
    if let Some(segment) = segments.iter().find(|segment| segment.p_type == abi::PT_INTERP) {
        program.loader = Some(text(file, segment.p_offset, PATH_LIMIT_BYTES, "the path of its loader")?);
    }
    if let Some(segment) = segments.iter().find(|segment| segment.p_type == abi::PT_DYNAMIC) {
        Dynamic::read(file, &header, segment, &loaded)?.describe(&mut program)?;
    }
    Ok(Some(program))
}

fn header(start: &[u8]) -> Result<FileHeader<AnyEndian>, elf::ParseError> {
    let ident = parse_ident::<AnyEndian>(start)?;
    FileHeader::parse_tail(ident, start.get(abi::EI_NIDENT..).unwrap_or_default())
}

fn segments(file: &(impl Bytes + ?Sized), header: &FileHeader<AnyEndian>) -> Result<Vec<ProgramHeader>, Problem> {
    let (count, size) = (usize::from(header.e_phnum), ProgramHeader::size_for(header.class));
    if count == 0 {
        return Ok(Vec::new());
    }
    if count > MAX_SEGMENTS {
        return Err(format!("it says that it has {count} segments, and at most {MAX_SEGMENTS} are read"));
    }
    if usize::from(header.e_phentsize) != size {
        return Err(format!("its segments have {} bytes each, not {size}", header.e_phentsize));
    }
    let table = file.read(header.e_phoff, count * size);
    if table.len() != count * size {
        return Err("it is cut off: the table of its segments is not in the file".to_owned());
    }
    Ok(ParsingIterator::new(header.endianness, header.class, &table).collect())
}

/// The text at `offset`, of at most `limit_bytes` bytes, up to the NUL that ends it.
fn text(file: &(impl Bytes + ?Sized), offset: u64, limit_bytes: usize, what: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = file.read(offset, limit_bytes + 1);
    match bytes.iter().position(|&byte| byte == 0) {
        Some(end) => {
            bytes.truncate(end);
            Ok(bytes)
        }
        None => Err(format!("{what} does not end within {limit_bytes} bytes")),
    }
}

/// The dynamic section.
struct Dynamic<'a, B: ?Sized> {
    file: &'a B,
    header: &'a FileHeader<AnyEndian>,
    loaded: &'a [&'a ProgramHeader],
    entries: Vec<Dyn>,
}

impl<'a, B: Bytes + ?Sized> Dynamic<'a, B> {
    fn read(
        file: &'a B,
        header: &'a FileHeader<AnyEndian>,
        segment: &ProgramHeader,
        loaded: &'a [&'a ProgramHeader],
    ) -> Result<Self, Problem> {
        let most = MAX_DYNAMIC * Dyn::size_for(header.class);
        let size = usize::try_from(segment.p_filesz).unwrap_or(usize::MAX).min(most);
        let bytes = file.read(segment.p_offset, size);
        let entries = ParsingIterator::new(header.endianness, header.class, &bytes);
        let entries: Vec<Dyn> = entries.take_while(|entry: &Dyn| entry.d_tag != abi::DT_NULL).collect();
        Ok(Self { file, header, loaded, entries })
    }

    fn value(&self, tag: i64) -> Option<u64> {
        self.entries.iter().find(|entry| entry.d_tag == tag).map(Dyn::d_val)
    }

    /// Where in the file the byte is that is loaded at `address`.
    fn offset(&self, address: u64) -> Result<u64, Problem> {
        let holds = |segment: &&&ProgramHeader| {
            address.checked_sub(segment.p_vaddr).is_some_and(|after| after < segment.p_filesz)
        };
        let segment = self.loaded.iter().find(holds).ok_or(format!("the address {address:#x} is in no segment"))?;
        Ok(segment.p_offset + (address - segment.p_vaddr))
    }

    fn string(&self, index: u64, limit_bytes: usize, what: &str) -> Result<Vec<u8>, Problem> {
        let table = self.value(abi::DT_STRTAB).ok_or("its dynamic section has no strings")?;
        if index >= self.value(abi::DT_STRSZ).unwrap_or(0) {
            return Err(format!("{what} is not among its strings"));
        }
        let address = table.checked_add(index).ok_or(format!("{what} is not among its strings"))?;
        text(self.file, self.offset(address)?, limit_bytes, what)
    }

    fn describe(&self, program: &mut Program) -> Result<(), Problem> {
        for entry in self.entries.iter().filter(|entry| entry.d_tag == abi::DT_NEEDED) {
            program.needed.push(self.string(entry.d_val(), NAME_LIMIT_BYTES, "the name of a library")?);
        }
        let folders = |tag, what| self.value(tag).map(|index| self.string(index, PATH_LIMIT_BYTES, what)).transpose();
        program.rpath = folders(abi::DT_RPATH, "RPATH")?;
        program.runpath = folders(abi::DT_RUNPATH, "RUNPATH")?;
        program.version_needs = self.version_needs()?;
        program.versions = self.versions()?;
        Ok(())
    }

    /// The table of versions that `tag` points to, and how many entries it says to have.
    fn version_table(&self, tag: i64, count: i64) -> Result<Option<(Vec<u8>, u64)>, Problem> {
        let (Some(address), Some(count)) = (self.value(tag), self.value(count)) else { return Ok(None) };
        Ok(Some((self.file.read(self.offset(address)?, VERSIONS_LIMIT_BYTES), count)))
    }

    fn version_needs(&self) -> Result<Vec<VersionNeed>, Problem> {
        let Some((table, count)) = self.version_table(abi::DT_VERNEED, abi::DT_VERNEEDNUM)? else {
            return Ok(Vec::new());
        };
        let mut budget = Budget::default();
        let mut needs = Vec::new();
        for (need, versions) in VerNeedIterator::new(self.header.endianness, self.header.class, count, 0, &table) {
            budget.take()?;
            let library = self.string(need.vn_file.into(), NAME_LIMIT_BYTES, "the name of a library")?;
            let mut names = Vec::new();
            for version in versions {
                budget.take()?;
                // A loader does not mind that a weak one is missing.
                if version.vna_flags & abi::VER_FLG_WEAK == 0 {
                    names.push(self.string(version.vna_name.into(), NAME_LIMIT_BYTES, "the name of a version")?);
                }
            }
            needs.push(VersionNeed { library, versions: names });
        }
        Ok(needs)
    }

    fn versions(&self) -> Result<Vec<Vec<u8>>, Problem> {
        let Some((table, count)) = self.version_table(abi::DT_VERDEF, abi::DT_VERDEFNUM)? else {
            return Ok(Vec::new());
        };
        let mut budget = Budget::default();
        let mut names = Vec::new();
        for (_, mut of_version) in VerDefIterator::new(self.header.endianness, self.header.class, count, 0, &table) {
            budget.take()?;
            // The first name is the version's own; the others are those that it follows.
            if let Some(name) = of_version.next() {
                names.push(self.string(name.vda_name.into(), NAME_LIMIT_BYTES, "the name of a version")?);
            }
        }
        Ok(names)
    }
}

/// How many versions were read, against those that say that there are millions, or lead from one to the next for ever.
#[derive(Default)]
struct Budget(usize);

impl Budget {
    fn take(&mut self) -> Result<(), Problem> {
        self.0 += 1;
        match self.0 > MAX_VERSIONS {
            true => Err(format!("it has more than {MAX_VERSIONS} versions of symbols")),
            false => Ok(()),
        }
    }
}
