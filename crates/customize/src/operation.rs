use crate::verb::{
    Append, Chmod, Chown, Copy, Edit, FirstBoot, Hostname, Link, Mkdir, Move, Password, Put, Remove, Replace, Scrub,
    SshKey, Tar, Timezone, Touch, Truncate, User, Write,
};

/// One thing that is done to a guest. Flags and recipes all become these, and nothing else changes
/// a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Puts a file or a tree of the host into the guest.
    Put(Put),
    /// Gives a file a content.
    Write(Write),
    /// Adds a line to a file.
    Append(Append),
    /// Makes a directory, and those on the way.
    Mkdir(Mkdir),
    /// Makes an empty file, or a file look as if it were new.
    Touch(Touch),
    /// Removes files and trees.
    Remove(Remove),
    /// Makes symlinks.
    Link(Link),
    /// Sets a mode.
    Chmod(Chmod),
    /// Sets an owner.
    Chown(Chown),
    /// Sets the guest's name.
    Hostname(Hostname),
    /// Sets where the guest's clock is.
    Timezone(Timezone),
    /// Makes a user.
    User(User),
    /// Sets a user's password.
    Password(Password),
    /// Lets somebody in with an SSH key.
    SshKey(SshKey),
    /// Has the guest do something itself when it boots first.
    FirstBoot(FirstBoot),
    /// Unpacks an archive of the host.
    Tar(Tar),
    /// Empties files.
    Truncate(Truncate),
    /// Copies a file or a tree of the guest.
    Copy(Copy),
    /// Moves a file or a tree of the guest.
    Move(Move),
    /// Replaces what matches a regular expression.
    Replace(Replace),
    /// Passes a file through a filter.
    Edit(Edit),
    /// Overwrites and removes a file.
    Scrub(Scrub),
    /// Has every file labelled for SELinux when the guest boots.
    Relabel,
}

macro_rules! from {
    ($($verb:ident),*) => {
        $(impl From<$verb> for Operation {
            fn from(verb: $verb) -> Self {
                Self::$verb(verb)
            }
        })*
    };
}

from!(
    Put, Write, Append, Mkdir, Touch, Remove, Link, Chmod, Chown, Hostname, Timezone, User, Password, SshKey,
    FirstBoot, Tar, Truncate, Copy, Move, Replace, Edit, Scrub
);
