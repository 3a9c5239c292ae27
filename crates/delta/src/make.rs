//! Making a delta.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use storage::ReadAt;
use zerocopy::IntoBytes;

use crate::compare::{is_zero, same_prefix, same_suffix};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::gear::{GEAR_WINDOW_BYTES, Gear};
use crate::index::Index;
use crate::instruction::{MIN_COPY_BYTES, Writer, ZERO_BLOCK_BYTES};
use crate::layout::{HEADER_BYTES, Header, MAGIC, VERSION};
use crate::tables::{TablePair, pairs};
use crate::window::{LONG_BYTES, MAX_READ_BYTES, SHORT_BYTES, Window};
use crate::{Info, Summary};

/// The longest literal, in bytes. So far back a copy may begin before the anchor that it was found by.
const MAX_LITERAL_BYTES: u64 = 64 << 10;
/// How far two places of the base are compared with the image to choose one of them, in bytes.
const PROBE_BYTES: u64 = 32 << 10;

/// Writes to `target`, which has to be empty, what makes `image` out of `base`. The header is written last.
///
/// Both are read twice, by three threads. The bytes depend on the two files only.
///
/// # Errors
///
/// What cannot be read or written.
pub fn make(base: &dyn ReadAt, image: &dyn ReadAt, target: &File) -> Result<Info> {
    let (base_sha256, image_sha256, written) = std::thread::scope(|scope| {
        let digests = [base, image].map(|file| scope.spawn(move || Digest::of(file)));
        let written = write(base, image, target);
        let [of_base, of_image] =
            digests.map(|digest| digest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        (of_base.map_err(Error::Base), of_image.map_err(Error::Image), written)
    });
    let (summary, base_sha256, image_sha256) = (written?, base_sha256?, image_sha256?);
    let header = Header {
        magic: MAGIC,
        version: VERSION.into(),
        reserved: 0.into(),
        base_bytes: base.size_bytes().into(),
        image_bytes: image.size_bytes().into(),
        base_sha256: base_sha256.0,
        image_sha256: image_sha256.0,
    };
    target.write_all_at(header.as_bytes(), 0).map_err(Error::Write)?;
    Ok(header.info(summary))
}

/// Writes the instructions.
fn write(base: &dyn ReadAt, image: &dyn ReadAt, mut target: &File) -> Result<Summary> {
    let tables = pairs(base, image).map_err(Error::Image)?;
    let index = Index::of(base)?;
    target.seek(SeekFrom::Start(HEADER_BYTES)).map_err(Error::Write)?;
    let maker = Maker {
        gear: index.gear(),
        index,
        image_bytes: image.size_bytes(),
        base_bytes: base.size_bytes(),
        base: Window::new(base, LONG_BYTES),
        elsewhere: Window::new(base, SHORT_BYTES),
        image: Window::new(image, LONG_BYTES),
        writer: Writer::new(BufWriter::new(target)).map_err(Error::Write)?,
        at: 0,
        literal_from: 0,
        diagonal: 0,
    };
    maker.run(&tables)
}

struct Maker<'a, 'f> {
    index: Index,
    gear: Gear,
    base: Window<'a>,
    /// The base where an anchor is found, which may be the wrong place.
    elsewhere: Window<'a>,
    image: Window<'a>,
    base_bytes: u64,
    image_bytes: u64,
    writer: Writer<BufWriter<&'f File>>,
    /// How far the image was looked at.
    at: u64,
    /// Up to where there are instructions.
    literal_from: u64,
    /// What was copied last was at such a distance in the base.
    diagonal: i64,
}

impl Maker<'_, '_> {
    fn run(mut self, tables: &[TablePair]) -> Result<Summary> {
        for table in tables {
            self.run_to(table.image_offset)?;
            self.table(table)?;
        }
        self.run_to(self.image_bytes)?;
        let (target, summary) = self.writer.end().map_err(Error::Write)?;
        target.into_inner().map_err(|error| Error::Write(error.into_error()))?;
        Ok(summary)
    }

    /// Writes instructions for the image up to `end`, which may have been passed already.
    fn run_to(&mut self, end: u64) -> Result<()> {
        self.gear.reset();
        // What follows a table is at the same distance as what was before it, as a rule.
        self.go_on(end)?;
        while self.at < end {
            if self.at.is_multiple_of(ZERO_BLOCK_BYTES) && self.zeros(end)? {
                continue;
            }
            let block_end = (self.at / ZERO_BLOCK_BYTES + 1) * ZERO_BLOCK_BYTES;
            let block = self.image.get(self.at, block_end.min(end) - self.at).map_err(Error::Image)?;
            match self.gear.next(block) {
                Some((taken, hash)) => {
                    self.at += taken as u64;
                    self.anchor(hash, end)?;
                }
                None => self.at += block.len() as u64,
            }
            if self.at - self.literal_from >= MAX_LITERAL_BYTES {
                // Half of it stays, for a copy that begins in it.
                self.literal(self.at - MAX_LITERAL_BYTES / 2)?;
            }
        }
        self.literal(end.max(self.literal_from))
    }

    /// Copies from where the last copy ended, if the same bytes are there.
    fn go_on(&mut self, end: u64) -> Result<()> {
        let Some(base_offset) = self.at.checked_add_signed(self.diagonal) else { return Ok(()) };
        let base = self.base.get(base_offset, MIN_COPY_BYTES.min(end.saturating_sub(self.at))).map_err(Error::Base)?;
        let image = self.image.get(self.at, MIN_COPY_BYTES).map_err(Error::Image)?;
        if (base.len() as u64) == MIN_COPY_BYTES && image == base {
            self.copy(self.at, base_offset, end)
        } else {
            Ok(())
        }
    }

    /// The anchor that ends here: the longest copy around it, if there is one.
    fn anchor(&mut self, hash: u64, end: u64) -> Result<()> {
        let same_diagonal = self.at.checked_add_signed(self.diagonal);
        let mut best: Option<(u64, u64, u64)> = None;
        let places = [(same_diagonal, &mut self.base), (self.index.find(hash), &mut self.elsewhere)];
        for (base_offset, window) in places {
            let Some(base_offset) = base_offset.filter(|&offset| offset <= self.base_bytes) else { continue };
            let before = (self.at - self.literal_from).min(base_offset);
            let one = self.image.get(self.at - before, before).map_err(Error::Image)?;
            let back = same_suffix(one, window.get(base_offset - before, before).map_err(Error::Base)?) as u64;
            if back < GEAR_WINDOW_BYTES.min(before) {
                continue;
            }
            let one = self.image.get(self.at, (end - self.at).min(PROBE_BYTES)).map_err(Error::Image)?;
            let forth = same_prefix(one, window.get(base_offset, PROBE_BYTES).map_err(Error::Base)?) as u64;
            if best.is_none_or(|(length, ..)| back + forth > length) {
                best = Some((back + forth, self.at - back, base_offset - back));
            }
        }
        match best {
            Some((length, from, base_offset)) if length >= MIN_COPY_BYTES => self.copy(from, base_offset, end),
            _ => Ok(()),
        }
    }

    /// Copies what is the same from here on.
    fn copy(&mut self, from: u64, base_offset: u64, end: u64) -> Result<()> {
        self.literal(from)?;
        let mut length = 0;
        loop {
            let one = self.image.get(from + length, (end - from - length).min(MAX_READ_BYTES)).map_err(Error::Image)?;
            let other = self.base.get(base_offset + length, MAX_READ_BYTES).map_err(Error::Base)?;
            let same = same_prefix(one, other) as u64;
            length += same;
            if same == 0 || same < one.len() as u64 {
                break;
            }
        }
        self.writer.copy(base_offset, length).map_err(Error::Write)?;
        self.diagonal = base_offset.wrapping_sub(from).cast_signed();
        self.at = from + length;
        self.literal_from = self.at;
        self.gear.reset();
        Ok(())
    }

    /// Writes the zeros that begin here, if there are any.
    fn zeros(&mut self, end: u64) -> Result<bool> {
        let from = self.at;
        let mut to = from;
        while to < end {
            let bytes = self.image.get(to, (end - to).min(MAX_READ_BYTES)).map_err(Error::Image)?;
            let blocks = bytes.chunks_exact(ZERO_BLOCK_BYTES as usize);
            let count = blocks.take_while(|block| is_zero(block)).count() as u64;
            to += count * ZERO_BLOCK_BYTES;
            if count == 0 || count * ZERO_BLOCK_BYTES < bytes.len() as u64 {
                break;
            }
        }
        if to == from {
            return Ok(false);
        }
        self.literal(from)?;
        self.writer.zeros(to - from).map_err(Error::Write)?;
        (self.at, self.literal_from) = (to, to);
        self.gear.reset();
        self.go_on(end)?;
        Ok(true)
    }

    fn table(&mut self, table: &TablePair) -> Result<()> {
        let mut done = 0;
        while done < table.length_bytes {
            let length = (table.length_bytes - done).min(MAX_READ_BYTES);
            let words = self.image.get(table.image_offset + done, length).map_err(Error::Image)?;
            let base_offset = table.base_offset + done;
            let base = self.base.get(base_offset, length).map_err(Error::Base)?;
            self.writer.words(base_offset, base, words).map_err(Error::Write)?;
            done += length;
        }
        (self.at, self.literal_from) = (table.image_offset + done, table.image_offset + done);
        Ok(())
    }

    /// Writes as it is what has no instruction yet, up to `end`.
    fn literal(&mut self, end: u64) -> Result<()> {
        while self.literal_from < end {
            let bytes = self.image.get(self.literal_from, end - self.literal_from).map_err(Error::Image)?;
            self.writer.literal(bytes).map_err(Error::Write)?;
            self.literal_from += bytes.len() as u64;
        }
        Ok(())
    }
}
