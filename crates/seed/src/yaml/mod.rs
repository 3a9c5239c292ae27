//! YAML as cloud-init reads it: through PyYAML's `SafeLoader`, which is YAML 1.1.
//!
//! `yes` is a truth value there, `0644` the number 420, `1:30` the number 90, and a later key takes the place
//! of an earlier one without a word. [`parse`] makes a tree of [`Node`]s, each with its place in the text, so
//! that what is found in the tree can be shown in the text.
//!
//! Refused besides what PyYAML refuses: texts, trees and nesting beyond the stated bounds, and an alias in
//! what it stands for.

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

/// The longest text that is looked at.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// The most nodes of a tree, with what aliases stand for.
pub const MAX_NODES: usize = 500_000;
/// The deepest nesting, with what aliases stand for. Python's own stack ends at some 300.
pub const MAX_DEPTH: usize = 128;
/// The longest tag, with what its handle stands for, in bytes: the longest that means something has a third of it.
const MAX_TAG_BYTES: usize = 256;

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it is a bound of ours that was met, and not a rule of YAML.
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
