//! The types of scalars without quotes in YAML 1.1, as PyYAML recognises and reads them.

use super::integer::{Integer, MAX_DIGITS};
use super::node::Value;
use super::timestamp::{Timestamp, timestamp};

/// The type of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Integer,
    Float,
    Timestamp,
    /// `<<`, which makes sense only as a key.
    Merge,
    /// `=`, which makes sense only as a key.
    Value,
    String,
}

/// The type of a plain scalar.
pub(super) fn kind(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "<<" => Kind::Merge,
        "=" => Kind::Value,
        _ if boolean(text).is_some() && is_one_case(text) => Kind::Bool,
        _ if is_float(text) => Kind::Float,
        _ if is_integer(text) => Kind::Integer,
        _ if timestamp(text).is_some() => Kind::Timestamp,
        _ => Kind::String,
    }
}

/// The value of a scalar of this type, whatever its form; an error if it has none.
pub(super) fn value(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Null => Ok(Value::Null),
        Kind::Bool => boolean(text).map(Value::Bool).ok_or_else(|| "this is not a boolean".to_owned()),
        Kind::Integer => integer(text).map(Value::Integer),
        Kind::Float => float(text).map(Value::Float).ok_or_else(|| "this is not a number".to_owned()),
        Kind::Timestamp => match timestamp(text) {
            Some(Timestamp::Valid(text)) => Ok(Value::Timestamp(text)),
            Some(Timestamp::Invalid(problem)) => Err(format!("this is read as a date, but {problem}")),
            None => Err("this is not a date".to_owned()),
        },
        Kind::Merge => Err("`<<` without quotes is only a key".to_owned()),
        Kind::Value => Err("`=` without quotes is only a key".to_owned()),
        Kind::String => Ok(Value::String(text.to_owned())),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Some(true),
        "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// `yes`, `Yes` and `YES`, but not `yEs`.
fn is_one_case(text: &str) -> bool {
    let rest = text.get(1..).unwrap_or_default();
    let is_lower = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
    is_lower(rest) || text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// Whether there is at least one, and each is one of `is_one`.
fn are(text: &str, is_one: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_one)
}

fn is_digit_or_line(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// Digits with `_` between them, beginning with a digit.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(is_digit_or_line)
}

/// `:59`, at least once.
fn are_sixtieths<'text>(parts: impl Iterator<Item = &'text str>) -> bool {
    let mut count = 0;
    for part in parts {
        count += 1;
        match part.as_bytes() {
            [low] if low.is_ascii_digit() => {}
            [b'0'..=b'5', low] if low.is_ascii_digit() => {}
            _ => return false,
        }
    }
    count > 0
}

fn is_integer(text: &str) -> bool {
    let digits = unsigned(text);
    if let Some(binary) = digits.strip_prefix("0b") {
        return are(binary, |byte| matches!(byte, b'0' | b'1' | b'_'));
    }
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return are(hexadecimal, |byte| byte.is_ascii_hexdigit() || byte == b'_');
    }
    match digits.strip_prefix('0') {
        Some(octal) => octal.bytes().all(|byte| matches!(byte, b'0'..=b'7' | b'_')),
        None => {
            let (first, sixtieths) = digits.split_once(':').map_or((digits, None), |(a, b)| (a, Some(b)));
            is_number(first) && sixtieths.is_none_or(|parts| are_sixtieths(parts.split(':')))
        }
    }
}

fn is_float(text: &str) -> bool {
    let digits = unsigned(text);
    match digits {
        ".inf" | ".Inf" | ".INF" => return true,
        ".nan" | ".NaN" | ".NAN" => return digits == text,
        _ => {}
    }
    if let Some((whole, fraction)) = digits.split_once('.') {
        if let Some((first, sixtieths)) = whole.split_once(':') {
            return is_number(first) && are_sixtieths(sixtieths.split(':')) && fraction.bytes().all(is_digit_or_line);
        }
        let fraction = match fraction.split_once(['e', 'E']) {
            None => fraction,
            Some((fraction, exponent)) => match exponent.strip_prefix(['-', '+']) {
                Some(exponent) if are(exponent, |byte| byte.is_ascii_digit()) => fraction,
                _ => return false,
            },
        };
        return match whole {
            // PyYAML has no sign here.
            "" => digits == text && is_number(fraction),
            whole => is_number(whole) && fraction.bytes().all(is_digit_or_line),
        };
    }
    false
}

fn integer(text: &str) -> Result<Integer, String> {
    let text = text.replace('_', "");
    let digits = unsigned(&text);
    if digits.len() > MAX_DIGITS {
        return Err(format!("this integer is too long: digits={}, the limit is {MAX_DIGITS}", digits.len()));
    }
    let number = if let Some(binary) = digits.strip_prefix("0b") {
        Integer::from_digits(binary, 2)
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        Integer::from_digits(hexadecimal, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        // Python accepts the prefix, too.
        Integer::from_digits(digits.strip_prefix("0o").unwrap_or(digits), 8)
    } else if digits.contains(':') {
        sexagesimal(digits)
    } else {
        Integer::from_digits(digits, 10)
    };
    number.map(|number| number.negated(text.starts_with('-'))).ok_or_else(|| "this is not an integer".to_owned())
}

fn sexagesimal(digits: &str) -> Option<Integer> {
    let mut parts = digits.split(':');
    let mut number = Integer::from_digits(parts.next()?, 10)?;
    for part in parts {
        number.push(60, part.parse().ok()?);
    }
    Some(number)
}

fn float(text: &str) -> Option<f64> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let digits = unsigned(&text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let number = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => return Some(f64::NAN),
        _ if digits.contains(':') => {
            let parts: Option<Vec<f64>> = digits.split(':').map(|part| part.parse().ok()).collect();
            // From the lowest on, in PyYAML's order of additions, which affects the last bit.
            let mut base = 1.0;
            parts?.into_iter().rev().fold(0.0, |sum, part| {
                let sum = sum + part * base;
                base *= 60.0;
                sum
            })
        }
        _ => digits.parse().ok()?,
    };
    Some(sign * number)
}
