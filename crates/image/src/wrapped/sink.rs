//! The file that an image is unwrapped to.

use std::fs::File;
use std::io;

use crate::error::{Error, Result};
use crate::raw::write_but_zeros;
use crate::zeros::is_zero;

/// The unit in which room is counted, in bytes.
const UNIT_BYTES: usize = 4096;

/// Writes from front to back; zeros are holes.
pub(crate) struct Sink<'a> {
    target: &'a File,
    position: u64,
    /// How many more bytes may take room.
    room_bytes: u64,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(target: &'a File, room_bytes: u64) -> Self {
        Self { target, position: 0, room_bytes }
    }

    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let units = bytes.chunks(UNIT_BYTES).filter(|unit| !is_zero(unit)).count();
        let data_bytes = (units * UNIT_BYTES) as u64;
        // Stops before the host's disk is full, which other programs need, too.
        let Some(room_bytes) = self.room_bytes.checked_sub(data_bytes) else {
            return Err(Error::writing(self.position, bytes.len() as u64, io::ErrorKind::StorageFull.into()));
        };
        self.room_bytes = room_bytes;
        write_but_zeros(self.target, self.position, bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Continues at `position`, with a hole up to there.
    pub(crate) fn skip_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Sets the file's size, which includes a hole at its end.
    pub(crate) fn finish(self) -> Result<()> {
        self.target.set_len(self.position).map_err(|error| Error::writing(self.position, 0, error))
    }
}
