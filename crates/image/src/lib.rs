//! Disk images as storage: the guest's disk, read from the file that holds it.
//!
//! [`Image::open`] validates a raw, qcow2, VMDK or VHD file and gives the guest's disk as a
//! [`storage::ReadAt`]. [`write()`] makes a new file, in one pass, from an unchanged base and the edits that an
//! [overlay](storage::Overlay) holds: unchanged clusters are copied without decompressing them. [`convert()`] makes
//! a file of another format. [`edit()`] changes a qcow2 image in its own file, by one write of its header, and
//! [`repair`] corrects its refcounts.
//!
//! # What is refused
//!
//! A file that an image names is opened only if the caller passes a [`Gate`] that opens it. Otherwise an image with a
//! backing file is refused, and the message has that file's name. Always refused are an external data file,
//! encryption, the corrupt bit and any incompatible feature bit that this crate does not know. Images with internal
//! snapshots or persistent bitmaps can be read, checked and converted; a new file with edits is refused because it
//! would lose them. VMDK images whose disk is in other files, dynamic VHDs and other formats (VHDX, VDI, QED, LUKS,
//! ISO 9660…) are recognised and refused by name. So are compressed files: [`unwrap`] extracts the image first.
//!
//! A new file does not depend on other files, unless it is to be a thin overlay ([`Qcow2Options::backing`]): it also
//! gets the data that a base has in its backing files. Extended L2 entries (subclusters) are read, and kept if an
//! image is edited in place; a new file has standard entries. Clusters are copied, still compressed, from every layer
//! that has the new file's cluster size and compression. Clusters that are in pieces are compressed again.
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
    /// Opens the image in `file`, in the given format or in the one that [`probe()`] finds. No other file is opened.
    ///
    /// The file must not change as long as the image lives.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with), and [`Error::BackingFile`] for an image with a backing file.
    pub fn open(file: impl ReadAt + 'static, format: Option<Format>) -> std::result::Result<Self, Error> {
        Self::open_with(file, &OpenOptions { format, gate: None })
    }

    /// Opens the image in `file`, and the files under it that the gate of `options` opens.
    ///
    /// The files must not change as long as the image lives.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnImage`], [`Error::Unsupported`] and [`Error::BackingFile`] for an image that this crate does not
    /// open, [`Error::Corrupt`] and [`Error::Truncated`] for a header or an L1 table that breaks the rules,
    /// [`Error::Storage`] if reading fails, [`Error::InBackingFile`] for each of these in a file under the image and
    /// for an error of the gate. The other tables are validated when they are used.
    pub fn open_with(file: impl ReadAt + 'static, options: &OpenOptions<'_>) -> std::result::Result<Self, Error> {
        backing::open(Arc::new(file), options.format, options.gate, 0)
    }

    /// The image under this one: data that is not in this image is read from there.
    pub fn backing(&self) -> Option<&Image> {
        match &self.kind {
            Kind::Qcow2(qcow2) => qcow2.backing(),
            Kind::Raw(_) | Kind::Vmdk(_) | Kind::Vhd(_) => None,
        }
    }

    /// A description of the image.
    pub fn info(&self) -> Info {
        match &self.kind {
            Kind::Raw(raw) => raw.info(),
            Kind::Qcow2(qcow2) => qcow2.info(),
            Kind::Vmdk(vmdk) => vmdk.info(),
            Kind::Vhd(vhd) => vhd.info(),
        }
    }

    /// Checks whether the image's own structures are consistent, and changes nothing.
    ///
    /// In a qcow2 image every table is read, every refcount is recounted and every compressed cluster is
    /// decompressed; in a VMDK, every table is read and every grain is decompressed. A raw image has no structures,
    /// and the footer of a VHD was checked when it was opened. Files under the image are not checked. If the file was
    /// cut off, the first finding says so.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if reading fails, [`Error::Unsupported`] for a file with more clusters than can be counted
    /// in bounded memory. Damage of the image is not an error but a finding.
    pub fn check(&self) -> std::result::Result<Vec<storage::Finding>, Error> {
        match &self.kind {
            // A VHD's footer was checked when it was opened.
            Kind::Raw(_) | Kind::Vhd(_) => Ok(Vec::new()),
            Kind::Qcow2(qcow2) => qcow2.check(),
            Kind::Vmdk(vmdk) => vmdk.check(),
        }
    }
}

impl Image {
    /// Fills `buffer` with the disk's bytes from `offset` on. All of them are inside the disk.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), Error> {
        match &self.kind {
            Kind::Raw(raw) => Ok(raw.file().read_at(offset, buffer)?),
            Kind::Qcow2(qcow2) => qcow2.read_guest(offset, buffer),
            Kind::Vmdk(vmdk) => vmdk.read_guest(offset, buffer),
            Kind::Vhd(vhd) => Ok(vhd.disk().read_at(offset, buffer)?),
        }
    }

    /// The extent of the disk's bytes from `offset` on. `offset` is inside the disk.
    fn extent(&self, offset: u64) -> std::result::Result<Extent, Error> {
        match &self.kind {
            Kind::Raw(raw) => Ok(raw.file().extent_at(offset)?),
            Kind::Qcow2(qcow2) => qcow2.guest_extent(offset),
            Kind::Vmdk(vmdk) => vmdk.guest_extent(offset),
            Kind::Vhd(vhd) => Ok(vhd.disk().extent_at(offset)?),
        }
    }

    /// The storage with the disk's own bytes, if the format has them one after another.
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

    /// Clusters that no layer of a qcow2 image has, its zero clusters, and grains that a VMDK does not have are
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
