//! OpenPGP packets as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Signatures.
    Signature,
    /// Public keys.
    PublicKey,
}

impl Block {
    fn name(self) -> &'static str {
        match self {
            Self::Signature => "PGP SIGNATURE",
            Self::PublicKey => "PGP PUBLIC KEY BLOCK",
        }
    }
}

/// Whether `bytes` are text, not packets: the first byte of a packet is not ASCII.
pub(super) fn is_armored(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii)
}

/// The bytes of all blocks of `text` of the kind `block`. Text around them is ignored.
///
/// # Errors
///
/// The problem, in words.
pub(super) fn decode(text: &[u8], block: Block) -> Result<Vec<u8>, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not OpenPGP data, neither armored nor binary")?;
    let (begin, end) = (format!("-----BEGIN {}-----", block.name()), format!("-----END {}-----", block.name()));
    let mut lines = text.lines();
    let mut bytes = Vec::new();
    let mut found = false;
    while lines.any(|line| line.trim_end() == begin) {
        found = true;
        // Headers: lines of `Name: value` until an empty one.
        loop {
            let line = lines.next().ok_or("its armor has no end")?.trim_end();
            if line.is_empty() {
                break;
            }
            if !line.contains(": ") && !line.ends_with(':') {
                return Err("its armor has no empty line before the data");
            }
        }
        let mut body: Vec<&str> = Vec::new();
        loop {
            match lines.next().ok_or("its armor has no end")?.trim_end() {
                line if line == end => break,
                line if line.starts_with("-----") => return Err("its armor's last line does not match its first"),
                line => body.push(line),
            }
        }
        bytes.extend(decode_body(&body)?);
    }
    if found { Ok(bytes) } else { Err("it has no armored block of this kind") }
}

fn decode_body(lines: &[&str]) -> Result<Vec<u8>, &'static str> {
    let checksum = lines.last().filter(|line| line.len() == 5).and_then(|line| line.strip_prefix('='));
    let lines = if checksum.is_some() { &lines[..lines.len() - 1] } else { lines };
    let text: String = lines.concat();
    let bytes = STANDARD.decode(text).map_err(|_| "its armor is damaged: it is not base64")?;
    if let Some(checksum) = checksum {
        let stated = STANDARD.decode(checksum).map_err(|_| "its armor is damaged: the checksum is invalid")?;
        if stated != crc24(&bytes).to_be_bytes()[1..] {
            return Err("its armor is damaged: the checksum is wrong");
        }
    }
    Ok(bytes)
}

/// The checksum of RFC 4880, section 6.1.
fn crc24(bytes: &[u8]) -> u32 {
    const GENERATOR: u32 = 0x0186_4cfb;
    let step = |crc: u32| if crc & 0x0080_0000 == 0 { crc << 1 } else { crc << 1 ^ GENERATOR };
    bytes.iter().fold(0x00b7_04ce, |crc, byte| (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| step(crc)))
        & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    // Base64 of "armor" and its checksum, as `gpg --enarmor` makes them.
    const ARMOR: &str = "-----BEGIN PGP SIGNATURE-----\nComment: x\n\nYXJtb3I=\n=/wNH\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn text_around_an_armor_and_its_line_ends_do_not_matter() {
        for text in [
            ARMOR.to_owned(),
            ARMOR.replace('\n', "\r\n"),
            ARMOR.replace("Comment: x\n", ""),
            ARMOR.replace("=/wNH\n", ""),
            format!("before\n{ARMOR}after\n"),
        ] {
            assert_eq!(decode(text.as_bytes(), Block::Signature).as_deref(), Ok(&b"armor"[..]), "{text}");
        }
        let two = format!("{ARMOR}{ARMOR}");
        assert_eq!(decode(two.as_bytes(), Block::Signature).as_deref(), Ok(&b"armorarmor"[..]));
    }

    #[test]
    fn a_damaged_armor_is_refused() {
        let refused = |text: &str| decode(text.as_bytes(), Block::Signature).unwrap_err();
        for (from, to, error) in [
            ("YXJ", "YXK", "its armor is damaged: the checksum is wrong"),
            ("YXJ", "Y*J", "its armor is damaged: it is not base64"),
            ("=/wNH", "=/*NH", "its armor is damaged: the checksum is invalid"),
            ("\n\n", "\n", "its armor has no empty line before the data"),
            ("-----END PGP SIGNATURE-----\n", "", "its armor has no end"),
            ("END PGP SIGNATURE", "END PGP MESSAGE", "its armor's last line does not match its first"),
            ("SIGNATURE", "MESSAGE", "it has no armored block of this kind"),
        ] {
            assert_eq!(refused(&ARMOR.replace(from, to)), error, "{from:?} to {to:?}");
        }
        assert_eq!(
            decode(b"\xff", Block::Signature).unwrap_err(),
            "it is not OpenPGP data, neither armored nor binary"
        );
    }
}
