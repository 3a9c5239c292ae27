//! What our pages have in common: a skeleton, a style, and how text gets into them.
//!
//! A page is one file that needs nothing else. Its policy (`Content-Security-Policy`) allows the one style and the one
//! script that it has, by their digests, and refuses everything else: requests, fonts, pictures, other scripts.
//!
//! Templates escape each text that they are given, as their `askama.toml` names [`Shown`]. [`Markup`] alone is put in as
//! it is, and templates alone make that.

use std::fmt::{self, Write};

use askama::Template;
use askama::filters::{Escaper, Html, MaybeSafe};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// The style of all pages.
const STYLE: &str = include_str!("../templates/style.css");

/// Which version made a page, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The program's version.
    pub version: String,
    /// The time, for people.
    pub date: String,
}

/// Markup that a template made.
pub type Markup = MaybeSafe<String>;

/// What `template` makes, as a part of another one.
pub fn markup(template: &impl Template) -> Markup {
    // Writing to a `String` cannot fail.
    MaybeSafe::Safe(template.render().unwrap_or_default())
}

/// `text`, in which what is between two backticks is code.
pub fn marked(text: &str) -> Markup {
    #[derive(Template)]
    #[template(path = "marked.html")]
    struct Marked<'a> {
        parts: Vec<(&'a str, bool)>,
    }
    markup(&Marked { parts: parts(text) })
}

/// A page.
pub struct Page<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its content, but for the footer.
    pub body: Markup,
    /// The command that makes it: `imgraft test`.
    pub command: &'a str,
    /// What its style has besides that of all pages.
    pub style: &'static str,
    /// Its script, if it has one.
    pub script: Option<&'static str>,
}

impl Page<'_> {
    /// The page as text.
    pub fn render(&self) -> String {
        #[derive(Template)]
        #[template(path = "page.html")]
        struct Skeleton<'a> {
            page: &'a Page<'a>,
            policy: String,
            style: Markup,
            script: Option<Markup>,
        }
        let style = format!("\n{STYLE}{}", self.style);
        let mut policy =
            format!("default-src 'none'; base-uri 'none'; form-action 'none'; style-src {}", source(&style));
        if let Some(script) = self.script {
            policy.push_str(&format!("; script-src {}", source(script)));
        }
        let script = self.script.map(|script| MaybeSafe::Safe(script.to_owned()));
        let skeleton = Skeleton { page: self, policy, style: MaybeSafe::Safe(style), script };
        // Writing to a `String` cannot fail.
        skeleton.render().unwrap_or_default()
    }
}

/// How a policy names this text.
fn source(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// `text` as a report may show it: without control characters, and with the name of each character that changes the
/// direction of what follows it, because such a character could make a line say something else.
pub fn shown(text: &str) -> String {
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

/// How templates escape every text (`askama.toml`): as [`shown`], and nothing in it is markup.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown;

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
        let MaybeSafe::Safe(marked) = marked("`a <b>` says so") else { panic!("it is markup") };
        assert_eq!(marked, "<code>a &#60;b&#62;</code> says so");
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

    #[test]
    fn the_policy_allows_what_the_page_has_and_nothing_else() {
        let page = Page {
            title: "<b>",
            body: marked("`x`"),
            command: "imgraft test",
            style: "p{}",
            script: Some("let a = 1;"),
        };
        let page = page.render();
        // As `printf 'let a = 1;' | openssl dgst -sha256 -binary | base64` says.
        assert!(page.contains("script-src &#39;sha256-xY6QKfH9PRsQnLz56nj6MBwiK5oHg+im1Jkpdp1x/Ck=&#39;\">"), "{page}");
        assert!(page.contains(
            "default-src &#39;none&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;; style-src &#39;sha256-"
        ));
        assert!(page.contains("<title>&#60;b&#62;</title>") && page.contains("<code>x</code>"));
    }
}
