//! `imgraft install-compat`: this program under the names of those whose command lines it speaks.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cli::InstallCompat;
use crate::compat::FRONT_ENDS;
use crate::environment;
use crate::failure::Failure;
use crate::show::Messages;

pub(super) fn run(arguments: &InstallCompat, messages: &Messages) -> Result<(), Failure> {
    let folder =
        std::fs::create_dir_all(&arguments.folder).and_then(|()| std::fs::canonicalize(&arguments.folder)).map_err(
            |error| Failure::because(format!("no links can be made in `{}`", arguments.folder.display()), &error),
        )?;
    let program = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .map_err(|error| Failure::because("it is not known where this program is", &error))?;
    let links: Vec<PathBuf> = FRONT_ENDS.iter().map(|front_end| folder.join(front_end.name)).collect();
    // All of them are looked at before the first is made.
    for link in &links {
        check(link, &program, arguments.force)?;
    }
    for link in &links {
        let target = target_in(&folder, &program);
        make(link, target).map_err(|error| Failure::because(format!("`{}` cannot be made", link.display()), &error))?;
        messages.note(format_args!("made {} -> {}", link.display(), target.display()));
    }
    tell_of_search_path(&folder, messages);
    Ok(())
}

/// What a link in `folder` points to: beside the program its name is enough, and both can move together.
fn target_in<'a>(folder: &Path, program: &'a Path) -> &'a Path {
    match (program.parent(), program.file_name()) {
        (Some(parent), Some(name)) if parent == folder => Path::new(name),
        _ => program,
    }
}

/// Refuses to replace what is not a link to a program like this.
fn check(link: &Path, program: &Path, force: bool) -> Result<(), Failure> {
    let cannot = |error: &io::Error| Failure::because(format!("`{}` cannot be made", link.display()), error);
    let metadata = match std::fs::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| cannot(&error))?,
    };
    if metadata.is_dir() {
        return Err(Failure::new(format!("`{}` is a directory", link.display())));
    }
    let is_ours =
        metadata.is_symlink() && std::fs::read_link(link).is_ok_and(|target| target.file_name() == program.file_name());
    match is_ours || force {
        true => Ok(()),
        false => Err(Failure::new(format!("`{}` is there and is not a link to imgraft", link.display()))
            .hint("choose another folder, or replace it with `--force`")),
    }
}

/// Makes the symlink, in place of what is there, in one step.
fn make(link: &Path, target: &Path) -> io::Result<()> {
    let mut temporary = link.as_os_str().to_owned();
    temporary.push(".imgraft-new");
    // One that is left from a run that was killed.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => symlink(target, &temporary)?,
    }
    std::fs::rename(&temporary, link)
}

/// Says whether the shell finds the links, and what it finds before them.
fn tell_of_search_path(folder: &Path, messages: &Messages) {
    let folders: Vec<PathBuf> = environment::search_path();
    let is_it = |other: &PathBuf| std::fs::canonicalize(other).is_ok_and(|other| other == folder);
    let Some(place) = folders.iter().position(is_it) else {
        messages.note(format_args!("{} is not on PATH: add it, before the others", folder.display()));
        return;
    };
    messages.note(format_args!("{} is on PATH", folder.display()));
    for front_end in FRONT_ENDS {
        let first = folders[..place].iter().map(|other| other.join(front_end.name)).find(|other| other.exists());
        if let Some(other) = first {
            messages.warning(format_args!("`{}` comes before it", other.display()));
        }
    }
}
