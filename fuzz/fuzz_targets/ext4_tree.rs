#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| imgraft_fuzz::Target::Tree.run(input));
