//! What the environment says: the only place that asks it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use guest::Time;

use crate::failure::Failure;

/// The time that everything new gets, where SOURCE_DATE_EPOCH says one.
///
/// # Errors
///
/// A value that is not a number of seconds.
pub(crate) fn source_date_epoch() -> Result<Option<Time>, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the environment is the binary's")]
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    parse_epoch(&value.to_string_lossy()).map(Some)
}

/// The folders that programs are looked for in.
pub(crate) fn search_path() -> Vec<PathBuf> {
    paths("PATH")
}

/// The paths that the variable `name` has, with colons between them.
pub(crate) fn paths(name: &str) -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the environment is the binary's")]
    let value = std::env::var_os(name).unwrap_or_default();
    std::env::split_paths(&value).filter(|path| name == "PATH" || !path.as_os_str().is_empty()).collect()
}

/// The variables whose names begin with `prefix`, in their order.
pub(crate) fn names_that_begin_with(prefix: &str) -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let mut names: Vec<OsString> =
        names.filter(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes())).collect();
    names.sort();
    names
}

/// The home folder of the user.
pub(crate) fn home() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the environment is the binary's")]
    std::env::var_os("HOME").map(PathBuf::from)
}

/// The path that the variable `name` has; one that is set to nothing has none.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the environment is the binary's")]
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The text that the variable `name` has; one that is set to nothing hides others.
pub(crate) fn text(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the environment is the binary's")]
    std::env::var(name).ok()
}

/// Whether nobody watches, but a log is kept: CI sets that variable.
pub(crate) fn is_ci() -> bool {
    text("CI").is_some_and(|value| !["", "0", "false"].contains(&value.as_str()))
}

/// The variables that say where proxies are, in both spellings that programs know.
pub(crate) fn proxies() -> Vec<(OsString, OsString)> {
    const NAMES: [&str; 5] = ["all_proxy", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy"];
    let is_proxy = |name: &OsString| NAMES.contains(&&*name.to_string_lossy().to_lowercase());
    std::env::vars_os().filter(|(name, _)| is_proxy(name)).collect()
}

/// The time.
pub(crate) fn now() -> std::time::SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the clock is the binary's")]
    std::time::SystemTime::now()
}

/// The time, in seconds since 1970.
pub(crate) fn seconds_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the clock is the binary's")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The folder of the user's own settings.
pub(crate) fn config_home() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the environment is the binary's")]
    let value = std::env::var_os("XDG_CONFIG_HOME").filter(|value| !value.is_empty());
    value.map(PathBuf::from).or_else(|| Some(home()?.join(".config")))
}

/// Random bytes.
pub(crate) fn random_bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn parse_epoch(value: &str) -> Result<Time, Failure> {
    // What an inode of ext4 can hold ends in 2446.
    match value.parse::<u32>().map(i64::from).or_else(|_| value.parse::<i64>()) {
        Ok(seconds @ 0..=15_032_385_535) if !value.starts_with('+') => Ok(Time { seconds, nanoseconds: 0 }),
        _ => Err(Failure::new(format!("SOURCE_DATE_EPOCH is `{value}`, which is not a time that a file can have"))
            .hint("set it to seconds since 1970, such as the output of `git log -1 --format=%ct`, or unset it")),
    }
}

/// The characters of passwords that are made up: none that looks like another.
const PASSWORD_CHARACTERS: &[u8; 56] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ2345678";
/// How long such a password is: 92 bits.
const PASSWORD_LENGTH: usize = 16;

/// A new random password.
///
/// # Errors
///
/// What the host says that has no random bytes.
pub(crate) fn random_password() -> io::Result<String> {
    let mut random = File::open("/dev/urandom")?;
    let mut password = String::new();
    while password.len() < PASSWORD_LENGTH {
        let mut byte = [0];
        random.read_exact(&mut byte)?;
        let index = usize::from(byte[0]);
        // Each is as likely as the others: 224 is four times as many.
        if index < PASSWORD_CHARACTERS.len() * 4 {
            password.push(char::from(PASSWORD_CHARACTERS[index % PASSWORD_CHARACTERS.len()]));
        }
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_a_number_of_seconds() {
        assert_eq!(parse_epoch("1700000000").unwrap(), Time { seconds: 1_700_000_000, nanoseconds: 0 });
        for value in ["", "yesterday", "-1", "+1", "1.5", "99999999999", " 1"] {
            assert!(parse_epoch(value).is_err(), "{value}");
        }
    }
}
