//! Base64 as Python reads it: what is not of its alphabet is passed over.

/// The bytes; `None` where characters are missing at the end.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut count, mut pads) = (0u32, 0u32, 0u32);
    for byte in text.bytes() {
        if byte == b'=' {
            pads += 1;
            if count >= 2 && count + pads >= 4 {
                // What stands behind the padding does not count.
                return Some(bytes);
            }
            continue;
        }
        let Some(digit) = digit(byte) else { continue };
        pads = 0;
        group = group << 6 | digit;
        count += 1;
        match count {
            2 => bytes.push((group >> 4) as u8),
            3 => bytes.push((group >> 2) as u8),
            4 => {
                bytes.push(group as u8);
                (group, count) = (0, 0);
            }
            _ => {}
        }
    }
    (count == 0).then_some(bytes)
}

/// The bytes of a text that has base64 and nothing else, white space neither.
pub(crate) fn decode_strict(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let is_whole = text.len().is_multiple_of(4) && text.len() - digits.len() <= 2;
    (is_whole && digits.bytes().all(|byte| digit(byte).is_some())).then(|| decode(text)).flatten()
}

fn digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}
