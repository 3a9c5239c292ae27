//! A report as text, as JUnit's XML, and as a page.

mod junit;
mod page;
#[cfg(test)]
mod sample;
mod text;

pub use junit::junit;
pub use page::{Made, page};
pub use text::text;

use std::fmt::Write;

/// `text` as it may stand in XML and HTML, in a text and in an attribute. What no XML can have is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(letter),
            '\0'..' ' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {}
            // What changes the direction of what follows could make a line say something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(escaped, "[U+{:04X}]", u32::from(letter));
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// `text` as HTML, with what stands between two backticks as code.
fn marked(text: &str) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('`') {
        let Some((code, after)) = behind.split_once('`') else { break };
        marked.push_str(&escaped(before));
        let _ = write!(marked, "<code>{}</code>", escaped(code));
        rest = after;
    }
    marked + &escaped(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code() {
        assert_eq!(marked("`a <b>` says ``, a ` and c"), "<code>a &lt;b&gt;</code> says <code></code>, a ` and c");
        assert_eq!(marked("no code"), "no code");
    }

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(escaped("<a b='c' d=\"e\">&amp;"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;amp;");
        assert_eq!(escaped("a\x1b[0m\u{9b}b\u{202e}c\n\t…"), "a[0mb[U+202E]c\n\t…");
    }
}
