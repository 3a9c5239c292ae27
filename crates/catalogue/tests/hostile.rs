//! Whatever a server or a disk has in the place of lists, keys, signatures and locks, it is an answer and no panic.

use std::fmt::Write as _;

use crate::exercise::armor::binary;
use catalogue::cache::Algorithm;
use catalogue::index::sums::Sums;
use catalogue::index::{manifest, streams};
use catalogue::openpgp::{Keyring, Refusal, verify_detached, verify_inline};
use catalogue::time::Time;
use catalogue::{BaseRef, Catalogue, Config, Lock};

const NOW: Time = Time(1_785_542_400);
const LIST: &[u8] = include_bytes!("published/noble-release-20260725.SHA256SUMS");
const SIGNATURE: &[u8] = include_bytes!("published/noble-release-20260725.SHA256SUMS.gpg");
const KEY: &[u8] = include_bytes!("published/uec-image-automatic-signing-key.asc");
const PRODUCTS: &[u8] = include_bytes!("published/released-download-20240822.json");
const MANIFEST: &[u8] = include_bytes!("published/debian-12-generic-amd64-20260316-2418.json");

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// `bytes` cut, doubled in places, and with some bytes changed.
    fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(damaged.len().max(1));
            match self.below(5) {
                0 => damaged.truncate(at),
                1 => {
                    let tail = damaged[at.min(damaged.len())..].to_vec();
                    damaged.extend(tail);
                }
                2 => damaged.insert(at.min(damaged.len()), self.below(256) as u8),
                _ if at < damaged.len() => damaged[at] = self.below(256) as u8,
                _ => {}
            }
        }
        damaged
    }
}

#[test]
fn damaged_signatures_and_keys_are_refused() {
    let mut numbers = Numbers(0x5eed);
    let keys = Keyring::parse(KEY).unwrap();
    assert!(verify_detached(LIST, SIGNATURE, &keys, NOW).is_ok());
    let (signature, key) = (binary(SIGNATURE), binary(KEY));
    let mut taken = 0;
    for round in 0..3000 {
        let damaged = numbers.damaged(if round % 2 == 0 { &signature } else { SIGNATURE });
        // What is not signed may change: the number of the key, the text around an armor.
        taken += usize::from(verify_detached(LIST, &damaged, &keys, NOW).is_ok());
        if let Ok(keys) = Keyring::parse(&numbers.damaged(if round % 2 == 0 { &key } else { KEY })) {
            let _ = verify_detached(LIST, SIGNATURE, &keys, NOW);
        }
    }
    assert!(taken < 300, "{taken}");
    for length in 0..signature.len() {
        assert!(verify_detached(LIST, &signature[..length], &keys, NOW).is_err(), "{length}");
    }
}

#[test]
fn damaged_documents_are_refused() {
    let mut numbers = Numbers(0xd0c5);
    let keys = Keyring::parse(KEY).unwrap();
    let mut document = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n".to_vec();
    document.extend(LIST);
    document.extend(SIGNATURE);
    // It is a signature of bytes, and so none of a text.
    assert_eq!(verify_inline(&document, &keys, NOW), Err(Refusal::Kind(0)));
    for _ in 0..3000 {
        assert!(verify_inline(&numbers.damaged(&document), &keys, NOW).is_err());
    }
    assert_eq!(verify_inline(b"", &keys, NOW), Err(Refusal::NoSignature));
}

#[test]
fn damaged_lists_are_read_or_refused() {
    let mut numbers = Numbers(0x115f);
    let product = "com.ubuntu.cloud:server:24.04:amd64";
    for _ in 0..1000 {
        let list = numbers.damaged(LIST);
        if let Ok(sums) = Sums::parse(Algorithm::Sha256, &list, None) {
            let _ = sums.digest("ubuntu-24.04-server-cloudimg-amd64.img");
        }
        let _ = Sums::parse(Algorithm::Sha512, &list, None);
        let products = String::from_utf8_lossy(&numbers.damaged(PRODUCTS)).into_owned();
        if let Ok(items) = streams::items(&products, product, "disk1.img") {
            assert!(items.iter().all(|item| !item.path.starts_with('/') && !item.path.contains("..")));
        }
        let _ = streams::products_path(&products, product);
        if let Some(serial) = manifest::serial(&numbers.damaged(MANIFEST)) {
            assert!(serial.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-')), "{serial}");
        }
    }
}

#[test]
fn deep_json_ends() {
    let deep = "[".repeat(1_000_000);
    assert!(streams::items(&deep, "p", "i").is_err());
    assert!(streams::items(&format!("{{\"products\":{deep}"), "p", "i").is_err());
    assert!(streams::items(&format!("{{\"x\":{deep}"), "p", "i").is_err());
    assert_eq!(manifest::serial(deep.as_bytes()), None);
}

#[test]
fn damaged_locks_and_settings_are_read_or_refused() {
    let mut numbers = Numbers(0x10c4);
    let mut lock = "version = 1\n".to_owned();
    for (name, verified) in [("debian:12/generic", "tls"), ("ubuntu:24.04/server", "nothing")] {
        let digest = "ab".repeat(32);
        write!(
            lock,
            "[[base]]\nname = \"{name}\"\narch = \"amd64\"\nserial = \"1\"\naddress = \"https://a.example/b\"\n\
             digest = \"sha256:{digest}\"\nsize = 7\nverified = \"{verified}\"\n"
        )
        .unwrap();
    }
    assert!(Lock::parse(&lock).is_ok());
    let config = "[mirror.ubuntu]\nurl = \"https://a.example\"\nsigners = []\n";
    for _ in 0..2000 {
        let damaged = String::from_utf8_lossy(&numbers.damaged(lock.as_bytes())).into_owned();
        if let Ok(read) = Lock::parse(&damaged) {
            assert_eq!(Lock::parse(&read.to_string()).unwrap(), read, "{damaged}");
        }
        let damaged = String::from_utf8_lossy(&numbers.damaged(config.as_bytes())).into_owned();
        let _ = Config::parse(Catalogue::builtin(), &damaged);
        let name = String::from_utf8_lossy(&numbers.damaged(b"ubuntu:24.04/server@20240821")).into_owned();
        if let Ok(BaseRef::Name(name)) = name.parse() {
            assert_eq!(name.to_string().parse(), Ok(BaseRef::Name(name)));
        }
    }
}
