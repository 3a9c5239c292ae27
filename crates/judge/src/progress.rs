//! Whether a guest makes progress: what it prints, reads, writes and computes.

use std::time::Duration;

use vm::Accelerator;

/// This many bytes read or written are progress. A guest that only waits writes some kilobytes to its journal now
/// and then.
const IO_STEP_BYTES: u64 = 1 << 20;
/// The part of one processor's time, in hundredths, that counts as progress.
const BUSY_PERCENT: u64 = 30;
/// The shortest time over which the processors' work is measured, in hundredths of a second.
const BUSY_WINDOW_CS: u64 = 400;

/// Time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest time without progress.
    pub stall: Duration,
    /// The longest time for a whole boot.
    pub total: Duration,
}

impl Limits {
    /// Limits far above what a healthy guest needs: an emulated one takes about ten times as long as others.
    pub fn of(accelerator: Accelerator) -> Self {
        let (stall_s, total_s) = match accelerator {
            Accelerator::Kvm | Accelerator::Hvf => (120, 900),
            Accelerator::Tcg => (300, 2700),
        };
        Self { stall: Duration::from_secs(stall_s), total: Duration::from_secs(total_s) }
    }
}

/// What a guest has done so far: numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Lines of the console that say something new.
    pub novelties: u64,
    /// Bytes that its disks read and wrote.
    pub io_bytes: u64,
    /// The work of its processors, in hundredths of a second.
    pub work_cs: u64,
}

/// Detects progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Each number when it last was progress.
    mark: Deeds,
    /// When the processors' work was last recorded.
    work_at: Duration,
    /// The time of the last progress.
    last_at: Duration,
}

impl Progress {
    /// Adds what has been done until `now`.
    pub fn note(&mut self, now: Duration, deeds: Deeds) {
        if deeds.novelties > self.mark.novelties {
            (self.mark.novelties, self.last_at) = (deeds.novelties, now);
        }
        // Smaller numbers mean another machine, or a restart.
        if deeds.io_bytes >= self.mark.io_bytes.saturating_add(IO_STEP_BYTES) || deeds.io_bytes < self.mark.io_bytes {
            (self.mark.io_bytes, self.last_at) = (deeds.io_bytes, now);
        }
        let window_cs = (now.saturating_sub(self.work_at).as_millis() / 10) as u64;
        if deeds.work_cs < self.mark.work_cs || window_cs >= BUSY_WINDOW_CS {
            let worked_cs = deeds.work_cs.saturating_sub(self.mark.work_cs);
            if worked_cs * 100 >= window_cs * BUSY_PERCENT && worked_cs > 0 {
                self.last_at = now;
            }
            (self.mark.work_cs, self.work_at) = (deeds.work_cs, now);
        }
    }

    /// How long there has been no progress.
    pub fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn lines_bytes_and_work_are_progress_and_trickles_are_not() {
        let mut progress = Progress::default();
        let mut deeds = Deeds { novelties: 1, ..Deeds::default() };
        progress.note(s(1), deeds);
        assert_eq!(progress.idle(s(1)), s(0));
        // A journal's commits, and the little that an agent computes.
        for now in (5..=60).step_by(5) {
            deeds = Deeds { io_bytes: deeds.io_bytes + 8192, work_cs: deeds.work_cs + 20, ..deeds };
            progress.note(s(now), deeds);
        }
        assert_eq!(progress.idle(s(60)), s(59));
        deeds.work_cs += 300;
        progress.note(s(65), deeds);
        assert_eq!(progress.idle(s(66)), s(1));
        deeds.io_bytes += 2 << 20;
        progress.note(s(70), deeds);
        assert_eq!(progress.idle(s(70)), s(0));
        deeds.novelties += 1;
        progress.note(s(80), deeds);
        assert_eq!(progress.idle(s(90)), s(10));
    }

    #[test]
    fn emulation_is_given_more_time() {
        assert!(Limits::of(Accelerator::Tcg).stall > Limits::of(Accelerator::Kvm).stall);
        assert!(Limits::of(Accelerator::Kvm).total > Limits::of(Accelerator::Kvm).stall);
    }
}
