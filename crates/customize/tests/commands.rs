//! Verbs that run commands in the guest, with a runner that runs nothing: it writes down what it is asked for and edits
//! the guest as a command would.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::sync::{Arc, Mutex};

use customize::{
    Change, Done, Ended, Error, FileChange, Install, Operation, Options, Outcome, Program, Run, RunError, RunScript,
    Runner, Task, Uninstall, Update, Watch, Write, carry_out,
};
use guest::{Guest, Time};
use storage::{FileStorage, Overlay, WriteAt};
use testkit::fixture::{Format, small_cloud_image};

const STATUS: &str = "/var/lib/dpkg/status";

fn guest() -> Guest {
    let image = small_cloud_image(&testkit::fixture::Options { format: Format::Raw, ..Default::default() });
    let file = FileStorage::new(File::open(image).unwrap()).unwrap();
    let disk = Arc::new(Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into()))));
    Guest::open(disk as Arc<dyn WriteAt>).unwrap()
}

fn content(guest: &Guest, path: &str) -> Vec<u8> {
    guest.read(&path.parse().unwrap(), 1 << 20).unwrap()
}

/// A runner that runs nothing.
#[derive(Debug, Default)]
struct Fake {
    /// What it was asked for.
    tasks: Mutex<Vec<Task>>,
    /// What `/etc/hosts` was each time.
    seen: Mutex<Vec<Vec<u8>>>,
    /// What it puts in the place of texts in dpkg's list.
    status: &'static [(&'static str, &'static str)],
    /// What a command writes, in pieces.
    output: &'static [&'static [u8]],
    /// How each command ends.
    fails: Option<Ended>,
}

impl Runner for Fake {
    fn run(&self, guest: &mut Guest, task: &Task, said: &mut dyn FnMut(&[u8])) -> Result<Outcome, RunError> {
        self.tasks.lock().unwrap().push(task.clone());
        self.seen.lock().unwrap().push(content(guest, "/etc/hosts"));
        self.output.iter().for_each(|piece| said(piece));
        if let Some(status) = self.fails {
            let log = Some("/tmp/the.log".into());
            return Err(RunError::Failed { name: task.name.clone(), status, last_lines: Vec::new(), log });
        }
        let mut list = String::from_utf8(content(guest, STATUS)).unwrap();
        for (from, to) in self.status {
            assert!(list.contains(from), "{from}");
            list = list.replace(from, to);
        }
        guest.replace_content(&STATUS.parse().unwrap(), list.as_bytes(), task.modified)?;
        let change = |change, path: &str, size_bytes| FileChange { change, path: path.to_owned(), size_bytes };
        let changes = vec![
            change(Change::Made, "/usr/bin/jq", Some(30_720)),
            change(Change::Made, "/usr/share/doc/jq", None),
            change(Change::Changed, STATUS, Some(1024)),
            change(Change::Removed, "/etc/old", Some(4096)),
        ];
        Ok(Outcome { changes, runner: "fake", ..Outcome::default() })
    }
}

fn write(path: &str, text: &str) -> Operation {
    let content = text.as_bytes().to_vec();
    Write { path: path.parse().unwrap(), content, mode: Some("0755".parse().unwrap()), owner: None }.into()
}

fn run(command: &str) -> Operation {
    Run::parse(OsStr::new(command)).unwrap().into()
}

fn install(packages: &str) -> Operation {
    Install::parse(OsStr::new(packages)).unwrap().into()
}

fn done(guest: &mut Guest, operations: &[Operation], fake: &Arc<Fake>, network: bool) -> Result<Done, Error> {
    let options = Options { runner: Some(Arc::clone(fake) as Arc<dyn Runner>), network, ..Options::default() };
    carry_out(guest, operations, &options, &|_, _| {})
}

#[test]
fn commands_are_run_among_the_other_verbs_in_the_order_given() {
    let mut guest = guest();
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        Operation::from(RunScript::parse(folder.path().join(name).as_os_str()).unwrap())
    };
    let (plain, python) = (script("plain", "echo $0\n"), script("python", "#!/usr/bin/python3\nprint()\n"));
    let fake = Arc::new(Fake::default());
    let operations =
        [write("/etc/hosts", "one"), run("true; reboot"), plain, write("/etc/hosts", "two"), python, run("last")];
    let done = done(&mut guest, &operations, &fake, false).unwrap();
    let tasks = fake.tasks.lock().unwrap();
    let programs: Vec<&Program> = tasks.iter().map(|task| &task.program).collect();
    assert_eq!(
        programs,
        [
            &Program::Shell("true; reboot".to_owned()),
            // What says no interpreter is a shell's.
            &Program::Script(b"#!/bin/sh\necho $0\n".to_vec()),
            &Program::Script(b"#!/usr/bin/python3\nprint()\n".to_vec()),
            &Program::Shell("last".to_owned()),
        ]
    );
    assert_eq!(*fake.seen.lock().unwrap(), [b"one", b"one", b"two", b"two"]);
    assert!(tasks.iter().all(|task| !task.network && task.no_services && task.clamp.is_none()));
    assert_eq!(tasks[0].modified, guest.written());
    let texts: Vec<&str> = done.reports.iter().map(|report| report.text.as_str()).collect();
    assert_eq!(texts[1], "ran `true; reboot` (2 files made, 1 changed, 1 removed; 31.0 KiB)");
    let executed = done.reports[1].executed.as_ref().unwrap();
    assert_eq!((executed.runner, executed.changes.len(), &executed.packages), ("fake", 4, &None));
    let json = serde_json::to_value(&done.reports[1]).unwrap();
    assert_eq!(json["changes"][0], serde_json::json!({"change": "made", "path": "/usr/bin/jq", "size_bytes": 30_720}));
    assert_eq!((&json["verb"], &json["runner"]), (&"run".into(), &"fake".into()));
}

#[test]
fn a_date_for_everything_is_the_commands_too() {
    let fake = Arc::new(Fake::default());
    let date = Time { seconds: 1_700_000_000, nanoseconds: 0 };
    let runner = Some(Arc::clone(&fake) as Arc<dyn Runner>);
    let options = Options { runner, network: true, modified: Some(date), ..Options::default() };
    carry_out(&mut guest(), &[run("true")], &options, &|_, _| {}).unwrap();
    let tasks = fake.tasks.lock().unwrap();
    assert_eq!((tasks[0].modified, tasks[0].clamp, tasks[0].network), (date, Some(date), true));
}

#[test]
fn packages_go_to_the_guests_package_manager_and_what_changed_is_told() {
    let apt = write("/usr/bin/apt-get", "");
    let fake = Arc::new(Fake {
        status: &[
            (
                "Package: apt\n",
                "Package: jq\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.7-1\n\nPackage: apt\n",
            ),
            ("1.22.6ubuntu6", "1.22.6ubuntu7"),
        ],
        ..Fake::default()
    });
    let mut guest = guest();
    let done = done(&mut guest, &[apt, install("jq")], &fake, true).unwrap();
    let report = &done.reports[1];
    assert_eq!(
        report.text,
        "installed jq 1.7-1; upgraded dpkg 1.22.6ubuntu6 to 1.22.6ubuntu7 \
         (2 files made, 1 changed, 1 removed; 31.0 KiB)"
    );
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["packages"]["installed"][0]["version"], "1.7-1");
    assert_eq!(json["packages"]["upgraded"][0]["to"], "1.22.6ubuntu7");
    let tasks = fake.tasks.lock().unwrap();
    assert_eq!((tasks[0].name.as_str(), tasks[0].network), ("install jq", true));
    assert!(tasks[0].environment.contains(&("DEBIAN_FRONTEND".into(), "noninteractive".into())));
    let Program::Shell(text) = &tasks[0].program else { panic!("{:?}", tasks[0].program) };
    assert!(text.contains("apt-get \"$@\" install 'jq'\n"), "{text}");
}

#[test]
fn the_package_manager_is_one_that_the_guest_has() {
    let fake = Arc::new(Fake::default());
    let uninstall = || Operation::from(Uninstall::parse(OsStr::new("nano")).unwrap());
    // This guest is an Ubuntu, and has no program at all.
    let error = done(&mut guest(), &[uninstall()], &fake, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the guest has none of the package managers that imgraft knows: apt-get, dnf, microdnf, yum, zypper, apk and \
         pacman"
    );
    assert!(fake.tasks.lock().unwrap().is_empty());
    let text = |fake: &Fake| match &fake.tasks.lock().unwrap().last().unwrap().program {
        Program::Shell(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    done(&mut guest(), &[write("/usr/bin/dnf", ""), uninstall()], &fake, false).unwrap();
    assert_eq!(text(&fake), "set -eu\ndnf -y remove 'nano'\n");
    // With several, the distribution's own is taken.
    let operations = [write("/usr/bin/dnf", ""), write("/usr/bin/apt-get", ""), uninstall()];
    done(&mut guest(), &operations, &fake, false).unwrap();
    assert!(text(&fake).contains("\napt-get \"$@\" remove 'nano'\n"), "{}", text(&fake));
}

#[test]
fn what_needs_the_network_is_refused_without_it_before_anything_is_done() {
    for (operation, step) in [(install("jq,curl"), "install jq curl"), (Update::default().into(), "update")] {
        let fake = Arc::new(Fake::default());
        let mut guest = guest();
        let error = done(&mut guest, &[write("/etc/hosts", "x"), run("true"), operation], &fake, false).unwrap_err();
        assert!(matches!(&error, Error::NoNetwork { step: found } if found == step), "{error}");
        assert!(fake.tasks.lock().unwrap().is_empty());
        assert_ne!(content(&guest, "/etc/hosts"), b"x");
    }
}

#[test]
fn without_a_runner_nothing_is_done() {
    let mut guest = guest();
    let operations = [write("/etc/hosts", "x"), run("true")];
    let error = carry_out(&mut guest, &operations, &Options::default(), &|_, _| {}).unwrap_err();
    let Error::Run(RunError::Unavailable { problem, hint: Some(hint) }) = error else { panic!("{error}") };
    assert!(problem.starts_with("`run true` needs") && hint.contains("first-boot-command"), "{problem}; {hint}");
    assert_ne!(content(&guest, "/etc/hosts"), b"x");
}

#[test]
fn a_command_that_fails_is_named_with_its_status_and_its_last_lines() {
    let fake = Arc::new(Fake {
        output: &[b"first\nsec", b"ond\n\x1b[31mE: no such pack\x1b[0mage\nat the ", b"end"],
        fails: Some(Ended::Exited(100)),
        ..Fake::default()
    });
    let error = done(&mut guest(), &[run("make\nmake install")], &fake, false).unwrap_err();
    assert_eq!(error.to_string(), "`run make…` ended with status 100");
    let Error::Run(RunError::Failed { last_lines, log, .. }) = error else { panic!("{error}") };
    assert_eq!(last_lines, ["first", "second", "E: no such package", "at the end"]);
    assert_eq!(log.unwrap(), OsStr::new("/tmp/the.log"));
    for (ended, words) in [
        (Ended::Signal(9), "was ended by signal 9"),
        (Ended::TimedOut("5m".parse().unwrap()), "took longer than 5 min, which is the limit"),
        (Ended::OutOfMemory(Some("1G".parse().unwrap())), "needed more memory than 1.0 GiB, which is the limit"),
        (Ended::OutOfMemory(None), "needed more memory than there is"),
        (Ended::Interrupted, "was interrupted"),
    ] {
        let fake = Arc::new(Fake { fails: Some(ended), ..Fake::default() });
        let error = done(&mut guest(), &[run("x")], &fake, false).unwrap_err();
        assert_eq!(error.to_string(), format!("`run x` {words}"));
    }
}

#[test]
fn of_a_long_output_the_end_is_kept() {
    let fake =
        Arc::new(Fake { output: &[&[b'\n'; 100_000], b"last"], fails: Some(Ended::Exited(1)), ..Fake::default() });
    let error = done(&mut guest(), &[run("x")], &fake, false).unwrap_err();
    let Error::Run(RunError::Failed { last_lines, .. }) = error else { panic!("{error}") };
    assert!(last_lines.len() < 20 && last_lines.last().unwrap() == "last", "{last_lines:?}");
}

#[test]
fn what_a_command_writes_is_handed_on_as_it_comes() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<(String, Vec<u8>)>>);
    impl Watch for Heard {
        fn progress(&self, _: u64, _: u64) {}

        fn says(&self, step: &str, bytes: &[u8]) {
            self.0.lock().unwrap().push((step.to_owned(), bytes.to_vec()));
        }
    }
    let fake = Arc::new(Fake { output: &[b"a", b"\xffb\n"], ..Fake::default() });
    let options = Options { runner: Some(fake), ..Options::default() };
    let heard = Heard::default();
    carry_out(&mut guest(), &[run("x")], &options, &heard).unwrap();
    let expected = [&b""[..], b"a", b"\xffb\n"].map(|bytes| ("run x".to_owned(), bytes.to_vec()));
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

#[test]
fn a_script_that_is_not_there_or_empty_is_refused() {
    let fake = Arc::new(Fake::default());
    let folder = tempfile::tempdir().unwrap();
    let script = RunScript { script: folder.path().join("none.sh") };
    let error = done(&mut guest(), &[script.clone().into()], &fake, false).unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    fs::write(&script.script, "").unwrap();
    let error = done(&mut guest(), &[script.into()], &fake, false).unwrap_err();
    assert!(error.to_string().ends_with("none.sh` is empty"), "{error}");
    assert!(fake.tasks.lock().unwrap().is_empty());
}

#[test]
fn flags_are_read() {
    assert_eq!(Run::parse(OsStr::new("a b")).unwrap(), Run { command: "a b".to_owned() });
    for text in ["", " \n", "a\0b"] {
        assert!(Run::parse(OsStr::new(text)).is_err(), "{text:?}");
    }
    let packages = ["jq".to_owned(), "curl".to_owned()];
    assert_eq!(
        Install::parse(OsStr::new("jq,curl")).unwrap(),
        Install { packages: packages.to_vec(), ..Install::default() }
    );
    assert_eq!(Uninstall::parse(OsStr::new("jq,curl")).unwrap().packages, packages);
    assert!(Install::parse(OsStr::new("jq;reboot")).is_err() && Uninstall::parse(OsStr::new("")).is_err());
    assert!(RunScript::parse(OsStr::new("")).is_err());
}
