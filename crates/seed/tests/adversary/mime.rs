//! MIME: messages in messages, floods of parts and headers, and gzip that is more than it looks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use seed::check::Severity;

use crate::exercise::look;
use crate::{confined, gzip, has_limit, looked_at};

const HEAD: &str = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n";

#[test]
fn messages_in_messages_end() {
    confined("mime::messages_in_messages_end", || {
        let nested: String = (0..5000)
            .map(|level| format!("--x{level}\nContent-Type: multipart/mixed; boundary=x{}\n\n", level + 1))
            .collect();
        let text = format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x0\n\n{nested}");
        let report = looked_at(text.as_bytes());
        assert!(report.findings.iter().any(|finding| finding.message.contains("more than 8 deep")));
        // A container that is its own boundary's.
        let same = format!("{HEAD}\n{}", "--x\nContent-Type: multipart/mixed; boundary=x\n\n".repeat(20_000));
        look(same.as_bytes());
    });
}

#[test]
fn floods_of_parts_and_headers_end() {
    confined("mime::floods_of_parts_and_headers_end", || {
        for text in [
            format!("{HEAD}\n{}", "--x\n".repeat(300_000)),
            format!("{HEAD}\n{}", "--x\n\n#!/bin/sh\n".repeat(50_000)),
            format!("{HEAD}\n{}", "--x\nContent-Transfer-Encoding: no\n\nx\n".repeat(50_000)),
            format!("{HEAD}{}\n", "A: b\n".repeat(1_000_000)),
            format!("{HEAD}{}\n", "Content-Type: text/plain\n".repeat(200_000)),
            format!("{HEAD}Content-Disposition: a\n{}\n", " b\n".repeat(500_000)),
            format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary={}\n\n--x\n", "x".repeat(4 << 20)),
        ] {
            looked_at(text.as_bytes());
        }
    });
}

/// What is between two `;` is one parameter, however many of them have no name.
#[test]
fn a_flood_of_parameters_is_read_once() {
    confined("mime::a_flood_of_parameters_is_read_once", || {
        let text = format!("MIME-Version: 1.0\nContent-Type: multipart/mixed{}\n\n", ";".repeat(2 << 20));
        let report = looked_at(text.as_bytes());
        assert!(report.findings.iter().any(|finding| finding.message.contains("has no boundary")));
        let text = format!("{HEAD}\n--x\nContent-Disposition: a{}\n\nx\n--x--\n", "; b".repeat(1 << 20));
        looked_at(text.as_bytes());
    });
}

#[test]
fn gzip_in_parts_and_in_itself_is_bounded_over_all() {
    confined("mime::gzip_in_parts_and_in_itself_is_bounded_over_all", || {
        // 16 MiB each, which one may be, and a hundred of them.
        let bomb = gzip(&[&b"#!/bin/sh\n"[..], &vec![b'#'; (16 << 20) - 10]].concat());
        let packed = "Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n";
        let part = format!("--x\n{packed}\n{}\n", BASE64.encode(&bomb));
        let text = format!("{HEAD}\n{}--x--\n", part.repeat(100));
        let report = looked_at(text.as_bytes());
        assert!(has_limit(&report), "{} findings", report.findings.len());
        let kept: usize = report.sources.iter().map(|source| source.text.len()).sum();
        assert!(kept < 90 << 20, "{kept}");
        // The same whose checksum is wrong at the end, and which cloud-init does not unpack again.
        let mut broken = bomb.clone();
        let end = broken.len() - 8;
        broken[end] ^= 1;
        let part = format!("--x\n{packed}\n{}\n", BASE64.encode(&broken));
        let text = format!("{HEAD}\n{}--x--\n", part.repeat(100));
        assert!(has_limit(&looked_at(text.as_bytes())));
        let mut nested = bomb;
        for _ in 0..20 {
            nested = gzip(&nested);
        }
        looked_at(&nested);
        // What a few parts have is looked at.
        let part = format!("--x\n{packed}\n{}\n", BASE64.encode(gzip(b"#cloud-config\nhostnam: a\n")));
        let report = looked_at(format!("{HEAD}\n{}--x--\n", part.repeat(3)).as_bytes());
        assert_eq!(report.count(Severity::Error), 3, "{:?}", report.findings);
    });
}

#[test]
fn lies_about_the_encoding_are_told() {
    for (headers, body) in [
        ("Content-Transfer-Encoding: base64", "I2Nsb"),
        ("Content-Transfer-Encoding: base65", "YQ=="),
        ("Content-Type: application/gzip", "no gzip"),
        ("Content-Type: application/gzip\nContent-Transfer-Encoding: base64", "H4sIAAAAAAAA"),
        ("Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable", "=FF=FE"),
    ] {
        let report = looked_at(format!("{HEAD}\n--x\n{headers}\n\n{body}\n--x--\n").as_bytes());
        assert!(report.findings.iter().any(|finding| finding.severity >= Severity::Warning), "{headers}");
    }
}
