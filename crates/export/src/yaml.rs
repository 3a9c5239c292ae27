//! Texts in YAML.

use std::fmt::{self, Write};

use askama::filters::Escaper;

/// Text as one scalar of YAML, in double quotes.
///
/// JSON's strings are such scalars: `"`, `\` and control characters are escaped in both in the same way.
/// Numbers would be text, too: a template writes them with `|safe`.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Escaper for Scalar {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        to.write_str(&serde_json::Value::from(text).to_string())
    }
}
