//! YAML: what aliases, merges, tags and archives make of a small text.

use seed::yaml::{MAX_DEPTH, parse};

use crate::exercise::look;
use crate::{confined, has_limit, looked_at};

/// `lines` lists, each of which is as many brackets around the one before.
fn tower(lines: usize, brackets: usize) -> String {
    let mut text = format!("a0: &a0 {}{}\n", "[".repeat(brackets), "]".repeat(brackets));
    for line in 1..lines {
        let (open, close) = ("[".repeat(brackets), "]".repeat(brackets));
        text += &format!("a{line}: &a{line} {open} *a{} {close}\n", line - 1);
    }
    text
}

#[test]
fn aliases_bring_their_depth_with_them() {
    confined("yaml::aliases_bring_their_depth_with_them", || {
        for (lines, brackets) in [(85, 120), (3000, 1), (2, MAX_DEPTH - 1)] {
            let text = tower(lines, brackets);
            let error = parse(&text).unwrap_err();
            assert!(error.is_limit && error.message.contains("deep"), "{error}");
            assert!(text[error.span.clone()].starts_with("*a"), "the alias is what is too deep: {:?}", error.span);
            look(format!("#cloud-config\n{text}").as_bytes());
        }
        // The same in keys, in pairs without braces, and in merges.
        let mut keys = "a0: &a0 {k: v}\n".to_owned();
        let mut pairs = "a0: &a0 [v]\n".to_owned();
        let mut merges = "a0: &a0 {k: v}\n".to_owned();
        for line in 1..=MAX_DEPTH {
            let before = line - 1;
            keys += &format!("a{line}: &a{line} {{ ? *a{before} : v }}\n");
            pairs += &format!("a{line}: &a{line} [? *a{before} : v]\n");
            merges += &format!("a{line}: &a{line} {{<<: *a{before}}}\n");
        }
        for text in [keys, pairs, merges] {
            assert!(parse(&text).unwrap_err().is_limit);
        }
        for piece in ["[? ", "{? ", "[a: "] {
            assert!(parse(&piece.repeat(20_000)).is_err());
        }
    });
}

#[test]
fn what_is_as_deep_as_may_be_is_read() {
    // The mapping at the top is one, and the alias is in the list that is the deepest.
    let text = tower(2, MAX_DEPTH / 2 - 1);
    assert!(parse(&text).is_ok(), "{text}");
    assert!(parse("a: &a [x]\nb: &b {c: *a, d: *a}\ne: {<<: *b}\n").is_ok());
    let at_limit = format!("a: &a [x]\nb: {} *a {}\n", "[".repeat(MAX_DEPTH - 2), "]".repeat(MAX_DEPTH - 2));
    assert!(parse(&at_limit).is_ok());
    let beyond = format!("a: &a [x]\nb: {} *a {}\n", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert!(parse(&beyond).unwrap_err().is_limit);
}

#[test]
fn a_long_text_that_aliases_share_is_counted_each_time() {
    confined("yaml::a_long_text_that_aliases_share_is_counted_each_time", || {
        let long = format!("a: &a '{}'\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
        assert!(parse(&long).unwrap_err().is_limit);
        look(format!("#cloud-config\n{long}").as_bytes());
    });
}

#[test]
fn merges_that_bring_nothing_are_counted_too() {
    confined("yaml::merges_that_bring_nothing_are_counted_too", || {
        // Each of the later ones looks at all of the first again.
        let nothings = "<<: [], ".repeat(60_000);
        let text = format!("a: &a {{{nothings}}}\nb: [{}]\n", "{<<: *a}, ".repeat(60_000));
        assert!(parse(&text).unwrap_err().is_limit);
    });
}

#[test]
fn a_tags_handle_is_not_copied_for_each_that_uses_it() {
    confined("yaml::a_tags_handle_is_not_copied_for_each_that_uses_it", || {
        let prefix = "x".repeat(200_000);
        let text = format!("%TAG !a! {prefix}\n---\n[{}]\n", "!a!b c, ".repeat(100_000));
        assert!(parse(&text).unwrap_err().is_limit);
        assert!(parse("%TAG !a! tag:yaml.org,2002:\n---\n!a!str 1\n").is_ok());
    });
}

#[test]
fn floods_end() {
    confined("yaml::floods_end", || {
        let many = |count: usize, piece: &dyn Fn(usize) -> String| (0..count).map(piece).collect::<String>();
        for text in [
            many(10_000, &|number| format!("key{number}: &anchor{number} value\n")),
            many(50_000, &|_| "same: value\n".to_owned()),
            many(50_000, &|number| format!("--- {number}\n")),
            many(50_000, &|_| "--- ".to_owned()),
            many(50_000, &|number| format!("%TAG !a{number}! b\n")),
            many(50_000, &|number| format!("- !tag{number} &a{number} x\n")),
            format!("a: {}\n", "1".repeat(1 << 20)),
            format!("a: 1{}.5\n", ":1".repeat(1 << 19)),
            format!("a: \"{}\"\n", "\\u0041".repeat(1 << 17)),
            format!("a: |\n{}", "  x\n\n".repeat(1 << 17)),
            format!("{}: a\n", "k".repeat(1 << 20)),
        ] {
            let _ = parse(&text);
            looked_at(format!("#cloud-config\n{text}").as_bytes());
        }
        // More than is one text's.
        assert!(parse(&"- x\n".repeat(600_000)).unwrap_err().is_limit);
    });
}

/// The text as one in quotes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[test]
fn archives_in_archives_end() {
    confined("yaml::archives_in_archives_end", || {
        // A hundred times the same in each, four deep: a hundred million parts of a kilobyte.
        let mut text = "#cloud-config\n{}\n".to_owned();
        for _ in 0..4 {
            text = format!("#cloud-config-archive\n- &a {}\n{}", quoted(&text), "- *a\n".repeat(99));
        }
        assert!(has_limit(&looked_at(text.as_bytes())));
        // Each is as long as all within it.
        let mut lines = vec!["#cloud-config-archive".to_owned(), "- '#!/bin/sh'".to_owned()];
        for _ in 0..500 {
            lines = [vec!["#cloud-config-archive".to_owned(), "- |".to_owned()], indented(lines)].concat();
        }
        let report = looked_at((lines.join("\n") + "\n").as_bytes());
        assert!(report.findings.iter().any(|finding| finding.message.contains("more than 8 deep")));
        let whole =
            format!("#cloud-config-archive\n- &a {}\n{}", quoted(&"#!/bin/sh\n".repeat(6000)), "- *a\n".repeat(999));
        looked_at(whole.as_bytes());
    });
}

fn indented(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!(" {line}")).collect()
}

#[test]
fn an_archive_in_an_archive_is_looked_at() {
    let text = "#cloud-config-archive\n- |\n  #cloud-config-archive\n  - |\n    #cloud-config\n    hostnam: a\n";
    let report = looked_at(text.as_bytes());
    assert!(report.findings.iter().any(|finding| finding.message.contains("`hostnam`")), "{:?}", report.findings);
}

/// A header that somebody meant is not looked for in a line of megabytes, nor a name in one.
#[test]
fn long_lines_are_not_held_against_names() {
    confined("yaml::long_lines_are_not_held_against_names", || {
        let long = "cloudconfig".repeat(2 << 20);
        looked_at(long.as_bytes());
        looked_at(format!("#cloud-config\n'{}': x\n", &long[..4 << 20]).as_bytes());
        let head = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n";
        looked_at(format!("{head}Content-Type: text/{}\n\nx\n--x--\n", &long[..4 << 20]).as_bytes());
    });
}
