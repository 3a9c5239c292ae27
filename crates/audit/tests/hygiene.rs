//! Traces of one machine.

use std::os::unix::fs::symlink;

use audit::hygiene;

use crate::{Tree, told};

#[test]
fn a_blank_guest_has_no_trace() {
    let tree = Tree::new();
    tree.file("var/log/dpkg.log", "", 0o644).file("etc/ssh/sshd_config", "UsePAM yes\n", 0o644);
    let guest = tree.guest();
    assert_eq!(hygiene::findings(&hygiene::look(&guest)), []);
    tree.file("etc/machine-id", "uninitialized\n", 0o444);
    assert_eq!(hygiene::look(&tree.guest()), []);
}

#[test]
fn each_kind_of_trace_is_found_and_told_once() {
    let tree = Tree::new();
    tree.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444)
        .file("etc/ssh/ssh_host_rsa_key", "secret", 0o600)
        .file("etc/ssh/ssh_host_rsa_key.pub", "public", 0o644)
        .file("root/.bash_history", "rm -rf /\n", 0o600)
        .file("home/old/.zsh_history", "ls\n", 0o600)
        .file("var/lib/cloud/instances/i-1/user-data.txt", "#cloud-config\n", 0o600)
        .file("etc/netplan/50-cloud-init.yaml", "network: {}\n", 0o600)
        .file("var/log/syslog", "a line\n", 0o640)
        .file("var/log/apt/history.log.1.gz", "packed", 0o644)
        .file("var/log/journal/0123456789abcdef0123456789abcdef/system.journal", "LPKSHHRH", 0o640)
        .file("var/cache/apt/archives/jq_1.7_amd64.deb", "!<arch>\n", 0o644)
        .file("var/lib/apt/lists/deb.debian.org_debian_dists_trixie_InRelease", "Origin: Debian\n", 0o644)
        .file("var/lib/apt/lists/lock", "", 0o640)
        .file("var/lib/systemd/random-seed", [7; 512], 0o600)
        .file("var/lib/dhcp/dhclient.eth0.leases", "lease {}\n", 0o644)
        .file("etc/shadow-", "root:*:19000:0:99999:7:::\n", 0o640)
        .file("tmp/build.log", "made\n", 0o644)
        .file("usr/bin/app", "a program", 0o777)
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nrunner:x:1001:1001::/home/runner:/bin/bash\n\
             ada:x:501:1000::/home/ada:/bin/sh\nsystem:x:502:502::/run/system:/usr/sbin/nologin\n",
            0o644,
        );
    symlink("/var/lib/cloud/instances/i-1", tree.path("var/lib/cloud/instance")).unwrap();
    let traces = hygiene::look(&tree.guest());
    let findings = hygiene::findings(&traces);
    let expected = [
        ("machine-id", "/etc/machine-id"),
        ("ssh-host-key", "/etc/ssh"),
        ("random-seed", "/var/lib/systemd/random-seed"),
        ("shell-history", "/root/.bash_history"),
        ("shell-history", "/home/old/.zsh_history"),
        ("cloud-init-state", "/var/lib/cloud/instance"),
        ("cloud-init-state", "/var/lib/cloud/instances/i-1"),
        ("cloud-init-state", "/etc/netplan/50-cloud-init.yaml"),
        ("network-state", "/var/lib/dhcp/dhclient.eth0.leases"),
        ("journal", "/var/log/journal/0123456789abcdef0123456789abcdef"),
        ("package-cache", "/var/cache/apt/archives/jq_1.7_amd64.deb"),
        ("package-cache", "/var/lib/apt/lists/deb.debian.org_debian_dists_trixie_InRelease"),
        ("temporary-file", "/tmp/build.log"),
        ("account-backup", "/etc/shadow-"),
        ("log", "/var/log"),
        ("world-writable", "/usr/bin/app"),
        ("account", "/etc/passwd"),
        ("account", "/etc/passwd"),
    ];
    assert_eq!(told(&findings), expected);
    let of = |code: &str| findings.iter().find(|finding| finding.code == code).unwrap();
    assert_eq!(
        of("ssh-host-key").message,
        "`/etc/ssh` has 2 host keys of SSH, which every machine made of the image would have (12 B, such as \
         `/etc/ssh/ssh_host_rsa_key`)"
    );
    assert_eq!(of("ssh-host-key").hint, "`--remove '/etc/ssh/ssh_host_*'`, or `--clean`");
    assert_eq!(of("log").hint, "`--truncate-recursive /var/log`, or `--clean`");
    assert_eq!(
        of("world-writable").message,
        "`/usr/bin/app` is on the path, and everybody may write to it (mode 0777)"
    );
    assert_eq!(
        of("account").message,
        "the image has the account `runner` (1001), which every machine made of it would have"
    );
    assert!(of("account").hint.starts_with("`--run 'userdel --remove runner'`"), "{}", of("account").hint);
    // Only what is new, or not as it was, was added.
    let before = traces.clone();
    assert_eq!(hygiene::added(hygiene::look(&tree.guest()), &before), []);
    tree.file("var/log/syslog", "a line\nand one more\n", 0o640).file("root/.python_history", "exit()\n", 0o600);
    let added = hygiene::findings(&hygiene::added(hygiene::look(&tree.guest()), &before));
    assert_eq!(told(&added), [("shell-history", "/root/.python_history"), ("log", "/var/log/syslog")]);
}

#[test]
fn many_files_are_one_finding() {
    let tree = Tree::new();
    for number in 0..2000 {
        tree.file(&format!("var/log/app/{number}.log"), "line\n", 0o644);
    }
    let findings = hygiene::findings(&hygiene::look(&tree.guest()));
    assert_eq!(told(&findings), [("log", "/var/log")]);
    assert!(findings[0].message.starts_with("`/var/log` has 2000 logs from before"), "{}", findings[0].message);
}

/// A hundred thousand users, homes and programs: what is told stays short, and takes no time.
#[test]
fn adversary_lists_without_end() {
    let tree = Tree::new();
    let users: String = (0..100_000)
        .map(|number| format!("u{number}:x:{}:1::/home/u{number}/../u{number}:/bin/sh\n", 1000 + number % 9))
        .collect();
    tree.file("etc/passwd", users, 0o644);
    symlink("../log", tree.path("var/log/log")).unwrap();
    let findings = hygiene::findings(&hygiene::look(&tree.guest()));
    assert_eq!(findings.len(), 10_000);
    assert!(findings.iter().all(|finding| finding.code == "account"));
}
