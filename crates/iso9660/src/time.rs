//! ISO 9660's times, in UTC.

use ::time::{Date, Month, OffsetDateTime};

/// 1900-01-01, the first time of a record.
const FIRST_SECOND: i64 = -2_208_988_800;
/// 2155-12-31 23:59:59, the last one.
const LAST_SECOND: i64 = 5_869_583_999;
/// How far from Greenwich a time can be, in quarters of an hour.
const MAX_QUARTERS: i64 = 56;

/// ECMA-119, "Recording Date and Time": limited to the years 1900 to 2155.
pub(crate) fn to_record(seconds: i64) -> [u8; 7] {
    let [year, month, day, hour, minute, second] = civil(seconds);
    [year - 1900, month, day, hour, minute, second, 0].map(|number| number as u8)
}

/// ECMA-119, "Date and Time Format": digits, hundredths, and the offset from Greenwich.
pub(crate) fn to_digits(seconds: i64) -> [u8; 17] {
    let [year, month, day, hour, minute, second] = civil(seconds);
    let mut digits = [0; 17];
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00");
    digits[..16].copy_from_slice(text.as_bytes());
    digits
}

/// Seconds since 1970 of a record's time; `None` if it is not a date.
pub(crate) fn from_record(bytes: [u8; 7]) -> Option<i64> {
    let [year, month, day, hour, minute, second, quarters] = bytes;
    let quarters = i64::from(quarters as i8).clamp(-MAX_QUARTERS, MAX_QUARTERS);
    let day = Date::from_calendar_date(1900 + i32::from(year), Month::try_from(month).ok()?, day).ok()?;
    let [hour, minute, second] = [hour, minute, second].map(i64::from);
    Some(day.midnight().assume_utc().unix_timestamp() + hour * 3600 + minute * 60 + second - quarters * 900)
}

/// Year, month, day, hour, minute and second.
fn civil(seconds: i64) -> [i32; 6] {
    let seconds = seconds.clamp(FIRST_SECOND, LAST_SECOND);
    let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.to_hms();
    [year, u8::from(month).into(), day.into(), hour.into(), minute.into(), second.into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_gregorian_calendars() {
        assert_eq!(&to_digits(951_782_399), b"2000022823595900\0");
        assert_eq!(&to_digits(0), b"1970010100000000\0");
        assert_eq!(to_record(1_713_895_509), [124, 4, 23, 18, 5, 9, 0]);
        assert_eq!(from_record([124, 4, 23, 20, 5, 9, 8]), Some(1_713_895_509));
        assert_eq!(from_record([0; 7]), None);
        assert_eq!(from_record([123, 2, 29, 0, 0, 0, 0]), None);
        for seconds in [FIRST_SECOND, -1, 0, 951_782_400, 4_107_542_400, LAST_SECOND] {
            assert_eq!(from_record(to_record(seconds)), Some(seconds));
        }
        assert_eq!(to_record(i64::MAX), to_record(LAST_SECOND));
    }
}
