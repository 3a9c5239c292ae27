//! A first boot that is followed and judged: its stages, what was expected of it, and the verdict.

pub mod agent;
pub mod console;
pub mod follow;
mod stage;

pub use stage::Stage;
