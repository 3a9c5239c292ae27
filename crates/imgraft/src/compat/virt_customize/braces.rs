//! `{a,b}` in a pattern, which stands for several patterns.

/// The most patterns that one may stand for.
pub(super) const LIMIT: usize = 4096;
/// The most bytes that are read and written on the way to them: parts in parts are copied for each of them.
const LIMIT_BYTES: usize = 64 << 20;

/// The patterns that `pattern` stands for, in their order; none where they would be too many. Braces that are not
/// closed, or have nothing in them, stand for themselves.
pub(super) fn expand(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut done = Vec::new();
    let mut pending = vec![pattern.to_vec()];
    let mut left_bytes = LIMIT_BYTES;
    while let Some(pattern) = pending.pop() {
        let Some(brace) = first_brace(&pattern) else {
            done.push(pattern);
            continue;
        };
        let (before, after) = (&pattern[..brace.start], &pattern[brace.end..]);
        let count = brace.choices.len();
        let size_bytes = pattern.len() + count * (before.len() + after.len());
        left_bytes = left_bytes.checked_sub(size_bytes)?;
        if done.len() + pending.len() + count > LIMIT {
            return None;
        }
        // The first one is to be the next.
        pending.extend(brace.choices.iter().rev().map(|choice| [before, choice, after].concat()));
    }
    Some(done)
}

struct Brace<'pattern> {
    start: usize,
    end: usize,
    choices: Vec<&'pattern [u8]>,
}

/// The first `{…}` that is closed and is not `{}`: found in one pass, whatever is open.
fn first_brace(pattern: &[u8]) -> Option<Brace<'_>> {
    let mut open = Vec::new();
    let mut first: Option<(usize, usize)> = None;
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            b'{' => open.push(at),
            b'}' => {
                let closed = open.pop().filter(|start| start + 1 < at).map(|start| (start, at));
                first = match (first, closed) {
                    (Some(first), Some(closed)) => Some(first.min(closed)),
                    (first, closed) => first.or(closed),
                };
            }
            _ => {}
        }
        at += 1;
    }
    let (start, close) = first?;
    Some(Brace { start, end: close + 1, choices: choices(&pattern[start + 1..close]) })
}

/// The parts of what is in braces, between its commas.
fn choices(inner: &[u8]) -> Vec<&[u8]> {
    let (mut depth, mut from, mut found) = (0_usize, 0, Vec::new());
    let mut at = 0;
    while at < inner.len() {
        match inner[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                found.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found.push(&inner[from..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is what `bash -c 'echo PATTERN'` says.
    #[test]
    fn braces_stand_for_each_of_their_parts() {
        for (pattern, expected) in [
            ("/a", "/a"),
            ("/{a,b}", "/a /b"),
            ("/{a,b}{1,2}", "/a1 /a2 /b1 /b2"),
            ("/{a,{b,c}d}", "/a /bd /cd"),
            ("/{a,}", "/a /"),
            ("/{}", "/{}"),
            ("/{a", "/{a"),
            ("/\\{a,b}", "/\\{a,b}"),
        ] {
            let expanded: Vec<String> =
                expand(pattern.as_bytes()).unwrap().into_iter().map(|one| String::from_utf8(one).unwrap()).collect();
            assert_eq!(expanded.join(" "), expected, "{pattern}");
        }
    }

    #[test]
    fn braces_cannot_take_the_time_or_the_memory_of_the_host() {
        // As many as one may stand for.
        assert_eq!(expand(&b"{a,b}".repeat(12)).unwrap().len(), LIMIT);
        assert_eq!(expand(&b"{a,b}".repeat(13)), None);
        // Of a MiB each: what is open is looked for once, and what is copied for each part is counted.
        let open = b"{".repeat(1 << 20);
        assert_eq!(expand(&open), Some(vec![open]));
        let long = [b"{a,b}".repeat(11), b"x".repeat(1 << 20)].concat();
        let nested = [b"{a,".repeat(200_000), b"}".repeat(200_000)].concat();
        for pattern in [b"{a}".repeat(300_000), long, nested, [b"{", &b",".repeat(1 << 20)[..], b"}"].concat()] {
            assert_eq!(expand(&pattern), None);
        }
    }
}
