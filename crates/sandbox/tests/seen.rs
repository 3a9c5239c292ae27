//! What a command sees.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use testkit::judge::judge;

use crate::support::Guest;

#[test]
fn file_systems_that_are_served_are_the_guest_s_tree() {
    let guest = Guest::new();
    let said = guest.shell(
        &["--fuse=/", "--fuse=/boot", "--fuse=/boot/efi"],
        "cat /boot/vmlinuz /boot/efi/loader; grep -c '^imgraft / \\|^imgraft /boot' /proc/mounts; stat -c %u:%g /etc/passwd",
    );
    assert_eq!(said.success(), "a kernel\na loader\n3\n0:0");
}

#[test]
fn the_environment_and_the_folder_are_as_given() {
    let guest = Guest::new();
    let said =
        guest.shell(&["--set=A=b c", "--directory=/var/lib", "--hostname=grafted"], "env | sort; hostname; umask");
    assert_eq!(said.success(), "A=b c\nPATH=/bin\nPWD=/var/lib\nSHLVL=1\ngrafted\n0022");
    let said = guest.shell(&["--directory=/nowhere"], "true");
    assert_eq!(said.ended, "the guest's folder /nowhere\nNo such file or directory (os error 2)");
}

#[test]
fn no_descriptor_of_the_host_is_open() {
    use std::process::Command;
    let guest = Guest::new();
    let mut line = Command::new("/bin/sh");
    // Descriptor 7 is one that the program itself inherited.
    line.args(["-c", "exec \"$@\" 7</etc/passwd", "sh", crate::support::probe()]);
    guest.arguments(&mut line, &[], &["/bin/ls", "-l", "/proc/self/fd"]);
    let output = crate::support::Said::of(&mut line).success();
    let targets: Vec<_> = output.lines().filter_map(|line| line.split_once(" -> ")).map(|(_, to)| to).collect();
    assert_eq!(targets[0], "/dev/null", "{output}");
    assert!(targets[1].starts_with("pipe:") && targets[1] == targets[2], "{output}");
    // The one that `ls` itself had is gone when it looks.
    assert_eq!(targets.len(), 3, "{output}");
}

#[test]
fn dev_is_minimal_and_works() {
    let guest = Guest::new();
    let script = "ls /dev; echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c
        echo x 2>/dev/null >/dev/full || echo full; echo to >/dev/stdout; ls -ld /dev/shm | cut -c 1-10
        touch /dev/shm/a; exec 3<>/dev/ptmx && echo pty";
    let output = guest.shell(&[], script).success();
    let (names, rest) = output.split_once("zero\n").unwrap();
    let names: Vec<_> = names.lines().collect();
    assert_eq!(
        names,
        ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom"]
    );
    let rest: Vec<_> = rest.lines().map(str::trim_end).collect();
    assert_eq!(rest, ["3", "3", "full", "to", "drwxrwxrwt", "pty"]);
}

#[test]
fn files_of_the_sandbox_are_not_in_the_guest() {
    let guest = Guest::new();
    let etc = guest.path().join("etc");
    symlink("../run/systemd/resolve/stub-resolv.conf", etc.join("resolv.conf")).unwrap();
    fs::write(etc.join("policy"), "the guest's own").unwrap();
    let said = guest.shell(
        &["--file=/etc/resolv.conf=nameserver", "--file=/etc/policy=#!/bin/sh\nexit 101", "--file=/tmp/script=#!/bin/sh\necho run"],
        "cat /etc/resolv.conf; echo; /etc/policy; echo $?; /tmp/script; echo x 2>/dev/null >/etc/policy || echo read-only",
    );
    assert_eq!(said.success(), "nameserver\n101\nrun\nread-only");
    assert_eq!(fs::read_to_string(etc.join("policy")).unwrap(), "the guest's own");
    for name in ["run", "tmp", "proc", "sys"] {
        assert_eq!(fs::read_dir(guest.path().join(name)).unwrap().count(), 0, "{name}");
    }
    let said = guest.shell(&["--file=/usr/sbin/policy-rc.d=x"], "true");
    assert_eq!(
        said.ended,
        "the guest has no /usr/sbin/policy-rc.d\nhint: make /usr/sbin/policy-rc.d in the guest first"
    );
}

#[test]
fn owners_in_a_folder_are_the_guest_s() {
    let guest = Guest::new();
    guest.shell(&[], "touch /var/lib/a; chown 1000:65535 /var/lib/a; chmod 4711 /var/lib/a").success();
    let found = fs::metadata(guest.path().join("var/lib/a")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1000, 65535, 0o4711));
    // Under ids that are lent, they are numbers of that range.
    judge("chmod").arg("777").arg(guest.path().join("var/lib")).succeed();
    guest.shell(&["--first-id=1879048192"], "touch /var/lib/b; chown 5:5 /var/lib/b").success();
    assert_eq!(fs::metadata(guest.path().join("var/lib/b")).unwrap().uid(), 1_879_048_197);
}

#[test]
fn sys_is_read_only_and_without_a_network_namespace_it_is_empty() {
    let guest = Guest::new();
    let script = "ls /sys | wc -l; grep ' /sys ' /proc/mounts | cut -d ' ' -f 4; ls /sys/firmware 2>/dev/null | wc -l";
    let shown = guest.shell(&[], script).success();
    let mut lines = shown.lines();
    assert!(lines.next().unwrap().parse::<u32>().unwrap() > 5, "{shown}");
    assert!(lines.next().unwrap().starts_with("ro,"), "{shown}");
    assert_eq!(lines.next(), Some("0"));
    assert!(guest.shell(&["--network"], script).success().starts_with("0\nro,"));
}
