//! `imgraft test` with a stand-in for QEMU that plays consoles of real boots: what is said, and the exit codes.

use std::fs;
use std::path::Path;

use crate::support::World;
use serde_json::{Value, json};
use testkit::judge::{find, judge};

/// What a guest whose first boot went well answers.
pub(crate) fn answers() -> Value {
    json!({
        "hello": { "hello": 1, "boot_id": "b", "machine_id": "0123456789abcdef0123456789abcdef", "uptime_s": 60.5,
            "time_s": 1_700_000_060.5, "python": "3.11.2" },
        "run": {
            "cloud-init status --wait --long --format json": [0, "{\"status\": \"done\", \"detail\": \"DataSourceNoCloud\"}"],
            "systemctl is-system-running --wait": [0, "running\n"],
            "systemctl list-units --state=failed --all --no-legend --no-pager --plain": [0, ""],
            "dmesg": [0, "[    0.000000] Linux version 6.1\n"],
            "systemctl show --property=LoadState,ActiveState,TriggeredBy -- 'ssh'":
                [0, "TriggeredBy=ssh.socket\nLoadState=loaded\nActiveState=inactive\n"],
            "systemctl is-active -- 'ssh.socket'": [0, "active\n"],
            "app --version": [0, "app 1.2\n"],
        },
        "stat": { "/usr/local/bin/app": { "exists": true, "kind": "file", "mode": 0o755, "uid": 0, "gid": 0,
            "user": "root", "group": "root", "size_bytes": 3 } },
        "read": { "/run/cloud-init/status.json": "{\"v1\": {\"init\": {\"errors\": []}}}", "/var/log/cloud-init.log": "" },
    })
}

/// A folder with a base, a QEMU that is none, and the console that it plays.
fn world(console: &str, answers: Option<Value>) -> World {
    let world = World::new();
    let consoles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../judge/tests/consoles");
    world.file("guest/console", fs::read(consoles.join(console)).unwrap());
    if let Some(answers) = answers {
        world.file("guest/answers.json", answers.to_string());
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_qemu.py");
    let python = find("python3").expect("python3 is installed");
    let script = format!("#!/bin/sh\nexec {} {} \"$@\"\n", python.display(), program.display());
    world.file("bin/qemu-system-x86_64", script).mode("bin/qemu-system-x86_64", 0o755);
    world
}

/// How `imgraft test` ends, what it prints and what it says.
fn test(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    let mut command = world.command("test base.img --arch x86_64 --accel tcg --firmware bios --network restricted");
    let output = command.args(arguments).env("PATH", path).env("FAKE_QEMU", world.path("guest")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const EXPECTED: [&str; 6] = [
    "--expect-service=ssh",
    "--expect-output",
    "app --version",
    "^app 1",
    "--expect-file",
    "/usr/local/bin/app:0755:root:root",
];

/// The text with the same time everywhere.
fn without_times(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let digits = word.trim_start_matches('(');
        let is_time = digits.contains('.') && digits.parse::<f64>().is_ok();
        words.push(if is_time { word.replace(digits, "T") } else { word.to_owned() });
    }
    words.join(" ")
}

#[test]
fn a_good_guest_is_good() {
    let world = world("good.txt", Some(answers()));
    let outputs = ["--console", "console.txt", "--junit", "junit.xml", "--html", "page.html"];
    let (code, stdout, stderr) = test(&world, &[&EXPECTED[..], &outputs].concat());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(
        without_times(&stdout),
        "first boot: up in T s\n\
         \x20 ok       cloud-init has finished\n\
         \x20 ok       cloud-init reports no problem\n\
         \x20 ok       no systemd unit has failed\n\
         \x20 ok       the kernel reports no file system error\n\
         \x20 ok       service `ssh` is active\n\
         \x20 ok       `app --version` succeeds and prints a match of `^app 1`\n\
         \x20 ok       `/usr/local/bin/app` has mode 0755, belongs to root:root\n\
         ok: `base.img` passed all checks (7 checks, T s)\n"
    );
    for stage in ["boot loader", "kernel", "systemd", "cloud-init: network", "cloud-init: finished"] {
        assert!(stderr.lines().any(|line| line.ends_with(&format!(" s  {stage}"))), "{stage}: {stderr}");
    }
    assert_eq!(fs::read(world.path("console.txt")).unwrap(), fs::read(world.path("guest/console")).unwrap());
    judge("xmllint").arg("--noout").arg(world.path("junit.xml")).succeed();
    assert!(fs::read_to_string(world.path("page.html")).unwrap().contains("<svg"));
}

#[test]
fn a_user_who_is_locked_out_is_warned_of() {
    let world = world("good.txt", Some(answers()));
    let (code, _, stderr) = test(&world, &["--user", "ada"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("`ada` cannot log in: there is neither a key nor a password"), "{stderr}");
    // The test makes a key for whoever is to log in.
    let (_, _, stderr) = test(&world, &["--user", "ada", "--expect-ssh", "ada"]);
    assert!(!stderr.contains("cannot log in: there is neither"), "{stderr}");
}

#[test]
fn what_is_not_as_expected_ends_with_1() {
    let mut answers = answers();
    answers["run"]["systemctl show --property=LoadState,ActiveState,TriggeredBy -- 'ssh'"] =
        json!([0, "LoadState=not-found\nActiveState=inactive\n"]);
    answers["run"]["app --version"] = json!([1, "app: no licence\n"]);
    answers["stat"]["/usr/local/bin/app"]["mode"] = json!(0o644);
    answers["read"]["/var/log/cloud-init.log"] = json!(
        "2026-11-25 22:00:00,000 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'init' at x. Up 2 seconds.\n\
         2026-11-25 22:00:02,000 - util.py[WARNING]: Failed loading yaml blob\n"
    );
    let world = world("good.txt", Some(answers));
    let (code, stdout, stderr) = test(&world, &EXPECTED);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    for line in [
        "  FAILED   cloud-init reports no problem: 1 complaint in its log",
        "  FAILED   `app --version` succeeds and prints a match of `^app 1`: it ended with 1",
        "  FAILED   service `ssh` is active: there is no such service",
        "           app: no licence",
        "  FAILED   `/usr/local/bin/app` has mode 0755, belongs to root:root: its mode is 0644",
    ] {
        assert!(stdout.lines().any(|other| other == line), "{line}: {stdout}");
    }
    let last = without_times(stdout.lines().last().unwrap());
    let expected = "FAILED: `base.img`: 4 of 7 checks failed: \
        first boot, cloud-init: network: cloud-init reports no problem: 1 complaint in its log; \
        first boot: service `ssh` is active: there is no such service; \
        first boot: `app --version` succeeds and prints a match of `^app 1`: it ended with 1; \
        first boot: `/usr/local/bin/app` has mode 0755, belongs to root:root: its mode is 0644 (T s)";
    assert_eq!(last, expected);
    // What failed comes before what did not.
    let place = |word: &str| stdout.lines().position(|line| line.starts_with(word)).unwrap();
    assert!(place("  FAILED ") < place("  ok "), "{stdout}");
}

#[test]
fn what_a_boot_fails_at_is_named_with_its_lines() {
    let world = world("no-kernel.txt", None);
    let (code, stdout, _) = test(&world, &[]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.starts_with("first boot: failed in boot loader after "), "{stdout}");
    assert!(stdout.contains("\n    error: file `/vmlinuz-6.1.0-56-cloud-amd64' not found.\n"), "{stdout}");
    let last = without_times(stdout.lines().last().unwrap());
    assert_eq!(last, "FAILED: `base.img`: first boot, boot loader: the boot loader did not find the kernel (T s)");
}

#[test]
fn a_hang_is_found_by_that_nothing_goes_on() {
    let world = world("hang-in-bootcmd.txt", None);
    let (code, stdout, _) = test(&world, &["--stall", "2s", "--json"]);
    assert_eq!(code, Some(1), "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let failure = &report["boots"][0]["failure"];
    assert_eq!((&failure["stage"], &report["verdict"]), (&"network".into(), &"wrong".into()), "{stdout}");
    assert!(failure["problem"].as_str().unwrap().ends_with(" s: the guest hangs"), "{stdout}");
}

#[test]
fn several_at_once_have_ports_of_their_own() {
    let world = world("good.txt", Some(answers()));
    // All of them have chosen their ports before the first QEMU listens.
    world.file("guest/delay", "2");
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    let start = || {
        let mut command = world.command("test base.img --arch x86_64 --accel tcg --firmware bios");
        command.args(["--no-seed", "--expect-service=ssh"]);
        command.env("PATH", &path).env("FAKE_QEMU", world.path("guest"));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_ssh_that_says_much_is_no_hang() {
    let world = world("good.txt", Some(answers()));
    world
        .file("key", "a key")
        .file("bin/ssh", "#!/bin/sh\nhead -c 300000 /dev/zero | tr '\\0' x >&2\necho imgraft-is-in\n");
    world.mode("bin/ssh", 0o755);
    let (code, stdout, stderr) = test(&world, &["--expect-ssh=ada", "--identity=key", "--stall=20s"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

#[test]
fn a_console_that_floods_does_not_fill_the_memory() {
    let world = world("good.txt", Some(answers()));
    let console = fs::read(world.path("guest/console")).unwrap();
    // Four million lines of a letter, which took a hundred bytes each.
    fs::write(world.path("guest/console"), [&b"y\n".repeat(4 << 20)[..], &console].concat()).unwrap();
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    let program = world.command("test base.img --arch x86_64 --accel tcg --firmware bios --network restricted");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -v 393216; exec \"$@\"", "sh"]).arg(program.get_program()).args(program.get_args());
    command.args(["--console", "console.txt", "--html", "page.html"]).current_dir(world.folder());
    let output = command.env("PATH", path).env("FAKE_QEMU", world.path("guest")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(world.path("console.txt")).unwrap() == fs::read(world.path("guest/console")).unwrap());
    let page = fs::metadata(world.path("page.html")).unwrap().len();
    assert!(page < 8 << 20, "{page}");
}

#[test]
fn without_qemu_that_is_said_before_anything_is_looked_at() {
    let world = world("good.txt", None);
    let mut command = world.command("test base.img --arch x86_64 --accel tcg --user-data none.yaml");
    let output = command.env("PATH", "/nonexistent").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.starts_with("error: `base.img` was not tested\n  cause: `qemu-system-x86_64`, which"), "{stderr}");
    assert!(!stderr.contains("first boot") && !stderr.contains("none.yaml"), "{stderr}");
}

#[test]
fn complaints_can_be_allowed() {
    let mut answers = answers();
    answers["read"]["/var/log/cloud-init.log"] =
        json!("2026-11-25 22:00:02,000 - util.py[WARNING]: Failed loading yaml blob\n");
    let world = world("good.txt", Some(answers));
    assert_eq!(test(&world, &[]).0, Some(1));
    assert_eq!(test(&world, &["--allow-complaints"]).0, Some(0));
}

#[test]
fn a_signal_leaves_neither_the_machine_nor_its_files() {
    let world = world("hang-in-bootcmd.txt", None);
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    fs::create_dir(world.path("tmp")).unwrap();
    let mut command = world.command("test base.img --arch x86_64 --accel tcg --firmware bios");
    command.env("PATH", path).env("FAKE_QEMU", world.path("guest")).env("TMPDIR", world.path("tmp"));
    let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let process = loop {
        match fs::read_to_string(world.path("guest/process")) {
            Ok(text) if !text.is_empty() => break text,
            _ => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before its machine was there");
    };
    assert!(fs::read_dir(world.path("tmp")).unwrap().count() > 0);
    judge("sh").args(["-c", &format!("kill -TERM {}", child.id())]).succeed();
    assert!(!child.wait().unwrap().success());
    // It is waited for before the program itself ends.
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    assert!(status.is_empty() || status.contains("State:\tZ"), "{status}");
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_looked_at_ends_with_2() {
    // No agent.
    let world = world("good.txt", None);
    let (code, stdout, _) = test(&world, &["--stall", "4s", "--expect-run", "true"]);
    assert_eq!(code, Some(2), "{stdout}");
    assert!(
        stdout.contains(
            "not looked at: the guest: no agent answers in the guest: it needs a cloud-init that takes vendor-data"
        ),
        "{stdout}"
    );
    let (code, stdout, _) = test(&world, &["--stall", "4s", "--agent", "none", "--two-boots", "--reboot"]);
    assert_eq!(code, Some(2), "{stdout}");
    for reason in ["the guest: no agent answers in the guest: you say so", "a restart: ", "another first boot: "] {
        assert!(stdout.contains(&format!("not looked at: {reason}")), "{stdout}");
    }
    // A host that is too busy.
    fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../judge/tests/consoles/busy-host.txt"),
        world.path("guest/console"),
    )
    .unwrap();
    let (code, stdout, stderr) = test(&world, &["-v"]);
    assert_eq!(code, Some(2), "{stdout}{stderr}");
    assert!(stdout.contains("not looked at: first boot: the host is too busy for the emulator"), "{stdout}");
    assert!(stderr.contains("the host was too busy for the emulator: the machine is started again"), "{stderr}");
    // A QEMU that does not start.
    world
        .file("bin/qemu-system-x86_64", "#!/bin/sh\necho 'qemu: no such thing' >&2\nexit 1\n")
        .mode("bin/qemu-system-x86_64", 0o755);
    let (code, stdout, stderr) = test(&world, &[]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("error: `base.img` was not tested") && stderr.contains("qemu: no such thing"), "{stderr}");
    // Wrong usage and files that are not there.
    for (arguments, said) in [
        (&["--expect-status", "true", "x"][..], "`x` is not an exit status from 0 to 255"),
        (&["--recipe", "none.toml"], "the recipe `none.toml` cannot be read"),
        (&["--user-data", "none.yaml"], "`none.yaml` cannot be read"),
        (&["--no-seed", "--seed", "a.iso"], "cannot be used with"),
        (&["--console", "none/console"], "`none/console` cannot be written"),
    ] {
        let (code, stdout, stderr) = test(&world, arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}
