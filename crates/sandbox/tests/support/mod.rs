//! A guest's tree of BusyBox and one program of our own, and the probe that runs commands in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;
use testkit::judge::{find, judge};

/// The program that makes system calls: `attempts.c`, compiled once.
fn attempts() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("attempts-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/attempts.c");
        judge("cc").args(["-static", "-O1", "-o"]).arg(&program).arg(source).succeed();
        program
    })
}

/// A guest's tree.
pub(crate) struct Guest {
    folder: TempDir,
}

impl Guest {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("guest").tempdir().unwrap();
        let path = folder.path();
        for name in ["bin", "etc", "proc", "sys", "dev", "run", "tmp", "var/lib", "root", "boot/efi"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        let busybox = path.join("bin/busybox");
        fs::copy(find("busybox").expect("the package busybox-static"), &busybox).unwrap();
        for name in judge("/bin/busybox").arg("--list").succeed().stdout.lines().filter(|name| *name != "busybox") {
            symlink("busybox", path.join("bin").join(name)).unwrap();
        }
        fs::copy(attempts(), path.join("bin/attempts")).unwrap();
        fs::write(path.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n").unwrap();
        fs::write(path.join("boot/vmlinuz"), "a kernel\n").unwrap();
        fs::write(path.join("boot/efi/loader"), "a loader\n").unwrap();
        // The sandbox has its own; by chroot alone this is the one.
        judge("mknod").arg("-m666").arg(path.join("dev/null")).args(["c", "1", "3"]).succeed();
        // Other users look into it.
        judge("chmod").arg("755").arg(path).succeed();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a shell script in it.
    pub(crate) fn shell(&self, options: &[&str], script: &str) -> Said {
        let mut command = Command::new(probe());
        self.arguments(&mut command, options, &["/bin/sh", "-c", script]);
        Said::of(&mut command)
    }

    /// Adds the probe's arguments to a command line.
    pub(crate) fn arguments(&self, line: &mut Command, options: &[&str], command: &[&str]) {
        line.arg("--set=PATH=/bin").args(options).arg(self.path()).args(command);
    }
}

/// The probe.
pub(crate) fn probe() -> &'static str {
    env!("CARGO_BIN_EXE_sandbox-probe")
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Said {
    /// What the command said.
    pub(crate) output: String,
    /// How it ended, or the error with its hints.
    pub(crate) ended: String,
}

impl Said {
    pub(crate) fn of(command: &mut Command) -> Self {
        let said = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Self { output: text(&said.stdout), ended: text(&said.stderr) }
    }

    /// The output of a command that ended with 0.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.ended, "Exited(0)", "it said: {}", self.output);
        self.output
    }
}

/// The numbers of the host's processes that have `text` in their command line.
pub(crate) fn processes(text: &str) -> Vec<i32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = i32::try_from(std::process::id()).unwrap();
    let has = |number: &i32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    numbers.filter(|&number| number != own).filter(has).collect()
}
