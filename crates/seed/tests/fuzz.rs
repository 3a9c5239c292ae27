//! What the fuzz targets have found: their corpus once more, without the fuzzer.

#[path = "exercise/check.rs"]
mod check;
#[path = "exercise/server.rs"]
mod server;

use std::path::Path;

/// The inputs of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 10, "{} has few inputs", folder.display());
    inputs.iter().map(|input| std::fs::read(input).unwrap()).collect()
}

#[test]
fn what_is_said_of_each_text_of_the_corpus_is_said_of_a_place_in_it() {
    (0..=u8::MAX).for_each(|number| check::any(&[number]));
    corpus("seed_check").iter().for_each(|input| check::any(input));
}

#[test]
fn what_each_client_of_the_corpus_is_answered_is_framed_and_no_secret() {
    let mut world = server::World::new();
    corpus("seed_server").iter().for_each(|input| world.any(input));
}
