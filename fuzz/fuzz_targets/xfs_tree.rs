#![no_main]

#[path = "../src/input.rs"]
mod input;
#[path = "../src/xfs_edit.rs"]
mod xfs_edit;

libfuzzer_sys::fuzz_target!(|input: &[u8]| xfs_edit::run(input));
