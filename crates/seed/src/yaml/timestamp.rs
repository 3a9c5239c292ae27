//! Dates and times, which become objects in Python.

/// What a text that looks like a date is.
pub(super) enum Timestamp {
    /// In ISO 8601, as Python writes it.
    Valid(String),
    /// A date that does not exist, and the reason.
    Invalid(&'static str),
}

/// `None` if `text` does not look like a date.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let mut rest = Cursor(text.as_bytes());
    let year = rest.digits(4, 4)?;
    rest.byte(b'-')?;
    let (month, month_digits) = rest.counted(1, 2)?;
    rest.byte(b'-')?;
    let (day, day_digits) = rest.counted(1, 2)?;
    if rest.0.is_empty() {
        let is_date = month_digits == 2 && day_digits == 2;
        return is_date.then(|| match invalid_date(year, month, day) {
            None => Timestamp::Valid(format!("{year:04}-{month:02}-{day:02}")),
            Some(problem) => Timestamp::Invalid(problem),
        });
    }
    if rest.byte(b'T').or_else(|| rest.byte(b't')).is_none() && rest.blanks() == 0 {
        return None;
    }
    let hour = rest.digits(1, 2)?;
    rest.byte(b':')?;
    let minute = rest.digits(2, 2)?;
    rest.byte(b':')?;
    let second = rest.digits(2, 2)?;
    let fraction = rest.byte(b'.').map(|()| rest.fraction());
    let zone = zone(&mut rest)?;
    let zone = match zone {
        Ok(zone) => zone,
        Err(problem) => return Some(Timestamp::Invalid(problem)),
    };
    if let Some(problem) = invalid_date(year, month, day) {
        return Some(Timestamp::Invalid(problem));
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Some(Timestamp::Invalid("this time of day does not exist"));
    }
    let fraction = match fraction {
        Some(microseconds) if microseconds > 0 => format!(".{microseconds:06}"),
        _ => String::new(),
    };
    Some(Timestamp::Valid(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}")))
}

/// Whether `text` is an existing date, such as `2030-12-31`.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 10 && matches!(timestamp(text), Some(Timestamp::Valid(_)))
}

/// The zone at the end, if there is one; `None` if something else is there.
fn zone(rest: &mut Cursor) -> Option<Result<String, &'static str>> {
    if rest.0.is_empty() {
        return Some(Ok(String::new()));
    }
    rest.blanks();
    if rest.0 == b"Z" {
        return Some(Ok("+00:00".to_owned()));
    }
    let is_negative = match rest.0.first()? {
        b'-' => true,
        b'+' => false,
        _ => return None,
    };
    rest.0 = &rest.0[1..];
    let hours = rest.digits(1, 2)?;
    let minutes = match rest.byte(b':') {
        Some(()) => rest.digits(2, 2)?,
        None => 0,
    };
    let total = hours * 60 + minutes;
    if !rest.0.is_empty() {
        return None;
    }
    if total >= 24 * 60 {
        return Some(Err("a time zone is less than a day from UTC"));
    }
    let sign = if is_negative && total > 0 { '-' } else { '+' };
    Some(Ok(format!("{sign}{:02}:{:02}", total / 60, total % 60)))
}

fn invalid_date(year: u32, month: u32, day: u32) -> Option<&'static str> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return Some("a month must be from 1 to 12"),
    };
    match (year, day) {
        (0, _) => Some("a year must be 1 or later"),
        (_, day) if day == 0 || day > days => Some("the month has no such day"),
        _ => None,
    }
}

struct Cursor<'text>(&'text [u8]);

impl Cursor<'_> {
    fn byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn blanks(&mut self) -> usize {
        let count = self.0.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.0 = &self.0[count..];
        count
    }

    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        self.counted(min, max).map(|(number, _)| number)
    }

    fn counted(&mut self, min: usize, max: usize) -> Option<(u32, usize)> {
        let count = self.0.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let number = digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        (count >= min).then_some((number, count))
    }

    /// Microseconds; further digits are ignored.
    fn fraction(&mut self) -> u32 {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let six = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
        six.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    }
}
