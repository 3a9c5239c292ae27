//! `imgraft convert`: the same disk in another file.

use std::time::Instant;

use customize::ByteSize;
use image::{CompressionType, Container, Image, Info, NewClusters, Source, WriteOptions, Written};
use serde::Serialize;

use super::build::{NewImage, resolve_target};
use crate::cli::Convert;
use crate::commit::{NEW_IMAGE_MODE, check_layer, folder_failure, publish, write_failure};
use crate::container;
use crate::disk::{OpenedFile, OpenedImage};
use crate::environment;
use crate::failure::Failure;
use crate::message::{Messages, print_json};
use crate::output::{Folder, OutputFile};
use crate::progress::Progress;
use crate::report::Clusters;

/// How hard clusters are compressed: zlib as QEMU does, zstd as its own default is.
const DEFAULT_LEVEL_ZLIB: u32 = 6;
const DEFAULT_LEVEL_ZSTD: u32 = 3;

/// What was made.
#[derive(Debug, Serialize)]
struct Report {
    input: String,
    output: String,
    format: String,
    file_size_bytes: u64,
    virtual_size_bytes: u64,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clusters: Option<Clusters>,
}

pub(super) fn run(arguments: Convert, messages: &Messages) -> Result<(), Failure> {
    let start = Instant::now();
    let input = OpenedFile::open(&arguments.image)?;
    let target = resolve_target(&arguments.output, &input, &NewImage::OF_CONVERSION)?;
    let (folder_path, name) = match (target.parent(), target.file_name()) {
        (Some(folder), Some(name)) => (folder.to_owned(), name.to_owned()),
        _ => return Err(Failure::new(format!("`{}` is not the name of a file", target.display()))),
    };
    let OpenedImage { image, layers, .. } = input.image(arguments.backing, &folder_path, messages)?;
    container::refuse_layer(&target, &layers)?;
    let info = image.info();
    let form = arguments.form.form(arguments.format.clone(), false);
    let container = container::of_conversion(form, &info, &arguments.output)?;
    let mut warnings = lost(&info);
    warnings.extend(container::name_warning(&arguments.output, &container.to_string()));
    if arguments.compress.is_some() && container == Container::Raw {
        warnings.push(format!("the new image is {container}: `--compress` changes nothing"));
    }
    warnings.iter().for_each(|warning| messages.warning(warning));

    let folder = Folder::open(&folder_path).map_err(|error| folder_failure(&folder_path, &error))?;
    let output = OutputFile::create(folder, &name, NEW_IMAGE_MODE)
        .map_err(|error| Failure::because(format!("no file can be made in `{}`", folder_path.display()), &error))?;
    let written = write(&image, &output, &container, &arguments, messages);
    // First, because it may be why the other failed.
    layers.iter().try_for_each(check_layer)?;
    let written = written?;
    publish(output, &arguments.output, messages)?;

    let report = Report {
        input: arguments.image.display().to_string(),
        output: arguments.output.display().to_string(),
        format: container.to_string(),
        file_size_bytes: written.file_size_bytes,
        virtual_size_bytes: container.disk_size_bytes(info.virtual_size_bytes),
        warnings,
        clusters: matches!(container, Container::Qcow2(_)).then(|| Clusters::of(&written)),
    };
    report.tell(messages, start);
    if arguments.json { print_json(&report) } else { Ok(()) }
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

fn write(
    image: &Image,
    output: &OutputFile,
    container: &Container,
    arguments: &Convert,
    messages: &Messages,
) -> Result<Written, Failure> {
    let level = match container {
        Container::Qcow2(options) if options.compression_type == CompressionType::Zstd => DEFAULT_LEVEL_ZSTD,
        _ => DEFAULT_LEVEL_ZLIB,
    };
    let new_clusters = arguments.compress.unwrap_or(NewClusters::Compressed { level });
    let options = WriteOptions { new_clusters, threads: environment::threads() };
    let progress = Progress::new(messages, "writing");
    image::convert(&Source::image(image), output.file(), container, &options, &|done, total| progress.set(done, total))
        .map_err(|error| write_failure(&error, None, &arguments.image, output.folder()))
}

impl Report {
    fn tell(&self, messages: &Messages, start: Instant) {
        if let Some(clusters) = &self.clusters {
            clusters.tell(messages);
        }
        messages.note(format_args!(
            "converted {} to {} ({}, {}, disk of {}) in {:.1} s",
            self.input,
            self.output,
            self.format,
            ByteSize(self.file_size_bytes),
            ByteSize(self.virtual_size_bytes),
            start.elapsed().as_secs_f64(),
        ));
    }
}
