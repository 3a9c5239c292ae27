use std::fmt;

/// A number of bytes, written as people read it: `110.2 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        // Tenths, rounded down, so that nothing is called more than it is.
        let mut unit = 0;
        while self.0 >> (10 * (unit + 1)) >= 1024 {
            unit += 1;
        }
        let tenths = (u128::from(self.0) * 10) >> (10 * (unit + 1));
        f.pad(&format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (115_343_360, "110.0 MiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (3_758_096_384, "3.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
