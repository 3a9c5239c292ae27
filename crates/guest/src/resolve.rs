//! Resolving paths: the walk through directories, symlinks and mount points.

use std::collections::VecDeque;

use crate::error::{Error, PathProblem};
use crate::metadata::FileKind;
use crate::path::{GuestPath, split};

/// The most symlinks that one path may go through. This is the kernel's limit.
const MAX_LINKS: usize = 40;

/// A tree of files in which paths are resolved: a guest, or a guest as it will be after planned edits.
pub trait Tree {
    /// A file of the tree.
    type Node: Clone;

    /// The root directory.
    fn root(&self) -> Self::Node;

    /// The file at `path`, whose parent is the directory `parent`; `None` if there is no such file. Only the last
    /// component of `path` can be a symlink.
    ///
    /// # Errors
    ///
    /// If the tree cannot be read.
    fn child(&self, parent: &Self::Node, path: &GuestPath) -> Result<Option<Self::Node>, Error>;

    /// Which kind of file `node` is.
    fn kind(&self, node: &Self::Node) -> FileKind;

    /// The target of the symlink `node`.
    ///
    /// # Errors
    ///
    /// Where the tree could not be read.
    fn link_target(&self, node: &Self::Node) -> Result<Vec<u8>, Error>;
}

/// Whether a symlink at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// The path means the link's target.
    Follow,
    /// The path means the link itself.
    Keep,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<N> {
    /// Its real path, without symlinks and `..`.
    pub path: GuestPath,
    /// The file.
    pub node: N,
}

/// The result of a lookup.
#[derive(Clone, Debug)]
pub enum Lookup<N> {
    /// A file.
    Found(Found<N>),
    /// There is no such file, but its path begins in an existing directory.
    Missing {
        /// The last directory of the path that exists.
        directory: Found<N>,
        /// The components after it, at least one, that do not exist.
        names: Vec<Vec<u8>>,
    },
}

/// A component that is still to be looked up.
struct Pending {
    name: Vec<u8>,
    /// The link in whose target it stands; `None` for components of the path itself.
    from_link: Option<usize>,
}

/// The walk through one path.
struct Walk<'a, T: Tree> {
    tree: &'a T,
    path: &'a GuestPath,
    /// The directories from the root to where the walk is. The last one may be any kind of file.
    stack: Vec<Found<T::Node>>,
    pending: VecDeque<Pending>,
    /// The symlinks that were followed, and their targets.
    links: Vec<(GuestPath, Vec<u8>)>,
}

/// Looks up `path` in `tree`.
///
/// Symlinks are followed inside the tree: an absolute target begins at the tree's root, and `..` of
/// the root is the root.
///
/// # Errors
///
/// [`PathProblem::NotADirectory`] if a component before the last is not a directory,
/// [`PathProblem::DanglingLink`] if the path goes through a symlink whose target does not exist,
/// [`PathProblem::LinkLoop`] after 40 symlinks, [`PathProblem::NotFound`] for a `..` below something
/// that does not exist.
pub fn lookup<T: Tree>(tree: &T, path: &GuestPath, last: LastLink) -> Result<Lookup<T::Node>, Error> {
    let pending = path.components().map(|name| Pending { name: name.to_vec(), from_link: None }).collect();
    let root = Found { path: GuestPath::root(), node: tree.root() };
    Walk { tree, path, stack: vec![root], pending, links: Vec::new() }.run(last)
}

impl<T: Tree> Walk<'_, T> {
    fn run(mut self, last: LastLink) -> Result<Lookup<T::Node>, Error> {
        while let Some(next) = self.pending.pop_front() {
            let here = self.here();
            if self.tree.kind(&here.node) != FileKind::Directory {
                let at = here.path.clone();
                return Err(self.problem(PathProblem::NotADirectory { at }));
            }
            if next.name == b".." {
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                continue;
            }
            let child_path = here.path.join(&next.name).map_err(|error| Error::bad_path(self.path, error))?;
            let child = self.tree.child(&here.node, &child_path).map_err(|error| match error {
                Error::Path { problem, .. } => self.problem(problem),
                other => other,
            })?;
            let Some(child) = child else {
                return self.missing(next);
            };
            let is_last = self.pending.is_empty();
            if self.tree.kind(&child) == FileKind::Symlink && !(is_last && last == LastLink::Keep) {
                self.follow(child_path, &child)?;
            } else {
                self.stack.push(Found { path: child_path, node: child });
            }
        }
        Ok(Lookup::Found(self.here().clone()))
    }

    fn here(&self) -> &Found<T::Node> {
        self.stack.last().unwrap_or_else(|| unreachable!("the root stays"))
    }

    fn problem(&self, problem: PathProblem) -> Error {
        Error::Path { path: self.path.clone(), problem }
    }

    /// Puts the target of the symlink before the components that are still to be looked up.
    fn follow(&mut self, path: GuestPath, link: &T::Node) -> Result<(), Error> {
        if self.links.len() >= MAX_LINKS {
            return Err(self.problem(PathProblem::LinkLoop { link: path }));
        }
        let target = self.tree.link_target(link)?;
        if target.is_empty() {
            return Err(self.problem(PathProblem::DanglingLink { link: path, target }));
        }
        if target.first() == Some(&b'/') {
            self.stack.truncate(1);
        }
        let index = self.links.len();
        for name in split(&target).rev() {
            self.pending.push_front(Pending { name: name.to_vec(), from_link: Some(index) });
        }
        self.links.push((path, target));
        Ok(())
    }

    /// The result if there is nothing called `next` where the walk is.
    fn missing(mut self, next: Pending) -> Result<Lookup<T::Node>, Error> {
        if let Some(index) = next.from_link {
            let (link, target) = self.links.swap_remove(index);
            return Err(self.problem(PathProblem::DanglingLink { link, target }));
        }
        let mut names = vec![next.name];
        names.extend(self.pending.iter().map(|pending| pending.name.clone()));
        if names.iter().any(|name| name == b"..") {
            return Err(self.problem(PathProblem::NotFound));
        }
        let directory = self.here().clone();
        Ok(Lookup::Missing { directory, names })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Paths to link targets; a directory has `None`, a file the target `"file"`.
    struct Toy(BTreeMap<&'static str, Option<&'static str>>);

    impl Tree for Toy {
        type Node = Option<&'static str>;

        fn root(&self) -> Self::Node {
            None
        }

        fn child(&self, _parent: &Self::Node, path: &GuestPath) -> Result<Option<Self::Node>, Error> {
            Ok(self.0.get(path.to_string().as_str()).copied())
        }

        fn kind(&self, node: &Self::Node) -> FileKind {
            match node {
                None => FileKind::Directory,
                Some("file") => FileKind::Regular,
                Some(_) => FileKind::Symlink,
            }
        }

        fn link_target(&self, node: &Self::Node) -> Result<Vec<u8>, Error> {
            Ok(node.unwrap_or_default().as_bytes().to_vec())
        }
    }

    fn toy() -> Toy {
        Toy(BTreeMap::from([
            ("/usr", None),
            ("/usr/bin", None),
            ("/usr/bin/sh", Some("dash")),
            ("/usr/bin/dash", Some("file")),
            ("/bin", Some("usr/bin")),
            ("/absolute", Some("/usr/bin")),
            ("/outside", Some("../../../../usr")),
            ("/dangling", Some("/nowhere/at/all")),
            ("/loop", Some("loop")),
            ("/a", Some("/b")),
            ("/b", Some("/a")),
        ]))
    }

    fn show(path: &str, last: LastLink) -> String {
        match lookup(&toy(), &path.parse().unwrap(), last) {
            Ok(Lookup::Found(found)) => found.path.to_string(),
            Ok(Lookup::Missing { directory, names }) => {
                let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
                format!("{} + {}", directory.path, names.join("/"))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn links_are_followed_inside_the_tree() {
        assert_eq!(show("/bin/sh", LastLink::Follow), "/usr/bin/dash");
        assert_eq!(show("/bin/sh", LastLink::Keep), "/usr/bin/sh");
        assert_eq!(show("/absolute/dash", LastLink::Follow), "/usr/bin/dash");
        assert_eq!(show("/bin", LastLink::Keep), "/bin");
    }

    #[test]
    fn dot_dot_of_the_root_is_the_root() {
        assert_eq!(show("/../../usr/../usr/bin", LastLink::Follow), "/usr/bin");
        assert_eq!(show("/outside/bin", LastLink::Follow), "/usr/bin");
        assert_eq!(show("/absolute/..", LastLink::Follow), "/usr");
    }

    #[test]
    fn what_is_missing_hangs_below_what_is_there() {
        assert_eq!(show("/bin/new", LastLink::Follow), "/usr/bin + new");
        assert_eq!(show("/opt/a/b", LastLink::Follow), "/ + opt/a/b");
        assert_eq!(show("/opt/../usr", LastLink::Follow), "`/opt/../usr` is not in the guest");
    }

    #[test]
    fn a_dangling_link_is_named_and_nothing_is_made_at_its_target() {
        assert_eq!(
            show("/dangling/file", LastLink::Keep),
            "`/dangling/file` goes through the symlink `/dangling`, whose target `/nowhere/at/all` is not in the guest"
        );
        assert_eq!(show("/dangling", LastLink::Keep), "/dangling");
    }

    #[test]
    fn loops_end_and_name_a_link() {
        assert_eq!(show("/loop/x", LastLink::Follow), "`/loop/x` goes through too many symlinks, the last is `/loop`");
        assert!(show("/a", LastLink::Follow).contains("too many symlinks"));
    }

    #[test]
    fn a_file_is_no_directory() {
        assert_eq!(show("/bin/dash/x", LastLink::Follow), "`/bin/dash/x`: `/usr/bin/dash` is not a directory");
    }
}
