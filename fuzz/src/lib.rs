//! What the fuzz targets share: an input breaks some structures of a sound image and then edits what is left.
//!
//! Errors are fine, panics are bugs. And a file system in which the check found nothing is edited into one
//! in which it finds nothing.

mod exercise;
mod input;
mod seed;

use input::Input;
use seed::Kind;

/// Which structures are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All of them: from the super block to the tree.
    Tree,
    /// Block maps: extent trees and indirect blocks.
    Extents,
    /// Directories and their indexes.
    Htree,
    /// Extended attributes, in the inode and in blocks.
    Xattrs,
    /// The log, which is replayed.
    Journal,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Tree, Self::Extents, Self::Htree, Self::Xattrs, Self::Journal];

    /// The name of the program, and of the folder of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "ext4_tree",
            Self::Extents => "ext4_extents",
            Self::Htree => "ext4_htree",
            Self::Xattrs => "ext4_xattrs",
            Self::Journal => "ext4_journal",
        }
    }

    /// Names of seed images.
    fn seeds(self) -> &'static [&'static str] {
        match self {
            Self::Tree => &["small", "small-checksums", "small-ext2", "small-inline", "special", "orphans"],
            Self::Xattrs => &["small", "small-checksums", "small-ext2", "small-inline", "special"],
            Self::Extents => &["apart", "apart-checksums", "apart-ext2"],
            Self::Htree => &["deep", "deep-checksums", "small", "small-checksums"],
            Self::Journal => &["journal-v3", "journal-v2", "journal"],
        }
    }

    fn breaks(self, kind: Kind) -> bool {
        match self {
            Self::Tree => true,
            Self::Extents => matches!(kind, Kind::Inode | Kind::Extent | Kind::Indirect),
            Self::Htree => matches!(kind, Kind::Inode | Kind::Directory),
            Self::Xattrs => matches!(kind, Kind::Inode | Kind::Xattr),
            Self::Journal => matches!(kind, Kind::Journal),
        }
    }

    /// Does what `input` says.
    ///
    /// # Panics
    ///
    /// Where there is a bug.
    pub fn run(self, input: &[u8]) {
        let mut input = Input::new(input);
        let seed = seed::seed(self.seeds()[usize::from(input.byte()) % self.seeds().len()]);
        let storage = seed.broken(&mut input, |kind| self.breaks(kind));
        exercise::exercise(&storage, &mut input);
    }
}
