//! Armors, for the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The bytes of an armor.
pub(crate) fn binary(armored: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armored).unwrap().replace("\r\n", "\n");
    let body = text.split_once("\n\n").unwrap().1.split("\n=").next().unwrap().replace('\n', "");
    STANDARD.decode(body).unwrap()
}
