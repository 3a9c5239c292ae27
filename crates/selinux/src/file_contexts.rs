//! The lines of a policy, and what they say of a path.

use std::collections::HashMap;
use std::fmt;

use metadata::FileKind;

use crate::spec::Spec;
use crate::substitution::Substitutions;

/// The most bytes of a file that are read. Those of Fedora have half a million.
const MAX_BYTES: usize = 4 << 20;

/// The files of a policy, of which `file_contexts` is one. Those that are not there are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// `file_contexts`.
    pub file_contexts: &'a [u8],
    /// `file_contexts.homedirs`: lines about home directories, which are made of the policy's users.
    pub homedirs: &'a [u8],
    /// `file_contexts.local`: the administrator's own lines.
    pub local: &'a [u8],
    /// `file_contexts.subs`: the administrator's own names of directories.
    pub subs: &'a [u8],
    /// `file_contexts.subs_dist`: those of the distribution.
    pub subs_dist: &'a [u8],
}

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A line breaks the rules of the format.
    #[error("line {line} of `{file}`: {problem}")]
    Line {
        /// The name of the file.
        file: &'static str,
        /// The number of the line; the first one is 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file is larger than it may be.
    #[error("`{file}` has more than {MAX_BYTES} bytes")]
    TooLarge {
        /// Its name.
        file: &'static str,
    },
}

/// What a policy says of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// Files there have this label: `system_u:object_r:bin_t:s0`.
    Context(&'a [u8]),
    /// Files there have no label.
    None,
    /// No line is about it.
    Unknown,
    /// The line that may be about it has an expression that imgraft cannot read.
    Unreadable(&'a [u8]),
}

/// A policy's lines about files.
pub struct FileContexts {
    /// In the order in which they were read.
    specs: Vec<Spec>,
    /// The numbers of the lines that are about one path, in their order.
    names: HashMap<Vec<u8>, Vec<u32>>,
    /// The numbers of the others, by what their paths begin with.
    expressions: HashMap<Vec<u8>, Vec<u32>>,
    subs: Substitutions,
    subs_dist: Substitutions,
}

impl fmt::Debug for FileContexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileContexts({} lines)", self.specs.len())
    }
}

impl FileContexts {
    /// Reads the files of a policy.
    ///
    /// # Errors
    ///
    /// [`Error`] if a line cannot be read, or a file is too large.
    pub fn parse(texts: &Texts<'_>) -> Result<Self, Error> {
        let mut specs = Vec::new();
        // Later ones count more.
        for (file, text) in [
            ("file_contexts", texts.file_contexts),
            ("file_contexts.homedirs", texts.homedirs),
            ("file_contexts.local", texts.local),
        ] {
            if text.len() > MAX_BYTES {
                return Err(Error::TooLarge { file });
            }
            for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
                let spec = Spec::parse(line).map_err(|problem| Error::Line { file, line: index + 1, problem })?;
                specs.extend(spec);
            }
        }
        for (file, text) in [("file_contexts.subs", texts.subs), ("file_contexts.subs_dist", texts.subs_dist)] {
            if text.len() > MAX_BYTES {
                return Err(Error::TooLarge { file });
            }
        }
        let (mut names, mut expressions) = (HashMap::new(), HashMap::new());
        for (number, spec) in specs.iter().enumerate() {
            let of: &mut HashMap<Vec<u8>, Vec<u32>> = match spec.name() {
                Some(_) => &mut names,
                None => &mut expressions,
            };
            of.entry(spec.prefix().to_vec()).or_default().push(number as u32);
        }
        let [subs, subs_dist] = [texts.subs, texts.subs_dist].map(Substitutions::parse);
        Ok(Self { specs, names, expressions, subs, subs_dist })
    }

    /// What the policy says of the file of this kind at `path`, which is absolute and has no slash at its end.
    pub fn label(&self, path: &[u8], kind: FileKind) -> Label<'_> {
        let replaced = match self.subs.apply(path) {
            Some(path) => Some(self.subs_dist.apply(&path).unwrap_or(path)),
            None => self.subs_dist.apply(path),
        };
        let path = replaced.as_deref().unwrap_or(path);
        let spec = |number: u32| &self.specs[number as usize];
        let named = self.names.get(path).into_iter().flatten().rev().map(|&number| spec(number));
        if let Some(spec) = named.into_iter().find(|spec| spec.is_about(kind)) {
            return Label::of(spec);
        }
        let beginnings = (0..=path.len()).filter_map(|length| self.expressions.get(&path[..length]));
        let mut candidates: Vec<u32> = beginnings.flatten().copied().collect();
        candidates.sort_unstable();
        for number in candidates.into_iter().rev() {
            let spec = spec(number);
            if !spec.is_about(kind) {
                continue;
            }
            match spec.matches(path) {
                Some(true) => return Label::of(spec),
                Some(false) => {}
                None => return Label::Unreadable(spec.text()),
            }
        }
        Label::Unknown
    }
}

impl<'a> Label<'a> {
    fn of(spec: &'a Spec) -> Self {
        spec.context.as_deref().map_or(Self::None, Self::Context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "\
/.*\ta:b:default_t:s0
/usr(/.*)?\ta:b:usr_t:s0
/usr/bin/.*\ta:b:bin_t:s0
/usr/bin/passwd\t--\ta:b:passwd_exec_t:s0
/usr/bin/[^/]*wd -- a:b:other_t:s0
/proc -d <<none>>
/proc/.* <<none>>
/run/.* <<none>>
";

    fn policy(local: &str) -> FileContexts {
        let texts = Texts {
            file_contexts: POLICY.as_bytes(),
            homedirs: b"/home/[^/]+/\\.ssh(/.*)? u:r:ssh_home_t:s0\n",
            local: local.as_bytes(),
            subs: b"/data/bin /bin\n",
            subs_dist: b"/bin /usr/bin\n",
        };
        FileContexts::parse(&texts).unwrap()
    }

    #[test]
    fn names_come_first_and_then_the_last_expression() {
        let label = |policy: &FileContexts, path: &str, kind: FileKind| -> String {
            match policy.label(path.as_bytes(), kind) {
                Label::Context(context) => String::from_utf8(context.to_vec()).unwrap(),
                other => format!("{other:?}"),
            }
        };
        let plain = policy("");
        for (path, kind, expected) in [
            ("/bin/ls", FileKind::Regular, "a:b:bin_t:s0"),
            ("/data/bin/ls", FileKind::Regular, "a:b:bin_t:s0"),
            ("/usr/bin/passwd", FileKind::Regular, "a:b:passwd_exec_t:s0"),
            ("/usr/bin/passwd", FileKind::Symlink, "a:b:bin_t:s0"),
            ("/usr/bin/vipwd", FileKind::Regular, "a:b:other_t:s0"),
            ("/usr", FileKind::Directory, "a:b:usr_t:s0"),
            ("/srv/x", FileKind::Regular, "a:b:default_t:s0"),
            ("/home/ada/.ssh/key", FileKind::Regular, "u:r:ssh_home_t:s0"),
            ("/proc", FileKind::Directory, "None"),
            ("/proc", FileKind::Regular, "a:b:default_t:s0"),
            ("/run/x", FileKind::Fifo, "None"),
        ] {
            assert_eq!(label(&plain, path, kind), expected, "{path}");
        }
        let local = policy("/srv(/.*)? a:b:srv_t:s0\n/usr/bin/passwd a:b:mine_t:s0\n/usr/bin/l(?=s)s a:b:c\n");
        assert_eq!(label(&local, "/srv/x", FileKind::Regular), "a:b:srv_t:s0");
        assert_eq!(label(&local, "/usr/bin/passwd", FileKind::Regular), "a:b:mine_t:s0");
        assert_eq!(local.label(b"/bin/ls", FileKind::Regular), Label::Unreadable(b"/usr/bin/l(?=s)s"));
        let nothing = FileContexts::parse(&Texts::default()).unwrap();
        assert_eq!(nothing.label(b"/etc", FileKind::Directory), Label::Unknown);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let error = FileContexts::parse(&Texts { local: b"\n/etc\n", ..Texts::default() }).unwrap_err();
        assert_eq!(error.to_string(), "line 2 of `file_contexts.local`: no label");
        let large = vec![b'\n'; MAX_BYTES + 1];
        let error = FileContexts::parse(&Texts { subs: &large, ..Texts::default() }).unwrap_err();
        assert_eq!(error.to_string(), "`file_contexts.subs` has more than 4194304 bytes");
    }
}
