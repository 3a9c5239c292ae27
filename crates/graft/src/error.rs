//! What can go wrong, as something to match on.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use guest::diff::UnexplainedPlace;
use image::{Compression, Format, Wrapping};
use recipe::ByteSize;
use storage::Finding;
use thiserror::Error;

use crate::lock::InUse;
use crate::output::Folder;

/// Why a job was not done. Where nothing else is said, nothing was changed and no new file is there.
///
/// The causes are in [`source`](StdError::source); where there are several of the same rank, in
/// [`details`](Self::details).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the host cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// A file of the host cannot be written.
    #[error("`{}` cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
        /// What keeps it from being written, where that is known.
        obstacle: Option<Obstacle>,
    },
    /// An image is something else than a regular file.
    #[error("`{}` is {kind}: an image is a regular file", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// What it is: `a directory`.
        kind: &'static str,
    },
    /// Another process uses the image.
    #[error("`{}` is in use", path.display())]
    InUse {
        /// The image.
        path: PathBuf,
        /// What the other process does with it.
        #[source]
        in_use: InUse,
    },
    /// The path names another file than it did a moment ago.
    #[error("`{}` is another file now", path.display())]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// A file was written to while it was read.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The image cannot be read, or not by us.
    #[error("`{}` cannot be used", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        error: image::Error,
    },
    /// A document about the image cannot be made.
    #[error("the documents about the image cannot be written")]
    Document(#[source] Box<dyn StdError + Send + Sync>),
    /// A [`Visitor`](crate::Visitor) failed.
    #[error("the guest was not changed")]
    Visit(#[source] Box<dyn StdError + Send + Sync>),
    /// No guest could be opened in the image.
    #[error("`{}` cannot be used", path.display())]
    Guest {
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        error: guest::Error,
    },
    /// An image that is compressed as a whole cannot change in its own file.
    #[error("`{}` is compressed with {compression}", path.display())]
    Compressed {
        /// The image.
        path: PathBuf,
        /// With what.
        compression: Compression,
    },
    /// No overlay can have a compressed base.
    #[error("`{}` is compressed: {wrapping}", base.display())]
    OverlayOverCompressed {
        /// The base.
        base: PathBuf,
        /// What it is wrapped in.
        wrapping: Wrapping,
    },
    /// A compressed image could not be unpacked.
    #[error("`{}` cannot be unpacked", path.display())]
    Unpack {
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        error: Box<Error>,
    },
    /// The target cannot be the name of a new file.
    #[error("`{}` {problem}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// What is wrong with it.
        problem: TargetProblem,
    },
    /// A name ends as those of a format that is not written.
    #[error("`{}` ends in `.{end}`, which is not a format that imgraft writes", path.display())]
    UnknownEnd {
        /// The name.
        path: PathBuf,
        /// Its end.
        end: String,
        /// The ends that there could be.
        known: Vec<&'static str>,
    },
    /// The new image would replace a file that it needs.
    #[error("`{}` is a backing file of the image, which needs it", path.display())]
    TargetIsLayer {
        /// The backing file.
        path: PathBuf,
    },
    /// A new file cannot come in the place of an image with several names.
    #[error("`{}` is a {format} image with {links} names (hard links), of which only this one would change", path.display())]
    HardLinks {
        /// The image.
        path: PathBuf,
        /// Its format.
        format: Format,
        /// How many names it has.
        links: u64,
    },
    /// The image changes by a new file beside it, and none can be made there.
    #[error("no file can be made in `{}`, as a {format} image needs it", folder.display())]
    NeedsFolder {
        /// The image's folder.
        folder: PathBuf,
        /// The image's format.
        format: Format,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// No file can be made in a folder.
    #[error("no file can be made in `{}`", folder.display())]
    NoFile {
        /// The folder.
        folder: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// A folder cannot be used for new files.
    #[error("the folder `{}` cannot be written to", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// The host has too little room.
    #[error("no space left on the host in `{}`{}", folder.display(), room(*needed_bytes, *free_bytes))]
    NoSpace {
        /// Where.
        folder: PathBuf,
        /// How much is needed at most, in bytes, where that is known.
        needed_bytes: Option<u64>,
        /// How much is free, in bytes, where that is known.
        free_bytes: Option<u64>,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// The new image cannot be written.
    #[error("the new image cannot be written")]
    Write(#[source] Box<dyn StdError + Send + Sync>),
    /// The last write to an image that changes in its own file failed: it may be there or not.
    #[error("`{}` is the old image or the new one: the last write may not be there", path.display())]
    Undecided {
        /// The image.
        path: PathBuf,
        /// What the host says.
        #[source]
        error: storage::Error,
    },
    /// A delta cannot be made.
    #[error("no delta of `{}` was made", image.display())]
    MakeDelta {
        /// The image.
        image: PathBuf,
        /// Why.
        #[source]
        error: delta::Error,
    },
    /// A delta cannot be applied.
    #[error("the delta `{}` was not applied to `{}`", delta.display(), base.display())]
    ApplyDelta {
        /// The delta.
        delta: PathBuf,
        /// The base that was given.
        base: PathBuf,
        /// Why.
        #[source]
        error: delta::Error,
    },
    /// A delta cannot be read.
    #[error("the delta `{}` cannot be used", delta.display())]
    ReadDelta {
        /// The delta.
        delta: PathBuf,
        /// Why.
        #[source]
        error: delta::Error,
    },
    /// A form that the new image's file cannot have.
    #[error(transparent)]
    Form(#[from] recipe::FormError),
    /// A size that the disk cannot have.
    #[error(transparent)]
    Size(#[from] recipe::DiskSizeError),
    /// No path names the base from the new image's folder.
    #[error("`{}` cannot be named", base.display())]
    BaseName {
        /// The base.
        base: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// An image can name files in UTF-8 only.
    #[error("`{}` is not UTF-8, and no image can name it", path.display())]
    NotUtf8 {
        /// The base's path.
        path: PathBuf,
    },
    /// An operation cannot be carried out, or a package is missing in the end.
    #[error(transparent)]
    Operation(#[from] customize::Error),
    /// The guest cannot be read.
    #[error(transparent)]
    Read(#[from] guest::Error),
    /// The root's file system cannot have more room.
    #[error("the root cannot grow")]
    Grow(#[source] guest::Error),
    /// What changed could not be checked.
    #[error("{volume} cannot be checked")]
    Check {
        /// The file system.
        volume: String,
        /// Why.
        #[source]
        error: guest::FileSystemError,
    },
    /// The base is damaged, and the changes would add to that.
    #[error("`{}` is damaged in {volume}, and the changes would add to that", path.display())]
    MoreDamage {
        /// The base.
        path: PathBuf,
        /// The file system.
        volume: String,
        /// What the changes would add.
        findings: Vec<Finding>,
    },
    /// The changes would damage a sound file system.
    #[error("internal error: the changes would damage {volume}")]
    WouldDamage {
        /// The file system.
        volume: String,
        /// How.
        findings: Vec<Finding>,
    },
    /// It cannot be told what changed.
    #[error("what changed cannot be accounted for")]
    Account(#[source] guest::Error),
    /// Something would change that nobody asked for.
    #[error("internal error: something would change that was not to")]
    Unexplained {
        /// Where.
        places: Vec<UnexplainedPlace>,
    },
    /// What was put does not fit the guest, and this was not to be.
    #[error("what is put does not fit the guest")]
    Unfit {
        /// What does not.
        findings: Vec<audit::Finding>,
    },
    /// Two builds of the same inputs differ.
    #[error("`{}` is not reproducible: it was built twice, and the two differ", path.display())]
    NotReproducible {
        /// The new image.
        path: PathBuf,
        /// The first byte of the file that differs.
        offset: u64,
        /// Where that is on the disk.
        place: String,
    },
    /// A second build cannot be compared with the first.
    #[error("what was built a second time cannot be compared")]
    Compare(#[source] Box<dyn StdError + Send + Sync>),
}

/// What keeps a file from being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It belongs to the user with this number.
    Owner(u32),
    /// Its mode, which its owner may change.
    Mode,
    /// An attribute of chattr(1).
    Attribute(&'static str),
}

/// What is wrong with the path of a new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetProblem {
    /// It has no last component.
    #[error("is not the name of a file")]
    NoName,
    /// It ends in a slash.
    #[error("is the name of a folder")]
    NamesFolder,
    /// A directory is there.
    #[error("is a directory")]
    Directory,
    /// Something is there that is not to be replaced.
    #[error("is not a regular file, and cannot be replaced")]
    NotRegular,
    /// It is the image that is read.
    #[error("is the image that is read, which is never changed")]
    IsSource,
    /// Two of the files that are to be written have it.
    #[error("is the name of two files that are to be written")]
    Twice,
}

/// The most lines of details.
const MAX_DETAILS: usize = 10;

impl Error {
    pub(crate) fn unreadable(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Unreadable { path: path.to_owned(), error }
    }

    pub(crate) fn unwritable(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Unwritable { path: path.to_owned(), error, obstacle: None }
    }

    pub(crate) fn image(path: &Path) -> impl Fn(image::Error) -> Self + '_ {
        |error| Self::Image { path: path.to_owned(), error }
    }

    /// A folder cannot be used for new files.
    pub fn folder(folder: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Folder { folder: folder.to_owned(), error }
    }

    /// The host has too little room in `folder`.
    pub fn no_space(folder: &Folder, needed_bytes: Option<u64>, error: io::Error) -> Self {
        // What was written until then has no name, but is still there.
        let free_bytes = needed_bytes.and_then(|_| folder.free_bytes().ok());
        Self::NoSpace { folder: folder.path().to_owned(), needed_bytes, free_bytes, error }
    }

    /// What there is to say besides the causes, a line each.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::MoreDamage { findings, .. } | Self::WouldDamage { findings, .. } => {
                lines(findings, Finding::to_string)
            }
            Self::Unexplained { places } => lines(places, UnexplainedPlace::to_string),
            Self::Unfit { findings } => lines(findings, |finding| finding.message.clone()),
            Self::NotReproducible { offset, place, .. } => {
                vec![format!("the first byte that differs is at {offset:#x} of the file"), place.clone()]
            }
            _ => Vec::new(),
        }
    }
}

/// The findings of a damaged base, for a warning.
pub(crate) fn findings(findings: &[Finding]) -> String {
    lines(findings, Finding::to_string).join("; ")
}

/// `places`, a line each, and how many more there are.
pub(crate) fn lines<T>(places: &[T], line: impl Fn(&T) -> String) -> Vec<String> {
    let mut lines: Vec<String> = places.iter().take(MAX_DETAILS).map(line).collect();
    if places.len() > MAX_DETAILS {
        lines.push(format!("and {} more", places.len() - MAX_DETAILS));
    }
    lines
}

fn room(needed_bytes: Option<u64>, free_bytes: Option<u64>) -> String {
    match (needed_bytes, free_bytes) {
        (Some(needed), Some(free)) => {
            format!(": up to {} are needed and {} are left", ByteSize(needed), ByteSize(free))
        }
        (Some(needed), None) => format!(": up to {} are needed", ByteSize(needed)),
        _ => String::new(),
    }
}

/// Whether the host has no room for more.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// The host's own error at the end of the chain of causes, if there is one.
fn host_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let causes = std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source());
    causes.filter_map(|error| error.downcast_ref::<io::Error>()).next()
}

/// A copy of the host's own error at the end of the chain of causes, if it says that there is no room.
pub(crate) fn full(error: &(dyn StdError + 'static)) -> Option<io::Error> {
    let error = host_error(error).filter(|error| is_full(error))?;
    Some(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error))
}

/// An error and its causes in a line.
pub fn in_one_line(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    for text in causes.map(describe) {
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// An error in our voice: what the system says is told in lower case and without its number.
pub fn describe(error: &(dyn StdError + 'static)) -> String {
    let text = error.to_string();
    let Some(code) = text.find(" (os error ") else { return text };
    let mut characters = text[..code].chars();
    characters.next().map_or(String::new(), |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_errors_are_told_in_our_voice() {
        let error = Error::Unreadable { path: "x".into(), error: io::Error::from_raw_os_error(2) };
        assert_eq!(in_one_line(&error), "`x` cannot be read: no such file or directory");
    }

    #[test]
    fn a_full_host_is_found_at_the_end_of_the_causes() {
        let inner = Error::Unreadable { path: "x".into(), error: io::Error::from_raw_os_error(28) };
        let error = Error::Unpack { path: "y".into(), error: Box::new(inner) };
        assert_eq!(full(&error).unwrap().raw_os_error(), Some(28));
        assert!(full(&Error::Replaced { path: "x".into() }).is_none());
    }
}
