//! `cloud-localds`: a seed for cloud-init's data source NoCloud.

mod arguments;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use graft::{SeedError, in_one_line, of_file, of_stream, seed_container, stream_seed, write_seed_in};
use image::Container;
use seed::{InstanceId, MetaData, Seed};
use storage::ReadAt;

use super::{FrontEnd, Opt, Standing};
use crate::environment;
use arguments::{Arguments, Stop};

const NAME: &str = "cloud-localds";
/// What the original calls every instance.
const LEGACY_INSTANCE_ID: &str = "iid-local01";
/// The largest file of interfaces that goes into meta-data, in bytes.
const MAX_INTERFACES_BYTES: u64 = 1 << 20;

pub(super) const FRONT_END: FrontEnd = FrontEnd {
    name: NAME,
    original: "cloud-localds of cloud-image-utils 0.34",
    usage: "[OPTION…] OUTPUT USER-DATA [META-DATA]",
    options: OPTIONS,
    differences: &[
        "Without META-DATA, the instance-id comes from the seed's content (SHA-256): another content is another \
         first boot. `--legacy-instance-id` writes `iid-local01`, as the original does.",
        "The same content gives the same bytes: times are SOURCE_DATE_EPOCH, or 1980-01-01 without it, a vfat's \
         serial number comes from its content, and files have mode 0644 whatever theirs is.",
        "A vfat is as large as its files need; the original fails where they need more than 128 KiB.",
        "Text from `--hostname`, `--interfaces` and `--dsmode` is escaped for JSON; a quote or a backslash in it \
         breaks the original's meta-data.",
        "OUTPUT gets its name when it is whole: after an error, what had the name before still has it. Another \
         hard link to it keeps the old content. OUTPUT must not be a directory.",
        "No other program is run. What `cp`, `mcopy`, `genisoimage` or `qemu-img` say for themselves in front of \
         the original's message is said in our words; that message is the same.",
        "The text of `--help` is ours.",
        "In archives, the folder of `tar-seed-local` and `tar-seed-net` is followed by the files in their usual \
         order.",
    ],
    run,
};

const OPTIONS: &[Opt] = &[
    Opt {
        names: &["-d", "--disk-format"],
        argument: Some("FORMAT"),
        help: "what OUTPUT is: raw (the default), a format of disk images, tar, tar-seed-local or tar-seed-net",
        standing: Standing::Differs("of the formats of disk images, those that imgraft writes"),
    },
    Opt {
        names: &["-m", "--dsmode"],
        argument: Some("MODE"),
        help: "`local` or `net` as the meta-data's dsmode; not with META-DATA",
        standing: Standing::Same,
    },
    Opt {
        names: &["-f", "--filesystem"],
        argument: Some("TYPE"),
        help: "the file system: iso (the default) or vfat",
        standing: Standing::Same,
    },
    Opt { names: &["-h", "--help"], argument: None, help: "print the usage", standing: Standing::Same },
    Opt {
        names: &["-H", "--hostname"],
        argument: Some("NAME"),
        help: "the meta-data's local-hostname; not with META-DATA",
        standing: Standing::Same,
    },
    Opt {
        names: &["-i", "--interfaces"],
        argument: Some("FILE"),
        help: "a file of network interfaces for the meta-data; not with META-DATA",
        standing: Standing::Same,
    },
    Opt {
        names: &["-N", "--network-config"],
        argument: Some("FILE"),
        help: "the seed's network-config",
        standing: Standing::Same,
    },
    Opt {
        names: &["-o", "--output"],
        argument: Some("FILE"),
        help: "taken and ignored: the output is the first operand",
        standing: Standing::Same,
    },
    Opt {
        names: &["-V", "--vendor-data"],
        argument: Some("FILE"),
        help: "the seed's vendor-data",
        standing: Standing::Same,
    },
    Opt {
        names: &["-v", "--verbose"],
        argument: None,
        help: "say what was written, on standard error",
        standing: Standing::Same,
    },
    Opt {
        names: &["--legacy-instance-id"],
        argument: None,
        help: "`iid-local01` as the instance-id, whatever the content is",
        standing: Standing::Ours,
    },
];

fn run(words: Vec<OsString>) -> ExitCode {
    let stop = match Arguments::parse(OPTIONS, words) {
        Ok(arguments) => match make(&arguments) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(stop) => stop,
        },
        Err(stop) => stop,
    };
    match stop {
        Stop::Help => {
            let printed = io::stdout().lock().write_all(usage().as_bytes());
            if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Stop::BadOptions(problems) => {
            problems.iter().for_each(|problem| say(&format!("{NAME}: {problem}")));
            say(usage().trim_end());
            ExitCode::FAILURE
        }
        Stop::BadUsage(problem) => {
            say(usage().trim_end());
            say(problem);
            ExitCode::FAILURE
        }
        Stop::Failed(lines) => {
            lines.iter().for_each(|line| say(line));
            ExitCode::FAILURE
        }
    }
}

/// Makes the seed and puts it where it is to be.
fn make(arguments: &Arguments) -> Result<(), Stop> {
    let seed = read_seed(arguments)?;
    let modified = environment::source_date_epoch().map_err(|failure| Stop::failed(told(&failure.in_one_line())))?;
    let container = seed_container(&arguments.stored_as, modified).unwrap_or(Container::Raw);
    let output = Path::new(&arguments.output);
    let written = match arguments.output == "-" {
        true => stream_seed(&seed, arguments.medium, modified, &container, &mut io::stdout().lock()),
        false => write_seed_in(&seed, arguments.medium, modified, &container, output),
    };
    written.map_err(|error| match (error, &container) {
        // It could not be made at all.
        (SeedError::Seed(error), _) => Stop::failed(told(&in_one_line(&error))),
        _ if arguments.output == "-" => Stop::failed("failed to write to -"),
        (error, Container::Raw) => {
            Stop::Failed(vec![told(&in_one_line(&error)), format!("failed to copy image to {}", output.display())])
        }
        (error, _) => Stop::Failed(vec![
            told(&in_one_line(&error)),
            format!("failed to convert to disk format {}", arguments.disk_format),
        ]),
    })?;
    if arguments.verbose {
        let output = arguments.output.display();
        let (file_system, disk_format) = (&arguments.file_system, &arguments.disk_format);
        say(&format!("wrote {output} with filesystem={file_system} and diskformat={disk_format}"));
    }
    Ok(())
}

/// Reads the files of the seed, in the original's order.
fn read_seed(arguments: &Arguments) -> Result<Seed, Stop> {
    let read = |path: &Path, problem: String| {
        of_file(path).map_err(|error| {
            let why = told(&format!("cannot read '{}': {}", path.display(), in_one_line(&error)));
            Stop::Failed(vec![why, problem])
        })
    };
    let optional =
        |path: &Option<PathBuf>, problem: &str| path.as_ref().map(|path| read(path, problem.to_owned())).transpose();
    let interfaces = arguments.interfaces.as_ref().map(|path| {
        let content = of_file(path).and_then(|content| interfaces(&*content));
        content.map_err(|_| Stop::failed(format!("{}: not a readable file", path.display())))
    });
    let interfaces = interfaces.transpose()?.unwrap_or_default();
    let failed_to_copy = |path: &OsStr| format!("{}: failed to copy", path.display());
    let meta_data = arguments.meta_data.as_ref();
    let meta_data = meta_data.map(|path| read(path, failed_to_copy(path.as_os_str()))).transpose()?;
    let network_config = optional(&arguments.network_config, "failed to copy network config")?;
    let vendor_data = optional(&arguments.vendor_data, "failed to copy vendor data")?;
    let user_data = if arguments.user_data == "-" {
        of_stream(io::stdin().lock()).map_err(|_| Stop::failed("failed to read from stdin"))?
    } else {
        read(Path::new(&arguments.user_data), failed_to_copy(&arguments.user_data))?
    };
    if let Some(meta_data) = meta_data {
        return Ok(Seed { user_data, meta_data, network_config, vendor_data });
    }
    let bytes = |text: &OsString| text.as_bytes().to_vec();
    let meta_data =
        MetaData { local_hostname: bytes(&arguments.hostname), interfaces, dsmode: bytes(&arguments.dsmode) };
    let instance_id = match arguments.legacy_instance_id {
        true => InstanceId::Given(LEGACY_INSTANCE_ID.to_owned()),
        false => InstanceId::FromContent,
    };
    Seed::generate(user_data, network_config, vendor_data, meta_data, instance_id)
        .map_err(|error| Stop::failed(told(&in_one_line(&error))))
}

/// The text of a file of interfaces without the newline at its end: those in front of it stay, as the
/// original makes escapes of them before a shell takes what is at the end.
fn interfaces(content: &dyn ReadAt) -> io::Result<Vec<u8>> {
    if content.size_bytes() > MAX_INTERFACES_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut text = vec![0; content.size_bytes() as usize];
    content.read_at(0, &mut text).map_err(io::Error::other)?;
    text.pop_if(|last| *last == b'\n');
    Ok(text)
}

fn usage() -> String {
    let mut usage = format!(
        "Usage: {NAME} {}\n\n  Make a seed for cloud-init's data source NoCloud.\n\nOptions:\n",
        FRONT_END.usage
    );
    for option in OPTIONS {
        let _ = writeln!(usage, "  {:<30} {}", option.synopsis(), option.help);
    }
    usage
}

/// What is not the original's message, but before one of them.
fn told(problem: &str) -> String {
    format!("{NAME}: {problem}")
}

/// Standard error may be closed: then there is nothing left to do.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
