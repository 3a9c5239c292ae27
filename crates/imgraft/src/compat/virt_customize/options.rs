//! Every option: its names, its argument, what becomes of it, and what taking it does.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::action::Action;
use super::help;
use super::parse::{Crypto, Request, Stop, bad_argument, check_number, fields, pair, split_at};
use super::selector::{KeySelector, PasswordSelector};
use crate::compat::{Opt, Standing};
use Standing::{Differs, Ignored, NeedsGuest, NotForLinux, Ours, Refused, Same};

/// The version of the original that is spoken; later ones have more options.
pub(super) const FIRST: &str = "1.48";

/// An option.
pub(super) struct Entry {
    pub(super) opt: Opt,
    /// The version of the original that has it first.
    pub(super) since: &'static str,
    /// Whether it may be in a file of commands.
    pub(super) in_files: bool,
    /// Whether `--help` leaves it out.
    pub(super) is_hidden: bool,
    /// What taking it does.
    pub(super) take: Take,
}

type Take = fn(&mut Request, OsString) -> Result<(), Stop>;

impl Entry {
    /// The entry of an option of [`OPTIONS`].
    pub(super) fn of(option: &Opt) -> &'static Self {
        let named = ENTRIES.iter().find(|entry| entry.opt.names == option.names);
        named.unwrap_or_else(|| unreachable!("the options are those of the entries"))
    }

    const fn since(self, since: &'static str) -> Self {
        Self { since, ..self }
    }

    const fn hidden(self) -> Self {
        Self { is_hidden: true, ..self }
    }
}

/// An option of the tool itself.
const fn tool(
    names: &'static [&'static str],
    argument: Option<&'static str>,
    help: &'static str,
    standing: Standing,
    take: Take,
) -> Entry {
    Entry { opt: Opt { names, argument, help, standing }, since: FIRST, in_files: false, is_hidden: false, take }
}

/// An option that says what is done to the guest.
const fn verb(
    names: &'static [&'static str],
    argument: Option<&'static str>,
    help: &'static str,
    standing: Standing,
    take: Take,
) -> Entry {
    Entry { in_files: true, ..tool(names, argument, help, standing, take) }
}

/// An option of ours.
const fn ours(names: &'static [&'static str], argument: Option<&'static str>, help: &'static str, take: Take) -> Entry {
    Entry { since: "", ..verb(names, argument, help, Ours, take) }
}

fn act(request: &mut Request, action: Action) -> Result<(), Stop> {
    request.actions.push(action);
    Ok(())
}

fn nothing(_: &mut Request, _: OsString) -> Result<(), Stop> {
    Ok(())
}

fn not_for_linux(request: &mut Request, option: &'static str) -> Result<(), Stop> {
    act(request, Action::NotForLinux { option })
}

/// The fields of a list.
fn split(argument: &OsStr, separator: u8) -> Vec<OsString> {
    let fields = argument.as_bytes().split(|&byte| byte == separator);
    fields.map(|field| OsString::from_vec(field.to_vec())).collect()
}

const NO_APPLIANCE: &str = "no appliance is started";
const NO_ENCRYPTION: &str = "encrypted disks are refused";

/// All of them, in the order in which the original has them; ours are last.
pub(super) const ENTRIES: &[Entry] = &[
    tool(
        &["-a", "--add"],
        Some("file"),
        "Image to change",
        Differs(
            "an image on another host is refused; backing files are opened, as there, and named; of several systems \
             on a disk, as there, each is changed, and none if one of them cannot be",
        ),
        |request, value| request.add_drive(&value),
    ),
    verb(&["--append-line"], Some("FILE:LINE"), "Add a line at the end of a file", Same, |request, value| {
        let (path, line) = pair("append-line", &value)?;
        act(request, Action::AppendLine { path, line })
    }),
    tool(
        &["--attach"],
        Some("iso"),
        "Image for programs that run in the guest",
        Ignored(NO_APPLIANCE),
        |request, _| {
            request.set_attach_format(false);
            Ok(())
        },
    ),
    tool(&["--attach-format"], Some("format"), "Format of the next --attach", Ignored(NO_APPLIANCE), |request, _| {
        request.set_attach_format(true);
        Ok(())
    }),
    tool(&["-c", "--connect"], Some("uri"), "libvirt to ask for -d", Ignored("libvirt is not asked"), nothing),
    verb(
        &["--chmod"],
        Some("PERMISSIONS:FILE"),
        "Set a mode",
        Differs("a mode without a leading 0, which the original reads as decimal, is refused; see `--decimal-modes`"),
        |request, value| {
            let (mode, path) = pair("chmod", &value)?;
            act(request, Action::Chmod { mode, path })
        },
    ),
    verb(&["--chown"], Some("UID:GID:PATH"), "Set an owner by its numbers (since 1.52)", Same, |request, value| {
        let [uid, gid, path] = fields("chown", &value)?;
        act(request, Action::Chown { uid, gid, path })
    })
    .since("1.52"),
    tool(
        &["--color", "--colors", "--colour", "--colours"],
        None,
        "Use colours although it is no terminal",
        Same,
        |request, _| {
            request.voice.colours = true;
            Ok(())
        },
    ),
    verb(
        &["--commands-from-file"],
        Some("FILENAME"),
        "Take options from a file",
        Differs("a file that cannot be read ends the run; the original says so and goes on"),
        |request, value| request.take_commands(&PathBuf::from(value)),
    ),
    verb(&["--copy"], Some("SOURCE:DEST"), "Copy a file or a tree of the guest", Same, |request, value| {
        let (from, to) = pair("copy", &value)?;
        act(request, Action::Copy { from, to })
    }),
    verb(
        &["--copy-in"],
        Some("LOCALPATH:REMOTEDIR"),
        "Copy a file or a tree into the guest",
        Differs(
            "the owner is root; see `--keep-owner`. Sockets, FIFOs and devices are refused, and hard links \
             become files of their own",
        ),
        |request, value| {
            let (source, directory) = pair("copy-in", &value)?;
            act(request, Action::CopyIn { source: source.into(), directory })
        },
    ),
    tool(
        &["-d", "--domain"],
        Some("domain"),
        "libvirt guest to change",
        Refused("name its disk with `-a`"),
        |request, value| request.set_domain(value),
    ),
    tool(&["--debug-gc"], None, "Check the original's memory", Ignored("there is nothing to check"), nothing).hidden(),
    verb(&["--delete"], Some("PATH"), "Remove files and trees", Same, |request, pattern| {
        act(request, Action::Delete { pattern })
    }),
    tool(
        &["-n", "--dryrun", "--dry-run"],
        None,
        "Change nothing, but find out whether it can be done",
        Same,
        |request, _| {
            request.dry_run = true;
            Ok(())
        },
    ),
    tool(&["--echo-keys"], None, "Show what is typed", Ignored(NO_ENCRYPTION), nothing),
    verb(
        &["--edit"],
        Some("FILE:EXPR"),
        "Edit a file by a Perl expression",
        Differs("needs this machine's `perl`, as the original does; `--replace` needs none"),
        |request, value| {
            let (path, expression) = pair("edit", &value)?;
            act(request, Action::Edit { path, expression })
        },
    ),
    verb(
        &["--firstboot"],
        Some("SCRIPT"),
        "Run a script at the guest's first boot",
        Differs(FIRST_BOOT),
        |request, script| act(request, Action::FirstBoot { script: script.into() }),
    ),
    verb(
        &["--firstboot-command"],
        Some("'CMD+ARGS'"),
        "Run a command at the guest's first boot",
        Differs(FIRST_BOOT),
        |request, command| act(request, Action::FirstBootCommand { command }),
    ),
    verb(
        &["--firstboot-install"],
        Some("PKG,PKG.."),
        "Install packages at the guest's first boot",
        Differs(FIRST_BOOT),
        |request, value| act(request, Action::FirstBootInstall { packages: split(&value, b',') }),
    ),
    tool(&["--format"], Some("format"), "Format of the next -a", Same, |request, value| {
        request.set_format(value);
        Ok(())
    }),
    tool(&["--help"], None, "Say this", Differs("the text is ours"), |_, _| {
        help::print_help();
        Err(Stop::Done)
    }),
    verb(
        &["--hostname"],
        Some("HOSTNAME"),
        "Set the hostname",
        Differs(
            "in `/etc/hosts`, the old name is replaced before its domain, too, and an alias behind the new name with \
             its domain is the short one; a comment stays; openSUSE's is written to `/etc/hostname`",
        ),
        |request, name| act(request, Action::Hostname { name }),
    ),
    verb(&["--inject-blnsvr"], Some("METHOD"), "Windows' balloon server (since 1.54)", NotForLinux, |request, _| {
        not_for_linux(request, "--inject-blnsvr")
    })
    .since("1.54"),
    verb(&["--inject-qemu-ga"], Some("METHOD"), "Windows' QEMU guest agent (since 1.50)", NotForLinux, |request, _| {
        not_for_linux(request, "--inject-qemu-ga")
    })
    .since("1.50"),
    verb(
        &["--inject-virtio-win"],
        Some("METHOD"),
        "Windows' virtio drivers (since 1.50)",
        NotForLinux,
        |request, _| not_for_linux(request, "--inject-virtio-win"),
    )
    .since("1.50"),
    verb(&["--install"], Some("PKG,PKG.."), "Install packages", Differs(PACKAGES), |request, value| {
        act(request, Action::Install { packages: split(&value, b',') })
    }),
    tool(&["--key"], Some("SELECTOR"), "Key of an encrypted disk", Ignored(NO_ENCRYPTION), |_, value| {
        match split(&value, b':')[..] {
            [_, ref kind, _, ..] if kind == "key" || kind == "file" => Ok(()),
            _ => Err(Stop::error(format!("invalid selector string for --key: {}", value.display()))),
        }
    }),
    tool(&["--keys-from-stdin"], None, "Read keys from standard input", Ignored(NO_ENCRYPTION), nothing),
    verb(&["--link"], Some("TARGET:LINK[:LINK..]"), "Make symlinks", Same, |request, value| {
        match split(&value, b':').split_first() {
            Some((target, links)) if !links.is_empty() => {
                act(request, Action::Link { target: target.clone(), links: links.to_vec() })
            }
            _ => Err(bad_argument("link")),
        }
    }),
    tool(&["--long-options"], None, "List the long options", Same, |_, _| {
        help::print_long_options();
        Err(Stop::Done)
    })
    .hidden(),
    tool(&["-m", "--memsize"], Some("mb"), "Memory of the appliance", Ignored(NO_APPLIANCE), |_, value| {
        check_number(&value)
    }),
    verb(&["--mkdir"], Some("DIR"), "Make a directory, and those on the way", Same, |request, path| {
        act(request, Action::Mkdir { path })
    }),
    verb(&["--move"], Some("SOURCE:DEST"), "Move a file or a tree of the guest", Same, |request, value| {
        let (from, to) = pair("move", &value)?;
        act(request, Action::Move { from, to })
    }),
    tool(&["--network"], None, "Network for commands in the guest, which is the default", Same, |request, _| {
        request.network = true;
        Ok(())
    }),
    verb(
        &["--no-logfile"],
        None,
        "Remove /tmp/builder.log, which --run and --install write",
        Differs(LOG),
        |request, _| {
            request.scrub_log_file = true;
            Ok(())
        },
    ),
    tool(
        &["--no-network"],
        None,
        "No network for commands in the guest",
        Differs("`--install` and `--update` are refused with it, before anything is done"),
        |request, _| {
            request.network = false;
            Ok(())
        },
    ),
    verb(
        &["--no-selinux-relabel"],
        None,
        "Label nothing anew, whatever else is said (since 1.50)",
        Same,
        |request, _| {
            request.no_relabel = true;
            Ok(())
        },
    )
    .since("1.50"),
    verb(
        &["--password"],
        Some("USER:SELECTOR"),
        "Set a password",
        Differs(
            "a user that is not there, and a file that cannot be read, end the run; the original goes on without. \
             The salt comes from the image, the day of the last change is set, a lock is `!` and not `!!`, and an \
             empty password is refused",
        ),
        |request, value| {
            let (user, selector) = pair("password", &value)?;
            let selector = PasswordSelector::parse(&selector)?;
            act(request, Action::Password { user, selector })
        },
    ),
    verb(
        &["--password-crypto"],
        Some("md5|sha256|sha512"),
        "How passwords are hashed",
        Differs("md5 and sha256 are refused; without it, the guest's own settings say how"),
        |request, value| {
            request.password_crypto = Some(Crypto::parse(&value)?);
            Ok(())
        },
    ),
    tool(&["-q", "--quiet"], None, "Say nothing but warnings and errors", Same, |request, _| {
        request.voice.quiet = true;
        Ok(())
    }),
    verb(
        &["--root-password"],
        Some("SELECTOR"),
        "Set root's password",
        Differs("as `--password`"),
        |request, value| {
            let selector = PasswordSelector::parse(&value)?;
            act(request, Action::Password { user: "root".into(), selector })
        },
    ),
    verb(&["--run"], Some("SCRIPT"), "Run a script in the guest", Differs(COMMANDS), |request, script| {
        act(request, Action::Run { script: script.into() })
    }),
    verb(
        &["--run-command"],
        Some("'CMD+ARGS'"),
        "Run a command in the guest",
        Differs(COMMANDS),
        |request, command| act(request, Action::RunCommand { command }),
    ),
    verb(&["--scrub"], Some("FILE"), "Overwrite a file and remove it", Differs("with zeros, once"), |request, path| {
        act(request, Action::Scrub { path })
    }),
    verb(
        &["--selinux-relabel"],
        None,
        "Have an SELinux guest label its files",
        Differs(
            "always by `/.autorelabel`, at its next boot, which is what the original does where it cannot itself; \
             nothing is said where the guest does not use SELinux",
        ),
        |request, _| {
            request.relabel = true;
            Ok(())
        },
    ),
    tool(&["--short-options"], None, "List the short options", Same, |_, _| {
        help::print_short_options();
        Err(Stop::Done)
    })
    .hidden(),
    verb(&["--sm-attach"], Some("SELECTOR"), "Attach to a pool of subscription-manager", NeedsGuest, |_, value| {
        match split(&value, b':')[..] {
            [ref auto] if auto == "auto" => Ok(()),
            [ref kind, _] if kind == "file" || kind == "pool" => Ok(()),
            _ => Err(Stop::error(format!("invalid sm-attach selector ‘{}’; see the man page", value.display()))),
        }
    }),
    verb(&["--sm-credentials"], Some("SELECTOR"), "Credentials for subscription-manager", NeedsGuest, |_, value| {
        let (_, selector) = split_at(value.as_bytes(), b':');
        match split_at(&selector, b':') {
            (kind, _) if matches!(&kind[..], b"file" | b"password") => Ok(()),
            _ => {
                let text = format!("invalid sm-credentials selector ‘{}’; see the man page", value.display());
                Err(Stop::error(text))
            }
        }
    }),
    verb(&["--sm-register"], None, "Register by subscription-manager", NeedsGuest, nothing),
    verb(&["--sm-remove"], None, "Give all subscriptions back", NeedsGuest, nothing),
    verb(&["--sm-unregister"], None, "Unregister by subscription-manager", NeedsGuest, nothing),
    tool(&["--smp"], Some("vcpus"), "Processors of the appliance", Ignored(NO_APPLIANCE), |_, value| {
        check_number(&value)
    }),
    verb(
        &["--ssh-inject"],
        Some("USER[:SELECTOR]"),
        "Let a public key log in as a user",
        Differs("what is no public key is refused, and one that is there is not added again"),
        |request, value| {
            let (user, selector) = split_at(value.as_bytes(), b':');
            let selector = KeySelector::parse(OsStr::from_bytes(&selector))?;
            act(request, Action::SshInject { user: OsString::from_vec(user), selector })
        },
    ),
    verb(
        &["--tar-in"],
        Some("TARFILE:REMOTEDIR"),
        "Unpack a tar file in the guest (since 1.52)",
        Same,
        |request, value| {
            let (archive, directory) = pair("tar-in", &value)?;
            act(request, Action::TarIn { archive: archive.into(), directory })
        },
    )
    .since("1.52"),
    verb(
        &["--timezone"],
        Some("TIMEZONE"),
        "Set the time zone",
        Differs("`/etc/timezone` says it, too, where there is one"),
        |request, name| act(request, Action::Timezone { name }),
    ),
    verb(&["--touch"], Some("FILE"), "Make an empty file, or a file look new", Same, |request, path| {
        act(request, Action::Touch { path })
    }),
    verb(&["--truncate"], Some("FILE"), "Empty a file", Same, |request, path| act(request, Action::Truncate { path })),
    verb(&["--truncate-recursive"], Some("PATH"), "Empty all files below a directory", Same, |request, path| {
        act(request, Action::TruncateRecursive { path })
    }),
    verb(&["--uninstall"], Some("PKG,PKG.."), "Uninstall packages", Differs(PACKAGES), |request, value| {
        act(request, Action::Uninstall { packages: split(&value, b',') })
    }),
    verb(&["--update"], None, "Update the packages", Differs(PACKAGES), |request, _| act(request, Action::Update)),
    verb(
        &["--upload"],
        Some("FILE:DEST"),
        "Copy a file into the guest",
        Differs("the owner is root; see `--keep-owner`. The time is the file's own"),
        |request, value| {
            let (source, destination) = pair("upload", &value)?;
            act(request, Action::Upload { source: source.into(), destination })
        },
    ),
    tool(&["-V", "--version"], None, "Say the version", Differs("imgraft's own is said, too"), |_, _| {
        help::print_version();
        Err(Stop::Done)
    }),
    tool(&["-v", "--verbose"], None, "Say more", Differs("what there is to say is imgraft's"), |request, _| {
        request.voice.verbose = true;
        Ok(())
    }),
    tool(&["--wrap"], None, "Break lines although it is no terminal", Same, |request, _| {
        request.voice.wrap = true;
        Ok(())
    }),
    verb(&["--write"], Some("FILE:CONTENT"), "Give a file a content", Same, |request, value| {
        let (path, content) = pair("write", &value)?;
        act(request, Action::Write { path, content })
    }),
    tool(&["-x"], None, "Trace libguestfs", Ignored("there is no libguestfs"), nothing),
    ours(
        &["--replace"],
        Some("FILE:REGEX:TEXT"),
        "Replace what a regular expression matches; `\\:` is a `:` in it",
        |request, value| act(request, Action::Replace { argument: value }),
    ),
    ours(
        &["--keep-owner"],
        None,
        "Files of --copy-in and --upload keep their owner's number, as with the original",
        |request, _| {
            request.differences.keep_owner = true;
            Ok(())
        },
    ),
    ours(
        &["--decimal-modes"],
        None,
        "Read --chmod's modes without a leading 0 as decimal, as the original does",
        |request, _| {
            request.differences.decimal_modes = true;
            Ok(())
        },
    ),
    ours(
        &["--set-machine-id"],
        None,
        "Write a random machine ID where there is none, as the original does",
        |request, _| {
            request.differences.set_machine_id = true;
            Ok(())
        },
    ),
    ours(&["--set-random-seed"], None, "Write a random seed, as the original does", |request, _| {
        request.differences.set_random_seed = true;
        Ok(())
    }),
    ours(&["--allow-backing"], None, "Nothing: backing files that an image names are opened anyway", nothing),
    ours(
        &["--plain-clusters"],
        None,
        "Leave what changes in a qcow2 uncompressed, as the original does",
        |request, _| {
            request.differences.plain_clusters = true;
            Ok(())
        },
    ),
];

const COMMANDS: &str = "it runs in a sandbox on this machine, and not in an appliance; what it writes is in a log on this \
                        machine and in no `/tmp/builder.log` of the guest; if it fails, the image is as it was";
const PACKAGES: &str = "as `--run-command`; apt keeps the guest's own configuration files where the original takes the \
                        package's, and pacman updates everything when it installs something";
const LOG: &str = "the commands of imgraft write none; one that is there is removed";
const FIRST_BOOT: &str = "a systemd unit of imgraft's runs it, once and in order, and logs; there is no script for \
                          other init systems";

/// The same, for those who need not know what taking them does.
pub(super) static OPTIONS: [Opt; ENTRIES.len()] = {
    let mut options = [ENTRIES[0].opt; ENTRIES.len()];
    let mut index = 0;
    while index < options.len() {
        options[index] = ENTRIES[index].opt;
        index += 1;
    }
    options
};

impl Crypto {
    fn parse(text: &OsStr) -> Result<Self, Stop> {
        match text.as_bytes() {
            b"md5" => Ok(Self::Md5),
            b"sha256" => Ok(Self::Sha256),
            b"sha512" => Ok(Self::Sha512),
            b"yescrypt" => Ok(Self::Yescrypt),
            _ => Err(Stop::error(format!(
                "password-crypto: unknown algorithm {}, use \"md5\", \"sha256\", \"sha512\" or \"yescrypt\"",
                text.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_that_of_two_options() {
        let mut names: Vec<&str> = OPTIONS.iter().flat_map(|option| option.names).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(OPTIONS.iter().all(|option| Entry::of(option).opt.help == option.help));
    }

    #[test]
    fn what_needs_the_guest_does_nothing_but_be_refused() {
        let needy: Vec<&str> = ENTRIES
            .iter()
            .filter(|entry| entry.opt.standing == Standing::NeedsGuest)
            .map(|entry| entry.opt.name())
            .collect();
        assert_eq!(needy, ["--sm-attach", "--sm-credentials", "--sm-register", "--sm-remove", "--sm-unregister"]);
    }
}
