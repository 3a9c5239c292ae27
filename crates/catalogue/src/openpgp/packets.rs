//! Where packets begin and end.

/// The tag of a signature.
pub(super) const SIGNATURE: u8 = 2;
/// The tag of a secret key.
pub(super) const SECRET_KEY: u8 = 5;
/// The tag of a primary key.
pub(super) const PUBLIC_KEY: u8 = 6;
/// The tag of a user's name.
pub(super) const USER_ID: u8 = 13;
/// The tag of a subkey.
pub(super) const PUBLIC_SUBKEY: u8 = 14;
/// The tag of a user's picture.
pub(super) const USER_ATTRIBUTE: u8 = 17;

/// The most packets in one file.
const MAX_PACKETS: usize = 10_000;

/// A packet in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawPacket<'a> {
    /// What it is.
    pub(super) tag: u8,
    /// Its header, for reading it again.
    pub(super) header: &'a [u8],
    /// What is in it.
    pub(super) body: &'a [u8],
}

/// The packets in `bytes`, or what is wrong with them. Partial and indeterminate lengths are refused:
/// signatures and keys must not have them.
pub(super) fn split(bytes: &[u8]) -> Result<Vec<RawPacket<'_>>, &'static str> {
    let mut packets = Vec::new();
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if packets.len() == MAX_PACKETS {
            return Err("it has too many packets");
        }
        if first & 0x80 == 0 {
            return Err("it is not OpenPGP data, neither armored nor binary");
        }
        let (tag, length) = if first & 0x40 == 0 {
            ((first >> 2) & 0x0f, old_length(first & 3, &rest[1..])?)
        } else {
            (first & 0x3f, new_length(&rest[1..])?)
        };
        let (header_bytes, body_bytes) = (1 + length.0, length.1);
        let end = header_bytes.checked_add(body_bytes).filter(|end| *end <= rest.len()).ok_or("it is cut short")?;
        packets.push(RawPacket { tag, header: &rest[..header_bytes], body: &rest[header_bytes..end] });
        rest = &rest[end..];
    }
    Ok(packets)
}

/// The number of bytes of the length field, and the length.
fn old_length(kind: u8, bytes: &[u8]) -> Result<(usize, usize), &'static str> {
    let count = match kind {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => return Err("it has a packet without an end"),
    };
    big_endian(bytes.get(..count)).map(|length| (count, length))
}

fn new_length(bytes: &[u8]) -> Result<(usize, usize), &'static str> {
    match bytes.first().copied() {
        None => Err("it is cut short"),
        Some(length @ 0..=191) => Ok((1, usize::from(length))),
        Some(high @ 192..=223) => {
            let low = bytes.get(1).ok_or("it is cut short")?;
            Ok((2, ((usize::from(high) - 192) << 8) + usize::from(*low) + 192))
        }
        Some(224..=254) => Err("it has a packet in parts"),
        Some(255) => big_endian(bytes.get(1..5)).map(|length| (5, length)),
    }
}

fn big_endian(bytes: Option<&[u8]>) -> Result<usize, &'static str> {
    Ok(bytes.ok_or("it is cut short")?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(bytes: &[u8]) -> Result<Vec<(u8, usize)>, &'static str> {
        Ok(split(bytes)?.iter().map(|packet| (packet.tag, packet.body.len())).collect())
    }

    #[test]
    fn lengths_are_read_in_every_form() {
        // RFC 9580, sections 4.2.1 and 4.2.2.
        assert_eq!(lengths(&[0x88, 1, 7]), Ok(vec![(2, 1)]));
        assert_eq!(lengths(&[0x89, 0, 2, 7, 7]), Ok(vec![(2, 2)]));
        assert_eq!(lengths(&[0x8a, 0, 0, 0, 1, 7, 0xc2, 1, 9]), Ok(vec![(2, 1), (2, 1)]));
        let mut two_octets = vec![0xc2, 0xc5, 0xfb];
        two_octets.resize(3 + 1723, 0);
        assert_eq!(lengths(&two_octets), Ok(vec![(2, 1723)]));
        assert_eq!(lengths(&[0xc6, 255, 0, 0, 0, 1, 7]), Ok(vec![(6, 1)]));
        assert_eq!(lengths(&[]), Ok(vec![]));
    }

    #[test]
    fn what_ends_too_early_or_not_at_all_is_refused() {
        for (bytes, error) in [
            (&[0x88][..], "it is cut short"),
            (&[0x88, 2, 1], "it is cut short"),
            (&[0x8a, 255, 255, 255, 255, 0], "it is cut short"),
            (&[0xc2], "it is cut short"),
            (&[0xc2, 192], "it is cut short"),
            (&[0xc2, 255, 0, 0], "it is cut short"),
            (&[0x8b, 1], "it has a packet without an end"),
            (&[0xc2, 224, 1], "it has a packet in parts"),
            (b"hello", "it is not OpenPGP data, neither armored nor binary"),
        ] {
            assert_eq!(lengths(bytes), Err(error), "{bytes:x?}");
        }
        let many: Vec<u8> = [0x88, 0].repeat(MAX_PACKETS + 1);
        assert_eq!(lengths(&many), Err("it has too many packets"));
    }
}
