//! HTTP: floods of headers and requests, claims of length, and clients that cut off what they say.

use std::io::Cursor;
use std::sync::Arc;

use seed::server::{Limits, Pair, Seeds, Service, Unwatched};
use seed::{InstanceId, MetaData, Seed};
use storage::Memory;

use crate::confined;

fn service() -> Service {
    let user_data = Arc::new(Memory::from(b"#cloud-config\n".to_vec()));
    let seed = Seed::generate(user_data, None, None, MetaData::default(), InstanceId::FromContent).unwrap();
    Service::new(Seeds::new(seed, Some(MetaData::default())).unwrap(), Arc::new(Unwatched), || 0, [7; 32])
}

/// The statuses of what one client gets for `bytes`.
fn statuses(service: &Service, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let mut output = Vec::new();
    service.serve(&mut Pair { input: Cursor::new(bytes.as_ref()), output: &mut output }, "x");
    let text = String::from_utf8(output).unwrap();
    let answers = text.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer.split(' ').next().unwrap().parse().unwrap()).collect()
}

const GET: &str = "GET /user-data HTTP/1.1\r\nHost: x\r\n";

#[test]
fn floods_of_headers_and_lines_are_refused_as_soon_as_they_are_too_much() {
    confined("http::floods_of_headers_and_lines_are_refused_as_soon_as_they_are_too_much", || {
        let size = 16 << 20;
        for (request, expected) in [
            (format!("{GET}{}\r\n", "A: b\r\n".repeat(size / 6)), 431),
            (format!("{GET}A: {}\r\n\r\n", "b".repeat(size)), 431),
            (format!("{GET}{}", "A".repeat(size)), 431),
            (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(size)), 414),
            ("X".repeat(size), 431),
        ] {
            assert_eq!(statuses(&service(), &request), [expected], "{}", &request[..40]);
        }
        assert_eq!(statuses(&service(), "\r\n".repeat(size / 2)), [431]);
    });
}

#[test]
fn claims_of_length_cost_nothing() {
    confined("http::claims_of_length_cost_nothing", || {
        let post =
            |length: &str| format!("POST /phone-home HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\na=b");
        for length in ["65537", "4294967296", "18446744073709551615", "18446744073709551616", &"9".repeat(4000)] {
            assert_eq!(statuses(&service(), post(length)), [413], "{length}");
        }
        for length in ["-1", "+3", "0x3", "3, 3", "3 3", ""] {
            assert_eq!(statuses(&service(), post(length)), [400], "{length}");
        }
        // The longest that may be, of which nothing comes: there is nobody to tell.
        assert_eq!(statuses(&service(), post("65536")), [] as [u16; 0]);
        let chunked = "POST /phone-home HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        assert_eq!(statuses(&service(), chunked), [411]);
        let both = format!("{GET}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert_eq!(statuses(&service(), both), [400]);
    });
}

#[test]
fn a_client_that_asks_without_an_end_gets_as_much_as_is_stated() {
    confined("http::a_client_that_asks_without_an_end_gets_as_much_as_is_stated", || {
        let get = format!("{GET}\r\n");
        let answered = statuses(&service(), get.repeat(400_000));
        assert_eq!(answered, vec![200; Limits::default().requests]);
        let many = (0..1 << 12).map(|number| format!("a{number}=b&")).collect::<String>();
        let post = format!("POST /phone-home HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{many}", many.len());
        assert_eq!(statuses(&service(), post), [400]);
        let deep = format!("GET {}user-data HTTP/1.1\r\nHost: x\r\n\r\n", "/a".repeat(1000));
        assert_eq!(statuses(&service(), deep), [404]);
    });
}

#[test]
fn what_is_cut_anywhere_is_answered_or_not_and_never_more() {
    let request = "POST /phone-home HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na=b";
    for end in 0..request.len() {
        assert!(!statuses(&service(), &request[..end]).contains(&200), "{end}");
    }
    assert_eq!(statuses(&service(), request), [200]);
}
