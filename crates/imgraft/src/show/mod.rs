//! What a user sees: text and JSON on standard output, messages and progress on standard error.

pub(crate) mod account;
mod annotation;
pub(crate) mod difference;
mod download;
mod findings;
mod messages;
mod occasional;
mod output;
mod pace;
mod progress;
mod recipe;
mod report;
mod sarif;
pub(crate) mod seed;
pub(crate) mod terminal;
mod time;

pub(crate) use self::annotation::Annotation;
pub(crate) use self::download::DownloadProgress;
pub(crate) use self::findings::{findings_text, tell_findings};
pub(crate) use self::messages::{MessageFormat, Messages, count, print, print_bytes, print_json, stdout_failure};
pub(crate) use self::progress::{Progress, Spinner};
pub(crate) use self::recipe::recipe_failure;
pub(crate) use self::report::{clusters_line, print_report, tell_report};
pub(crate) use self::sarif::sarif;
pub(crate) use self::time::{minutes, rfc3339};
