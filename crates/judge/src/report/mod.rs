//! A report as text, as JUnit's XML, as a page.

mod text;

pub use text::text;
