//! Lists, signatures, keys and records, and what is taken of them after a change; for the tests and the fuzz target.

pub(crate) mod armor;

use armor::binary;
use catalogue::cache::Algorithm;
use catalogue::index::sums::{Sums, SumsError};
use catalogue::index::{manifest, streams};
use catalogue::openpgp::{Keyring, Signed, verify_detached, verify_inline};
use catalogue::time::Time;
use catalogue::{BaseRef, Catalogue, Config, Lock};

const NOW: Time = Time(1_785_542_400);
const LIST: &[u8] = include_bytes!("../published/noble-release-20260725.SHA256SUMS");
const SIGNATURE: &[u8] = include_bytes!("../published/noble-release-20260725.SHA256SUMS.gpg");
const KEY: &[u8] = include_bytes!("../published/uec-image-automatic-signing-key.asc");
const PRODUCTS: &str = include_str!("../published/released-download-20240822.json");
const MANIFEST: &[u8] = include_bytes!("../published/debian-12-generic-amd64-20260316-2418.json");
/// The key that signed the list, as its publisher names it.
const PINNED: &str = "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81";

/// A text that a subkey signed in each form.
const TEXT: &[u8] = include_bytes!("../../../../fuzz/seeds/signed-text");
const TEXT_SIGNATURE: &[u8] = include_bytes!("../../../../fuzz/seeds/signed-text.sig");
const TEXT_SIGNATURE_OF_LINES: &[u8] = include_bytes!("../../../../fuzz/seeds/signed-text.text.sig");
const TEXT_INLINE: &[u8] = include_bytes!("../../../../fuzz/seeds/signed-text.asc");
const TEXT_KEYS: &[u8] = include_bytes!("../../../../fuzz/seeds/signed-keys.gpg");

const INDEX: &[u8] =
    br#"{"format":"index:1.0","index":{"a":{"path":"streams/v1/a.json","products":["p"]},"b":{"path":"b"}}}"#;
const LOCK: &[u8] = b"version = 1
[[base]]
name = 'debian:12/generic'
arch = 'amd64'
serial = '1'
address = 'https://a.example/b'
digest = 'sha256:abababababababababababababababababababababababababababababababab'
size = 7
verified = 'tls'
[[base]]
name = 'ubuntu:24.04/server'
arch = 'amd64'
address = 'http://a.example/b'
digest = 'sha256:abababababababababababababababababababababababababababababababab'
verified = 'signature'
signer = 'D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81'
signed = '2026-07-25T00:00:00Z'
";
const CONFIG: &[u8] = b"[mirror.ubuntu]
url = 'https://a.example'
keyring = '/a'
signers = ['D2EB 4462 6FDD C30B 513D  5BB7 1A5D 6C4C 7DB8 7C81']
";

/// What has to be so of something that was changed.
type Holds = fn(&Published, &[u8]);

/// What is published, and what is made of it when nothing was changed.
pub(crate) struct Published {
    keys: Keyring,
    signed: Signed,
    /// The list as somebody else would like it.
    forged: Vec<u8>,
    text_keys: Keyring,
    text_signed: Signed,
    text: String,
    /// What is changed.
    cases: Vec<(Vec<u8>, Holds)>,
}

impl Published {
    pub(crate) fn new() -> Self {
        let keys = Keyring::parse(KEY).unwrap();
        let signed = verify_detached(LIST, SIGNATURE, &keys, NOW).unwrap();
        assert_eq!((signed.signer, signed.key), (PINNED.parse().unwrap(), PINNED.parse().unwrap()));
        let mut forged = LIST.to_vec();
        forged[0] = if forged[0] == b'0' { b'1' } else { b'0' };
        let text_keys = Keyring::parse(TEXT_KEYS).unwrap();
        let text_signed = verify_detached(TEXT, TEXT_SIGNATURE, &text_keys, NOW).unwrap();
        assert_eq!(verify_detached(TEXT, TEXT_SIGNATURE_OF_LINES, &text_keys, NOW).as_ref(), Ok(&text_signed));
        assert!(text_signed.signer == text_keys.fingerprints()[0] && text_signed.key != text_signed.signer);
        let inline = verify_inline(TEXT_INLINE, &text_keys, NOW).unwrap();
        assert_eq!(inline.signed, text_signed);
        let cases: [(&[u8], Holds); 16] = [
            (&binary(SIGNATURE), Self::signature),
            (SIGNATURE, Self::signature),
            (TEXT_SIGNATURE, Self::text_signature),
            (&binary(KEY), Self::key),
            (KEY, Self::key),
            (TEXT_KEYS, Self::text_key),
            (LIST, Self::list),
            (TEXT, Self::text),
            (TEXT_INLINE, Self::inline),
            (INDEX, Self::index),
            (PRODUCTS.as_bytes(), Self::products),
            (MANIFEST, Self::manifest),
            (LOCK, Self::lock),
            (CONFIG, Self::config),
            (b"ubuntu:24.04/server@20240821", Self::name),
            (TEXT_SIGNATURE_OF_LINES, Self::text_signature),
        ];
        let cases = cases.into_iter().map(|(sound, holds)| (sound.to_vec(), holds)).collect();
        Self { keys, signed, forged, text_keys, text_signed, text: inline.text, cases }
    }

    /// What `input` says: what is changed and how, and the changes.
    pub(crate) fn any(&self, input: &[u8]) {
        let Some((first, input)) = input.split_first() else { return };
        let (sound, holds) = &self.cases[usize::from(first & 0xf)];
        let changed = match first >> 4 {
            0..=5 => with_bytes(sound, input),
            6..=11 => with_a_piece(sound, input),
            _ => input.to_vec(),
        };
        holds(self, &changed);
    }

    /// What is not signed may change: the number of the key, the text around an armor.
    fn signature(&self, signature: &[u8]) {
        if let Ok(signed) = verify_detached(LIST, signature, &self.keys, NOW) {
            assert_eq!(signed, self.signed);
        }
        assert!(verify_detached(&self.forged, signature, &self.keys, NOW).is_err());
    }

    fn text_signature(&self, signature: &[u8]) {
        if let Ok(signed) = verify_detached(TEXT, signature, &self.text_keys, NOW) {
            assert_eq!(signed, self.text_signed);
        }
        assert!(verify_detached(&TEXT[1..], signature, &self.text_keys, NOW).is_err());
    }

    fn key(&self, key: &[u8]) {
        let Ok(keys) = Keyring::parse(key) else { return };
        if let Ok(signed) = verify_detached(LIST, SIGNATURE, &keys, NOW) {
            assert_eq!(signed, self.signed);
        }
        assert!(verify_detached(&self.forged, SIGNATURE, &keys, NOW).is_err());
        let pinned = keys.only(&[self.signed.signer]);
        assert!(pinned.fingerprints().iter().all(|fingerprint| *fingerprint == self.signed.signer));
        assert!(verify_detached(TEXT, TEXT_SIGNATURE, &pinned, NOW).is_err());
    }

    fn text_key(&self, key: &[u8]) {
        let Ok(keys) = Keyring::parse(key) else { return };
        for signature in [TEXT_SIGNATURE, TEXT_SIGNATURE_OF_LINES] {
            if let Ok(signed) = verify_detached(TEXT, signature, &keys, NOW) {
                assert_eq!(signed, self.text_signed);
            }
            assert!(verify_detached(&TEXT[1..], signature, &keys, NOW).is_err());
        }
        if let Ok(inline) = verify_inline(TEXT_INLINE, &keys, NOW) {
            assert_eq!((&inline.text, &inline.signed), (&self.text, &self.text_signed));
        }
    }

    fn list(&self, list: &[u8]) {
        assert_eq!(verify_detached(list, SIGNATURE, &self.keys, NOW).is_ok(), list == LIST);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let Ok(sums) = Sums::parse(algorithm, list, Some("sole")) else { continue };
            for (file, _) in sums.files() {
                match sums.digest(file) {
                    Ok(digest) => assert_eq!(digest.algorithm(), algorithm),
                    Err(error) => assert_eq!(error, SumsError::Twice { file: file.to_owned() }),
                }
            }
        }
    }

    /// How lines end is not signed where it is lines that are.
    fn text(&self, text: &[u8]) {
        assert_eq!(verify_detached(text, TEXT_SIGNATURE, &self.text_keys, NOW).is_ok(), text == TEXT);
        if verify_detached(text, TEXT_SIGNATURE_OF_LINES, &self.text_keys, NOW).is_ok() {
            assert_eq!(std::str::from_utf8(text).unwrap().replace("\r\n", "\n").as_bytes(), TEXT);
        }
    }

    fn inline(&self, document: &[u8]) {
        if let Ok(inline) = verify_inline(document, &self.text_keys, NOW) {
            assert_eq!((&inline.text, &inline.signed), (&self.text, &self.text_signed));
        }
        assert!(verify_inline(document, &self.keys, NOW).is_err());
    }

    fn index(&self, index: &[u8]) {
        let index = String::from_utf8_lossy(index);
        for content in ["a", "b"] {
            if let Ok(path) = streams::products_path(&index, content) {
                assert!(is_inside(&path), "{path}");
            }
        }
    }

    fn products(&self, products: &[u8]) {
        let products = String::from_utf8_lossy(products);
        for product in ["com.ubuntu.cloud:server:24.04:amd64", "p"] {
            for item in streams::items(&products, product, "disk1.img").unwrap_or_default() {
                assert!(is_inside(&item.path), "{item:?}");
            }
        }
    }

    fn manifest(&self, json: &[u8]) {
        if let Some(serial) = manifest::serial(json) {
            assert!(serial.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-')), "{serial}");
        }
    }

    fn lock(&self, lock: &[u8]) {
        let lock = String::from_utf8_lossy(lock);
        if let Ok(read) = Lock::parse(&lock) {
            assert_eq!(Lock::parse(&read.to_string()).unwrap(), read, "{lock}");
        }
    }

    fn config(&self, config: &[u8]) {
        let _ = Config::parse(Catalogue::builtin(), &String::from_utf8_lossy(config));
    }

    fn name(&self, name: &[u8]) {
        if let Ok(BaseRef::Name(name)) = String::from_utf8_lossy(name).parse() {
            assert_eq!(name.to_string().parse(), Ok(BaseRef::Name(name)));
        }
    }
}

/// Whether a path of an index leads to nothing but what is below.
fn is_inside(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| part != "..") && !path.contains("://")
}

/// Changes the places that `changes` says, three bytes each.
fn with_bytes(sound: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut changed = sound.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % sound.len();
        changed[at] = change[2];
    }
    changed
}

/// Puts a piece in the place of up to 255 bytes.
fn with_a_piece(sound: &[u8], change: &[u8]) -> Vec<u8> {
    let [high, low, count, piece @ ..] = change else { return sound.to_vec() };
    let start = usize::from(u16::from_be_bytes([*high, *low])) % (sound.len() + 1);
    let end = (start + usize::from(*count)).min(sound.len());
    [&sound[..start], piece, &sound[end..]].concat()
}
