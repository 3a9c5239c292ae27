//! What the fuzz target of edits in place has found: its corpus once more, without the fuzzer, and inputs that
//! are made up.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../../fuzz/src/input.rs"]
#[allow(unreachable_pub, dead_code, missing_docs, reason = "a part of another program")]
mod input;
#[path = "../../../fuzz/src/qcow2_edit.rs"]
#[allow(unreachable_pub, missing_docs, reason = "a part of another program")]
mod qcow2_edit;

mod judge;

use std::path::Path;

use judge::Random;
use judge::in_place::rounds;

#[test]
fn each_input_of_the_corpus_ends_in_an_answer_or_an_error() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/qcow2_edit");
    let mut inputs: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 10, "{} has few inputs", corpus.display());
    inputs.iter().for_each(|input| qcow2_edit::run(&std::fs::read(input).unwrap()));
}

#[test]
fn broken_images_are_edited_or_refused() {
    let mut random = Random(1);
    for _ in 0..rounds(3000) {
        let length = random.below(60) as usize;
        let input: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        if let Err(panic) = std::panic::catch_unwind(|| qcow2_edit::run(&input)) {
            eprintln_input(&input);
            std::panic::resume_unwind(panic);
        }
    }
}

#[allow(clippy::print_stderr, reason = "the input that fails")]
fn eprintln_input(input: &[u8]) {
    eprintln!("input={input:?}");
}
