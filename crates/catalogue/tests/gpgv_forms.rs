//! Odd forms of signatures, documents and keys, and `gpgv` as the judge of what is taken.

use std::fs;

use crate::agreement::{agree, both_accept, both_refuse, both_refuse_with, only_we_refuse};
use crate::gnupg::Home;
use catalogue::openpgp::{Keyring, KeyringError};

const DOCUMENT: &[u8] = b"ab12 *noble.img\ncd34 *noble.raw\n";

/// The packets of an export, each with its header, and their tags. GnuPG writes these with headers of the old format.
fn packets(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut packets = Vec::new();
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        assert_eq!(first & 0xc0, 0x80, "{first:#x}");
        let (header, body) = match first & 3 {
            0 => (2, usize::from(*second)),
            1 => (3, usize::from(*second) << 8 | usize::from(rest[2])),
            _ => panic!("{first:#x}"),
        };
        packets.push(((first >> 2) & 0xf, &rest[..header + body]));
        rest = &rest[header + body..];
    }
    packets
}

/// The export without those packets that `remove` wants to go.
fn without(bytes: &[u8], remove: impl Fn(usize, u8) -> bool) -> Vec<u8> {
    let kept = packets(bytes).into_iter().enumerate().filter(|(index, (tag, _))| !remove(*index, *tag));
    kept.flat_map(|(_, (_, packet))| packet.to_vec()).collect()
}

#[test]
fn armors_are_read_as_gnupg_reads_them() {
    let home = Home::new();
    let key = home.key("a");
    let keys = home.export(&["a"]);
    let armor = String::from_utf8(home.sign(DOCUMENT, &["--armor", "--detach-sign"])).unwrap();
    let checksum = armor.lines().find(|line| line.len() == 5 && line.starts_with('=')).unwrap();
    for (name, good) in [
        ("as it is", armor.clone()),
        ("CR LF", armor.replace('\n', "\r\n")),
        ("text around it", format!("hello\n{armor}bye\n")),
        ("no checksum", armor.replace(&format!("{checksum}\n"), "")),
        ("a comment", armor.replacen("\n\n", "\nComment: x\n\n", 1)),
    ] {
        both_accept(name, key, &keys, DOCUMENT, Some(good.as_bytes()));
    }
    let body = armor.lines().nth(2).unwrap();
    for (name, bad, reason) in [
        ("another checksum", armor.replace(checksum, "=AAAA"), "the checksum is wrong"),
        ("a line less", armor.replacen(&format!("{body}\n"), "", 1), "its armor is damaged"),
        ("nothing", String::new(), "there is no signature"),
        ("text", "hello\n".to_owned(), "it has no armored block"),
        ("a key", home.armored_key(), "it has no armored block"),
    ] {
        both_refuse(name, reason, "", &keys, DOCUMENT, Some(bad.as_bytes()));
    }
    let open = armor.replace("-----END PGP SIGNATURE-----\n", "");
    only_we_refuse("cut at the end", "its armor has no end", &keys, DOCUMENT, Some(open.as_bytes()));
}

#[test]
fn packets_that_are_damaged_or_of_another_kind_are_refused() {
    let home = Home::new();
    home.key("a");
    let keys = home.export(&["a"]);
    let good = home.sign(DOCUMENT, &["--detach-sign"]);
    assert_eq!(good[0], 0x88, "an old header with a length of one byte");
    for cut in [1, 2, 10, 40, good.len() - 1] {
        both_refuse("cut", "the signature cannot be read", "", &keys, DOCUMENT, Some(&good[..cut]));
    }
    for version in [2, 5, 6, 255] {
        let other = [&good[..2], &[version], &good[3..]].concat();
        let reason = format!("the signature has version {version}");
        both_refuse("version", &reason, "", &keys, DOCUMENT, Some(&other));
    }
    for kind in [0x10, 0x18, 0x20, 0x40] {
        let other = [&good[..3], &[kind], &good[4..]].concat();
        let reason = format!("the signature has type {kind:#04x}");
        both_refuse("kind", &reason, "", &keys, DOCUMENT, Some(&other));
    }
    both_refuse("a byte more", "it is cut short", "", &keys, DOCUMENT, Some(&[&good[..], &[0x88]].concat()));
    let message = home.sign(DOCUMENT, &["--sign", "--compress-algo", "none"]);
    both_refuse("a message", "the signature cannot be read", "", &keys, DOCUMENT, Some(&message));
    both_refuse("a key", "something other than signatures", "", &keys, DOCUMENT, Some(&keys));
    // Every bit counts for both, or for neither: what is not signed may name another key than what is. But for the
    // first bytes of the digest, which `gpgv` looks at in some kinds of signatures only.
    let hashed = usize::from(good[6]) << 8 | usize::from(good[7]);
    let unhashed = usize::from(good[8 + hashed]) << 8 | usize::from(good[9 + hashed]);
    let digest = 10 + hashed + unhashed;
    for index in [digest, digest + 1] {
        let mut flipped = good.clone();
        flipped[index] ^= 1;
        only_we_refuse("digest", "the signature is bad", &keys, DOCUMENT, Some(&flipped));
    }
    let taken = (2..good.len()).filter(|index| *index != digest && *index != digest + 1).filter(|index| {
        let mut flipped = good.clone();
        flipped[*index] ^= 1;
        agree(&format!("bit of byte {index}"), &keys, DOCUMENT, Some(&flipped))
    });
    let taken: Vec<usize> = taken.collect();
    assert!(!taken.iter().any(|index| (2..8 + hashed).contains(index)), "{taken:?} are signed");
}

#[test]
fn what_has_to_be_understood_is() {
    let home = Home::new();
    let key = home.key("a");
    let keys = home.export(&["a"]);
    let noted = home.sign(DOCUMENT, &["--sig-notation", "a@example.org=b", "--detach-sign"]);
    both_accept("a notation", key, &keys, DOCUMENT, Some(&noted));
    let critical = home.sign(DOCUMENT, &["--sig-notation", "!a@example.org=b", "--detach-sign"]);
    both_refuse("a critical one", "a critical subpacket of the unknown type", "", &keys, DOCUMENT, Some(&critical));
}

#[test]
fn a_document_is_signed_as_a_whole() {
    let home = Home::new();
    let key = home.key("a");
    let keys = home.export(&["a"]);
    let good = String::from_utf8(home.sign(DOCUMENT, &["--clear-sign"])).unwrap();
    both_accept("good", key, &keys, good.as_bytes(), None);
    both_accept("CR LF", key, &keys, good.replace('\n', "\r\n").as_bytes(), None);
    both_accept("blanks at an end", key, &keys, good.replace("noble.img", "noble.img  \t").as_bytes(), None);
    let hash = good.lines().find(|line| line.starts_with("Hash: ")).unwrap();
    for (name, bad, reason) in [
        ("another hash", good.replace(hash, "Hash: SHA224"), "`Hash:` header does not name"),
        ("no hash", good.replace(&format!("{hash}\n"), ""), "`Hash:` header does not name"),
        ("another header", good.replace(hash, &format!("{hash}\nComment: x")), "the document has an unknown header"),
        ("a dash", good.replace("ab12", "-ab12"), "a line that begins with `-`"),
        ("a byte", good.replace("ab12", "ab13"), "the signature is bad"),
        ("a line more", good.replace("ab12", "00\nab12"), "the signature is bad"),
        ("a line less", good.replace("ab12 *noble.img\n", ""), "the signature is bad"),
        ("no signature", good.split("-----BEGIN PGP SIGNATURE").next().unwrap().to_owned(), "there is no signature"),
    ] {
        assert_ne!(bad, good, "{name}");
        both_refuse(name, reason, "", &keys, bad.as_bytes(), None);
    }
    // GnuPG takes such, and who asks it has to take the text from it and not from the document.
    for (name, odd) in [("before", format!("00 *noble.img\n{good}")), ("after", format!("{good}00 *noble.img\n"))] {
        only_we_refuse(name, "", &keys, odd.as_bytes(), None);
    }
    // The reverse: what is signed in full beside the text is no signature of the document.
    let detached = home.sign(DOCUMENT, &["--armor", "--detach-sign"]);
    let glued = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\n{hash}\n\n{}{}",
        String::from_utf8_lossy(DOCUMENT),
        String::from_utf8_lossy(&detached)
    );
    both_refuse("of bytes", "the signature has type 0x00", "", &keys, glued.as_bytes(), None);
}

#[test]
fn keys_have_to_say_what_they_are() {
    let home = Home::new();
    home.key_at("20200101T000000", "a", "rsa2048", "sign", "never");
    let signature = home.sign(DOCUMENT, &["--detach-sign"]);
    let keys = home.export(&["a"]);
    let nameless = without(&keys, |_, tag| tag == 2);
    both_refuse("no self-signature", "it has no valid signature of its own", "", &nameless, DOCUMENT, Some(&signature));
    let mut damaged = keys.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    both_refuse("a bad one", "it has no valid signature of its own", "", &damaged, DOCUMENT, Some(&signature));
    // A self-signature of a SHA-1 is taken: the fingerprint says whose key it is.
    home.gpg_at("20200101T000000")
        .args(["--cert-digest-algo", "SHA1", "--quick-generate-key", "old", "rsa2048", "sign", "never"])
        .succeed();
    let old = home.fingerprints("old")[0];
    let of_old = home.sign(DOCUMENT, &["--local-user", "old", "--detach-sign"]);
    both_accept("SHA-1", old, &home.export(&["old"]), DOCUMENT, Some(&of_old));
    // Made for signing when it signed, and not any more.
    home.edit_at("20240201T000000", "a", &["change-usage", "S", "Q", "save"]);
    let not_signing = home.export(&["a"]);
    both_refuse("for nothing but keys", "it may not be used for signing", "", &not_signing, DOCUMENT, Some(&signature));
}

#[test]
fn subkeys_have_to_be_bound_in_both_directions() {
    let home = Home::new();
    let primary = home.key_at("20200101T000000", "a", "ed25519", "cert", "never");
    home.gpg_at("20200101T000000")
        .args(["--quick-add-key", &primary.to_string(), "ed25519", "sign", "never"])
        .succeed();
    let subkey = home.fingerprints("a").pop().unwrap();
    let signature = home.sign(DOCUMENT, &["--local-user", &format!("{subkey}!"), "--detach-sign"]);
    let keys = home.export(&["a"]);
    let signed = both_accept("bound", primary, &keys, DOCUMENT, Some(&signature));
    assert_eq!(signed.key, subkey);
    let tags: Vec<u8> = packets(&keys).iter().map(|(tag, _)| *tag).collect();
    assert_eq!(tags, [6, 13, 2, 14, 2]);
    let unbound = without(&keys, |index, _| index == 4);
    both_refuse("unbound", "", "", &unbound, DOCUMENT, Some(&signature));
    // The subkey's own word is in what binds it: without its last byte, nothing does.
    let binding = packets(&keys)[4].1;
    let mut one_way = keys[..keys.len() - binding.len()].to_vec();
    let mut binding = binding.to_vec();
    let embedded = binding.windows(3).rposition(|bytes| bytes == [4, 0x19, 22]).unwrap();
    binding[embedded + 30] ^= 1;
    one_way.extend(&binding);
    both_refuse("one way", "it has not signed its primary key", "", &one_way, DOCUMENT, Some(&signature));
    // Somebody else's subkey, with one's own word on it.
    let other = Home::new();
    other.key("b");
    let theirs = other.export(&["b"]);
    let stolen = [&theirs[..], packets(&keys)[3].1, packets(&keys)[4].1].concat();
    both_refuse("stolen", "no valid signature binds it", "", &stolen, DOCUMENT, Some(&signature));
}

#[test]
fn what_gpgv_takes_and_we_do_not() {
    let home = Home::new();
    for (algorithm, reason) in [("rsa1024", "shorter than 2048 bits"), ("dsa1024", "DSA")] {
        home.key_at("20200101T000000", algorithm, algorithm, "sign", "never");
        let signature = home.sign(DOCUMENT, &["--local-user", algorithm, "--digest-algo", "SHA256", "--detach-sign"]);
        only_we_refuse(algorithm, reason, &home.export(&[algorithm]), DOCUMENT, Some(&signature));
    }
    home.key_at("20200101T000000", "rsa", "rsa2048", "sign", "never");
    let keys = home.export(&["rsa"]);
    for digest in ["SHA1", "RIPEMD160"] {
        let signature = home.sign(DOCUMENT, &["--local-user", "rsa", "--digest-algo", digest, "--detach-sign"]);
        only_we_refuse(digest, "which is too weak", &keys, DOCUMENT, Some(&signature));
        both_refuse_with(&[digest], digest, "which is too weak", "ERRSIG", &keys, DOCUMENT, Some(&signature));
    }
}

#[test]
fn a_published_signature_of_version_3_is_refused() {
    let list = include_bytes!("published/opensuse-leap-16.0.sha256");
    let signature = include_bytes!("published/opensuse-leap-16.0.sha256.asc");
    let keys = include_bytes!("published/opensuse-signing-key.asc");
    let keys = Keyring::parse(keys).unwrap();
    assert_eq!(keys.fingerprints()[0].to_string(), "AD485664E901B867051AB15F35A2F86E29B700A4");
    let refusal = catalogue::openpgp::verify_detached(list, signature, &keys, catalogue::time::Time(1_785_542_400));
    assert_eq!(refusal.unwrap_err().to_string(), "the signature has version 3, but only version 4 is accepted");
}

#[test]
fn what_canonical_published_is_good() {
    let list = include_bytes!("published/noble-release-20260725.SHA256SUMS");
    let signature = include_bytes!("published/noble-release-20260725.SHA256SUMS.gpg");
    let home = Home::new();
    let mut exported = Vec::new();
    for key in [
        &include_bytes!("published/uec-image-automatic-signing-key.asc")[..],
        include_bytes!("published/ubuntu-cloud-image-builder.asc"),
    ] {
        // `gpgv` reads no armor.
        fs::write(home.path("key"), key).unwrap();
        exported.extend(home.gpg().args(["--output", "-", "--dearmor"]).arg(home.path("key")).succeed().stdout_bytes);
    }
    let fingerprints = Keyring::parse(&exported).unwrap().fingerprints();
    let texts: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81", "4A3CE3CD565D7EB5C810E2B97FF3F408476CF100"]);
    let signed = both_accept("published", fingerprints[0], &exported, list, Some(signature));
    assert_eq!(signed.made.to_string(), "2026-07-25T22:34:07Z");
    let changed = String::from_utf8(list.to_vec()).unwrap().replacen("d1940f", "d1940e", 1).into_bytes();
    assert_ne!(&changed[..], &list[..]);
    both_refuse("changed", "the signature is bad", "BADSIG", &exported, &changed, Some(signature));
}

#[test]
fn what_is_no_keyring_says_why() {
    let home = Home::new();
    home.key("a");
    let keybox = fs::read(home.path("pubring.kbx")).unwrap();
    let secret = home.gpg().args(["--export-secret-keys", "a"]).succeed().stdout_bytes;
    let subkey_only = without(&home.export(&["a"]), |_, tag| tag == 6);
    for (bytes, error) in [
        (&keybox[..], KeyringError::Keybox),
        (&secret, KeyringError::Secret),
        (b"", KeyringError::Empty),
        (&subkey_only, KeyringError::Empty),
        (b"hello\n", KeyringError::Malformed("it has no armored block of this kind")),
        (&home.export(&["a"])[..20], KeyringError::Malformed("it is cut short")),
    ] {
        assert_eq!(Keyring::parse(bytes).unwrap_err(), error);
    }
    let armored = home.armored_key();
    assert_eq!(Keyring::parse(armored.as_bytes()).unwrap().fingerprints(), home.fingerprints("a")[..1]);
}

impl Home {
    fn armored_key(&self) -> String {
        self.gpg().args(["--armor", "--export", "a"]).succeed().stdout
    }
}
