//! Commands that other programs have: what they are here, with the user's own arguments in their places.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use customize::verbs;

use super::given::{Given, is_called_like_an_image};
use super::line::Line;

/// What a command of another program is here.
#[derive(Clone, Copy)]
enum Meant {
    /// A command that takes what was given, the image first. What it needs besides is called so.
    Command(&'static [&'static str], &'static [&'static str]),
    /// A command that takes what was given as it is.
    AsItIs(&'static [&'static str]),
    /// A change with this flag for each of the words.
    Each(&'static str),
    /// A change with this flag, whose value is the words with colons between them.
    Flag(&'static str),
    /// A change with this flag, whose value is packages.
    Packages(&'static str),
    /// All packages are made newer.
    Upgrade,
    /// A mode or an owner for each of the paths after it.
    First(&'static str),
    /// A command in the guest.
    Run,
    /// Files go into the guest; where that is so, into a folder always.
    Put { into_folder: bool },
    /// Files come out of the guest.
    Get,
    /// Files go in or out.
    Copy,
    /// A file is edited.
    Edit,
    /// What makes an image that one of its own.
    Blank,
}

/// The words, in lower case.
const WORDS: &[(&[&str], Meant)] = &[
    (
        &[
            "info",
            "show",
            "describe",
            "stat",
            "inspector",
            "filesystems",
            "list-filesystems",
            "list-partitions",
            "partitions",
            "df",
            "details",
            "identify",
        ],
        Meant::Command(&["inspect"], &[]),
    ),
    (&["packages", "list-packages"], Meant::Command(&["inspect", "--packages"], &[])),
    (&["list", "ls", "dir", "ll", "la", "list-files"], Meant::Command(&["ls"], &[])),
    (&["find", "tree", "du"], Meant::Command(&["ls", "-R"], &[])),
    (
        &["cat-file", "cat", "type", "less", "more", "head", "tail", "view", "print", "read", "log"],
        Meant::Command(&["cat"], &["PATH"]),
    ),
    (&["compare", "diff", "cmp", "delta"], Meant::Command(&["diff"], &["IMAGE"])),
    (&["verify", "fsck", "validate", "e2fsck", "scan"], Meant::Command(&["check"], &[])),
    (&["repair", "fix"], Meant::Command(&["check", "--repair"], &[])),
    (&["start", "launch", "up", "qemu", "vm", "console", "login", "power-on", "kvm"], Meant::Command(&["boot"], &[])),
    (&["judge", "smoke"], Meant::Command(&["test"], &[])),
    (
        &["sparsify", "compress", "export", "shrink", "optimise", "optimize", "convert-to", "flatten"],
        Meant::Command(&["convert"], &["SMALLER.qcow2"]),
    ),
    (&["grow", "enlarge", "expand", "extend"], Meant::Command(&["resize"], &[])),
    (&["unmount", "guestunmount", "fusermount"], Meant::AsItIs(&["umount"])),
    (&["guestmount", "attach", "nbd"], Meant::Command(&["mount"], &["DIR"])),
    (&["create", "make", "new", "bake", "generate", "compose", "builder"], Meant::AsItIs(&["build"])),
    (&["modify", "change", "patch", "apply", "provision"], Meant::Command(&["customize"], &[])),
    (&["pull", "base", "bases"], Meant::AsItIs(&["fetch"])),
    (&["gc", "clean", "prune"], Meant::AsItIs(&["cache", "prune"])),
    (&["iso", "mkiso", "genisoimage", "mkisofs", "nocloud"], Meant::AsItIs(&["seed", "iso"])),
    (&["lint", "schema"], Meant::AsItIs(&["seed", "check"])),
    (&["version"], Meant::AsItIs(&["--version"])),
    (&["rm", "delete", "del", "unlink", "erase", "rmdir", "remove-files"], Meant::Each("remove")),
    (&["remove", "mkdir", "touch", "truncate", "scrub", "run-script", "first-boot"], Meant::Each("")),
    (&["chmod", "chown"], Meant::First("")),
    (&["mv", "rename"], Meant::Flag("move")),
    (&["ln", "symlink"], Meant::Flag("link")),
    (&["passwd", "set-password", "root-password"], Meant::Flag("password")),
    (&["ssh-inject", "inject-key"], Meant::Flag("ssh-key")),
    (&["useradd", "adduser"], Meant::Flag("user")),
    (&["tar-in", "unarchive"], Meant::Flag("tar")),
    (&["install", "add-package", "add-packages"], Meant::Packages("install")),
    (&["uninstall", "remove-package", "remove-packages", "purge"], Meant::Packages("uninstall")),
    (&["upgrade", "dist-upgrade", "full-upgrade"], Meant::Upgrade),
    (
        &["run", "exec", "shell", "sh", "bash", "command", "run-command", "chroot", "enter", "nspawn", "guestfish"],
        Meant::Run,
    ),
    (&["put", "push", "upload", "insert", "inject", "import"], Meant::Put { into_folder: false }),
    (&["copy-in", "add"], Meant::Put { into_folder: true }),
    (&["extract", "copy-out", "download", "export-file", "tar-out", "fetch-file"], Meant::Get),
    (&["cp", "copy", "scp", "rsync"], Meant::Copy),
    (&["edit", "vi", "vim", "nano", "sed", "ed"], Meant::Edit),
    (&["sysprep", "generalize", "generalise", "reset", "blank", "anonymize"], Meant::Blank),
];

/// What `word` is here, in lines of which each can be what was meant, or which together are it; nothing for a word that
/// nobody has.
pub(super) fn lines(word: &str, arguments: &[OsString]) -> (Vec<Line>, &'static str) {
    let word = word.to_ascii_lowercase().replace('_', "-");
    let word = word.strip_prefix("virt-").unwrap_or(&word);
    if word == "resize" {
        return (resize_to(arguments).into_iter().collect(), "or");
    }
    let known = WORDS.iter().find(|(words, _)| words.contains(&word)).map(|(_, meant)| *meant);
    let flag = verbs().flat_map(|verb| verb.flags).find(|flag| flag.name == word).map(|flag| flag.name);
    let given = Given::new(arguments);
    let meant = match (known, flag) {
        (Some(Meant::Each("")), Some(flag)) => Meant::Each(flag),
        (Some(Meant::First("")), Some(flag)) => Meant::First(flag),
        (Some(meant), _) => meant,
        // Each change that has a flag.
        (None, Some(flag)) => Meant::Flag(flag),
        (None, None) => return (Vec::new(), "or"),
    };
    // `get` takes one path.
    let is_several = matches!(meant, Meant::Get) || (matches!(meant, Meant::Copy) && !given.words.is_empty());
    (meant.lines(&given, arguments), if is_several { "and" } else { "or" })
}

/// `resize IN OUT`, as virt-resize has it.
pub(super) fn resize_to(arguments: &[OsString]) -> Option<Line> {
    let given = Given::new(arguments);
    // Else it is a size with a slip in it.
    let [output] = &given.words[..] else { return None };
    if !is_called_like_an_image(output) {
        return None;
    }
    let line = Line::new(["resize".into(), given.image.clone()?, "-o".into(), output.clone()]);
    line.parse().is_ok().then_some(line)
}

impl Meant {
    fn lines(self, given: &Given, arguments: &[OsString]) -> Vec<Line> {
        let image = given.image.clone().unwrap_or_else(|| "IMAGE".into());
        let customize = || Line::new(["customize".into(), image.clone()]);
        let network = || customize().with(["--network"]);
        match self {
            Self::Command(command, missing) => {
                let with_image = || Line::new(command).with([image.clone()]);
                let tries = [
                    with_image().with(&given.rest),
                    with_image().with(&given.words),
                    with_image(),
                    with_image().with(missing),
                ];
                vec![Line::best(tries)]
            }
            Self::AsItIs(command) => {
                vec![Line::best([Line::new(command).with(arguments), Line::new(command)])]
            }
            Self::Each(flag) => vec![changes(customize(), flag, given.words.clone())],
            Self::Flag(flag) => vec![changes(customize(), flag, joined(&given.words, ":"))],
            Self::Packages("install") => vec![changes(network(), "install", joined(&given.words, ","))],
            Self::Packages(flag) => vec![changes(customize(), flag, joined(&given.words, ","))],
            Self::Upgrade => vec![network().with(["--update"])],
            Self::First(flag) => {
                let Some((first, paths)) = given.words.split_first() else {
                    return vec![changes(customize(), flag, Vec::new())];
                };
                let first = with_zero(first, flag);
                let values = paths.iter().flat_map(|path| joined(&[first.clone(), path.clone()], ":"));
                vec![changes(customize(), flag, values.collect())]
            }
            Self::Run => run(given, &customize, &image),
            Self::Put { into_folder } => vec![put(given, customize(), into_folder)],
            Self::Get => get(given, &image),
            Self::Copy => match (given.before, &given.words[..]) {
                (_, []) => vec![put(given, customize(), false), Line::new(["get".into(), image, "PATH".into()])],
                (0, _) => get(given, &image),
                _ => vec![put(given, customize(), false)],
            },
            Self::Edit => {
                let path = given.words.iter().find(|word| word.as_bytes().starts_with(b"/"));
                let mut value = path.cloned().unwrap_or_else(|| "PATH".into());
                value.push(":REGEX:TEXT");
                let edit = customize().with(["--replace".into(), value]);
                vec![edit, Line::new(["mount".into(), image, "DIR".into()])]
            }
            Self::Blank => vec![customize().with(["--clean"])],
        }
    }
}

/// `line` with `flag` for each of `values`; where it is not understood like that, with what the flag takes.
fn changes(line: Line, flag: &str, values: Vec<OsString>) -> Line {
    let option = OsString::from(format!("--{flag}"));
    let form = verbs().flat_map(|verb| verb.flags).find(|other| other.name == flag).and_then(|flag| flag.value);
    let whole = values.iter().fold(line.clone(), |line, value| line.with([option.clone(), value.clone()]));
    let placeholder = line.with([option]).with(form);
    // A line without a value would be a change that nobody asked for.
    if values.is_empty() { placeholder } else { Line::best([whole, placeholder]) }
}

/// The words as one value; none for no words.
fn joined(words: &[OsString], between: &str) -> Vec<OsString> {
    if words.is_empty() { Vec::new() } else { vec![words.join(OsStr::new(between))] }
}

/// `755` as `0755`, where it is a mode.
fn with_zero(word: &OsStr, flag: &str) -> OsString {
    let mut mode = OsString::new();
    if flag == "chmod" && word.as_bytes().iter().all(u8::is_ascii_digit) && !word.as_bytes().starts_with(b"0") {
        mode.push("0");
    }
    mode.push(word);
    mode
}

fn run(given: &Given, customize: &dyn Fn() -> Line, image: &OsStr) -> Vec<Line> {
    match &given.after[..] {
        [] => vec![customize().with(["--run", "COMMAND"]), Line::new([OsStr::new("boot"), image])],
        // One word is a line for a shell already, or a script of this machine.
        [script] if !script.as_bytes().starts_with(b"/") && Path::new(script).is_file() => {
            vec![customize().with([OsStr::new("--run-script"), script])]
        }
        [line] => vec![customize().with([OsStr::new("--run"), line])],
        words => {
            let line: Vec<String> = words.iter().map(|word| vm::quoted(word)).collect();
            vec![customize().with(["--run".to_owned(), line.join(" ")])]
        }
    }
}

fn put(given: &Given, line: Line, into_folder: bool) -> Line {
    let [sources @ .., destination] = &given.words[..] else { return changes(line, "put", Vec::new()) };
    if sources.is_empty() {
        return changes(line, "put", vec![destination.clone()]);
    }
    let mut destination = destination.clone();
    if (into_folder || sources.len() > 1) && !destination.as_bytes().ends_with(b"/") {
        destination.push("/");
    }
    let values = sources.iter().flat_map(|source| joined(&[source.clone(), destination.clone()], ":"));
    changes(line, "put", values.collect())
}

fn get(given: &Given, image: &OsStr) -> Vec<Line> {
    let (paths, destination) = match &given.words[..] {
        [paths @ .., last] if !paths.is_empty() => (paths, Some(last)),
        paths => (paths, None),
    };
    if paths.is_empty() {
        return vec![Line::new([OsStr::new("get"), image, OsStr::new("PATH")])];
    }
    paths.iter().map(|path| Line::new([OsStr::new("get"), image, path]).with(destination)).collect()
}
