use std::str::FromStr;

/// A SHA-256 in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sha256(String);

/// A text is not a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a SHA-256: expected 64 hexadecimal digits")]
pub struct Sha256Error {
    /// The text.
    pub text: String,
}

impl Sha256 {
    /// The digits, in lower case.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Sha256Error> {
        let is_digest = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_digest { Ok(Self(text.to_ascii_lowercase())) } else { Err(Sha256Error { text: text.to_owned() }) }
    }
}
