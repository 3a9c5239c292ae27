use std::cell::Cell;

use ::time::{Date, Month, OffsetDateTime};
use hadris_fat::FatDateTime;
use hadris_fat::time::TimeProvider;

/// A point in time, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970-01-01.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// 1980-01-01, FAT's first time.
const FIRST_SECOND: i64 = 315_532_800;
/// 2107-12-31 23:59:58, FAT's last time.
const LAST_SECOND: i64 = 4_354_819_198;

impl Time {
    /// In FAT's form: in steps of two seconds, limited to the years 1980 to 2107.
    pub(crate) fn to_fat(self) -> FatDateTime {
        let seconds = self.seconds.clamp(FIRST_SECOND, LAST_SECOND);
        let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds) else { return FatDateTime::EPOCH };
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second) = moment.to_hms();
        let mut time = FatDateTime::new(year as u16, month.into(), day, hour, minute, second);
        // What the two-second steps lose; only the creation time has room for it.
        let nanoseconds = if seconds == self.seconds { self.nanoseconds } else { 0 };
        time.time_tenth = second % 2 * 100 + (nanoseconds.min(999_999_999) / 10_000_000) as u8;
        time
    }

    /// From a stored date and time; a date that does not exist becomes FAT's first.
    pub(crate) fn from_fat(date: u16, time: u16) -> Self {
        let month = Month::try_from((date >> 5 & 15) as u8);
        let day =
            month.and_then(|month| Date::from_calendar_date(1980 + i32::from(date >> 9), month, (date & 31) as u8));
        let Ok(day) = day else { return Self { seconds: FIRST_SECOND, nanoseconds: 0 } };
        let second_of_day = i64::from(time >> 11) * 3600 + i64::from(time >> 5 & 63) * 60 + i64::from(time & 31) * 2;
        Self { seconds: day.midnight().assume_utc().unix_timestamp() + second_of_day, nanoseconds: 0 }
    }
}

thread_local! {
    static NOW: Cell<FatDateTime> = const { Cell::new(FatDateTime::EPOCH) };
}

/// The clock of `hadris-fat`: the time that the current operation was given.
///
/// It needs a `'static` provider, so the time is stored per thread.
#[derive(Debug)]
pub(crate) struct GivenTime;

impl GivenTime {
    pub(crate) fn set(time: Time) {
        NOW.set(time.to_fat());
    }
}

impl TimeProvider for GivenTime {
    fn now(&self) -> FatDateTime {
        NOW.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(seconds: i64) -> i64 {
        let fat = Time { seconds, nanoseconds: 0 }.to_fat();
        Time::from_fat(fat.date, fat.time).seconds
    }

    #[test]
    fn times_round_trip_in_steps_of_two_seconds() {
        for seconds in [FIRST_SECOND, 951_782_400, 1_709_164_800, 1_732_387_998, 4_107_542_400, LAST_SECOND] {
            assert_eq!(round_trip(seconds), seconds);
            assert_eq!(round_trip(seconds + 1).min(LAST_SECOND), seconds);
        }
        // 2024-02-29 12:34:56.780, as `date -u -d @1709210096` says.
        let fat = Time { seconds: 1_709_210_097, nanoseconds: 780_000_000 }.to_fat();
        assert_eq!((fat.date, fat.time), (44 << 9 | 2 << 5 | 29, 12 << 11 | 34 << 5 | 28));
        assert_eq!(fat.time_tenth, 178);
    }

    #[test]
    fn times_outside_of_the_format_are_cut() {
        assert_eq!(round_trip(0), FIRST_SECOND);
        assert_eq!(round_trip(i64::MAX), LAST_SECOND);
        assert_eq!(round_trip(i64::MIN), FIRST_SECOND);
        assert_eq!(Time::from_fat(0, 0).seconds, FIRST_SECOND);
        // 2023-02-29.
        assert_eq!(Time::from_fat(43 << 9 | 2 << 5 | 29, 0).seconds, FIRST_SECOND);
        assert!(Time::from_fat(0xffff, 0xffff).seconds >= FIRST_SECOND);
    }
}
