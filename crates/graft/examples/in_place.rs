#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example tells what it did")]
//! An image changed in its own file: all of it, or nothing.

use std::error::Error;
use std::path::Path;

use customize::{Append, Hostname};
use graft::{Error as JobError, Job, Watcher};

/// Gives the guest in `image` a name and a line in its hosts file.
pub(crate) fn in_place(image: &Path) -> Result<(), Box<dyn Error>> {
    let mut job = match Job::in_place(image, false) {
        Ok(job) => job,
        Err(JobError::InUse { path, in_use }) => return Err(format!("{}: {in_use}", path.display()).into()),
        Err(error) => return Err(error.into()),
    };
    job.operations.push(Hostname::parse("web".as_ref())?.into());
    job.operations.push(Append::parse("/etc/hosts:10.0.0.1 db".as_ref())?.into());
    for operation in job.run(&Watcher::silent())?.operations {
        println!("{}", operation.text);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    in_place("app.img".as_ref())
}
