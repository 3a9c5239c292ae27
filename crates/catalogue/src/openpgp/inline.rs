//! Documents with their signature inside: the cleartext framework of RFC 9580, section 7.

use super::Refusal;
use super::armor::{self, Block};
use super::keyring::Keyring;
use super::verify::{Signed, TEXT, verify_packets};
use crate::time::Time;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// The text of a document, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    /// The signed text, with LF after each line and no blanks before that, because only this is signed.
    pub text: String,
    /// Who signed it.
    pub signed: Signed,
}

/// The text of `document`, which must be signed as a whole: text before it or after the signature is
/// refused.
///
/// # Errors
///
/// Why it is not accepted.
pub fn verify_inline(document: &[u8], keys: &Keyring, now: Time) -> Result<Inline, Refusal> {
    let parts = split(document)?;
    let packets = armor::decode(parts.signature.as_bytes(), Block::Signature)
        .map_err(|what| Refusal::Malformed(what.to_owned()))?;
    // The end of the last line is not signed.
    let document = parts.text.strip_suffix('\n').unwrap_or(&parts.text).as_bytes();
    let signed = verify_packets(document, &packets, &[TEXT], Some(&parts.hashes), keys, now)?;
    Ok(Inline { text: parts.text, signed })
}

/// The text of a document, without verifying its signature.
///
/// # Errors
///
/// If the document does not have this form.
pub(crate) fn unverified_text(document: &[u8]) -> Result<String, Refusal> {
    split(document).map(|parts| parts.text)
}

struct Parts<'a> {
    text: String,
    hashes: Vec<String>,
    signature: &'a str,
}

fn split(document: &[u8]) -> Result<Parts<'_>, Refusal> {
    let malformed = |what: &str| Refusal::Malformed(what.to_owned());
    let document = std::str::from_utf8(document).map_err(|_| malformed("the document is not text"))?;
    let mut lines = document.split_inclusive('\n');
    if lines.next().map(str::trim_end) != Some(BEGIN) {
        return Err(Refusal::NoSignature);
    }
    let mut hashes = Vec::new();
    loop {
        match lines.next().ok_or_else(|| malformed("the document is cut short"))?.trim_end() {
            "" => break,
            line => {
                let names =
                    line.strip_prefix("Hash: ").ok_or_else(|| malformed("the document has an unknown header"))?;
                hashes.extend(names.split(',').map(|name| name.trim().to_owned()));
            }
        }
    }
    let mut text = String::with_capacity(document.len());
    let mut position = document.len() - lines.clone().map(str::len).sum::<usize>();
    for line in lines {
        if line.trim_end() == BEGIN_SIGNATURE {
            let signature = &document[position..];
            let end = signature.find(END_SIGNATURE).map(|end| end + END_SIGNATURE.len());
            if end.is_none_or(|end| !signature[end..].trim_ascii().is_empty()) {
                return Err(malformed("the document does not end with its signature"));
            }
            return Ok(Parts { text, hashes, signature });
        }
        position += line.len();
        let line = line.trim_end_matches([' ', '\t', '\r', '\n']);
        text.push_str(match line.strip_prefix('-') {
            Some(rest) => {
                rest.strip_prefix(' ').ok_or_else(|| malformed("the document has a line that begins with `-`"))?
            }
            None => line,
        });
        text.push('\n');
    }
    Err(Refusal::NoSignature)
}
