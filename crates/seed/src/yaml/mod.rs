//! YAML as cloud-init reads it: through PyYAML's `SafeLoader`, which is YAML 1.1.
//!
//! A text becomes a tree in three steps. Take this one:
//!
//! ```text
//! users:
//! - name: &me ada
//!   mode: 0644
//! ```
//!
//! 1. `scanner` cuts it into tokens. It recognises a key when it reaches the `:`, and a block when the indentation grows:
//!    `BlockMappingStart Key Scalar(users) Value`, `BlockEntry BlockMappingStart Key Scalar(name) Value Anchor(me)
//!    Scalar(ada) Key Scalar(mode) Value Scalar(0644)`, `BlockEnd BlockEnd`. As the `-` is not indented, the list has no
//!    start and no end of its own.
//! 2. `compose` builds nodes from tokens: a mapping with the key `users`, whose value is a list with one mapping. For an
//!    alias `*me` it uses the node that `&me` names. Each text without quotes gets a type by its form (`resolve`): `ada`
//!    is a string, and `0644` is an integer because it looks like one.
//! 3. `construct` makes values: `0644` is octal, so it is 420; `"0644"` in quotes would be a string. In the same way
//!    `yes` is true, `1:30` is 90 (base 60) and `2030-12-31` is a date.
//!
//! [`parse`] does all three. Each [`Node`] keeps its place in the text, `0644` here the bytes 31 to 34, so that a finding
//! in the tree can be shown in the text. A key that occurs twice has its last value; the tree reports the other ones.
//!
//! Refused besides what PyYAML refuses: texts, trees and nesting beyond the stated bounds, and an alias inside the value
//! that it names.

mod compose;
mod construct;
mod integer;
mod node;
mod position;
mod resolve;
mod scan_scalars;
mod scan_words;
mod scanner;
mod tag;
mod text;
mod timestamp;

pub(crate) use construct::key_text;
pub use construct::{Duplicate, Tree, parse};
pub use integer::Integer;
pub use node::{Entry, Node, Style, Value};
pub use position::{Position, Positions};

pub(crate) use text::named;
pub(crate) use timestamp::is_date;

use std::ops::Range;

/// The longest text that is parsed.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// The most nodes of a tree, counting what aliases stand for.
pub const MAX_NODES: usize = 500_000;
/// The deepest nesting, counting what aliases stand for. Python's own stack ends at about 300.
pub const MAX_DEPTH: usize = 128;
/// The longest tag, with its handle expanded, in bytes: three times as long as the longest known one.
const MAX_TAG_BYTES: usize = 256;

/// Why a text is not valid YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether a bound of this parser was exceeded, not a rule of YAML broken.
    pub is_limit: bool,
}

impl Error {
    fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span, hint: None, is_limit: false }
    }

    fn limit(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { is_limit: true, ..Self::new(message, span) }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
