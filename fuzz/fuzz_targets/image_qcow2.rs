#![no_main]

#[path = "../src/containers.rs"]
#[allow(dead_code, reason = "each program has one target")]
mod containers;
#[path = "../src/input.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|input: &[u8]| containers::Target::Qcow2.run(input));
