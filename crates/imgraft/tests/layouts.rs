//! Disks that are not divided like a cloud image: MBRs, partitions that are mounted by their type, and file
//! systems that imgraft does not know.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::support::World;
use testkit::judge::{assert_e2fsck_clean, assert_sgdisk_clean, judge};

const MIB: u64 = 1 << 20;
/// What makes a guest mount by type.
const GENERATOR: &str = "usr/lib/systemd/system-generators/systemd-gpt-auto-generator";

/// A disk of `mib` MiB in a world of its own, as `my.img`.
struct Disk {
    world: World,
    image: PathBuf,
}

impl Disk {
    fn new(mib: u64) -> Self {
        let world = World::empty();
        let image = world.path("my.img");
        File::create(&image).unwrap().set_len(mib * MIB).unwrap();
        world.file("tree/etc/os-release", "ID=test\nNAME=Test\n").file("app", "app\n");
        Self { world, image }
    }

    fn sfdisk(mib: u64, script: &str) -> Self {
        let disk = Self::new(mib);
        disk.world.file("script", script);
        let script = File::open(disk.world.path("script")).unwrap();
        judge("sfdisk").args(["-q", "--no-reread", "--no-tell-kernel"]).arg(&disk.image).stdin(script).succeed();
        disk
    }

    /// Makes an ext4 of `mib` MiB from `start_mib` on, with what is in `tree`.
    fn ext4(&self, start_mib: u64, mib: u64, label: &str, tree: &str) -> &Self {
        fs::create_dir_all(self.world.path(tree)).unwrap();
        let offset = format!("offset={},root_owner=0:0", start_mib * MIB);
        let mkfs = judge("mkfs.ext4").args(["-q", "-F", "-L", label, "-E", &offset, "-d"]);
        mkfs.arg(self.world.path(tree)).arg(&self.image).arg(format!("{mib}M")).succeed();
        self
    }

    /// Makes a file system by another program in a file of its own, and writes it at `start_mib`.
    fn foreign(&self, start_mib: u64, mib: u64, command: &[&str]) -> &Self {
        let file = self.world.path("foreign");
        File::create(&file).unwrap().set_len(mib * MIB).unwrap();
        judge(command[0]).args(&command[1..]).arg(&file).succeed();
        let bytes = fs::read(file).unwrap();
        let image = File::options().write(true).open(&self.image).unwrap();
        for (at, part) in bytes.chunks(4096).enumerate().filter(|(_, part)| part.iter().any(|&byte| byte != 0)) {
            image.write_all_at(part, start_mib * MIB + at as u64 * 4096).unwrap();
        }
        self
    }

    fn set_len(&self, mib: u64) {
        File::options().write(true).open(&self.image).unwrap().set_len(mib * MIB).unwrap();
    }
}

/// What `debugfs` has at `path` of the file system at `start_mib`.
fn content(image: &Path, start_mib: u64, path: &str) -> String {
    let place = format!("{}?offset={}", image.display(), start_mib * MIB);
    judge("debugfs").args(["-R", &format!("cat {path}")]).arg(place).succeed().stdout
}

fn assert_sfdisk_content(image: &Path) {
    let said = judge("sfdisk").arg("--verify").arg(image).succeed();
    assert!(said.stdout.contains("No errors detected") && said.stderr.is_empty(), "{said}");
}

/// Tables, where the root begins in MiB, and its number.
const MBRS: [(&str, u64, u32); 3] = [
    ("label: dos\nlabel-id: 0x1badc0de\n1MiB,+,83,*\n", 1, 1),
    ("label: dos\nlabel-id: 0x1badc0de\n1MiB,4MiB,82\n8MiB,+,83,*\n", 8, 2),
    ("label: dos\nlabel-id: 0x1badc0de\n1MiB,4MiB,82\n6MiB,+,f\n7MiB,2MiB,L\n10MiB,+,L\n", 10, 6),
];

#[test]
fn a_guest_in_an_mbr_is_edited_grown_and_checked() {
    for (script, start, number) in MBRS {
        let disk = Disk::sfdisk(64, script);
        disk.world.file("tree/etc/fstab", format!("PARTUUID=1badc0de-{number:02} / ext4 defaults 0 1\n"));
        disk.ext4(start, 32, "root", "tree");
        let Disk { world, image } = &disk;
        let name = format!("partition {number} (ext4 `root`)");
        world.run("check my.img").succeeds().says(&format!("nothing is wrong with `my.img`: raw, MBR, {name}\n"));
        let json = world.run("inspect my.img --json").succeeds().stdout;
        for part in
            ["\"partition_table\": \"mbr\"", "\"type\": \"Linux filesystem\"", "\"mounted_at\": [\n          \"/\""]
        {
            assert!(json.contains(part), "{part} is missing in {json}");
        }
        assert!(json.contains(&format!("\"unique_guid\": \"1badc0de-{number:02}\"")), "{json}");
        assert!(world.run("inspect my.img").succeeds().stdout.contains("64.0 MiB, MBR\n"));

        let before = fs::read(image).unwrap();
        world.run("build --base my.img --put app:/srv/app -o out.img").succeeds();
        assert_eq!(content(&world.path("out.img"), start, "/srv/app"), "app\n");
        assert_e2fsck_clean(&world.path("out.img"), start * MIB);
        assert!(before == fs::read(image).unwrap(), "the base is as it was");
        let diff = world.run("diff my.img out.img").stdout;
        assert!(diff.contains("/srv/app") && !diff.contains("boot"), "{diff}");

        world.run("resize my.img 200M").succeeds();
        assert_sfdisk_content(image);
        assert_e2fsck_clean(image, start * MIB);
        let listed = judge("sfdisk").args(["-l", "-o", "End"]).arg(image).succeed().stdout;
        assert_eq!(listed.lines().last().unwrap().trim(), (200 * 2048 - 1).to_string(), "{listed}");
        let place = format!("{}?offset={}", image.display(), start * MIB);
        let said = judge("debugfs").args(["-R", "show_super_stats -h"]).arg(place).succeed().stdout;
        let field = |name: &str| -> u64 {
            let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        assert_eq!(field("Block count:") * field("Block size:"), (200 - start) * MIB);
        world.run("check my.img").succeeds();
    }
}

#[test]
fn a_root_of_an_mbr_with_something_behind_it_does_not_grow() {
    let disk = Disk::sfdisk(64, "label: dos\n1MiB,32MiB,83\n40MiB,+,E\n41MiB,4MiB,82\n");
    disk.ext4(1, 32, "root", "tree");
    let before = fs::read(&disk.image).unwrap();
    let run = disk.world.run("resize my.img 200M");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("partition 1 cannot grow: partition 2 lies after it on the disk"), "{}", run.stderr);
    assert!(before == fs::read(&disk.image).unwrap());
}

#[test]
fn a_loop_of_logical_partitions_is_damage_and_no_hang() {
    let disk = Disk::sfdisk(64, "label: dos\n1MiB,32MiB,83\n40MiB,+,E\n41MiB,4MiB,82\n");
    disk.ext4(1, 32, "root", "tree");
    let image = File::options().write(true).open(&disk.image).unwrap();
    // The link of the only record leads to itself.
    let link = [0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    image.write_all_at(&link, 40 * MIB + 446 + 16).unwrap();
    let run = disk.world.run("check my.img");
    assert_eq!(run.code, Some(1));
    let said = "MBR: extended boot record in sector 81920: the chain of logical partitions comes back to it\n";
    assert_eq!(run.stdout, said);
    let run = disk.world.run("build --base my.img --put app:/srv/app -o out.img");
    assert!(run.code == Some(2) && run.stderr.contains("comes back to it"), "{}", run.stderr);
}

#[test]
fn a_check_that_looked_at_no_file_system_says_so_and_ends_with_2() {
    let nothing: [&[&str]; 2] = [&["mkfs.btrfs", "-q", "-f"], &["mkswap", "-q"]];
    let reasons = ["damage in this kind of file system is not looked for", "none was found"];
    for (command, reason) in nothing.into_iter().zip(reasons) {
        let disk = Disk::sfdisk(400, "label: gpt\n1MiB,320MiB\n");
        disk.foreign(1, 320, command);
        let run = disk.world.run("check my.img");
        assert_eq!(run.code, Some(2), "{command:?}: {}", run.stderr);
        assert!(run.stderr.contains("warning: not checked: ") && run.stderr.contains(reason), "{}", run.stderr);
        assert!(run.stderr.contains("not all of `my.img` was looked at"), "{}", run.stderr);
        let run = disk.world.run("check --json my.img");
        assert_eq!(run.code, Some(2));
        assert!(run.stdout.contains(reason) && run.stdout.contains("\"findings\": []"), "{}", run.stdout);
    }
    // One of several is enough; swap has no files in it.
    let disk = Disk::sfdisk(400, "label: gpt\n1MiB,32MiB\n40MiB,320MiB\n");
    disk.ext4(1, 32, "root", "tree").foreign(40, 320, &["mkswap", "-q"]);
    disk.world.run("check my.img").succeeds();
    disk.foreign(40, 320, &["mkfs.btrfs", "-q", "-f"]);
    let run = disk.world.run("check my.img");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("not checked: partition 2 (btrfs): damage in this kind"), "{}", run.stderr);
    assert!(run.stderr.ends_with("with the rest: raw, GPT, partition 1 (ext4 `root`)\n"), "{}", run.stderr);
    disk.foreign(40, 320, &["mkfs.xfs", "-q", "-f"]).world.run("check my.img").succeeds();
    // What is wrong elsewhere is still said first.
    let image = File::options().write(true).open(&disk.image).unwrap();
    image.write_all_at(b"no", 512).unwrap();
    assert_eq!(disk.world.run("check my.img").code, Some(1));
}

#[test]
fn a_root_that_is_not_supported_is_named() {
    let refused = |disk: &Disk, place: &str| {
        let run = disk.world.run("build --base my.img --put app:/srv/app -o out.img");
        assert_eq!(run.code, Some(2));
        let said = format!("what is on {place} is not supported\nhint: imgraft works in guests whose root is ext2, ");
        assert!(run.stderr.contains(&said), "{}", run.stderr);
        assert!(!disk.world.path("out.img").exists());
    };
    // By what its specification has at the start.
    let disk = Disk::sfdisk(64, "label: gpt\n1MiB,48MiB\n");
    let image = File::options().write(true).open(&disk.image).unwrap();
    image.write_all_at(b"LUKS\xba\xbe\0\x02", MIB).unwrap();
    refused(&disk, "partition 1 (LUKS)");
}

/// A disk without an operating system: each command takes the number of a partition.
#[test]
fn a_data_disk_is_read_and_changed_by_the_number_of_a_partition() {
    let disk = Disk::sfdisk(80, "label: gpt\n1MiB,32MiB\n40MiB,32MiB\n");
    disk.ext4(1, 32, "one", "data").foreign(40, 32, &["mkfs.vfat", "-n", "TWO"]);
    let world = &disk.world;
    world.file("app", "an application\n");
    let said = world.run("ls my.img").stderr;
    assert!(said.contains("there is no root file system on the disk") && said.contains("`--partition N`"), "{said}");
    // A new image, and a change in place; of an ext4, and of a FAT.
    world.run("build --base my.img --partition 1 --put app:/file -o one.img").succeeds();
    assert_e2fsck_clean(&world.path("one.img"), MIB);
    world.run("cat one.img --partition 1 /file").prints("an application\n");
    world.run("ls -1 one.img --partition 1").prints("file\nlost+found\n");
    world.run("get one.img --partition 1 /file copy").succeeds();
    assert_eq!(fs::read(world.path("copy")).unwrap(), b"an application\n");
    world.run("customize my.img --partition 2 --put app:/APP").succeeds();
    world.run("cat my.img --partition 2 /APP").prints("an application\n");
    let run = world.run("ls my.img --partition 3");
    assert!(run.code == Some(2) && run.stderr.contains("partition 3"), "{}", run.stderr);

    let whole = Disk::new(32);
    whole.ext4(0, 32, "whole", "data").world.file("app", "1");
    whole.world.run("customize my.img --partition 0 --put app:/app").succeeds();
    whole.world.run("cat my.img --partition 0 /app").prints("1");
    assert_e2fsck_clean(&whole.image, 0);
}

/// A disk with a root and a partition of the type `kind`, from 40 MiB on.
fn by_type(kind: &str, attributes: &str) -> Disk {
    let disk = Disk::sfdisk(80, &format!("label: gpt\n1MiB,32MiB\nstart=40MiB,size=32MiB,type={kind}{attributes}\n"));
    disk.world.file(&format!("tree/{GENERATOR}"), "");
    for name in ["home", "srv", "var"] {
        fs::create_dir_all(disk.world.path(&format!("tree/{name}"))).unwrap();
    }
    disk
}

const HOME: &str = "933AC7E1-2EB4-4F13-B844-0E14E2AEF915";
const VAR: &str = "4D21B016-B534-45C2-A9FB-5C16E091FD2D";
const COREOS_USR: &str = "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6";

#[test]
fn a_home_that_systemd_mounts_by_its_type_gets_the_files() {
    type Prepare<'a> = &'a dyn Fn(&Disk);
    // The offset of the file system that has them, the partition's attributes, what makes the difference.
    let cases: [(u64, &str, Prepare<'_>); 7] = [
        (40, "", &|_| {}),
        (40, "", &|disk| fs::remove_dir(disk.world.path("tree/home")).unwrap()),
        // sfdisk numbers the attributes.
        (1, ",attrs=\"GUID:63\"", &|_| {}),
        (1, "", &|disk| {
            disk.world.file("tree/home/ada/.profile", "");
        }),
        (1, "", &|disk| fs::remove_file(disk.world.path(&format!("tree/{GENERATOR}"))).unwrap()),
        (1, "", &|disk| {
            disk.world.file("tree/etc/fstab", "tmpfs /home tmpfs noauto 0 0\n");
        }),
        (1, "", &|disk| {
            fs::create_dir_all(disk.world.path("tree/etc/systemd/system-generators")).unwrap();
            let link = disk.world.path("tree/etc/systemd/system-generators/systemd-gpt-auto-generator");
            std::os::unix::fs::symlink("/dev/null", link).unwrap();
        }),
    ];
    for (number, (expected, attributes, prepare)) in cases.into_iter().enumerate() {
        let disk = by_type(HOME, attributes);
        prepare(&disk);
        disk.ext4(1, 32, "root", "tree").ext4(40, 32, "", "home");
        disk.world.run("customize my.img --put app:/home/app").succeeds();
        let path = if expected == 40 { "/app" } else { "/home/app" };
        assert_eq!(content(&disk.image, expected, path), "app\n", "case {number}");
        assert_eq!(disk.world.run("cat my.img /home/app").succeeds().stdout, "app\n", "case {number}");
        for start in [1, 40] {
            assert_e2fsck_clean(&disk.image, start * MIB);
        }
    }
}

#[test]
fn a_home_that_cannot_be_used_and_a_var_that_may_be_another_guests_are_refused() {
    let disk = by_type(HOME, "");
    disk.ext4(1, 32, "root", "tree").foreign(40, 32, &["mkswap", "-q"]);
    let run = disk.world.run("customize my.img --put app:/home/app");
    assert!(run.stderr.contains("`/home` is on partition 2 (swap), which imgraft cannot use"), "{}", run.stderr);
    let disk = by_type(VAR, "");
    disk.ext4(1, 32, "root", "tree").ext4(40, 32, "", "var");
    let run = disk.world.run("customize my.img --put app:/var/app");
    assert_eq!(run.code, Some(2));
    let said = "only the start of the guest decides whether `/var` is on partition 2 (ext4)";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    disk.world.run("customize my.img --put app:/srv/app").succeeds();
}

#[test]
fn a_usr_of_its_own_is_found_by_its_type() {
    let disk = by_type(COREOS_USR, "");
    fs::remove_dir_all(disk.world.path("tree/usr")).unwrap();
    fs::remove_file(disk.world.path("tree/etc/os-release")).unwrap();
    disk.world
        .file("tree/etc/hostname", "core\n")
        .file("usr/lib/os-release", "ID=coreos\nPRETTY_NAME=\"CoreOS 899\"\nVERSION_ID=899.13.0\n");
    disk.ext4(1, 32, "ROOT", "tree").ext4(40, 32, "USR-A", "usr");
    let said = disk.world.run("inspect my.img").succeeds().stdout;
    assert!(said.contains("CoreOS 899 (coreos:899.13.0)") && said.contains("/usr"), "{said}");
    assert!(disk.world.run("cat my.img /usr/lib/os-release").succeeds().stdout.contains("ID=coreos"));
    disk.world.run("customize my.img --put app:/etc/app").succeeds();
    assert_eq!(content(&disk.image, 1, "/etc/app"), "app\n");
}

#[test]
fn a_disk_that_was_grown_around_its_gpt_gets_a_hint() {
    // `sgdisk` has something to say of the gap that `sfdisk` leaves otherwise.
    let disk = Disk::sfdisk(64, "label: gpt\nfirst-lba: 34\n1MiB,62MiB\n");
    disk.ext4(1, 62, "root", "tree");
    disk.set_len(128);
    let hint = "the disk is larger than its GPT says: `imgraft resize my.img` makes use of the rest\n";
    let run = disk.world.run("check my.img");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("hint: {hint}")), "{}", run.stderr);
    let run = disk.world.run("inspect my.img").succeeds();
    assert!(run.stderr.contains(&format!("warning: {hint}")), "{}", run.stderr);
    // The disk is as large as before, and its root is not.
    let run = disk.world.run("resize my.img").succeeds();
    assert!(run.stderr.starts_with("grew partition 1 (ext4 `root`) from 62.0 MiB to 126.0 MiB\n"), "{}", run.stderr);
    assert_sgdisk_clean(&disk.image);
    assert_e2fsck_clean(&disk.image, MIB);
    assert_eq!(
        disk.world.run("check my.img").succeeds().stderr,
        "nothing is wrong with `my.img`: raw, GPT, partition 1 (ext4 `root`)\n"
    );
}

#[test]
fn the_size_that_a_disk_has_changes_nothing_and_growth_alone_is_a_change() {
    let disk = Disk::sfdisk(64, "label: gpt\n1MiB,62MiB\n");
    disk.ext4(1, 62, "root", "tree");
    disk.world.run("resize my.img 100M").succeeds();
    let stamp = |disk: &Disk| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(&disk.image).unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), fs::read(&disk.image).unwrap())
    };
    let before = stamp(&disk);
    for arguments in ["resize my.img 100M", "resize my.img", "resize my.img +0"] {
        let run = disk.world.run(arguments).succeeds();
        let said = "the disk of my.img has 100.0 MiB already, and its root takes what it can: nothing was changed\n";
        assert_eq!(run.stderr, said);
        assert!(before == stamp(&disk), "{arguments}");
    }
    let run = disk.world.run("build --base my.img --size 200M -o out.img").succeeds();
    assert!(run.stderr.starts_with("grew the disk from 100.0 MiB to 200.0 MiB, partition 1"), "{}", run.stderr);
    assert_eq!(fs::metadata(disk.world.path("out.img")).unwrap().len(), 200 * MIB);
    // A recipe in the folder is still meant.
    disk.world.file(
        "imgraft.toml",
        "output = \"of-recipe.img\"\n[base]\nfile = \"my.img\"\n[[step]]\nmkdir = \"/srv/data\"\n",
    );
    disk.world.run("build --size 200M").succeeds();
    assert!(disk.world.path("of-recipe.img").exists());
}

#[test]
fn what_a_directory_passes_on_is_passed_on() {
    let disk = Disk::new(64);
    fs::create_dir_all(disk.world.path("tree/drop")).unwrap();
    disk.ext4(0, 64, "root", "tree");
    // set-group-ID, group mail
    for command in ["set_inode_field /drop mode 042775", "set_inode_field /drop gid 8"] {
        judge("debugfs").args(["-w", "-R", command]).arg(&disk.image).succeed();
    }
    disk.world
        .run_words(
            "customize my.img --put app:/drop/a/app --mkdir /drop/b",
            &["--write", "/drop/c:text", "--touch", "/drop/d"],
        )
        .succeeds();
    disk.world.run_words("customize my.img --put app:/drop/e:0600 --mkdir /drop/f:0700:0:0", &[]).succeeds();
    let stat = |path: &str| {
        let said = judge("debugfs").args(["-R", &format!("stat {path}")]).arg(&disk.image).succeed().stdout;
        let word = |name: &str| said.split_once(name).unwrap().1.split_whitespace().next().unwrap().to_owned();
        (word("Mode:"), word("Group:"))
    };
    let cases = [
        ("/drop/a", "02755", "8"),
        ("/drop/a/app", "0644", "8"),
        ("/drop/b", "02755", "8"),
        ("/drop/c", "0644", "8"),
        ("/drop/d", "0644", "8"),
        ("/drop/e", "0600", "0"),
        ("/drop/f", "0700", "0"),
    ];
    for (path, mode, group) in cases {
        assert_eq!(stat(path), (mode.to_owned(), group.to_owned()), "{path}");
    }
    assert_e2fsck_clean(&disk.image, 0);
}
