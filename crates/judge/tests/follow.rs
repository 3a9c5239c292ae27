//! What real consoles tell, in the order in which they told it: see `consoles/README.md`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use judge::Stage;
use judge::Stage::{BootLoader, Config, Final, Finished, Firmware, Initramfs, Kernel, Local, Network, Systemd};
use judge::follow::{Follower, Sign, Trouble};

/// What a console told.
#[derive(Debug, Default, PartialEq)]
struct Told {
    stages: Vec<Stage>,
    fatal: Vec<(Stage, String)>,
    troubles: Vec<(Stage, String)>,
    lines: Vec<String>,
}

impl Told {
    fn take(&mut self, signs: Vec<Sign>) {
        for sign in signs {
            match sign {
                Sign::Entered(stage) => self.stages.push(stage),
                Sign::Fatal(Trouble { stage, meaning, .. }) => self.fatal.push((stage, meaning)),
                Sign::Trouble(Trouble { stage, line, .. }) => self.troubles.push((stage, line)),
            }
        }
    }
}

fn console(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consoles").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the console told in chunks of that size.
fn told(console: &[u8], chunk_bytes: usize) -> Told {
    let (mut follower, mut told) = (Follower::default(), Told::default());
    for (index, chunk) in console.chunks(chunk_bytes).enumerate() {
        told.take(follower.feed(Duration::from_millis(index as u64), chunk));
    }
    told.lines = follower.lines().iter().map(|line| line.text.clone()).collect();
    told
}

/// What the console told, which does not depend on how it is cut.
fn told_in_any_chunks(name: &str) -> Told {
    let console = console(&format!("{name}.txt"));
    let whole = told(&console, console.len());
    for chunk_bytes in [1, 7, 100] {
        assert_eq!(told(&console, chunk_bytes), whole, "{name} in chunks of {chunk_bytes}");
    }
    whole
}

const TO_THE_END: [Stage; 8] = [BootLoader, Kernel, Initramfs, Systemd, Local, Network, Config, Final];

#[test]
fn a_good_boot_goes_through_all_stages_without_trouble() {
    let told = told_in_any_chunks("good");
    assert_eq!(told.stages, [&TO_THE_END[..], &[Finished]].concat());
    assert_eq!((&told.fatal[..], &told.troubles[..]), (&[][..], &[][..]));
}

#[test]
fn what_a_boot_fails_at_is_known_when_it_shows() {
    for (name, stages, failed, meaning) in [
        ("no-loader-bios", &TO_THE_END[..1], Firmware, "the firmware found no boot loader on the disk"),
        ("no-loader-uefi", &[][..], Firmware, "the firmware found no boot loader on the disk and tries the network"),
        ("uefi-shell", &TO_THE_END[..1], Firmware, "the firmware found no boot loader on the disk"),
        ("no-kernel", &TO_THE_END[..1], BootLoader, "the boot loader did not find the kernel"),
        ("no-grub-config", &TO_THE_END[..1], BootLoader, "GRUB found no configuration that names a kernel"),
        ("no-grub-modules", &TO_THE_END[..1], BootLoader, "GRUB found no configuration that names a kernel"),
        ("no-initrd", &TO_THE_END[..2], BootLoader, "the boot loader did not find the initramfs"),
        ("no-root", &TO_THE_END[..3], Initramfs, "the initramfs did not find the root"),
        ("no-init", &TO_THE_END[..3], Initramfs, "the initramfs found no init to start in the root"),
        ("missing-mount", &TO_THE_END[..6], Systemd, "systemd is in emergency mode"),
        ("busy-host", &TO_THE_END[..2], Kernel, "the kernel gave up"),
    ] {
        let told = told_in_any_chunks(name);
        assert_eq!(told.stages, stages, "{name}");
        assert_eq!(told.fatal, [(failed, meaning.to_owned())], "{name}");
    }
}

#[test]
fn a_login_prompt_without_cloud_init_is_noticed() {
    let (mut follower, mut told) = (Follower::default(), Told::default());
    told.take(follower.feed(Duration::from_secs(1), &console("no-seed.txt")));
    assert_eq!(told.stages, TO_THE_END[..4]);
    assert_eq!(told.fatal, []);
    assert_eq!(follower.login_without_cloud_init(), Some(Duration::from_secs(1)));
    // Without keys of the host, sshd does not start: trouble, and not what the boot fails at.
    assert!(
        told.troubles.iter().all(|(stage, line)| *stage == Systemd && line.contains("ssh.serv")),
        "{:?}",
        told.troubles
    );

    let mut follower = Follower::default();
    follower.feed(Duration::ZERO, &console("good.txt"));
    assert_eq!(follower.login_without_cloud_init(), None);
}

#[test]
fn cloud_inits_complaints_are_troubles_of_their_stage() {
    for (name, stage, part) in [
        ("bad-yaml", Network, "Failed loading yaml blob. Invalid format at line 4 column 5"),
        ("failing-runcmd", Final, "Failed to run module scripts-user"),
    ] {
        let told = told_in_any_chunks(name);
        assert_eq!(told.stages.last(), Some(&Finished), "{name}");
        assert_eq!(told.fatal, [], "{name}");
        assert!(told.troubles.iter().all(|trouble| trouble.0 == stage), "{name}: {:?}", told.troubles);
        assert!(told.troubles[0].1.contains(part), "{name}: {:?}", told.troubles);
    }
}

#[test]
fn a_spinner_is_no_progress() {
    let mut follower = Follower::default();
    follower.feed(Duration::ZERO, &console("hang-in-bootcmd.txt"));
    assert_eq!(follower.stage(), Network);
    let before = follower.novelties();
    for second in 10..99 {
        let spinner = format!(
            "\r\x1b[K[\x1b[0;31m*     \x1b[0m] A start job is running for cloud-init.service ({second}s / no limit)\r\n"
        );
        follower.feed(Duration::from_secs(second), spinner.as_bytes());
        follower.feed(Duration::from_secs(second), format!("[  {second}.1] a message with another time\n").as_bytes());
    }
    // One message that was new when it came first.
    assert_eq!(follower.novelties(), before + 1);
    follower.feed(Duration::from_secs(100), b"[  100.1] another message\n");
    assert_eq!(follower.novelties(), before + 2);
}

#[test]
fn words_in_the_wrong_place_tell_nothing() {
    let mut follower = Follower::default();
    let mut told = Told::default();
    told.take(follower.feed(Duration::ZERO, &console("good.txt")));
    // A user's own output, after all.
    for line in [
        "[ 99.0] cloud-init[1]: error: file `/vmlinuz' not found.",
        "No bootable device.",
        "Welcome to GRUB!",
        "motd: Shell> and grub> are prompts",
        "Linux version 1.0 is old",
    ] {
        told.take(follower.feed(Duration::from_secs(1), format!("{line}\r\n").as_bytes()));
    }
    assert_eq!((follower.stage(), &told.fatal[..]), (Finished, &[][..]));
}
