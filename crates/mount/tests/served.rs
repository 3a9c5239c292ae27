use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::Guest;
use mount::{Mounted, Options, Owners};
use scratch::{Difference, Spill, Times, View};
use storage::FileStorage;
use tempfile::TempDir;
use testkit::judge::{assert_e2fsck_clean, judge};
use testkit::mount::Mount;
use testkit::tree::{Kind, Tree, walk_kernel};

/// A small guest on an ext4 without partitions.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new(megabytes: u64) -> Self {
        assert!(testkit::is_root(), "the kernel mounts for root only");
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        fs::create_dir_all(tree.join("tmp")).unwrap();
        fs::write(tree.join("etc/os-release"), "ID=lab\n").unwrap();
        fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::write(tree.join("usr/bin/tool"), vec![7; 100_000]).unwrap();
        fs::hard_link(tree.join("usr/bin/tool"), tree.join("usr/bin/alias")).unwrap();
        std::os::unix::fs::symlink("hosts", tree.join("etc/link")).unwrap();
        let disk = folder.path().join("disk");
        File::create(&disk).unwrap().set_len(megabytes << 20).unwrap();
        judge("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&disk).succeed();
        fs::create_dir(folder.path().join("mnt")).unwrap();
        Self { folder }
    }

    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn guest(&self) -> Guest {
        let file = OpenOptions::new().read(true).write(true).open(self.disk()).unwrap();
        Guest::open(Arc::new(FileStorage::new(file).unwrap())).unwrap()
    }

    /// Runs `work` in the mounted tree, and grafts what differs afterwards; the kernel sees the same tree in the mount
    /// and in the image.
    fn change(&self, work: impl FnOnce(&Path)) -> Difference {
        let mut guest = self.guest();
        let spill = Spill::new(tempfile::tempfile_in(self.folder.path()).unwrap());
        let view = View::new(&mut guest, spill).unwrap();
        let point = self.folder.path().join("mnt");
        let options = Options { read_only: false, by_permissions: true };
        let mounted = Mounted::new(&view, Owners::AsTheyAre, &point, options).unwrap();
        work(&point);
        let seen = walk_kernel(&point);
        mount::unmount(&mounted.places()).unwrap();
        mounted.wait().unwrap();
        let difference = view.finish(&mut guest, &Times::AS_THEY_ARE, &|_| false).unwrap();
        let told = format!("{difference:?}");
        difference.graft(&mut guest).unwrap();
        guest.flush().unwrap();
        drop(guest);
        assert_e2fsck_clean(&self.disk(), 0);
        let size = fs::metadata(self.disk()).unwrap().len();
        let grafted = Mount::read_only(&self.disk(), &(0..size));
        assert_same(&seen, &walk_kernel(&grafted.path()), &told);
        Difference::default()
    }

    fn shell(&self, script: &str) {
        self.change(|point| {
            judge("sh").args(["-euc", &format!("cd \"$0\"; {script}")]).arg(point).succeed();
        });
    }
}

/// Two trees that a kernel shows are the same, path by path. How long a directory is says nothing.
fn assert_same(mounted: &Tree, grafted: &Tree, told: &str) {
    let mut differing = Vec::new();
    for path in mounted.keys().chain(grafted.keys()).collect::<BTreeSet<_>>() {
        let node = |tree: &Tree| {
            let mut node = tree.get(path)?.clone();
            if node.kind == Kind::Directory {
                node.size_bytes = 0;
            }
            Some(node)
        };
        if node(mounted) != node(grafted) {
            let path = String::from_utf8_lossy(path);
            differing.push(format!("{path}\n  mounted {:?}\n  grafted {:?}", node(mounted), node(grafted)));
        }
    }
    assert!(differing.is_empty(), "{}\n{told}", differing.join("\n"));
}

#[test]
fn what_a_shell_does_is_in_the_image() {
    let lab = Lab::new(64);
    lab.shell(
        "echo more >> etc/hosts; mkdir -p srv/a/b; cp usr/bin/tool srv/a/; mv etc/link srv/; chmod 4755 srv/a/tool; \
         ln srv/a/tool srv/a/b/twin; rm usr/bin/alias; mkfifo srv/fifo; mknod srv/null c 1 3; chown 12:34 etc/hosts; \
         setfattr -n user.colour -v red etc/hosts; touch -d '2020-02-02 02:02:02' srv/a; truncate -s 10M srv/sparse; \
         printf x | dd of=srv/sparse bs=1 seek=5000000 conv=notrunc status=none; chattr +A srv/a/tool; \
         setfacl -m u:7:r etc/hosts; setcap cap_net_raw+ep srv/a/b/twin",
    );
}

#[test]
fn files_that_move_and_change_places_are_in_the_image() {
    let lab = Lab::new(64);
    lab.shell(
        "mkdir -p one/deep two; for i in $(seq 300); do echo $i >one/deep/$i; done; mv one two/inner; \
         mv usr/bin/alias usr/alias2; ln usr/bin/tool usr/bin/third; cp etc/hosts etc/hosts.new; mv etc/hosts.new etc/hosts; \
         python3 -c 'import ctypes,os; assert ctypes.CDLL(None).renameat2(-100, b\"etc/hosts\", -100, b\"usr/bin\", 2) == 0'",
    );
    lab.shell("mv etc/hosts x; rm -rf usr/bin; mv x usr/bin; rm -rf two/inner/deep/1*; mv two/inner/deep/200 two/inner/deep/300; mv two three");
    lab.shell("rm -rf three usr/third; rmdir usr/nothing 2>/dev/null || true; find . -name '*2' | head");
}

#[test]
fn programs_that_are_hard_on_a_file_system_find_what_they_expect() {
    let lab = Lab::new(256);
    lab.change(|point| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hard.py");
        let verdict = judge("python3").arg(script).arg(point).succeed();
        assert_eq!(verdict.stdout.lines().last(), Some("programs"), "{}", verdict.stdout);
    });
}
