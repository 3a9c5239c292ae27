//! Signatures and keys that GnuPG makes, and `gpgv` as the judge of what is taken.

use crate::agreement::{both_accept, both_refuse, both_refuse_with, only_we_refuse, ours};
use crate::gnupg::{Gpgv, Home};
use catalogue::openpgp::Fingerprint;

const DOCUMENT: &[u8] = b"ab12 *noble.img\n- a line that begins with a dash\nblanks at its end \t\n\nthe last\n";

#[test]
fn good_signatures_of_every_kind_are_taken() {
    let home = Home::new();
    for algorithm in ["rsa2048", "ed25519", "nistp256", "nistp384", "nistp521"] {
        let key = home.key_at("20200101T000000", algorithm, algorithm, "sign", "never");
        let keys = home.export(&[algorithm]);
        let user = ["--local-user", algorithm];
        for arguments in [
            &["--detach-sign"][..],
            &["--detach-sign", "--armor"],
            &["--detach-sign", "--textmode", "--armor"],
            &["--detach-sign", "--digest-algo", "SHA512"],
        ] {
            let signature = home.sign(DOCUMENT, &[&user[..], arguments].concat());
            let name = format!("{algorithm} {arguments:?}");
            let signed = both_accept(&name, key, &keys, DOCUMENT, Some(&signature));
            assert_eq!(signed.made.to_string(), "2024-01-01T00:00:00Z");
        }
        let inline = home.sign(DOCUMENT, &[&user[..], &["--clear-sign"]].concat());
        both_accept(algorithm, key, &keys, &inline, None);
    }
}

#[test]
fn signatures_of_changed_documents_are_bad() {
    let home = Home::new();
    home.key("a");
    let keys = home.export(&["a"]);
    let changed = [DOCUMENT, b"more\n"].concat();
    let crlf = String::from_utf8(DOCUMENT.to_vec()).unwrap().replace('\n', "\r\n").into_bytes();
    for arguments in [&["--detach-sign"][..], &["--detach-sign", "--textmode"]] {
        let signature = home.sign(DOCUMENT, arguments);
        both_refuse("changed", "the signature is bad", "BADSIG", &keys, &changed, Some(&signature));
        both_refuse("nothing", "the signature is bad", "BADSIG", &keys, b"", Some(&signature));
        if arguments.len() == 1 {
            both_refuse("CR LF", "the signature is bad", "BADSIG", &keys, &crlf, Some(&signature));
        } else {
            ours(&keys, &crlf, Some(&signature)).unwrap();
            assert!(Gpgv::of(&keys, &crlf, Some(&signature), &[]).accepts());
        }
    }
    let inline = home.sign(DOCUMENT, &["--clear-sign"]);
    for (from, to) in [("ab12", "ab13"), ("the last", "the l\nast"), ("- - a", "- - b")] {
        let changed = String::from_utf8(inline.clone()).unwrap().replacen(from, to, 1).into_bytes();
        assert_ne!(changed, inline);
        both_refuse(from, "the signature is bad", "BADSIG", &keys, &changed, None);
    }
}

#[test]
fn another_key_is_named() {
    let home = Home::new();
    home.key("ours");
    let theirs = home.key("theirs");
    let keys = home.export(&["ours"]);
    let signature = home.sign(DOCUMENT, &["--local-user", "theirs", "--detach-sign"]);
    let reason = format!("the signature was made by another key, {theirs}");
    both_refuse("theirs", &reason, "NO_PUBKEY", &keys, DOCUMENT, Some(&signature));
    let inline = home.sign(DOCUMENT, &["--local-user", "theirs", "--clear-sign"]);
    both_refuse("theirs, inline", &reason, "NO_PUBKEY", &keys, &inline, None);
}

#[test]
fn each_of_several_signatures_has_to_be_good() {
    let home = Home::new();
    let (one, two) = (home.key("one"), home.key("two"));
    home.key("theirs");
    let keys = home.export(&["one", "two"]);
    let by = |user: &str, document: &[u8]| home.sign(document, &["--local-user", user, "--detach-sign"]);
    let (good, also_good) = (by("one", DOCUMENT), by("two", DOCUMENT));
    let (bad, unknown) = (by("two", b"another"), by("theirs", DOCUMENT));
    both_accept("both good", one, &keys, DOCUMENT, Some(&[&good[..], &also_good].concat()));
    both_accept("both good", two, &keys, DOCUMENT, Some(&[&also_good[..], &good].concat()));
    for (name, other, reason, word) in
        [("bad", &bad, "the signature is bad", "BADSIG"), ("unknown", &unknown, "another key", "NO_PUBKEY")]
    {
        for signatures in [[&good[..], other].concat(), [&other[..], &good].concat()] {
            both_refuse(name, reason, word, &keys, DOCUMENT, Some(&signatures));
        }
    }
    let armored =
        |user: &str, document: &[u8]| home.sign(document, &["--local-user", user, "--detach-sign", "--armor"]);
    let two = [armored("one", DOCUMENT), armored("two", b"another")].concat();
    both_refuse("two armors", "the signature is bad", "BADSIG", &keys, DOCUMENT, Some(&two));
    let inline = home.sign(DOCUMENT, &["--local-user", "one", "--local-user", "theirs", "--clear-sign"]);
    both_refuse("inline", "another key", "NO_PUBKEY", &keys, &inline, None);
}

#[test]
fn weak_digests_are_refused_by_name() {
    let home = Home::new();
    home.key_at("20200101T000000", "a", "rsa2048", "sign", "never");
    let keys = home.export(&["a"]);
    for (digest, weak) in [("MD5", &[][..]), ("SHA1", &["SHA1"]), ("RIPEMD160", &["RIPEMD160"])] {
        let signature = home.sign(DOCUMENT, &["--allow-weak-digest-algos", "--digest-algo", digest, "--detach-sign"]);
        let reason = format!("the signature uses a {digest} digest, which is too weak");
        both_refuse_with(weak, digest, &reason, "ERRSIG", &keys, DOCUMENT, Some(&signature));
    }
}

#[test]
fn expired_and_revoked_keys_are_refused_by_name() {
    let home = Home::new();
    // Good when it signed, and not any more.
    let expired = home.key_at("20200101T000000", "expired", "ed25519", "sign", "20210101T000000");
    let signature = home.sign_at("20200601T000000", DOCUMENT, &["--local-user", "expired", "--detach-sign"]);
    let keys = home.export(&["expired"]);
    let reason = format!("the key {expired} expired at 2021-01-01T00:00:00Z");
    both_refuse("expired", &reason, "EXPKEYSIG", &keys, DOCUMENT, Some(&signature));
    // The newest word counts, in either direction.
    home.edit_at("20200701T000000", "expired", &["expire", "0", "save"]);
    both_accept("prolonged", expired, &home.export(&["expired"]), DOCUMENT, Some(&signature));
    home.edit_at("20200801T000000", "expired", &["expire", "1d", "save"]);
    both_refuse(
        "shortened",
        "expired at 2020-08-02",
        "EXPKEYSIG",
        &home.export(&["expired"]),
        DOCUMENT,
        Some(&signature),
    );

    let revoked = home.key("revoked");
    let signature = home.sign(DOCUMENT, &["--local-user", "revoked", "--detach-sign"]);
    both_accept("not yet", revoked, &home.export(&["revoked"]), DOCUMENT, Some(&signature));
    home.revoke(revoked);
    let reason = format!("the key {revoked} was revoked");
    both_refuse("revoked", &reason, "REVKEYSIG", &home.export(&["revoked"]), DOCUMENT, Some(&signature));
}

#[test]
fn times_that_cannot_be_are_refused() {
    let home = Home::new();
    home.key("a");
    let keys = home.export(&["a"]);
    let expired = home.sign(DOCUMENT, &["--default-sig-expire", "10d", "--detach-sign"]);
    both_refuse("expired", "the signature expired at 2024-01-11T00:00:00Z", "EXPSIG", &keys, DOCUMENT, Some(&expired));
    let early = home.sign_at("20190101T000000", DOCUMENT, &["--ignore-time-conflict", "--detach-sign"]);
    both_refuse("before its key", "is older than its key", "ERRSIG", &keys, DOCUMENT, Some(&early));
    let late = home.sign_at("20900101T000000", DOCUMENT, &["--detach-sign"]);
    only_we_refuse("future", "from the future, 2090-01-01T00:00:00Z", &keys, DOCUMENT, Some(&late));
}

#[test]
fn subkeys_sign_while_they_may() {
    let home = Home::new();
    let primary = home.key_at("20200101T000000", "a", "ed25519", "cert", "never");
    let add = |usage: &str, expires: &str| {
        let primary = primary.to_string();
        home.gpg_at("20200101T000000").args(["--quick-add-key", &primary, "ed25519", usage, expires]).succeed();
        home.fingerprints("a").pop().unwrap()
    };
    let (lasting, passing) = (add("sign", "never"), add("sign", "20210101T000000"));
    let by = |key: Fingerprint, time: &str| {
        home.sign_at(time, DOCUMENT, &["--local-user", &format!("{key}!"), "--detach-sign"])
    };
    let (of_lasting, of_passing) = (by(lasting, "20240101T000000"), by(passing, "20200601T000000"));
    let keys = home.export(&["a"]);
    let signed = both_accept("subkey", primary, &keys, DOCUMENT, Some(&of_lasting));
    assert_eq!(signed.key, lasting);
    let reason = format!("the key {passing} expired at 2021-01-01");
    both_refuse("subkey expired", &reason, "EXPKEYSIG", &keys, DOCUMENT, Some(&of_passing));

    home.edit_at("20240201T000000", "a", &["key 1", "revkey", "y", "0", "", "y", "save"]);
    let reason = format!("the key {lasting} was revoked");
    both_refuse("subkey revoked", &reason, "REVKEYSIG", &home.export(&["a"]), DOCUMENT, Some(&of_lasting));
    home.revoke(primary);
    let reason = format!("the key {primary} was revoked");
    both_refuse("primary revoked", &reason, "", &home.export(&["a"]), DOCUMENT, Some(&of_passing));
}
