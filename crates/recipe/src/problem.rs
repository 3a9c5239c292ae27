use std::ops::Range;

use crate::elsewhere::Elsewhere;

/// Something that is wrong with a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where it is: these bytes of the text.
    pub span: Option<Range<usize>>,
    /// A remark on these bytes.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// `message`, about the bytes `span` of the text.
    pub fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span: Some(span), label: None, hint: None }
    }

    /// Adds a remark on the bytes.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A hint for somebody who wrote `word`: what another program's word is called here, or else a [`suggestion`].
pub fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match Elsewhere::find(word) {
        Some(elsewhere) => elsewhere.in_recipe().to_owned(),
        None => suggestion(word, known),
    }
}

/// `did you mean …?` with the nearest word of `known`, or else all of them.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    words::did_you_mean(word, known.clone()).unwrap_or_else(|| {
        let known: Vec<String> = known.into_iter().map(|candidate| format!("`{candidate}`")).collect();
        let one_of = if known.len() > 1 { "one of " } else { "" };
        format!("expected {one_of}{}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_other_words_are_not() {
        assert_eq!(suggestion("outptu", ["output", "base"]), "did you mean `output`?");
        assert_eq!(suggestion("modes", ["mode", "to"]), "did you mean `mode`?");
        assert_eq!(suggestion("zebra", ["output", "base"]), "expected one of `output`, `base`");
    }
}
