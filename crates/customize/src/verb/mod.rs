//! The verbs, one a file: what each is, how it is said in one text, and how it is carried out.

mod append;
mod chmod;
mod chown;
mod copy;
mod edit;
mod first_boot;
mod hostname;
mod link;
mod mkdir;
mod password;
mod put;
mod relabel;
mod remove;
mod rename;
mod replace;
mod scrub;
mod ssh_key;
mod tar;
mod timezone;
mod touch;
mod truncate;
mod user;
mod write;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use guest::GuestPath;

use crate::mode::Mode;
use crate::owner::Owner;

pub use append::Append;
pub use chmod::Chmod;
pub use chown::Chown;
pub use copy::Copy;
pub use edit::{Edit, Filter};
pub use first_boot::FirstBoot;
pub use hostname::{Hostname, HostnameAlso};
pub use link::Link;
pub use mkdir::Mkdir;
pub use password::{Password, Secret};
pub use put::{Destination, Put, PutError, PutOwner};
pub use remove::Remove;
pub use rename::Move;
pub use replace::{Pattern, Replace};
pub use scrub::Scrub;
pub use ssh_key::{KeySource, SshKey, authorized_keys};
pub use tar::Tar;
pub use timezone::Timezone;
pub use touch::Touch;
pub use truncate::Truncate;
pub use user::User;
pub use write::Write;

/// Why a text says no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    message: String,
}

impl SyntaxError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// Another form than `form` was found.
    pub(crate) fn form(form: &str, example: &str) -> Self {
        Self::new(format!("{form} is needed, such as `{example}`"))
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// What is before and after the first `:`, where there is something before it.
pub(crate) fn split(text: &OsStr) -> Option<(&[u8], &[u8])> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|&byte| byte == b':').filter(|&colon| colon > 0)?;
    Some((&bytes[..colon], &bytes[colon + 1..]))
}

/// The path in the guest that `bytes` are.
pub(crate) fn path(bytes: &[u8]) -> Result<GuestPath, SyntaxError> {
    GuestPath::new(bytes).map_err(|error| SyntaxError::new(format!("`{}`: {error}", String::from_utf8_lossy(bytes))))
}

/// A path of ours, which is one.
pub(crate) fn known(path: &str) -> GuestPath {
    path.parse().unwrap_or_else(|_| unreachable!("a path of ours begins with `/`"))
}

/// The text that `bytes` are.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, SyntaxError> {
    std::str::from_utf8(bytes)
        .map_err(|_| SyntaxError::new(format!("`{}` is not UTF-8", String::from_utf8_lossy(bytes))))
}

/// The mode that `bytes` are.
pub(crate) fn mode(bytes: &[u8]) -> Result<Mode, SyntaxError> {
    utf8(bytes)?.parse().map_err(|error: crate::mode::ModeError| SyntaxError::new(error.to_string()))
}

/// The owner that a user and a group are.
pub(crate) fn owner(user: &[u8], group: &[u8]) -> Result<Owner, SyntaxError> {
    let principal =
        |bytes| utf8(bytes)?.parse().map_err(|error: crate::owner::OwnerError| SyntaxError::new(error.to_string()));
    Ok(Owner { user: principal(user)?, group: principal(group)? })
}
