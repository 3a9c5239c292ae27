//! `imgraft compat-docs`: how each option of the programs that we stand in for stands, a page each.

use crate::cli::CompatDocs;
use crate::compat::FRONT_ENDS;
use crate::failure::Failure;

pub(super) fn run(arguments: &CompatDocs) -> Result<(), Failure> {
    for front_end in FRONT_ENDS {
        let path = arguments.folder.join(front_end.name).with_extension("md");
        std::fs::write(&path, front_end.page())
            .map_err(|error| Failure::because(format!("`{}` cannot be written", path.display()), &error))?;
    }
    Ok(())
}
