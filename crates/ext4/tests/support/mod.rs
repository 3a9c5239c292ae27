/// A small generator of numbers (xorshift64*), so that a sequence can be had again from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number from 0 to `limit` less 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit.max(1)
    }
}
