//! On a real base, named by `IMGRAFT_TEST_BASE`, and with the kernel as a judge: needs root.
#![cfg(feature = "full-tests")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::guests::with_less;
use crate::support::{BOOT, ESP, ROOT, World, assert_sound, noise};
use testkit::judge::judge;
use testkit::mount::Mount;
use testkit::partition::{extract_disk, extract_partition, partition_range};
use testkit::tree::{Kind, Tree, walk_kernel};

/// As large as the Autonoe binary.
const BINARY_BYTES: usize = 110_000_000;

/// A world with the real base as `base.img`, and a large binary.
fn world() -> (World, PathBuf) {
    assert!(testkit::is_root(), "the full tests mount images, which needs root");
    let world = World::empty();
    let base = std::env::var_os("IMGRAFT_TEST_BASE").expect("IMGRAFT_TEST_BASE names the base image");
    let base = fs::canonicalize(base).expect("the base image is there");
    symlink(&base, world.path("base.img")).unwrap();
    add_binary(&world);
    (world, base)
}

/// As [`world`], with most of the base's files removed from it: what takes time is their number.
fn world_of_less() -> World {
    let world = with_less();
    add_binary(&world);
    world
}

fn add_binary(world: &World) {
    let half_compressible: Vec<u8> = noise(11, BINARY_BYTES)
        .into_iter()
        .enumerate()
        .map(|(at, byte)| if at & 64 == 0 { byte } else { 0x41 })
        .collect();
    world.file("autonoe", half_compressible).mode("autonoe", 0o600).modified("autonoe", 1_600_000_000);
}

const BUILD: &str = "build --base base.img --put autonoe:/usr/local/bin/autonoe:0755 -o out.img";

/// A number for a file's bytes.
fn digest(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hasher.finish(),
            length => hasher.write(&buffer[..length]),
        }
    }
}

/// The trees of the root and `/boot` as the kernel shows them, and that of the ESP as mtools do:
/// not every kernel knows FAT.
fn trees(world: &World, image: &str) -> [Tree; 3] {
    let (disk, esp) = (world.path("disk.tmp"), world.path("esp.tmp"));
    extract_disk(&world.path(image), &disk);
    let [root, boot] = [ROOT, BOOT].map(|number| {
        let mount = Mount::read_only(&disk, &partition_range(&world.path(image), number));
        walk_kernel(&mount.path())
    });
    fs::remove_file(&disk).unwrap();
    extract_partition(&world.path(image), ESP, &disk);
    fs::create_dir(&esp).unwrap();
    judge("mcopy").args(["-s", "-m", "-n", "-i"]).arg(&disk).args(["::*"]).arg(&esp).succeed();
    let mut esp_tree = walk_kernel(&esp);
    // The folder itself is ours.
    esp_tree.remove(&Vec::new());
    fs::remove_dir_all(esp).unwrap();
    fs::remove_file(disk).unwrap();
    [root, boot, esp_tree]
}

/// The paths that are different in the two trees.
fn changed_paths(one: &Tree, other: &Tree) -> BTreeSet<String> {
    let paths: BTreeSet<&Vec<u8>> = one.keys().chain(other.keys()).collect();
    let changed = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    changed.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

/// What mtools copied, without its folders, which have the time and the size of the copy.
fn without_folders(mut tree: Tree) -> Tree {
    tree.retain(|_, node| node.kind != Kind::Directory);
    tree
}

#[test]
fn the_kernel_sees_exactly_the_change_that_was_asked_for() {
    let (world, base) = world();
    let before = digest(&base);
    world.file("tree/a", "a\n").file("tree/b/c", "c\n").file("loader", "efi\n").file("kernel", noise(5, 3_000_000));
    symlink("b/c", world.path("tree/link")).unwrap();
    world.run(&format!("{BUILD} --put tree:/srv/tree --put loader:/boot/efi/EFI/x --put kernel:/boot/k")).succeeds();
    assert_eq!(digest(&base), before);
    assert_sound(&world.path("out.img"));

    let [root_before, boot_before, esp_before] = trees(&world, "base.img");
    let [root, boot, esp] = trees(&world, "out.img");
    // A directory in a directory is one more link of that, and nothing else.
    let srv = &root[&b"srv"[..]];
    assert_eq!(srv.links, root_before[&b"srv"[..]].links + 1);
    assert_eq!(srv.modified, root_before[&b"srv"[..]].modified);
    let names =
        ["srv", "srv/tree", "srv/tree/a", "srv/tree/b", "srv/tree/b/c", "srv/tree/link", "usr/local/bin/autonoe"];
    assert_eq!(changed_paths(&root_before, &root), names.map(str::to_owned).into());
    assert_eq!(changed_paths(&boot_before, &boot), ["k".to_owned()].into());
    assert_eq!(changed_paths(&without_folders(esp_before), &without_folders(esp)), ["EFI/x".to_owned()].into());

    let autonoe = &root[&b"usr/local/bin/autonoe"[..]];
    assert_eq!((autonoe.kind, autonoe.permissions, autonoe.uid, autonoe.gid), (Kind::Regular, 0o755, 0, 0));
    assert_eq!((autonoe.size_bytes, autonoe.modified), (BINARY_BYTES as u64, (1_600_000_000, 0)));
    assert!(autonoe.xattrs.is_empty());
    let disk = world.path("disk.tmp");
    extract_disk(&world.path("out.img"), &disk);
    let mount = Mount::read_only(&disk, &partition_range(&world.path("out.img"), ROOT));
    assert_eq!(digest(&mount.path().join("usr/local/bin/autonoe")), digest(&world.path("autonoe")));
}

/// What the kernel shows of directories besides their names: sizes and link counts follow from these.
fn without_directory_sizes(mut tree: Tree) -> Tree {
    for node in tree.values_mut().filter(|node| node.kind == Kind::Directory) {
        (node.size_bytes, node.links) = (0, 0);
    }
    tree
}

/// What `diff` lists of a partition, as paths in its file system.
fn listed_paths(found: &serde_json::Value, volume: &str, mount_point: &str) -> BTreeSet<String> {
    let paths = found["paths"].as_array().unwrap().iter();
    let paths = paths.filter(|path| path["volume"].as_str().unwrap().starts_with(volume));
    let inside = |path: &serde_json::Value| {
        let path = path["path"].as_str().unwrap();
        path.strip_prefix(mount_point).unwrap().trim_start_matches('/').to_owned()
    };
    paths.map(inside).collect()
}

#[test]
fn a_diff_lists_what_the_kernel_shows_of_both() {
    let world = world_of_less();
    world.file("kernel", noise(5, 3_000_000)).file("script", KERNEL_EDITS);
    world.run(&format!("{BUILD} --put kernel:/boot/k --put kernel:/boot/efi/EFI/k")).succeeds();
    let (disk, folder) = (world.path("my.img"), world.path("mount"));
    fs::create_dir(&folder).unwrap();
    let [root_before, boot_before, _] = trees(&world, "base.img").map(without_directory_sizes);
    for partition in [ROOT, BOOT] {
        // Once as it was built, and once more after the kernel has changed the root.
        extract_disk(&world.path("out.img"), &disk);
        if partition == ROOT {
            let range = partition_range(&world.path("out.img"), ROOT);
            let options = format!("loop,offset={},sizelimit={}", range.start, range.end - range.start);
            judge("mount").args(["-o", &options]).arg(&disk).arg(&folder).succeed();
            let edited = judge("sh").arg(world.path("script")).arg(&folder).run();
            judge("umount").arg(&folder).succeed();
            assert!(edited.status.success(), "{edited}");
        }
        let run = world.run("diff --blocks --json base.img my.img");
        let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let [root, boot, _] = trees(&world, "my.img").map(without_directory_sizes);
        assert_eq!(listed_paths(&found, "partition 1 ", ""), changed_paths(&root_before, &root));
        assert_eq!(listed_paths(&found, "partition 16 ", "/boot"), changed_paths(&boot_before, &boot));
        assert_eq!(listed_paths(&found, "partition 15 ", "/boot/efi"), ["EFI/k".to_owned()].into());
        assert_eq!(found["blocks"]["unexplained"], serde_json::json!([]), "{}", found["blocks"]);
        fs::remove_file(&disk).unwrap();
    }
}

/// Edits of the kernel's own: of every property that is compared, and of many files.
const KERNEL_EDITS: &str = "\
set -e
cd \"$1\"
chmod 0700 etc/hosts; chown 33:33 etc/hostname; touch -d @1600000000 etc/fstab
echo more >> etc/passwd; : > etc/group; rm etc/resolv.conf
ln etc/passwd etc/another; ln -s nowhere etc/dangling; mknod etc/null c 1 3; mkfifo etc/pipe
mv usr/lib/os-release usr/lib/os-release-moved
cp -a etc etc-copy; rm -r var/log; mkdir -p var/log/again
i=0; while [ $i -lt 2000 ]; do echo $i > srv/a-file-with-a-number-$i; i=$((i+1)); done
";

#[test]
fn two_builds_are_the_same_bytes() {
    let (world, _) = world();
    world.run(BUILD).succeeds();
    fs::rename(world.path("out.img"), world.path("one.img")).unwrap();
    world.run(BUILD).succeeds();
    assert_eq!(digest(&world.path("one.img")), digest(&world.path("out.img")));
}

#[test]
fn an_unprivileged_user_builds_and_nothing_else_is_opened_or_run() {
    let (world, base) = world();
    let folder = world.path("user");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(65534), Some(65534)).unwrap();
    fs::set_permissions(world.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    // The user may not look into the folders that the base is kept and the program was built in.
    let cached = base;
    let base = world.path("readable-base.img");
    fs::copy(cached, &base).unwrap();
    let program = world.path("imgraft");
    fs::copy(env!("CARGO_BIN_EXE_imgraft"), &program).unwrap();
    world.mode("autonoe", 0o644);
    let trace = folder.join("trace");
    let absolute = |name: &str| world.path(name).to_str().unwrap().to_owned();
    judge("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        .args(["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"])
        // What Cargo sets for its own is looked into by the loader.
        .args(["env", "-u", "LD_LIBRARY_PATH", "strace", "-f", "-y", "-o"])
        .arg(&trace)
        .arg(&program)
        .args(["build", "--base", base.to_str().unwrap(), "-o", &absolute("user/out.img")])
        .args(["--put", &format!("{}:/usr/local/bin/autonoe:0755", absolute("autonoe"))])
        .succeed();
    assert_sound(&world.path("user/out.img"));
    assert_eq!(fs::metadata(world.path("user/out.img")).unwrap().uid(), 65534);

    let trace = fs::read_to_string(trace).unwrap();
    let calls = |name: &str| trace.lines().filter(|line| line.contains(&format!(" {name}("))).collect::<Vec<_>>();
    assert_eq!(calls("execve").len(), 1);
    for forbidden in
        ["mount", "fsopen", "move_mount", "unshare", "setns", "socket", "connect", "fork", "vfork", "ptrace"]
    {
        assert_eq!(calls(forbidden), Vec::<&str>::new(), "{forbidden}");
    }
    let clones = [calls("clone"), calls("clone3")].concat();
    assert!(clones.iter().all(|line| line.contains("CLONE_THREAD")), "{clones:?}");

    let inputs = [base.to_str().unwrap().to_owned(), absolute("autonoe"), absolute("user")];
    // The dynamic loader's, and the C library's own look at the stack and the heap.
    let runtime = ["/etc/ld.so.cache", "/lib/", "/usr/lib/", "/proc/self/maps", "/proc/sys/vm/overcommit_memory"];
    for line in [calls("open"), calls("openat"), calls("openat2"), calls("creat")].concat() {
        let path = line.split('"').nth(1).unwrap();
        let is_runtime = runtime.iter().any(|prefix| path.starts_with(prefix)) && line.contains("O_RDONLY");
        let is_temporary = path == "." && line.contains("O_TMPFILE") && line.contains(&inputs[2]);
        assert!(is_runtime || is_temporary || inputs.iter().any(|input| input == path), "{line}");
        if path == inputs[0] || path == inputs[1] {
            assert!(line.contains("O_RDONLY"), "{line}");
        }
    }
}

/// On a file system without unnamed files, which `strace` makes of this one.
#[test]
fn an_interrupt_takes_a_named_temporary_file_with_it() {
    let (world, _) = world();
    let strace = |inject: &str| {
        let mut command = std::process::Command::new(testkit::judge::find("strace").expect("strace is installed"));
        command.args(["-f", "-o", "trace.tmp", "-e", "trace=openat,renameat"]);
        if !inject.is_empty() {
            command.args(["-e", inject]);
        }
        command.arg(env!("CARGO_BIN_EXE_imgraft")).args(BUILD.split(' ')).current_dir(world.folder());
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    assert!(strace("").wait().unwrap().success());
    fs::remove_file(world.path("out.img")).unwrap();
    let trace = fs::read_to_string(world.path("trace.tmp")).unwrap();
    let calls: Vec<&str> = trace.lines().filter(|line| line.contains("openat(")).collect();
    let unnamed = 1 + calls.iter().position(|line| line.contains("O_TMPFILE")).expect("an unnamed file was made");
    let inject = format!("inject=openat:error=EOPNOTSUPP:when={unnamed}");

    let names = world.names();
    let mut child = strace(&inject);
    let is_temporary = |name: &String| name.starts_with(".out.img.imgraft-");
    while !world.names().iter().any(is_temporary) {
        assert!(child.try_wait().unwrap().is_none(), "there was no temporary file");
        std::thread::yield_now();
    }
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let program = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(program, rustix::process::Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(world.names(), names);

    // Nobody interrupts this one.
    assert!(strace(&inject).wait().unwrap().success());
    assert_sound(&world.path("out.img"));
    assert!(fs::read_to_string(world.path("trace.tmp")).unwrap().contains("renameat("));
}

#[test]
fn a_full_host_is_named_and_nothing_is_left_there() {
    let (world, base) = world();
    let before = digest(&base);
    let small = world.path("small");
    fs::create_dir(&small).unwrap();
    judge("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&small).succeed();
    let run = world.run(&BUILD.replace("out.img", "small/out.img"));
    let left = fs::read_dir(&small).unwrap().count();
    judge("umount").arg(&small).succeed();
    assert_eq!((run.code, left), (Some(2), 0), "{}", run.stderr);
    assert!(run.stderr.starts_with("error: no space left on the host in `small`"), "{}", run.stderr);
    assert!(run.stderr.contains("\n  cause: no space left on device\nhint: make room there"), "{}", run.stderr);
    assert_eq!(digest(&base), before);
}

#[test]
fn a_base_that_may_not_be_read_is_named() {
    let (world, _) = world();
    world.file("secret.img", "x").mode("secret.img", 0o600);
    fs::set_permissions(world.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = world.path("imgraft");
    fs::copy(env!("CARGO_BIN_EXE_imgraft"), &program).unwrap();
    let verdict = judge("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["inspect", world.path("secret.img").to_str().unwrap()])
        .run();
    let expected =
        format!("error: `{}` cannot be read\n  cause: permission denied\n", world.path("secret.img").display());
    assert_eq!((verdict.status.code(), verdict.stderr), (Some(2), expected));
}

#[test]
fn a_base_made_larger_has_the_same_trees_and_the_kernel_uses_the_room() {
    let world = world_of_less();
    let base = world.path("base.img");
    let before = digest(&base);
    world.run("resize base.img 10G -o out.img").succeeds();
    assert_eq!(digest(&base), before);
    assert_sound(&world.path("out.img"));
    assert_eq!(trees(&world, "out.img"), trees(&world, "base.img"));
    let [old, new] = [base, world.path("out.img")].map(|image| fs::metadata(image).unwrap().len());
    assert!(new < old + (1 << 20), "the file grew from {old} to {new} bytes");
    world.run("check out.img").succeeds();
    world.run("resize base.img 10G -o again.img").succeeds();
    assert_eq!(digest(&world.path("out.img")), digest(&world.path("again.img")));

    // Files that lie in the new room, too.
    let (disk, folder) = (world.path("disk.tmp"), world.path("mount"));
    extract_disk(&world.path("out.img"), &disk);
    let range = partition_range(&world.path("out.img"), ROOT);
    assert_eq!(range.end, (10 << 30) - (1 << 20));
    fs::create_dir(&folder).unwrap();
    let options = format!("loop,offset={},sizelimit={}", range.start, range.end - range.start);
    judge("mount").args(["-o", &options]).arg(&disk).arg(&folder).succeed();
    let fill = format!("fallocate -l 6G '{0}/large' && cp '{0}/../autonoe' '{0}/copy'", folder.display());
    let filled = judge("sh").args(["-c", &fill]).run();
    judge("umount").arg(&folder).succeed();
    assert!(filled.status.success(), "{filled}");
    testkit::judge::assert_e2fsck_clean(&disk, range.start);
}

#[test]
fn memory_does_not_grow_with_the_payload_or_the_disk() {
    let (world, _) = world();
    for arguments in [BUILD.to_owned(), format!("{BUILD} --size 1T")] {
        let peak_kib = peak_kib(&world, &arguments);
        assert!(peak_kib > 0 && peak_kib < 64 << 10, "{arguments}: peak of {peak_kib} KiB");
    }
}

/// The most memory that a run had, in KiB.
fn peak_kib(world: &World, arguments: &str) -> u64 {
    let mut child = world.start(arguments);
    let mut peak_kib = 0u64;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak_kib.max(peak.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak_kib
}
