//! A line of `file_contexts`: which paths it is about, and which label they have.

use std::sync::OnceLock;

use metadata::FileKind;
use regex::bytes::{Regex, RegexBuilder};

/// The longest expression that libselinux takes, in bytes.
const MAX_EXPRESSION_BYTES: usize = 4095;
/// The most bytes that a compiled expression takes. Those of policies take some thousand.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// What stands for no label.
const NONE: &[u8] = b"<<none>>";
/// Characters that make a path an expression.
const SPECIAL: &[u8] = b".^$?*+|[](){}";
/// What may follow a backslash in a path.
const ESCAPED: &[u8] = b".^$?*+|[](){}-_,";

/// A line.
#[derive(Debug)]
pub(crate) struct Spec {
    paths: Paths,
    kind: Option<FileKind>,
    /// `None` if such files have none.
    pub(crate) context: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Paths {
    Name(Vec<u8>),
    Expression {
        text: Vec<u8>,
        /// What each path that matches begins with.
        prefix: Vec<u8>,
        /// Most expressions of a policy are never needed.
        compiled: OnceLock<Option<Regex>>,
    },
}

/// A line that no policy has: the text says what is wrong with it.
pub(crate) type Problem = &'static str;

impl Spec {
    /// Reads a line; `None` if it says nothing.
    pub(crate) fn parse(line: &[u8]) -> Result<Option<Self>, Problem> {
        let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let (path, kind, context) = match words[..] {
            [] => return Ok(None),
            [first, ..] if first.starts_with(b"#") => return Ok(None),
            [path, context] => (path, None, context),
            [path, kind, context, ..] => (path, kind_of(kind)?, context),
            [_] => return Err("no label"),
        };
        if path.len() > MAX_EXPRESSION_BYTES {
            return Err("the expression is too long");
        }
        if !is_context(context) {
            return Err("invalid label");
        }
        let context = (context != NONE).then(|| context.to_vec());
        let paths = match name(path) {
            Some(name) => Paths::Name(name),
            None => Paths::Expression { text: path.to_vec(), prefix: prefix(path), compiled: OnceLock::new() },
        };
        Ok(Some(Self { paths, kind, context }))
    }

    /// The whole path, if it is about one path.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        match &self.paths {
            Paths::Name(name) => Some(name),
            Paths::Expression { .. } => None,
        }
    }

    /// What the paths begin with.
    pub(crate) fn prefix(&self) -> &[u8] {
        match &self.paths {
            Paths::Name(name) => name,
            Paths::Expression { prefix, .. } => prefix,
        }
    }

    /// Whether it is about files of this kind.
    pub(crate) fn is_about(&self, kind: FileKind) -> bool {
        self.kind.is_none_or(|own| own == kind)
    }

    /// Whether it is about this path, which begins with its [`prefix`](Self::prefix); `None` if its expression is not
    /// one that can be compiled.
    pub(crate) fn matches(&self, path: &[u8]) -> Option<bool> {
        match &self.paths {
            Paths::Name(name) => Some(name == path),
            Paths::Expression { text, compiled, .. } => {
                let compiled = compiled.get_or_init(|| compile(text));
                compiled.as_ref().map(|regex| regex.is_match(path))
            }
        }
    }

    /// The expression, for messages.
    pub(crate) fn text(&self) -> &[u8] {
        match &self.paths {
            Paths::Name(name) => name,
            Paths::Expression { text, .. } => text,
        }
    }
}

/// The kind of file that the middle word names; `None` is any.
fn kind_of(word: &[u8]) -> Result<Option<FileKind>, Problem> {
    Ok(Some(match word {
        b"--" => FileKind::Regular,
        b"-d" => FileKind::Directory,
        b"-l" => FileKind::Symlink,
        b"-c" => FileKind::CharDevice,
        b"-b" => FileKind::BlockDevice,
        b"-p" => FileKind::Fifo,
        b"-s" => FileKind::Socket,
        _ => return Err("unknown kind of file"),
    }))
}

/// Whether it can be a label: `user:role:type`, and perhaps a range.
fn is_context(context: &[u8]) -> bool {
    context == NONE || context.iter().filter(|&&byte| byte == b':').count() >= 2 && context.is_ascii()
}

/// The path that a text without special characters is; those that are escaped are not special.
fn name(text: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut bytes) = (Vec::new(), text.iter());
    while let Some(&byte) = bytes.next() {
        name.push(match byte {
            b'\\' => *bytes.next().filter(|next| ESCAPED.contains(next))?,
            byte if SPECIAL.contains(&byte) => return None,
            byte => byte,
        });
    }
    Some(name)
}

/// What all that matches an expression begins with, as far as that is easily said.
fn prefix(text: &[u8]) -> Vec<u8> {
    // Of `a|b`, that may be anything.
    if text.contains(&b'|') && !is_in_parentheses(text) {
        return Vec::new();
    }
    let (mut prefix, mut at) = (Vec::new(), 0);
    while let Some(&byte) = text.get(at) {
        let (literal, length) = match byte {
            b'\\' => match text.get(at + 1) {
                Some(next) if ESCAPED.contains(next) => (*next, 2),
                _ => break,
            },
            byte if SPECIAL.contains(&byte) => break,
            byte => (byte, 1),
        };
        // What is repeated may not be there.
        if matches!(text.get(at + length), Some(b'?' | b'*' | b'{')) {
            break;
        }
        prefix.push(literal);
        at += length;
    }
    prefix
}

/// Whether each `|` of an expression is in parentheses.
fn is_in_parentheses(text: &[u8]) -> bool {
    let (mut depth, mut bytes) = (0_i32, text.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'|' if depth <= 0 => return false,
            _ => {}
        }
    }
    true
}

/// An expression of PCRE, which has to match a path from its beginning to its end. The time that a match takes grows with
/// the length of the path alone.
fn compile(text: &[u8]) -> Option<Regex> {
    let text = std::str::from_utf8(text).ok()?;
    let mut builder = RegexBuilder::new(&format!("^{text}$"));
    builder.unicode(false).dot_matches_new_line(true).size_limit(MAX_COMPILED_BYTES);
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(line: &str) -> Spec {
        Spec::parse(line.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn names_and_expressions_are_told_apart() {
        for (line, name, prefix) in [
            ("/etc/shadow a:b:c", Some("/etc/shadow"), "/etc/shadow"),
            ("/lost\\+found -d a:b:c:s0", Some("/lost+found"), "/lost+found"),
            ("/usr(/.*)? a:b:c", None, "/usr"),
            ("/usr/lib(64)?/x a:b:c", None, "/usr/lib"),
            ("/etc/.* a:b:c", None, "/etc/"),
            ("/dev/[hs]d a:b:c", None, "/dev/"),
            ("/initrd.img.* a:b:c", None, "/initrd"),
            ("/vmlinuz? a:b:c", None, "/vmlinu"),
            ("/a\\.b{2} a:b:c", None, "/a."),
            ("/x\\.* a:b:c", None, "/x"),
            ("/a\\d a:b:c", None, "/a"),
            ("/a|/b a:b:c", None, ""),
            ("/a(b|c) a:b:c", None, "/a"),
        ] {
            let spec = spec(line);
            assert_eq!(spec.name(), name.map(str::as_bytes), "{line}");
            assert_eq!(spec.prefix(), prefix.as_bytes(), "{line}");
        }
    }

    #[test]
    fn a_line_is_read_or_says_what_is_wrong() {
        assert!(Spec::parse(b"  # /etc a:b:c").unwrap().is_none());
        assert!(Spec::parse(b" \t ").unwrap().is_none());
        let problem = |line: &[u8]| Spec::parse(line).unwrap_err();
        assert_eq!(problem(b"/etc"), "no label");
        assert_eq!(problem(b"/etc label"), "invalid label");
        assert_eq!(problem(b"/etc -x a:b:c"), "unknown kind of file");
        assert_eq!(problem(&[&[b'/'; 5000][..], b" a:b:c"].concat()), "the expression is too long");
        let directory = spec("/etc -d <<none>>");
        assert!(directory.is_about(FileKind::Directory) && !directory.is_about(FileKind::Regular));
        assert_eq!(directory.context, None);
        // What cannot be compiled, and what would take much memory.
        for expression in ["/(?=x)y", "/((a{500}){500}){500}", "/["] {
            assert_eq!(spec(&format!("{expression} a:b:c")).matches(b"/y"), None, "{expression}");
        }
    }
}
