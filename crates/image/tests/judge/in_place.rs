//! Random edits of an image in its own file.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use image::{CompressionType, Edited, Error, Image, NewClusters, WriteOptions};
use imago::qcow2::Qcow2;
use imago::{FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate};
use storage::{Extended, FileStorage, Overlay, ReadAt, Target, WriteAt};

use super::{Random, Seen, open_chain, qemu_img, read_all};

/// How many times a loop goes round.
pub fn rounds(few: u64) -> u64 {
    testkit::rounds(cfg!(feature = "full-tests"), [few, few, few * 10])
}

/// An image, and the disk that it shall have.
pub struct Change {
    pub base: Arc<Image>,
    pub overlay: Overlay<Extended<Arc<Image>>>,
    pub options: WriteOptions,
}

impl Change {
    /// No change of the image `base`, which becomes `size_bytes` large.
    pub fn none(base: Image, size_bytes: usize) -> Self {
        let base = Arc::new(base);
        let extended = Extended::new(Arc::clone(&base), size_bytes as u64);
        let overlay = Overlay::new(extended, 1 << 20, Box::new(tempfile::tempfile));
        let options =
            WriteOptions { new_clusters: NewClusters::Compressed { level: 1 }, threads: NonZeroUsize::new(2).unwrap() };
        Self { base, overlay, options }
    }

    /// Changes the image `base` and its `disk` at random; the disk grows where it may, sometimes.
    pub fn random(base: Image, disk: &mut Vec<u8>, random: &mut Random, may_grow: bool) -> Self {
        if may_grow && random.below(3) == 0 {
            disk.resize((disk.len() + random.below(4000) as usize * 512).next_multiple_of(512), 0);
        }
        let mut change = Self::none(base, disk.len());
        for _ in 0..random.below(7) {
            let at = random.below(disk.len() as u64) as usize;
            let length = (1usize << random.below(18)).min(disk.len() - at);
            random.fill(&mut disk[at..at + length]);
            change.put(at, &disk[at..at + length], random.below(2) == 0);
        }
        let new_clusters = match random.below(3) {
            0 => NewClusters::Plain,
            _ => NewClusters::Compressed { level: random.below(10) as u32 },
        };
        change.options =
            WriteOptions { new_clusters, threads: NonZeroUsize::new(1 + random.below(3) as usize).unwrap() };
        change
    }

    /// Puts `bytes` at `at`, maybe out of a host file, whose bytes the kernel copies.
    pub fn put(&self, at: usize, bytes: &[u8], from_file: bool) {
        if from_file {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            let source: Arc<dyn ReadAt> = Arc::new(FileStorage::new(file).unwrap());
            self.overlay.write_from(at as u64, &source, 0, bytes.len() as u64).unwrap();
        } else {
            self.overlay.write_at(at as u64, bytes).unwrap();
        }
    }

    pub fn changed(&self) -> Vec<Range<u64>> {
        self.overlay.changed()
    }

    pub fn commit(&self, target: &dyn Target) -> Result<Edited, Error> {
        let seen = Seen::default();
        let tell = |done, total| seen.tell(done, total);
        let edited = image::edit(&self.base, &self.overlay, &self.changed(), target, &self.options, &tell)?;
        seen.assert_ended();
        Ok(edited)
    }

    /// Commits to the file at `path`, which has to work.
    pub fn commit_to(&self, path: &Path) -> Edited {
        let target = target(path);
        let edited = self.commit(&target).unwrap();
        assert_eq!(edited.old_file_size_bytes, target.size_bytes());
        assert_eq!(edited.file_size_bytes, path.metadata().unwrap().len());
        edited
    }
}

pub fn target(path: &Path) -> FileStorage {
    FileStorage::new(File::options().read(true).write(true).open(path).unwrap()).unwrap()
}

/// Neither our check nor QEMU's finds anything wrong with the image at `path`.
pub fn assert_sound(path: &Path) {
    let said = qemu_img(&["check", path.to_str().unwrap()]);
    assert!(said.contains("No errors were found"), "{said}");
    assert_eq!(open_chain(path).unwrap().check().unwrap(), vec![]);
}

/// `imago` reads `disk` from the image at `path`, where it can open that: it knows neither zstd nor
/// subclusters, and is not to look for another file.
fn assert_imago_reads(path: &Path, disk: &[u8]) {
    let qcow2 = open_chain(path).unwrap().info().qcow2.unwrap();
    let has_subclusters = qcow2.features.iter().any(|feature| feature == "extended L2 entries");
    if qcow2.compression_type == CompressionType::Zstd || has_subclusters || qcow2.backing_file.is_some() {
        return;
    }
    let image = Qcow2::<imago::file::File>::builder_path(path).open(PermissiveImplicitOpenGate::default()).unwrap();
    let image = FormatAccess::new(image);
    assert_eq!(image.size(), disk.len() as u64);
    let mut found = vec![1; disk.len()];
    image.read(&mut found, 0).unwrap();
    assert!(found == disk, "imago reads another disk");
}

/// The image at `path` is sound, and its disk is `disk` for QEMU, for `imago` and for us.
pub fn assert_is(path: &Path, disk: &[u8]) {
    assert_sound(path);
    assert!(read_all(&open_chain(path).unwrap()) == disk, "we read another disk");
    assert_imago_reads(path, disk);
    let raw = path.with_extension("expected");
    std::fs::write(&raw, disk).unwrap();
    qemu_img(&["compare", "-f", "qcow2", "-F", "raw", path.to_str().unwrap(), raw.to_str().unwrap()]);
}
