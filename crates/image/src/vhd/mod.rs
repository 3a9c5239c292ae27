//! Fixed VHD, after Microsoft's "Virtual Hard Disk Image Format Specification". Azure takes this format.
//!
//! # How it works, by an example
//!
//! The guest's disk lies in the file byte for byte, and a footer of 512 bytes follows it. There are no tables. Take the
//! disk of 1 MiB that the [qcow2 example](crate::qcow2) has, with `graft` at byte 0xa1234:
//!
//! ```console
//! $ qemu-img convert -O vpc -o subformat=fixed,force_size=on disk.raw disk.vhd
//! ```
//!
//! ```text
//! 0x000000 disk    0x100000 bytes, and "graft" at 0xa1234
//! 0x100000 footer  cookie="conectix" current_size=0x100000 disk_type=2 checksum=…
//! ```
//!
//! The guest's byte 0xa1234 is the file's byte 0xa1234. The footer is found from the end: the file has 0x100200 bytes,
//! so the footer is at 0x100200 - 0x200 = 0x100000, and what comes before it is as long as `current_size` says. The
//! checksum is the complement of the sum of the footer's other bytes. A `disk_type` of 3 is a dynamic disk and 4 a
//! differencing one; these have tables, and are refused.
//!
//! # Sizes
//!
//! The disk's size is the footer's `current_size`. Virtual PC used the geometry of cylinders, heads and sectors, with
//! which not every size can be expressed. QEMU uses the geometry, too, unless it knows that the program that made the
//! file does not. A new file names such a program.
//!
//! # VHDX
//!
//! VHDX, Hyper-V's format since 2012, is neither read nor written. Azure does not take it, and Hyper-V takes a fixed
//! VHD of up to 2040 GiB (`Convert-VHD` makes a VHDX of it; `qemu-img convert -O vhdx` does so with any image). VHDX
//! adds a log that has to be replayed, two copies of its regions with checksums, and many GUIDs. An image needs none
//! of these.

mod geometry;
mod layout;
mod write;

use std::sync::Arc;

use storage::{ReadAt, Window};
use zerocopy::{FromZeros, IntoBytes};

use crate::error::{Error, Result};
use crate::{Format, Info, VhdInfo};
use layout::*;

pub(crate) use layout::COOKIE;
pub(crate) use write::{SIZE_UNIT_BYTES, new_footer, write};

/// A fixed VHD image.
pub(crate) struct Vhd {
    disk: Window<Arc<dyn ReadAt>>,
    file_size_bytes: u64,
    footer: RawFooter,
}

impl Vhd {
    /// Validates the footer of `file`.
    pub(crate) fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        let file_size_bytes = file.size_bytes();
        let footer = read_footer(&*file)?;
        let corrupt = |problem: String| Err(Error::corrupt("VHD footer", problem));
        match footer.disk_type.get() {
            TYPE_FIXED => {}
            TYPE_DYNAMIC => return Err(Error::unsupported("a dynamic VHD image")),
            TYPE_DIFFERENCING => return Err(Error::unsupported("a differencing VHD image")),
            other => return corrupt(format!("disk_type={other}, expected {TYPE_FIXED}")),
        }
        if footer.file_format_version.get() != VERSION {
            return Err(Error::unsupported(format!("a VHD image of version={:#x}", footer.file_format_version)));
        }
        if footer.saved_state != 0 {
            return Err(Error::unsupported("a VHD image of a suspended virtual machine"));
        }
        let size_bytes = footer.current_size.get();
        let there = file_size_bytes - FOOTER_BYTES;
        if size_bytes > there {
            return Err(Error::Truncated {
                object: "VHD disk".into(),
                offset: 0,
                length_bytes: size_bytes,
                file_size_bytes,
            });
        }
        if !size_bytes.is_multiple_of(512) || size_bytes < there {
            return corrupt(format!("current_size={size_bytes:#x}, expected {there:#x}, the bytes before the footer"));
        }
        Ok(Self { disk: Window::new(file, 0, size_bytes)?, file_size_bytes, footer })
    }

    /// The guest's disk.
    pub(crate) fn disk(&self) -> &dyn ReadAt {
        &self.disk
    }

    /// The footer: a new file keeps those of its fields that this crate does not know.
    pub(crate) fn footer(&self) -> &RawFooter {
        &self.footer
    }

    pub(crate) fn info(&self) -> Info {
        let creator = &self.footer.creator_application;
        Info {
            vhd: Some(VhdInfo {
                creator: creator.escape_ascii().to_string().trim_end().trim_end_matches("\\x00").to_owned(),
                uuid: uuid_text(self.footer.unique_id),
            }),
            ..Info::new(Format::Vhd, self.disk.size_bytes(), self.file_size_bytes)
        }
    }
}

/// Whether `file` ends in a footer.
pub(crate) fn has_footer(file: &dyn ReadAt) -> Result<bool> {
    let mut cookie = [0; 8];
    match file.size_bytes().checked_sub(FOOTER_BYTES) {
        Some(offset) => file.read_at(offset, &mut cookie)?,
        None => return Ok(false),
    }
    Ok(cookie == COOKIE)
}

fn read_footer(file: &dyn ReadAt) -> Result<RawFooter> {
    let object = "VHD footer";
    let file_size_bytes = file.size_bytes();
    let Some(offset) = file_size_bytes.checked_sub(FOOTER_BYTES) else {
        return Err(Error::Truncated { object: object.into(), offset: 0, length_bytes: FOOTER_BYTES, file_size_bytes });
    };
    let mut footer = RawFooter::new_zeroed();
    file.read_at(offset, footer.as_mut_bytes())?;
    if footer.cookie != COOKIE {
        let found = footer.cookie.escape_ascii();
        return Err(Error::corrupt(object, format!("offset={offset:#x}: cookie=\"{found}\", expected \"conectix\"")));
    }
    let expected = footer.computed_checksum();
    if footer.checksum.get() != expected {
        return Err(Error::corrupt(object, format!("checksum={:#x}, expected {expected:#x}", footer.checksum)));
    }
    Ok(footer)
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let [a, b, c, d, e] = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]].map(hex);
    format!("{a}-{b}-{c}-{d}-{e}")
}

impl std::fmt::Debug for Vhd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vhd").field("footer", &self.footer).finish_non_exhaustive()
    }
}
