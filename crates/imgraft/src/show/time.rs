//! Times as people read them.

use ::time::OffsetDateTime;
use guest::Time;

/// `2024-04-23 18:05`, in UTC; seconds since 1970 where it is beyond the year 9999.
pub(crate) fn minutes(time: Time) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(time.seconds) else { return time.seconds.to_string() };
    let (year, month, day) = moment.to_calendar_date();
    format!("{year:04}-{:02}-{day:02} {:02}:{:02}", u8::from(month), moment.hour(), moment.minute())
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
