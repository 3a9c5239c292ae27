//! Why a command ended without having done its work, as a user is told.

use std::error::Error;
use std::io;
use std::path::Path;

use customize::{Ended, RunError};
use graft::{Obstacle, SeedError, TargetProblem};

use crate::exit::Exit;
use crate::explain::{self, Topic};
use crate::show::Annotation;

/// What a user is told: what happened, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    /// What it is about, where that needs more than a line.
    pub(crate) topic: Option<&'static Topic>,
    /// The last lines that a command in the guest wrote.
    pub(crate) output: Vec<String>,
    /// A text that says it all, with the place in the user's own file.
    pub(crate) drawing: Option<String>,
    /// The same for programs that show it beside the text.
    pub(crate) annotations: Vec<Annotation>,
    exit: Exit,
    /// Whether it stays the first thing said, whatever it is [`within`](Self::within).
    is_final: bool,
}

impl Failure {
    /// A failure without a cause.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            message,
            causes: Vec::new(),
            hint: None,
            topic: None,
            output: Vec::new(),
            drawing: None,
            annotations: Vec::new(),
            exit: Exit::Trouble,
            is_final: false,
        }
    }

    /// A failure that is `error` itself.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(graft::describe(error));
        failure.add_causes(error.source());
        failure
    }

    /// A failure that is due to `error`.
    pub(crate) fn because(message: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(message);
        failure.add_causes(Some(error));
        failure
    }

    /// A failure that has told its story already.
    pub(crate) fn drawn(drawing: String, annotations: Vec<Annotation>) -> Self {
        Self { drawing: Some(drawing), annotations, ..Self::new("") }
    }

    /// The reader of our output has gone away: it has what it wanted.
    pub(crate) fn silent() -> Self {
        Self { exit: Exit::Done, ..Self::new("") }
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_silent(&self) -> bool {
        self.exit == Exit::Done
    }

    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Says what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says what to do about it, where there is something.
    pub(crate) fn hint_if(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Says what explains it.
    pub(crate) fn about(self, topic: impl Into<Option<&'static Topic>>) -> Self {
        Self { topic: topic.into().or(self.topic), ..self }
    }

    /// Says why, a line each.
    pub(crate) fn causes(self, causes: Vec<String>) -> Self {
        Self { causes, ..self }
    }

    /// This failure as the cause of a larger one.
    pub(crate) fn within(mut self, message: impl Into<String>) -> Self {
        if self.drawing.is_none() && !self.is_silent() && !self.is_final {
            self.causes.insert(0, std::mem::replace(&mut self.message, message.into()));
        }
        self
    }

    /// The message with its causes, for where there is a line and no more.
    pub(crate) fn in_one_line(&self) -> String {
        [std::slice::from_ref(&self.message), &self.causes[..]].concat().join(": ")
    }

    fn add_causes(&mut self, mut error: Option<&(dyn Error + 'static)>) {
        while let Some(cause) = error {
            let text = graft::describe(cause);
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            error = cause.source();
        }
    }
}

impl From<graft::Error> for Failure {
    fn from(error: graft::Error) -> Self {
        let mut failure = Self::of(&error).hint_if(hint(&error)).about(topic(&error));
        failure.causes.extend(error.details());
        if let graft::Error::Operation(customize::Error::Run(RunError::Failed { last_lines, .. })) = &error {
            failure.output.clone_from(last_lines);
        }
        // Whatever else is said, the image may have changed.
        failure.is_final = matches!(error, graft::Error::Undecided { .. });
        failure
    }
}

impl From<SeedError> for Failure {
    fn from(error: SeedError) -> Self {
        let hint = match &error {
            SeedError::Stream(error) if error.kind() == io::ErrorKind::BrokenPipe => return Self::silent(),
            SeedError::Stream(error) => return Self::because("standard output cannot be written", error),
            SeedError::PrivateKey { path } => {
                let path = path.display();
                format!("give the public one, `{path}.pub` as a rule; `ssh-keygen -y -f {path}` prints it")
            }
            SeedError::UnknownPart { .. } => {
                "begin it with `#cloud-config`, with `#!` and an interpreter, or as cloud-init has it otherwise"
                    .to_owned()
            }
            _ => return Self::of(&error),
        };
        Self::of(&error).hint(hint)
    }
}

/// What explains an error of the library, where that needs more than a line.
fn topic(error: &graft::Error) -> Option<&'static Topic> {
    use graft::Error as E;
    Some(match error {
        E::InUse { .. } => &explain::IN_USE,
        E::NoSpace { .. } => &explain::HOST_FULL,
        E::Image { error: image::Error::BackingFile { .. }, .. } => &explain::BACKING_FILE,
        E::Image { error: image::Error::Corrupt { .. } | image::Error::Truncated { .. }, .. }
        | E::MoreDamage { .. } => &explain::DAMAGED,
        E::Guest { error: guest::Error::NoRoot { unsupported, .. }, .. } if !unsupported.is_empty() => {
            &explain::FILE_SYSTEM
        }
        E::Unpack { error, .. } => return topic(error),
        _ if is_for_kind(error) => &explain::FILE_SYSTEM,
        E::Operation(error) if is_for_noted_errors(error) => &explain::DAMAGED,
        E::Operation(customize::Error::NoSpace { .. } | customize::Error::NoInodes { .. }) => &explain::GUEST_FULL,
        E::Operation(customize::Error::Run(error)) => match error {
            RunError::Unavailable { .. } => &explain::NO_RUNNER,
            RunError::Failed { status: Ended::TimedOut(_) | Ended::OutOfMemory(_), .. } => &explain::LIMITS,
            _ => return None,
        },
        _ if is_for_damaged_image(error) => &explain::DAMAGED,
        _ => return None,
    })
}

/// What to do about an error of the library, by the words of the command line.
fn hint(error: &graft::Error) -> Option<String> {
    use graft::Error as E;
    Some(match error {
        E::InUse { path, .. } => {
            format!("wait for it or stop it (`fuser -v {}` names it), or work on a copy", path.display())
        }
        E::Unwritable { path, obstacle: Some(obstacle), .. } => {
            let path = path.display();
            match obstacle {
                Obstacle::Owner(uid) => {
                    let owner = if *uid == 0 { "root".to_owned() } else { format!("the user {uid}") };
                    format!(
                        "it belongs to {owner}: work on a copy, or make a new image with `imgraft build --base {path}`"
                    )
                }
                Obstacle::Mode => format!("`chmod u+w {path}` lets its owner write to it"),
                Obstacle::Attribute(attribute) => format!("it has the attribute {attribute}; see chattr(1)"),
            }
        }
        E::Image { error: image::Error::BackingFile { .. }, .. } => {
            "with `--allow-backing` that file is opened, too: only for an image that you trust not to name any file \
             of yours"
                .to_owned()
        }
        E::Image { path, error: image::Error::Corrupt { .. } | image::Error::Truncated { .. } } => {
            format!("`imgraft check {}` says more", path.display())
        }
        E::Guest { error: guest::Error::NoRoot { unsupported, .. }, .. } if !unsupported.is_empty() => {
            "imgraft works in guests whose root is ext2, ext3, ext4 or XFS on a partition or in LVM, and reads btrfs: take \
             an image that has one of these, or the libguestfs tools, which start a virtual machine for the others"
                .to_owned()
        }
        _ if is_for_kind(error) => {
            "imgraft writes ext2, ext3, ext4, XFS and FAT, on this image's other partitions, too; for \
                                    the rest, a seed for cloud-init (`imgraft seed`) does the same at the first boot"
                .to_owned()
        }
        E::Guest { error: guest::Error::NoRoot { found, .. }, .. } if !found.is_empty() => {
            "for a disk without an operating system, `build`, `customize`, `ls`, `cat`, `get` and `mount` take \
             `--partition N`, 0 where it has no partitions, and `--volume GROUP/NAME` for a logical volume of LVM"
                .to_owned()
        }
        E::Compressed { path, .. } => {
            let path = path.display();
            format!("`imgraft build --base {path}` makes a new image of it, `imgraft convert {path}` unpacks it")
        }
        E::OverlayOverCompressed { .. } => {
            "an overlay needs a base that a virtual machine can read: `imgraft convert` makes one".to_owned()
        }
        E::Unpack { error, .. } => return hint(error),
        E::Unreadable { path, error } if error.kind() == io::ErrorKind::NotFound => return separate(path),
        E::Target { path, problem: TargetProblem::NamesFolder | TargetProblem::Directory } => {
            format!("name the image to make: `{}`", path.join("IMAGE").display())
        }
        E::Target { problem: TargetProblem::IsSource, .. } => {
            "give the new image another name; `imgraft customize` and `imgraft resize` change an image in its place"
                .to_owned()
        }
        E::UnknownEnd { end, .. } if end.eq_ignore_ascii_case("vhdx") => {
            "Azure takes fixed VHDs only, and Hyper-V takes them too: let the name end in `.vhd`".to_owned()
        }
        E::UnknownEnd { known, .. } => {
            let known: Vec<String> = known.iter().map(|end| format!("`{end}`")).collect();
            format!("let the name end in {}, or say what it is to be with `--format`", known.join(", "))
        }
        E::TargetIsLayer { .. } => "give the new image another name".to_owned(),
        E::HardLinks { path, .. } => {
            let path = path.display();
            format!("change a copy, `cp --reflink=auto {path} OTHER`, or remove the other names first")
        }
        E::NeedsFolder { .. } => "a qcow2 image changes in its own file and does not need another".to_owned(),
        E::NoSpace { .. } => "make room there, or work in another folder".to_owned(),
        E::ApplyDelta { error: delta, .. } | E::ReadDelta { error: delta, .. } => {
            use ::delta::Error as D;
            match delta {
                D::BaseSize { .. } | D::BaseDigest { .. } => {
                    "give the very file that it was made with; `imgraft delta info` says its digest".to_owned()
                }
                D::TooLarge { .. } => {
                    "`--max-size SIZE` allows more: only for a delta whose sender you trust".to_owned()
                }
                D::Corrupt { .. } | D::ImageDigest { .. } => "fetch the delta again".to_owned(),
                D::Version { .. } => "a newer imgraft may know it".to_owned(),
                _ => return None,
            }
        }
        E::Changed { .. } => "see whether a virtual machine or another program uses it".to_owned(),
        E::Undecided { path, .. } => {
            let path = path.display();
            format!("`imgraft ls {path}` and `imgraft check {path}` tell; see also the host's own log of errors")
        }
        E::Operation(error) => return operation_hint(error),
        E::Grow(guest::Error::Partition(partition::Error::NotLast { .. })) => {
            "only the partition that lies last on the disk can have the room after it".to_owned()
        }
        E::MoreDamage { path, .. } => {
            format!("`imgraft check {}` says what is wrong; repair it with `e2fsck` first", path.display())
        }
        E::WouldDamage { .. } | E::Unexplained { .. } => {
            "nothing was written; please report this, with the lines above".to_owned()
        }
        E::Unfit { findings } => match &findings[..] {
            [finding] => format!("{}; without `--strict` this is a warning", finding.hint),
            _ => "without `--strict` these are warnings, each with what to do".to_owned(),
        },
        E::NotReproducible { .. } => {
            "if a command made these files, remove them in a later step, or use `clean`; else see whether something \
             changes the base or the files that are put; if not, please report this"
                .to_owned()
        }
        _ => return None,
    })
}

/// What to do about an operation that cannot be carried out.
fn operation_hint(error: &customize::Error) -> Option<String> {
    if is_for_noted_errors(error) {
        return Some("with `--ignore-fs-errors` it is written to all the same".to_owned());
    }
    Some(match error {
        customize::Error::NoSpace { .. } | customize::Error::NoInodes { .. } => {
            "`--size` makes room in the root, such as `--size +2G`".to_owned()
        }
        customize::Error::Refused { hint, .. } => return hint.clone(),
        customize::Error::UnknownName { .. } => "a number is taken as it is".to_owned(),
        customize::Error::Guest(guest::Error::Path {
            problem: guest::PathProblem::DanglingLink { target, .. },
            ..
        }) => {
            let target = guest::Printable(target);
            format!("symlinks are followed inside the guest only: put something at `{target}` first")
        }
        customize::Error::NoNetwork { .. } => {
            "let commands use it with `--network`, or with `network = true` at the top of the recipe".to_owned()
        }
        customize::Error::Run(error) => return run_hint(error),
        customize::Error::NoPackageList { .. } => "leave out `keep.packages`".to_owned(),
        _ => return None,
    })
}

/// What to do about a command in the guest that was not run, or failed.
fn run_hint(error: &RunError) -> Option<String> {
    match error {
        RunError::Unavailable { hint, .. } | RunError::Refused { hint, .. } => hint.clone(),
        RunError::Failed { status, last_lines, log, .. } => {
            let log = log.as_ref().map(|log| format!("; all that the command wrote is in {}", log.display()));
            let remedy = match status {
                Ended::TimedOut(_) => Some("`--timeout TIME`, or `timeout` at the top of the recipe, gives it longer"),
                Ended::OutOfMemory(Some(_)) => {
                    Some("`--memory SIZE`, or `memory` at the top of the recipe, gives it more")
                }
                _ => remedy(last_lines),
            };
            let remedy = remedy.map(|remedy| format!("; {remedy}"));
            Some(format!("nothing was changed{}{}", log.unwrap_or_default(), remedy.unwrap_or_default()))
        }
        _ => None,
    }
}

/// What to do about a command that failed for a reason that its last lines tell.
fn remedy(last_lines: &[String]) -> Option<&'static str> {
    const REMEDIES: [(&[&str], &str); 3] = [
        (&["No space left on device"], "`--size` makes room in the root, such as `--size +2G`"),
        (
            &["Temporary failure resolving", "Temporary failure in name resolution", "Could not resolve host"],
            "commands have a network only with `--network`",
        ),
        // One process that reaches the limit of memory ends by itself, as its programs have it.
        (
            &["Cannot allocate memory", "MemoryError", "out of memory", "Out of memory"],
            "if `--memory` or the recipe limits memory, give it more",
        ),
    ];
    let says = |words: &[&str]| last_lines.iter().any(|line| words.iter().any(|word| line.contains(word)));
    REMEDIES.into_iter().find(|(words, _)| says(words)).map(|(_, remedy)| remedy)
}

/// Whether something could not be read because the image's file is damaged or cut short.
fn is_for_damaged_image<'a>(error: &'a (dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref::<image::Error>())
        .any(|error| matches!(error, image::Error::Corrupt { .. } | image::Error::Truncated { .. }))
}

/// What to type if `path` is an image and a path in it, as `scp` and container tools have them: `my.img:/etc`.
fn separate(path: &Path) -> Option<String> {
    let (image, inside) = path.to_str()?.split_once(":/")?;
    Path::new(image).is_file().then(|| format!("a blank is between an image and a path in it: `{image} /{inside}`"))
}

/// Whether a file system is not written to because errors were noted in it.
fn is_for_noted_errors<'a>(error: &'a (dyn Error + 'static)) -> bool {
    file_system_errors(error).any(guest::FileSystemError::is_for_noted_errors)
}

/// Whether a file system is not written to because imgraft only reads its kind.
fn is_for_kind<'a>(error: &'a (dyn Error + 'static)) -> bool {
    file_system_errors(error).any(|error| matches!(error.problem, guest::FileSystemProblem::ReadOnly { .. }))
}

fn file_system_errors<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a guest::FileSystemError> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_within_another_is_its_cause() {
        let failure = Failure::new("a").hint("h").within("b");
        assert_eq!(
            (failure.message.as_str(), &failure.causes[..], failure.hint.as_deref()),
            ("b", &["a".to_owned()][..], Some("h"))
        );
    }

    #[test]
    fn a_command_that_fails_comes_with_its_last_lines_and_its_log() {
        let failed = |log: Option<&str>| {
            let (name, status) = ("install jqq".to_owned(), customize::Ended::Exited(100));
            let last_lines = vec!["E: Unable to locate package jqq".to_owned()];
            let error = RunError::Failed { name, status, last_lines, log: log.map(Into::into) };
            Failure::from(graft::Error::Operation(error.into())).within("`my.img` was not changed")
        };
        let failure = failed(Some("/tmp/x.log"));
        assert_eq!(failure.causes, ["`install jqq` ended with status 100"]);
        assert_eq!(failure.output, ["E: Unable to locate package jqq"]);
        let hint = "nothing was changed; all that the command wrote is in /tmp/x.log";
        assert_eq!(failure.hint.as_deref(), Some(hint));
        assert_eq!(failed(None).hint.as_deref(), Some("nothing was changed"));
        // As glibc and apt say it.
        for (line, told) in [
            ("cp: error writing '/srv/a': No space left on device", Some("--size +2G")),
            ("  Temporary failure resolving 'deb.debian.org'", Some("`--network`")),
            ("make: *** [Makefile:3: all] Error 1", None),
        ] {
            let remedy = remedy(&["first".to_owned(), line.to_owned(), "last".to_owned()]);
            assert_eq!(remedy.is_some(), told.is_some(), "{line}");
            assert!(told.is_none_or(|told| remedy.is_some_and(|remedy| remedy.contains(told))), "{line}");
        }
    }

    /// Those that need a full host, another machine or root; the others are in `tests/explain.rs`, `locks.rs` and
    /// `fetch.rs`.
    #[test]
    fn errors_lead_to_what_explains_them() {
        use graft::Error as E;
        let path = || std::path::PathBuf::from("my.img");
        let failed = |status| RunError::Failed { name: "run x".to_owned(), status, last_lines: Vec::new(), log: None };
        let host = || io::Error::from_raw_os_error(28);
        let unavailable = RunError::Unavailable { problem: "x".to_owned(), hint: None };
        let in_guest = |error: customize::Error| E::Operation(error);
        let errors = [
            E::InUse { path: path(), in_use: graft::InUse::Writes },
            E::NoSpace { folder: path(), needed_bytes: None, free_bytes: None, error: host() },
            E::Image { path: path(), error: image::Error::BackingFile { name: "b".to_owned() } },
            in_guest(unavailable.into()),
            in_guest(failed(Ended::TimedOut("5m".parse().unwrap())).into()),
            in_guest(failed(Ended::OutOfMemory(None)).into()),
        ];
        let reached: Vec<&str> = errors.into_iter().map(|error| Failure::from(error).topic.unwrap().code).collect();
        assert_eq!(reached, ["in-use", "host-full", "backing-file", "no-runner", "limits", "limits"]);
        let of_its_own_accord = in_guest(failed(Ended::Exited(1)).into());
        assert_eq!(Failure::from(of_its_own_accord).topic, None);
    }

    #[test]
    fn an_error_of_the_library_comes_with_what_to_do() {
        let error = graft::Error::Unpack {
            path: "x.img.xz".into(),
            error: Box::new(graft::Error::NoSpace {
                folder: "/tmp".into(),
                needed_bytes: None,
                free_bytes: None,
                error: io::Error::from_raw_os_error(28),
            }),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.message, "`x.img.xz` cannot be unpacked");
        assert_eq!(failure.causes, ["no space left on the host in `/tmp`", "no space left on device"]);
        assert_eq!(failure.hint.as_deref(), Some("make room there, or work in another folder"));
    }
}
