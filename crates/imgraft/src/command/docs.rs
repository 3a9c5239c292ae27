//! `imgraft docs`: the tables of `docs/`, from the definitions that the program itself uses.

use std::fmt::Write;
use std::path::Path;

use customize::{Verb, verbs};

use crate::cli::Docs;
use crate::compat::{FRONT_ENDS, cell};
use crate::failure::Failure;

/// The lines of `verbs.md` that are before and after its table.
const BEGIN: &str = "<!-- begin of the table that `imgraft docs docs` makes -->\n";
const END: &str = "<!-- end of the table -->\n";

pub(super) fn run(arguments: &Docs) -> Result<(), Failure> {
    for front_end in FRONT_ENDS {
        let path = arguments.folder.join("compat").join(front_end.name).with_extension("md");
        write(&path, &front_end.page())?;
    }
    let path = arguments.folder.join("verbs.md");
    let page = std::fs::read_to_string(&path)
        .map_err(|error| Failure::because(format!("`{}` cannot be read", path.display()), &error))?;
    let page = with_verbs(&page)
        .ok_or_else(|| Failure::new(format!("`{}` has no place for the table of the verbs", path.display())))?;
    write(&path, &page)
}

fn write(path: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(path, page)
        .map_err(|error| Failure::because(format!("`{}` cannot be written", path.display()), &error))
}

/// `page` with a new table of the verbs between its two markers.
fn with_verbs(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut table = "| flag | step of a recipe | what it does |\n| --- | --- | --- |\n".to_owned();
    verbs().for_each(|verb| table.push_str(&row(verb)));
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn row(verb: &Verb) -> String {
    let flags = verb.flags.iter().map(|flag| match flag.value {
        Some(value) => format!("`--{} {value}`", flag.name),
        None => format!("`--{}`", flag.name),
    });
    let mut step = format!("`{} = {}`", verb.step.name, verb.step.value);
    verb.step.keys.iter().for_each(|key| {
        let _ = write!(step, ", `{key}`");
    });
    let help: Vec<&str> = verb.flags.iter().map(|flag| flag.help).collect();
    let columns = [flags.collect::<Vec<_>>().join(", "), step, help.join(". ")];
    format!("| {} |\n", columns.map(|column| cell(&column)).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_flags_step_and_help() {
        let row_of = |name: &str| row(verbs().find(|verb| verb.step.name == name).unwrap());
        let hardlink = "| `--hardlink TARGET:LINK[:LINK]` | `hardlink = LINK`, `target` | \
                        Make LINK another name of the file TARGET, as `ln -f` does |\n";
        assert_eq!(row_of("hardlink"), hardlink);
        assert!(row_of("truncate").starts_with("| `--truncate PATH`, `--truncate-recursive PATH` | `truncate = PATH`"));
        assert!(row_of("relabel").starts_with("| `--relabel` | `relabel = true` | Have"));
    }

    #[test]
    fn the_table_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verbs.md");
        let written = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(Some(written.as_str()), with_verbs(&written).as_deref(), "make it new with `imgraft docs docs`");
    }
}
