//! `imgraft explain`: what an error means.

use crate::cli::explain::Explain;
use crate::explain::TOPICS;
use crate::failure::Failure;
use crate::show::print;

pub(super) fn run(arguments: &Explain) -> Result<(), Failure> {
    match &arguments.code {
        Some(code) => TOPICS.iter().filter(|topic| topic.code == code).try_for_each(|topic| print(topic.text)),
        None => TOPICS.iter().try_for_each(|topic| print(&format!("{:<13} {}\n", topic.code, topic.about))),
    }
}
