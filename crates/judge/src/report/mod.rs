//! A report as text, as JUnit's XML, and as a page.

mod junit;
mod page;
#[cfg(test)]
mod sample;
mod text;

pub use self::page::{page, timeline};
pub use junit::junit;
pub use text::text;
