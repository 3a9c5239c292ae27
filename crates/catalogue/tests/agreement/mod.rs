//! What we and `gpgv` say of the same.
#![allow(dead_code, reason = "each file of tests uses its own part")]
#![allow(clippy::disallowed_methods, reason = "gpgv knows what time it is, and so has to be told the other")]

use std::time::{SystemTime, UNIX_EPOCH};

use catalogue::openpgp::{Fingerprint, Keyring, Refusal, Signed, verify_detached, verify_inline};
use catalogue::time::Time;

use crate::gnupg::Gpgv;

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

pub(crate) fn ours(keys: &[u8], document: &[u8], signature: Option<&[u8]>) -> Result<Signed, Refusal> {
    let keys = Keyring::parse(keys).unwrap();
    match signature {
        Some(signature) => verify_detached(document, signature, &keys, now()),
        None => verify_inline(document, &keys, now()).map(|inline| inline.signed),
    }
}

/// Both take it for good, and for one of `signer`'s.
#[track_caller]
pub(crate) fn both_accept(
    name: &str,
    signer: Fingerprint,
    keys: &[u8],
    document: &[u8],
    signature: Option<&[u8]>,
) -> Signed {
    let gpgv = Gpgv::of(keys, document, signature, &[]);
    let signed = ours(keys, document, signature).unwrap_or_else(|refusal| panic!("{name}: {refusal}\n{}", gpgv.said));
    assert!(gpgv.accepts(), "{name}: {}", gpgv.said);
    assert_eq!(signed.signer, signer, "{name}");
    assert!(gpgv.valid.contains(&(signed.key, signed.signer)), "{name}: {signed:?}\n{}", gpgv.said);
    signed
}

/// Neither takes it: we for this reason, and `gpgv` with this word, where there is one.
#[track_caller]
pub(crate) fn both_refuse(
    name: &str,
    reason: &str,
    word: &str,
    keys: &[u8],
    document: &[u8],
    signature: Option<&[u8]>,
) {
    both_refuse_with(&[], name, reason, word, keys, document, signature);
}

#[track_caller]
pub(crate) fn both_refuse_with(
    weak: &[&str],
    name: &str,
    reason: &str,
    word: &str,
    keys: &[u8],
    document: &[u8],
    signature: Option<&[u8]>,
) {
    let gpgv = Gpgv::of(keys, document, signature, weak);
    assert!(!gpgv.accepts(), "{name}: {}", gpgv.said);
    assert!(word.is_empty() || gpgv.says(word), "{name}: {word} is not in {}", gpgv.said);
    let refusal = ours(keys, document, signature).expect_err(name).to_string();
    assert!(refusal.contains(reason), "{name}: {refusal}\n{}", gpgv.said);
}

/// `gpgv` takes it for good, and we do not, for this reason.
#[track_caller]
pub(crate) fn only_we_refuse(name: &str, reason: &str, keys: &[u8], document: &[u8], signature: Option<&[u8]>) {
    let gpgv = Gpgv::of(keys, document, signature, &[]);
    assert!(gpgv.accepts(), "{name}: {}", gpgv.said);
    let refusal = ours(keys, document, signature).expect_err(name).to_string();
    assert!(refusal.contains(reason), "{name}: {refusal}");
}

/// Both take it for good, or neither does; whether they do.
#[track_caller]
pub(crate) fn agree(name: &str, keys: &[u8], document: &[u8], signature: Option<&[u8]>) -> bool {
    let gpgv = Gpgv::of(keys, document, signature, &[]);
    let ours = ours(keys, document, signature);
    assert_eq!(ours.is_ok(), gpgv.accepts(), "{name}: {ours:?}\n{}", gpgv.said);
    ours.is_ok()
}
