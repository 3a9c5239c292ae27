//! Times of signatures and the current time.

use std::fmt;

/// 9999-12-31 23:59:59.
const LAST_SECOND: i64 = 253_402_300_799;

/// Seconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    /// As RFC 3339 has it, in UTC: `2026-07-25T22:34:07Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A time that means "for ever" becomes the last one with a year of four digits.
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX).min(LAST_SECOND);
        f.write_str(&words::rfc3339(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_date_is_after_the_year_9999() {
        assert_eq!(Time(1_785_018_847).to_string(), "2026-07-25T22:34:07Z");
        assert_eq!(Time(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}
