//! The records of pax: `LENGTH KEY=VALUE` and a newline, each.
//!
//! POSIX, "pax Extended Header". LENGTH is a decimal number of bytes, which includes LENGTH itself and the newline. So a
//! value may contain anything, even newlines and text that looks like a record:
//!
//! ```
//! let bytes = b"28 comment=two\n9 size=lines\n10 size=7\n";
//! let records: Vec<_> = image::pax::records(bytes).collect::<Result<_, _>>()?;
//! assert_eq!(records, [(&b"comment"[..], &b"two\n9 size=lines"[..]), (b"size", b"7")]);
//! # Ok::<(), image::pax::Malformed>(())
//! ```

/// A record with an invalid form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pax record at byte {offset} is not `LENGTH KEY=VALUE` and a newline")]
pub struct Malformed {
    /// Where the record begins, in bytes.
    pub offset: usize,
}

/// The keys and values of `bytes`, in their order. An error is the last item.
///
/// # Errors
///
/// [`Malformed`] for a record with an invalid form, or longer than `bytes`.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Malformed>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let start = offset;
        // Nothing follows the end: so an error is the last item.
        offset = bytes.len();
        let Some((length, key, value)) = record(rest) else { return Some(Err(Malformed { offset: start })) };
        offset = start + length;
        Some(Ok((key, value)))
    })
}

/// Length in bytes, key and value of the record that `bytes` begins with.
fn record(bytes: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    // A length with more digits than any length in memory is invalid.
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let digits = &bytes[..space];
    let length: usize =
        digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()?;
    let pair = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|&byte| byte == b'=').filter(|&equals| equals > 0)?;
    Some((length, &pair[..equals], &pair[equals + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_lies_about_its_length_is_refused_where_it_begins() {
        for wrong in [
            &b"9 a=b\n"[..],
            b"5 a=b\n",
            b"0 a=b\n",
            b"2 a=b\n",
            b" a=b\n",
            b"+6 a=b\n",
            b"6 a=bc",
            b"5 =b\n",
            b"18446744073709551617 a=b\n",
            b"99999999999999999999999999999999 a=b\n",
            b"\0\0\0",
        ] {
            assert_eq!(records(wrong).collect::<Vec<_>>(), [Err(Malformed { offset: 0 })], "{wrong:?}");
            let after = [b"6 a=b\n", wrong].concat();
            let all: Vec<_> = records(&after).collect();
            assert_eq!(all, [Ok((&b"a"[..], &b"b"[..])), Err(Malformed { offset: 6 })], "{wrong:?}");
        }
        assert_eq!(records(b"").count(), 0);
        assert_eq!(records(b"5 a=\n").next(), Some(Ok((&b"a"[..], &b""[..]))));
    }
}
