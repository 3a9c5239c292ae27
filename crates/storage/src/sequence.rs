use std::sync::Arc;

use crate::{Extent, ExtentKind, Memory, Operation, ReadAt, Result, check_range};

/// Pieces one after another as one storage: headers, the content of files, zeros between them.
#[derive(Clone, Default)]
pub struct Sequence {
    /// Where each piece begins, and the piece; each has at least one byte.
    pieces: Vec<(u64, Piece)>,
    size_bytes: u64,
}

#[derive(Clone)]
enum Piece {
    Storage(Arc<dyn ReadAt>),
    Zeros,
}

impl Sequence {
    /// A sequence without a piece.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the whole of `storage` at the end. Its size must not change later.
    pub fn push(&mut self, storage: Arc<dyn ReadAt>) {
        let length_bytes = storage.size_bytes();
        self.add(Piece::Storage(storage), length_bytes);
    }

    /// Adds `bytes` at the end.
    pub fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.push(Arc::new(Memory::from(bytes)));
    }

    /// Adds zeros until the size is a multiple of `unit_bytes`.
    pub fn pad_to(&mut self, unit_bytes: u64) {
        self.push_zeros(self.size_bytes.next_multiple_of(unit_bytes) - self.size_bytes);
    }

    /// Adds zeros at the end.
    pub fn push_zeros(&mut self, length_bytes: u64) {
        self.add(Piece::Zeros, length_bytes);
    }

    fn add(&mut self, piece: Piece, length_bytes: u64) {
        if length_bytes > 0 {
            self.pieces.push((self.size_bytes, piece));
            self.size_bytes += length_bytes;
        }
    }

    /// The piece with the byte at `offset`, where it begins, and where the next one does.
    fn piece_at(&self, offset: u64) -> Option<(&Piece, u64, u64)> {
        let index = self.pieces.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, piece) = self.pieces.get(index)?;
        let end = self.pieces.get(index + 1).map_or(self.size_bytes, |(next, _)| *next);
        Some((piece, *start, end))
    }
}

impl std::fmt::Debug for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequence").field("pieces", &self.pieces.len()).field("size_bytes", &self.size_bytes).finish()
    }
}

impl ReadAt for Sequence {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(Operation::Read, offset, buffer.len() as u64, self.size_bytes)?;
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            // The range is inside, so each of its bytes is in a piece.
            let Some((piece, start, end)) = self.piece_at(offset) else { break };
            let (step, after) = rest.split_at_mut((end - offset).min(rest.len() as u64) as usize);
            match piece {
                Piece::Storage(storage) => storage.read_at(offset - start, step)?,
                Piece::Zeros => step.fill(0),
            }
            offset += step.len() as u64;
            rest = after;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_range(Operation::Read, offset, 1, self.size_bytes)?;
        match self.piece_at(offset) {
            Some((Piece::Storage(storage), start, _)) => storage.extent_at(offset - start),
            Some((Piece::Zeros, _, end)) => Ok(Extent { kind: ExtentKind::Zero, length_bytes: end - offset }),
            None => Ok(Extent { kind: ExtentKind::Zero, length_bytes: self.size_bytes - offset }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one() {
        let mut sequence = Sequence::new();
        sequence.push_bytes(vec![1; 3]);
        sequence.push_bytes(Vec::new());
        sequence.pad_to(8);
        sequence.pad_to(8);
        sequence.push(Arc::new(Memory::from(vec![2; 4])));
        assert_eq!(sequence.size_bytes(), 12);

        let whole = [1, 1, 1, 0, 0, 0, 0, 0, 2, 2, 2, 2];
        for from in 0..12 {
            for to in from..=12 {
                let mut bytes = vec![9; to - from];
                sequence.read_at(from as u64, &mut bytes).unwrap();
                assert_eq!(bytes, whole[from..to]);
            }
        }
        assert!(sequence.read_at(12, &mut [0]).is_err() && sequence.extent_at(12).is_err());
        assert_eq!(sequence.extent_at(4).unwrap(), Extent { kind: ExtentKind::Zero, length_bytes: 4 });
        assert_eq!(sequence.extent_at(9).unwrap(), Extent { kind: ExtentKind::Data, length_bytes: 3 });
    }
}
