//! Images built to hurt: shared tables, floods and false sizes. Each ends in findings or an error within the limit of
//! time, which is generous: without its bound each takes many times as long.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod qcow2;
mod vmdk;
mod wrapped;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use image::{Container, Image, NewClusters, Qcow2Options, Source, WriteOptions};
use storage::Memory;

/// The time that each may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The result of `work`, which must come within the limit.
fn within_limit<T>(work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    assert!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
    result
}

/// The error of converting the image in `bytes`, which is the same for each format.
fn not_converted(bytes: Vec<u8>) -> String {
    let image = Image::open(Memory::from(bytes), None).unwrap();
    let options = WriteOptions { new_clusters: NewClusters::Compressed { level: 1 }, threads: NonZeroUsize::MIN };
    let said = [Container::Raw, Container::Qcow2(Qcow2Options::default()), Container::Vmdk].map(|container| {
        let target = tempfile::tempfile().unwrap();
        let source = Source::image(&image);
        let convert = || image::convert(&source, &target, &container, &options, &|_, _| ());
        let error = within_limit(convert).unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.last().unwrap().to_string()
    });
    assert!(said.iter().all(|text| *text == said[0]), "{said:?}");
    said[0].clone()
}
