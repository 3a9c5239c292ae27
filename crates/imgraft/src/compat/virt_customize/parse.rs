//! From a command line to what is asked for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::action::Action;
use super::options::{ENTRIES, Entry, OPTIONS};
use super::voice::Voice;
use crate::compat::Standing;
use crate::compat::getopt::{Names, Scanner};

/// The largest file of commands that is read, in bytes.
const COMMANDS_LIMIT_BYTES: u64 = 1 << 20;

/// What a command line asks for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) voice: Voice,
    pub(super) drives: Vec<Drive>,
    /// What is done, in order.
    pub(super) actions: Vec<Action>,
    /// The options that were given and need the guest.
    pub(super) need_guest: Vec<&'static str>,
    /// The options that were given and have no effect, and why not.
    pub(super) without_effect: Vec<(&'static str, &'static str)>,
    pub(super) dry_run: bool,
    /// Whether commands in the guest may use the network.
    pub(super) network: bool,
    pub(super) scrub_log_file: bool,
    pub(super) relabel: bool,
    /// It wins, wherever it stands.
    pub(super) no_relabel: bool,
    pub(super) password_crypto: Option<Crypto>,
    pub(super) differences: Differences,
    format: Option<OsString>,
    format_is_pending: bool,
    attach_format_is_pending: bool,
    domain: Option<OsString>,
}

/// An image, and what its format is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drive {
    pub(super) path: PathBuf,
    /// None where it is looked for in the file.
    pub(super) format: Option<OsString>,
}

/// Where it is asked to do as the original does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Differences {
    pub(super) keep_owner: bool,
    pub(super) decimal_modes: bool,
    pub(super) set_machine_id: bool,
    pub(super) set_random_seed: bool,
    pub(super) plain_clusters: bool,
}

/// How passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crypto {
    Md5,
    Sha256,
    Sha512,
    Yescrypt,
}

/// Why nothing is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Everything was said that was asked for.
    Done,
    /// The command line cannot be read; the whole text.
    Usage(String),
    /// The rest after `virt-customize: error: `, and what to do about it.
    Error(String, Option<String>),
}

impl Stop {
    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into(), None)
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Error(text, _) => Self::Error(text, Some(hint.into())),
            other => other,
        }
    }
}

impl Request {
    /// One that asks for nothing yet.
    pub(super) fn new(voice: Voice) -> Self {
        Self {
            voice,
            drives: Vec::new(),
            actions: Vec::new(),
            need_guest: Vec::new(),
            without_effect: Vec::new(),
            dry_run: false,
            network: true,
            scrub_log_file: false,
            relabel: false,
            no_relabel: false,
            password_crypto: None,
            differences: Differences::default(),
            format: None,
            format_is_pending: false,
            attach_format_is_pending: false,
            domain: None,
        }
    }

    /// Takes what `arguments`, without the program's name, ask for. Options take effect one after the other:
    /// what is wrong behind one that ends it all is not seen.
    pub(super) fn take_all(&mut self, arguments: Vec<OsString>) -> Result<(), Stop> {
        // Only what the original knows, too, is cut short: so nothing becomes ambiguous that is not there.
        let names = Names { one_dash: true, may_be_cut: |option| Entry::of(option).since == super::options::FIRST };
        let mut scanner = Scanner::new(&OPTIONS, names, arguments);
        for item in &mut scanner {
            let (option, value) = item.map_err(|problem| Stop::Usage(format!("virt-customize: {problem}")))?;
            self.take(Entry::of(option), value.unwrap_or_default())?;
        }
        if let Some(extra) = scanner.operands.first() {
            return Err(Stop::Usage(format!("Extra parameter on the command line: ‘{}’.", extra.display())));
        }
        self.check()
    }

    fn take(&mut self, entry: &Entry, value: OsString) -> Result<(), Stop> {
        match entry.opt.standing {
            Standing::NeedsGuest => self.need_guest.push(entry.opt.name()),
            Standing::Ignored(why) => self.without_effect.push((entry.opt.name(), why)),
            _ => {}
        }
        (entry.take)(self, value)
    }

    /// What is only known when everything was read.
    fn check(&self) -> Result<(), Stop> {
        let is_given = |option: &str, is_pending: bool, before: &str| match is_pending {
            true => Err(Stop::error(format!("--{option} parameter must appear before {before} parameter"))),
            false => Ok(()),
        };
        is_given("format", self.format_is_pending, "-a")?;
        is_given("attach-format", self.attach_format_is_pending, "--attach")?;
        let manual = "Read virt-customize(1) man page for further information.";
        match (self.drives.is_empty(), &self.domain) {
            (true, None) => return Err(Stop::error(format!("you must give either -a or -d options. {manual}"))),
            (false, Some(_)) => {
                return Err(Stop::error(format!("you cannot give -a and -d options together. {manual}")));
            }
            (true, Some(domain)) => {
                let text = format!("-d {}: imgraft does not talk to libvirt", domain.display());
                return Err(
                    Stop::error(text).hint("name its disk with `-a`; `virsh domblklist DOMAIN` says which that is")
                );
            }
            (false, None) => {}
        }
        if let Some(option) = self.need_guest.first() {
            return Err(Stop::error(format!(
                "{option} needs subscription-manager in the guest, which imgraft does not run"
            ))
            .hint("nothing was changed; `--run-command` runs it with what you give it"));
        }
        Ok(())
    }

    pub(super) fn add_drive(&mut self, argument: &OsStr) -> Result<(), Stop> {
        let bytes = argument.as_bytes();
        let local = match bytes.windows(3).position(|part| part == b"://") {
            Some(_) if bytes.starts_with(b"file:///") => OsStr::from_bytes(&bytes[7..]),
            Some(end) if bytes[..end].iter().all(u8::is_ascii_alphanumeric) => {
                return Err(Stop::error(format!("-a {}: images on other hosts are not read", argument.display()))
                    .hint("copy the image here and give its path"));
            }
            _ => argument,
        };
        self.drives.push(Drive { path: PathBuf::from(local), format: self.format.clone() });
        self.format_is_pending = false;
        Ok(())
    }

    pub(super) fn set_format(&mut self, format: OsString) {
        self.format = Some(format).filter(|format| format != "auto");
        self.format_is_pending = true;
    }

    pub(super) fn set_attach_format(&mut self, is_pending: bool) {
        self.attach_format_is_pending = is_pending;
    }

    pub(super) fn set_domain(&mut self, domain: OsString) -> Result<(), Stop> {
        match self.domain.replace(domain) {
            Some(_) => Err(Stop::error("--domain option can only be given once")),
            None => Ok(()),
        }
    }

    /// Takes the commands that the file has, one a line.
    pub(super) fn take_commands(&mut self, path: &Path) -> Result<(), Stop> {
        let text = read_host_file(path, COMMANDS_LIMIT_BYTES)?;
        let commands: Vec<(Vec<u8>, Vec<u8>)> = command_lines(&text).map(|line| split_at(&line, b' ')).collect();
        if commands.iter().any(|(command, _)| command == b"commands-from-file") {
            return Err(Stop::error("command 'commands-from-file' cannot be used in command files, see the man page"));
        }
        for (command, argument) in commands {
            let name = [b"--", &command[..]].concat();
            let is_meant =
                |entry: &&Entry| entry.in_files && entry.opt.names.iter().any(|known| known.as_bytes() == name);
            let Some(entry) = ENTRIES.iter().find(is_meant) else {
                let command = String::from_utf8_lossy(&command);
                return Err(Stop::error(format!("command '{command}' not valid, see the man page")));
            };
            self.take(entry, OsString::from_vec(argument))?;
        }
        Ok(())
    }
}

/// The lines of a file of commands: none that are empty or begin with `#`, and those joined that a
/// backslash joins, with the end of the line between them.
fn command_lines(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut goes_on = false;
    for line in text.split(|&byte| byte == b'\n') {
        let (line, continues) = match line.strip_suffix(b"\\") {
            Some(line) => (line, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some(last) if goes_on => last.extend([b"\n", line].concat()),
            _ => lines.push(line.to_vec()),
        }
        goes_on = continues;
    }
    lines.into_iter().filter_map(|line| {
        let line = line.trim_ascii_start();
        (!line.is_empty() && line[0] != b'#').then(|| line.to_vec())
    })
}

/// What is before the first `separator` and what is behind it, which is nothing where there is none.
pub(super) fn split_at(text: &[u8], separator: u8) -> (Vec<u8>, Vec<u8>) {
    match text.iter().position(|&byte| byte == separator) {
        Some(at) => (text[..at].to_vec(), text[at + 1..].to_vec()),
        None => (text.to_vec(), Vec::new()),
    }
}

/// The two fields of the argument of `--OPTION`, of which the first has no `:`.
pub(super) fn pair(option: &str, argument: &OsStr) -> Result<(OsString, OsString), Stop> {
    let [first, second] = fields(option, argument)?;
    Ok((first, second))
}

/// The fields of the argument of `--OPTION`, of which only the last may have a `:`.
pub(super) fn fields<const COUNT: usize>(option: &str, argument: &OsStr) -> Result<[OsString; COUNT], Stop> {
    let fields = argument.as_bytes().splitn(COUNT, |&byte| byte == b':');
    let fields: Vec<OsString> = fields.map(|field| OsString::from_vec(field.to_vec())).collect();
    fields.try_into().map_err(|_| bad_argument(option))
}

pub(super) fn bad_argument(option: &str) -> Stop {
    Stop::error(format!("invalid format for '--{option}' parameter, see the man page"))
}

/// A number as C writes it: `0x` is hexadecimal and `0` octal. It is not used for anything.
pub(super) fn check_number(argument: &OsStr) -> Result<(), Stop> {
    let text = argument.to_string_lossy();
    let usage = |text: String| Stop::Usage(format!("virt-customize: {text}"));
    let trimmed = text.trim_ascii_start();
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    let number = match digits.starts_with(['-', '+']) {
        true => None,
        false => i64::from_str_radix(digits, radix).ok(),
    };
    match number {
        None => Err(usage(format!("‘{text}’ is not a numeric value."))),
        Some(number) if number >= 1 << 30 => Err(usage(format!("{text}: integer out of range"))),
        Some(_) => Ok(()),
    }
}

/// A whole file of the host.
pub(super) fn read_host_file(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, Stop> {
    let cannot = |error: std::io::Error| {
        let text = error.to_string();
        Stop::error(format!("{}: {}", path.display(), text.split(" (os error").next().unwrap_or_default()))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, limit_bytes + 1), &mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Stop::error(format!("{}: larger than {limit_bytes} bytes", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_where_a_backslash_says_so() {
        let lines: Vec<Vec<u8>> = command_lines(b"# a\n\n  mkdir /a\nwrite /b:x\\\ny\\\nz\n#").collect();
        assert_eq!(lines, [&b"mkdir /a"[..], b"write /b:x\ny\nz"]);
    }

    #[test]
    fn numbers_are_those_of_c() {
        for number in ["1", "0x10", "010", "-5", "+5", " 7", "1073741823"] {
            assert_eq!(check_number(number.as_ref()), Ok(()), "{number}");
        }
        for number in ["", "x", "09", "0x", "1k", "--1", "9999999999999999999999"] {
            let text = format!("virt-customize: ‘{number}’ is not a numeric value.");
            assert_eq!(check_number(number.as_ref()), Err(Stop::Usage(text)));
        }
        let text = "virt-customize: 1073741824: integer out of range".to_owned();
        assert_eq!(check_number("1073741824".as_ref()), Err(Stop::Usage(text)));
    }
}
