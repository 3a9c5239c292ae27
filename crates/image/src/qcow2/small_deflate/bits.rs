//! Packs bits into bytes, the least significant bit first.

/// Writes bits into a buffer, and records whether they fit.
pub(super) struct BitWriter<'a> {
    output: &'a mut [u8],
    length: usize,
    bits: u64,
    count: u32,
    is_full: bool,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(output: &'a mut [u8]) -> Self {
        Self { output, length: 0, bits: 0, count: 0, is_full: false }
    }

    /// Whether something did not fit.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Adds `count` bits, at most 48.
    #[inline]
    pub(super) fn add(&mut self, bits: u64, count: u32) {
        if self.count + count > 63 {
            self.flush();
        }
        self.bits |= bits << self.count;
        self.count += count;
    }

    /// Writes the whole bytes.
    #[inline]
    fn flush(&mut self) {
        let bytes = (self.count / 8) as usize;
        if let Some(room) = self.output.get_mut(self.length..self.length + 8) {
            room.copy_from_slice(&self.bits.to_le_bytes());
            self.length += bytes;
        } else {
            for byte in self.bits.to_le_bytes().into_iter().take(bytes) {
                match self.output.get_mut(self.length) {
                    Some(room) => *room = byte,
                    None => {
                        self.is_full = true;
                        break;
                    }
                }
                self.length += 1;
            }
        }
        // At most seven bits remain, so there is room for the next ones.
        self.bits = if bytes == 8 { 0 } else { self.bits >> (bytes * 8) };
        self.count %= 8;
    }

    /// Pads to a whole byte.
    pub(super) fn align(&mut self) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
    }

    /// Adds bytes, at a whole byte.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        self.align();
        match self.output.get_mut(self.length..self.length + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.is_full = true,
        }
    }

    /// The length in bytes, if everything fits.
    pub(super) fn finish(mut self) -> Option<usize> {
        self.align();
        (!self.is_full).then_some(self.length)
    }
}
