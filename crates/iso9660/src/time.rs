//! Times as ISO 9660 has them, in UTC.

const SECONDS_PER_DAY: i64 = 86_400;
/// 1900-01-01, where a record's times begin.
const FIRST_SECOND: i64 = -2_208_988_800;
/// 2155-12-31 23:59:59, where they end.
const LAST_SECOND: i64 = 5_869_583_999;
/// How far from Greenwich a time can be, in quarters of an hour.
const MAX_QUARTERS: i64 = 56;

/// ECMA-119, "Recording Date and Time": cut to the years 1900 to 2155.
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

/// Seconds since 1970 of a record's time; nothing where it is no date.
pub(crate) fn from_record(bytes: [u8; 7]) -> Option<i64> {
    let [year, month, day, hour, minute, second, _] = bytes.map(i64::from);
    let quarters = i64::from(bytes[6] as i8).clamp(-MAX_QUARTERS, MAX_QUARTERS);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_to(1900 + year, month, day);
    Some(days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - quarters * 900)
}

/// Year, month, day, hour, minute and second.
fn civil(seconds: i64) -> [i64; 6] {
    let seconds = seconds.clamp(FIRST_SECOND, LAST_SECOND);
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    // Eras of 400 years that begin on March 1, so that the leap day is a year's last.
    let days = seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    [year, month, day, second / 3600, second / 60 % 60, second % 60]
}

/// Days from 1970-01-01 on; the inverse of what [`civil`] does.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
        for seconds in [FIRST_SECOND, -1, 0, 951_782_400, 4_107_542_400, LAST_SECOND] {
            assert_eq!(from_record(to_record(seconds)), Some(seconds));
        }
        assert_eq!(to_record(i64::MAX), to_record(LAST_SECOND));
    }
}
