//! `imgraft check`: damage in an image, looked for on every layer.

use std::process::ExitCode;
use std::sync::Arc;

use guest::open_volumes;
use image::Image;
use partition::Table;
use serde::Serialize;
use storage::Finding;

use crate::cli::Check;
use crate::disk::{self, OpenedFile, OpenedImage, scratch_disk};
use crate::failure::Failure;
use crate::message::{Messages, print, print_json};
use crate::unwrap::scratch_folder;

/// The image could not be looked at, or not at all of it.
const NOT_LOOKED_AT: u8 = 2;

/// The most findings that people are shown.
const MAX_LINES: usize = 50;

/// Something that is wrong, and where.
#[derive(Debug, Serialize)]
struct Wrong {
    layer: String,
    object: String,
    problem: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Default, Serialize)]
struct Found {
    checked: Vec<String>,
    not_checked: Vec<String>,
    findings: Vec<Wrong>,
}

pub(super) fn run(arguments: &Check, messages: &Messages) -> Result<ExitCode, Failure> {
    let found = look(arguments, messages).map_err(|failure| failure.code(NOT_LOOKED_AT))?;
    if arguments.json {
        print_json(&found)?;
    } else {
        for Wrong { layer, object, problem } in found.findings.iter().take(MAX_LINES) {
            print(&format!("{layer}: {object}: {problem}\n"))?;
        }
        if found.findings.len() > MAX_LINES {
            messages
                .note(format_args!("{} more are left out here: `--json` lists them", found.findings.len() - MAX_LINES));
        }
    }
    for layer in &found.not_checked {
        messages.warning(format_args!("not checked: {layer}"));
    }
    let checked = found.checked.join(", ");
    match found.findings.len() {
        0 if found.checked.is_empty() => return Ok(ExitCode::from(NOT_LOOKED_AT)),
        0 => messages.note(format_args!("nothing is wrong with `{}`: {checked}", arguments.image.display())),
        1 => messages.note(format_args!("1 thing is wrong with `{}`", arguments.image.display())),
        many => messages.note(format_args!("{many} things are wrong with `{}`", arguments.image.display())),
    }
    Ok(ExitCode::from(u8::from(!found.findings.is_empty())))
}

fn look(arguments: &Check, messages: &Messages) -> Result<Found, Failure> {
    let mut found = Found::default();
    let path = &arguments.image;
    let unusable = |error: &(dyn std::error::Error + 'static)| {
        Failure::because(format!("`{}` cannot be used", path.display()), error)
    };
    let opened = OpenedFile::look(path, messages)?.try_image(arguments.backing, &scratch_folder(), messages)?;
    let image = match opened {
        Ok(OpenedImage { image, wrapping, .. }) => {
            // Where it is compressed it was read to its end, and its sums were right.
            found.checked.extend(wrapping.map(|wrapping| wrapping.to_string()));
            image
        }
        Err(image::Error::Corrupt { object, problem }) => {
            found.findings.push(Wrong { layer: "image".to_owned(), object, problem });
            return Ok(found);
        }
        Err(error @ image::Error::Truncated { .. }) => {
            let problem = error.to_string();
            found.findings.push(Wrong { layer: "image".to_owned(), object: "file".to_owned(), problem });
            return Ok(found);
        }
        Err(error) => return Err(disk::unusable(path, &error)),
    };
    for (depth, layer) in std::iter::successors(Some(&*image), |image| image.backing()).enumerate() {
        let format = layer.info().format;
        let name = if depth == 0 { format.to_string() } else { format!("{format} of backing file {depth}") };
        found.add(&name, layer.check().map_err(|error| unusable(&error))?);
    }
    if !found.findings.is_empty() {
        // What lies on broken tables is not what it seems.
        found.not_checked.push("what is inside, because of the image's own tables".to_owned());
        return Ok(found);
    }
    look_inside(&image, &mut found).map_err(|error| unusable(&error))?;
    Ok(found)
}

fn look_inside(image: &Arc<Image>, found: &mut Found) -> Result<(), guest::Error> {
    match partition::check(image) {
        // A disk without a table has none to look at.
        Ok(findings) if findings.is_empty() && matches!(partition::read(image), Ok(Table::None)) => {}
        Ok(findings) => found.add("GPT", findings),
        Err(error @ partition::Error::Unsupported { .. }) => {
            found.not_checked.push(format!("partitions: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    // A dirty journal is replayed before the look, as a mount would.
    let volumes = match open_volumes(&scratch_disk(image)) {
        Ok(volumes) => volumes,
        // That was said above.
        Err(guest::Error::Partition(_)) if !found.findings.is_empty() => return Ok(()),
        Err(error) => return Err(error),
    };
    for volume in &volumes {
        let name = volume.to_string();
        match (volume.problem(), volume.file_system(), volume.kind()) {
            (Some(error), ..) if error.corruption().is_some() => found.add(&name, error.corruption()),
            (Some(error), ..) => found.not_checked.push(format!("{name}: {error}")),
            (None, Some(file_system), _) => match file_system.check() {
                Ok(Some(findings)) => found.add(&name, findings),
                Ok(None) => {}
                Err(error) => return Err(guest::Error::FileSystem { volume: name, path: None, error }),
            },
            (None, None, Some(_)) => found.not_checked.push(name),
            (None, None, None) => {}
        }
    }
    Ok(())
}

impl Found {
    fn add(&mut self, layer: &str, findings: impl IntoIterator<Item = Finding>) {
        self.checked.push(layer.to_owned());
        self.findings.extend(findings.into_iter().map(|finding| Wrong {
            layer: layer.to_owned(),
            object: finding.object,
            problem: finding.problem,
        }));
    }
}
