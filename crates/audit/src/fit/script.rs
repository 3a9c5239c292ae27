//! The program that a script runs by: its first line.

use guest::{Guest, GuestPath, Printable};

use super::may_run;
use crate::hygiene::PATH;
use crate::{Finding, on_path, regular};

/// The bytes of a script's first line that a kernel reads.
pub(super) const LINE_BYTES: usize = 256;

/// What is wrong with the script at `path`, which begins with `start`.
pub(super) fn look(guest: &Guest, path: &GuestPath, start: &[u8]) -> Option<Finding> {
    let line = start.strip_prefix(b"#!")?;
    let end = line.iter().position(|&byte| byte == b'\n');
    let line = &line[..end.unwrap_or(line.len())];
    let finding =
        |code, message, hint: &str| Some(Finding { code, path: path.to_string(), message, hint: hint.to_owned() });
    if end.is_some() && line.ends_with(b"\r") {
        let line = Printable(line.trim_ascii());
        return finding(
            "carriage-return",
            format!(
                "the first line of the script `{path}` ends with a carriage return, which the guest takes for a part of \
                 `{line}`"
            ),
            "save it with the line ends of Unix; `sed -i 's/\\r$//' FILE` makes them",
        );
    }
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let interpreter = words.next()?;
    let told = Printable(interpreter);
    let Some(real) = GuestPath::new(interpreter).ok().and_then(|path| regular(guest, &path)) else {
        return finding(
            "no-interpreter",
            format!("the script `{path}` runs by `{told}`, which the guest does not have"),
            "name a program of the guest in its first line, or have the guest get that one with \
             `--network --install PACKAGE`",
        );
    };
    if !may_run(guest, &real) {
        return finding(
            "no-interpreter",
            format!("the script `{path}` runs by `{told}`, which nobody may execute in the guest"),
            "give that one a mode such as 0755 with `--chmod`",
        );
    }
    if interpreter.rsplit(|&byte| byte == b'/').next() != Some(b"env") {
        return None;
    }
    // `env -S` takes more than one word, with variables before the program.
    let is_program = |word: &&[u8]| !word.starts_with(b"-") && !word.contains(&b'=');
    let name = words.find(is_program)?;
    let is_there = match name.contains(&b'/') {
        true => GuestPath::new(name).is_ok_and(|path| regular(guest, &path).is_some()),
        false => on_path(guest, name).is_some(),
    };
    if is_there {
        return None;
    }
    let name = Printable(name);
    finding(
        "no-interpreter",
        format!("the script `{path}` runs by `{name}`, which the guest does not have (looked in {})", PATH.join(", ")),
        "have the guest get it with `--network --install PACKAGE`",
    )
}
