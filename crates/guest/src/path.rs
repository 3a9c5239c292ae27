//! Paths inside the guest. They are absolute, and bytes; a path of the host is another type.

use std::fmt;

/// The longest name of a file, in bytes. This is the limit of ext4 and of the kernel.
const NAME_MAX_BYTES: usize = 255;
/// The longest path, in bytes. The kernel's limit of 4096 includes a NUL.
const PATH_MAX_BYTES: usize = 4095;

/// An absolute path inside the guest.
///
/// It is stored without doubled slashes, `.` components and a slash at the end. `..` stays, as its meaning depends on
/// the symlinks before it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath {
    /// `/` alone, or `/name` for each component.
    bytes: Vec<u8>,
}

/// Why bytes cannot be a [`GuestPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("a path in the guest begins with `/`")]
    Relative,
    /// It has a NUL byte in it.
    #[error("a path cannot have a NUL byte in it")]
    Nul,
    /// A component is longer than 255 bytes.
    #[error("a name of {length_bytes} bytes, the longest is {NAME_MAX_BYTES}")]
    NameTooLong {
        /// The component's length in bytes.
        length_bytes: usize,
    },
    /// The path is longer than 4095 bytes.
    #[error("a path of {length_bytes} bytes, the longest is {PATH_MAX_BYTES}")]
    TooLong {
        /// The path's length in bytes.
        length_bytes: usize,
    },
}

impl GuestPath {
    /// `/`.
    pub fn root() -> Self {
        Self { bytes: b"/".to_vec() }
    }

    /// The path with these bytes.
    ///
    /// # Errors
    ///
    /// Every [`PathError`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let bytes = bytes.as_ref();
        if bytes.first() != Some(&b'/') {
            return Err(PathError::Relative);
        }
        let mut path = Self::root();
        for name in split(bytes) {
            path = path.join(name)?;
        }
        Ok(path)
    }

    /// This path with one more component.
    ///
    /// # Errors
    ///
    /// Every [`PathError`] but [`PathError::Relative`].
    ///
    /// # Panics
    ///
    /// If `name` is not a component: if it is empty, `.`, or has a `/` in it.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        assert!(!name.is_empty() && name != b"." && !name.contains(&b'/'), "not one component");
        if name.contains(&0) {
            return Err(PathError::Nul);
        }
        if name.len() > NAME_MAX_BYTES {
            return Err(PathError::NameTooLong { length_bytes: name.len() });
        }
        let mut bytes = self.bytes.clone();
        if !self.is_root() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        if bytes.len() > PATH_MAX_BYTES {
            return Err(PathError::TooLong { length_bytes: bytes.len() });
        }
        Ok(Self { bytes })
    }

    /// The path after `from` was renamed to `to`.
    pub(crate) fn moved(self, from: &Self, to: &Self) -> Self {
        match self.bytes.strip_prefix(&from.bytes[..]) {
            Some(rest) if self.starts_with(from) => Self { bytes: [&to.bytes, rest].concat() },
            _ => self,
        }
    }

    /// The path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.bytes.len() == 1
    }

    /// The components, beginning at the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        split(&self.bytes)
    }

    /// The last component; `/` has none.
    pub fn name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// The path without its last component; `/` has none.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let slash = self.bytes.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(Self { bytes: self.bytes[..slash.max(1)].to_vec() })
    }

    /// Whether this is `ancestor` or lies below it. Symlinks are not followed.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self.bytes.strip_prefix(ancestor.bytes.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }
}

/// The components of a path or of a symlink's target.
pub(crate) fn split(bytes: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

impl std::str::FromStr for GuestPath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::new(path)
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        storage::Printable(&self.bytes).fmt(f)
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        text.parse().unwrap()
    }

    #[test]
    fn slashes_and_dots_are_tidied_and_dot_dot_stays() {
        assert_eq!(path("//usr/./local//bin/").to_string(), "/usr/local/bin");
        assert_eq!(path("/a/../b").to_string(), "/a/../b");
        assert_eq!(path("/.").to_string(), "/");
    }

    #[test]
    fn what_is_no_guest_path_is_refused() {
        assert_eq!("usr/bin".parse::<GuestPath>(), Err(PathError::Relative));
        assert_eq!("".parse::<GuestPath>(), Err(PathError::Relative));
        assert_eq!(GuestPath::new(b"/a\0b"), Err(PathError::Nul));
        assert_eq!(GuestPath::new([b"/".as_slice(), &[b'x'; 255]].concat()).unwrap().as_bytes().len(), 256);
        let long = [b"/".as_slice(), &[b'x'; 256]].concat();
        assert_eq!(GuestPath::new(long), Err(PathError::NameTooLong { length_bytes: 256 }));
        assert!(matches!(GuestPath::new(b"/abc".repeat(1024)), Err(PathError::TooLong { .. })));
    }

    #[test]
    fn parents_end_at_the_root() {
        assert_eq!(path("/usr/bin").parent(), Some(path("/usr")));
        assert_eq!(path("/usr").parent(), Some(path("/")));
        assert_eq!(path("/").parent(), None);
        assert_eq!(path("/usr/bin").name(), Some(b"bin".as_slice()));
    }

    #[test]
    fn a_prefix_ends_between_components() {
        assert!(path("/boot/efi").starts_with(&path("/boot")));
        assert!(path("/boot").starts_with(&path("/")));
        assert!(!path("/bootstrap").starts_with(&path("/boot")));
    }
}
