//! A disk that is full, which needs root: a small file system of its own.
#![cfg(feature = "full-tests")]

use std::fs;
use std::path::PathBuf;

use crate::support::{Diary, PATH, World, noise};
use catalogue::transport::Error;
use catalogue::{Cache, Download, Transport, cache};
use testkit::judge::judge;
use testkit::site::Fault;

/// A file system of 4 MiB.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        judge("mount").args(["-t", "tmpfs", "-o", "size=4m", "imgraft-test"]).arg(&path).succeed();
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = judge("umount").arg(&self.0).run();
    }
}

#[test]
fn what_does_not_fit_is_not_begun_and_what_grows_over_the_edge_is_told() {
    let bytes = noise(5_000_000, 1);
    let world = World::with(&bytes);
    let small = Small::mount(world.path("small"));
    let cache = Cache::new(&small.0);
    let fetch = |size_bytes| {
        let download = Download { size_bytes, ..world.download(&bytes) };
        world.client().fetch(&download, &cache, &Diary::default())
    };
    let error = fetch(None).unwrap_err();
    let Error::Cache(cache::Error::NoSpace { needed_bytes, available_bytes, .. }) = error else { panic!("{error:?}") };
    assert_eq!(needed_bytes, Some(5_000_000));
    let said = judge("df").args(["--output=avail", "-B1"]).arg(&small.0).succeed().stdout;
    assert_eq!(said.lines().nth(1).unwrap().trim(), available_bytes.to_string());
    // It was the server that said how much there is, and nothing of it was written.
    assert_eq!(world.site.requests()[0].status, 200);
    let part = cache.path_of(&world.download(&bytes).digest).with_extension("part");
    assert_eq!(fs::metadata(&part).map_or(0, |metadata| metadata.len()), 0);

    // Nobody says how large it is before the disk is full.
    world.site.always(PATH, Fault::Chunked);
    let error = fetch(None).unwrap_err();
    assert!(error.to_string().ends_with("is full"), "{error}");
    // The next time, what the server says of the rest does.
    let have = fs::metadata(&part).unwrap().len();
    assert!(have > 3_000_000, "{have}");
    let error = fetch(None).unwrap_err();
    let Error::Cache(cache::Error::NoSpace { needed_bytes, .. }) = error else { panic!("{error:?}") };
    assert_eq!(needed_bytes, Some(5_000_000 - have));
    assert!(!cache.path_of(&world.download(&bytes).digest).exists());

    // With room it goes on from there.
    judge("mount").args(["-o", "remount,size=8m"]).arg(&small.0).succeed();
    let entry = fetch(Some(5_000_000)).unwrap();
    assert!(fs::read(entry.path()).unwrap() == bytes);
    assert_eq!(world.site.requests().last().unwrap().header("range"), Some(&*format!("bytes={have}-")));
}
