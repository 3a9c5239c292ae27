//! A command line for the tests of this crate:
//! `sandbox-probe [OPTION]… FOLDER COMMAND…` runs a command in a folder (itself, or served through FUSE), passes on what it says, and writes how it ended
//! to standard error.

#![allow(clippy::print_stderr, reason = "what the tests read")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[cfg(feature = "full-tests")]
mod serve;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use sandbox::{Confinement, File, Ids, Owners, Root, Spec, start};

/// Says on standard error what a sandbox with a single id has recorded, by the numbers of files.
struct Recorder;

impl Owners for Recorder {
    fn chown(&self, mount: usize, inode: u64, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        // As a file system would that cannot keep such an owner.
        if uid == Some(4_000_000_000) {
            return Err(io::Error::from_raw_os_error(28));
        }
        let id = |id: Option<u32>| id.map_or("-".to_owned(), |id| id.to_string());
        eprintln!("chown {mount} {inode} {} {}", id(uid), id(gid));
        Ok(())
    }

    fn make_node(&self, mount: usize, directory: u64, name: &OsStr, mode: u32, device: u64) -> io::Result<()> {
        eprintln!("node {mount} {directory} {} {mode:o} {device:x}", name.display());
        Ok(())
    }

    fn set_xattr(&self, mount: usize, inode: u64, name: &OsStr, value: &[u8]) -> io::Result<()> {
        eprintln!("xattr {mount} {inode} {} {}", name.display(), String::from_utf8_lossy(value));
        Ok(())
    }
}

fn main() -> ExitCode {
    sandbox::enter_if_asked();
    let mut arguments = std::env::args_os().skip(1).peekable();
    let mut spec = Spec::new(Root::Folder("/".into()), [""; 0]);
    let mut stop_after = None;
    let mut mount_points = Vec::new();
    while let Some(option) = arguments.next_if(|next| next.to_string_lossy().starts_with("--")) {
        let option = option.into_string().unwrap();
        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
        let number = || value.parse::<u64>().unwrap();
        match name {
            "--network" => spec.network = true,
            "--chroot" => spec.confinement = Confinement::Chroot,
            "--time" => spec.limits.time = Some(Duration::from_millis(number())),
            "--memory" => spec.limits.memory_bytes = Some(number()),
            "--processes" => spec.limits.processes = Some(number()),
            "--stop-after" => stop_after = Some(Duration::from_millis(number())),
            "--hostname" => spec.hostname = value.to_owned(),
            "--directory" => spec.directory = value.into(),
            "--first-id" => spec.ids = Ids::Range { first: value.parse().unwrap() },
            // Such a part of the folder is a file system of its own, served through FUSE; `/` comes first.
            "--fuse" => mount_points.push(std::path::PathBuf::from(value)),
            "--single" => spec.ids = Ids::Single,
            "--set" => {
                let (name, value) = value.split_once('=').unwrap();
                spec.environment.push((name.into(), value.into()));
            }
            "--file" => {
                let (path, content) = value.split_once('=').unwrap();
                let is_executable = content.starts_with("#!");
                spec.files.push(File { path: path.into(), content: content.into(), is_executable });
            }
            other => panic!("no option {other}"),
        }
    }
    let folder = std::path::PathBuf::from(arguments.next().unwrap());
    spec.root = match mount_points.is_empty() {
        true => Root::Folder(folder.clone()),
        false => Root::Fuse { mount_points: mount_points.clone() },
    };
    spec.arguments = arguments.collect();
    let mut serve = |index: usize, connection| {
        let point = mount_points[index].strip_prefix("/").unwrap();
        #[cfg(feature = "full-tests")]
        return serve::serve(folder.join(point), connection);
        #[cfg(not(feature = "full-tests"))]
        panic!("the feature full-tests serves {} on {connection:?}", point.display());
    };
    let ended = start(&spec, &mut serve).and_then(|started| {
        if let Some(after) = stop_after {
            let stopper = started.stopper()?;
            std::thread::spawn(move || {
                std::thread::sleep(after);
                stopper.stop();
            });
        }
        let mut stdout = std::io::stdout();
        started.run(&Recorder, &mut |said| {
            stdout.write_all(said).and_then(|()| stdout.flush()).unwrap();
        })
    });
    match ended {
        Ok(ended) => eprintln!("{ended:?}"),
        Err(error) => {
            let mut source: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = source {
                eprintln!("{error}");
                source = error.source();
            }
            for remedy in error.remedies() {
                eprintln!("hint: {remedy}");
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
