//! `imgraft doctor`.

use crate::support::World;

/// The checks by subject: whether each works, and its remedies.
fn checks(report: &serde_json::Value) -> Vec<(&str, bool, usize)> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .map(|check| {
            let remedies = check["remedies"].as_array().unwrap().len();
            (check["subject"].as_str().unwrap(), check["works"].as_bool().unwrap(), remedies)
        })
        .collect()
}

#[test]
fn each_part_is_named_with_its_state() {
    let world = World::empty();
    let said = world.run("doctor --json");
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let checks = checks(&report);
    let subjects: Vec<_> =
        checks.iter().map(|(subject, ..)| *subject).filter(|subject| *subject != "AppArmor").collect();
    assert_eq!(
        subjects,
        [
            "runner namespaces",
            "runner unpack",
            "subordinate ids",
            "/dev/fuse",
            "limits of memory",
            "guests of other processors",
            "accelerator",
            "qemu-system-x86_64",
            "UEFI firmware for x86_64",
            "qemu-system-aarch64",
            "UEFI firmware for aarch64",
            "ssh",
        ]
    );
    let works = |wanted: &str| checks.iter().any(|(subject, works, _)| *subject == wanted && *works);
    let runner = match (works("runner namespaces"), works("runner unpack")) {
        (true, _) => Some("namespaces"),
        (false, true) => Some("unpack"),
        (false, false) => None,
    };
    assert_eq!(report["runner"].as_str(), runner);
    // The exit code is the answer.
    assert_eq!(said.code, Some(i32::from(runner.is_none())));
    // What works needs no remedy.
    assert!(checks.iter().all(|(_, works, remedies)| !works || *remedies == 0), "{checks:?}");
    // What people read says the same.
    let text = world.run("doctor");
    assert_eq!(text.code, said.code);
    assert_eq!(
        text.stdout.lines().filter(|line| line.starts_with("  ok ")).count(),
        checks.iter().filter(|c| c.1).count()
    );
}

#[test]
fn a_program_that_is_not_installed_has_its_package_named() {
    let said = World::empty().run_with("doctor", &[("PATH", "/nowhere")]);
    for remedy in [
        "  no   qemu-system-x86_64: it is not installed\n       hint: run `sudo apt-get install qemu-system-x86`\n",
        "  no   qemu-system-aarch64: it is not installed\n       hint: run `sudo apt-get install qemu-system-arm`\n",
        "  no   ssh: it is not installed, and `test` needs it for a login\n       hint: run `sudo apt-get install openssh-client`\n",
    ] {
        assert!(said.stdout.contains(remedy), "{}", said.stdout);
    }
}

#[test]
#[cfg(feature = "full-tests")]
fn root_runs_commands_and_a_user_without_ids_is_told_the_line() {
    let world = World::empty();
    let said = world.run("doctor");
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    assert!(said.stdout.starts_with("commands in guests: yes, by the runner `namespaces`\n  ok   runner namespaces: "));
    let said = world.run_as_user("doctor");
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stdout.contains("\n       hint: add the line `nobody:"), "{}", said.stdout);
    assert!(said.stdout.contains("\n  no   runner unpack: nobody may not enter"), "{}", said.stdout);
}
