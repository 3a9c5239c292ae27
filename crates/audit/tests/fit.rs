//! Programs in a guest that has this machine's C library. `ldd` and `readelf` are the judges.

use std::fs;
use std::path::Path;

use audit::{Finding, fit};
use guest::GuestPath;
use testkit::judge::judge;

use crate::{Tree, told};

/// A guest with `env`, its loader and its libraries.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.host("/usr/bin/env");
    for path in libraries(Path::new("/usr/bin/env")) {
        tree.host(&path);
    }
    tree
}

/// The files that `ldd` finds, the loader among them.
fn libraries(program: &Path) -> Vec<String> {
    let said = judge("ldd").arg(program).succeed().stdout;
    let words = said.lines().flat_map(|line| line.split_ascii_whitespace().find(|word| word.starts_with('/')));
    words.map(str::to_owned).collect()
}

fn look(tree: &Tree, placed: &[&str]) -> Vec<Finding> {
    let placed: Vec<GuestPath> = placed.iter().map(|path| path.parse().unwrap()).collect();
    fit::look(&tree.guest(), &placed)
}

/// `program` with the first of some bytes replaced by others that are not longer, and NULs.
fn patched(program: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = program.windows(from.len()).position(|part| part == from).expect("the bytes are there");
    let mut program = program.to_vec();
    program[at..at + from.len()].fill(0);
    program[at..at + to.len()].copy_from_slice(to);
    program
}

/// Compiles `source`.
fn compile(tree: &Tree, name: &str, source: &str, arguments: &[&str]) -> Vec<u8> {
    let file = tree.work(&format!("{name}.c"));
    fs::write(&file, source).unwrap();
    let program = tree.work(name);
    judge("cc").arg("-o").arg(&program).arg(&file).args(arguments).succeed();
    fs::read(program).unwrap()
}

#[test]
fn what_ldd_finds_is_found() {
    let tree = tree();
    let hello = compile(&tree, "hello", "#include <stdio.h>\nint main(void){return puts(\"hi\")<0;}", &[]);
    tree.file("usr/local/bin/hello", &hello, 0o755);
    let said = judge("ldd").arg(tree.work("hello")).succeed().stdout;
    assert!(!said.contains("not found"), "{said}");
    assert_eq!(look(&tree, &["/usr/local/bin/hello"]), []);
    // A static program needs nothing.
    let fixed = compile(&tree, "fixed", "int main(void){return 0;}", &["-static"]);
    tree.file("usr/local/bin/fixed", &fixed, 0o755);
    assert_eq!(look(&tree, &["/usr/local/bin/fixed"]), []);
}

#[test]
fn a_newer_glibc_than_the_guests_is_told_with_both_versions() {
    let tree = tree();
    let hello = compile(&tree, "hello", "#include <stdio.h>\nint main(void){return puts(\"hi\")<0;}", &[]);
    let said = judge("objdump").arg("-p").arg(tree.work("hello")).succeed().stdout;
    let newest = ["GLIBC_2.34", "GLIBC_2.17"].into_iter().find(|version| said.contains(version));
    let newer = patched(&hello, newest.expect("a version that can be replaced").as_bytes(), b"GLIBC_2.99");
    tree.file("usr/local/bin/newer", &newer, 0o755);
    let findings = look(&tree, &["/usr/local/bin/newer"]);
    assert_eq!(told(&findings), [("old-glibc", "/usr/local/bin/newer")]);
    // The loader's own word, by the same library.
    let program = tree.path("usr/local/bin/newer");
    let refused = judge("ldd").arg(&program).run();
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains("`GLIBC_2.99' not found"));
    let message = &findings[0].message;
    assert!(message.starts_with("`/usr/local/bin/newer` needs GLIBC_2.99, and the guest's `/usr/lib"), "{message}");
    let libc = libraries(Path::new("/usr/bin/env")).into_iter().find(|path| path.contains("libc.so")).unwrap();
    let has = judge("objdump").arg("-p").arg(fs::canonicalize(libc).unwrap()).succeed().stdout;
    let highest = message.rsplit_once(" has ").unwrap().1.strip_suffix(" at most").unwrap();
    assert!(has.contains(highest), "{message}");
    let minor = |version: &str| version.strip_prefix("GLIBC_2.").and_then(|rest| rest.parse::<u32>().ok());
    let highest_of_all = has.split_ascii_whitespace().filter_map(minor).max();
    assert_eq!(minor(highest), highest_of_all);
}

/// The source and the version script of a library with some versions of C++'s.
const OLD: &str = "GLIBCXX_3.4 { global: one; local: *; };\n";
const NEW: &str = "GLIBCXX_3.4 { global: one; local: *; };\nGLIBCXX_3.4.99 { global: two; } GLIBCXX_3.4;\n";

#[test]
fn a_newer_cplusplus_library_than_the_guests_is_told() {
    let tree = tree();
    let source = "int one(void){return 1;}\nint two(void){return 2;}\n";
    let mut compiled = Vec::new();
    for (name, script) in [("old", OLD), ("new", NEW)] {
        fs::write(tree.work("versions"), script).unwrap();
        let script = format!("-Wl,--version-script={}", tree.work("versions").display());
        let library = compile(&tree, name, source, &["-shared", "-fPIC", "-Wl,-soname,libstdc++.so.6", &script]);
        compiled.push(library);
    }
    fs::copy(tree.work("new"), tree.work("libstdc++.so.6")).unwrap();
    let library = tree.work("libstdc++.so.6").display().to_string();
    let program = "int one(void);int two(void);int main(void){return one()+two()-3;}";
    let program = compile(&tree, "app", program, &[&library]);
    tree.file("opt/app/app", &program, 0o755);
    // Not there, then there and old, then there and new.
    let findings = look(&tree, &["/opt/app/app"]);
    assert_eq!(told(&findings), [("no-library", "/opt/app/app")]);
    let message = &findings[0].message;
    assert!(message.contains("needs `libstdc++.so.6`, which the guest does not have (looked in "), "{message}");
    assert!(message.contains("/usr/lib)"), "{message}");
    tree.file("opt/lib/libstdc++.so.6", &compiled[0], 0o644).file(
        "etc/ld.so.conf",
        "include /etc/ld.so.conf.d/*.conf",
        0o644,
    );
    tree.file("etc/ld.so.conf.d/opt.conf", "# ours\n/opt/lib\ninclude /etc/ld.so.conf\n", 0o644);
    let findings = look(&tree, &["/opt/app/app"]);
    assert_eq!(told(&findings), [("old-libstdcxx", "/opt/app/app")]);
    let expected =
        "`/opt/app/app` needs GLIBCXX_3.4.99, and the guest's `/opt/lib/libstdc++.so.6` has GLIBCXX_3.4 at most";
    assert_eq!(findings[0].message, expected);
    let said = judge("ldd").env("LD_LIBRARY_PATH", tree.path("opt/lib")).arg(tree.path("opt/app/app")).run();
    assert!(format!("{}{}", said.stdout, said.stderr).contains("`GLIBCXX_3.4.99' not found"));
    tree.file("opt/lib/libstdc++.so.6", &compiled[1], 0o644);
    assert_eq!(look(&tree, &["/opt/app/app"]), []);
}

#[test]
fn a_library_is_found_by_the_programs_own_folders() {
    let tree = tree();
    let library =
        compile(&tree, "libown.so", "int own(void){return 0;}", &["-shared", "-fPIC", "-Wl,-soname,libown.so"]);
    let path = tree.work("libown.so").display().to_string();
    let source = "int own(void);int main(void){return own();}";
    let program = compile(&tree, "app", source, &[&path, "-Wl,-rpath,$ORIGIN/../lib", "-Wl,--enable-new-dtags"]);
    tree.file("opt/app/bin/app", &program, 0o755);
    let findings = look(&tree, &["/opt/app/bin/app"]);
    assert_eq!(told(&findings), [("no-library", "/opt/app/bin/app")]);
    assert!(findings[0].message.contains("(looked in /opt/app/bin/../lib, "), "{}", findings[0].message);
    let said = judge("ldd").arg(tree.path("opt/app/bin/app")).run().stdout;
    assert!(said.contains("libown.so => not found"), "{said}");
    tree.file("opt/app/lib/libown.so", &library, 0o644);
    assert_eq!(look(&tree, &["/opt/app/bin/app"]), []);
    let said = judge("ldd").arg(tree.path("opt/app/bin/app")).succeed().stdout;
    assert!(!said.contains("not found"), "{said}");
}

#[test]
fn another_machine_and_another_loader_are_told() {
    let tree = tree();
    let hello = compile(&tree, "hello", "int main(void){return 0;}", &[]);
    // `e_machine`: AArch64, or x86-64 where that is this one.
    let mut foreign = hello.clone();
    let (number, name, ours) = if hello[18] == 62 { (183, "aarch64", "x86_64") } else { (62, "x86_64", "aarch64") };
    foreign[18] = number;
    tree.file("usr/local/bin/foreign", &foreign, 0o755);
    let said = judge("readelf").arg("-h").arg(tree.path("usr/local/bin/foreign")).succeed().stdout.to_lowercase();
    assert!(said.contains(if name == "aarch64" { "aarch64" } else { "x86-64" }), "{said}");
    let said = judge("readelf").arg("-l").arg(tree.work("hello")).succeed().stdout;
    let loader = said.split_once("Requesting program interpreter: ").unwrap().1.split(']').next().unwrap();
    let musl = format!("/lib/ld-musl-{ours}.so.1");
    tree.file("usr/local/bin/musl", patched(&hello, loader.as_bytes(), musl.as_bytes()), 0o755);
    let said = judge("readelf").arg("-l").arg(tree.path("usr/local/bin/musl")).succeed().stdout;
    assert!(said.contains(&format!("Requesting program interpreter: {musl}]")), "{said}");
    // Cut off, as by a download that failed.
    tree.file("usr/local/bin/cut", &hello[..hello.len() / 4], 0o755);
    let placed = ["/usr/local/bin/foreign", "/usr/local/bin/musl", "/usr/local/bin/cut", "/usr/local/bin/gone"];
    let findings = look(&tree, &placed);
    let expected = [
        ("wrong-machine", "/usr/local/bin/foreign"),
        ("no-loader", "/usr/local/bin/musl"),
        ("broken-program", "/usr/local/bin/cut"),
    ];
    assert_eq!(told(&findings), expected);
    let message = format!("`/usr/local/bin/foreign` is for {name}, and the guest is for {ours}: it cannot run there");
    assert_eq!(findings[0].message, message);
    let message = format!("`/usr/local/bin/musl` is started by the loader `{musl}`, which the guest does not have");
    assert_eq!(findings[1].message, message);
    assert!(findings[1].hint.contains("musl"), "{}", findings[1].hint);
    assert!(findings[2].message.contains("it is cut off"), "{}", findings[2].message);
}

#[test]
fn a_script_needs_its_interpreter() {
    let tree = tree();
    tree.host("/bin/sh").file("usr/bin/dull", "", 0o644);
    for (name, content) in [
        ("plain", "#!/bin/sh\n"),
        ("option", "#! /bin/sh -e\n"),
        ("env", "#!/usr/bin/env sh\n"),
        ("split", "#!/usr/bin/env -S A=1 sh -e\n"),
        ("missing", "#!/usr/bin/python3\n"),
        ("no-env", "#!/usr/bin/env python3\n"),
        ("windows", "#!/bin/sh\r\necho\r\n"),
        ("dull", "#!/usr/bin/dull\n"),
        ("text", "echo\n"),
    ] {
        tree.file(&format!("usr/local/bin/{name}"), content, 0o755);
    }
    tree.file("usr/local/bin/data", "#!/usr/bin/python3\n", 0o644);
    let names = ["plain", "option", "env", "split", "missing", "no-env", "windows", "dull", "text", "data"];
    let placed: Vec<String> = names.iter().map(|name| format!("/usr/local/bin/{name}")).collect();
    let findings = look(&tree, &placed.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = [
        ("no-interpreter", "/usr/local/bin/missing"),
        ("no-interpreter", "/usr/local/bin/no-env"),
        ("carriage-return", "/usr/local/bin/windows"),
        ("no-interpreter", "/usr/local/bin/dull"),
    ];
    assert_eq!(told(&findings), expected);
    let missing = "the script `/usr/local/bin/missing` runs by `/usr/bin/python3`, which the guest does not have";
    assert_eq!(findings[0].message, missing);
    assert!(findings[1].message.contains("runs by `python3`"), "{}", findings[1].message);
    assert!(findings[1].message.contains("(looked in /usr/local/sbin, /usr/local/bin, "), "{}", findings[1].message);
}

#[test]
fn a_guest_without_programs_of_its_own_says_nothing_of_elf_files() {
    let tree = Tree::new();
    tree.host("/usr/bin/env");
    assert_eq!(look(&tree, &["/usr/bin/env"]), []);
}
