//! Where a guest's loader looks for libraries.

use std::collections::BTreeMap;
use std::rc::Rc;

use guest::resolve::LastLink;
use guest::{Guest, GuestPath};

use super::program::{self, Bytes, Machine, Program};
use crate::{content, known, regular};

/// The most files that are read as a part of `/etc/ld.so.conf`.
const MAX_FILES: usize = 256;
/// The largest such file, in bytes.
const FILE_LIMIT_BYTES: u64 = 64 << 10;
/// The most folders that are looked in for a library.
const MAX_FOLDERS: usize = 256;
/// The most libraries that are kept once they were read.
const MAX_KEPT: usize = 256;

/// A file of the guest.
pub(super) struct GuestFile<'a> {
    guest: &'a Guest,
    /// The real path.
    path: &'a GuestPath,
    size_bytes: u64,
}

impl<'a> GuestFile<'a> {
    /// The regular file at `path`, on which there is no symlink.
    pub(super) fn new(guest: &'a Guest, path: &'a GuestPath) -> Option<Self> {
        let found = guest.find(path, LastLink::Keep).ok()?;
        let size_bytes = guest.metadata(&found.node).ok()?.size_bytes;
        Some(Self { guest, path, size_bytes })
    }
}

impl Bytes for GuestFile<'_> {
    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let left = usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        let read = self.guest.read_at(self.path, offset, &mut bytes).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// The library that a loader finds.
pub(super) struct Found {
    /// Its real path.
    pub(super) path: GuestPath,
    /// What is in it.
    pub(super) library: Rc<Program>,
}

/// The libraries of a guest.
pub(super) struct Libraries<'a> {
    guest: &'a Guest,
    /// The folders of `/etc/ld.so.conf`.
    configured: Vec<Vec<u8>>,
    /// What was read already, by its real path.
    read: BTreeMap<GuestPath, Option<Rc<Program>>>,
}

impl<'a> Libraries<'a> {
    pub(super) fn of(guest: &'a Guest) -> Self {
        Self { guest, configured: configured(guest), read: BTreeMap::new() }
    }

    /// The folders in which the loader of `program`, which is at `path`, looks for libraries, in order.
    pub(super) fn folders(&self, program: &Program, path: &GuestPath) -> Vec<GuestPath> {
        let origin = path.parent().unwrap_or_else(GuestPath::root);
        // RPATH counts only where there is no RUNPATH.
        let own = program.runpath.as_ref().or(program.rpath.as_ref());
        let own = own.into_iter().flat_map(|folders| folders.split(|&byte| byte == b':'));
        let mut folders: Vec<Vec<u8>> = own.flat_map(|folder| expand(folder, &origin, program.machine)).collect();
        match musl_configuration(program) {
            Some(path) => folders.extend(musl_folders(self.guest, &path)),
            None => {
                folders.extend(self.configured.iter().cloned());
                folders.extend(standard_folders(program.machine));
            }
        }
        let mut paths: Vec<GuestPath> = Vec::new();
        for path in folders.into_iter().filter_map(|folder| GuestPath::new(folder).ok()) {
            if paths.len() < MAX_FOLDERS && !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }

    /// The library `name`, for a program of `machine` that looks in `folders`.
    pub(super) fn find(&mut self, name: &[u8], machine: Machine, folders: &[GuestPath]) -> Option<Found> {
        if name.contains(&b'/') {
            return self.library(&GuestPath::new(name).ok()?, machine);
        }
        folders.iter().find_map(|folder| self.library(&folder.join(name).ok()?, machine))
    }

    /// The library at `path`. Loaders pass over those for other machines.
    fn library(&mut self, path: &GuestPath, machine: Machine) -> Option<Found> {
        let path = regular(self.guest, path)?;
        let library = match self.read.get(&path) {
            Some(library) => library.clone(),
            None => {
                let file = GuestFile::new(self.guest, &path)?;
                let library = program::read(&file).ok().flatten().map(Rc::new);
                if self.read.len() >= MAX_KEPT {
                    self.read.clear();
                }
                self.read.insert(path.clone(), library.clone());
                library
            }
        };
        let library = library.filter(|library| library.machine == machine)?;
        Some(Found { path, library })
    }
}

/// A folder of RPATH or RUNPATH, with what its variables stand for.
fn expand(folder: &[u8], origin: &GuestPath, machine: Machine) -> Vec<Vec<u8>> {
    let folder = replace(folder, &[b"${ORIGIN}", b"$ORIGIN"], origin.as_bytes());
    let triplet = machine.triplet().map(|triplet| format!("lib/{triplet}").into_bytes());
    let wide = if machine.is_64_bit { b"lib64".to_vec() } else { b"lib32".to_vec() };
    let of_lib = triplet.into_iter().chain([wide, b"lib".to_vec()]);
    let variable: [&[u8]; 2] = [b"${LIB}", b"$LIB"];
    let mut expanded: Vec<Vec<u8>> = of_lib.map(|lib| replace(&folder, &variable, &lib)).collect();
    expanded.dedup();
    expanded
}

/// `text` with each of `names` replaced by `value`, within the length that a path can have.
fn replace(text: &[u8], names: &[&[u8]], value: &[u8]) -> Vec<u8> {
    const LIMIT_BYTES: usize = 4096;
    let mut replaced = Vec::new();
    let mut rest = text;
    while let Some(&first) = rest.first() {
        if replaced.len() > LIMIT_BYTES {
            break;
        }
        match names.iter().find_map(|name| rest.strip_prefix(*name)) {
            Some(after) => {
                replaced.extend_from_slice(value);
                rest = after;
            }
            None => {
                replaced.push(first);
                rest = &rest[1..];
            }
        }
    }
    replaced
}

/// The folders that a glibc looks in without being told to.
fn standard_folders(machine: Machine) -> Vec<Vec<u8>> {
    let mut folders = Vec::new();
    if let Some(triplet) = machine.triplet() {
        folders.extend([format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")]);
    }
    if machine.is_64_bit {
        folders.extend(["/lib64", "/usr/lib64"].map(str::to_owned));
    }
    folders.extend(["/lib", "/usr/lib"].map(str::to_owned));
    folders.into_iter().map(String::into_bytes).collect()
}

/// The file in which the folders of a musl are, if that is the loader of `program`: `/etc/ld-musl-x86_64.path`.
fn musl_configuration(program: &Program) -> Option<GuestPath> {
    let loader = program.loader.as_ref()?;
    let name = loader.rsplit(|&byte| byte == b'/').next()?;
    let machine = name.strip_prefix(b"ld-musl-")?.strip_suffix(b".so.1")?;
    let file = [&b"ld-musl-"[..], machine, b".path"].concat();
    (!machine.is_empty()).then(|| known("/etc").join(&file).ok()).flatten()
}

fn musl_folders(guest: &Guest, path: &GuestPath) -> Vec<Vec<u8>> {
    match content(guest, path, FILE_LIMIT_BYTES) {
        Some(text) => text.split(|byte| matches!(byte, b':' | b'\n')).map(<[u8]>::to_vec).collect(),
        None => ["/lib", "/usr/local/lib", "/usr/lib"].map(|folder| folder.as_bytes().to_vec()).to_vec(),
    }
}

/// The folders of `/etc/ld.so.conf` and the files that it includes.
fn configured(guest: &Guest) -> Vec<Vec<u8>> {
    let mut folders: Vec<Vec<u8>> = Vec::new();
    // The file that is read next is the last one. No file is read twice, so that none includes itself for ever.
    let mut pending = vec![known("/etc/ld.so.conf")];
    let mut seen = Vec::new();
    while let Some(path) = pending.pop() {
        if seen.len() >= MAX_FILES || seen.contains(&path) {
            continue;
        }
        let text = content(guest, &path, FILE_LIMIT_BYTES).unwrap_or_default();
        seen.push(path);
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            let words = line.split(|byte| matches!(byte, b' ' | b'\t' | b':' | b',')).filter(|word| !word.is_empty());
            match line.split(|byte| byte.is_ascii_whitespace()).next() {
                Some(b"include") => pending.extend(words.skip(1).flat_map(|pattern| included(guest, pattern))),
                Some(b"hwcap") => {}
                _ => folders.extend(words.filter(|word| word.starts_with(b"/")).map(<[u8]>::to_vec)),
            }
            folders.truncate(MAX_FOLDERS);
            pending.truncate(MAX_FILES);
        }
    }
    folders
}

/// The files that an `include` names, the last one first.
fn included(guest: &Guest, pattern: &[u8]) -> Vec<GuestPath> {
    let pattern = if pattern.starts_with(b"/") { pattern.to_vec() } else { [b"/etc/", pattern].concat() };
    let files = GuestPath::new(pattern).ok().and_then(|pattern| guest.matching(&pattern).ok());
    files.into_iter().flatten().rev().collect()
}
