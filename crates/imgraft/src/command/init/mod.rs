//! `imgraft init`: a recipe for the project in a folder, to begin with.

mod look;
mod recipe;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use self::look::Project;
use self::recipe::Draft;
use super::build::DEFAULT_RECIPE;
use crate::cli::init::Init;
use crate::failure::Failure;
use crate::show::Messages;

pub(super) fn run(arguments: &Init, messages: &Messages) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let project = Project::look(folder).map_err(|error| {
        let failure = Failure::because(format!("the folder `{}` cannot be read", folder.display()), &error);
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint("name the folder of a project, or make one with `mkdir`"),
            _ => failure,
        }
    })?;
    // The name that a user in this folder would type.
    let path = if folder == Path::new(".") { DEFAULT_RECIPE.into() } else { folder.join(DEFAULT_RECIPE) };
    let build = match folder == Path::new(".") {
        true => "imgraft build".to_owned(),
        false => format!("imgraft build {}", vm::quoted(path.as_os_str())),
    };
    let draft = Draft::new(&project);
    let written = OpenOptions::new().write(true).create_new(true).open(&path);
    written.and_then(|mut file| file.write_all(draft.text().as_bytes())).map_err(|error| {
        let failure = Failure::because(format!("`{}` cannot be written", path.display()), &error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::new(format!("there is a recipe already: `{}`", path.display()))
                .hint(format!("`{build}` builds what it says; `imgraft init` replaces nothing")),
            _ => failure,
        }
    })?;
    messages.note(format_args!("wrote {}: {}", path.display(), draft.summary()));
    if project.programs.len() > 1 && project.program().is_none() {
        let names: Vec<_> = project.programs.iter().map(|program| program.path.display().to_string()).collect();
        messages.warning(format_args!(
            "there are several programs, and none is called `{}`: name the one that goes in as `file` in the recipe: {}",
            project.name,
            words::quoted_list(names, "or")
        ));
    }
    messages.note(format_args!("next: {}", draft.next(&build)));
    Ok(())
}
