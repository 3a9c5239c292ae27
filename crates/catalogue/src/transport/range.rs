//! Parts of files in HTTP (RFC 9110, 14).

use crate::cache::Origin;

use super::web::{Again, Answer, Failed};

/// A `Content-Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentRange {
    /// `bytes FIRST-LAST/TOTAL`; the total may be `*`.
    Part { first: u64, last: u64, total_bytes: Option<u64> },
    /// `bytes */TOTAL`: the requested part does not exist.
    Unsatisfied { total_bytes: u64 },
}

impl ContentRange {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
        let (range, total) = text.trim().strip_prefix("bytes ")?.trim_start().split_once('/')?;
        if range == "*" {
            return Some(Self::Unsatisfied { total_bytes: number(total)? });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (number(first)?, number(last)?);
        let total_bytes = if total == "*" { None } else { Some(number(total)?) };
        let is_sound = first <= last && total_bytes.is_none_or(|total| last < total);
        is_sound.then_some(Self::Part { first, last, total_bytes })
    }
}

/// The version of the file in an answer.
pub(super) fn origin_of(answer: &Answer, total_bytes: Option<u64>) -> Origin {
    let text = |name| answer.header(name).map(|value| value.trim().to_owned());
    Origin {
        url: answer.url.as_str().to_owned(),
        // Files with the same weak tag may have different bytes.
        etag: text("etag").filter(|tag| tag.starts_with('"')),
        last_modified: text("last-modified"),
        total_bytes,
    }
}

/// The headers that request the rest after `have_bytes`, if the version is still that of `origin`.
pub(super) fn headers(have_bytes: u64, origin: Option<&Origin>) -> Vec<(&'static str, String)> {
    if have_bytes == 0 {
        return Vec::new();
    }
    let mut headers = vec![("range", format!("bytes={have_bytes}-"))];
    // Without a version, or from another address, the digest shows whether the bytes belong together.
    let validator = origin.and_then(|origin| origin.etag.as_ref().or(origin.last_modified.as_ref()));
    headers.extend(validator.map(|validator| ("if-range", validator.clone())));
    headers
}

/// Checks that a 206 is what [`headers`] requested, and returns the size of the whole file.
///
/// # Errors
///
/// If the part cannot be continued with this server and must be discarded.
pub(super) fn check(answer: &Answer, have_bytes: u64, origin: Option<&Origin>) -> Result<Option<u64>, Failed> {
    let refuse = |problem: String| Err(Failed::answer(&answer.url, problem, Again::AtOnce));
    let Some(text) = answer.header("content-range") else {
        return refuse("the answer is a part of the file (206) without its position".to_owned());
    };
    let Some(ContentRange::Part { first, last, total_bytes }) = ContentRange::parse(text) else {
        return refuse(format!("its Content-Range is `{text}`"));
    };
    if first != have_bytes {
        return refuse(format!("its part of the file begins at {first}, not at {have_bytes}"));
    }
    if answer.length_bytes()?.is_some_and(|length| length != last - first + 1) {
        return refuse(format!("its Content-Range is `{text}`, which does not match its Content-Length"));
    }
    let now = origin_of(answer, total_bytes);
    let before = origin.filter(|origin| origin.url == now.url);
    let differs = |before: Option<&String>, now: Option<&String>| before.is_some() && now.is_some() && before != now;
    if let Some(before) = before {
        let has_changed = differs(before.etag.as_ref(), now.etag.as_ref())
            || differs(before.last_modified.as_ref(), now.last_modified.as_ref());
        let total_differs = matches!((before.total_bytes, total_bytes), (Some(before), Some(now)) if before != now);
        if has_changed || total_differs {
            return refuse("the file on the server has changed since its first bytes were fetched".to_owned());
        }
    }
    // If a server sends less than the rest, the next request continues.
    Ok(total_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_those_of_the_rfc() {
        let part = |first, last, total_bytes| Some(ContentRange::Part { first, last, total_bytes });
        for (text, range) in [
            // The examples of RFC 9110, 14.4.
            ("bytes 42-1233/1234", part(42, 1233, Some(1234))),
            ("bytes 42-1233/*", part(42, 1233, None)),
            ("bytes */1234", Some(ContentRange::Unsatisfied { total_bytes: 1234 })),
            ("bytes 500-499/1234", None),
            ("bytes 0-1234/1234", None),
            ("bytes */*", None),
            ("bytes 0-+1/9", None),
            ("items 0-1/2", None),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), range, "{text}");
        }
    }

    #[test]
    fn ranges_are_asked_for_with_the_strongest_validator() {
        let origin =
            Origin { etag: Some("\"a\"".to_owned()), last_modified: Some("then".to_owned()), ..Origin::default() };
        assert_eq!(headers(0, Some(&origin)), []);
        let range = ("range", "bytes=7-".to_owned());
        assert_eq!(headers(7, Some(&origin)), [range.clone(), ("if-range", "\"a\"".to_owned())]);
        let origin = Origin { etag: None, ..origin };
        assert_eq!(headers(7, Some(&origin)), [range.clone(), ("if-range", "then".to_owned())]);
        assert_eq!(headers(7, None), [range]);
    }
}
