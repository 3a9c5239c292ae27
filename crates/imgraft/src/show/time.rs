//! Times as people read them.

use guest::Time;

/// `2024-04-23 18:05`, in UTC; seconds since 1970 where it is beyond the year 9999.
pub(crate) fn minutes(time: Time) -> String {
    words::minutes(time.seconds)
}

/// `2024-04-23T18:05:09Z`.
pub(crate) fn rfc3339(time: Time) -> String {
    words::rfc3339(time.seconds)
}
