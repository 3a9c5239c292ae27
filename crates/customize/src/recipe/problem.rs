use std::ops::Range;

use crate::elsewhere::Elsewhere;

/// Something wrong with a recipe, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// The bytes of the text that it is about, where there are some.
    pub span: Option<Range<usize>>,
    /// What there is to say of these bytes.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span: Some(span), label: None, hint: None }
    }

    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// What is meant by a word that another program has, or else the nearest one, or what there is to choose from.
pub(super) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match Elsewhere::find(word) {
        Some(elsewhere) => elsewhere.in_recipe().to_owned(),
        None => suggestion(word, known),
    }
}

/// `did you mean …?`, or else what there is to choose from.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    words::did_you_mean(word, known.clone()).unwrap_or_else(|| {
        let known: Vec<String> = known.into_iter().map(|candidate| format!("`{candidate}`")).collect();
        match known.len() {
            0 => "there are none".to_owned(),
            1 => format!("only {} is known here", known[0]),
            _ => format!("known here are {}", known.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_other_words_are_not() {
        assert_eq!(suggestion("outptu", ["output", "base"]), "did you mean `output`?");
        assert_eq!(suggestion("modes", ["mode", "to"]), "did you mean `mode`?");
        assert_eq!(suggestion("zebra", ["output", "base"]), "known here are `output`, `base`");
    }
}
