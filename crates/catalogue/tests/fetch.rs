//! Files come whole, or not at all, whatever the server does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Diary, PATH, World, noise, sha256};
use catalogue::cache::Algorithm;
use catalogue::transport::Error;
use catalogue::{Client, Digest, Download, Transport};
use testkit::judge::judge;
use testkit::site::Fault;

#[test]
fn a_file_comes_once_and_is_kept() {
    let bytes = noise(3_000_000, 1);
    let world = World::with(&bytes);
    let diary = Diary::default();
    let client = world.client();
    for _ in 0..2 {
        let entry = client.fetch(&world.download(&bytes), &world.cache, &diary).unwrap();
        assert_eq!((entry.size_bytes(), entry.path()), (3_000_000, &*world.cache.path_of(entry.digest())));
    }
    world.assert_holds(&bytes);
    assert_eq!(diary.lines(), ["started 0 of Some(3000000)", "finished 3000000", "cached 3000000"]);
    let requests = world.site.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    assert_eq!(requests[0].header("range"), None);
}

#[test]
fn a_connection_that_is_cut_again_and_again_is_gone_on_with() {
    let bytes = noise(3_000_000, 2);
    let world = World::with(&bytes);
    for after_bytes in [1_000_000, 0, 1, 700_000, 300_000, 0, 0, 0, 10] {
        world.site.once(PATH, Fault::Cut { after_bytes });
    }
    world.fetch(&bytes).unwrap();
    world.assert_holds(&bytes);
    let requests = world.site.requests();
    let ranges: Vec<Option<&str>> = requests.iter().map(|request| request.header("range")).collect();
    assert_eq!(
        ranges,
        [
            None,
            Some("bytes=1000000-"),
            Some("bytes=1000000-"),
            Some("bytes=1000001-"),
            Some("bytes=1700001-"),
            Some("bytes=2000001-"),
            Some("bytes=2000001-"),
            Some("bytes=2000001-"),
            Some("bytes=2000001-"),
            Some("bytes=2000011-"),
        ]
    );
    assert!(requests[1..].iter().all(|request| request.header("if-range").unwrap().starts_with('"')));
    assert_eq!(requests.iter().map(|request| request.sent_bytes).sum::<u64>(), 3_000_000);
}

#[test]
fn another_process_goes_on_with_what_one_has_left() {
    let bytes = noise(2_000_000, 3);
    let world = World::with(&bytes);
    world.site.once(PATH, Fault::Cut { after_bytes: 1_500_000 });
    for _ in 0..5 {
        world.site.once(PATH, Fault::Status { code: 500, retry_after: None });
    }
    let error = world.fetch(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`{}`: the server answers 500 (the server has a problem)", world.site.url(PATH))
    );
    assert_eq!(world.part_bytes(&bytes), Some(1_500_000));

    let diary = Diary::default();
    world.client().fetch(&world.download(&bytes), &world.cache, &diary).unwrap();
    world.assert_holds(&bytes);
    let lines = ["rehashing 1500000", "started 1500000 of Some(2000000)", "finished 2000000"];
    assert_eq!(diary.lines(), lines);
    assert_eq!(world.site.requests().last().unwrap().sent_bytes, 500_000);
}

#[test]
fn what_is_all_there_and_has_no_name_yet_needs_no_server() {
    let bytes = noise(100_000, 4);
    let world = World::new();
    let path = world.cache.path_of(&sha256(&bytes)).with_extension("part");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // As a process leaves it that ends right before the rename.
    fs::write(&path, &bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    world.fetch(&bytes).unwrap();
    world.assert_holds(&bytes);
    assert_eq!(world.site.requests().len(), 0);

    // Where nobody knows how many bytes there are, the server does.
    let bytes = noise(100_000, 5);
    world.site.put(PATH, bytes.clone());
    fs::write(world.cache.path_of(&sha256(&bytes)).with_extension("part"), &bytes).unwrap();
    let download = Download { size_bytes: None, ..world.download(&bytes) };
    world.client().fetch(&download, &world.cache, &Diary::default()).unwrap();
    let requests = world.site.requests();
    assert_eq!((requests.len(), requests[0].status, requests[0].sent_bytes), (1, 416, 0));
}

#[test]
fn a_part_that_is_wrong_is_thrown_away_and_fetched_anew() {
    let bytes = noise(400_000, 6);
    for (what, part) in [
        ("another file", noise(100_000, 7)),
        ("zeros after a power cut", [&bytes[..50_000], &[0; 50_000]].concat()),
        ("more than the file", noise(500_000, 7)),
        ("as much as the file", noise(400_000, 7)),
    ] {
        for knows_size in [true, false] {
            let world = World::with(&bytes);
            let path = world.cache.path_of(&sha256(&bytes)).with_extension("part");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, part.clone()).unwrap();
            let download = Download { size_bytes: knows_size.then_some(400_000), ..world.download(&bytes) };
            world.client().fetch(&download, &world.cache, &Diary::default()).unwrap_or_else(|error| {
                panic!("{what}: {error}");
            });
            world.assert_holds(&bytes);
        }
    }
}

/// What a fetch is like after its first connection was cut in the middle, with these faults from then on.
fn resumed_with(faults: impl IntoIterator<Item = Fault>) -> (Vec<String>, Vec<u64>) {
    let bytes = noise(1_000_000, 8);
    let world = World::with(&bytes);
    world.site.once(PATH, Fault::Cut { after_bytes: 600_000 });
    world.site.once_all(PATH, faults);
    let diary = Diary::default();
    world.client().fetch(&world.download(&bytes), &world.cache, &diary).unwrap();
    world.assert_holds(&bytes);
    let url = world.site.url(PATH);
    let lines = diary.lines().iter().map(|line| line.replace(&url, "URL")).collect();
    (lines, world.site.requests().iter().map(|request| request.sent_bytes).collect())
}

const CUT: &str = "retrying: `URL`: the connection ended too early";

#[test]
fn a_server_without_ranges_sends_it_all_again() {
    let (lines, sent) = resumed_with([Fault::NoRange]);
    assert_eq!(lines, ["started 0 of Some(1000000)", CUT, "started 0 of Some(1000000)", "finished 1000000"]);
    assert_eq!(sent, [600_000, 1_000_000]);
}

#[test]
fn a_server_that_names_no_version_is_gone_on_with() {
    for fault in [Fault::NoEtag, Fault::NoValidators] {
        let bytes = noise(1_000_000, 9);
        let world = World::with(&bytes);
        world.site.always(PATH, fault.clone()).once(PATH, Fault::Cut { after_bytes: 600_000 });
        world.fetch(&bytes).unwrap();
        world.assert_holds(&bytes);
        let requests = world.site.requests();
        let if_range = matches!(fault, Fault::NoEtag).then_some("Tue, 23 Apr 2024 18:05:09 GMT");
        assert_eq!((requests[1].header("if-range"), requests[1].sent_bytes), (if_range, 400_000));
    }
}

#[test]
fn a_wrong_range_is_not_put_to_the_rest() {
    for (range, problem) in [
        ("bytes 599999-999999/1000000", "its part of the file begins at 599999, not at 600000"),
        (
            "bytes 600000-999998/1000000",
            "its Content-Range is `bytes 600000-999998/1000000`, which does not match its Content-Length",
        ),
        ("bytes 600000-999999/1000001", "the file on the server has changed since its first bytes were fetched"),
        ("bytes 600000-", "its Content-Range is `bytes 600000-`"),
        ("bytes */1000000", "its Content-Range is `bytes */1000000`"),
    ] {
        let (lines, sent) = resumed_with([Fault::ContentRange(range.to_owned())]);
        let retrying = format!("retrying: `URL`: {problem}");
        assert_eq!(lines[1..], [CUT, &retrying, "started 0 of Some(1000000)", "finished 1000000"], "{range}");
        assert_eq!(sent[2], 1_000_000, "{range}");
    }
}

#[test]
fn a_file_that_changes_in_the_middle_is_never_mixed() {
    let (old, new) = (noise(1_000_000, 10), noise(1_000_000, 11));
    let change = || Fault::Change(new.clone().into());
    for (faults, lines) in [
        // An honest server sends the new file as a whole.
        (vec![change()], vec!["started 0 of Some(1000000)", CUT, "started 0 of Some(1000000)", "finished 1000000"]),
        (
            vec![change(), Fault::IgnoreIfRange],
            vec![
                "started 0 of Some(1000000)",
                CUT,
                "retrying: `URL`: the file on the server has changed since its first bytes were fetched",
                "started 0 of Some(1000000)",
                "finished 1000000",
            ],
        ),
        (
            vec![change(), Fault::IgnoreIfRange, Fault::NoValidators],
            vec![
                "started 0 of Some(1000000)",
                CUT,
                "started 600000 of Some(1000000)",
                "retrying: `URL` is MIXED, not NEW",
                "started 0 of Some(1000000)",
                "finished 1000000",
            ],
        ),
    ] {
        // Whoever wants the new one gets it …
        let world = World::with(&old);
        world.site.once(PATH, Fault::Cut { after_bytes: 600_000 }).once_all(PATH, faults.clone());
        let diary = Diary::default();
        world.client().fetch(&world.download(&new), &world.cache, &diary).unwrap();
        world.assert_holds(&new);
        let mixed = sha256(&[&old[..600_000], &new[600_000..]].concat()).to_string();
        let found = diary.lines().join("\n").replace(&world.site.url(PATH), "URL").replace(&mixed, "MIXED");
        assert_eq!(found.replace(&sha256(&new).to_string(), "NEW").lines().collect::<Vec<_>>(), lines);

        // … and whoever wants the old one gets nothing.
        let world = World::with(&old);
        world.site.once(PATH, Fault::Cut { after_bytes: 600_000 }).once_all(PATH, faults);
        let error = world.fetch(&old).unwrap_err();
        let (found, expected) = (sha256(&new), sha256(&old));
        assert_eq!(error.to_string(), format!("`{}` is {found}, not {expected}", world.site.url(PATH)));
        assert_eq!(world.names(), [""; 0]);
    }
}

#[test]
fn wrong_bytes_never_get_the_name() {
    let (wanted, wrong) = (noise(500_000, 12), noise(500_000, 13));
    let world = World::with(&wrong);
    let error = world.fetch(&wanted).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    assert_eq!(world.names(), [""; 0]);
    // It is asked for once: a second time would bring the same.
    assert_eq!(world.site.requests().len(), 1);
}

#[test]
fn a_file_of_another_size_is_not_fetched_at_all() {
    let world = World::with(&noise(500_000, 14));
    let wanted = noise(400_000, 14);
    let error = world.fetch(&wanted).unwrap_err();
    let url = world.site.url(PATH);
    assert_eq!(error.to_string(), format!("`{url}`: the file on the server has 500000 bytes, not 400000"));
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn lengths_that_are_not_true_are_noticed() {
    let bytes = noise(300_000, 15);
    let url_of = |world: &World| world.site.url(PATH);
    let fetch = |faults: &[Fault], knows_size: bool| {
        let world = World::with(&bytes);
        for fault in faults {
            world.site.always(PATH, fault.clone());
        }
        let download = Download { size_bytes: knows_size.then_some(300_000), ..world.download(&bytes) };
        let result = world.client().fetch(&download, &world.cache, &Diary::default());
        let error = result.map(drop).map_err(|error| error.to_string().replace(&url_of(&world), "URL"));
        if error.is_err() {
            world.assert_has_none(&bytes);
        } else {
            world.assert_holds(&bytes);
        }
        error
    };
    let length = |text: &str| Fault::ContentLength(text.to_owned());
    let error = |text: &str| Err(text.to_owned());
    // Too long, too short, and none at all, where the size is not known from elsewhere. The server says itself that
    // there is nothing behind the last byte, and then the digest is right.
    assert_eq!(fetch(&[length("300001")], false), Ok(()));
    let digest = sha256(&bytes[..299_999]);
    assert_eq!(fetch(&[length("299999")], false), error(&format!("`URL` is {digest}, not {}", sha256(&bytes))));
    assert_eq!(fetch(&[Fault::Chunked], false), Ok(()));
    assert_eq!(fetch(&[Fault::UntilClosed], false), Ok(()));
    assert_eq!(fetch(&[Fault::Chunked], true), Ok(()));
    assert_eq!(fetch(&[length("299999")], true), error("`URL`: the file on the server has 299999 bytes, not 300000"));
    for text in ["", "-1", "many", "300000, 300001"] {
        let error = fetch(&[length(text)], true).unwrap_err();
        assert!(error.contains("breaks HTTP's rules") || error.contains("is no number"), "{text}: {error}");
    }
}

#[test]
fn a_body_without_a_length_that_never_ends_is_left_at_the_known_size() {
    let world = World::with(&noise(5_000_000, 16));
    world.site.always(PATH, Fault::Chunked);
    let wanted = noise(1_000_000, 16);
    let error = world.fetch(&wanted).unwrap_err();
    let url = world.site.url(PATH);
    assert_eq!(error.to_string(), format!("`{url}`: it continues after its 1000000 bytes"));
    world.assert_has_none(&wanted);
}

#[test]
fn a_body_until_the_end_of_the_connection_may_be_cut_and_is_gone_on_with() {
    let bytes = noise(1_000_000, 17);
    let world = World::with(&bytes);
    world.site.once_all(PATH, [Fault::UntilClosed, Fault::Cut { after_bytes: 700_000 }]);
    world.fetch(&bytes).unwrap();
    world.assert_holds(&bytes);
    assert_eq!(world.site.requests()[1].sent_bytes, 300_000);
}

#[test]
fn encoded_bodies_are_refused() {
    let bytes = noise(1000, 18);
    let world = World::with(&bytes);
    world.site.always(PATH, Fault::Encoded);
    let error = world.fetch(&bytes).unwrap_err();
    assert!(error.to_string().ends_with("its answer is encoded (`gzip`), which imgraft did not ask for"), "{error}");
    assert!(world.client().small(&world.site.url(PATH), 1 << 20).is_err());
}

#[test]
fn an_empty_file_is_a_file() {
    let world = World::with(b"");
    world.fetch(b"").unwrap();
    world.assert_holds(b"");
}

#[test]
fn a_sha512_is_as_good() {
    let bytes = noise(600_000, 19);
    let world = World::with(&bytes);
    world.site.once(PATH, Fault::Cut { after_bytes: 100_000 });
    let digest = Digest::of(Algorithm::Sha512, &bytes);
    let entry = world.client().fetch(&Download { digest, ..world.download(&bytes) }, &world.cache, &Diary::default());
    assert_eq!(entry.unwrap().path(), world.cache.folder().join("sha512").join(digest.hex()));
    let path = world.cache.path_of(&digest);
    let said = judge("sha512sum").arg(&path).succeed();
    assert_eq!(said.stdout, format!("{}  {}\n", digest.hex(), path.display()));
}

#[test]
fn mirrors_are_asked_in_their_order_and_go_on_with_the_same_part() {
    let bytes = noise(1_000_000, 20);
    let world = World::with(&bytes);
    let other = World::with(&bytes);
    let third = World::with(&bytes);
    world.site.once(PATH, Fault::Cut { after_bytes: 300_000 });
    world.site.once(PATH, Fault::Status { code: 404, retry_after: None });
    let mut options = world.options();
    options.roots.extra = vec![other.site.authority(), third.site.authority()];
    let urls = [&world, &other, &third].map(|world| world.site.url(PATH)).to_vec();
    let diary = Diary::default();
    let download = Download { urls, ..world.download(&bytes) };
    Client::new(options).fetch(&download, &world.cache, &diary).unwrap();
    world.assert_holds(&bytes);
    let next = format!("next: `{}`: the server answers 404 (no such file)", world.site.url(PATH));
    assert_eq!(diary.lines()[2..], [&*next, "started 300000 of Some(1000000)", "finished 1000000"]);
    assert_eq!((other.site.requests().len(), third.site.requests().len()), (1, 0));
}

#[test]
fn what_was_wrong_at_each_mirror_is_told() {
    let bytes = noise(1000, 21);
    let world = World::with(&noise(1000, 22));
    let urls = vec![world.site.url("/nothing"), world.site.url(PATH)];
    let error = world.client().fetch(&Download { urls, ..world.download(&bytes) }, &world.cache, &Diary::default());
    let Err(Error::NoMirror { name, causes }) = error else { panic!("{error:?}") };
    assert_eq!(name, "noble");
    assert!(matches!(causes[..], [Error::Status { status: 404, .. }, Error::WrongDigest { .. }]), "{causes:?}");
}
