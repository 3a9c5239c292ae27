//! How commands end, and that nothing of them stays.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Guest, probe, processes};

/// How long something may take that takes a moment on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_status_and_a_signal_are_told_apart() {
    let guest = Guest::new();
    assert_eq!(guest.shell(&[], "exit 0").ended, "Exited(0)");
    assert_eq!(guest.shell(&[], "exit 143").ended, "Exited(143)");
    assert_eq!(guest.shell(&[], "kill -TERM $$; sleep 1").ended, "Signal(15)");
    assert_eq!(guest.shell(&[], "kill -SEGV $$; sleep 1").ended, "Signal(11)");
    // Rust ignores this signal; programs get it as they expect.
    assert_eq!(guest.shell(&[], "yes | head -n 1; echo done").success(), "y\ndone");
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let guest = Guest::new();
    let run = |arguments: &[&str]| {
        let mut line = Command::new(probe());
        guest.arguments(&mut line, &[], arguments);
        crate::support::Said::of(&mut line).ended
    };
    assert_eq!(run(&["nothing"]), "the guest's nothing cannot be started\nNo such file or directory (os error 2)");
    assert_eq!(run(&["/etc/passwd"]), "the guest's /etc/passwd cannot be started\nPermission denied (os error 13)");
    assert_eq!(run(&["true"]), "Exited(0)");
}

#[test]
fn output_comes_as_it_is_said() {
    let guest = Guest::new();
    let mut line = Command::new(probe());
    guest.arguments(&mut line, &[], &["/bin/sh", "-c", "echo first; read x </dev/stdin; echo error >&2; sleep 1000"]);
    let mut child = line.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = [0; 12];
    // Both streams, in their order, while the command still runs.
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"first\nerror\n");
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn much_output_is_passed_on_whole() {
    let said = Guest::new().shell(&[], "seq 1 200000").success();
    assert!(said.lines().map(|line| line.parse::<u32>().unwrap()).eq(1..=200_000));
}

#[test]
fn a_daemon_ends_with_the_command() {
    let guest = Guest::new();
    let script = "setsid sh -c 'trap \"\" TERM HUP INT; sleep 717171' </dev/null >/dev/null 2>&1 &
        (sleep 717172 &) ; ps | grep -c 71717[12]";
    let said = guest.shell(&[], script).success();
    assert!(said.parse::<u32>().unwrap() >= 2, "{said}");
    assert!(processes("71717").is_empty());
}

#[test]
fn a_daemon_that_keeps_the_output_open_holds_nothing_up() {
    assert_eq!(Guest::new().shell(&[], "sleep 727272 & echo said").success(), "said");
    assert!(processes("727272").is_empty());
}

#[test]
fn many_orphans_are_taken_in() {
    let script = "for i in $(seq 300); do (true &); done
        while ps -o stat | grep -q Z; do sleep 0.1; done; echo none";
    assert_eq!(Guest::new().shell(&["--time=60000"], script).success(), "none");
}

#[test]
fn a_kill_of_the_program_leaves_nothing() {
    let guest = Guest::new();
    for options in [&[][..], &["--fuse=/", "--fuse=/boot"][..], &["--chroot"][..]] {
        let mut line = Command::new(probe());
        let script = "trap '' TERM HUP INT; sleep 737373 & sleep 737373; sleep 737373";
        guest.arguments(&mut line, options, &["/bin/sh", "-c", script]);
        let mut child = line.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("it started", || processes("737373").len() >= 4);
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("it is gone", || processes("737373").is_empty());
    }
    assert!(!std::fs::read_to_string("/proc/mounts").unwrap().contains("imgraft "));
}

#[test]
fn a_kill_of_the_helper_ends_everything() {
    let guest = Guest::new();
    let mut line = Command::new(probe());
    guest.arguments(&mut line, &[], &["/bin/sleep", "747474"]);
    let child = line.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("it started", || processes("/bin/sleep\x00747474").len() >= 2);
    let id = child.id().to_string();
    // The helper is the only child.
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    testkit::judge::judge("kill").args(["-9", children.trim()]).succeed();
    let said = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("helper process ended early"), "{said:?}");
    wait_until("it is gone", || processes("747474").is_empty());
}

#[test]
fn a_command_can_be_stopped_from_outside() {
    let said = Guest::new().shell(&["--stop-after=300"], "trap '' TERM INT; while :; do sleep 757575; done");
    assert_eq!(said.ended, "Interrupted");
    assert!(processes("757575").is_empty());
}

#[test]
fn a_chroot_ends_as_cleanly() {
    let guest = Guest::new();
    let script = "setsid sh -c 'trap \"\" TERM; sleep 767676' & (sleep 767676 &); echo said; pwd; exit 3";
    let said = guest.shell(&["--chroot"], script);
    assert_eq!((said.output.as_str(), said.ended.as_str()), ("said\n/", "Exited(3)"));
    assert!(processes("767676").is_empty());
    assert_eq!(guest.shell(&["--chroot", "--time=300"], "sleep 767676").ended, "TimedOut");
    assert!(processes("767676").is_empty());
}

#[test]
fn a_file_system_that_nobody_answers_holds_nothing_up() {
    let said = Guest::new().shell(&["--unserved", "--fuse=/"], "true").ended;
    assert_eq!(said, "the guest's files cannot be served\nnot served");
    wait_until("the helper is gone", || processes("imgraft-sandbox").iter().all(|process| !is_child_of_init(*process)));
}

/// Whether nobody but the first process of the machine would wait for it.
fn is_child_of_init(process: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/status")).is_ok_and(|status| status.contains("\nPPid:\t1\n"))
}
