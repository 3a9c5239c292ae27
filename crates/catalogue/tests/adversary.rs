//! Built keyrings, signatures and lists: floods, depth and claims of size, each as large as it may come from a server.
//! Each ends within the limit, which is generous: without its bound it takes many times as long.

use std::time::{Duration, Instant};

use catalogue::cache::Algorithm;
use catalogue::index::sums::{self, Sums};
use catalogue::index::{manifest, streams};
use catalogue::openpgp::{Keyring, LIMIT_BYTES, verify_detached, verify_inline};
use catalogue::time::Time;
use catalogue::{Catalogue, Config, Lock, config, lock};

use crate::exercise::armor::binary;

/// What each may take.
const LIMIT: Duration = Duration::from_secs(120);
const NOW: Time = Time(1_785_542_400);
const LIST: &[u8] = include_bytes!("published/noble-release-20260725.SHA256SUMS");
const SIGNATURE: &[u8] = include_bytes!("published/noble-release-20260725.SHA256SUMS.gpg");
const KEY: &[u8] = include_bytes!("published/uec-image-automatic-signing-key.asc");

/// What `work` gives, within the limit.
#[track_caller]
fn within_limit<T>(work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    assert!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
    result
}

/// `bytes` over and over, as often as they are whole in `limit`.
fn flood(bytes: &[u8], limit: u64) -> Vec<u8> {
    bytes.repeat(limit as usize / bytes.len())
}

/// The packets of a file with their tags, as RFC 9580, 4.2 has their headers.
fn packets(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
    let mut packets = Vec::new();
    while let [first, second, ..] = *bytes {
        let (tag, count, length) = match (first & 0x40, second) {
            (0, _) => (first >> 2 & 0x0f, 1 << (first & 3), number(&bytes[1..1 + (1 << (first & 3))])),
            (_, ..192) => (first & 0x3f, 1, usize::from(second)),
            (_, ..224) => (first & 0x3f, 2, number(&bytes[1..3]) - (192 << 8) + 192),
            _ => (first & 0x3f, 5, number(&bytes[2..6])),
        };
        let (packet, after) = bytes.split_at(1 + count + length);
        packets.push((tag, packet));
        bytes = after;
    }
    packets
}

#[test]
fn a_key_that_is_there_thousands_of_times_is_tried_a_limited_number_of_times() {
    let (key, signature) = (binary(KEY), binary(SIGNATURE));
    let count = packets(&key).len();
    // As many as there may be packets.
    let keys = within_limit(|| Keyring::parse(&key.repeat(10_000 / count))).unwrap();
    let many = signature.repeat(16);
    assert!(within_limit(|| verify_detached(LIST, &many, &keys, NOW)).is_ok());
    // Each key would have made the wrong one.
    assert!(within_limit(|| verify_detached(b"another list", &many, &keys, NOW)).is_err());
    let too_many = signature.repeat(17);
    let error = verify_detached(LIST, &too_many, &keys, NOW).unwrap_err().to_string();
    assert!(error.contains("more than 16 signatures"), "{error}");
}

#[test]
fn a_key_with_thousands_of_certifications_is_read() {
    let key = binary(KEY);
    let packets = packets(&key);
    let position = packets.iter().position(|&(tag, _)| tag == 2).expect("it is signed");
    let (_, certification) = packets[position];
    let count = (10_000 - packets.len()).min(LIMIT_BYTES as usize / certification.len() - 10);
    let mut built = Vec::new();
    packets[..position].iter().for_each(|(_, packet)| built.extend(*packet));
    built.extend(certification.repeat(count));
    packets[position..].iter().for_each(|(_, packet)| built.extend(*packet));
    let keys = within_limit(|| Keyring::parse(&built)).unwrap();
    assert!(within_limit(|| verify_detached(LIST, SIGNATURE, &keys, NOW)).is_ok());
}

#[test]
fn packets_that_flood_or_claim_are_refused() {
    // A user's name without a byte, and lengths that are not there: four bytes of them, and parts.
    let built = [flood(&[0xcd, 0], LIMIT_BYTES), vec![0xc6, 0xff, 0xff, 0xff, 0xff, 0xff], flood(&[0xe0], LIMIT_BYTES)];
    for bytes in built {
        let begin = bytes[..4].to_vec();
        assert!(within_limit(|| Keyring::parse(&bytes)).is_err(), "{begin:x?}");
        let keys = Keyring::parse(KEY).unwrap();
        assert!(within_limit(|| verify_detached(LIST, &bytes, &keys, NOW)).is_err(), "{begin:x?}");
    }
}

#[test]
fn armors_and_signed_texts_that_flood_end() {
    let keys = Keyring::parse(KEY).unwrap();
    let begin = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n";
    for text in [
        flood(b"\n", LIMIT_BYTES),
        flood(b"-----BEGIN PGP SIGNATURE-----\n", LIMIT_BYTES),
        flood(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n", LIMIT_BYTES),
        [&b"-----BEGIN PGP SIGNATURE-----\n"[..], &flood(b"Comment: x\n", LIMIT_BYTES)].concat(),
        [&b"-----BEGIN PGP SIGNATURE-----\n\n"[..], &flood(b"AAAA\n", LIMIT_BYTES)].concat(),
        [&begin[..], &flood(b"- - - \n", LIMIT_BYTES)].concat(),
        [&begin[..], &flood(b" \t\r", LIMIT_BYTES)].concat(),
        flood(begin, LIMIT_BYTES),
    ] {
        assert!(within_limit(|| Keyring::parse(&text)).is_err());
        assert!(within_limit(|| verify_detached(LIST, &text, &keys, NOW)).is_err());
        assert!(within_limit(|| verify_inline(&text, &keys, NOW)).is_err());
    }
}

#[test]
fn lists_and_indexes_that_flood_are_read_once() {
    let line = format!("{}  image\n", "ab".repeat(32));
    let sums =
        within_limit(|| Sums::parse(Algorithm::Sha256, &flood(line.as_bytes(), sums::LIMIT_BYTES), None)).unwrap();
    assert!(within_limit(|| sums.digest("image")).is_ok());
    // One product with as many versions as there is room for, and one name for all of them.
    let item = r#""items":{"i":{"path":"a/b","sha256":"abababababababababababababababababababababababababababababababab","size":1}}"#;
    let head = r#"{"format":"products:1.0","products":{"p":{"versions":{"#;
    let versions: Vec<String> = (0..100_000).map(|number| format!("\"{number}\":{{{item}}}")).collect();
    let products = format!("{head}{}}}}}}}}}", versions.join(","));
    assert_eq!(within_limit(|| streams::items(&products, "p", "i")).unwrap().len(), 100_000);
    let same = format!("{head}{}}}}}}}}}", vec![format!("\"1\":{{{item}}}"); 100_000].join(","));
    assert_eq!(within_limit(|| streams::items(&same, "p", "i")).unwrap().len(), 1);
    let deep = format!("{{\"a\":{}", "{\"a\":".repeat(manifest::LIMIT_BYTES as usize / 5));
    assert_eq!(within_limit(|| manifest::serial(deep.as_bytes())), None);
}

#[test]
fn locks_and_settings_that_nest_or_flood_are_refused_or_read() {
    let nested = |limit: u64| {
        let half = limit as usize / 2;
        [
            format!("a = {}", "[".repeat(half)),
            format!("{}a = 1", "a.".repeat(half)),
            format!("[{}a]", "a.".repeat(half)),
        ]
    };
    for text in nested(lock::LIMIT_BYTES) {
        assert!(within_limit(|| Lock::parse(&text)).is_err());
    }
    for text in nested(config::LIMIT_BYTES) {
        assert!(within_limit(|| Config::parse(Catalogue::builtin(), &text)).is_err());
    }
    let flood = "[[base]]\n".repeat(lock::LIMIT_BYTES as usize / 9);
    assert!(within_limit(|| Lock::parse(&format!("version = 1\n{flood}"))).is_err());
}
