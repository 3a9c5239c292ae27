//! What the fuzz target has found: its corpus once more, without the fuzzer.

use std::path::Path;

use crate::exercise::Published;

#[test]
fn what_is_taken_of_each_input_of_the_corpus_is_what_was_signed() {
    let published = Published::new();
    // All as it is, without a change, and nothing at all.
    (0..=u8::MAX).for_each(|number| published.any(&[number]));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/catalogue_signature");
    let mut inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 10, "{} has few inputs", folder.display());
    inputs.iter().for_each(|input| published.any(&std::fs::read(input).unwrap()));
}
