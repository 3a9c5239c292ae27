//! Base64 as Python reads it: characters outside of its alphabet are skipped.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// Without padding, and whatever the last digit's unused bits are.
const DIGITS: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The bytes; `None` if characters are missing at the end.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut digits, mut pads) = (Vec::with_capacity(text.len()), 0);
    for byte in text.bytes() {
        let count = digits.len() % 4;
        match byte {
            b'=' => pads += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                digits.push(byte);
                pads = 0;
            }
            _ => {}
        }
        // What follows the padding does not count.
        if byte == b'=' && count >= 2 && count + pads >= 4 {
            return DIGITS.decode(digits).ok();
        }
    }
    digits.len().is_multiple_of(4).then(|| DIGITS.decode(digits).ok()).flatten()
}
