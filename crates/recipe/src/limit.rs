//! What a command in the guest may use.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::size::{ByteSize, DiskSize};

/// The least memory that a command can be limited to, in bytes: with less, no shell would start.
const MIN_MEMORY_BYTES: u64 = 16 << 20;

/// What each step's commands in the guest may use; `None` is as much as this machine gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandLimits {
    /// The time from a step's start to its end.
    pub time: Option<TimeLimit>,
    /// The memory of all that a step starts.
    pub memory: Option<MemoryLimit>,
}

/// A time: `90`, `90s`, `10m`, `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(pub Duration);

/// An amount of memory: `512M`, `2G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// So many bytes.
    pub bytes: u64,
}

/// A text is not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It is not a time.
    #[error("`{0}` is not a time: write seconds, or a number and s, m or h, such as `90` or `5m`")]
    Time(String),
    /// It is not an amount of memory.
    #[error("`{0}` is not an amount of memory: write a number with M or G, such as `512M` or `2G`")]
    Memory(String),
    /// No program could run with it.
    #[error("`{0}` is too little memory for any program: give it {min} or more", min = ByteSize(MIN_MEMORY_BYTES))]
    TooLittle(String),
}

impl FromStr for TimeLimit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (number, unit_s) = match text.char_indices().next_back() {
            Some((at, 's')) => (&text[..at], 1),
            Some((at, 'm')) => (&text[..at], 60),
            Some((at, 'h')) => (&text[..at], 3600),
            _ => (text, 1),
        };
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = is_number.then(|| number.parse::<u32>().ok()?.checked_mul(unit_s)).flatten();
        let seconds = seconds.filter(|&seconds| seconds > 0).ok_or_else(|| LimitError::Time(text.to_owned()))?;
        Ok(Self(Duration::from_secs(seconds.into())))
    }
}

impl fmt::Display for TimeLimit {
    /// `90 s`, `10 min`, `2 h`: exactly that time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds % 3600, seconds % 60) {
            (0, _) => write!(f, "{} h", seconds / 3600),
            (_, 0) => write!(f, "{} min", seconds / 60),
            _ => write!(f, "{seconds} s"),
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        match text.parse() {
            Ok(DiskSize::To(bytes)) if bytes >= MIN_MEMORY_BYTES => Ok(Self { bytes }),
            Ok(DiskSize::To(_)) => Err(LimitError::TooLittle(text.to_owned())),
            _ => Err(LimitError::Memory(text.to_owned())),
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize(self.bytes).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds, shown) in [
            ("90", 90, "90 s"),
            ("90s", 90, "90 s"),
            ("5m", 300, "5 min"),
            ("90m", 5400, "90 min"),
            ("2h", 7200, "2 h"),
        ] {
            let limit: TimeLimit = text.parse().unwrap();
            assert_eq!((limit.0.as_secs(), limit.to_string().as_str()), (seconds, shown), "{text}");
        }
        for text in ["", "0", "m", "-1", "+1", "1.5m", "1d", "9999999h"] {
            assert!(text.parse::<TimeLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_a_size_that_a_program_can_run_in() {
        assert_eq!("512M".parse(), Ok(MemoryLimit { bytes: 512 << 20 }));
        assert_eq!("2G".parse::<MemoryLimit>().unwrap().to_string(), "2.0 GiB");
        for text in ["", "+1G", "1.5G", "lots", "99999999999999999999"] {
            assert_eq!(text.parse::<MemoryLimit>(), Err(LimitError::Memory(text.to_owned())));
        }
        // Somebody who writes `2` means GiB.
        assert_eq!("2".parse::<MemoryLimit>(), Err(LimitError::TooLittle("2".to_owned())));
        assert!("2".parse::<MemoryLimit>().unwrap_err().to_string().ends_with("give it 16.0 MiB or more"));
    }
}
