//! `imgraft diff`: what differs between two images.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use graft::{Differences, OpenedFile, Scratch, scratch_overlay, temporary_folder};
use guest::diff::{self, BlockAccount, Found, PathChange, PathChangeKind, View};
use image::Image;
use serde::Serialize;
use storage::{Extended, ReadAt, WriteAt};

use crate::cli::{Backing, Diff};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::account::verdict;
use crate::show::difference::{block_lines, text};
use crate::show::{Messages, Spinner, print, print_json};

/// Everything that differs.
#[derive(Debug, Default, Serialize)]
struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<[u64; 2]>,
    #[serde(flatten)]
    differences: Differences,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<Blocks>,
}

/// The account of every block.
#[derive(Debug, Serialize)]
struct Blocks {
    verdict: String,
    #[serde(flatten)]
    account: BlockAccount,
}

/// An image that is compared.
pub(super) struct Opened {
    pub(super) image: Arc<Image>,
    pub(super) disk: Arc<Scratch>,
    pub(super) view: View,
}

/// What was found so far, where it is not all kept for JSON.
#[derive(Default)]
struct Tally {
    differences: u64,
    unknown: u64,
    failure: Option<Failure>,
}

pub(super) fn run(arguments: &Diff, messages: &Messages) -> Result<Exit, Failure> {
    let (base, image) =
        (open(&arguments.base, arguments.backing, messages)?, open(&arguments.image, arguments.backing, messages)?);
    let spinner = Spinner::new(messages, "looking for blocks that differ");
    let differing =
        differing(&base, &image).map_err(|error| Failure::because("the images cannot be compared", &error))?;
    drop(spinner);
    let mut found = Listed::default();
    let mut tally = Tally::default();
    let sizes = [base.disk.size_bytes(), image.disk.size_bytes()];
    if sizes[0] != sizes[1] {
        tally.differences += 1;
        found.disk_bytes = Some(sizes);
        if !arguments.json {
            print(&format!("M disk: size {} -> {} bytes\n", sizes[0], sizes[1]))?;
        }
    }
    // What nothing explains is said first, for which the list has to be there before it is printed.
    let keeps = arguments.json || arguments.blocks;
    let mut kept = Vec::new();
    let listed = diff::diff(&base.view, &image.view, &differing, &mut |one| {
        tally.note(&one);
        match keeps {
            true => kept.push(one),
            false => tally.tell(&one),
        }
    })
    .map_err(|error| Failure::because("the images cannot be compared", &error))?;
    if arguments.blocks {
        let account = diff::account_for_listed(&base.view, &image.view, &differing, &listed)
            .map_err(|error| Failure::because("the blocks cannot be accounted for", &error))?;
        if !arguments.json {
            account.unexplained.iter().try_for_each(|place| print(&format!("! {place}\n")))?;
        }
        if !differing.is_empty() {
            tally.differences = tally.differences.max(1);
        }
        found.blocks = Some(Blocks { verdict: verdict(&account), account });
    }
    if arguments.json {
        kept.into_iter().for_each(|one| found.differences.keep(one));
        print_json(&found)?;
    } else {
        kept.iter().for_each(|one| tally.tell(one));
        if let Some(blocks) = &found.blocks {
            print(&block_lines(&blocks.account))?;
            print(&format!("{}\n", blocks.verdict))?;
        }
    }
    tally.end(messages)
}

impl Tally {
    fn note(&mut self, found: &Found) {
        self.differences += 1;
        if matches!(found, Found::Path(PathChange { change: PathChangeKind::Unknown, .. })) {
            self.unknown += 1;
        }
    }

    /// Prints a difference, unless something could not be printed.
    fn tell(&mut self, found: &Found) {
        if self.failure.is_none() {
            self.failure = print(&text(found)).err();
        }
    }

    fn end(self, messages: &Messages) -> Result<Exit, Failure> {
        match (self.failure, self.unknown, self.differences) {
            (Some(failure), ..) => Err(failure),
            (None, 0, differences) => Ok(Exit::of_answer(differences == 0)),
            (None, unknown, _) => {
                messages.warning(format_args!("{unknown} of the paths could not be compared"));
                Ok(Exit::Trouble)
            }
        }
    }
}

pub(super) fn open(path: &Path, backing: Backing, messages: &Messages) -> Result<Opened, Failure> {
    open_file(&OpenedFile::look(path, &messages.watcher())?, backing, messages)
}

/// Opens the image in a file that is open.
pub(super) fn open_file(file: &OpenedFile, backing: Backing, messages: &Messages) -> Result<Opened, Failure> {
    let (path, watcher) = (file.path(), messages.watcher());
    let image = file.image(backing.into(), &temporary_folder(), &watcher)?.image;
    let disk = scratch_overlay(&image);
    let view = View::open(Arc::clone(&disk) as Arc<dyn WriteAt>)
        .map_err(|error| Failure::because(format!("`{}` cannot be used", path.display()), &error))?;
    for volume in view.volumes().iter().filter(|volume| volume.journal_replayed()) {
        let path = path.display();
        messages.note(format_args!("`{path}` is seen with the journal of {volume} replayed, as a mount would"));
    }
    Ok(Opened { image, disk, view })
}

/// Where the disks differ as they are seen, journals replayed.
pub(super) fn differing(base: &Opened, image: &Opened) -> storage::Result<Vec<Range<u64>>> {
    let size = base.disk.size_bytes().max(image.disk.size_bytes());
    let whole = 0..size;
    let replayed = diff::union(&base.disk.changed(), &image.disk.changed());
    let (one, two) = (Extended::new(Arc::clone(&base.image), size), Extended::new(Arc::clone(&image.image), size));
    let as_they_are = diff::without(std::slice::from_ref(&whole), &replayed);
    let found = diff::differing(&one, &two, &as_they_are)?;
    Ok(diff::union(&found, &diff::differing(&base.disk, &image.disk, &replayed)?))
}
