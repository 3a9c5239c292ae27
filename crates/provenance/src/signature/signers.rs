//! Who may sign: a public key, or a file of allowed signers as `ssh-keygen` reads it.
//!
//! A line of such a file is *principals*, options and a key: `alice@example.org namespaces="git" ssh-ed25519 AAAA…`. It
//! lets whoever the principals match sign with that key, within its options. Principals and namespaces are lists of
//! patterns; one that begins with `!` and matches turns the whole list down.

use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use thiserror::Error;

use super::{Signature, SignatureError, Signer};

/// The largest file of signers that is read, in bytes.
pub const SIGNERS_LIMIT_BYTES: u64 = 1 << 20;
/// The longest identity, in bytes: patterns are held against it.
const IDENTITY_LIMIT_BYTES: usize = 1024;
const SECONDS_PER_DAY: i64 = 86_400;

/// Whose signature counts.
#[derive(Debug)]
pub enum Signers {
    /// That of the one who has this key.
    Key(Box<PublicKey>),
    /// That of whom a file allows.
    Allowed(Vec<Allowed>),
}

/// A line of a file of allowed signers.
#[derive(Debug)]
pub struct Allowed {
    line: usize,
    principals: String,
    key: KeyData,
    namespaces: Option<String>,
    /// In seconds since 1970.
    valid_after: Option<i64>,
    /// In seconds since 1970; that second still counts.
    valid_before: Option<i64>,
    /// Whether the key signs the keys of others.
    is_authority: bool,
}

/// Why a file of signers cannot be used.
#[derive(Debug, Error)]
pub enum SignersError {
    /// It is larger than one that is read.
    #[error("it is larger than {SIGNERS_LIMIT_BYTES} bytes")]
    TooLarge,
    /// It is not text.
    #[error("it is not text")]
    NoText,
    /// It names nobody.
    #[error("it names no signer")]
    Empty,
    /// It has a line that is not understood. A line that was left out might be the one that takes a key back.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// An identity is needed to tell which lines count.
    #[error("it has identities, and a signature counts for one of them")]
    NoIdentity,
    /// A public key has no identity.
    #[error("it is a public key, which says no identity")]
    Identity,
    /// The identity is too long to be one.
    #[error("the identity is longer than {IDENTITY_LIMIT_BYTES} bytes")]
    LongIdentity,
}

impl Signers {
    /// The signers in `bytes`, which may be anything: a public key by itself, or allowed signers.
    ///
    /// # Errors
    ///
    /// If a line is not understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignersError> {
        if bytes.len() as u64 > SIGNERS_LIMIT_BYTES {
            return Err(SignersError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| SignersError::NoText)?;
        let lines: Vec<(usize, &str)> = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .collect();
        match lines[..] {
            [] => return Err(SignersError::Empty),
            // In a line of allowed signers, no key follows the first word if that is a kind of key.
            [(_, line)] if key(line).is_some() => {
                return Ok(Self::Key(Box::new(key(line).ok_or(SignersError::Empty)?)));
            }
            _ => {}
        }
        let parse = |(line, text)| Allowed::parse(line, text).map_err(|problem| SignersError::Line { line, problem });
        Ok(Self::Allowed(lines.into_iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Whether `identity` is what these signers are asked with.
    ///
    /// # Errors
    ///
    /// If there is one and should be none, or the other way round.
    pub fn check_identity(&self, identity: Option<&str>) -> Result<(), SignersError> {
        match (self, identity) {
            (Self::Key(_), Some(_)) => Err(SignersError::Identity),
            (Self::Allowed(_), None) => Err(SignersError::NoIdentity),
            (Self::Allowed(_), Some(identity)) if identity.len() > IDENTITY_LIMIT_BYTES => {
                Err(SignersError::LongIdentity)
            }
            _ => Ok(()),
        }
    }

    /// Verifies that one of these made `signature` of `bytes` in `namespace`. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Why it does not count.
    pub fn verify(
        &self,
        signature: &Signature,
        identity: Option<&str>,
        namespace: &'static str,
        now: i64,
        bytes: &[u8],
    ) -> Result<Signer, SignatureError> {
        signature.verify(namespace, bytes)?;
        let (found, fingerprint) = (signature.0.public_key(), signature.fingerprint());
        let identity = match self {
            Self::Key(key) if key.key_data() == found => None,
            Self::Key(_) => return Err(SignatureError::OtherKey { fingerprint }),
            Self::Allowed(lines) => {
                let identity = identity.unwrap_or_default();
                let matching = |line: &&Allowed| line.key == *found && matches_list(identity, &line.principals);
                let mut reasons = Vec::new();
                let mut is_allowed = false;
                for line in lines.iter().filter(matching) {
                    match line.refusal(namespace, now) {
                        Some(reason) => reasons.push(reason),
                        None => is_allowed = true,
                    }
                }
                match (is_allowed, reasons.is_empty()) {
                    (true, _) => Some(identity.to_owned()),
                    (false, true) => {
                        return Err(SignatureError::UnknownKey { fingerprint, identity: identity.to_owned() });
                    }
                    (false, false) => return Err(SignatureError::NotAllowed { fingerprint, reasons }),
                }
            }
        };
        Ok(Signer { identity, fingerprint, algorithm: found.algorithm().to_string() })
    }
}

impl Allowed {
    fn parse(line: usize, text: &str) -> Result<Self, String> {
        let (principals, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quotation mark is not closed")?,
            None => text.split_once([' ', '\t']).ok_or("it has no key")?,
        };
        if principals.is_empty() {
            return Err("it has no identity".to_owned());
        }
        let rest = rest.trim_start();
        let mut allowed = Self {
            line,
            principals: principals.to_owned(),
            // The real one follows.
            key: KeyData::Ed25519(ssh_key::public::Ed25519PublicKey([0; 32])),
            namespaces: None,
            valid_after: None,
            valid_before: None,
            is_authority: false,
        };
        let key_text = match key(rest) {
            Some(_) => rest,
            None => {
                let (options, rest) = split_options(rest)?;
                allowed.read_options(options)?;
                rest
            }
        };
        allowed.key = key(key_text).ok_or("it has no key that is known")?.key_data().clone();
        Ok(allowed)
    }

    /// Reads options: those that are not known might take something back.
    fn read_options(&mut self, options: Vec<(String, Option<String>)>) -> Result<(), String> {
        for (name, value) in options {
            let is_new = match (name.to_ascii_lowercase().as_str(), value) {
                ("cert-authority", None) => !std::mem::replace(&mut self.is_authority, true),
                ("namespaces", Some(value)) => self.namespaces.replace(value).is_none(),
                ("valid-after", Some(value)) => self.valid_after.replace(time(&name, &value)?).is_none(),
                ("valid-before", Some(value)) => self.valid_before.replace(time(&name, &value)?).is_none(),
                ("cert-authority", Some(_)) => return Err(format!("the option `{name}` has no value")),
                ("namespaces" | "valid-after" | "valid-before", None) => {
                    return Err(format!("the option `{name}` has a value in quotation marks"));
                }
                _ => return Err(format!("there is neither a key nor an option that is known at `{name}`")),
            };
            if !is_new {
                return Err(format!("the option `{name}` is there twice"));
            }
        }
        match (self.valid_after, self.valid_before) {
            (Some(after), Some(before)) if after >= before => {
                Err("its time ends before it begins: `valid-before` is not later than `valid-after`".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Why the line does not let its key sign in `namespace` now, if it does not.
    fn refusal(&self, namespace: &str, now: i64) -> Option<String> {
        let line = self.line;
        if self.is_authority {
            return Some(format!("line {line} has it as a `cert-authority`, and certificates are not supported"));
        }
        match (&self.namespaces, self.valid_after, self.valid_before) {
            (Some(namespaces), _, _) if !matches_list(namespace, namespaces) => {
                Some(format!("line {line} lets it sign in the namespaces `{namespaces}` only"))
            }
            (_, Some(after), _) if now < after => Some(format!("line {line} lets it sign from a later time on")),
            (_, _, Some(before)) if now > before => Some(format!("line {line} let it sign until an earlier time")),
            _ => None,
        }
    }
}

/// The key that a text begins with: its kind and its bytes. What follows is a comment.
fn key(text: &str) -> Option<PublicKey> {
    let mut words = text.split_ascii_whitespace();
    let (kind, bytes) = (words.next()?, words.next()?);
    PublicKey::from_openssh(&format!("{kind} {bytes}")).ok()
}

/// Options, each with what is in quotation marks behind its `=`.
type Options = Vec<(String, Option<String>)>;

/// Splits options from what follows them: the first blank that is not in quotation marks ends them.
fn split_options(text: &str) -> Result<(Options, &str), String> {
    let (mut options, mut rest) = (Vec::new(), text);
    loop {
        let end = rest.find([',', '=', ' ', '\t']).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let mut value = None;
        if let Some(quoted) = rest.strip_prefix('=') {
            let quoted = quoted.strip_prefix('"').ok_or(format!("the value of `{name}` has no quotation marks"))?;
            let closing = quoted.match_indices('"').find(|&(at, _)| !quoted[..at].ends_with('\\'));
            let (closing, _) = closing.ok_or("a quotation mark is not closed")?;
            value = Some(quoted[..closing].replace("\\\"", "\""));
            rest = &quoted[closing + 1..];
        }
        options.push((name, value));
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() || rest.starts_with([' ', '\t']) => return Ok((options, rest.trim_start())),
            None => return Err("something follows a quotation mark that closes".to_owned()),
        }
    }
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS` with a `Z`, in seconds since 1970.
fn time(option: &str, text: &str) -> Result<i64, String> {
    let no_time = || format!("`{option}` is no time such as `20270101Z` or `202701011200Z`");
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_time());
    }
    // Without it, the time is one of wherever this runs: the same file would let a key sign here and not there.
    if digits.len() == text.len() {
        return Err(format!("`{option}` has no time zone: write `{text}Z`, in UTC"));
    }
    let number = |from: usize, to: usize| digits.get(from..to).map_or(Ok(0), str::parse::<i64>).unwrap_or_default();
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(no_time()),
    };
    if year < 1970 || !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(no_time());
    }
    // Years that begin in March have the day that some lack at their end.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Ok(days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second)
}

/// Whether `text` matches one of the patterns in `list`, and none that begins with `!`.
fn matches_list(text: &str, list: &str) -> bool {
    let mut is_match = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_pattern(text.as_bytes(), pattern.as_bytes()) => return false,
            Some(_) => {}
            None => is_match |= matches_pattern(text.as_bytes(), pattern.as_bytes()),
        }
    }
    is_match
}

/// Whether `text` matches a pattern: `*` is any text, `?` any byte. The time is at most the product of their lengths.
fn matches_pattern(text: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut in_pattern, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[at] => (at, in_pattern) = (at + 1, in_pattern + 1),
            // The last star takes one more.
            _ => match star {
                Some((place, from)) => {
                    star = Some((place, from + 1));
                    (at, in_pattern) = (from + 1, place + 1);
                }
                None => return false,
            },
        }
    }
    pattern[in_pattern..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfZlAl6nkZkh7Uf9gWmkBvGBzNXqGWzzr3D3bCqGOf";

    fn problem(text: &str) -> String {
        Signers::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn patterns_are_those_of_openssh() {
        for (text, list, is_match) in [
            ("alice@example.org", "alice@example.org", true),
            ("alice@example.org", "*@example.org", true),
            ("alice@example.org", "bob,*@example.???", true),
            ("alice@example.org", "!alice@*,*@example.org", false),
            ("alice@example.org", "*@example.org,!alice@*", false),
            ("alice", "!bob", false),
            ("alice", "ALICE", false),
            ("", "*", true),
            ("a", "", false),
        ] {
            assert_eq!(matches_list(text, list), is_match, "{text} {list}");
        }
        let (text, pattern) = ("a".repeat(IDENTITY_LIMIT_BYTES), "*a".repeat(1000) + "b");
        assert!(!matches_list(&text, &pattern));
    }

    #[test]
    fn times_are_in_utc() {
        // Of `date -u -d … +%s`.
        for (text, seconds) in [
            ("19700101Z", 0),
            ("20240229Z", 1_709_164_800),
            ("202612312359Z", 1_798_761_540),
            ("21000301000001Z", 4_107_542_401),
        ] {
            assert_eq!(time("valid-after", text), Ok(seconds), "{text}");
        }
        for text in ["", "Z", "20230229Z", "20231301Z", "202301012400Z", "2023010Z", "1969123123Z", "+2230101Z"] {
            assert!(time("valid-after", text).unwrap_err().contains("no time such as"), "{text}");
        }
        assert!(time("valid-after", "20230228").unwrap_err().contains("write `20230228Z`"));
    }

    #[test]
    fn lines_that_are_not_understood_are_named() {
        for (line, why) in [
            ("alice".to_owned(), "it has no key"),
            (format!("alice namespace=\"file\" {KEY}"), "neither a key nor an option that is known at `namespace`"),
            (format!("alice namespaces=file {KEY}"), "the value of `namespaces` has no quotation marks"),
            (format!("alice namespaces=\"file {KEY}"), "a quotation mark is not closed"),
            (format!("\"alice {KEY}"), "a quotation mark is not closed"),
            (format!("alice namespaces=\"a\",namespaces=\"b\" {KEY}"), "the option `namespaces` is there twice"),
            (format!("alice namespaces {KEY}"), "has a value in quotation marks"),
            (format!("alice valid-before=\"20270101\" {KEY}"), "has no time zone: write `20270101Z`"),
            (format!("alice valid-after=\"20270101Z\",valid-before=\"20260101Z\" {KEY}"), "ends before it begins"),
            (format!("alice namespaces=\"file\"x {KEY}"), "something follows a quotation mark"),
            ("alice ssh-ed25519 AAAA".to_owned(), "neither a key nor an option that is known at `ssh-ed25519`"),
            (format!("alice {}", KEY.replace("Zl", "Z?")), "neither a key nor an option"),
        ] {
            let told = problem(&format!("# who\n\n{line}\n"));
            assert!(told.starts_with("line 3: ") && told.contains(why), "{line}: {told}");
        }
        assert_eq!(problem("\n# nobody\n"), "it names no signer");
        assert_eq!(problem(&"#".repeat(2 << 20)), "it is larger than 1048576 bytes");
    }

    #[test]
    fn a_public_key_is_one_and_a_line_with_principals_is_another() {
        let parse = |text: String| Signers::parse(text.as_bytes()).unwrap();
        assert!(matches!(parse(format!("# mine\n{KEY} me@here\n")), Signers::Key(_)));
        assert!(matches!(parse(format!("alice\t{KEY}")), Signers::Allowed(lines) if lines.len() == 1));
        assert!(matches!(parse(format!("ssh-ed25519 {KEY}")), Signers::Allowed(_)));
        let Signers::Allowed(lines) = parse(format!("\"alice b,*@c\"  Namespaces=\"a,b c\",cert-authority  {KEY} x y"))
        else {
            panic!()
        };
        assert_eq!((lines[0].principals.as_str(), lines[0].namespaces.as_deref()), ("alice b,*@c", Some("a,b c")));
        assert!(lines[0].is_authority && lines[0].refusal("a", 0).unwrap().contains("cert-authority"));
    }
}
