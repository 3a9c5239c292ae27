//! Tags, as far as PyYAML's `SafeLoader` knows them.

use super::resolve::Kind;

/// What `!!` stands for.
pub(super) const CORE: &str = "tag:yaml.org,2002:";

/// The tag of a node, explicit or by its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Scalar(Kind),
    Binary,
    Sequence,
    Mapping,
    Set,
    Pairs,
    /// A tag that the loader rejects.
    Unknown(String),
}

impl Tag {
    /// The explicit tag; `None` for `!`, with which the value's form decides.
    pub(super) fn written(whole: &str) -> Option<Self> {
        if whole == "!" || whole.is_empty() {
            return None;
        }
        Some(match whole.strip_prefix(CORE) {
            Some("null") => Self::Scalar(Kind::Null),
            Some("bool") => Self::Scalar(Kind::Bool),
            Some("int") => Self::Scalar(Kind::Integer),
            Some("float") => Self::Scalar(Kind::Float),
            Some("timestamp") => Self::Scalar(Kind::Timestamp),
            Some("str") => Self::Scalar(Kind::String),
            Some("merge") => Self::Scalar(Kind::Merge),
            Some("value") => Self::Scalar(Kind::Value),
            Some("binary") => Self::Binary,
            Some("seq") => Self::Sequence,
            Some("map") => Self::Mapping,
            Some("set") => Self::Set,
            Some("omap" | "pairs") => Self::Pairs,
            Some(other) => Self::Unknown(format!("!!{other}")),
            None => Self::Unknown(whole.to_owned()),
        })
    }
}
