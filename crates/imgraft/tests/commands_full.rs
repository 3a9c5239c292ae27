//! Commands with the guest's own programs, on a real base, named by `IMGRAFT_TEST_BASE`: needs root, and the network for
//! packages.
#![cfg(feature = "full-tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::judge::judge;
use testkit::mount::Mount;
use testkit::partition::{extract_disk, partition_range};
use testkit::tree::{Kind, Tree, walk_kernel};

use crate::support::guests::{with_base, with_less};
use crate::support::{ROOT, World, assert_sound};

/// How long something may take that is there at once on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// The root as the kernel shows it.
fn root_tree(world: &World, image: &str) -> Tree {
    let disk = world.path("disk.tmp");
    extract_disk(&world.path(image), &disk);
    let mount = Mount::read_only(&disk, &partition_range(&world.path(image), ROOT));
    let tree = walk_kernel(&mount.path());
    drop(mount);
    fs::remove_file(disk).unwrap();
    tree
}

/// The paths that differ. What is in a directory decides how long it is and how many links it has.
fn changed_paths(one: &Tree, other: &Tree) -> BTreeSet<String> {
    let node = |tree: &Tree, path: &[u8]| {
        let mut node = tree.get(path)?.clone();
        if node.kind == Kind::Directory {
            (node.size_bytes, node.links) = (0, 0);
        }
        Some(node)
    };
    let paths: BTreeSet<&Vec<u8>> = one.keys().chain(other.keys()).collect();
    let changed = paths.into_iter().filter(|path| node(one, path) != node(other, path));
    changed.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

fn paths<const COUNT: usize>(paths: [&str; COUNT]) -> BTreeSet<String> {
    paths.map(str::to_owned).into()
}

#[test]
fn the_kernel_sees_what_the_command_did_and_nothing_else() {
    let world = with_less();
    let script = "set -e; echo made >/etc/made; rm /etc/motd; chmod 0700 /srv; mkdir -p /opt/a/b; \
                  dd if=/dev/zero of=/opt/a/b/sparse bs=1 count=1 seek=5000000 2>/dev/null; \
                  ln -s ../made /etc/link; ln /etc/made /opt/a/twin; mknod /opt/a/null c 1 3 2>/dev/null || mkfifo /opt/a/null; \
                  install -o www-data -g mail -m 4750 /bin/true /opt/a/setuid; touch -d 2001-02-03 /opt/a/old; \
                  echo log >>/var/log/dpkg.log; echo t >/tmp/t; echo r >/run/r; touch /etc/x; rm /etc/x";
    let run = world.run_words("build --base base.img -o out.img --json", &["--run", script]).succeeds();
    assert_sound(&world.path("out.img"));
    let (before, after) = (root_tree(&world, "base.img"), root_tree(&world, "out.img"));
    let expected = [
        "etc",
        "etc/link",
        "etc/made",
        "etc/motd",
        "opt",
        "opt/a",
        "opt/a/b",
        "opt/a/b/sparse",
        "opt/a/null",
        "opt/a/old",
        "opt/a/setuid",
        "opt/a/twin",
        "srv",
    ];
    assert_eq!(changed_paths(&before, &after), paths(expected));
    let node = |path: &str| &after[path.as_bytes()];
    assert_eq!((node("opt/a/setuid").permissions, node("opt/a/setuid").uid, node("opt/a/setuid").gid), (0o4750, 33, 8));
    assert_eq!(node("opt/a/old").modified.0, 981_158_400);
    assert_eq!(node("etc/made").links, 2);
    assert_eq!(node("opt/a/b/sparse").size_bytes, 5_000_001);
    // What the command wrote has the build's time, which is that of the base.
    assert_eq!(node("etc/made").modified.0, node("opt/a").modified.0);
    // The report has the same paths, but for the mount points' and the volume's names.
    let report = run.stdout;
    for path in ["/etc/made", "/opt/a/b/sparse", "/opt/a/twin"] {
        assert!(report.contains(&format!("\"{path}\"")), "{path}: {report}");
    }
    assert!(!report.contains("/var/log/dpkg.log") && !report.contains("/tmp/t"), "{report}");
}

#[test]
fn what_ends_in_the_same_tree_is_the_same_image() {
    let world = with_less();
    let straight = "set -e; cd /opt; for i in 1 2 3 4 5; do echo $i >$i; done; mkdir d; mv 5 d; rm /etc/motd";
    let crooked = "set -e; rm /etc/motd; cd /opt; mkdir d; for i in 5 4 3 2 1; do seq 100000 >t; echo $i >t; mv t $i; done; \
                   sleep 1; mv 5 d; echo x >gone; rm gone; sync";
    for (script, image) in [(straight, "one.img"), (crooked, "two.img")] {
        world.run_words(&format!("build --base base.img -o {image}"), &["--run", script]).succeeds();
    }
    assert!(fs::read(world.path("one.img")).unwrap() == fs::read(world.path("two.img")).unwrap());
}

#[test]
fn a_command_that_fails_is_named_with_its_status_and_last_lines_and_nothing_changed() {
    let world = with_less();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    let before = fs::read(world.path("my.img")).unwrap();
    let script = "echo first; echo x >/etc/x; echo broken >&2; exit 3";
    let run = world.run_words("customize my.img --write /etc/y:y", &["--run", script]);
    assert_eq!(run.code, Some(2));
    for text in ["`my.img` was not changed", "ended with status 3", "broken", ".log"] {
        assert!(run.stderr.contains(text), "{text}: {}", run.stderr);
    }
    assert!(fs::read(world.path("my.img")).unwrap() == before);
    let log = run.stderr.split(['`', ' ', '\n']).find(|word| word.ends_with(".log")).unwrap();
    assert_eq!(fs::read_to_string(log).unwrap(), "first\nbroken\n");
    fs::remove_file(log).unwrap();
}

/// The processes of the host whose command line has `text` in it.
fn processes(text: &str) -> usize {
    let is =
        |path: &Path| fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text));
    let number = |name: &std::ffi::OsStr| name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| number(&entry.file_name()) && is(&entry.path())).count()
}

#[test]
fn ctrl_c_ends_all_that_a_command_started_and_changes_nothing() {
    let world = with_less();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    let before = fs::read(world.path("my.img")).unwrap();
    let script = "echo x >/etc/x; trap '' INT TERM HUP; setsid sleep 738291 & echo begun; sleep 738291";
    for signal in [Signal::INT, Signal::KILL] {
        let mut command = world.command("customize my.img");
        let mut child = command.args(["--run", script]).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("begun\n") || line.contains("echo") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the command did not begin");
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        while processes("sleep\x00738291") > 0 {
            assert!(Instant::now() < deadline, "a process outlives the build");
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = said.read_to_string(&mut line);
    }
    assert!(fs::read(world.path("my.img")).unwrap() == before);
}

/// Packages for real, twice: what cannot be the same is left out.
#[test]
fn packages_are_installed_and_the_image_is_the_same_each_time() {
    let world = with_base();
    let build = "build --base base.img --network --install jq -o out.img --verify-reproducible --json";
    let run = world.run_words(build, &["--run", "jq --version >/etc/jq-version"]).succeeds();
    assert!(run.stdout.contains("\"jq\""), "{}", run.stdout);
    assert_sound(&world.path("out.img"));
    let status = String::from_utf8(world.content("out.img", ROOT, "/var/lib/dpkg/status")).unwrap();
    assert!(status.contains("Package: jq\nStatus: install ok installed\n"));
    assert!(world.content("out.img", ROOT, "/etc/jq-version").starts_with(b"jq-"));
    let (before, after) = (root_tree(&world, "base.img"), root_tree(&world, "out.img"));
    let changed = changed_paths(&before, &after);
    for path in &changed {
        let is_ours = ["usr/", "etc/", "var/lib/", "var/cache/"].iter().any(|folder| path.starts_with(folder));
        assert!(is_ours || ["etc", "usr", "var/lib", "var/cache"].contains(&&**path), "{path}");
    }
    for path in ["usr/sbin/policy-rc.d", "etc/resolv.conf", "var/log/dpkg.log", "var/cache/ldconfig/aux-cache"] {
        assert!(!changed.contains(path), "{path}");
    }
    // The files are those that the package says it has.
    for line in String::from_utf8(world.content("out.img", ROOT, "/var/lib/dpkg/info/jq.md5sums")).unwrap().lines() {
        let (sum, path) = line.split_once("  ").unwrap();
        world.file("file.tmp", world.content("out.img", ROOT, &format!("/{path}")));
        let verdict = judge("md5sum").arg(world.path("file.tmp")).succeed();
        assert!(verdict.stdout.starts_with(sum), "{path}");
    }
}

#[test]
fn a_mounted_guest_is_changed_when_it_is_unmounted() {
    let world = with_less();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    fs::create_dir(world.path("mnt")).unwrap();
    world.file("site/index.html", "hello\n");
    let mounted = |arguments: &str, work: &dyn Fn(&Path), ends: &dyn Fn(&World, Pid)| {
        let mut child = world.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("mounted in mnt: "), "{line}");
        work(&world.path("mnt"));
        ends(&world, Pid::from_child(&child));
        assert!(child.wait().unwrap().success());
        said.read_to_string(&mut line).unwrap();
        line
    };
    let umount = |world: &World, _: Pid| drop(world.run("umount mnt").succeeds());
    let interrupt = |_: &World, pid: Pid| kill_process(pid, Signal::INT).unwrap();
    let before = fs::read(world.path("my.img")).unwrap();
    let write = |point: &Path| fs::write(point.join("etc/x"), "x").unwrap();
    mounted("mount --discard my.img mnt", &write, &umount);
    mounted("mount --read-only my.img mnt", &|point| assert!(fs::write(point.join("etc/x"), "x").is_err()), &umount);
    assert!(fs::read(world.path("my.img")).unwrap() == before);
    let site = world.path("site");
    let copy = |point: &Path| {
        judge("cp").arg("-a").arg(&site).arg(point.join("srv")).succeed();
        fs::write(point.join("boot/note"), "on another partition").unwrap();
        fs::write(point.join("boot/efi/note.txt"), "on a FAT").unwrap();
    };
    let said = mounted("mount my.img mnt", &copy, &interrupt);
    assert!(said.contains("changed my.img in place"), "{said}");
    assert_sound(&world.path("my.img"));
    let listed = world.run("cat my.img /srv/site/index.html /boot/note /boot/efi/note.txt").succeeds();
    assert_eq!(listed.stdout, "hello\non another partitionon a FAT");
    mounted("mount --partition 16 my.img mnt", &|point| fs::remove_file(point.join("note")).unwrap(), &umount);
    world.refuses(
        "mount --partition 9 my.img mnt",
        "error: `my.img` was not changed\n  cause: `my.img` cannot be used\n  cause: partition 9 is not there or has no \
         file system that imgraft can use; the disk has partition 1 (ext4 `cloudimg-rootfs`), partition 14, partition 15 \
         (fat `UEFI`), partition 16 (ext4 `BOOT`)\n",
    );
    world.refuses(
        "umount mnt",
        &format!(
            "error: `imgraft mount` has nothing mounted in `{}`\nhint: `findmnt -t fuse,fuse.imgraft` lists what it has \
             mounted\n",
            world.path("mnt").canonicalize().unwrap().display()
        ),
    );
    assert_eq!(world.run("ls my.img /boot/note").code, Some(2));
}

/// A user whom this machine does not know.
const USER: u32 = 54_321;

/// A user whom this machine knows, as fusermount3 wants it.
const NOBODY: u32 = 65_534;

/// The guest's owners mean nothing to a user who mounts it, and are kept: what the user makes belongs to root.
#[test]
fn an_ordinary_user_mounts_a_guest_and_may_change_all_of_it() {
    let world = with_less();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    fs::create_dir(world.path("mnt")).unwrap();
    let program = world.path("imgraft");
    fs::copy(env!("CARGO_BIN_EXE_imgraft"), &program).unwrap();
    judge("chown").arg("-R").arg(format!("{NOBODY}:{NOBODY}")).arg(world.folder()).succeed();
    judge("chmod").arg("755").arg(world.folder()).arg(&program).succeed();
    let script = "set -e; cd $0; ./imgraft mount my.img mnt 2>said & server=$!; \
                  until grep -q mounted said; do kill -0 $server; sleep 0.1; done; \
                  echo made >mnt/etc/made; rm mnt/etc/motd; mkdir -m 700 mnt/root/folder; grep -q '^root:' mnt/etc/shadow; \
                  chmod 4755 mnt/srv; chown 33:8 mnt/opt; echo x >>mnt/etc/shadow; \
                  ./imgraft umount mnt; wait $server; cat said";
    let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
    let verdict = judge("setpriv").args(user).args(["/bin/sh", "-c", script]).arg(world.folder()).run();
    assert!(
        verdict.status.success(),
        "{}{}{}",
        verdict.stdout,
        verdict.stderr,
        fs::read_to_string(world.path("said")).unwrap()
    );
    assert!(
        verdict.stdout.contains("mounted at `/boot` and `/boot/efi` in the guest is not shown"),
        "{}",
        verdict.stdout
    );
    assert_sound(&world.path("my.img"));
    let (before, after) = (root_tree(&world, "base.img"), root_tree(&world, "my.img"));
    let expected = ["etc", "etc/made", "etc/motd", "etc/shadow", "opt", "root", "root/folder", "srv"];
    assert_eq!(changed_paths(&before, &after), paths(expected));
    let facts =
        |path: &str| (after[path.as_bytes()].permissions, after[path.as_bytes()].uid, after[path.as_bytes()].gid);
    assert_eq!((facts("srv"), facts("opt")), ((0o4755, 0, 0), (0o755, 33, 8)));
    assert_eq!((facts("root/folder"), facts("etc/made").1), ((0o700, 0, 0), 0));
    assert_eq!((facts("etc/shadow").1, facts("etc/shadow").2), (0, before[&b"etc/shadow"[..]].gid));
    assert_eq!(world.content("my.img", ROOT, "/etc/made"), b"made\n");
}

/// Builds `image` as an ordinary user with these subordinate ids, on a machine that is ours for the time.
fn build_as_user(world: &World, ids: &str, image: &str, script: &str) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    world.file("passwd", format!("{passwd}ann:x:{USER}:{USER}::/:/bin/sh\n")).file("subuid", ids).file("subgid", ids);
    let program = world.path("imgraft");
    fs::copy(env!("CARGO_BIN_EXE_imgraft"), &program).unwrap();
    judge("chown").arg("-R").arg(format!("{USER}:{USER}")).arg(world.folder()).succeed();
    judge("chmod").arg("755").arg(world.folder()).arg(&program).succeed();
    let outer = format!(
        "set -e; for name in passwd subuid subgid; do mount --bind $name /etc/$name; done; \
         exec setpriv --reuid={USER} --regid={USER} --clear-groups \"$@\""
    );
    let verdict = judge("unshare")
        .args(["-m", "/bin/sh", "-c", &format!("cd $0; {outer}")])
        .arg(world.folder())
        .args(["./imgraft", "build", "--base", "base.img", "-o", image, "--run", script])
        .run();
    assert!(verdict.status.success(), "{}{}", verdict.stdout, verdict.stderr);
}

/// Root, a user with subordinate ids and one without: the owners are those that the command asked for, each time.
#[test]
fn whoever_builds_it_gets_the_same_image() {
    let world = with_less();
    let script = "set -e; useradd -m -s /bin/bash bob; echo hi >/home/bob/x; chown -R bob:bob /home/bob; \
                  install -d -o www-data -g mail -m 2775 /srv/mail; stat -c %U:%G /home/bob /srv/mail >/etc/who; \
                  chown 1234:5678 /etc/who; mkdir /opt/a; chgrp -R games /opt; chmod 4755 /srv; rm -f /etc/*-; sync";
    world.run_words("build --base base.img -o root.img", &["--run", script]).succeeds();
    assert_sound(&world.path("root.img"));
    let tree = root_tree(&world, "root.img");
    let owner = |path: &str| (tree[path.as_bytes()].uid, tree[path.as_bytes()].gid);
    assert_eq!((owner("srv/mail"), owner("etc/who"), owner("opt/a")), ((33, 8), (1234, 5678), (0, 60)));
    let bob = owner("home/bob");
    assert!(bob.0 >= 1000 && owner("home/bob/.bashrc") == bob && owner("home/bob/x") == bob);
    for (ids, image) in [("ann:700000:65536\n", "lent.img"), ("", "single.img")] {
        build_as_user(&world, ids, image, script);
        let other = root_tree(&world, image);
        assert_eq!(changed_paths(&tree, &other), BTreeSet::new(), "{image}");
        assert!(fs::read(world.path("root.img")).unwrap() == fs::read(world.path(image)).unwrap(), "{image}");
    }
}
