//! Ordinary users, and machines that lack something. Each test makes its machine in a mount namespace of its own: other
//! files lie over those of `/etc`, and nothing of the machine itself is changed.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Guest, Said, probe};

/// A user whom this machine does not know.
const USER: u32 = 54_321;

struct Machine {
    guest: Guest,
    files: TempDir,
}

impl Machine {
    /// A machine with a user `ann`, and these subordinate ids.
    fn new(users: &str, groups: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let write = |name: &str, content: &str| fs::write(files.path().join(name), content).unwrap();
        write("passwd", &format!("{passwd}ann:x:{USER}:{USER}::/:/bin/sh\n"));
        write("subuid", users);
        write("subgid", groups);
        Self { guest: Guest::new(), files }
    }

    /// Runs `script` in a sandbox as the user, after `preparation` by root.
    fn run(&self, preparation: &str, options: &[&str], script: &str) -> Said {
        self.run_as(&format!("setpriv --reuid={USER} --regid={USER} --clear-groups"), preparation, options, script)
    }

    fn run_as(&self, user: &str, preparation: &str, options: &[&str], script: &str) -> Said {
        let mut line = Command::new("unshare");
        let outer = format!(
            "set -e; for name in passwd subuid subgid; do mount --bind $0/$name /etc/$name; done; {preparation}
             exec {user} \"$@\""
        );
        // The program of a checkout in a home that is closed to others is not found by its path.
        let own = self.files.path().join("probe");
        fs::copy(probe(), &own).unwrap();
        testkit::judge::judge("chmod").arg("755").arg(self.files.path()).succeed();
        line.args(["-m", "/bin/sh", "-c", &outer]).arg(self.files.path()).arg(own);
        self.guest.arguments(&mut line, options, &["/bin/sh", "-c", script]);
        Said::of(&mut line)
    }
}

const LENT: &str = "ann:700000:65536\n";

#[test]
fn a_user_with_subordinate_ids_has_all_of_the_guest_s() {
    let machine = Machine::new(LENT, LENT);
    let script =
        "id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /tmp/a; chown 1000:65535 /tmp/a; stat -c %u:%g /tmp/a
        su ann -c 'id -u'";
    for options in [&[][..], &["--fuse=/"][..]] {
        let said = machine.run("", options, script).success();
        let words: Vec<_> = said.split_whitespace().collect();
        let map = ["0", "700000", "65536"];
        assert_eq!(words, [&["0"], &map[..], &map, &["1000:65535", "1000"]].concat(), "{options:?}");
    }
}

#[test]
fn what_a_user_cannot_do_is_not_done_in_a_sandbox() {
    let machine = Machine::new(LENT, LENT);
    let secret = machine.guest.path().join("etc/secret");
    fs::write(&secret, "root's own").unwrap();
    testkit::judge::judge("chmod").arg("600").arg(&secret).succeed();
    let said =
        machine.run("", &[], "cat /etc/secret 2>/dev/null || echo kept; echo x 2>/dev/null >/etc/passwd || echo kept");
    assert_eq!(said.success(), "kept\nkept");
}

#[test]
fn a_user_s_sandbox_ends_as_that_of_root() {
    let machine = Machine::new(LENT, LENT);
    assert_eq!(machine.run("", &["--time=300"], "trap '' TERM; sleep 848484").ended, "TimedOut");
    assert_eq!(machine.run("", &["--stop-after=300"], "sleep 848484").ended, "Interrupted");
    let script = "for i in 1 2 3 4; do attempts eat 60000000 & done; wait";
    assert_eq!(machine.run("", &["--memory=150000000", "--time=60000"], script).ended, "OutOfMemory");
    assert!(crate::support::processes("848484").is_empty());
}

#[test]
fn without_subordinate_ids_the_line_that_lacks_is_named() {
    let said = Machine::new("bob:100000:65536\n", LENT).run("", &[], "true").ended;
    assert_eq!(
        said,
        "/etc/subuid has no 65536 ids for ann\n\
         hint: add the line `ann:165536:65536` to /etc/subuid: `echo ann:165536:65536 | sudo tee -a /etc/subuid`"
    );
    let said = Machine::new(LENT, "").run("", &[], "true").ended;
    assert!(said.starts_with("/etc/subgid has no 65536 ids for ann\nhint: add the line `ann:100000:65536`"), "{said}");
}

#[test]
fn without_newuidmap_its_package_is_named() {
    let hidden = "mount --bind /dev/null /usr/bin/newgidmap;";
    let said = Machine::new(LENT, LENT).run(hidden, &[], "true").ended;
    assert!(
        said.starts_with("`newgidmap`, which gives a namespace your subordinate ids, cannot be started: "),
        "{said}"
    );
    assert!(said.contains("\nhint: install it: `sudo apt-get install uidmap`"), "{said}");
}

#[test]
fn without_dev_fuse_the_way_to_have_it_is_named() {
    let machine = Machine::new(LENT, LENT);
    let without = "mkdir -p /dev/shm/d; mount -t tmpfs t /dev/shm/d; touch /dev/shm/d/null; mount --bind /dev/null /dev/shm/d/null
        mount --move /dev/shm/d /dev;";
    let said = machine.run(without, &["--fuse=/"], "true").ended;
    assert!(said.starts_with("/dev/fuse cannot be used\nNo such file or directory"), "{said}");
    assert!(
        said.contains("\nhint: run `sudo modprobe fuse`; in a container: start it with `--device /dev/fuse`"),
        "{said}"
    );
    let closed = "mount -t tmpfs t /mnt; touch /mnt/fuse; chmod 600 /mnt/fuse; mount --bind /mnt/fuse /dev/fuse;";
    let said = machine.run(closed, &["--fuse=/"], "true").ended;
    assert!(said.contains("Permission denied") && said.contains("\nhint: run `sudo chmod 666 /dev/fuse`"), "{said}");
}

#[test]
fn without_user_namespaces_the_reason_is_named() {
    let machine = Machine::new(LENT, LENT);
    // A namespace that may have none within it.
    let said = machine.run_as(
        "unshare -Ur /bin/sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; exec \"$@\"' sh",
        "",
        &[],
        "true",
    );
    assert!(said.ended.contains("the limit user.max_user_namespaces is reached"), "{}", said.ended);
    assert!(said.ended.contains("\nhint: run `sudo sysctl -w user.max_user_namespaces=15000`"), "{}", said.ended);
}

#[test]
fn apparmor_s_restriction_is_recognised_and_both_remedies_are_named() {
    let machine = Machine::new(LENT, LENT);
    // The switch as Ubuntu has it, and ids that are refused as AppArmor refuses them.
    let switch = "mount -t tmpfs t /proc/sys/kernel; echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns;";
    let said = machine.run_as("unshare -Ur", switch, &["--first-id=100000"], "true").ended;
    assert!(said.starts_with("AppArmor lets this program make no user namespaces"), "{said}");
    let hints: Vec<_> = said.lines().filter(|line| line.starts_with("hint: ")).collect();
    assert_eq!(hints.len(), 2, "{said}");
    assert!(hints[0].contains("userns,") && hints[1].contains("sysctl"), "{said}");
    // Without the switch the same refusal is one of ids.
    let said = machine.run_as("unshare -Ur", "", &["--first-id=100000"], "true").ended;
    assert!(said.starts_with("this process may not map the host's ids 100000 to 165535"), "{said}");
}

/// The numbers of files, as a FUSE server of the guest's tree gives them.
fn inode(machine: &Machine, path: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // The root of each file system is number 1.
    if path.is_empty() { 1 } else { fs::symlink_metadata(machine.guest.path().join(path)).unwrap().ino() }
}

#[test]
fn with_a_single_id_what_the_kernel_cannot_do_is_recorded() {
    let machine = Machine::new("", "");
    let link = machine.guest.path().join("etc/link");
    std::os::unix::fs::symlink("/boot/efi/loader", &link).unwrap();
    let options = ["--single", "--fuse=/", "--fuse=/boot/efi"];
    let script = "id -u; chown 1000:50 /etc/passwd; cd /etc; chown 7 link; chown -h :8 link; chgrp 9 ../etc/passwd
        chown -R 5:5 /root; attempts mknod_memory trusted chown setuid; mkfifo /tmp/a && echo fifo
        chown 0:0 /tmp/a && echo kernel; chown 33:33 /tmp/a 2>/dev/null || echo refused
        chown 4000000000 /etc/passwd 2>/dev/null || echo full; chown 1:1 /etc/nothing 2>/dev/null || echo nothing
        chown 1 /dev/null 2>/dev/null || echo device; stat -c %u:%g /etc/passwd";
    let said = machine.run("", &options, script);
    assert_eq!(
        said.output,
        "0\nmknod_memory ok\ntrusted ok\nchown ok\nsetuid EINVAL\nfifo\nkernel\nrefused\nfull\nnothing\ndevice\n0:0"
    );
    let (passwd, link, root) = (inode(&machine, "etc/passwd"), inode(&machine, "etc/link"), inode(&machine, "root"));
    let loader = inode(&machine, "boot/efi/loader");
    let expected = [
        format!("chown 0 {passwd} 1000 50"),
        format!("chown 1 {loader} 7 0"),
        format!("chown 0 {link} 0 8"),
        format!("chown 0 {passwd} 0 9"),
        format!("chown 0 {root} 5 5"),
        format!("node 0 {root} mem 20600 101"),
        format!("xattr 0 {root} trusted.a b"),
        format!("chown 0 {root} 1000 1000"),
        "Exited(0)".to_owned(),
    ];
    // BusyBox names an owner that is to stay by the one that it sees, which is root: the reason why this mode has to
    // be asked for.
    let recorded: Vec<_> = said.ended.lines().map(str::to_owned).collect();
    assert_eq!(recorded, expected);
}

#[test]
fn a_single_id_needs_files_that_are_served() {
    let machine = Machine::new("", "");
    let said = machine.run("", &["--single"], "true").ended;
    assert!(said.starts_with("a folder cannot keep owners for a user with a single id\nhint: "), "{said}");
}

#[test]
fn a_sandbox_with_a_single_id_ends_and_streams_as_others() {
    let machine = Machine::new("", "");
    let options = |more: &'static str| ["--single", "--fuse=/", more];
    let said = machine.run("", &options("--time=500"), "trap '' TERM; while :; do chown 1 /etc/passwd; done");
    assert!(said.ended.ends_with("TimedOut"), "{}", &said.ended[..200]);
    let said = machine.run(
        "",
        &options("--set=A=b"),
        "for i in $(seq 50); do (chown $i /etc/passwd &); done; sleep 0.5; exit 7",
    );
    assert_eq!(said.ended.lines().filter(|line| line.starts_with("chown 0 ")).count(), 50);
    assert!(said.ended.ends_with("Exited(7)"), "{}", said.ended);
}
