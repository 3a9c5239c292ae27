//! A folder to run `imgraft` in, and what it said there.
#![allow(dead_code, reason = "each file of tests uses its own part")]
#![allow(clippy::disallowed_methods, reason = "the tests run the program that they are about")]

pub(crate) mod ci;
pub(crate) mod cloud_init;
pub(crate) mod guests;
pub(crate) mod serving;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;
use testkit::fixture::{self, Options};
use testkit::judge::{assert_qemu_img_check, judge};
use testkit::partition::{assert_partitions_clean, extract_partition};

/// The numbers of the fixture's partitions.
pub(crate) const ROOT: u32 = 1;
pub(crate) const ESP: u32 = 15;
pub(crate) const BOOT: u32 = 16;

/// A folder with a base in it.
pub(crate) struct World {
    folder: TempDir,
    extracted: Mutex<Option<Extracted>>,
}

/// The partition that was asked about last: tests ask several times, and reading it out of an image takes seconds.
struct Extracted {
    /// The image as it was then, and the partition.
    of: (PathBuf, [i64; 5], u32),
    folder: TempDir,
}

impl Extracted {
    fn file(&self) -> PathBuf {
        self.folder.path().join("partition")
    }
}

/// What `imgraft` said, and how it ended.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// What a build says of every block that it changed, which `stderr` is without.
    pub(crate) proof: Option<String>,
    what: String,
}

impl World {
    /// A folder with the small cloud image as `base.img`.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        symlink(fixture::small_cloud_image(&Options::default()), world.path("base.img")).unwrap();
        world
    }

    /// A folder with a copy of the small cloud image as `my.img`.
    pub(crate) fn with_copy(options: &Options) -> Self {
        let world = Self::empty();
        let copy = fixture::copy_of(&fixture::small_cloud_image(options), world.folder());
        fs::rename(copy, world.path("my.img")).unwrap();
        fs::set_permissions(world.path("my.img"), fs::Permissions::from_mode(0o644)).unwrap();
        world
    }

    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), extracted: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a file of mode 0644.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.mode(name, 0o644)
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Sets when a file was last modified.
    pub(crate) fn modified(&self, name: &str, seconds: u64) -> &Self {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::open(self.path(name)).unwrap().set_modified(time).unwrap();
        self
    }

    /// `imgraft` with these arguments, separated by blanks.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgraft"));
        command.args(arguments.split_ascii_whitespace()).current_dir(self.folder()).stdin(Stdio::null());
        for name in ["SOURCE_DATE_EPOCH", "GITHUB_ACTIONS", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "CI"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Run {
        self.run_with(arguments, &[])
    }

    /// Runs it with arguments that are separated by blanks, and more that may have blanks in them.
    pub(crate) fn run_words(&self, arguments: &str, more: &[&str]) -> Run {
        Run::of(self.command(arguments).args(more).output().unwrap(), &format!("{arguments} {more:?}"))
    }

    /// Runs it in an environment with more variables.
    pub(crate) fn run_with(&self, arguments: &str, variables: &[(&str, &str)]) -> Run {
        Run::of(self.command(arguments).envs(variables.iter().copied()).output().unwrap(), arguments)
    }

    /// Runs it as a user who is not root; for root that is one who may not do anything at all, and to whom
    /// everything in the folder belongs then.
    pub(crate) fn run_as_user(&self, arguments: &str) -> Run {
        self.run_as_user_with(arguments, &[])
    }

    /// As [`run_as_user`](Self::run_as_user), with more variables in the environment.
    pub(crate) fn run_as_user_with(&self, arguments: &str, variables: &[(&str, &str)]) -> Run {
        if !testkit::is_root() {
            return self.run_with(arguments, variables);
        }
        // The user may not look into the folder that the program was built in.
        let program = tempfile::tempdir().unwrap();
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = program.path().join("imgraft");
        fs::copy(env!("CARGO_BIN_EXE_imgraft"), &program).unwrap();
        judge("chown").args(["-R", "65534:65534"]).arg(self.folder()).succeed();
        let mut command = Command::new(testkit::judge::find("setpriv").expect("setpriv is installed"));
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
        command.args(["--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"]).arg(program);
        command.args(arguments.split_ascii_whitespace()).current_dir(self.folder()).stdin(Stdio::null());
        // What Cargo sets for its own is looked into by the loader.
        command.env_remove("LD_LIBRARY_PATH").env_remove("SOURCE_DATE_EPOCH").envs(variables.iter().copied());
        Run::of(command.output().unwrap(), arguments)
    }

    /// Starts it and does not wait.
    pub(crate) fn start(&self, arguments: &str) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// It ends with 1, prints nothing, says exactly `stderr`, and leaves the folder as it was.
    #[track_caller]
    pub(crate) fn refuses(&self, arguments: &str, stderr: &str) {
        let before = self.contents();
        let run = self.run(arguments);
        assert_eq!(run.stderr, stderr, "imgraft {arguments}");
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "imgraft {arguments}");
        assert!(before == self.contents(), "`imgraft {arguments}` left something behind");
    }

    /// Every name in the folder, with content and modification time.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, (Vec<u8>, Option<std::time::SystemTime>)> {
        let mut contents = BTreeMap::new();
        let mut pending = vec![self.folder().to_owned()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    pending.push(path.clone());
                }
                // A symlink is the fixture's: that is read-only, and looked at as what it points to.
                let is_file = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
                let content = if is_file { fs::read(&path).unwrap() } else { Vec::new() };
                contents.insert(path, (content, metadata.modified().ok().filter(|_| is_file)));
            }
        }
        contents
    }

    /// The names in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What `debugfs` says to `request` about a partition of an image.
    pub(crate) fn debugfs(&self, image: &str, partition: u32, request: &str) -> String {
        self.with_partition(image, partition, |file| judge("debugfs").args(["-R", request]).arg(file).succeed().stdout)
    }

    /// What `ask` says of a partition of an image as a file, which it may not change.
    fn with_partition<T>(&self, image: &str, partition: u32, ask: impl FnOnce(&Path) -> T) -> T {
        let path = self.path(image);
        let found = fs::metadata(&path).unwrap();
        let state = [found.dev() as i64, found.ino() as i64, found.mtime(), found.mtime_nsec(), found.len() as i64];
        let of = (path, state, partition);
        let mut extracted = self.extracted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = extracted.as_ref().is_some_and(|extracted| extracted.of == of);
        if !is_there {
            let new = Extracted { of, folder: TempDir::new().unwrap() };
            extract_partition(&new.of.0, partition, &new.file());
            *extracted = Some(new);
        }
        ask(&extracted.as_ref().unwrap().file())
    }

    /// The file's `Mode`, `User`, `Group` and `mtime` as `debugfs` says them.
    pub(crate) fn stat(&self, image: &str, partition: u32, path: &str) -> Stat {
        let text = self.debugfs(image, partition, &format!("stat {path}"));
        let word = |name: &str| -> &str {
            let rest = text.split_once(name).unwrap_or_else(|| panic!("no {name} of {path}: {text}")).1;
            rest.split_ascii_whitespace().next().unwrap()
        };
        let seconds = u32::from_str_radix(word("mtime: 0x").split(':').next().unwrap(), 16).unwrap();
        Stat {
            mode: word("Mode:").to_owned(),
            owner: (word("User:").parse().unwrap(), word("Group:").parse().unwrap()),
            modified: seconds,
            inode: word("Inode:").parse().unwrap(),
        }
    }

    /// A file of an ext4 partition as `debugfs` reads it.
    pub(crate) fn content(&self, image: &str, partition: u32, path: &str) -> Vec<u8> {
        let out = self.path("content.tmp");
        self.debugfs(image, partition, &format!("dump {path} {}", out.display()));
        let content = fs::read(&out).unwrap();
        fs::remove_file(&out).unwrap();
        content
    }
}

/// What a file is besides its content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) mode: String,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: u32,
    pub(crate) inode: u32,
}

impl Run {
    fn of(Output { status, stdout, stderr }: Output, arguments: &str) -> Self {
        let stderr = String::from_utf8(stderr).unwrap();
        let is_proof = |line: &&str| line.starts_with("changed ") && line.ends_with("; nothing else");
        let said: String = stderr.lines().filter(|line| !is_proof(line)).map(|line| format!("{line}\n")).collect();
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            proof: stderr.lines().find(is_proof).map(str::to_owned),
            stderr: without_durations(&said),
            what: arguments.to_owned(),
        }
    }

    /// It ended with 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "imgraft {}\n{}{}", self.what, self.stdout, self.stderr);
        self
    }

    /// It said exactly this on standard error.
    #[track_caller]
    pub(crate) fn says(self, stderr: &str) -> Self {
        assert_eq!(self.stderr, stderr, "imgraft {}", self.what);
        self
    }

    /// It printed exactly this on standard output.
    #[track_caller]
    pub(crate) fn prints(self, stdout: &str) -> Self {
        assert_eq!(self.stdout, stdout, "imgraft {}", self.what);
        self
    }
}

/// Every foreign judge is content with the image.
#[track_caller]
pub(crate) fn assert_sound(image: &Path) {
    let format = judge("qemu-img").arg("info").arg(image).succeed().stdout;
    if format.contains("file format: qcow2") {
        assert_qemu_img_check(image);
    }
    assert_partitions_clean(image, &[ROOT, BOOT], ESP);
}

/// ` in 1.2 s` and sizes of compressed files, which another version of zlib may change, as `…`.
fn without_durations(text: &str) -> String {
    text.lines()
        .map(|line| {
            let is_last = ["built ", "changed ", "converted "].iter().any(|word| line.starts_with(word));
            match (is_last, line.find(" (")) {
                (true, Some(parenthesis)) => format!("{} (…)\n", &line[..parenthesis]),
                _ => format!("{line}\n"),
            }
        })
        .collect()
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The format of the fixture that most tests use.
pub(crate) fn qcow2() -> fixture::Format {
    fixture::UBUNTU_QCOW2
}
