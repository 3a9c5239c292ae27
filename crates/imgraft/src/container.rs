//! What the file of a new image is: by flags, by its name, over its base.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use image::{BackingName, Container, Info};
use recipe::Form;

use crate::backing::{self, Layer};
use crate::environment;
use crate::failure::Failure;

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
) -> Result<Option<Container>, Failure> {
    let mut form = form.clone();
    if let (None, Some(name)) = (&form.format, name) {
        // A name that says what the base is asks for nothing.
        form.format = of_name(name)?.filter(|format| form.overlay || format.to_string() != base.format.to_string());
    }
    let Some(mut container) = form.container(base).map_err(|error| Failure::of(&error))? else { return Ok(None) };
    if let Container::Qcow2(options) = &mut container
        && form.overlay
    {
        let unusable =
            |error: &io::Error| Failure::because(format!("`{}` cannot be named", base_path.display()), error);
        let path = backing::name_from(folder, base_path).map_err(|error| unusable(&error))?;
        let Some(name) = path.to_str() else {
            return Err(Failure::new(format!("`{}` is not UTF-8, and no image can name it", path.display())));
        };
        options.backing = Some(BackingName { name: name.to_owned(), format: Some(base.format.qemu_name().to_owned()) });
    }
    timed(container).map(Some)
}

/// The container of an image that is converted: as `form` says, as its name ends, or as the image is.
pub(crate) fn of_conversion(mut form: Form, image: &Info, name: &Path) -> Result<Container, Failure> {
    let format = match form.format.take() {
        Some(format) => Some(format),
        None => of_name(name)?,
    };
    let format = format.or_else(|| image.format.to_string().parse().ok()).unwrap_or(Container::Raw);
    form.format = Some(format.clone());
    let container = form.container(image).map_err(|error| Failure::of(&error))?;
    timed(container.unwrap_or(format))
}

/// The container with the time that a file has which is the same on every day.
fn timed(mut container: Container) -> Result<Container, Failure> {
    if let Container::Vhd { time } | Container::Gce { time } = &mut container {
        *time = environment::source_date_epoch()?.map_or(0, |time| time.seconds);
    }
    Ok(container)
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
fn of_name(name: &Path) -> Result<Option<Container>, Failure> {
    if let Some(format) = format_of_name(name) {
        return Ok(format.parse().ok());
    }
    let Some(end) = name.extension().and_then(OsStr::to_str) else { return Ok(None) };
    // A name such as `ubuntu-24.04` ends with a part of a version.
    if KEEPING_ENDS.contains(&&*end.to_ascii_lowercase()) || !end.starts_with(|first: char| first.is_ascii_alphabetic())
    {
        return Ok(None);
    }
    let failure = Failure::new(format!("`{}` ends in `.{end}`, which is no format that is written", name.display()));
    let ends: Vec<String> = ENDS.iter().map(|(end, _)| format!("`{end}`")).collect();
    Err(failure.hint(match &*end.to_ascii_lowercase() {
        "vhdx" => "Azure takes fixed VHDs only, and Hyper-V takes them too: let the name end in `.vhd`".to_owned(),
        _ => format!("let the name end in {}, or say what it is to be with `--format`", ends.join(", ")),
    }))
}

/// The format that the end of a name stands for.
fn format_of_name(name: &Path) -> Option<&'static str> {
    let name = name.file_name()?.to_str()?.to_ascii_lowercase();
    ENDS.iter().find(|(end, _)| name.len() > end.len() && name.ends_with(end)).map(|&(_, format)| format)
}

/// Refuses to replace a file that the image is read from, which may be under it.
pub(crate) fn refuse_layer(target: &Path, layers: &[Layer]) -> Result<(), Failure> {
    let Ok(metadata) = std::fs::metadata(target) else { return Ok(()) };
    let is_target = |layer: &&Layer| (layer.metadata.dev(), layer.metadata.ino()) == (metadata.dev(), metadata.ino());
    // The image itself is what `customize` replaces.
    match layers.iter().skip(1).find(is_target) {
        Some(layer) => {
            Err(Failure::new(format!("`{}` is a backing file of the image, which needs it", layer.path.display()))
                .hint("give the new image another name"))
        }
        None => Ok(()),
    }
}
