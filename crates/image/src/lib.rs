//! Disk images as storage: what the guest sees as a disk, read from the file that holds it.
//!
//! [`Image::open`] validates a raw, qcow2, VMDK or VHD file and gives the guest's disk as a
//! [`storage::ReadAt`]; [`write()`] makes the new file from an unchanged base and the edits that an
//! [overlay](storage::Overlay) holds, in one pass: clusters that did not change are copied as they
//! are, still compressed. [`convert()`] makes one in another container. [`edit()`] changes a qcow2 image
//! in its own file, by one write of its header, and [`repair`] makes its refcounts right.
//!
//! # What is refused
//!
//! Nothing that is named inside an image is opened, unless the caller passes a [`Gate`] that opens it:
//! an image that is a difference to a backing file is refused with that file's name. So are, always, an
//! external data file, encryption, the corrupt bit and any incompatible feature bit that this crate does
//! not know. Images with internal snapshots or persistent bitmaps can be read, checked and converted;
//! a new file with edits is refused because it would lose them. VMDK images whose disk is in other
//! files, dynamic VHDs and other formats (VHDX, VDI, QED, LUKS, ISO 9660…) are recognised and refused by
//! name. So are compressed files: [`unwrap`] takes out what is in them first.
//!
//! A new file always stands for itself, unless it is asked to be a thin overlay
//! ([`Qcow2Options::backing`]): what a base has in the files under it goes into the new one. Extended L2
//! entries (subclusters) are read, and kept where an image is edited in place; a new file has standard
//! ones.
//! Clusters go over as they are, still compressed, from every layer that has the new file's size of
//! clusters and compression, and are packed anew where they are in pieces.
//!
//! ```
//! use image::{Format, Image};
//! use storage::{Memory, ReadAt};
//!
//! let mut disk = vec![0; 1 << 20];
//! disk[510..512].copy_from_slice(&[0x55, 0xaa]);
//! let image = Image::open(Memory::from(disk), None)?;
//! assert_eq!(image.info().format, Format::Raw);
//! assert_eq!(image.size_bytes(), 1 << 20);
//! # Ok::<(), image::Error>(())
//! ```

mod append;
mod backing;
mod cache;
mod claim;
mod convert;
mod deflate;
mod edit;
mod error;
mod findings;
mod gce;
mod in_order;
mod info;
pub mod pax;
mod probe;
mod qcow2;
mod raw;
mod shared;
mod tar;
mod units;
mod vhd;
mod vmdk;
mod wrapped;
mod write;
mod zeros;

use std::sync::Arc;

use storage::{Extent, Operation, ReadAt, Result, check_range};

pub use backing::{BackingName, Gate, OpenOptions, Opened};
pub use convert::{Compat, Container, Qcow2Options, Source, UnknownName, convert};
pub use edit::{Edited, Repaired, edit, repair};
pub use error::Error;
pub use info::{CompressionType, Format, Info, Qcow2Info, VhdInfo, VmdkInfo};
pub use probe::probe;
pub use wrapped::{Compression, UnwrapLimits, Wrapping, compression_of, unwrap};
pub use write::{NewClusters, WriteOptions, Written, write, write_to_copy};

use qcow2::Qcow2;
use raw::Raw;
use vhd::Vhd;
use vmdk::Vmdk;

/// An opened image: the guest's disk as storage.
#[derive(Debug)]
pub struct Image {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Raw(Raw),
    Qcow2(Box<Qcow2>),
    Vmdk(Box<Vmdk>),
    Vhd(Box<Vhd>),
}

impl Image {
    /// Opens the image in `file`, in the given format or in the one that [`probe`] finds, and no other
    /// file.
    ///
    /// The file must not change as long as the image lives.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with), and [`Error::BackingFile`] for an image that is a difference
    /// to another file.
    pub fn open(file: impl ReadAt + 'static, format: Option<Format>) -> std::result::Result<Self, Error> {
        Self::open_with(file, &OpenOptions { format, gate: None })
    }

    /// Opens the image in `file`, and the files under it that the gate of `options` opens.
    ///
    /// None of the files must change as long as the image lives.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnImage`], [`Error::Unsupported`] and [`Error::BackingFile`] for what is no image
    /// for this crate, [`Error::Corrupt`] and [`Error::Truncated`] for a header or an L1 table that
    /// breaks the rules, [`Error::Storage`] where reading fails, [`Error::InBackingFile`] for each of
    /// these in a file under the image and for what the gate says. The tables further down are
    /// validated when they are used.
    pub fn open_with(file: impl ReadAt + 'static, options: &OpenOptions<'_>) -> std::result::Result<Self, Error> {
        backing::open(Arc::new(file), options.format, options.gate, 0)
    }

    /// The image under this one, which holds what is not in this one.
    pub fn backing(&self) -> Option<&Image> {
        match &self.kind {
            Kind::Qcow2(qcow2) => qcow2.backing(),
            Kind::Raw(_) | Kind::Vmdk(_) | Kind::Vhd(_) => None,
        }
    }

    /// What the image says about itself.
    pub fn info(&self) -> Info {
        match &self.kind {
            Kind::Raw(raw) => raw.info(),
            Kind::Qcow2(qcow2) => qcow2.info(),
            Kind::Vmdk(vmdk) => vmdk.info(),
            Kind::Vhd(vhd) => vhd.info(),
        }
    }

    /// Looks for what is not consistent in the image's own structures, and changes nothing.
    ///
    /// A raw image has none, and a VHD only its footer. In a qcow2 image every table is walked, every
    /// refcount is recounted and every compressed cluster is decompressed; so are tables and grains of a
    /// VMDK. What is under the image is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] where reading fails, [`Error::Unsupported`] for a file with more clusters
    /// than can be counted in bounded memory. What is wrong with the image is a finding.
    pub fn check(&self) -> std::result::Result<Vec<storage::Finding>, Error> {
        match &self.kind {
            // What a footer says is known since it was opened.
            Kind::Raw(_) | Kind::Vhd(_) => Ok(Vec::new()),
            Kind::Qcow2(qcow2) => qcow2.check(),
            Kind::Vmdk(vmdk) => vmdk.check(),
        }
    }
}

impl Image {
    /// Fills `buffer` with the disk's bytes from `offset` on, all of which are inside.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), Error> {
        match &self.kind {
            Kind::Raw(raw) => Ok(raw.file().read_at(offset, buffer)?),
            Kind::Qcow2(qcow2) => qcow2.read_guest(offset, buffer),
            Kind::Vmdk(vmdk) => vmdk.read_guest(offset, buffer),
            Kind::Vhd(vhd) => Ok(vhd.disk().read_at(offset, buffer)?),
        }
    }

    /// The extent of the disk's bytes from `offset` on, which is inside.
    fn extent(&self, offset: u64) -> std::result::Result<Extent, Error> {
        match &self.kind {
            Kind::Raw(raw) => Ok(raw.file().extent_at(offset)?),
            Kind::Qcow2(qcow2) => qcow2.guest_extent(offset),
            Kind::Vmdk(vmdk) => vmdk.guest_extent(offset),
            Kind::Vhd(vhd) => Ok(vhd.disk().extent_at(offset)?),
        }
    }

    /// The storage whose bytes are the disk's own.
    fn plain(&self) -> Option<&dyn ReadAt> {
        match &self.kind {
            Kind::Raw(raw) => Some(raw.file()),
            Kind::Vhd(vhd) => Some(vhd.disk()),
            Kind::Qcow2(_) | Kind::Vmdk(_) => None,
        }
    }
}

impl ReadAt for Image {
    fn size_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Raw(raw) => raw.file().size_bytes(),
            Kind::Qcow2(qcow2) => qcow2.header().virtual_size_bytes,
            Kind::Vmdk(vmdk) => vmdk.size_bytes(),
            Kind::Vhd(vhd) => vhd.disk().size_bytes(),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if let Some(plain) = self.plain() {
            return plain.read_at(offset, buffer);
        }
        let length_bytes = buffer.len() as u64;
        check_range(Operation::Read, offset, length_bytes, self.size_bytes())?;
        self.read(offset, buffer).map_err(|error| error.into_read_error(offset, length_bytes))
    }

    /// What no layer of a qcow2 image has, its zero clusters, and grains that a VMDK does not have are
    /// [`storage::ExtentKind::Zero`].
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        if let Some(plain) = self.plain() {
            return plain.extent_at(offset);
        }
        check_range(Operation::Read, offset, 1, self.size_bytes())?;
        self.extent(offset).map_err(|error| error.into_read_error(offset, 1))
    }

    fn host_file(&self) -> Option<(&std::fs::File, u64)> {
        self.plain()?.host_file()
    }
}
