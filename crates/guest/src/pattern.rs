//! Patterns of paths, as a shell has them.

use crate::error::Error;
use crate::guest::Guest;
use crate::metadata::FileKind;
use crate::path::GuestPath;
use crate::resolve::LastLink;

impl Guest {
    /// The paths that match `pattern`, in order: `*` stands for anything in a name, `?` for one byte, `[a-c]` and
    /// `[!a-c]` for one byte of a set, and `\` takes the next byte as it is. Only a pattern that begins with `.` matches
    /// a name that does. Symlinks on the way are followed, one at the end is not.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), except for what is not there.
    pub fn matching(&self, pattern: &GuestPath) -> Result<Vec<GuestPath>, Error> {
        let mut found = vec![GuestPath::root()];
        for name in pattern.components() {
            let mut next = Vec::new();
            for directory in found {
                let directory = match self.find(&directory, LastLink::Follow) {
                    Ok(found) if found.node.kind() == FileKind::Directory => found.path,
                    Ok(_) => continue,
                    Err(error) if error.is_absence() => continue,
                    Err(error) => return Err(error),
                };
                let join = |name: &[u8]| directory.join(name).map_err(|error| Error::bad_path(&directory, error));
                if name == b".." {
                    next.push(directory.parent().unwrap_or(directory));
                } else if is_pattern(name) {
                    for entry in self.read_directory(&directory)? {
                        if matches(name, &entry.name) {
                            next.push(join(&entry.name)?);
                        }
                    }
                } else {
                    let path = join(name)?;
                    match self.find(&path, LastLink::Keep) {
                        Ok(_) => next.push(path),
                        Err(error) if error.is_absence() => {}
                        Err(error) => return Err(error),
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

/// Whether `name` matches `pattern`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') && !pattern.starts_with(b"\\.") {
        return false;
    }
    let (mut at, mut from) = (0, 0);
    // Where to go on if the last `*` has to take one more byte. Each such step goes one byte forward in the name, so
    // that there are at most as many steps as the lengths of the pattern and the name multiplied.
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

/// The length of the first part of `pattern`, which is not `*`, if it matches `byte`.
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

/// The length of the set at the start of `text`, which ends with a `]`, and whether `byte` is in it. `None` if there
/// is no `]`.
fn set(text: &[u8], byte: u8) -> Option<(usize, bool)> {
    let is_negated = matches!(text.first(), Some(b'!' | b'^'));
    let start = usize::from(is_negated);
    // A `]` that comes first is in the set.
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
}
