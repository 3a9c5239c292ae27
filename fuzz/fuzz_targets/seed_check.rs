#![no_main]

#[path = "../../crates/seed/tests/exercise/check.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    exercise::any(input);
});
