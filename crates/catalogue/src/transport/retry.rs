//! How often a request is tried, and how long the pauses are.

use std::time::Duration;

use crate::cache::{Algorithm, Digest};

/// How often a request is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often in a row without a new byte.
    pub attempts: u32,
    /// The pause after the first failure; it doubles after each further one.
    pub first_pause: Duration,
    /// The longest pause, ours or the server's.
    pub longest_pause: Duration,
    /// Spreads the pauses of many clients that failed at the same moment. Each pause is between a half and
    /// the whole of its value, and the same for the same seed.
    pub seed: u64,
}

impl Default for Retry {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { attempts: 6, first_pause: second, longest_pause: 60 * second, seed: 0 }
    }
}

/// The most attempts at one address, however many bytes each brings.
pub(super) const MAX_ATTEMPTS: u32 = 1000;

impl Retry {
    /// The pause after `failures` failures in a row, at least one.
    pub(super) fn pause(&self, url: &str, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        let whole = self.first_pause.saturating_mul(doubled).min(self.longest_pause);
        let text = format!("{} {failures} {url}", self.seed);
        let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
        let fraction = digest.as_bytes().iter().take(4).fold(0_u32, |number, &byte| number << 8 | u32::from(byte));
        let half = whole / 2;
        half + half.mul_f64(f64::from(fraction) / f64::from(u32::MAX))
    }
}

/// The seconds in a `Retry-After`: a number, or a time (RFC 9110, 10.2.3), which is counted from
/// the server's own `date`.
pub(super) fn retry_after_seconds(value: &str, date: Option<&str>) -> Option<u64> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok();
    }
    let (until, now) = (httpdate::parse_http_date(value).ok()?, httpdate::parse_http_date(date?.trim()).ok()?);
    Some(until.duration_since(now).unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread() {
        let retry =
            Retry { first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(8), ..Retry::default() };
        for (failures, whole) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (1000, 8)] {
            let pause = retry.pause("https://a/", failures);
            let whole = Duration::from_secs(whole);
            assert!((whole / 2..=whole).contains(&pause), "{failures}: {pause:?}");
            assert_eq!(pause, retry.pause("https://a/", failures));
        }
        let pauses: std::collections::BTreeSet<Duration> =
            (0..100).map(|seed| Retry { seed, ..retry.clone() }.pause("https://a/", 4)).collect();
        assert_eq!(pauses.len(), 100);
    }

    #[test]
    fn a_server_may_say_a_number_or_a_time() {
        let date = Some("Tue, 23 Apr 2024 18:05:09 GMT");
        for (value, date, seconds) in [
            ("0", None, Some(0)),
            (" 120 ", None, Some(120)),
            ("99999999999999999999", None, None),
            ("Tue, 23 Apr 2024 18:06:10 GMT", date, Some(61)),
            ("Wed, 24 Apr 2024 18:05:09 GMT", date, Some(86_400)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some("Wed, 28 Feb 2024 00:00:00 GMT"), Some(2 * 86_400)),
            ("Tue, 23 Apr 2024 18:00:00 GMT", date, Some(0)),
            // The example of RFC 9110, and what GNU date says it is.
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("Thu, 01 Jan 1970 00:00:00 GMT"), Some(784_111_777)),
            ("Tue, 23 Apr 2024 18:06:10 GMT", None, None),
            ("soon", date, None),
            ("-1", date, None),
            ("Tue, 23 Apr 2024 18:06:10 CET", date, None),
        ] {
            assert_eq!(retry_after_seconds(value, date), seconds, "{value}");
        }
    }
}
