//! The two ways in which commands run in a guest, on a real base, named by `IMGRAFT_TEST_BASE`: needs root.
#![cfg(feature = "full-tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::judge::judge;
use testkit::partition::{extract_disk, partition_range};

use crate::support::guests::with_less;
use crate::support::{ROOT, World, assert_sound};

/// How long something may take that is there at once on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// The number of `setxattr`, for a guest that has no program for it but perl.
const SETXATTR: u32 = if cfg!(target_arch = "x86_64") { 188 } else { 5 };

/// `imgraft` as root of a plain container runs it.
fn in_a_container(world: &World, arguments: &str, more: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/container.py");
    let mut command = Command::new("python3");
    command.args([script, env!("CARGO_BIN_EXE_imgraft")]).args(arguments.split_ascii_whitespace()).args(more);
    command.current_dir(world.folder()).env_remove("SOURCE_DATE_EPOCH").env("NO_COLOR", "1").output().unwrap()
}

/// What a program said, if it succeeded.
#[track_caller]
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

/// The processes of the host whose command line has `text` in it.
fn processes(text: &str) -> usize {
    let is =
        |path: &Path| fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text));
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok() && is(&entry.path())).count()
}

/// Folders that a guest was unpacked into.
fn folders(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path("tmp")).unwrap().flatten();
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Makes, changes and removes files of every kind.
fn every_kind() -> String {
    let xattr = |path: &str, name: &str, value: &str, length: usize| {
        let arguments = "$_[0], $_[1], $_[2]";
        format!(
            "perl -e '@_ = (\"{path}\", \"{name}\", {value}); \
             syscall({SETXATTR}, {arguments}, {length}, 0) == 0 or die $!'"
        )
    };
    let user = xattr("/opt/a/attributes", "user.imgraft", "\"value\"", 5);
    // cap_net_raw, permitted and effective; u::rw-,u:1000:r--,g::r--,m::r--,o::r--.
    let capability = xattr("/opt/a/ping", "security.capability", "pack(\"V5\", 0x2000001, 0x2000, 0, 0, 0)", 20);
    let entries = "1,6,4294967295,2,4,1000,4,4,4294967295,16,4,4294967295,32,4,4294967295";
    let acl = xattr("/opt/a/acl", "system.posix_acl_access", &format!("pack(\"V(vvV)5\", 2, {entries})"), 44);
    let default = xattr("/opt/a/defaults", "system.posix_acl_default", &format!("pack(\"V(vvV)5\", 2, {entries})"), 44);
    let lines = [
        "set -e",
        // What is new.
        "mkdir -p /opt/a/b/c",
        "echo made >/opt/a/made; ln /opt/a/made /opt/a/twin; ln /opt/a/made /opt/a/b/triplet",
        "ln -s ../made /opt/a/link; ln -s \"$(printf %0300d 7)\" /opt/a/long-link; mkfifo /opt/a/fifo",
        "dd if=/dev/zero of=/opt/a/sparse bs=1 count=1 seek=5000000 2>/dev/null",
        "printf data | dd of=/opt/a/sparse bs=1 seek=1000000 conv=notrunc 2>/dev/null",
        "install -o www-data -g mail -m 4750 /bin/true /opt/a/setuid",
        "mkdir -m 2775 /opt/a/setgid; chgrp mail /opt/a/setgid; echo x >/opt/a/setgid/inherits",
        "touch -d 2001-02-03T04:05:06.789 /opt/a/old; touch -h -d 2002-03-04 /opt/a/link",
        "chown -h 12345:54321 /opt/a/link; echo x >/opt/a/whole; touch -d \"@$(date +%s)\" /opt/a/whole",
        "echo x >/opt/a/attributes; echo x >/opt/a/acl; cp /bin/true /opt/a/ping; mkdir /opt/a/defaults",
        &user,
        &capability,
        &acl,
        &default,
        "echo x >/opt/a/defaults/inherits; mkdir /opt/a/defaults/folder",
        "echo x >'/opt/a/new\nline'",
        // What changes.
        "echo more >>/etc/profile; chmod 0700 /srv; chown www-data /var/mail; chmod u+s /usr/bin/env",
        "cp -p /etc/bash.bashrc /opt/bashrc; printf X | dd of=/etc/bash.bashrc bs=1 conv=notrunc 2>/dev/null",
        "touch -r /opt/bashrc /etc/bash.bashrc; rm /opt/bashrc",
        "cp -p /etc/hosts /etc/hosts.new; echo 192.0.2.1 x >>/etc/hosts.new; mv /etc/hosts.new /etc/hosts",
        "ln /etc/debian_version /opt/debian_version; touch -d 2003-04-05 /opt/a/b; : >/etc/issue.net",
        // What is another kind of file, in another place, or gone.
        "rm /etc/motd; mkdir /etc/motd; mv /etc/issue /etc/issue.moved; mv /usr/share/pam /opt/pam",
        "rm -r /usr/share/info; echo x >/usr/share/info; rm -r /usr/share/keyrings",
        "echo gone >/opt/gone; rm /opt/gone; mkdir /opt/gone; rmdir /opt/gone",
        // The other file systems.
        "echo boot >/boot/made; mkdir -p /boot/efi/made; echo efi >/boot/efi/made/file; mv /boot/made /boot/moved",
        // What is not for the image.
        "echo x >/tmp/x; echo x >/run/x; echo x >/dev/shm/x; echo log >>/var/log/dpkg.log",
    ];
    lines.join("\n")
}

/// Whoever runs a command, the image has the same bytes.
#[test]
fn both_runners_give_the_same_image() {
    let world = with_less();
    let script = every_kind();
    let more = ["--run", &script, "--run-script", "second"];
    world.file("second", "#!/bin/sh -e\nrm /opt/a/b/triplet\nprintf appended >>/opt/a/twin\nchmod 0640 /opt/a/acl\n");
    for runner in ["namespaces", "unpack"] {
        let build = format!("build --base base.img -o {runner}.img --runner {runner} --json");
        let run = world.run_words(&build, &more).succeeds();
        assert!(run.stdout.contains(&format!("\"runner\": \"{runner}\"")), "{}", run.stdout);
        fs::write(world.path(&format!("{runner}.json")), &run.stdout).unwrap();
    }
    assert_sound(&world.path("unpack.img"));
    assert_eq!(world.content("unpack.img", ROOT, "/opt/a/twin"), b"made\nappended");
    // A program that sets the clock's time in whole seconds has not set one of before the command.
    let modified = |path: &str| world.stat("unpack.img", ROOT, path).modified;
    assert_eq!(modified("/opt/a/whole"), modified("/opt/a/made"));
    let same = fs::read(world.path("namespaces.img")).unwrap() == fs::read(world.path("unpack.img")).unwrap();
    let report = |runner: &str| fs::read_to_string(world.path(&format!("{runner}.json"))).unwrap();
    let changes = |runner: &str| report(runner).lines().filter(|line| line.contains("\"path\"")).collect::<String>();
    assert_eq!(changes("namespaces"), changes("unpack"));
    assert!(same, "the bytes of the images differ");
}

#[test]
fn a_command_that_fails_changes_nothing_and_leaves_no_folder_and_no_process() {
    let world = with_less();
    fs::create_dir(world.path("tmp")).unwrap();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    let before = fs::read(world.path("my.img")).unwrap();
    let script = "echo x >/etc/x; setsid sleep 738293 & test -e /etc/x; echo broken >&2; exit 3";
    let mut command = world.command("customize my.img --runner unpack");
    let output = command.args(["--run", script]).env("TMPDIR", world.path("tmp")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("ended with status 3") && text.contains("broken"), "{text}");
    assert!(fs::read(world.path("my.img")).unwrap() == before);
    assert_eq!((folders(&world), processes("sleep\x00738293")), (Vec::new(), 0));
}

#[test]
fn what_a_command_leaves_running_is_ended_with_it() {
    let world = with_less();
    fs::create_dir(world.path("tmp")).unwrap();
    let script = "trap '' HUP TERM; setsid sh -c 'trap \"\" TERM; sleep 738294; echo x >/etc/late' </dev/null >/dev/null 2>&1 & \
                  echo x >/etc/x";
    let mut command = world.command("build --base base.img -o out.img --runner unpack");
    said(&command.args(["--run", script]).env("TMPDIR", world.path("tmp")).output().unwrap());
    assert_eq!((folders(&world), processes("sleep\x00738294")), (Vec::new(), 0));
    assert_eq!(world.content("out.img", ROOT, "/etc/x"), b"x\n");
}

#[test]
fn ctrl_c_leaves_neither_folder_nor_process() {
    let world = with_less();
    fs::create_dir(world.path("tmp")).unwrap();
    let script = "trap '' INT TERM HUP; setsid sleep 738295 & echo begun; while :; do echo x >>/etc/x; done";
    let mut command = world.command("build --base base.img -o out.img --runner unpack");
    command.args(["--run", script]).env("TMPDIR", world.path("tmp")).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("begun\n") || line.contains("echo") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the command did not begin");
    }
    assert_eq!(folders(&world).len(), 1);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
    let _ = reader.read_to_string(&mut line);
    let deadline = Instant::now() + PATIENCE;
    while processes("sleep\x00738295") > 0 {
        assert!(Instant::now() < deadline, "a process outlives the build");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(folders(&world), Vec::<String>::new());
    assert!(!world.path("out.img").exists());
}

/// Where neither namespaces nor mounts are allowed, root's commands run in a folder, and it is said why.
#[test]
fn in_a_plain_container_the_guest_is_unpacked() {
    let world = with_less();
    let script = every_kind();
    world.run_words("build --base base.img -o namespaces.img", &["--run", &script]).succeeds();
    let output = in_a_container(&world, "build --base base.img -o unpack.img --verbose", &["--run", &script]);
    let text = said(&output);
    let line = text.lines().find(|line| line.contains("run by the runner unpack")).unwrap_or(&text);
    assert!(line.contains("a container or a service that this process is in denies them"), "{text}");
    assert!(fs::read(world.path("namespaces.img")).unwrap() == fs::read(world.path("unpack.img")).unwrap());
    // Asked for namespaces, it says what to do.
    let output = in_a_container(&world, "build --base base.img -o x.img --runner namespaces", &["--run", "true"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("`--runner unpack`"), "{text}");
    // Where namespaces work, they are what runs commands.
    let run = world.run_words("build --base base.img -o x.img --verbose", &["--run", "true"]).succeeds();
    assert!(run.stderr.contains("run by the runner namespaces\n"), "{}", run.stderr);
}

/// What the folder cannot hold stays with the file, whatever happens to that.
#[test]
fn attributes_that_may_not_be_set_stay_in_the_image() {
    let world = with_less();
    let make = "mkdir /opt/files; cd /opt/files; for name in written moved linked copied; do echo old >$name; done";
    world.run_words("build --base base.img -o files.img", &["--run", make]).succeeds();
    extract_disk(&world.path("files.img"), &world.path("files.raw"));
    let start = partition_range(&world.path("files.raw"), ROOT).start;
    let names = ["written", "moved", "linked", "copied"];
    let set = |name: &str| {
        format!("ea_set /opt/files/{name} trusted.note of-{name}\nea_set /opt/files/{name} security.label {name}\n")
    };
    world.file("requests", names.map(set).concat());
    let place = format!("{}?offset={start}", world.path("files.raw").display());
    judge("debugfs").args(["-w", "-f"]).arg(world.path("requests")).arg(place).succeed();
    let script = "set -e; cd /opt/files; echo more >>written; mv moved /opt/elsewhere; ln linked link; chmod 0600 linked; \
                  cp -a copied copy";
    said(&in_a_container(&world, "build --base files.raw -o out.img", &["--run", script]));
    assert_sound(&world.path("out.img"));
    let files =
        [("files/written", "written"), ("elsewhere", "moved"), ("files/link", "linked"), ("files/copied", "copied")];
    for (path, was) in files {
        let note = world.debugfs("out.img", ROOT, &format!("ea_get /opt/{path} trusted.note"));
        assert!(note.contains(&format!("of-{was}")), "{path}: {note}");
        let label = world.debugfs("out.img", ROOT, &format!("ea_get /opt/{path} security.label"));
        assert!(label.contains(was), "{path}: {label}");
    }
    assert_eq!(world.content("out.img", ROOT, "/opt/files/written"), b"old\nmore\n");
    assert_eq!(world.debugfs("out.img", ROOT, "ea_list /opt/files/copy").matches("trusted").count(), 0);
}

/// Devices that can be made are devices for a command, and those that cannot stay in the image as they were.
#[test]
fn a_device_is_one_in_the_image_where_it_may_not_be_made_here() {
    let world = with_less();
    let make = "mknod -m 0604 /opt/null c 1 3; mknod /opt/disk b 7 99; mknod /opt/other b 7 99";
    world.run_words("build --base base.img -o devices.img --runner unpack", &["--run", make]).succeeds();
    assert_sound(&world.path("devices.img"));
    assert!(world.debugfs("devices.img", ROOT, "stat /opt/null").contains("Mode:  0604"));
    let script = "set -e; cp -a /opt/null /opt/copy; mv /opt/null /opt/moved; test -c /opt/copy; test -c /opt/moved; \
                  test -f /opt/disk; chmod 0640 /opt/disk; mv /opt/other /opt/moved-disk";
    said(&in_a_container(&world, "build --base devices.img -o out.img", &["--run", script]));
    assert_sound(&world.path("out.img"));
    let devices = [
        ("copy", "character special", "Mode:  0604", "01:03"),
        ("moved", "character special", "Mode:  0604", "01:03"),
        ("disk", "block special", "Mode:  0640", "07:99"),
        ("moved-disk", "block special", "Mode:  0644", "07:99"),
    ];
    for (path, kind, mode, numbers) in devices {
        let shown = world.debugfs("out.img", ROOT, &format!("stat /opt/{path}"));
        assert!([kind, mode, numbers].iter().all(|text| shown.contains(text)), "{path}: {shown}");
    }
    let output = in_a_container(&world, "build --base devices.img -o x.img", &["--run", "echo x >/opt/disk"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("`/opt/disk` is a device"), "{text}");
}
