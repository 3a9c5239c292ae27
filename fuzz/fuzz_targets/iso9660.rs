#![no_main]

#[path = "../../crates/iso9660/tests/exercise/mod.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    exercise::broken(input);
});
