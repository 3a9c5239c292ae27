//! Looks up owners in the guest.

use guest::Guest;
use recipe::{Owner, Principal};

use crate::error::Error;

/// The numbers of `owner` in `guest`.
pub(crate) fn numbers(guest: &Guest, owner: &Owner) -> Result<(u32, u32), Error> {
    Ok((user_number(guest, &owner.user)?, group_number(guest, &owner.group)?))
}

/// The number of a user of `guest`.
pub(crate) fn user_number(guest: &Guest, user: &Principal) -> Result<u32, Error> {
    match user {
        Principal::Number(number) => Ok(*number),
        Principal::Name(name) => guest.user_id(name)?.ok_or_else(|| Error::UnknownName {
            what: "user",
            name: name.clone(),
            file: "/etc/passwd",
        }),
    }
}

/// The number of a group of `guest`.
pub(crate) fn group_number(guest: &Guest, group: &Principal) -> Result<u32, Error> {
    match group {
        Principal::Number(number) => Ok(*number),
        Principal::Name(name) => guest.group_id(name)?.ok_or_else(|| Error::UnknownName {
            what: "group",
            name: name.clone(),
            file: "/etc/group",
        }),
    }
}
