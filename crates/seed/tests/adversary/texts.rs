//! No text panics, hangs or takes more than its share.

use crate::exercise::look;
use crate::support::Dice;
use seed::check::{Document, Role, Severity, check};
use seed::yaml::{MAX_DEPTH, parse};

const TEXTS: &[&str] = &[
    "#cloud-config\nusers:\n- default\n- {name: a, passwd: $6$x$y, ssh_authorized_keys: [ssh-ed25519 AAAA], sudo: ALL}\nwrite_files:\n- {path: /tmp/a, permissions: 0644, encoding: gz+b64, content: !!binary aGk=, owner: 'a:a'}\nruncmd: [[a, b], 'c: d', yes]\nmounts: [[a, /b]]\nhostname: a.b\nchpasswd: {users: [{name: a, password: b}]}\n",
    "## template: jinja\n#cloud-config\n{% if x %}\nhostname: {{ v1.name }}\n{% endif %}\n{# a #}\npackages: [{{ y }}]\n",
    "Content-Type: multipart/mixed; boundary=\"=x\"\nMIME-Version: 1.0\n\n--=x\nContent-Type: text/cloud-config; charset=utf-8\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"a\"\n\nI2Nsb3VkLWNvbmZpZwp4OiAxCg==\n--=x\nContent-Type: multipart/mixed; boundary=y\n\n--y\n\n#!/bin/sh\n--y--\n--=x--\n",
    "#cloud-config-archive\n- '#!/bin/sh'\n- {type: text/cloud-config, content: 'a: b'}\n- {content: !!binary aGk=}\n",
    "version: 2\nethernets:\n  eth0: {match: {macaddress: a}, addresses: [::1/64, 1.2.3.4/33], routes: [{to: x, via: y}], set-name: a}\nbonds: {b: {interfaces: [eth0, c]}}\n",
    "network: {version: 1, config: [{type: physical, name: a, subnets: [{type: static, address: 1.2.3.4, netmask: 255.0.255.0}]}]}\n",
    "instance-id: a\nlocal-hostname: b_c\npublic-keys: [x]\n",
    "#include\nhttps://a/b\n#include-once c\n",
    "#cloud-config-jsonp\n[{\"op\": \"add\", \"path\": \"/a\", \"value\": 1}]\n",
    "#cloud-boothook\n#!/bin/sh\n",
    "a: &a [1, 2]\nb: &b {<<: {c: d}, e: *a}\n? [x]\n: !!set {y}\nz: |2-\n   text\nq: \"\\u0041\\\n  b\"\n%x: 'it''s'\n",
];

const BYTES: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\t",
    b" ",
    b":",
    b"- ",
    b"? ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"&a ",
    b"*a",
    b"!",
    b"!!",
    b"!<",
    b"|",
    b">",
    b"'",
    b"\"",
    b"\\",
    b"%",
    b"@",
    b"#",
    b"{{",
    b"}}",
    b"{%",
    b"--",
    b"<<: ",
    b"=",
    b"1:",
    b"0x",
    b"\xf0\x9f\x98\x80",
    b"\x1f\x8b",
];

#[test]
fn mutated_bytes_are_looked_at() {
    let mut dice = Dice::new(5);
    for _ in 0..4000 {
        let mut bytes = dice.pick(TEXTS).as_bytes().to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() + 1);
            match dice.below(4) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => drop(bytes.splice(at..at, dice.pick(BYTES).iter().copied())),
            }
        }
        look(&bytes);
    }
}

#[test]
fn what_grows_out_of_a_small_text_is_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut merges = "m0: &m0 {k0: v}\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
        merges +=
            &format!("m{level}: &m{level} {{<<: [{}], k{level}: v}}\n", vec![format!("*m{before}"); 10].join(", "));
    }
    for text in [&bomb, &merges] {
        let error = parse(text).unwrap_err();
        assert!(error.is_limit, "{error}");
        look(format!("#cloud-config\n{text}").as_bytes());
    }
    let report = check(&[Document { name: "x", role: Role::MetaData, bytes: bomb.as_bytes() }]);
    assert!(report.findings.iter().any(|finding| finding.rule == "limit" && finding.severity == Severity::Error));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    for depth in [MAX_DEPTH + 2, 100_000] {
        let error = parse(&nested(depth)).unwrap_err();
        assert!(error.is_limit, "{error}");
        look(format!("#cloud-config\na: {}", nested(depth)).as_bytes());
    }
    for text in
        ["- ".repeat(50_000), "? ".repeat(50_000), "{a: ".repeat(50_000), "!!seq ".repeat(50_000), "&a ".repeat(50_000)]
    {
        assert!(parse(&text).is_err());
    }
    look("--x\n".repeat(50_000).as_bytes());
}

#[test]
fn long_texts_take_no_longer_than_they_are() {
    // A quarter of a megabyte of each: what is quadratic would not come to an end.
    let size = 1 << 18;
    for piece in [
        "a",
        "a ",
        "- a\n",
        "a: b\n",
        "'",
        "\"a\" ",
        "#",
        "\n",
        "é",
        "é: ",
        "[a, ",
        "- {a: b, c: [d]}\n",
        "{{ a }} ",
        "0",
        ":",
        "a:b ",
        "\\",
    ] {
        let text: String = piece.repeat(size / piece.len());
        let _ = parse(&text);
        look(format!("#cloud-config\nruncmd:\n{text}").as_bytes());
        look(format!("## template: jinja\n#cloud-config\n{text}").as_bytes());
    }
    let keys: String = (0..20_000).map(|number| format!("key{number}: value\n")).collect();
    look(format!("#cloud-config\n{keys}").as_bytes());
}

#[test]
fn what_is_packed_is_unpacked_within_bounds() {
    use std::io::Write;

    let packed = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = packed(&vec![b'a'; 64 << 20]);
    let report = check(&[Document { name: "x", role: Role::UserData, bytes: &bomb }]);
    assert!(report.findings[0].message.contains("unpacks to more than 16777216 bytes"), "{:?}", report.findings);
    let cut = packed(b"#cloud-config\n");
    look(&cut[..cut.len() - 9]);
    let report = check(&[Document { name: "x", role: Role::UserData, bytes: &packed(b"#cloud-config\nhostnam: a\n") }]);
    assert_eq!(report.sources[report.findings[0].source].name, "x (unpacked)");
    assert_eq!(report.position(&report.findings[0]).unwrap().line, 2);
}
