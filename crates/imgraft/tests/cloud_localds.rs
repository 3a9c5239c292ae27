//! Our `cloud-localds` against the real one: the same command lines, in the same folder, and what judges
//! find in both outputs.
#![cfg(feature = "full-tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use testkit::judge::{find, judge};

/// What differs, a command line that shows it, and whether it does: of ours and of the original.
type Difference = (&'static str, &'static str, fn(&Ended, &Ended) -> bool);

/// What is not as with the original, each with the command line that shows it: then ours does what is
/// said here, and the original does not. `docs/compat/cloud-localds.md` says the same to the user.
const STATED_DIFFERENCES: &[Difference] = &[
    ("a vfat is as large as it has to be", "-f vfat OUT large", |ours, theirs| {
        ours.code == 0 && ours.size > 128 << 10 && theirs.code == 1
    }),
    ("text is escaped for JSON", "-H we\"b OUT user-data", |ours, theirs| {
        ours.meta_data().contains(r#""we\"b""#) && theirs.meta_data().contains(r#""we"b""#)
    }),
    ("the instance-id comes from the content", "OUT user-data", |ours, theirs| {
        !ours.meta_data().contains("iid-local01") && theirs.meta_data().contains("iid-local01")
    }),
    ("files have mode 0644", "OUT private", |ours, theirs| {
        ours.listing().contains("-rw-r--r-- 0 0 user-data") && theirs.listing().contains("-rw------- 0 0 user-data")
    }),
    ("a folder is no output", "folder user-data", |ours, theirs| ours.code == 1 && theirs.code == 0),
];

/// Command lines that make a seed. With `--legacy-instance-id`, everything that the judges find in both
/// is the same.
const MAKING: &[&str] = &[
    "OUT user-data",
    "OUT user-data meta-data",
    "OUT user-data empty",
    "OUT empty",
    "OUT - <user-data",
    "OUT binary",
    "-v OUT user-data",
    "-v -v OUT user-data",
    "--verbose -f vfat OUT user-data",
    "-f iso OUT user-data",
    "-f iso9660 OUT user-data",
    "--filesystem=vfat OUT user-data",
    "-f vfat OUT user-data meta-data -N network -V vendor",
    "-f vfat OUT empty empty",
    "-H web OUT user-data",
    "--hostname web.example.org OUT user-data",
    "-H web -H db OUT user-data",
    "--host=web OUT user-data",
    "-i interfaces OUT user-data",
    "--interfaces interfaces -m local -H web -f vfat OUT user-data",
    "-i empty OUT user-data",
    "-m net OUT user-data",
    "--dsmode local OUT user-data",
    "-N network OUT user-data",
    "--network-config network OUT user-data meta-data",
    "-V vendor OUT user-data",
    "--vendor-data=vendor -N network -H web -m net -i interfaces OUT user-data",
    "OUT -V vendor user-data -N network meta-data",
    "-d raw OUT user-data",
    "-d qcow2 OUT user-data",
    "-v --disk-format qcow2 -f vfat OUT user-data",
    "-d vmdk OUT user-data",
    "-d vpc OUT user-data",
    "-d tar OUT user-data",
    "-v -d tar -f tar OUT user-data meta-data -N network -V vendor",
    "-d tar-seed-local OUT user-data -V vendor",
    "-d tar-seed-net OUT user-data -N network",
    "-f tar OUT user-data",
    "-o elsewhere OUT user-data",
    "- user-data",
    "-v -f vfat - user-data",
    "-d tar - - <user-data",
    "-- OUT user-data",
    "link user-data",
    "OUT large",
];

/// Command lines that are wrong: the same exit code, the same messages, and nothing is made.
const WRONG: &[&str] = &[
    "",
    "OUT",
    "OUT user-data meta-data another",
    "-x OUT user-data",
    "-xyz OUT user-data",
    "--unknown OUT user-data",
    "--unknown=1 OUT user-data",
    "--h OUT user-data",
    "--d raw OUT user-data",
    "--help=yes",
    "-d",
    "--disk-format",
    "-N",
    "OUT user-data -H",
    "-f ext4 OUT user-data",
    "-f VFAT OUT user-data",
    "-d tar -f vfat OUT user-data",
    "-d tarball OUT user-data",
    "-d bogus OUT user-data",
    "-H web OUT user-data meta-data",
    "-m local OUT user-data meta-data",
    "-i interfaces OUT user-data meta-data",
    "-i missing OUT user-data",
    "-N missing OUT user-data",
    "-V missing OUT user-data",
    "OUT missing",
    "OUT user-data missing",
    "OUT folder",
    "missing/OUT user-data",
    "-f vfat missing/OUT user-data",
    "-d qcow2 missing/OUT user-data",
    "-d tar missing/OUT user-data",
];

/// A folder with the inputs and the programs.
struct World {
    folder: TempDir,
}

/// How a run ended, and what it made.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
    /// The output, as a raw disk or an archive.
    output: Option<PathBuf>,
    /// The size of the file that was made.
    size: u64,
    _folder: Option<TempDir>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let large: Vec<u8> = (0..3_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let files: [(&str, &[u8]); 9] = [
            ("user-data", b"#cloud-config\nhostname: seeded\n"),
            ("meta-data", b"instance-id: mine\nlocal-hostname: box\n"),
            ("network", b"version: 2\nethernets:\n  eth0: {dhcp4: true}\n"),
            ("vendor", b"#cloud-config\nmanual_cache_clean: true\n"),
            ("interfaces", b"auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n\n"),
            ("empty", b""),
            ("binary", &[0, 255, 10, 13, 0, 1]),
            ("large", &large),
            ("private", b"#cloud-config\n"),
        ];
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(folder.path().join("private"), mode).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        fs::create_dir(folder.path().join("programs")).unwrap();
        symlink(env!("CARGO_BIN_EXE_imgraft"), folder.path().join("programs/cloud-localds")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ours(&self, line: &str) -> Ended {
        self.run(&self.path("programs/cloud-localds"), line)
    }

    fn theirs(&self, line: &str) -> Ended {
        let original = find("cloud-localds").expect("the judge `cloud-localds` is not installed: run ./test");
        self.run(&original, line)
    }

    /// Runs `program`; a word `<FILE` is its standard input.
    fn run(&self, program: &Path, line: &str) -> Ended {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("LC_ALL", "C")
            .env("TMPDIR", self.path("programs"));
        command.env_remove("SOURCE_DATE_EPOCH");
        // A symlink stands for what it points to.
        fs::write(self.path("target"), "what was there before").unwrap();
        let _ = symlink("target", self.path("link"));
        for word in line.split_ascii_whitespace() {
            match word.strip_prefix('<') {
                Some(name) => command.stdin(fs::File::open(self.path(name)).unwrap()),
                None => command.arg(word),
            };
        }
        let Output { status, stdout, stderr } = command.output().unwrap();
        assert!(self.path("link").is_symlink());
        let made = fs::read(self.path("OUT")).ok();
        let made = made.or_else(|| line.contains("link").then(|| fs::read(self.path("target")).unwrap()));
        let made = made.or_else(|| line.contains("- ").then(|| stdout.clone()).filter(|bytes| bytes.len() >= 10_240));
        let is_printed = made.as_ref() == Some(&stdout);
        let _ = fs::remove_file(self.path("OUT"));
        let _ = fs::remove_file(self.path("folder/seed-data"));
        let folder = tempfile::tempdir().unwrap();
        let size = made.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let output = made.map(|bytes| raw(&bytes, folder.path()));
        Ended {
            code: status.code().unwrap(),
            stdout: if is_printed { String::new() } else { String::from_utf8_lossy(&stdout).into_owned() },
            stderr: String::from_utf8(stderr).unwrap(),
            output,
            size,
            _folder: Some(folder),
        }
    }
}

/// The disk in an image of whatever format, or the bytes as they are.
fn raw(bytes: &[u8], folder: &Path) -> PathBuf {
    let (image, disk) = (folder.join("image"), folder.join("disk"));
    fs::write(&image, bytes).unwrap();
    let format = match bytes {
        [b'Q', b'F', b'I', 0xfb, ..] => "qcow2",
        [b'K', b'D', b'M', b'V', ..] => "vmdk",
        _ if bytes.ends_with(&[0; 427]) && bytes[bytes.len() - 512..].starts_with(b"conectix") => "vpc",
        _ if bytes.starts_with(b"conectix") => "vpc",
        _ => return image,
    };
    if format == "qcow2" {
        judge("qemu-img").args(["check", "-f", format]).arg(&image).succeed();
    }
    judge("qemu-img").args(["convert", "-f", format, "-O", "raw"]).arg(&image).arg(&disk).succeed();
    disk
}

impl Ended {
    /// What judges find in the output: kinds of facts with what they are.
    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        let Some(output) = &self.output else { return facts };
        let path = output.to_str().unwrap();
        // To `tar`, an ISO 9660 is an archive with nothing in it.
        let archived = judge("tar").args(["-tf", path]).run();
        if archived.status.success() && !archived.stdout.is_empty() {
            facts.insert("tar -tv".to_owned(), tar_listing(path));
            for name in archived.stdout.lines().filter(|name| !name.ends_with('/')) {
                let content = judge("tar").args(["-xOf", path, name]).succeed().stdout_bytes;
                facts.insert(format!("content of {name}"), content.escape_ascii().to_string());
            }
            return facts;
        }
        let blkid = judge("blkid").args(["-p", "-o", "export", path]).succeed().stdout;
        // Names of the program that made it, and numbers made of the time.
        let is_ours = ["UUID=", "DEVNAME=", "APPLICATION_ID="];
        let is_same = |line: &&str| !is_ours.iter().any(|key| line.starts_with(key));
        facts.insert("blkid".to_owned(), blkid.lines().filter(is_same).collect::<Vec<_>>().join("\n"));
        if blkid.contains("TYPE=vfat") {
            let listed = judge("mdir").args(["-b", "-i", path, "::"]).succeed().stdout;
            for name in listed.lines() {
                let content = judge("mtype").args(["-i", path, name]).succeed().stdout_bytes;
                facts.insert(format!("content of {name}"), content.escape_ascii().to_string());
            }
            let said = judge("mdir").args(["-i", path, "::"]).succeed().stdout;
            facts.insert("mdir".to_owned(), without_times(&said));
        } else {
            facts.insert("isoinfo -R".to_owned(), iso_listing(path, "-R"));
            facts.insert("isoinfo -J".to_owned(), iso_listing(path, "-J"));
            facts.insert("isoinfo".to_owned(), iso_listing(path, "-l"));
            for name in judge("isoinfo").args(["-R", "-f", "-i", path]).succeed().stdout.lines() {
                for names in ["-R", "-J"] {
                    let content = judge("isoinfo").args([names, "-x", name, "-i", path]).succeed().stdout_bytes;
                    facts.insert(format!("content of {name} by {names}"), content.escape_ascii().to_string());
                }
            }
        }
        facts
    }

    fn meta_data(&self) -> String {
        let output = self.output.as_ref().unwrap();
        judge("isoinfo").args(["-R", "-x", "/meta-data", "-i"]).arg(output).succeed().stdout
    }

    fn listing(&self) -> String {
        iso_listing(self.output.as_ref().unwrap().to_str().unwrap(), "-R")
    }

    /// The messages: not the usage, and not what is said in front of a message by other programs or, for
    /// them, by us.
    fn messages(&self) -> Vec<&str> {
        let is_usage = |line: &&str| {
            line.is_empty() || line.starts_with([' ', '\t']) || *line == "Options:" || line.starts_with("Usage:")
        };
        let options = ["invalid option", "unrecognized option", "option '", "option requires"];
        let is_in_front = |line: &&str| {
            let programs = ["cp: ", "qemu-img: ", "mcopy: ", "Disk full", "cloud-localds: "];
            programs.iter().any(|program| line.starts_with(program))
                && !options.iter().any(|problem| line.starts_with(&format!("cloud-localds: {problem}")))
        };
        self.stderr.lines().filter(|line| !is_usage(line) && !is_in_front(line)).collect()
    }
}

/// Mode, owner, size and name of each file, sorted by name.
fn iso_listing(path: &str, names: &str) -> String {
    let listed = judge("isoinfo").args([names, "-l", "-i", path]).succeed().stdout;
    let mut lines: Vec<String> = Vec::new();
    for line in listed.lines().filter(|line| line.contains('[')) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let name = line.rsplit_once(']').unwrap().1.trim();
        lines.push(format!("{} {} {} {name} {}", words[0], words[2], words[3], words[4]));
    }
    lines.sort();
    lines.join("\n")
}

/// Owner and name of each file of an archive, sorted; modes are the umask's with the original.
fn tar_listing(path: &str) -> String {
    let listed = judge("tar").args(["-tvf", path]).succeed().stdout;
    let mut lines: Vec<String> = listed
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            format!("{} {} {} {}", words[0], words[1], words[2], words[5])
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// What `mdir` says without dates and the serial number.
fn without_times(text: &str) -> String {
    let is_date = |word: &&str| word.len() == 10 && word.as_bytes()[4] == b'-';
    let line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.iter().position(is_date) {
            Some(date) => [&words[..date], &words[words.len() - 1..]].concat().join(" "),
            None => line.to_owned(),
        }
    };
    text.lines().filter(|line| !line.contains("Serial")).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_option_makes_what_the_original_makes() {
    let world = World::new();
    for line in MAKING {
        let theirs = world.theirs(line);
        let ours = world.ours(&format!("--legacy-instance-id {line}"));
        assert_eq!((theirs.code, ours.code), (0, 0), "{line}\n{}\n{}", theirs.stderr, ours.stderr);
        assert_eq!(ours.stderr, theirs.stderr, "{line}");
        assert_eq!(ours.stdout, theirs.stdout, "{line}");
        assert!(theirs.output.is_some(), "{line}");
        let facts = theirs.facts();
        assert!(facts.keys().any(|fact| fact.starts_with("content of")), "{line}: {facts:?}");
        assert_eq!(ours.facts(), facts, "{line}");
    }
}

#[test]
fn wrong_command_lines_are_answered_as_the_original_does() {
    let world = World::new();
    for line in WRONG {
        let (theirs, ours) = (world.theirs(line), world.ours(line));
        assert_eq!((theirs.code, ours.code), (1, 1), "{line}");
        assert_eq!(ours.messages(), theirs.messages(), "{line}\n{}\n{}", ours.stderr, theirs.stderr);
        assert!(!theirs.messages().is_empty(), "{line}: {}", theirs.stderr);
        assert_eq!((ours.stdout.as_str(), ours.output.is_some()), ("", false), "{line}");
    }
}

#[test]
fn the_stated_differences_are_there() {
    let world = World::new();
    for (difference, line, holds) in STATED_DIFFERENCES {
        let (ours, theirs) = (world.ours(line), world.theirs(line));
        assert!(holds(&ours, &theirs), "{difference}: {line}\n{}\n{}", ours.stderr, theirs.stderr);
    }
}

/// `tests/support/nocloud.py` is cloud-init's own data source, of Debian's package, on the seed.
#[test]
fn cloud_init_reads_the_same_from_both() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/nocloud.py");
    assert!(find("cloud-init").is_some(), "the judge `cloud-init` is not installed: run ./test");
    let world = World::new();
    let read = |ended: &Ended| {
        // Debian's own, for which the package is.
        judge("/usr/bin/python3").arg(script).arg(ended.output.as_ref().unwrap()).succeed().stdout
    };
    for line in [
        "OUT user-data",
        "OUT user-data meta-data -N network -V vendor",
        "-f vfat OUT user-data meta-data -N network -V vendor",
        "-i interfaces -m local -H web OUT user-data",
        "-f vfat -i interfaces -m net -H web OUT user-data",
        "OUT empty",
        "OUT large",
    ] {
        let theirs = read(&world.theirs(line));
        assert!(theirs.contains("\"found\": true"), "{line}: {theirs}");
        assert_eq!(read(&world.ours(&format!("--legacy-instance-id {line}"))), theirs, "{line}");
        let derived = read(&world.ours(line));
        let others = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.contains("\"instance-id\"")).map(str::to_owned).collect()
        };
        assert_eq!(others(&derived), others(&theirs), "{line}");
        let is_given = line.contains("meta-data");
        assert_eq!(derived.contains("\"instance-id\": \"iid-"), !is_given, "{line}: {derived}");
    }
}
