//! Whether programs that were put into a guest can run there.
//!
//! An ELF file has to be for the guest's machine; its loader has to be there; the libraries that it needs have to be where
//! the loader looks for them, with the versions that it needs of them. A script has to have its interpreter.
//! `ldd` tells the same of a running machine, but runs the program's loader for it; here, files are read.

mod libraries;
mod program;
mod script;

use std::collections::BTreeSet;

use guest::resolve::LastLink;
use guest::{FileKind, Guest, GuestPath, Printable};

use crate::{Finding, known, regular};
use libraries::{GuestFile, Libraries};
use program::{Bytes, Machine, Program};

/// The most findings that are told one by one.
const MAX_FINDINGS: usize = 100;
/// The most folders that a message names.
const MAX_TOLD_FOLDERS: usize = 12;
/// Programs, at least one of which is in each guest.
const PROGRAMS: [&str; 5] = ["/usr/bin/env", "/bin/sh", "/sbin/init", "/usr/bin/busybox", "/bin/busybox"];

/// Looks at those of `placed`, real paths of files that were put into `guest`, which are programs or libraries.
///
/// Nothing is said of ELF files in a guest whose own programs are none.
pub fn look(guest: &Guest, placed: &[GuestPath]) -> Vec<Finding> {
    let mut look = Look {
        guest,
        machine: machine_of(guest, placed),
        libraries: None,
        names: placed.iter().filter_map(GuestPath::name).filter(|name| is_library(name)).collect(),
        findings: Vec::new(),
    };
    let mut more = 0;
    for path in placed {
        if look.findings.len() < MAX_FINDINGS {
            look.file(path);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        look.findings.push(Finding {
            code: "more-programs",
            path: "/".to_owned(),
            message: format!("{MAX_FINDINGS} findings were made, and {more} more files were not looked at"),
            hint: "mend these first".to_owned(),
        });
    }
    look.findings
}

/// Whether somebody may execute the file at the real path `path`.
fn may_run(guest: &Guest, path: &GuestPath) -> bool {
    let found = guest.find(path, LastLink::Keep);
    found.and_then(|found| guest.metadata(&found.node)).is_ok_and(|metadata| metadata.permissions & 0o111 != 0)
}

struct Look<'a> {
    guest: &'a Guest,
    /// The machine that the guest is for, if that is known.
    machine: Option<Machine>,
    libraries: Option<Libraries<'a>>,
    /// The names of libraries that were put.
    names: BTreeSet<&'a [u8]>,
    findings: Vec<Finding>,
}

impl Look<'_> {
    fn file(&mut self, path: &GuestPath) {
        let guest = self.guest;
        // A later change may have removed it.
        let Ok(found) = guest.find(path, LastLink::Keep) else { return };
        if found.node.kind() != FileKind::Regular {
            return;
        }
        let may_run = may_run(guest, path);
        let Some(file) = GuestFile::new(guest, path) else { return };
        let start = file.read(0, script::LINE_BYTES);
        if may_run && start.starts_with(b"#!") {
            self.findings.extend(script::look(guest, path, &start));
        }
        let Some(machine) = self.machine else { return };
        if !may_run && !path.name().is_some_and(is_library) {
            return;
        }
        match program::read(&file) {
            Ok(Some(program)) => self.program(path, &program, machine),
            Ok(None) => {}
            Err(problem) => self.find(
                "broken-program",
                path,
                format!("`{path}` begins as an ELF file, but {problem}"),
                "see whether it was downloaded or copied completely",
            ),
        }
    }

    fn find(&mut self, code: &'static str, path: &GuestPath, message: String, hint: impl Into<String>) {
        self.findings.push(Finding { code, path: path.to_string(), message, hint: hint.into() });
    }

    fn program(&mut self, path: &GuestPath, program: &Program, machine: Machine) {
        let of = program.machine;
        if !machine.runs(of) {
            let message = format!("`{path}` is for {of}, and the guest is for {machine}: it cannot run there");
            return self.find(
                "wrong-machine",
                path,
                message,
                format!("build it for {machine}, or take a base for {of}"),
            );
        }
        if let Some(loader) = &program.loader
            && !GuestPath::new(loader).is_ok_and(|loader| regular(self.guest, &loader).is_some())
        {
            let told = Printable(loader);
            let message = format!("`{path}` is started by the loader `{told}`, which the guest does not have");
            return self.find("no-loader", path, message, loader_hint(loader, of, machine));
        }
        let guest = self.guest;
        let libraries = self.libraries.get_or_insert_with(|| Libraries::of(guest));
        let folders = libraries.folders(program, path);
        let mut missing = Vec::new();
        let mut found = Vec::new();
        for name in &program.needed {
            match libraries.find(name, of, &folders) {
                Some(library) => found.push((name, library)),
                // Whoever loads a library has loaded others before, from folders that only the program knows.
                None if program.loader.is_none() && self.names.contains(&name[..]) => {}
                None => missing.push(format!("`{}`", Printable(name))),
            }
        }
        if !missing.is_empty() {
            let message = format!(
                "`{path}` needs {}, which the guest does not have (looked in {})",
                words::list(&missing, "and"),
                told(&folders)
            );
            let hint = "install the package that has it with `--network --install PACKAGE`, or put the library into one of these folders";
            self.find("no-library", path, message, hint);
        }
        for (name, library) in found {
            let needs = program.version_needs.iter().filter(|need| need.library == *name);
            let versions: Vec<&[u8]> = needs.flat_map(|need| &need.versions).map(Vec::as_slice).collect();
            self.versions(path, &versions, &library);
        }
    }

    /// Says what `path` needs of a library that has it, but not all of `versions`.
    fn versions(&mut self, path: &GuestPath, versions: &[&[u8]], found: &libraries::Found) {
        let has = &found.library.versions;
        // Without any version, a loader takes what there is.
        if has.is_empty() {
            return;
        }
        let missing = versions.iter().filter(|version| !has.iter().any(|other| other == *version));
        let Some(needed) = missing.max_by_key(|version| order(version)) else { return };
        let (prefix, _) = split(needed);
        let highest = has.iter().filter(|other| split(other).0 == prefix).max_by_key(|version| order(version));
        let code = match prefix {
            b"GLIBC" => "old-glibc",
            b"GLIBCXX" | b"CXXABI" => "old-libstdcxx",
            _ => "old-library",
        };
        let has = match highest {
            Some(highest) => format!("has {} at most", Printable(highest)),
            None => "has no such version".to_owned(),
        };
        let message = format!("`{path}` needs {}, and the guest's `{}` {has}", Printable(needed), found.path);
        let hint = "build it on a system that is not newer than the guest, link it statically, or take a newer base";
        self.find(code, path, message, hint);
    }
}

/// The machine that most of the guest's own programs are for: none of those that were put, which may be the wrong ones.
fn machine_of(guest: &Guest, placed: &[GuestPath]) -> Option<Machine> {
    PROGRAMS.into_iter().find_map(|name| {
        let path = regular(guest, &known(name)).filter(|path| !placed.contains(path))?;
        let file = GuestFile::new(guest, &path)?;
        program::read(&file).ok().flatten().map(|program| program.machine)
    })
}

/// Whether a file with this name is a library: `libssl.so`, `libssl.so.3`, but not what is for a debugger.
fn is_library(name: &[u8]) -> bool {
    let is_named = name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.");
    is_named && !name.ends_with(b".debug")
}

/// The folders that were looked in, the first of them.
fn told(folders: &[GuestPath]) -> String {
    let mut told: Vec<String> = folders.iter().take(MAX_TOLD_FOLDERS).map(ToString::to_string).collect();
    if folders.len() > MAX_TOLD_FOLDERS {
        told.push(format!("{} more", folders.len() - MAX_TOLD_FOLDERS));
    }
    told.join(", ")
}

fn loader_hint(loader: &[u8], of: Machine, guest: Machine) -> String {
    let name = loader.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    if name.starts_with(b"ld-musl-") {
        return "it is linked with musl, as on Alpine: link it statically, or build it for the guest's own C library"
            .to_owned();
    }
    if of != guest {
        return format!("build it for {guest}, or have the guest get the C library of {of}");
    }
    "link it statically, or build it for the guest's own C library".to_owned()
}

/// `GLIBC` and `2.34` of `GLIBC_2.34`.
fn split(version: &[u8]) -> (&[u8], &[u8]) {
    match version.iter().rposition(|&byte| byte == b'_') {
        Some(at) => (&version[..at], &version[at + 1..]),
        None => (version, b""),
    }
}

/// What versions are compared by: the numbers in them, and then all.
fn order(version: &[u8]) -> (Vec<u64>, &[u8]) {
    let (_, numbers) = split(version);
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    (numbers.split(|&byte| byte == b'.').map_while(number).collect(), version)
}

#[cfg(test)]
mod tests;
