//! Files that an image names, and the gate that decides whether they are opened.

use std::sync::Arc;

use serde::Serialize;
use storage::ReadAt;

use crate::error::{Error, Result};
use crate::qcow2::{Header, Qcow2};
use crate::raw::Raw;
use crate::vhd::Vhd;
use crate::vmdk::Vmdk;
use crate::{Format, Image, Kind, probe};

/// The most images that may be under one: more are a loop or an attack.
const MAX_DEPTH: u32 = 16;

/// A backing file as an image's header names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackingName {
    /// The file's name; a relative one starts from the image's folder.
    pub name: String,
    /// The file's format by QEMU's name, if the header states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Decides whether a file that an image names is opened, and opens it.
///
/// The name cannot be trusted: it may be any text that was written into the image. A gate belongs to one image, so that
/// it knows the folder that relative names start from.
pub trait Gate {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// The reason why it is not opened.
    fn open(&self, file: &BackingName) -> std::result::Result<Opened, Box<dyn std::error::Error + Send + Sync>>;
}

/// A file that a [`Gate`] opened.
pub struct Opened {
    /// The file.
    pub file: Arc<dyn ReadAt>,
    /// The gate for the file that this one names, if it does.
    pub gate: Box<dyn Gate>,
}

/// How an image is opened.
#[derive(Clone, Copy, Default)]
pub struct OpenOptions<'a> {
    /// The image's format; without it, the one that [`probe`](crate::probe()) finds.
    pub format: Option<Format>,
    /// The gate for files that the image names; without it, they are not opened.
    pub gate: Option<&'a dyn Gate>,
}

/// Opens the image in `file`, which is under `depth` others.
pub(crate) fn open(
    file: Arc<dyn ReadAt>,
    format: Option<Format>,
    gate: Option<&dyn Gate>,
    depth: u32,
) -> Result<Image> {
    let format = match format {
        Some(format) => format,
        None => probe(&file)?,
    };
    let kind = match format {
        Format::Raw => Kind::Raw(Raw::open(file)),
        Format::Qcow2 => {
            let header = Header::read(&*file)?;
            let backing = header.backing.as_ref().map(|backing| open_backing(backing, gate, depth + 1)).transpose()?;
            Kind::Qcow2(Box::new(Qcow2::open(file, header, backing, depth)?))
        }
        Format::Vmdk => Kind::Vmdk(Box::new(Vmdk::open(file)?)),
        Format::Vhd => Kind::Vhd(Box::new(Vhd::open(file)?)),
    };
    Ok(Image { kind })
}

/// Opens the file that an image names.
///
/// If the header does not state the file's format, the format is found by probing, and the file must then not name a
/// third one: a guest can write anything into a raw disk, for example a header that names a file of the host.
fn open_backing(backing: &BackingName, gate: Option<&dyn Gate>, depth: u32) -> Result<Image> {
    let name = &backing.name;
    let Some(gate) = gate else { return Err(Error::BackingFile { name: name.clone() }) };
    if depth > MAX_DEPTH {
        return Err(Error::unsupported(format!("a chain of more than {MAX_DEPTH} backing files, with {name:?},")));
    }
    let format = match &backing.format {
        Some(text) => {
            let unknown = || Error::unsupported(format!("the backing format {text:?} of backing_file={name:?}"));
            Some(Format::from_name(text).ok_or_else(unknown)?)
        }
        None => None,
    };
    let failed = |error| Error::InBackingFile { name: name.clone(), error };
    let Opened { file, gate } = gate.open(backing).map_err(failed)?;
    let next_gate = format.is_some().then_some(&*gate);
    open(file, format, next_gate, depth).map_err(|error| match error {
        Error::BackingFile { name: next } if format.is_none() => Error::unsupported(format!(
            "backing_file={name:?}, whose format is not stated and which names backing_file={next:?} itself,"
        )),
        other => failed(Box::new(other)),
    })
}
