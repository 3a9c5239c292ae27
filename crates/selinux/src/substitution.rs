//! Other names of directories: `file_contexts.subs` and `file_contexts.subs_dist`.

/// The lines of a file: a path, and the path that stands in the policy for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Substitutions(Vec<(Vec<u8>, Vec<u8>)>);

impl Substitutions {
    /// Reads a file. Lines without two words are passed over, as libselinux does it.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut lines = Vec::new();
        for line in text.split(|&byte| byte == b'\n') {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            if let (Some(from), Some(to)) = (words.next(), words.next())
                && !from.starts_with(b"#")
            {
                lines.push((from.to_vec(), to.to_vec()));
            }
        }
        // The last line comes first.
        lines.reverse();
        Self(lines)
    }

    /// The path with the first name that it begins with replaced; `None` if it begins with none.
    pub(crate) fn apply(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().find_map(|(from, to)| {
            let rest = path.strip_prefix(&from[..]).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
            let rest = if to == b"/" { rest.strip_prefix(b"/").unwrap_or(rest) } else { rest };
            Some([to, rest].concat())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_components_are_replaced_and_the_last_line_comes_first() {
        let subs =
            Substitutions::parse(b"# /x /y\n/bin /usr/bin\n  /lib64\t/usr/lib more\n/root\n/chroot /\n/bin /sbin\n");
        let apply = |path: &str| subs.apply(path.as_bytes()).map(|path| String::from_utf8(path).unwrap());
        assert_eq!(apply("/bin/ls").as_deref(), Some("/sbin/ls"));
        assert_eq!(apply("/lib64").as_deref(), Some("/usr/lib"));
        assert_eq!(apply("/chroot/etc").as_deref(), Some("/etc"));
        assert_eq!(apply("/chroot").as_deref(), Some("/"));
        assert_eq!((apply("/binary"), apply("/root/a"), apply("/x")), (None, None, None));
    }
}
