#![no_main]

#[path = "../../crates/seed/tests/exercise/server.rs"]
mod exercise;

use std::cell::RefCell;

use exercise::World;

thread_local! {
    // Not a plain static, which would leave its folder behind.
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    WORLD.with_borrow_mut(|world| world.any(input));
});
