//! What the fuzz targets have found: their corpus once more, without the fuzzer.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../../fuzz/src/containers.rs"]
#[allow(unreachable_pub, reason = "a part of another program")]
mod containers;
#[path = "../../../fuzz/src/input.rs"]
mod input;

use std::path::Path;

use containers::Target;

#[test]
fn each_input_of_the_corpus_ends_in_an_answer_or_an_error() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in Target::ALL {
        // The seeds as they are, and a change in the header of each.
        for number in 0..=u8::MAX {
            target.run(&[number]);
            target.run(&[number, 0, number, 3, 4, number / 2, 6]);
        }
        let folder = corpus.join(target.name());
        let mut inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() > 10, "{} has few inputs", folder.display());
        inputs.iter().for_each(|input| target.run(&std::fs::read(input).unwrap()));
    }
}
