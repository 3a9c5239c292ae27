#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example tells what it did")]
//! A new image: the base with a program in it, which only root may change.

use std::error::Error;
use std::path::Path;

use customize::{Put, Write};
use graft::{Event, Job, Watcher};

/// Puts `program` into a copy of `base`, which is `target`.
pub(crate) fn new_image(base: &Path, program: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let put = format!("{}:/usr/local/bin/app:0755", program.display());
    let mut job = Job::new_image(base, target)?;
    job.operations.push(Put::parse(put.as_ref())?.into());
    job.operations.push(Write::parse("/etc/motd:Welcome".as_ref())?.into());
    let watcher = Watcher::new(|event: Event<'_>| {
        if let Event::Warning(text) = event {
            eprintln!("warning: {text}");
        }
    });
    let report = job.run(&watcher)?;
    println!("{}: {} bytes, {} operations", report.output, report.virtual_size_bytes, report.operations.len());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    new_image("noble.img".as_ref(), "dist/app".as_ref(), "app.img".as_ref())
}
