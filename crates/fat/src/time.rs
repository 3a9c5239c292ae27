use std::cell::Cell;

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

const SECONDS_PER_DAY: i64 = 86_400;
/// 1980-01-01, where FAT begins.
const FIRST_SECOND: i64 = 315_532_800;
/// 2107-12-31 23:59:58, where it ends.
const LAST_SECOND: i64 = 4_354_819_198;

impl Time {
    /// As FAT has it: in steps of two seconds, cut to the years 1980 to 2107.
    pub(crate) fn to_fat(self) -> FatDateTime {
        let seconds = self.seconds.clamp(FIRST_SECOND, LAST_SECOND);
        let (year, month, day) = date_of(seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY) as u32;
        let [hour, minute, second] = [second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60];
        let mut time = FatDateTime::new(year as u16, month as u8, day as u8, hour as u8, minute as u8, second as u8);
        // What the two-second steps lose; only the creation time has room for it.
        let nanoseconds = if seconds == self.seconds { self.nanoseconds } else { 0 };
        time.time_tenth = (second % 2 * 100 + nanoseconds.min(999_999_999) / 10_000_000) as u8;
        time
    }

    /// From a date and a time that were stored; a date that does not exist is FAT's first.
    pub(crate) fn from_fat(date: u16, time: u16) -> Self {
        let (year, month, day) = (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15), i64::from(date & 31));
        if !(1..=12).contains(&month) || day == 0 {
            return Self { seconds: FIRST_SECOND, nanoseconds: 0 };
        }
        let second_of_day = i64::from(time >> 11) * 3600 + i64::from(time >> 5 & 63) * 60 + i64::from(time & 31) * 2;
        Self { seconds: days_to(year, month, day) * SECONDS_PER_DAY + second_of_day, nanoseconds: 0 }
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, in eras of 400 years that begin with a
/// March.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_to`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

thread_local! {
    static NOW: Cell<FatDateTime> = const { Cell::new(FatDateTime::EPOCH) };
}

/// What `hadris-fat` takes for the clock: the time that the operation under way was given.
///
/// It wants a `'static` provider, so the time goes by way of the thread that the operation runs on.
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
        assert!(Time::from_fat(0xffff, 0xffff).seconds >= FIRST_SECOND);
    }
}
