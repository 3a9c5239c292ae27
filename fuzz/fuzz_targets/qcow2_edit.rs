#![no_main]

#[path = "../src/input.rs"]
#[allow(dead_code)]
mod input;
#[path = "../src/qcow2_edit.rs"]
mod qcow2_edit;

libfuzzer_sys::fuzz_target!(|input: &[u8]| qcow2_edit::run(input));
