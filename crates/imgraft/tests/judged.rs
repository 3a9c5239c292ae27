//! First boots in QEMU, judged: of a real base, named by `IMGRAFT_TEST_BASE`, and of what was broken in it.
#![cfg(feature = "full-tests")]

use std::fs;
use std::os::unix::fs::FileExt;

use crate::support::World;
use crate::support::guests::{ONE_PROCESSOR, with_base as world};
use serde_json::Value;
use testkit::judge::judge;

/// What a boot is judged as.
struct Judged {
    code: Option<i32>,
    report: Value,
    stderr: String,
}

impl Judged {
    /// `imgraft test` with these arguments.
    fn of(world: &World, arguments: &[&str]) -> Self {
        let output =
            world.command("test --json --network restricted").args(ONE_PROCESSOR).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{stderr}", String::from_utf8_lossy(&output.stdout)));
        Self { code: output.status.code(), report, stderr }
    }

    /// What the first boot failed at: the stage, and what is said of it.
    fn failure(&self) -> (&str, &str) {
        let failure = &self.report["boots"][0]["failure"];
        let text = |key: &str| failure[key].as_str().unwrap_or_else(|| panic!("no failure: {self}"));
        (text("stage"), text("problem"))
    }

    /// The checks of a boot that came out as `result`: stage, name, problem.
    fn checks(&self, boot: usize, result: &str) -> Vec<(&str, &str, &str)> {
        let checks = self.report["boots"][boot]["checks"].as_array().unwrap_or_else(|| panic!("{self}"));
        let of = |check: &'_ Value, key: &str| check[key].as_str().unwrap_or_default().to_owned().leak() as &str;
        let found = checks.iter().filter(|check| check["result"] == result);
        found.map(|check| (of(check, "stage"), of(check, "name"), of(check, "problem"))).collect()
    }
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {:?}\n{}\n{:#}", self.code, self.stderr, self.report)
    }
}

const USER_DATA: &str = "\
#cloud-config
hostname: judged
runcmd:
  - echo done > /root/done
";

const RECIPE: &str = r#"
[boot]
user-data = "user-data.yaml"
services = ["cloud-final", "ssh"]
packages = ["cloud-init", "openssh-server"]
ports = [22]
ssh = "developer"
reboot = true
two-boots = true

[[boot.command]]
run = "id -un"
user = "developer"
output = "developer"

[[boot.command]]
run = "hostname; exit 3"
status = 3
matches = "^judged$"

[[boot.file]]
path = "/root/done"
mode = "0644"
owner = "root:0"
# What `echo done | sha256sum` prints.
sha256 = "e1b1e7e0d32b1fc3ec5a9b4c9a7c4ba4f5f1f2dfb4a9b6fbd8b5a1a5ac1d0f5e"
text = "done"

[[boot.file]]
path = "/etc/nothing"
absent = true
"#;

#[test]
#[ignore = "./test judges two boots and a restart of a good image already; this is ./test long"]
fn a_good_image_is_as_expected_after_a_restart_too_and_has_an_identity_of_its_own() {
    let world = world();
    let digest = judge("sh").args(["-c", "echo done | sha256sum"]).succeed().stdout;
    let recipe = RECIPE.replace(
        "e1b1e7e0d32b1fc3ec5a9b4c9a7c4ba4f5f1f2dfb4a9b6fbd8b5a1a5ac1d0f5e",
        digest.split_ascii_whitespace().next().unwrap(),
    );
    world.file("user-data.yaml", USER_DATA).file("recipe.toml", recipe);
    // What flags say comes beside the recipe's user-data.
    let outputs = ["--user", "developer", "--html", "page.html", "--junit", "junit.xml", "--console", "console.txt"];
    let judged = Judged::of(&world, &[&["base.img", "--recipe", "recipe.toml"][..], &outputs].concat());
    assert_eq!((judged.code, &judged.report["verdict"]), (Some(0), &"good".into()), "{judged}");
    let boots = judged.report["boots"].as_array().unwrap();
    assert_eq!(
        boots.iter().map(|boot| boot["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["first boot", "after a restart", "another first boot"]
    );
    // Four that are always looked at, and ten expectations; of the restart two more.
    assert_eq!([0, 1, 2].map(|boot| judged.checks(boot, "good").len()), [14, 16, 1], "{judged}");
    let stages: Vec<&str> =
        boots[0]["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(
        stages,
        [
            "firmware",
            "boot-loader",
            "kernel",
            "initramfs",
            "systemd",
            "local",
            "network",
            "config",
            "final",
            "finished"
        ]
    );
    // What the guest did when is on the clock of the machine's start.
    let stage_at = |name: &str| {
        let stages = boots[0]["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["stage"] == name).unwrap()["at_s"].as_f64().unwrap()
    };
    let modules = boots[0]["modules"].as_array().unwrap();
    let users =
        modules.iter().find(|module| module["name"].as_str().unwrap().ends_with("config-users-groups")).unwrap();
    let users_at_s = users["at_s"].as_f64().unwrap();
    assert!(stage_at("network") < users_at_s && users_at_s < stage_at("final"), "{users} {judged}");
    assert!(boots[0]["units"].as_array().unwrap().iter().any(|unit| unit["name"] == "ssh.service"), "{judged}");

    judge("xmllint")
        .args(["--noout", "junit.xml"].map(|name| if name.starts_with('-') { name.into() } else { world.path(name) }))
        .succeed();
    let page = fs::read_to_string(world.path("page.html")).unwrap();
    assert!(page.contains("Linux version") && page.contains("config-users-groups") && !page.contains('\u{1b}'));
    let console = fs::read(world.path("console.txt")).unwrap();
    let console = String::from_utf8_lossy(&console);
    assert_eq!(console.matches("Linux version").count(), 3, "two boots of one machine, and one of another");
    // The image is as it was: nothing of it was written.
    let names = ["base.img", "console.txt", "junit.xml", "page.html", "recipe.toml", "stock.img", "user-data.yaml"];
    assert_eq!(world.names(), names);
}

#[test]
fn no_boot_loader() {
    let world = world();
    // For a BIOS: the first sector is its program.
    fs::copy(world.path("base.img"), world.path("base.qcow2")).unwrap();
    world.run("convert base.qcow2 bios.raw").succeeds();
    let disk = fs::OpenOptions::new().write(true).open(world.path("bios.raw")).unwrap();
    disk.write_all_at(&[0; 512], 0).unwrap();
    let judged = Judged::of(&world, &["bios.raw", "--firmware", "bios"]);
    assert_eq!(judged.failure(), ("firmware", "the firmware found no boot loader on the disk"));
    assert_eq!(judged.code, Some(1));
    // For UEFI: a file.
    world.run("customize base.qcow2 --remove /boot/efi/EFI").succeeds();
    let judged = Judged::of(&world, &["base.qcow2", "--firmware", "uefi"]);
    assert_eq!(judged.failure().0, "firmware", "{judged}");
    assert!(judged.failure().1.starts_with("the firmware found no boot loader on the disk"), "{judged}");
    assert_eq!(judged.code, Some(1));
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn no_root() {
    let world = world();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    world.run("get my.img /boot/grub/grub.cfg grub.cfg").succeeds();
    let grub = fs::read_to_string(world.path("grub.cfg")).unwrap();
    assert!(grub.contains("root=LABEL=cloudimg-rootfs"), "{grub}");
    world.file("grub.cfg", grub.replace("root=LABEL=cloudimg-rootfs", "root=LABEL=nothing-here"));
    world.run("customize my.img --put grub.cfg:/boot/grub/grub.cfg").succeeds();
    let judged = Judged::of(&world, &["my.img", "--firmware", "bios"]);
    assert_eq!(judged.failure(), ("initramfs", "the initramfs did not find the root"));
    let lines = judged.report["boots"][0]["failure"]["lines"].to_string();
    assert!(lines.contains("ALERT!  LABEL=nothing-here does not exist"), "{lines}");
}

#[test]
fn no_kernel() {
    let world = world();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    world.run("customize my.img --remove /boot/vmlinuz*").succeeds();
    let judged = Judged::of(&world, &["my.img", "--firmware", "bios"]);
    assert_eq!(judged.failure(), ("boot-loader", "the boot loader did not find the kernel"));
    assert_eq!(judged.code, Some(1));
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn no_seed() {
    let world = world();
    let judged = Judged::of(&world, &["base.img", "--no-seed", "--stall", "2m"]);
    assert_eq!(judged.failure().0, "ds-identify", "{judged}");
    assert!(judged.failure().1.contains("cloud-init did not run"), "{judged}");
    assert_eq!(judged.code, Some(1));
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn bad_yaml() {
    let world = world();
    world.file("bad.yaml", "#cloud-config\nruncmd:\n  - [ echo, hi\npackages: {\n");
    // On a seed that is there, of another program: the agent comes beside what is on it.
    world
        .file("seed/user-data", fs::read(world.path("bad.yaml")).unwrap())
        .file("seed/meta-data", "instance-id: bad\n");
    let made = judge("genisoimage").args(["-quiet", "-volid", "cidata", "-joliet", "-rock", "-o"]);
    made.arg(world.path("seed.iso")).arg(world.path("seed")).succeed();
    let judged = Judged::of(&world, &["base.img", "--seed", "seed.iso"]);
    let wrong = judged.checks(0, "wrong");
    let [(stage, name, _), ..] = wrong[..] else { panic!("{judged}") };
    assert_eq!(stage, "network", "{judged}");
    assert!(["cloud-init has finished", "cloud-init reports no problem"].contains(&name), "{judged}");
    assert!(judged.report.to_string().contains("Failed loading yaml blob"), "{judged}");
    assert_eq!(judged.code, Some(1));
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_failing_runcmd_no_sshd_and_expectations_that_are_not_met() {
    let world = world();
    world.file("failing.yaml", "#cloud-config\nruncmd:\n  - echo before\n  - /usr/bin/no-such-program\n  - exit 7\n");
    world.run("customize base.img --remove /usr/sbin/sshd --write /etc/marker:x").succeeds();
    let mut arguments = vec!["base.img", "--user-data", "failing.yaml", "--stall", "2m"];
    arguments.extend(["--expect-service", "ssh", "--expect-port", "22", "--expect-ssh", "root"]);
    arguments.extend([
        "--expect-package",
        "nginx",
        "--expect-file",
        "/etc/marker:0600:daemon:root",
        "--expect-absent",
        "/etc/marker",
    ]);
    arguments.extend(["--expect-output", "echo a", "^b", "--expect-status", "true", "1", "--expect-file", "/nothing"]);
    arguments.extend(["--expect-text", "/etc/marker", "y"]);
    let judged = Judged::of(&world, &arguments);
    let wrong = judged.checks(0, "wrong");
    let problem = |part: &str| {
        wrong
            .iter()
            .find(|check| check.1.contains(part))
            .map(|check| check.2)
            .unwrap_or_else(|| panic!("{part}: {judged}"))
    };
    assert_eq!((wrong[0].0, wrong[0].1), ("final", "cloud-init has finished"), "{judged}");
    assert!(wrong[0].2.contains("error"), "{judged}");
    let logs = judged.report["boots"][0]["logs"].to_string();
    assert!(logs.contains("no-such-program: not found") && logs.contains("result.json"), "{logs}");
    let units = wrong.iter().find(|check| check.0 == "systemd").unwrap_or_else(|| panic!("{judged}"));
    assert!(units.2.contains("ssh.service"), "{judged}");
    assert!(problem("service `ssh`").starts_with("it is "));
    assert_eq!(problem("port 22"), "no program listens there");
    assert!(problem("root can log in").contains("onnection"), "{judged}");
    assert_eq!(problem("package `nginx`"), "it is not");
    assert_eq!(problem("`/etc/marker` has mode 0600"), "its mode is 0644, its owner is root:root");
    assert_eq!(problem("there is no `/etc/marker`"), "there is one, a file");
    assert_eq!(problem("`echo a` succeeds"), "its output is different");
    assert_eq!(problem("`true` ends with 1"), "it ended with 0");
    assert_eq!(problem("there is `/nothing`"), "it is not there");
    assert_eq!(problem("`/etc/marker` says"), "its content is different");
    assert_eq!(judged.code, Some(1));
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_hang() {
    let world = world();
    world.file("hang.yaml", "#cloud-config\nbootcmd:\n  - sleep infinity\n");
    let judged = Judged::of(&world, &["base.img", "--user-data", "hang.yaml", "--stall", "90s"]);
    assert_eq!(judged.failure().0, "network", "{judged}");
    assert!(judged.failure().1.contains("the guest hangs"), "{judged}");
    // The agent tells what is waited for.
    let logs = judged.report["boots"][0]["logs"].to_string();
    assert!(logs.contains("sleep infinity") && logs.contains("cloud-init.service"), "{logs}");
    assert_eq!(judged.code, Some(1));
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_user_data_that_switches_vendor_data_off_leaves_no_agent_unless_it_brings_it() {
    let world = world();
    world.file("off.yaml", "#cloud-config\nvendor_data:\n  enabled: false\nhostname: judged\n");
    let judged = Judged::of(&world, &["base.img", "--user-data", "off.yaml", "--stall", "2m"]);
    assert_eq!((judged.code, &judged.report["verdict"]), (Some(2), &"not-looked-at".into()), "{judged}");
    let reasons = judged.report["not_looked_at"].to_string();
    assert!(reasons.contains("no agent answers") && reasons.contains("--agent user-data"), "{reasons}");
    let arguments =
        ["base.img", "--user-data", "off.yaml", "--agent", "user-data", "--expect-output", "hostname", "^judged$"];
    let judged = Judged::of(&world, &arguments);
    assert_eq!((judged.code, judged.checks(0, "good").len()), (Some(0), 5), "{judged}");
}
