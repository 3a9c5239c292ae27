//! Doing what a command line asks for: all of it, or nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use customize::{Lines, Operation, RunError, Warning};
use graft::{Backing, Event, Job, OpenedFile, OpenedImage, Watcher, scratch_disk, temporary_folder};
use guest::Guest;
use image::{Format, NewClusters};

use super::frame::frame;
use super::parse::{Drive, Request, Stop};
use super::translate::Step;
use super::voice::Voice;
use crate::environment;
use crate::failure::Failure;

/// The files under an image are opened, as by the original.
const BACKING: Backing = Backing::Open;
const NO_SYSTEM: &str = "no operating systems were found in the guest image";

/// The warning of files without labels, by the option that there is here.
const UNLABELLED: &str = "the guest enforces SELinux and what is new has no label: `--selinux-relabel` has it labelled \
                          at the next boot";
/// The same, where that option did nothing.
const UNLABELLABLE: &str = "the guest enforces SELinux and what is new has no label: nothing was relabelled, since \
                            there is no /usr/sbin/load_policy in the guest";

/// Does what `request` asks for, and says so.
pub(super) fn run(request: &Request) -> Result<(), Stop> {
    let voice = &request.voice;
    for name in environment::names_that_begin_with("LIBGUESTFS_") {
        voice.debug(format_args!("{} has no effect: no appliance is started", name.display()));
    }
    for (option, why) in &request.without_effect {
        voice.debug(format_args!("{option} has no effect: {why}"));
    }
    voice.message("Examining the guest ...");
    let steps = request.actions.iter().map(|action| Step::of(action, &request.differences));
    let steps = steps.collect::<Result<Vec<Step>, Stop>>()?;
    let mut systems = Vec::new();
    for drive in &request.drives {
        match look(request, drive)? {
            Some(guest) => systems.push((drive, guest)),
            None => voice.debug(format_args!("{}: no operating system is on it", drive.path.display())),
        }
    }
    if systems.is_empty() {
        let stop = Stop::error(NO_SYSTEM);
        return Err(match request.drives.iter().find_map(hidden_by_format) {
            Some(hint) => stop.hint(hint),
            None => stop,
        });
    }
    for (drive, mut guest) in systems {
        let mut each = Vec::new();
        for index in 0..guest.systems() {
            guest.enter_system(index).map_err(|error| stop(unusable(drive, error)))?;
            let mut steps = frame(request, steps.clone(), &guest)?;
            if guest.systems() > 1 {
                let message = format!("Changing the system on {}", guest.root_volume());
                steps.insert(0, Step::new(message, Vec::new()));
            }
            each.push(steps);
        }
        drop(guest);
        change(request, drive, each)?;
    }
    voice.message("Finishing off");
    Ok(())
}

/// The guest on a drive, for a look, if there is one.
fn look(request: &Request, drive: &Drive) -> Result<Option<Guest>, Stop> {
    let path = &drive.path;
    let OpenedImage { image, layers, .. } = match open(drive) {
        Ok(opened) => opened,
        Err(graft::Error::Image { error: image::Error::NotAnImage { .. }, .. }) => return Ok(None),
        Err(error) => return Err(stop(error)),
    };
    for layer in layers.iter().skip(1) {
        request.voice.message(format_args!("Reading the backing file {}, which stays as it is", layer.path.display()));
    }
    let found = image.info().format;
    if let Some(format) = &drive.format
        && *format != found.qemu_name()
    {
        return match format.as_encoded_bytes() {
            // What is in a qcow2 that is read as raw is no guest.
            b"raw" => Ok(None),
            _ => Err(Stop::error(format!("{}: the format is {found}, not {}", path.display(), format.display()))
                .hint("leave out `--format`")),
        };
    }
    if found != Format::Raw && path.extension().is_some_and(|extension| extension == "raw") {
        request.voice.warning(format_args!(
            "{} is {found} and not raw: QEMU needs format={}, or `imgraft convert` makes a raw image of it",
            path.display(),
            found.qemu_name()
        ));
    }
    match Guest::open_first(scratch_disk(&image)) {
        Ok(guest) => Ok(Some(guest)),
        Err(guest::Error::NoRoot { .. }) => Ok(None),
        Err(error) => Err(stop(unusable(drive, error))),
    }
}

fn unusable(drive: &Drive, error: guest::Error) -> graft::Error {
    graft::Error::Guest { path: drive.path.clone(), error }
}

/// The image of a drive, for a look.
fn open(drive: &Drive) -> Result<OpenedImage, graft::Error> {
    let silent = Watcher::silent();
    OpenedFile::look(&drive.path, &silent)?.image(BACKING, &temporary_folder(), &silent)
}

/// Why there may be no guest on a drive.
fn hidden_by_format(drive: &Drive) -> Option<String> {
    drive.format.as_ref().filter(|format| *format == "raw")?;
    let found = open(drive).ok()?.image.info().format;
    let path = drive.path.display();
    (found != Format::Raw)
        .then(|| format!("`{path}` is {found}, and `--format raw` hides what is in it: leave that out"))
}

/// Changes the image of `drive`: each system on it by its own steps.
fn change(request: &Request, drive: &Drive, systems: Vec<Vec<Step>>) -> Result<(), Stop> {
    let of = |steps: &Vec<Step>| -> Vec<Operation> { steps.iter().flat_map(|step| step.operations.clone()).collect() };
    let mut operations = systems.iter().map(of);
    let mut job = Job::in_place(&drive.path, request.dry_run).map_err(stop)?;
    job.backing = BACKING;
    job.operations = operations.next().unwrap_or_default();
    job.other_systems = operations.collect();
    job.new_clusters = request.differences.plain_clusters.then_some(NewClusters::Plain);
    job.options.modified = environment::source_date_epoch().map_err(failed)?;
    job.options.network = request.network;
    job.options.runner = Some(crate::runner::runner(crate::runner::Kind::Auto, recipe::CommandLimits::default()));
    job.options.existing_parents = true;
    job.options.without_advice = true;
    job.options.without_labels = request.no_relabel;
    let all: Vec<Operation> = systems.iter().flat_map(of).collect();
    let begun = Arc::new(AtomicUsize::new(0));
    let narrate = narrator(request.voice, systems.concat());
    let voice = request.voice;
    let lines = Mutex::new(Lines::default());
    let last = Arc::clone(&begun);
    let watcher = Watcher::new(move |event: Event<'_>| {
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Output { bytes, .. } => lines.take(bytes, &mut |line| voice.output(line)),
            Event::Operation(_) | Event::Ends(_) => lines.rest().iter().for_each(|line| voice.output(line)),
            _ => {}
        }
        if let Event::Operation(index) = event {
            last.store(index, Ordering::Relaxed);
            narrate(index);
        }
    });
    let report = job.run(&watcher).map_err(|error| match ended(&error, all.get(begun.load(Ordering::Relaxed))) {
        Some(text) => with_hint(text, stop(error)),
        None => stop(error),
    })?;
    for warning in &report.warnings {
        match (warning.starts_with(Warning::UNLABELLED), request.relabel && !request.no_relabel) {
            (false, _) => request.voice.warning(warning),
            (true, false) => request.voice.warning(UNLABELLED),
            (true, true) => request.voice.warning(UNLABELLABLE),
        }
    }
    for operation in &report.operations {
        request.voice.debug(&operation.text);
    }
    Ok(())
}

/// Says what each step has to say when its first operation begins; one without operations, with the next.
fn narrator(voice: Voice, steps: Vec<Step>) -> Box<dyn Fn(usize) + Send + Sync> {
    let firsts: Vec<usize> = steps
        .iter()
        .scan(0, |count, step| {
            let first = *count;
            *count += step.operations.len();
            Some(first)
        })
        .collect();
    let unsaid = Mutex::new(firsts.into_iter().zip(steps).collect::<VecDeque<_>>());
    Box::new(move |index| {
        let mut unsaid = unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        while unsaid.front().is_some_and(|(first, _)| *first <= index) {
            let Some((_, step)) = unsaid.pop_front() else { return };
            step.messages.iter().for_each(|message| voice.message(message));
            step.warnings.iter().for_each(|warning| voice.warning(warning));
            step.facts.iter().for_each(|fact| voice.info(fact));
        }
    })
}

fn stop(error: graft::Error) -> Stop {
    let needs_network = matches!(error, graft::Error::Operation(customize::Error::NoNetwork { .. }));
    let stop = failed(error.into());
    if needs_network { stop.hint("leave out `--no-network`") } else { stop }
}

/// The error `text`, with what there is to do about `other`.
fn with_hint(text: String, other: Stop) -> Stop {
    match other {
        Stop::Error(_, hint) => Stop::Error(text, hint),
        other => other,
    }
}

/// What the original says of `operation` if its command failed. What that wrote is told already.
fn ended(error: &graft::Error, operation: Option<&Operation>) -> Option<String> {
    let graft::Error::Operation(customize::Error::Run(RunError::Failed { name, .. })) = error else { return None };
    let command = match operation {
        Some(Operation::Run(run)) => run.command.clone(),
        Some(Operation::RunScript(run)) => run.script.display().to_string(),
        _ => name.clone(),
    };
    Some(format!("{command}: command exited with an error"))
}

fn failed(failure: Failure) -> Stop {
    let text = failure.in_one_line();
    match failure.hint {
        Some(hint) => Stop::error(text).hint(hint),
        None => Stop::error(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use customize::{Ended, Install, Run, RunScript};

    /// The original's words, observed for `--run-command 'echo two; false'`.
    #[test]
    fn a_command_that_fails_is_told_in_the_originals_words() {
        let failed = |name: &str| {
            let (status, log) = (Ended::Exited(1), Some("/tmp/x.log".into()));
            let last_lines = vec!["two".to_owned()];
            graft::Error::Operation(RunError::Failed { name: name.to_owned(), status, last_lines, log }.into())
        };
        let long = format!("echo {}\nfalse", "two ".repeat(30));
        for (operation, text) in [
            (Run::parse(long.as_ref()).unwrap().into(), format!("{long}: command exited with an error")),
            (RunScript::parse("s.sh".as_ref()).unwrap().into(), "s.sh: command exited with an error".to_owned()),
            (Install::parse("a,b".as_ref()).unwrap().into(), "the step: command exited with an error".to_owned()),
        ] {
            assert_eq!(ended(&failed("the step"), Some(&operation)), Some(text));
        }
        let hint = "nothing was changed; all that the command wrote is in /tmp/x.log";
        assert_eq!(with_hint("text".to_owned(), stop(failed("x"))), Stop::error("text").hint(hint));
        assert_eq!(ended(&graft::Error::Changed { path: "x".into() }, None), None);
    }
}
