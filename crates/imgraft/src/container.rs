//! What the file of a new image is: by flags, by its name, over its base.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use customize::Form;
use image::{BackingName, Container, Info};

use crate::backing::{self, Layer};
use crate::environment;
use crate::failure::Failure;

/// The ends of names that leave no doubt, and the formats that they stand for.
const ENDS: [(&str, &str); 5] =
    [(".qcow2", "qcow2"), (".raw", "raw"), (".vmdk", "vmdk"), (".vhd", "vhd"), (".tar.gz", "gce")];

/// The container that an edited image is written to; `None` where it is to be as that is in everything. The
/// new file is in `folder`.
pub(crate) fn of_edit(form: &Form, base: &Info, folder: &Path, base_path: &Path) -> Result<Option<Container>, Failure> {
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
    let of_name = || format_of_name(name).and_then(|format| format.parse().ok());
    let format = form.format.take().or_else(of_name);
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

/// The format that the end of a name stands for.
fn format_of_name(name: &Path) -> Option<&'static str> {
    let name = name.file_name()?.to_str()?;
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
