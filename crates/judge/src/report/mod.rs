//! A report as text, as JUnit's XML, and as a page.

mod junit;
mod page;
#[cfg(test)]
mod sample;
mod text;

pub use junit::junit;
pub use page::{Made, page};
pub use text::text;

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};

/// `text` as a report may show it: without control characters, and with the name of each character that changes the
/// direction of what follows it, because such a character could make a line say something else.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' => shown.push(letter),
            '\0'..' ' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {}
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(shown, "[U+{:04X}]", u32::from(letter));
            }
            _ => shown.push(letter),
        }
    }
    shown
}

/// How the templates escape every text (`askama.toml`): as [`shown`], and nothing in it is markup.
#[derive(Clone, Copy, Default)]
struct Shown;

impl Escaper for Shown {
    fn write_escaped_str<W: Write>(&self, to: W, text: &str) -> fmt::Result {
        Html.write_escaped_str(to, &shown(text))
    }
}

/// The parts of `text`, and whether each is code: text between two backticks is.
fn parts(text: &str) -> Vec<(&str, bool)> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('`') {
        let Some((code, end)) = after.split_once('`') else { break };
        parts.extend([(before, false), (code, true)]);
        rest = end;
    }
    parts.push((rest, false));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_backticks_is_code() {
        let found = parts("`a <b>` says ``, a ` and c");
        assert_eq!(found, [("", false), ("a <b>", true), (" says ", false), ("", true), (", a ` and c", false)]);
        assert_eq!(parts("no code"), [("no code", false)]);
    }

    #[test]
    fn no_text_is_markup() {
        let escaped = |text| {
            let mut escaped = String::new();
            Shown.write_escaped_str(&mut escaped, text).unwrap();
            escaped
        };
        assert_eq!(escaped("<a b='c' d=\"e\">&amp;"), "&#60;a b=&#39;c&#39; d=&#34;e&#34;&#62;&#38;amp;");
        assert_eq!(escaped("a\x1b[0m\u{9b}b\u{202e}c\n\t…"), "a[0mb[U+202E]c\n\t…");
    }
}
