//! A logical volume as storage: pieces of physical volumes, one behind the other.
//!
//! Worked example: two stripes of 64 KiB over two physical volumes. Byte 100,000 is in the second stripe, 34,464 bytes
//! after its beginning: it is in the second physical volume.

use std::ops::Range;
use std::sync::Arc;

use storage::{Extent, Operation, ReadAt, Result, WriteAt, check_range};

/// A part of a logical volume. Where it is striped, its bytes are dealt to its places in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the logical volume, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length_bytes: u64,
    /// How much goes to one place before the next one's turn, in bytes. With one place it is the whole length.
    pub stripe_bytes: u64,
    /// The physical volumes, by their numbers in [`Mapped`], and where it begins in them, in bytes.
    pub places: Vec<(usize, u64)>,
}

impl Piece {
    /// Where the byte at `within` of the piece is, and how many bytes from there on are next to each other.
    fn place(&self, within: u64) -> (usize, u64, u64) {
        let (stripe, in_stripe) = (within / self.stripe_bytes, within % self.stripe_bytes);
        let count = self.places.len() as u64;
        let (volume, start) = self.places[(stripe % count) as usize];
        let run = (self.stripe_bytes - in_stripe).min(self.length_bytes - within);
        (volume, start + stripe / count * self.stripe_bytes + in_stripe, run)
    }

    /// The bytes that it has on each of its places.
    fn bytes_each(&self) -> u64 {
        self.length_bytes / self.places.len().max(1) as u64
    }

    /// Adds which bytes of the logical volume are in `range` of the place with this index.
    fn add_parts(&self, index: usize, range: &Range<u64>, parts: &mut Vec<Range<u64>>) {
        let start = self.places[index].1;
        let mut at = range.start.max(start);
        let end = range.end.min(start + self.bytes_each());
        while at < end {
            let (row, in_stripe) = ((at - start) / self.stripe_bytes, (at - start) % self.stripe_bytes);
            let run = (self.stripe_bytes - in_stripe).min(end - at);
            let stripe = row * self.places.len() as u64 + index as u64;
            let offset = self.offset + stripe * self.stripe_bytes + in_stripe;
            parts.push(offset..offset + run);
            at += run;
        }
    }
}

/// A logical volume on storage.
#[derive(Clone)]
pub struct Mapped<S> {
    volumes: Vec<S>,
    pieces: Arc<[Piece]>,
    size_bytes: u64,
}

impl<S: ReadAt> Mapped<S> {
    /// `pieces` have to follow each other, and have at least one place; they are in `volumes`.
    pub(crate) fn new(volumes: Vec<S>, pieces: Vec<Piece>) -> Self {
        let size_bytes = pieces.last().map_or(0, |piece| piece.offset + piece.length_bytes);
        Self { volumes, pieces: pieces.into(), size_bytes }
    }

    /// Its pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The parts of the physical volume with this number that it has, sorted, as ranges of bytes.
    pub fn used(&self, volume: usize) -> Vec<Range<u64>> {
        let places = self.pieces.iter().flat_map(|piece| piece.places.iter().map(move |place| (piece, place)));
        let here = places.filter(|(_, (other, _))| *other == volume);
        let mut used: Vec<Range<u64>> = here.map(|(piece, (_, start))| *start..*start + piece.bytes_each()).collect();
        used.sort_by_key(|range| range.start);
        used
    }

    /// The parts of the logical volume that are in these sorted ranges of bytes of the physical volume with this number.
    /// The parts are not sorted.
    pub fn parts(&self, volume: usize, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        for piece in &*self.pieces {
            for (index, (_, start)) in piece.places.iter().enumerate().filter(|(_, (other, _))| *other == volume) {
                let end = start + piece.bytes_each();
                let first = ranges.partition_point(|range| range.end <= *start);
                let here = ranges[first..].iter().take_while(|range| range.start < end);
                here.for_each(|range| piece.add_parts(index, range, &mut parts));
            }
        }
        parts
    }

    /// Whether the shorter one of two logical volumes has its bytes where the longer one has them.
    pub fn begins_like(&self, other: &Self) -> bool {
        let (short, long) = if self.size_bytes <= other.size_bytes { (self, other) } else { (other, self) };
        let is_like = |(one, two): (&Piece, &Piece)| {
            let is_same = one.length_bytes == two.length_bytes && one.stripe_bytes == two.stripe_bytes;
            // What has one place can end sooner.
            let is_start = one.places.len() == 1 && two.places.len() == 1 && one.length_bytes <= two.length_bytes;
            one.places == two.places && (is_same || is_start)
        };
        short.pieces.len() <= long.pieces.len() && short.pieces.iter().zip(&*long.pieces).all(is_like)
    }

    /// Where a byte is, and how many from there on are next to each other.
    fn place(&self, offset: u64) -> (&S, u64, u64) {
        let index = self.pieces.partition_point(|piece| piece.offset + piece.length_bytes <= offset);
        let piece = &self.pieces[index];
        let (volume, at, run) = piece.place(offset - piece.offset);
        (&self.volumes[volume], at, run)
    }
}

impl<S: ReadAt> ReadAt for Mapped<S> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(Operation::Read, offset, buffer.len() as u64, self.size_bytes)?;
        let mut done = 0;
        while done < buffer.len() {
            let (volume, at, run) = self.place(offset + done as u64);
            let step = run.min((buffer.len() - done) as u64) as usize;
            volume.read_at(at, &mut buffer[done..done + step])?;
            done += step;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_range(Operation::Read, offset, 1, self.size_bytes)?;
        let (volume, at, run) = self.place(offset);
        let extent = volume.extent_at(at)?;
        Ok(Extent { length_bytes: extent.length_bytes.min(run), ..extent })
    }
}

impl<S: WriteAt> WriteAt for Mapped<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(Operation::Write, offset, data.len() as u64, self.size_bytes)?;
        let mut done = 0;
        while done < data.len() {
            let (volume, at, run) = self.place(offset + done as u64);
            let step = run.min((data.len() - done) as u64) as usize;
            volume.write_at(at, &data[done..done + step])?;
            done += step;
        }
        Ok(())
    }

    fn write_from(&self, offset: u64, source: &Arc<dyn ReadAt>, source_offset: u64, length_bytes: u64) -> Result<()> {
        check_range(Operation::Write, offset, length_bytes, self.size_bytes)?;
        let mut done = 0;
        while done < length_bytes {
            let (volume, at, run) = self.place(offset + done);
            let step = run.min(length_bytes - done);
            volume.write_from(at, source, source_offset + done, step)?;
            done += step;
        }
        Ok(())
    }
}
