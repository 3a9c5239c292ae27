//! `imgraft publish`: an image in a registry.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use graft::{Backing, OpenedFile, Stage, Watcher};
use image::Format;
use recipe::ByteSize;
use registry::{Blob, Login, Manifest, Part, Progress, Registry, artifact, container_disk};
use serde::Serialize;

use crate::bases::host_architecture;
use crate::cli::publish::{Publish, Shape};
use crate::failure::Failure;
use crate::registries::{self, registry_failure};
use crate::show::{Messages, print, print_json};

/// The most bytes of a password.
const PASSWORD_LIMIT_BYTES: u64 = 64 << 10;

/// What was published, as a program reads it.
#[derive(Debug, Serialize)]
struct Report {
    image: String,
    shape: &'static str,
    size_bytes: u64,
    published: Vec<Published>,
}

#[derive(Debug, Serialize)]
struct Published {
    reference: String,
    digest: String,
    sent_bytes: u64,
    there_bytes: u64,
}

pub(super) fn run(arguments: &Publish, messages: &Messages) -> Result<(), Failure> {
    if let Some(reference) = arguments.references.iter().find(|reference| reference.digest.is_some()) {
        return Err(Failure::new(format!("`{reference}` has a digest, which is known when the image is there"))
            .hint("give a tag, or nothing, after the name"));
    }
    // Before an image is read for minutes.
    let logins = logins(arguments)?;
    let watcher = messages.watcher();
    let (manifest, blobs, size_bytes) = prepare(arguments, &watcher)?;
    let mut published = Vec::new();
    for (reference, login) in arguments.references.iter().zip(logins) {
        let tag = reference.tag.as_deref().unwrap_or("latest");
        let named = reference.with_tag(Some(tag));
        let options = registries::options(&arguments.ca, false);
        let registry = Registry::new(reference, options, login, arguments.plain_http)
            .map_err(|error| registry_failure(&error, &named))?;
        let sending = Sending { watcher: &watcher, stage: RefCell::new(None) };
        let pushed = registry
            .push(&manifest, &blobs, tag, &sending)
            .map_err(|error| registry_failure(&error, &named).within(format!("`{named}` was not published")))?;
        drop(sending);
        messages.note(format_args!(
            "published {named} ({} sent, {} there already)",
            ByteSize(pushed.sent_bytes),
            ByteSize(pushed.there_bytes)
        ));
        let reference = reference.with_tag(None).with_digest(pushed.digest).to_string();
        let (digest, sent_bytes, there_bytes) = (pushed.digest.to_string(), pushed.sent_bytes, pushed.there_bytes);
        published.push(Published { reference, digest, sent_bytes, there_bytes });
    }
    if arguments.json {
        let shape = match arguments.shape {
            Shape::Artifact => "artifact",
            Shape::ContainerDisk => "container-disk",
        };
        return print_json(&Report { image: arguments.image.display().to_string(), shape, size_bytes, published });
    }
    print(&published.iter().map(|one| format!("{}\n", one.reference)).collect::<String>())
}

/// Who asks each registry.
fn logins(arguments: &Publish) -> Result<Vec<Login>, Failure> {
    let Some(name) = &arguments.username else {
        return arguments.references.iter().map(registries::login).collect();
    };
    let mut password = String::new();
    std::io::stdin()
        .lock()
        .take(PASSWORD_LIMIT_BYTES)
        .read_to_string(&mut password)
        .map_err(|error| Failure::because("the password cannot be read from standard input", &error))?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    let login = Login::User { name: name.clone(), password };
    Ok(vec![login; arguments.references.len()])
}

/// The manifest of the image, what it names, and how large the image is.
fn prepare(arguments: &Publish, watcher: &Watcher) -> Result<(Manifest, Vec<Blob>, u64), Failure> {
    let path = &arguments.image;
    let opened = OpenedFile::open(path)?;
    let storage = opened.storage()?;
    let unusable = |error: &image::Error| Failure::because(format!("`{}` is not an image", path.display()), error);
    let compression = image::compression_of(&storage).map_err(|error| unusable(&error))?;
    // A compressed one is sent as it is. Any other is opened, which refuses one that needs other files.
    let format = match compression {
        Some(_) => None,
        None => Some(opened.image(Backing::Refuse, Path::new(""), watcher)?.image.info().format),
    };
    let is_disk = matches!(format, Some(Format::Raw | Format::Qcow2));
    if arguments.shape == Shape::ContainerDisk && !is_disk {
        return Err(Failure::new(format!(
            "`{}` cannot be a container disk: KubeVirt reads qcow2 and raw",
            path.display()
        ))
        .hint(format!("`imgraft convert {} my.qcow2` makes one that can", path.display())));
    }
    let size_bytes = opened.metadata().len();
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    if !file.metadata().is_ok_and(|metadata| opened.is(&metadata)) {
        return Err(Failure::new(format!("`{}` was replaced by another file meanwhile", path.display())));
    }
    let file = Arc::new(file);
    let annotations: BTreeMap<String, String> = arguments.annotations.iter().cloned().collect();
    let title = path.file_name().map_or_else(|| "disk.img".into(), |name| name.to_string_lossy().into_owned());
    let stage = watcher.stage(Stage::Read);
    let progress = |done| stage.set(done, size_bytes);
    let made = match arguments.shape {
        Shape::Artifact => Blob::new(vec![Part::File { file, size_bytes }], &progress)
            .map(|blob| artifact(blob, media_type(format), &title, annotations)),
        Shape::ContainerDisk => {
            // The name is KubeVirt's to find: any in `/disk` will do, and this one does not depend on the file's.
            let name = if format == Some(Format::Qcow2) { "disk.qcow2" } else { "disk.img" };
            let architecture = arguments.arch.as_deref().unwrap_or(host_architecture());
            container_disk(file, size_bytes, name, architecture, annotations, &progress)
        }
    };
    let (manifest, blobs) = made.map_err(|error| unreadable(path, &error))?;
    Ok((manifest, blobs, size_bytes))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::because(format!("`{}` cannot be read", path.display()), error)
}

/// The media type of an image, as shared-mime-info has it.
fn media_type(format: Option<Format>) -> &'static str {
    match format {
        Some(Format::Qcow2) => "application/x-qemu-disk",
        Some(Format::Vmdk) => "application/x-vmdk-disk",
        Some(Format::Vhd) => "application/x-vhd-disk",
        Some(_) => "application/x-raw-disk-image",
        None => "application/octet-stream",
    }
}

/// Shows how far a blob is.
struct Sending<'a> {
    watcher: &'a Watcher,
    stage: RefCell<Option<graft::Lasting<'a>>>,
}

impl Progress for Sending<'_> {
    fn sent(&self, blob: &Blob, sent_bytes: u64) {
        let mut stage = self.stage.borrow_mut();
        stage.get_or_insert_with(|| self.watcher.stage(Stage::Send)).set(sent_bytes, blob.size_bytes());
        if sent_bytes == blob.size_bytes() {
            *stage = None;
        }
    }

    fn there(&self, _: &Blob) {}
}
