//! What the file of a new image is: by flags, by its name, over its base.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use guest::Time;
use image::{BackingName, Container, Info};
use recipe::Form;

use crate::backing::{self, Layer};
use crate::error::Error;

/// The ends of names that leave no doubt, and the formats that they stand for.
const ENDS: [(&str, &str); 5] =
    [(".qcow2", "qcow2"), (".raw", "raw"), (".vmdk", "vmdk"), (".vhd", "vhd"), (".tar.gz", "gce")];
/// Ends that images in every format have: such a one is in the format of what it is made of.
const KEEPING_ENDS: [&str; 3] = ["img", "image", "disk"];

/// The container that an edited image is written to; `None` where it is to be as that is in everything.
///
/// A new file is in `folder`, and its `name` says the format where `form` does not.
pub(crate) fn of_edit(
    form: &Form,
    name: Option<&Path>,
    base: &Info,
    folder: &Path,
    base_path: &Path,
    modified: Option<Time>,
) -> Result<Option<Container>, Error> {
    let mut form = form.clone();
    if let (None, Some(name)) = (&form.format, name) {
        // A name that says what the base is asks for nothing.
        form.format = of_name(name)?.filter(|format| form.overlay || format.to_string() != base.format.to_string());
    }
    let Some(mut container) = form.container(base)? else { return Ok(None) };
    if let Container::Qcow2(options) = &mut container
        && form.overlay
    {
        let path = backing::name_from(folder, base_path)
            .map_err(|error| Error::BaseName { base: base_path.to_owned(), error })?;
        let Some(name) = path.to_str() else { return Err(Error::NotUtf8 { path }) };
        options.backing = Some(BackingName { name: name.to_owned(), format: Some(base.format.qemu_name().to_owned()) });
    }
    Ok(Some(timed(container, modified)))
}

/// The container of an image that is converted: as `form` says, as its name ends, or as the image is.
pub(crate) fn of_conversion(
    mut form: Form,
    image: &Info,
    name: &Path,
    modified: Option<Time>,
) -> Result<Container, Error> {
    let format = match form.format.take() {
        Some(format) => Some(format),
        None => of_name(name)?,
    };
    let format = format.or_else(|| image.format.to_string().parse().ok()).unwrap_or(Container::Raw);
    form.format = Some(format.clone());
    let container = form.container(image)?;
    Ok(timed(container.unwrap_or(format), modified))
}

/// The container with `modified` as its time, or else one that is the same on every day.
fn timed(mut container: Container, modified: Option<Time>) -> Container {
    if let Container::Vhd { time } | Container::Gce { time } = &mut container {
        *time = modified.map_or(0, |time| time.seconds);
    }
    container
}

/// What to say of a file whose name ends as those of another format do.
pub(crate) fn name_warning(name: &Path, format: &str) -> Option<String> {
    let of_name = format_of_name(name)?;
    (of_name != format).then(|| format!("`{}` is {format}, although its name says {of_name}", name.display()))
}

/// The container that the end of a new image's name stands for; none where it has no end that says one.
///
/// # Errors
///
/// An end that stands for something else: the file would not be what its name says.
fn of_name(name: &Path) -> Result<Option<Container>, Error> {
    if let Some(format) = format_of_name(name) {
        return Ok(format.parse().ok());
    }
    let Some(end) = name.extension().and_then(OsStr::to_str) else { return Ok(None) };
    // A name such as `ubuntu-24.04` ends with a part of a version.
    if KEEPING_ENDS.contains(&&*end.to_ascii_lowercase()) || !end.starts_with(|first: char| first.is_ascii_alphabetic())
    {
        return Ok(None);
    }
    let known = ENDS.iter().map(|(end, _)| *end).collect();
    Err(Error::UnknownEnd { path: name.to_owned(), end: end.to_owned(), known })
}

/// The format that the end of a name stands for.
fn format_of_name(name: &Path) -> Option<&'static str> {
    let name = name.file_name()?.to_str()?.to_ascii_lowercase();
    ENDS.iter().find(|(end, _)| name.len() > end.len() && name.ends_with(end)).map(|&(_, format)| format)
}

/// Refuses to replace a file that the image is read from, which may be under it.
pub(crate) fn refuse_layer(target: &Path, layers: &[Layer]) -> Result<(), Error> {
    let Ok(metadata) = std::fs::metadata(target) else { return Ok(()) };
    let is_target = |layer: &&Layer| (layer.metadata.dev(), layer.metadata.ino()) == (metadata.dev(), metadata.ino());
    // The image itself is what `customize` replaces.
    match layers.iter().skip(1).find(is_target) {
        Some(layer) => Err(Error::TargetIsLayer { path: layer.path.clone() }),
        None => Ok(()),
    }
}
