//! Limits of time, memory and processes.

use crate::support::{Guest, processes};

#[test]
fn a_command_that_ignores_signals_ends_with_its_time() {
    let said = Guest::new().shell(&["--time=500"], "trap '' TERM INT HUP; echo said; while :; do sleep 818181; done");
    assert_eq!((said.output.as_str(), said.ended.as_str()), ("said", "TimedOut"));
    assert!(processes("818181").is_empty());
}

#[test]
fn one_process_gets_no_more_memory_than_the_limit() {
    let said = Guest::new().shell(&["--memory=100000000", "--time=60000"], "attempts eat 200000000");
    assert!(["Exited(1)", "OutOfMemory"].contains(&said.ended.as_str()), "{said:?}");
    // Within the limit it runs on.
    let said = Guest::new().shell(&["--memory=100000000", "--time=1500"], "attempts eat 10000000");
    assert_eq!(said.ended, "TimedOut");
}

#[test]
fn many_processes_get_no_more_memory_together() {
    let script = "for i in 1 2 3 4; do attempts eat 60000000 & done; wait";
    assert_eq!(Guest::new().shell(&["--memory=150000000", "--time=60000"], script).ended, "OutOfMemory");
    let script = "for i in 1 2; do attempts eat 30000000 & done; wait";
    assert_eq!(Guest::new().shell(&["--memory=150000000", "--time=1500"], script).ended, "TimedOut");
}

#[test]
fn the_sandbox_s_own_file_systems_are_bounded_as_well() {
    let script = "dd if=/dev/zero of=/tmp/a bs=1M count=200 2>/dev/null; echo $?; du -m /tmp/a | cut -f 1
        dd if=/dev/zero of=/dev/shm/a bs=1M count=200 2>/dev/null; echo $?";
    let said = Guest::new().shell(&["--memory=100000000", "--time=60000"], script).success();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("1", "1"), "{said}");
    assert!(lines[1].parse::<u32>().unwrap() <= 50, "{said}");
}

const BOMB: &str = "bomb() { bomb | bomb & }; bomb; sleep 828282";

#[test]
fn a_fork_bomb_is_contained() {
    // With ids of its own, and with those of the host's root, which RLIMIT_NPROC does not count.
    for options in [&["--first-id=1879048192"][..], &[][..]] {
        let said = Guest::new().shell(&[&["--processes=60", "--time=3000"], options].concat(), BOMB);
        // The shell itself ends with 2 if it is the one that gets no further process.
        assert!(["TimedOut", "TooManyProcesses", "Exited(2)"].contains(&said.ended.as_str()), "{}", said.ended);
    }
    assert!(processes("828282").is_empty());
}

#[test]
fn ids_that_change_are_no_way_around_the_limit_of_processes() {
    let script = "for id in $(seq 1000 1009); do
            attempts as $id /bin/sh -c 'for i in $(seq 40); do sleep 838383 & done; wait' &
        done; wait";
    let said = Guest::new().shell(&["--processes=60", "--time=60000", "--first-id=1879048192"], script);
    assert_eq!(said.ended, "TooManyProcesses");
    assert!(processes("838383").is_empty());
}
