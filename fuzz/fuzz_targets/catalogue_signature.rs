#![no_main]

#[path = "../../crates/catalogue/tests/exercise/mod.rs"]
mod exercise;

use std::sync::LazyLock;

use exercise::Published;

static PUBLISHED: LazyLock<Published> = LazyLock::new(Published::new);

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    PUBLISHED.any(input);
});
