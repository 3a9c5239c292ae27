//! `virt-customize`: a guest changed in its image.

mod action;
mod braces;
mod frame;
mod help;
mod options;
mod parse;
mod perl;
mod selector;
mod session;
mod translate;
mod voice;

use std::ffi::OsString;
use std::process::ExitCode;

use super::FrontEnd;
use parse::{Request, Stop};
use voice::Voice;

pub(super) const FRONT_END: FrontEnd = FrontEnd {
    name: "virt-customize",
    original: "virt-customize of guestfs-tools 1.48.2, and the options that later ones have",
    usage: "[--options] -a disk.img [-a disk.img …]",
    options: &options::OPTIONS,
    differences: &[
        "Nothing is written before everything was done and checked: after an error, the image is as it was. The \
         original leaves what it did until then.",
        "The machine ID and the random seed stay as they are, so that each machine makes its own. \
         `--set-machine-id` and `--set-random-seed` write them as the original does.",
        "A qcow2 stays compressed: what changes in it is compressed, too. `--plain-clusters` leaves it plain.",
        "The same command line on the same image gives the same bytes: times are SOURCE_DATE_EPOCH or come from the \
         sources and the image, and so does the salt of a password.",
        "A directory that is there keeps its mode and owner when `--copy-in` puts a tree over it; the original gives \
         it those of the host's.",
        "REMOTEDIR of `--copy-in` may be a symlink to a directory.",
        "Of several images, each that has a system is changed by itself: what one system has on the disk of another \
         is not seen.",
        "An error is the original's where the command line is wrong. Where the image or a file is the reason, it is \
         told in imgraft's words. The paragraph that asks for bug reports is left out, and there may be a line \
         `hint: …`.",
        "Variables `LIBGUESTFS_…` have no effect: no appliance is started, nothing is emulated, and root is not \
         needed.",
        "Braces of `--delete` that stand for more than 4096 paths are refused.",
        "Only options of 1.48 may be cut short.",
    ],
    run,
};

fn run(words: Vec<OsString>) -> ExitCode {
    let mut request = Request::new(Voice::new());
    let result = request.take_all(words).and_then(|()| session::run(&request));
    let Err(stop) = result else { return ExitCode::SUCCESS };
    match stop {
        Stop::Done => return ExitCode::SUCCESS,
        Stop::Usage(text) => voice::usage_error(text),
        Stop::Error(text, hint) => {
            request.voice.error(text);
            if let Some(hint) = hint {
                voice::hint(hint);
            }
        }
    }
    ExitCode::FAILURE
}
