use std::fmt;

/// Bytes that an image or a host's file system has for a name, as text that cannot steer a terminal and that says
/// exactly which bytes they are.
///
/// A byte of a control character, or one that is not of UTF-8, is written `\xNN`. So is a `\` that would be taken for
/// the begin of such an escape; any other `\` stays, as in the names of systemd's units. What is `\x` and the digits 00
/// to 1f, 5c or 7f to ff is one byte, therefore, and everything else stands for itself.
pub struct Printable<'a>(pub &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.0.len());
        let escape = |text: &mut String, bytes: &[u8]| {
            for byte in bytes {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        };
        for chunk in self.0.utf8_chunks() {
            for (at, character) in chunk.valid().char_indices() {
                let rest = &chunk.valid()[at..];
                if character.is_control() || (character == '\\' && is_escape(rest.as_bytes())) {
                    escape(&mut text, &rest.as_bytes()[..character.len_utf8()]);
                } else {
                    text.push(character);
                }
            }
            escape(&mut text, chunk.invalid());
        }
        f.pad(&text)
    }
}

/// Whether `text` begins with what stands for a byte.
fn is_escape(text: &[u8]) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    match text {
        [b'\\', b'x', high, low, ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => matches!(high << 4 | low, 0..=0x1f | 0x5c | 0x7f..),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(Printable(b"a\x1b[31m\xff\xc3\xa9\n").to_string(), "a\\x1b[31m\\xff\u{e9}\\x0a");
        assert_eq!(Printable("\u{9b}".as_bytes()).to_string(), "\\xc2\\x9b");
    }

    /// What the documentation says of the text, done.
    fn had_back(text: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, more @ ..] = rest {
            let digits = text.len() - more.len();
            let byte = text.get(digits + 1..digits + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match byte.filter(|byte| matches!(byte, 0..=0x1f | 0x5c | 0x7f..)) {
                Some(byte) if rest.starts_with(b"\\x") => {
                    bytes.push(byte);
                    rest = &rest[4..];
                }
                _ => {
                    bytes.push(*first);
                    rest = more;
                }
            }
        }
        bytes
    }

    #[test]
    fn a_name_can_be_had_back_from_its_text() {
        for (name, shown) in [
            (&b"caf\xe9"[..], "caf\\xe9"),
            (b"dev-disk-by\\x2dlabel.swap", "dev-disk-by\\x2dlabel.swap"),
            (b"\\xe9", "\\x5cxe9"),
            (b"\\x5c", "\\x5cx5c"),
            (b"\\\\xff\xff", "\\\\x5cxff\\xff"),
            (b"C:\\new\\", "C:\\new\\"),
            (b"\\\n", "\\\\x0a"),
            (b"\\x\xe9", "\\x\\xe9"),
        ] {
            let text = Printable(name).to_string();
            assert_eq!(text, shown);
            assert_eq!(had_back(&text), name, "{text}");
        }
        // Every name of up to three of the bytes that matter, before a digit.
        let bytes: &[u8] = b"\\x5c0f\xe9\n";
        for (one, two, three) in
            bytes.iter().flat_map(|a| bytes.iter().flat_map(move |b| bytes.iter().map(move |c| (*a, *b, *c))))
        {
            for name in [vec![one, two, three, b'c'], vec![b'\\', one, two, three], vec![b'\\', b'x', one, two, three]]
            {
                assert_eq!(had_back(&Printable(&name).to_string()), name, "{name:x?}");
            }
        }
    }
}
