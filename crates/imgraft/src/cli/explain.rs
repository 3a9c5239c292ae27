//! `imgraft explain`.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use crate::explain::TOPICS;

pub(crate) const EXAMPLES: &str = "\
Examples:
  imgraft explain in-use
  imgraft explain                                   the codes that there are";

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code at the end of the error
    #[arg(value_parser = codes())]
    pub(crate) code: Option<String>,
}

fn codes() -> PossibleValuesParser {
    TOPICS.map(|topic| PossibleValue::new(topic.code).help(topic.about)).into()
}
