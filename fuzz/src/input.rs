/// The bytes that the fuzzer gives, read from the front; after their end come zeros.
pub(crate) struct Input<'a> {
    left: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        *first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// One of a list, which is not empty.
    pub(crate) fn choose<'b, T>(&mut self, list: &'b [T]) -> &'b T {
        let index = if list.len() > 256 { usize::from(self.u16()) } else { usize::from(self.byte()) };
        &list[index % list.len()]
    }
}
