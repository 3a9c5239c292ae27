//! Reading the parts of a flag's value.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::GuestPath;
use recipe::{Mode, Owner, SyntaxError};

/// What is before and after the first `:`, where something is before it.
pub(crate) fn split(text: &OsStr) -> Option<(&[u8], &[u8])> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|&byte| byte == b':').filter(|&colon| colon > 0)?;
    Some((&bytes[..colon], &bytes[colon + 1..]))
}

/// A path in the guest.
pub(crate) fn path(bytes: &[u8]) -> Result<GuestPath, SyntaxError> {
    GuestPath::new(bytes).map_err(|error| SyntaxError::path(bytes, error))
}

/// A path that this program knows to be valid.
pub(crate) fn known(path: &str) -> GuestPath {
    path.parse().unwrap_or_else(|_| unreachable!("a path of ours begins with `/`"))
}

/// A text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, SyntaxError> {
    std::str::from_utf8(bytes).map_err(|_| SyntaxError::NotUtf8 { text: String::from_utf8_lossy(bytes).into_owned() })
}

/// A mode.
pub(crate) fn mode(bytes: &[u8]) -> Result<Mode, SyntaxError> {
    Ok(utf8(bytes)?.parse::<Mode>()?)
}

/// An owner, from a user and a group.
pub(crate) fn owner(user: &[u8], group: &[u8]) -> Result<Owner, SyntaxError> {
    Ok(Owner { user: utf8(user)?.parse()?, group: utf8(group)?.parse()? })
}
