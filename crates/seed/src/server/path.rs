//! The path in an address.

/// The decoded segments of a path, none of them `..`; `None` if it is malformed.
///
/// A query after it is ignored, and so are empty segments.
pub(super) fn segments(target: &str) -> Option<Vec<String>> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    // RFC 9112, "absolute-form": with the host before it, as in a request to a proxy.
    let path = match path.split_once("://") {
        Some(("http" | "https", rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        _ => path,
    };
    let segments = path.strip_prefix('/')?.split('/').filter(|segment| !segment.is_empty());
    let segments: Option<Vec<String>> = segments.map(decode).collect();
    let leads_down = |segment: &String| {
        segment != "." && segment != ".." && !segment.contains(['/', '\\']) && !segment.chars().any(char::is_control)
    };
    segments.filter(|segments| segments.iter().all(leads_down))
}

/// Decodes `%41`; `None` if a `%` is not followed by a number, or if the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        if *first == b'%' {
            let digits = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_down_or_nowhere() {
        let of = |target: &str| segments(target).map(|segments| segments.join("|"));
        for (target, expected) in [
            ("/", ""),
            ("/a/b", "a|b"),
            ("//a//b/", "a|b"),
            ("/52%3a54%3A00/x?y=../z", "52:54:00|x"),
            ("http://host/a", "a"),
            ("http://host", ""),
            ("/a%20b", "a b"),
            ("/...", "..."),
        ] {
            assert_eq!(of(target).as_deref(), Some(expected), "{target}");
        }
        for target in [
            "",
            "a",
            "*",
            "/..",
            "/a/../b",
            "/%2e%2e/a",
            "/.%2E",
            "/.",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/a%0a",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/%ff",
            "ftp://host/a",
        ] {
            assert_eq!(of(target), None, "{target}");
        }
    }
}
