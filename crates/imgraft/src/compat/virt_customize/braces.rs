//! `{a,b}` in a pattern, which stands for several patterns.

/// The most patterns that one may stand for.
const LIMIT: usize = 4096;

/// The patterns that `pattern` stands for, in their order. Braces that are not closed, or have nothing in
/// them, stand for themselves, as do all of them where there would be too many.
pub(super) fn expand(pattern: &[u8]) -> Vec<Vec<u8>> {
    let mut done = Vec::new();
    let mut pending = vec![pattern.to_vec()];
    while let Some(pattern) = pending.pop() {
        let Some(brace) = first_brace(&pattern) else {
            done.push(pattern);
            continue;
        };
        if done.len() + pending.len() + brace.choices.len() > LIMIT {
            return vec![pattern];
        }
        let (before, after) = (&pattern[..brace.start], &pattern[brace.end..]);
        // The first one is to be the next.
        pending.extend(brace.choices.iter().rev().map(|choice| [before, choice, after].concat()));
    }
    done
}

struct Brace {
    start: usize,
    end: usize,
    choices: Vec<Vec<u8>>,
}

/// The first `{…}` that is closed and is not `{}`.
fn first_brace(pattern: &[u8]) -> Option<Brace> {
    let mut start = 0;
    while start < pattern.len() {
        match pattern[start] {
            b'\\' => start += 1,
            b'{' if !pattern[start..].starts_with(b"{}") => {
                if let Some((end, choices)) = choices(pattern, start + 1) {
                    return Some(Brace { start, end, choices });
                }
            }
            _ => {}
        }
        start += 1;
    }
    None
}

/// What is between the commas from `start` on, and where the brace that was opened before it is closed.
fn choices(pattern: &[u8], start: usize) -> Option<(usize, Vec<Vec<u8>>)> {
    let (mut depth, mut from, mut found) = (0, start, Vec::new());
    let mut at = start;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                found.push(pattern[from..at].to_vec());
                return Some((at + 1, found));
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                found.push(pattern[from..at].to_vec());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
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
                expand(pattern.as_bytes()).into_iter().map(|one| String::from_utf8(one).unwrap()).collect();
            assert_eq!(expanded.join(" "), expected, "{pattern}");
        }
        assert_eq!(expand(&b"{a,b}".repeat(20)).len(), 1);
    }
}
