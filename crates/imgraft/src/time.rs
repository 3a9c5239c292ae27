//! Times as people read them.

use guest::Time;

const SECONDS_PER_DAY: i64 = 86_400;

/// Year, month and day of a day counted from 1970-01-01, by the Gregorian calendar.
fn date(day: i64) -> (i64, i64, i64) {
    // Counted in eras of 400 years that begin on March 1, so that the leap day is a year's last.
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_year - (153 * month_from_march + 2) / 5 + 1)
}

/// `2024-04-23 18:05`, in UTC.
pub(crate) fn minutes(time: Time) -> String {
    let (year, month, day) = date(time.seconds.div_euclid(SECONDS_PER_DAY));
    let second = time.seconds.rem_euclid(SECONDS_PER_DAY);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second / 60 % 60)
}

/// `2024-04-23T18:05:09Z`.
pub(crate) fn rfc3339(time: Time) -> String {
    let second = time.seconds.rem_euclid(60);
    format!("{}:{second:02}Z", minutes(time).replace(' ', "T"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_gregorian_calendars() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_713_895_509, "2024-04-23T18:05:09Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Time { seconds, nanoseconds: 0 }), text);
        }
        assert_eq!(minutes(Time { seconds: 1_713_895_509, nanoseconds: 0 }), "2024-04-23 18:05");
    }
}
