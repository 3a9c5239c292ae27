//! What the README and every chapter of the book show at a prompt is typed here, line by line, and has to work. A block
//! below `<!-- file: NAME -->` is a file that the reader makes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::documents::{self, root};
use crate::support::{World, noise};
use testkit::fixture::{self, Options};
use testkit::judge::judge;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@host\n";

/// A block of a document, and what its mark says.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    /// Each line that is typed, with the lines that are shown below it.
    typed: Vec<(String, Vec<String>)>,
    /// How the last line ends; nothing where the block is not run.
    ends_with: Option<i32>,
}

/// What a document has its reader do.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Type(Block),
    /// Make a file of this name and content.
    Write(String, String),
}

/// The parts of a document, in order.
///
/// # Errors
///
/// A block that has nothing to type and no mark, and a mark that does not say why.
fn parts(text: &str) -> Result<Vec<Part>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let indent = lines[at].len() - lines[at].trim_start().len();
        let line = at + 1;
        let mark = at.checked_sub(1).map_or("", |before| lines[before].trim());
        let mark = mark.strip_prefix("<!--").and_then(|mark| mark.strip_suffix("-->")).map_or("", str::trim);
        if let (Some(name), true) = (mark.strip_prefix("file: "), lines[at].trim().starts_with("```")) {
            let length = lines[at + 1..].iter().position(|line| line.trim() == "```");
            let length = length.ok_or_else(|| format!("line {line}: the block does not end"))?;
            let content = lines[at + 1..=at + length].iter().map(|line| format!("{line}\n")).collect();
            parts.push(Part::Write(name.to_owned(), content));
            at += length + 2;
            continue;
        }
        if lines[at].trim() != "```console" {
            at += 1;
            continue;
        }
        let ends_with = match mark.split_once(": ") {
            Some(("not run", reason)) if !reason.trim().is_empty() => None,
            Some(("run", how)) => {
                let code = how.strip_prefix("ends with ").and_then(|code| code.parse().ok());
                Some(code.ok_or_else(|| format!("line {line}: `{mark}` is no mark"))?)
            }
            _ if mark.starts_with("not run") => return Err(format!("line {line}: the mark does not say why")),
            _ => Some(0),
        };
        let mut typed: Vec<(String, Vec<String>)> = Vec::new();
        at += 1;
        while lines[at].trim() != "```" {
            let shown = lines[at].get(indent..).unwrap_or("");
            match (shown.strip_prefix("$ "), typed.last_mut()) {
                (Some(command), _) => typed.push((command.to_owned(), Vec::new())),
                (None, Some((command, output))) if command.ends_with('\\') && output.is_empty() => {
                    command.push('\n');
                    command.push_str(shown);
                }
                (None, Some((_, output))) => output.push(shown.to_owned()),
                (None, None) => return Err(format!("line {line}: nothing is typed at the block's beginning")),
            }
            at += 1;
        }
        if typed.is_empty() {
            return Err(format!("line {line}: nothing is typed"));
        }
        parts.push(Part::Type(Block { line, typed, ends_with }));
    }
    Ok(parts)
}

/// A line without what another file, another day or another machine changes: numbers, units, runs of blanks.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_ascii_digit() {
            while characters.next_if(|next| next.is_ascii_digit() || matches!(next, '.' | ',')).is_some() {}
            shape.push('#');
        } else if character == ' ' {
            while characters.next_if_eq(&' ').is_some() {}
            shape.push(' ');
        } else {
            shape.push(character);
        }
    }
    for unit in ["KiB", "MiB", "GiB"] {
        shape = shape.replace(unit, "B");
    }
    shape.replace("-#", "#").replace("+#", "#").trim_end().to_owned()
}

/// A folder with what the documents take for given.
fn folder() -> World {
    let world = World::empty();
    let base = fixture::small_cloud_image(&Options::default());
    symlink(&base, world.path("noble.img")).unwrap();
    fs::copy(&base, world.path("my.img")).unwrap();
    world.mode("my.img", 0o644);
    // The fixture has no package manager.
    world.run("customize my.img --write /usr/bin/apt-get:apt --chmod 0755:/usr/bin/apt-get").succeeds();
    world.file("dist/autonoe", noise(1, 40_000)).mode("dist/autonoe", 0o755);
    world.file("dist/app", noise(2, 40_000)).file("dist/data/one", "1\n");
    fs::File::create(world.path("data.img")).unwrap().set_len(8 << 20).unwrap();
    judge("mkfs.ext4").args(["-q", "-F"]).arg(world.path("data.img")).succeed();
    world.file("id_ed25519.pub", KEY).file("home/.ssh/id_ed25519.pub", KEY);
    world.file("user-data.yaml", fs::read(root().join("examples/user-data.yaml")).unwrap());
    world.file("more.sh", "#!/bin/sh\necho hi\n");
    world.file("recipes/autonoe.toml", fs::read(root().join("recipes/autonoe.toml")).unwrap());
    world
}

/// Types what the document shows, and says how many lines those were.
fn type_all(document: &str) -> usize {
    let mut lines = 0;
    let text = fs::read_to_string(root().join(document)).unwrap();
    let parts = parts(&text).unwrap_or_else(|problem| panic!("{document}: {problem}"));
    let world = folder();
    let program = Path::new(env!("CARGO_BIN_EXE_imgraft")).parent().unwrap();
    let path = format!("{}:{}:{}", program.display(), world.path("home/.local/bin").display(), env!("PATH"));
    for part in parts {
        let Block { line, typed, ends_with } = match part {
            Part::Type(block) => block,
            Part::Write(name, content) => {
                world.file(&name, content);
                continue;
            }
        };
        let Some(last_code) = ends_with else { continue };
        let count = typed.len();
        lines += count;
        for (index, (command, shown)) in typed.into_iter().enumerate() {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(world.folder()).stdin(Stdio::null());
            shell.env("PATH", &path).env("HOME", world.path("home"));
            for name in ["SOURCE_DATE_EPOCH", "GITHUB_ACTIONS", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"] {
                shell.env_remove(name);
            }
            let output = shell.output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let code = if index + 1 == count { last_code } else { 0 };
            assert_eq!(output.status.code(), Some(code), "{document}:{line}: {command}\n{said}");
            if !shown.is_empty() {
                let shapes = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> { lines.map(shape).collect() };
                let expected = shapes(&mut shown.iter().map(String::as_str));
                let found: Vec<String> = shapes(&mut said.trim_end().lines());
                assert_eq!(found, expected, "{document}:{line}: {command}\n{said}");
            }
        }
    }
    lines
}

#[test]
fn what_the_readme_shows_works() {
    assert!(type_all("README.md") > 0);
}

#[test]
fn what_the_other_documents_show_works() {
    let (mut documents, mut typed) = (0, 0);
    for document in documents::all().into_iter().filter(|document| document != "README.md") {
        documents += 1;
        typed += type_all(&document);
    }
    assert!(documents >= 20 && typed >= 40, "{documents} {typed}");
}

#[test]
fn a_block_says_what_is_typed_or_why_it_is_not() {
    let typed = |text: &str| -> Result<Vec<Block>, String> {
        let block = |part| match part {
            Part::Type(block) => block,
            Part::Write(..) => panic!("{part:?}"),
        };
        Ok(parts(text)?.into_iter().map(block).collect())
    };
    let read = |text: &str| typed(text).map(|blocks| blocks.into_iter().map(|block| block.ends_with).collect());
    assert_eq!(read("```console\n$ a\n```\n"), Ok(vec![Some(0)]));
    assert_eq!(read("<!-- not run: slow -->\n```console\n$ a\n```\n"), Ok(vec![None]));
    assert_eq!(read("<!-- run: ends with 1 -->\n  ```console\n  $ a\n  ```\n"), Ok(vec![Some(1)]));
    assert!(read("```console\nonly said\n```\n").is_err());
    assert!(read("```console\n```\n").is_err());
    assert!(read("<!-- not run -->\n```console\n$ a\n```\n").is_err());
    let block = &typed("```console\n$ a \\\n    b\nsaid\n```\n").unwrap()[0];
    assert_eq!(block.typed, [("a \\\n    b".to_owned(), vec!["said".to_owned()])]);
    let file = parts("<!-- file: a/b.toml -->\n```toml\nx = 1\n\n[y]\n```\n").unwrap();
    assert_eq!(file, [Part::Write("a/b.toml".to_owned(), "x = 1\n\n[y]\n".to_owned())]);
    assert!(parts("<!-- file: a -->\n```toml\n").is_err());
    assert_eq!(shape("built x (277.0 MiB,  -192.0 KiB) in 1.1 s"), "built x (# B, # B) in # s");
}
