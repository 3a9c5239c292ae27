//! The instructions of seccomp filters (classic BPF).

/// What a filter decides about a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel carries it out.
    Allow,
    /// It fails with this error number, and nothing was done.
    Fail(u16),
    /// It waits for the answer of whoever has the listener.
    Ask,
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub(crate) code: u16,
    pub(crate) if_true: u8,
    pub(crate) if_false: u8,
    pub(crate) operand: u32,
}

impl Instruction {
    /// Where the number of the call is in what [`Instruction::load`] reads.
    pub const NUMBER: u32 = 0;
    /// Where its architecture is, as `AUDIT_ARCH_…`.
    pub const ARCHITECTURE: u32 = 4;

    /// Where the lower half of an argument is (little-endian machines).
    pub const fn argument(index: u32) -> u32 {
        16 + 8 * index
    }

    /// Loads 32 bits of the call's description.
    pub const fn load(offset: u32) -> Self {
        Self { code: 0x20, if_true: 0, if_false: 0, operand: offset }
    }

    /// Skips `if_true` instructions if what was loaded equals `value`, else `if_false`.
    pub const fn jump_if_equal(value: u32, if_true: u8, if_false: u8) -> Self {
        Self { code: 0x15, if_true, if_false, operand: value }
    }

    /// Skips `if_true` instructions if what was loaded is `value` or more, else `if_false`.
    pub const fn jump_if_at_least(value: u32, if_true: u8, if_false: u8) -> Self {
        Self { code: 0x35, if_true, if_false, operand: value }
    }

    /// Skips `if_true` instructions if what was loaded has one of the bits, else `if_false`.
    pub const fn jump_if_any_bit(bits: u32, if_true: u8, if_false: u8) -> Self {
        Self { code: 0x45, if_true, if_false, operand: bits }
    }

    /// Ends the filter.
    pub const fn verdict(verdict: Verdict) -> Self {
        let operand = match verdict {
            Verdict::Allow => 0x7fff_0000,
            Verdict::Fail(error) => 0x0005_0000 | error as u32,
            Verdict::Ask => 0x7fc0_0000,
        };
        Self { code: 0x06, if_true: 0, if_false: 0, operand }
    }
}
