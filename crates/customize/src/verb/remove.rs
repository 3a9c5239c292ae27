//! `remove`: files and trees that are to go.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath};

use super::{SyntaxError, path};
use crate::carry_out::{Work, join};
use crate::error::Error;
use crate::report::Report;

/// What is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remove {
    /// A path, or a pattern of paths: `*` is anything in a name, `?` one byte, `[a-c]` and `[!a-c]` one
    /// byte of a set, `\` takes the next byte as it is. A name that begins with `.` has to be asked for
    /// by a `.`. Symlinks at the end are removed themselves, directories with all that is in them.
    pub pattern: GuestPath,
}

impl Remove {
    /// The remove that `PATTERN` says.
    ///
    /// # Errors
    ///
    /// A path that is none, and `/`.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let pattern = path(text.as_bytes())?;
        if pattern.components().all(|name| name == b"..") {
            return Err(SyntaxError::new("`/` is all of the guest, and is not removed"));
        }
        Ok(Self { pattern })
    }
}

impl Work<'_> {
    pub(crate) fn remove(&mut self, remove: &Remove) -> Result<Report, Error> {
        let paths = self.matching(&remove.pattern)?;
        for path in &paths {
            // One may have been below another.
            match self.guest.remove_tree(path) {
                Err(error) if error.is_not_found() => {}
                result => result?,
            }
        }
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let text = match &paths[..] {
            [] => format!("removed nothing: {} is not in the guest", remove.pattern),
            [path] => format!("removed {path}"),
            _ => format!("removed {} ({} matches)", remove.pattern, paths.len()),
        };
        Ok(Report::new("remove", text, paths, Vec::new()))
    }

    /// The files that `pattern` is a pattern of, in order; none where nothing is there.
    pub(crate) fn matching(&self, pattern: &GuestPath) -> Result<Vec<GuestPath>, Error> {
        let mut found = vec![GuestPath::root()];
        for name in pattern.components() {
            let mut next = Vec::new();
            for directory in found {
                // A symlink on the way is followed, the one at the end is not.
                let directory = match self.guest.find(&directory, LastLink::Follow) {
                    Ok(found) if found.node.kind() == FileKind::Directory => found.path,
                    Ok(_) => continue,
                    Err(error) if error.is_absence() => continue,
                    Err(error) => return Err(error.into()),
                };
                if name == b".." {
                    next.push(directory.parent().unwrap_or(directory));
                } else if is_pattern(name) {
                    for entry in self.guest.read_directory(&directory)? {
                        if matches(name, &entry.name) {
                            next.push(join(&directory, &entry.name)?);
                        }
                    }
                } else {
                    let path = join(&directory, name)?;
                    match self.guest.find(&path, LastLink::Keep) {
                        Ok(_) => next.push(path),
                        Err(error) if error.is_absence() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            next.sort();
            next.dedup();
            found = next;
        }
        Ok(found)
    }
}

fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// Whether `name` is one of those that `pattern` stands for.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') && !pattern.starts_with(b"\\.") {
        return false;
    }
    let (mut at, mut from) = (0, 0);
    // Where to go on should the last `*` have to take one byte more: each such step is one forward in the
    // name, so that there are at most as many as pattern and name have bytes, multiplied.
    let mut retry = None;
    loop {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, from));
                at += 1;
                continue;
            }
            None if from == name.len() => return true,
            Some(_) if from < name.len() => {
                if let Some(length) = matches_one(&pattern[at..], name[from]) {
                    at += length;
                    from += 1;
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((after, taken)) if taken < name.len() => {
                retry = Some((after, taken + 1));
                (at, from) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

/// Whether the first part of `pattern`, which is no `*`, stands for `byte`; how long that part is.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', rest @ ..] => match set(rest, byte) {
            Some((length, is_in)) => is_in.then_some(length + 1),
            None => (byte == b'[').then_some(1),
        },
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

/// Whether `byte` is in the set that `text` is up to its `]`, and how long that is; `None` without a `]`.
fn set(text: &[u8], byte: u8) -> Option<(usize, bool)> {
    let is_negated = matches!(text.first(), Some(b'!' | b'^'));
    let start = usize::from(is_negated);
    // A `]` that comes first is one of the set.
    let end = start + 1 + text.get(start + 1..)?.iter().position(|&byte| byte == b']')?;
    let members = &text[start..end];
    let (mut at, mut is_in) = (0, false);
    while at < members.len() {
        if at + 2 < members.len() && members[at + 1] == b'-' {
            is_in |= (members[at]..=members[at + 2]).contains(&byte);
            at += 3;
        } else {
            is_in |= members[at] == byte;
            at += 1;
        }
    }
    Some((end + 1, is_in != is_negated))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, name: &str) -> bool {
        matches(pattern.as_bytes(), name.as_bytes())
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        assert!(glob("*.log", "a.log") && glob("*", "x") && glob("a*b*c", "a-b-b-c") && glob("a?c", "abc"));
        assert!(!glob("*.log", "a.logs") && !glob("a?c", "ac") && !glob("a", "ab") && !glob("", "a"));
        assert!(glob("[a-c]x", "bx") && !glob("[a-c]x", "dx") && glob("[!a-c]x", "dx") && glob("[]]", "]"));
        assert!(glob("\\*", "*") && !glob("\\*", "a") && glob("[", "[") && glob("a[b", "a[b"));
        assert!(!glob("*", ".hidden") && glob(".*", ".hidden") && !glob("?hidden", ".hidden"));
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!glob(&"*a".repeat(100), &"a".repeat(99).repeat(2).replace("aa", "ab")));
    }

    #[test]
    fn the_root_is_not_removed() {
        for text in ["/", "//", "/.", "/..", "/../."] {
            assert!(Remove::parse(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
