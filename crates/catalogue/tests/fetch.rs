//! Files come whole, or not at all, whatever the server does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use catalogue::Transport;
use support::{Diary, PATH, World, noise};
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
