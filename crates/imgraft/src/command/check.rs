//! `imgraft check`: damage in an image, looked for on every layer.

use std::sync::Arc;

use graft::{OpenedFile, OpenedImage, scratch_disk, temporary_folder};
use guest::open_volumes;
use image::{Image, Repaired};
use partition::Table;
use recipe::ByteSize;
use serde::Serialize;
use storage::Finding;

use crate::cli::Check;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{Messages, Progress, Spinner, count, print, print_json};

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
    /// What was repaired before the check, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Repairs>,
    /// Why nothing was repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_repaired: Option<String>,
    checked: Vec<String>,
    /// What could not be looked at, and why. Where that is all that there is to say, the command ends with 2.
    not_checked: Vec<String>,
    findings: Vec<Wrong>,
    /// Whether the disk is larger than its GPT knows.
    #[serde(skip)]
    has_grown: bool,
    /// Whose journal was replayed for the look: the guest was not shut down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_shut_down: Vec<String>,
}

/// What was repaired in a qcow2 file. Clusters are the file's.
#[derive(Debug, Serialize)]
struct Repairs {
    leaked_clusters: u64,
    refcounts_raised: u64,
    flags_set_right: u64,
    refcount_table_rebuilt: bool,
    dirty_bit_cleared: bool,
    bytes_given_back: u64,
}

pub(super) fn run(arguments: &Check, messages: &Messages) -> Result<Exit, Failure> {
    let mut found = Found::default();
    let opened = match arguments.repair {
        true => {
            let opened = OpenedFile::open_in_place(&arguments.image, false)?;
            repair(&opened, arguments, &mut found, messages)?;
            opened
        }
        false => OpenedFile::look(&arguments.image, &messages.watcher())?,
    };
    look(&opened, arguments, &mut found, messages)?;
    for volume in &found.not_shut_down {
        messages.warning(format_args!(
            "{volume} was not shut down cleanly: what its journal's replay gives is checked, as a mount would see it"
        ));
    }
    found.tell_repairs(arguments, messages);
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
    if found.has_grown {
        let path = arguments.image.display();
        messages
            .hint(format_args!("the disk is larger than its GPT says: `imgraft resize {path}` makes use of the rest"));
    }
    let checked = found.checked.join(", ");
    match found.findings.len() {
        0 if found.checked.is_empty() => return Ok(Exit::Trouble),
        0 if !found.not_checked.is_empty() => {
            let path = arguments.image.display();
            messages.note(format_args!("not all of `{path}` was looked at; nothing is wrong with the rest: {checked}"));
            return Ok(Exit::Trouble);
        }
        0 => messages.note(format_args!("nothing is wrong with `{}`: {checked}", arguments.image.display())),
        1 => messages.note(format_args!("1 thing is wrong with `{}`", arguments.image.display())),
        many => messages.note(format_args!("{many} things are wrong with `{}`", arguments.image.display())),
    }
    Ok(Exit::of_answer(found.findings.is_empty()))
}

/// Repairs the image's own file. What cannot be repaired is found by the check then.
fn repair(opened: &OpenedFile, arguments: &Check, found: &mut Found, messages: &Messages) -> Result<(), Failure> {
    let repaired = match open(opened, arguments, messages) {
        Ok(image) => image::repair(&image.image, &opened.storage()?),
        Err(graft::Error::Image { error, .. }) => Err(error),
        Err(error) => return Err(error.into()),
    };
    match repaired {
        Ok(repaired) => found.repaired = Some(Repairs::of(&repaired)),
        Err(error @ (image::Error::Undecided(_) | image::Error::Storage(_))) => {
            let path = arguments.image.display();
            return Err(Failure::because(format!("`{path}` cannot be repaired"), &error));
        }
        Err(error) => found.not_repaired = Some(error.to_string()),
    }
    Ok(())
}

fn open(opened: &OpenedFile, arguments: &Check, messages: &Messages) -> Result<OpenedImage, graft::Error> {
    opened.image(arguments.backing.into(), &temporary_folder(), &messages.watcher())
}

fn look(opened: &OpenedFile, arguments: &Check, found: &mut Found, messages: &Messages) -> Result<(), Failure> {
    let path = &arguments.image;
    let unusable = |error: &(dyn std::error::Error + 'static)| {
        Failure::because(format!("`{}` cannot be used", path.display()), error)
    };
    let image = match open(opened, arguments, messages) {
        Ok(OpenedImage { image, wrapping, .. }) => {
            // Where it is compressed it was read to its end, and its sums were right.
            found.checked.extend(wrapping.map(|wrapping| wrapping.to_string()));
            image
        }
        Err(graft::Error::Image { error: image::Error::Corrupt { object, problem }, .. }) => {
            found.findings.push(Wrong { layer: "image".to_owned(), object, problem });
            return Ok(());
        }
        Err(graft::Error::Image { error: error @ image::Error::Truncated { .. }, .. }) => {
            let problem = error.to_string();
            found.findings.push(Wrong { layer: "image".to_owned(), object: "file".to_owned(), problem });
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let spinner = Spinner::new(messages, "looking at the image's tables");
    for (depth, layer) in std::iter::successors(Some(&*image), |image| image.backing()).enumerate() {
        let format = layer.info().format;
        let name = if depth == 0 { format.to_string() } else { format!("{format} of backing file {depth}") };
        found.add(&name, layer.check().map_err(|error| unusable(&error))?);
    }
    if !found.findings.is_empty() {
        // What lies on broken tables is not what it seems.
        found.not_checked.push("what is inside, because of the image's own tables".to_owned());
        return Ok(());
    }
    look_inside(&image, found, spinner, messages).map_err(|error| unusable(&error))
}

fn look_inside(
    image: &Arc<Image>,
    found: &mut Found,
    spinner: Spinner,
    messages: &Messages,
) -> Result<(), guest::Error> {
    spinner.set("looking at the partition table");
    match partition::check(image) {
        // A disk without a table has none to look at.
        Ok(findings) if findings.is_empty() && matches!(partition::read(image), Ok(Table::None)) => {}
        Ok(findings) => found.add(partition::table_name(image)?.unwrap_or("GPT"), findings),
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
    if let Ok(Table::Gpt(gpt)) = partition::read(image) {
        found.has_grown = gpt.disk_has_grown;
    }
    let replayed = volumes.iter().filter(|volume| volume.journal_replayed());
    found.not_shut_down = replayed.map(ToString::to_string).collect();
    drop(spinner);
    let mut file_systems = 0;
    for volume in &volumes {
        let name = volume.to_string();
        let progress = Progress::of_steps(messages, format!("looking at {name}"));
        match (volume.problem(), volume.file_system(), volume.kind()) {
            (Some(error), ..) if error.corruption().is_some() => {
                file_systems += 1;
                found.add(&name, error.corruption());
            }
            (Some(error), ..) => found.not_checked.push(format!("{name}: {error}")),
            (None, Some(file_system), _) => match file_system.examine(&|done, total| progress.set(done, total)) {
                Ok(Some(checked)) => {
                    file_systems += 1;
                    found.add(&name, checked.findings);
                    found.not_checked.extend(checked.not_checked.iter().map(|part| format!("{name}: {part}")));
                }
                Ok(None) => {
                    found.not_checked.push(format!("{name}: damage in this kind of file system is not looked for"))
                }
                Err(error) => return Err(guest::Error::FileSystem { volume: name, path: None, error }),
            },
            (None, None, Some(kind)) if volume.is_unsupported() => {
                found.not_checked.push(format!("{name}: {kind} is not supported"));
            }
            (None, None, Some("LVM2")) => found.add(&name, volume.lvm_damage().to_vec()),
            (None, None, _) => {}
        }
    }
    if file_systems == 0 && found.not_checked.is_empty() {
        found.not_checked.push("file systems: none was found on the disk".to_owned());
    }
    Ok(())
}

impl Repairs {
    fn of(repaired: &Repaired) -> Self {
        Self {
            leaked_clusters: repaired.refcounts_lowered,
            refcounts_raised: repaired.refcounts_raised,
            flags_set_right: repaired.flags_set_right,
            refcount_table_rebuilt: repaired.refcount_table_rebuilt,
            dirty_bit_cleared: repaired.dirty_bit_cleared,
            bytes_given_back: repaired.old_file_size_bytes.saturating_sub(repaired.file_size_bytes),
        }
    }

    /// What was done, for people; empty where there was nothing to do.
    fn text(&self) -> String {
        let texts = [
            count(self.leaked_clusters, "leaked cluster reclaimed", "leaked clusters reclaimed"),
            count(self.refcounts_raised, "refcount raised", "refcounts raised"),
            count(self.flags_set_right, "flag set right", "flags set right"),
            self.refcount_table_rebuilt.then(|| "the refcount table made anew".to_owned()),
            self.dirty_bit_cleared.then(|| "the dirty bit cleared".to_owned()),
            (self.bytes_given_back > 0).then(|| format!("{} given back", ByteSize(self.bytes_given_back))),
        ];
        texts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Found {
    /// Says what a repair did, and who repairs the rest.
    fn tell_repairs(&self, arguments: &Check, messages: &Messages) {
        let path = arguments.image.display();
        match self.repaired.as_ref().map(Repairs::text) {
            Some(text) if text.is_empty() => messages.note(format_args!("there was nothing to repair in `{path}`")),
            Some(text) => messages.note(format_args!("repaired `{path}`: {text}")),
            None => {}
        }
        if let Some(reason) = &self.not_repaired {
            messages.warning(format_args!("`{path}` cannot be repaired: {reason}"));
        }
        let is_wrong = |what: &str| self.findings.iter().any(|wrong| wrong.layer.contains(what));
        if arguments.repair && ["(ext2", "(ext3", "(ext4"].into_iter().any(is_wrong) {
            messages.warning("what is wrong in the file system is for `e2fsck` to repair, over `qemu-nbd` for example");
        }
        for (table, tool) in [("GPT", "gdisk"), ("MBR", "fdisk")] {
            if arguments.repair && is_wrong(table) {
                messages.warning(format_args!(
                    "what is wrong in the partition table is for `{tool}` to repair, over `qemu-nbd` for example"
                ));
            }
        }
    }

    fn add(&mut self, layer: &str, findings: impl IntoIterator<Item = Finding>) {
        self.checked.push(layer.to_owned());
        self.findings.extend(findings.into_iter().map(|finding| Wrong {
            layer: layer.to_owned(),
            object: finding.object,
            problem: finding.problem,
        }));
    }
}
