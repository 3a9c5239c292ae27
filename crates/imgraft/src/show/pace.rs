//! How fast something goes, as lines of text.

use std::time::{Duration, Instant};

use recipe::ByteSize;

/// How long there is no line, at most.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// When to say a line, and which: at each tenth of the way, and where that takes longer, now and then.
pub(super) struct Lines {
    start_bytes: u64,
    start: Instant,
    told_tenth: u64,
    told: Instant,
}

impl Lines {
    pub(super) fn new(have_bytes: u64, now: Instant) -> Self {
        Self { start_bytes: have_bytes, start: now, told_tenth: u64::MAX, told: now }
    }

    pub(super) fn line(&mut self, have_bytes: u64, total_bytes: Option<u64>, now: Instant) -> Option<String> {
        let total = total_bytes.filter(|total| *total > 0);
        let tenth_of = |bytes: u64| total.map_or(0, |total| (u128::from(bytes) * 10 / u128::from(total)) as u64);
        if self.told_tenth == u64::MAX {
            self.told_tenth = tenth_of(self.start_bytes);
        }
        if tenth_of(have_bytes) == self.told_tenth && now.duration_since(self.told) < LINE_INTERVAL {
            return None;
        }
        self.told_tenth = tenth_of(have_bytes);
        self.told = now;
        Some(self.text(have_bytes, total_bytes, now))
    }

    /// How far it is: `40 % of 3.5 GiB, 120.0 MiB/s, 18 s left`.
    pub(super) fn text(&self, have_bytes: u64, total_bytes: Option<u64>, now: Instant) -> String {
        let pace = self.pace(have_bytes, total_bytes, now);
        match total_bytes.filter(|total| *total > 0) {
            None => format!("{}, {pace}", ByteSize(have_bytes)),
            Some(total) => {
                let percent = (u128::from(have_bytes) * 100 / u128::from(total)) as u64;
                format!("{percent} % of {}, {pace}", ByteSize(total))
            }
        }
    }

    /// How fast it comes, and how long that will take.
    pub(super) fn pace(&self, have_bytes: u64, total_bytes: Option<u64>, now: Instant) -> String {
        let seconds = now.duration_since(self.start).as_secs_f64().max(0.001);
        let rate = have_bytes.saturating_sub(self.start_bytes) as f64 / seconds;
        let left = match total_bytes.map_or(0, |total| total.saturating_sub(have_bytes)) {
            0 => String::new(),
            _ if rate < 1.0 && seconds < 5.0 => String::new(),
            _ if rate < 1.0 => ", no byte comes".to_owned(),
            left => format!(", {} left", duration(left as f64 / rate)),
        };
        format!("{}/s{left}", ByteSize(rate as u64))
    }
}

/// `45 s`, `12 min`, `3 h 05 min`.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_line_for_each_tenth_and_now_and_then() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mib = |count: u64| count << 20;
        let mut lines = Lines::new(mib(10), start);
        let mut line = |have: u64, seconds| lines.line(mib(have), Some(mib(100)), at(seconds));
        assert_eq!(line(11, 1), None);
        assert_eq!(line(19, 3), None);
        assert_eq!(line(20, 5).as_deref(), Some("20 % of 100.0 MiB, 2.0 MiB/s, 40 s left"));
        assert_eq!(line(21, 6), None);
        assert_eq!(line(22, 15).as_deref(), Some("22 % of 100.0 MiB, 819.1 KiB/s, 98 s left"));
        assert_eq!(line(22, 16), None);
        // Several tenths at once have one line.
        assert_eq!(line(100, 18).as_deref(), Some("100 % of 100.0 MiB, 5.0 MiB/s"));

        let mut lines = Lines::new(0, start);
        assert_eq!(lines.line(mib(50), None, at(9)), None);
        assert_eq!(lines.line(mib(50), None, at(10)).as_deref(), Some("50.0 MiB, 5.0 MiB/s"));
        let mut lines = Lines::new(0, start);
        assert_eq!(lines.line(0, Some(0), at(11)).as_deref(), Some("0 B, 0 B/s"));
        let mut lines = Lines::new(0, start);
        assert_eq!(lines.line(0, Some(10), at(10)).as_deref(), Some("0 % of 10 B, 0 B/s, no byte comes"));
    }

    #[test]
    fn what_is_left_is_told_in_the_unit_that_fits() {
        for (seconds, text) in
            [(0.2, "1 s"), (119.0, "119 s"), (121.0, "3 min"), (7199.0, "120 min"), (11_100.0, "3 h 05 min")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
