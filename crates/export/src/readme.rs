//! What every folder has: what is in it, what to do with it, and the digests.

use askama::Template;

use crate::{Subject, Target, Text};

/// The file that says what the others are and which commands bring them in.
pub const README: &str = "README.txt";
/// The file with the digests of the others, which `sha256sum -c` accepts.
pub const SUMS: &str = "SHA256SUMS";

#[derive(Template)]
#[template(path = "readme.txt")]
struct Readme<'a> {
    target: &'a Target,
    subject: &'a Subject,
    files: Vec<(String, &'static str)>,
    commands: &'a [String],
    placeholders: Vec<crate::Placeholder>,
}

/// The text of [`README`].
pub fn readme(target: &Target, subject: &Subject, commands: &[String]) -> Text {
    let name = |end: &str| if end.starts_with(['.', '-']) { subject.file(end) } else { end.to_owned() };
    let mut files: Vec<_> = target.contents.iter().map(|&(end, what)| (name(end), what)).collect();
    if subject.has_seed && target.package == crate::Package::None {
        files.push((subject.seed_name(), "the seed"));
    }
    let placeholders = target.open_placeholders(subject);
    let readme = Readme { target, subject, files, commands, placeholders };
    // Writing to a `String` cannot fail.
    Text::new(README.to_owned(), format!("{}\n", readme.render().unwrap_or_default().trim_end()))
}

/// The text of [`SUMS`], of files and their digests.
pub fn sums(files: &[(String, String)]) -> Text {
    let lines: String = files.iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect();
    Text::new(SUMS.to_owned(), lines)
}
