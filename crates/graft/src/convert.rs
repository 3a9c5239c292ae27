//! A conversion: the same disk in another file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use guest::Time;
use image::{CompressionType, Container, Info, NewClusters, Source, WriteOptions};
use recipe::Form;
use serde::Serialize;

use crate::commit::{NEW_IMAGE_MODE, check_layer, publish, write_error};
use crate::container;
use crate::error::{Error, TargetProblem};
use crate::output::{Folder, OutputFile};
use crate::report::Clusters;
use crate::source::{Backing, OpenedFile, OpenedImage};
use crate::target;
use crate::watch::{Stage, Watcher};

/// How hard clusters are compressed: zlib as QEMU does, zstd as its own default is.
const DEFAULT_LEVEL_ZLIB: u32 = 6;
const DEFAULT_LEVEL_ZSTD: u32 = 3;

/// A disk that is to be in another file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Conversion {
    /// The image that is read.
    pub image: PathBuf,
    /// The new image. Its name says the format where `form` does not.
    pub target: PathBuf,
    /// Whether the files under the image are opened.
    pub backing: Backing,
    /// What the new image's file is like.
    pub form: Form,
    /// What becomes of the disk's clusters in a qcow2; compressed, at the default level, where this is `None`.
    pub new_clusters: Option<NewClusters>,
    /// The time that formats with a time in them get.
    pub modified: Option<Time>,
    /// How many threads compress. The bytes do not depend on it.
    pub threads: NonZeroUsize,
}

/// What was converted. Sizes are in bytes.
#[derive(Debug, Serialize)]
pub struct Converted {
    /// The image that was read.
    pub input: String,
    /// The new one.
    pub output: String,
    /// Its format.
    pub format: String,
    /// The size of its file.
    pub file_size_bytes: u64,
    /// The size of its disk.
    pub virtual_size_bytes: u64,
    /// What may not be what is wanted.
    pub warnings: Vec<String>,
    /// What the file consists of, if it is a qcow2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Clusters>,
}

impl Conversion {
    /// The disk of the image at `image` for a new one at `target`.
    pub fn new(image: &Path, target: &Path) -> Self {
        Self {
            image: image.to_owned(),
            target: target.to_owned(),
            backing: Backing::default(),
            form: Form::default(),
            new_clusters: None,
            modified: None,
            threads: crate::threads(),
        }
    }

    /// Does it: the new image is there whole, or not at all.
    ///
    /// # Errors
    ///
    /// An image that cannot be read, a target that cannot be written, and no room on the host.
    pub fn run(&self, watcher: &Watcher) -> Result<Converted, Error> {
        let input = OpenedFile::open(&self.image)?;
        let target = target::resolve(&self.target, &input)?;
        let (Some(folder_path), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Error::Target { path: target, problem: TargetProblem::NoName });
        };
        let OpenedImage { image, layers, .. } = input.image(self.backing, folder_path, watcher)?;
        container::refuse_layer(&target, &layers)?;
        let info = image.info();
        let container = container::of_conversion(self.form.clone(), &info, &self.target, self.modified)?;
        let mut warnings = lost(&info);
        warnings.extend(container::name_warning(&self.target, &container.to_string()));
        if self.new_clusters.is_some() && container == Container::Raw {
            warnings.push(format!("the new image is {container}: there are no clusters that could be compressed"));
        }
        warnings.iter().for_each(|warning| watcher.warning(warning));

        let folder = Folder::open(folder_path).map_err(Error::folder(folder_path))?;
        let output = OutputFile::create(folder, name, NEW_IMAGE_MODE)
            .map_err(|error| Error::NoFile { folder: folder_path.to_owned(), error })?;
        let written = {
            let stage = watcher.stage(Stage::Write);
            let options = WriteOptions { new_clusters: self.new_clusters(&container), threads: self.threads };
            let set = |done, total| stage.set(done, total);
            image::convert(&Source::image(&image), output.file(), &container, &options, &set)
                .map_err(|error| write_error(error, None, &self.image, output.folder()))
        };
        // First, because it may be why the other failed.
        layers.iter().try_for_each(check_layer)?;
        let written = written?;
        publish(output, &self.target, watcher)?;
        Ok(Converted {
            input: self.image.display().to_string(),
            output: self.target.display().to_string(),
            format: container.to_string(),
            file_size_bytes: written.file_size_bytes,
            virtual_size_bytes: container.disk_size_bytes(info.virtual_size_bytes),
            warnings,
            clusters: matches!(container, Container::Qcow2(_)).then(|| Clusters::of(&written)),
        })
    }

    fn new_clusters(&self, container: &Container) -> NewClusters {
        let level = match container {
            Container::Qcow2(options) if options.compression_type == CompressionType::Zstd => DEFAULT_LEVEL_ZSTD,
            _ => DEFAULT_LEVEL_ZLIB,
        };
        self.new_clusters.unwrap_or(NewClusters::Compressed { level })
    }
}

/// What the new image does not have of the old one.
fn lost(info: &Info) -> Vec<String> {
    let Some(qcow2) = &info.qcow2 else { return Vec::new() };
    let mut lost = Vec::new();
    if qcow2.snapshots > 0 {
        lost.push(format!("the image has internal snapshots ({}), and the new one has none of them", qcow2.snapshots));
    }
    if qcow2.features.iter().any(|feature| feature == "bitmaps") {
        lost.push("the image has persistent bitmaps, and the new one has none of them".to_owned());
    }
    lost
}
