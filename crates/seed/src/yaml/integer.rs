//! Integers as long as Python's.

use std::fmt;

/// Python rejects decimal integers of more digits; nobody needs longer ones in another base.
pub(super) const MAX_DIGITS: usize = 4300;
const LIMB: u64 = 1_000_000_000;
const LIMB_DIGITS: usize = 9;

/// An integer of any size.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Integer {
    is_negative: bool,
    /// In base 10^9, the lowest first; empty is zero.
    limbs: Vec<u32>,
}

impl Integer {
    /// The number that `digits` are in `base`; `None` if one of them is not a digit.
    pub(super) fn from_digits(digits: &str, base: u32) -> Option<Self> {
        let mut number = Self { is_negative: false, limbs: Vec::new() };
        for digit in digits.chars() {
            number.push(base, digit.to_digit(base)?);
        }
        (!digits.is_empty()).then_some(number)
    }

    /// Multiplies it by `base` and adds `digit`.
    pub(super) fn push(&mut self, base: u32, digit: u32) {
        let mut carry = u64::from(digit);
        for limb in &mut self.limbs {
            let value = u64::from(*limb) * u64::from(base) + carry;
            // Both fit: a remainder below 10^9, and a carry of at most 36.
            *limb = (value % LIMB) as u32;
            carry = value / LIMB;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
    }

    pub(super) fn negated(self, is_negative: bool) -> Self {
        let is_negative = is_negative && !self.is_zero();
        Self { is_negative, ..self }
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// The number, if it is between -2^63 and 2^63 - 1.
    pub fn as_i64(&self) -> Option<i64> {
        self.to_string().parse().ok()
    }
}

impl From<u32> for Integer {
    fn from(number: u32) -> Self {
        let mut integer = Self { is_negative: false, limbs: Vec::new() };
        integer.push(10, number);
        integer
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((highest, rest)) = self.limbs.split_last() else { return f.write_str("0") };
        write!(f, "{}{highest}", if self.is_negative { "-" } else { "" })?;
        rest.iter().rev().try_for_each(|limb| write!(f, "{limb:0width$}", width = LIMB_DIGITS))
    }
}
