//! What a command tries and cannot do.

use std::fs;
use std::os::unix::fs::symlink;

use testkit::judge::judge;

use crate::support::{Guest, processes};

/// Attempts in the guest that have to end as is said.
#[track_caller]
fn attempts(guest: &Guest, options: &[&str], expected: &[(&str, &str)]) {
    let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    let said = guest.shell(options, &format!("attempts {}", names.join(" "))).success();
    let wanted: Vec<_> = expected.iter().map(|(name, how)| format!("{name} {how}")).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
}

const DOORS: &[(&str, &str)] = &[
    ("mount", "EPERM"),
    ("bind", "EPERM"),
    ("umount", "EPERM"),
    ("fsopen", "EPERM"),
    ("open_tree", "EPERM"),
    ("pivot_root", "EPERM"),
    ("setns", "EPERM"),
    ("unshare_user", "EPERM"),
    ("unshare_mount", "EPERM"),
    ("clone_user", "EPERM"),
    ("clone3", "ENOSYS"),
    ("keyctl", "EPERM"),
    ("add_key", "EPERM"),
    ("request_key", "EPERM"),
    ("bpf", "EPERM"),
    ("kexec_load", "EPERM"),
    ("kexec_file_load", "EPERM"),
    ("init_module", "EPERM"),
    ("finit_module", "EPERM"),
    ("delete_module", "EPERM"),
    ("perf_event_open", "EPERM"),
    ("open_by_handle_at", "EPERM"),
    ("userfaultfd", "EPERM"),
    ("io_uring_setup", "EPERM"),
    ("reboot", "EPERM"),
    ("swapon", "EPERM"),
    ("settimeofday", "EPERM"),
    ("syslog", "EPERM"),
    ("personality", "EPERM"),
    ("vsock", "EAFNOSUPPORT"),
    ("alg", "EAFNOSUPPORT"),
];

const WINDOWS: &[(&str, &str)] = &[
    ("sethostname", "EPERM"),
    ("ptrace_first", "EPERM"),
    // A signal that the first process has no handler for does not reach it.
    ("kill_first", "ok"),
    ("mknod_memory", "EPERM"),
    ("mknod_disk", "EPERM"),
    ("open_memory", "ENOENT"),
    ("open_first_memory", "EACCES"),
    ("open_first_environment", "EACCES"),
    ("open_first_root", "EACCES"),
    ("open_first_program", "EACCES"),
    ("open_sysctl", "EROFS"),
];

#[test]
fn the_kernel_s_doors_are_shut() {
    let guest = Guest::new();
    attempts(&guest, &[], DOORS);
    attempts(&guest, &[], WINDOWS);
    // Not every kernel has it.
    let said = guest.shell(&[], "attempts open_sysrq").success();
    assert!(["open_sysrq EROFS", "open_sysrq ENOENT"].contains(&said.as_str()), "{said}");
    // The same under ids that are not the host's, where the kernel would say no by itself.
    attempts(&guest, &["--fuse=/"], DOORS);
}

#[test]
fn what_programs_need_still_works() {
    let wanted = [
        ("clone", "ok"),
        ("unshare_files", "ok"),
        ("personality_query", "ok"),
        ("inet", "ok"),
        ("unix", "ok"),
        ("mknod_pipe", "ok"),
        ("file_capability", "ok"),
        ("chown", "ok"),
        ("setgid", "ok"),
        ("setuid", "ok"),
    ];
    attempts(&Guest::new(), &[], &wanted);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn other_kinds_of_calls_are_no_way_around_the_filter() {
    attempts(&Guest::new(), &[], &[("x32", "ENOSYS"), ("i386", "ok"), ("i386_bpf", "EPERM")]);
}

#[test]
fn no_path_leads_to_the_host() {
    let guest = Guest::new();
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "the host's own").unwrap();
    let secret = secret.path().display();
    symlink("/proc/self/cwd/../../../../..", guest.path().join("root/out")).unwrap();
    let said = guest.shell(
        &[],
        &format!(
            // A second root inside of the first, and out of it by a descriptor of before: out of a chroot it is a way.
            "mkdir /tmp/sub; for path in {secret} /root/out{secret} /../..{secret} /proc/1/root{secret}; do
                 cat $path && echo found $path
             done
             exec 9</; chroot /tmp/sub /bin/true; cat /proc/self/fd/9/../..{secret} && echo found
             grep -c -v -e ' / / ' /proc/self/mountinfo >/dev/null; ls -A /mnt /home 2>/dev/null; true"
        ),
    );
    let output = said.success();
    assert!(!output.contains("the host's own") && !output.contains("found"), "{output}");
    // Every mount is of the sandbox, or the folder itself, or a device.
    let mounts = guest.shell(&[], "cat /proc/self/mountinfo").success();
    for mount in mounts.lines() {
        let point = mount.split(' ').nth(4).unwrap();
        let is_known = ["/proc", "/sys", "/dev", "/run", "/tmp"].iter().any(|known| point.starts_with(known));
        assert!(is_known || point == "/", "{mount}");
    }
}

#[test]
fn a_guest_s_links_lead_no_mount_out_of_it() {
    let guest = Guest::new();
    let host = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::create_dir(host.path().join("sub")).unwrap();
    fs::write(host.path().join("target"), "the host's own").unwrap();
    // The guest's /tmp is a link to a folder of the host, and a file that is bound one to a file of it.
    fs::remove_dir(guest.path().join("tmp")).unwrap();
    symlink(host.path().join("sub"), guest.path().join("tmp")).unwrap();
    symlink(host.path().join("target"), guest.path().join("etc/resolv.conf")).unwrap();
    let said = guest.shell(&[], "true");
    assert!(said.ended.starts_with("the guest has no /tmp"), "{}", said.ended);
    // With the same path in the guest, that is where it goes.
    fs::create_dir_all(guest.path().join(host.path().strip_prefix("/").unwrap()).join("sub")).unwrap();
    let said = guest.shell(&["--file=/etc/resolv.conf=ours"], "true");
    assert!(said.ended.starts_with("the guest has no /etc/resolv.conf"), "{}", said.ended);
    assert_eq!(guest.shell(&[], "touch /tmp/made; ls /tmp").success(), "made");
    assert_eq!(fs::read_dir(host.path().join("sub")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(host.path().join("target")).unwrap(), "the host's own");
}

#[test]
fn processes_of_the_host_are_not_seen() {
    let guest = Guest::new();
    let said = guest.shell(&[], "kill -9 -1; true").ended;
    assert_eq!(said, "Exited(0)");
    let numbers = guest.shell(&[], "ls -d /proc/[0-9]*").success();
    assert!(numbers.lines().count() <= 3, "{numbers}");
    assert!(!processes("/proc").is_empty() || processes("").len() > 1, "the host's processes live");
}

#[test]
fn without_a_network_there_is_the_loopback_device_alone() {
    let guest = Guest::new();
    let said = guest.shell(&[], "cat /proc/net/dev; ip route; ping -c 1 -w 5 127.0.0.1 >/dev/null && echo answered");
    let output = said.success();
    assert!(output.ends_with("answered") && output.lines().count() == 4 && output.contains("lo:"), "{output}");
    // A server of the host is not reached, by address or by an abstract name.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || server.incoming().for_each(drop));
    let dial = format!("nc -w 5 127.0.0.1 {port} </dev/null && echo reached || echo refused");
    assert_eq!(guest.shell(&[], &dial).success().lines().last(), Some("refused"));
    assert_eq!(guest.shell(&["--network"], &dial).success().lines().last(), Some("reached"));
}

#[test]
fn a_set_user_id_program_works_and_gives_no_more_than_the_guest_has() {
    let guest = Guest::new();
    let helper = guest.path().join("bin/attempts-set-user-id");
    fs::copy(guest.path().join("bin/attempts"), &helper).unwrap();
    judge("chmod").arg("4755").arg(&helper).succeed();
    // ann may not change the owner of root's folder, and the program may.
    let script = "su ann -c 'attempts chown setuid; attempts-set-user-id chown mount mknod_memory unshare_user'";
    let said = guest.shell(&[], script).success();
    assert_eq!(said, "chown EPERM\nsetuid ok\nchown ok\nmount EPERM\nmknod_memory EPERM\nunshare_user EPERM");
}

#[test]
fn capabilities_are_those_of_a_container() {
    let status =
        Guest::new().shell(&[], "grep -E '^(Cap(Prm|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status").success();
    let expected =
        "CapPrm:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2";
    // 00000000a80425fb is the set of Docker's containers.
    assert_eq!(status, expected);
}
