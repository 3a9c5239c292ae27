//! Foreign programs as judges.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

/// A judge that will run; see [`judge`].
#[derive(Debug)]
pub struct Judge {
    program: PathBuf,
    command: Command,
}

/// A judge's verdict.
#[derive(Debug)]
pub struct Verdict {
    /// The command line, for messages.
    pub command_line: String,
    /// How the judge ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output; not UTF-8 is replaced.
    pub stdout: String,
    /// What it wrote to its standard error; not UTF-8 is replaced.
    pub stderr: String,
    /// What it wrote to its standard output, in bytes.
    pub stdout_bytes: Vec<u8>,
}

/// Where `program` is: in `PATH`, or where Debian keeps the tools of root.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The judge `program`, in the C locale.
///
/// # Panics
///
/// If it is not installed.
pub fn judge(program: &str) -> Judge {
    let Some(path) = find(program) else {
        panic!("the judge `{program}` is not installed: run ./test to install it");
    };
    let mut command = Command::new(&path);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    Judge { program: path, command }
}

impl Judge {
    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Starts it in `folder`.
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it the file as its standard input.
    pub fn stdin(mut self, file: File) -> Self {
        self.command.stdin(file);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn run(mut self) -> Verdict {
        let command_line = format!("{:?}", self.command);
        let output = self.command.output();
        let Output { status, stdout, stderr } =
            output.unwrap_or_else(|error| panic!("starting {}: {error}", self.program.display()));
        Verdict {
            command_line,
            status,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            stdout_bytes: stdout,
        }
    }

    /// Runs it to its end and returns its verdict.
    ///
    /// # Panics
    ///
    /// If it cannot be started or its exit status is not 0.
    pub fn succeed(self) -> Verdict {
        let verdict = self.run();
        assert!(verdict.status.success(), "{verdict}");
        verdict
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command_line, status, stdout, stderr, .. } = self;
        write!(f, "{command_line}: {status}\n{stdout}\n{stderr}")
    }
}

/// Whether `sgdisk -v` finds nothing wrong with the partition table of the raw disk at `disk`.
///
/// Its status and its closing line are not enough: it repairs a copy with a wrong checksum in
/// memory, warns of that, and then finds no problem.
pub fn sgdisk_is_content(disk: &Path) -> (bool, Verdict) {
    let verdict = judge("sgdisk").arg("-v").arg(disk).run();
    let said = format!("{}{}", verdict.stdout, verdict.stderr);
    let complains = ["Problem:", "Warning", "invalid", "corrupt", "Error", "damaged"];
    let content =
        verdict.status.success() && said.contains("No problems found") && !complains.iter().any(|w| said.contains(w));
    (content, verdict)
}

/// `sgdisk -v` finds nothing wrong with the raw disk at `disk`.
///
/// # Panics
///
/// If it does.
pub fn assert_sgdisk_clean(disk: &Path) {
    let (content, verdict) = sgdisk_is_content(disk);
    assert!(content, "{verdict}");
}

/// `qemu-img check` finds neither corruption nor leaks in the image at `image`.
///
/// # Panics
///
/// If it does.
pub fn assert_qemu_img_check(image: &Path) {
    judge("qemu-img").arg("check").arg(image).succeed();
}

/// `fsck.vfat -n` finds nothing wrong with the file system in the file at `filesystem`.
///
/// # Panics
///
/// If it does.
pub fn assert_fsck_vfat_clean(filesystem: &Path) {
    let verdict = judge("fsck.vfat").args(["-n", "-v"]).arg(filesystem).run();
    assert!(verdict.status.success(), "{verdict}");
}

/// `e2fsck -fn` finds nothing wrong with the file system that begins `offset` bytes into the raw
/// file at `disk`.
///
/// # Panics
///
/// If it does.
pub fn assert_e2fsck_clean(disk: &Path, offset: u64) {
    let mut place = disk.as_os_str().to_owned();
    if offset != 0 {
        place.push(format!("?offset={offset}"));
    }
    let verdict = judge("e2fsck").arg("-fn").arg(place).run();
    assert!(verdict.status.success(), "{verdict}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the judge `e2fsck-of-mars` is not installed: run ./test to install it")]
    fn a_missing_judge_is_no_pass() {
        judge("e2fsck-of-mars");
    }
}
