//! "CHS Calculation": the geometry of a disk, for readers that need one.

/// Cylinders, heads, and sectors of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) cylinders: u16,
    pub(crate) heads: u8,
    pub(crate) sectors_per_track: u8,
}

impl Geometry {
    /// The geometry of a disk of `sectors` sectors of 512 bytes. The geometry may have fewer sectors.
    pub(crate) fn of(sectors: u64) -> Self {
        const MOST: u64 = 65535 * 16 * 255;
        let sectors = sectors.min(MOST);
        let (heads, sectors_per_track) = if sectors >= 65535 * 16 * 63 {
            (16, 255)
        } else {
            let heads = (sectors / 17).div_ceil(1024).max(4);
            if heads <= 16 && sectors / 17 < heads * 1024 {
                (heads, 17)
            } else if sectors / 31 < 16 * 1024 {
                (16, 31)
            } else {
                (16, 63)
            }
        };
        Self {
            cylinders: (sectors / sectors_per_track / heads) as u16,
            heads: heads as u8,
            sectors_per_track: sectors_per_track as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_large_and_largest_disks_have_a_geometry() {
        let of = |sectors| {
            let Geometry { cylinders, heads, sectors_per_track } = Geometry::of(sectors);
            (cylinders, heads, sectors_per_track)
        };
        assert_eq!(of(0), (0, 4, 17));
        assert_eq!(of(20 << 11), (602, 4, 17));
        assert_eq!(of(120 << 11), (963, 15, 17));
        assert_eq!(of(200 << 11), (825, 16, 31));
        assert_eq!(of(4 << 21), (8322, 16, 63));
        assert_eq!(of(65535 * 16 * 63), (16191, 16, 255));
        assert_eq!(of(u64::MAX), (65535, 16, 255));
    }
}
