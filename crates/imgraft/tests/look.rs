//! `inspect`, `ls`, `cat`, `get` and `check`: looking at an image, which is never changed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use crate::support::{ROOT, Run, World, noise};
use testkit::fixture::{FIXTURE_TIME, Format, LARGE_FILE, Options};
use testkit::judge::judge;
use testkit::partition::partition_range;

#[test]
fn inspect_says_what_an_image_is() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let run = world.run("inspect my.img").succeeds().says("");
    let free = |line: &str| line.rsplit_once("  ").map_or(line.to_owned(), |(line, _)| line.trim_end().to_owned());
    let mut lines = run.stdout.lines();
    assert_eq!(lines.next(), Some("format       raw, 366.0 MiB"));
    assert_eq!(lines.next(), Some("disk         366.0 MiB, GPT"));
    assert_eq!(lines.next(), Some("system       Ubuntu 24.04.1 LTS (ubuntu:24.04)"));
    assert_eq!(lines.next(), Some("packages     21 (dpkg)"));
    assert_eq!(lines.next(), Some(""));
    assert_eq!(
        lines.next(),
        Some("partition  type                  file system  label            mounted at       size       free")
    );
    let rows: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).map(free).collect();
    assert_eq!(
        rows,
        [
            "1          Linux filesystem      ext4         cloudimg-rootfs  /           256.0 MiB",
            "14         BIOS boot                                                         4.0 MiB",
            "15         EFI system partition  fat          UEFI             /boot/efi    40.0 MiB",
            "16         Linux extended boot   ext4         BOOT             /boot        64.0 MiB",
        ]
        .map(free_of_the_last)
    );
    assert_eq!(lines.next(), Some("features"));
    assert!(lines.next().unwrap().starts_with("1          has_journal ext_attr resize_inode dir_index"));
    assert_eq!(lines.next(), Some("15         fat32"));
}

/// The row of a partition without free space ends with its size, which `free` takes for it.
fn free_of_the_last(row: &str) -> String {
    if row.contains("BIOS") { row.rsplit_once("  ").unwrap().0.trim_end().to_owned() } else { row.to_owned() }
}

#[test]
fn inspect_lists_packages_and_speaks_json() {
    let world = World::new();
    let packages = world.run("inspect base.img --packages").succeeds().stdout;
    assert_eq!(packages.lines().next(), Some("adduser 3.137ubuntu1 all"));
    assert!(packages.contains("\ncloud-init 24.2-0ubuntu1~24.04.2 all\n") && !packages.contains("snapd"));
    let json = world.run("inspect base.img --json").succeeds().stdout;
    for part in [
        "\"format\": \"qcow2\"",
        "\"compression_type\": \"zlib\"",
        "\"partition_table\": \"gpt\"",
        "\"mounted_at\": [\n          \"/boot/efi\"\n        ]",
        "\"uuid\": \"5a1d3f6e-0d8e-4c5b-9a57-6f2d1c0b4e01\"",
        "\"unique_guid\": \"5a1d3f6e-0d8e-4c5b-9a57-6f2d1c0b5e15\"",
        "\"id\": \"ubuntu\"",
        "\"package_manager\": \"dpkg\"",
        "\"free_blocks\": ",
        "\"metadata_csum\"",
    ] {
        assert!(json.contains(part), "{part} is missing in {json}");
    }
}

#[test]
fn ls_looks_like_ls() {
    let world = World::new();
    world.run("ls base.img /usr/bin").succeeds().prints(
        "-rwxr-xr-x 1 root root  20000 2023-11-14 22:13 bash\n\
         -rwxr-xr-x 1 root root  40000 2023-11-14 22:13 cat\n\
         -rwxr-xr-x 1 root root  60000 2023-11-14 22:13 curl\n\
         -rwxr-xr-x 1 root root  80000 2023-11-14 22:13 dash\n\
         -rwxr-xr-x 3 root root 100000 2023-11-14 22:13 git\n\
         lrwxrwxrwx 1 root root      8 2023-11-14 22:13 git-loop -> git-loop\n\
         -rwxr-xr-x 3 root root 100000 2023-11-14 22:13 git-upload-pack\n\
         -rwxr-xr-x 1 root root 120000 2023-11-14 22:13 ls\n\
         -rwxr-xr-x 1 root root 140000 2023-11-14 22:13 ping\n\
         -rwxr-xr-x 2 root root 160000 2023-11-14 22:13 python3\n\
         -rwxr-xr-x 2 root root 160000 2023-11-14 22:13 python3.12\n\
         lrwxrwxrwx 1 root root      4 2023-11-14 22:13 sh -> dash\n\
         -rwsr-xr-x 1 root root 180000 2023-11-14 22:13 sudo\n\
         -rwxr-xr-x 1 root root 200000 2023-11-14 22:13 systemctl\n",
    );
    world
        .run("ls base.img /etc/shadow")
        .succeeds()
        .prints("-rw-r----- 1 root shadow 54 2023-11-14 22:13 /etc/shadow\n");
    world.run("ls base.img /bin").succeeds().prints("lrwxrwxrwx 1 root root 7 2023-11-14 22:13 /bin -> usr/bin\n");
    world.run("ls base.img /dev").succeeds().prints(
        "crw------- 1 root root   5, 1 2023-11-14 22:13 console\n\
         crw-rw-rw- 1 root root   1, 3 2023-11-14 22:13 null\n\
         brw-rw---- 1 root root 254, 0 2023-11-14 22:13 vda\n",
    );
    assert!(world.run("ls base.img /bin/").succeeds().stdout.contains(" bash\n"));
    assert_eq!(world.run("ls -R base.img /usr/share/many").succeeds().stdout.lines().count(), 3001);
    assert!(world.run("ls base.img /var/lib/ids --json").succeeds().stdout.contains("\"uid\": 100000"));
    world.refuses("ls base.img /nope", "error: `/nope` is not in the guest\n");
    world.refuses(
        "ls base.img nope",
        "error: `nope` is not a path in the guest\n  cause: a path in the guest begins with `/`\n",
    );
}

/// A name that is not UTF-8 is escaped once, and can be had back from text and from JSON.
#[test]
fn names_that_are_not_utf_8_can_be_had_back() {
    let world = World::new();
    fs::create_dir(world.path("tree")).unwrap();
    for name in [&b"caf\xe9"[..], b"caf\\xe9", b"a\\x2db.mount", b"two\nlines"] {
        fs::write(world.path("tree").join(OsStr::from_bytes(name)), "x").unwrap();
    }
    world.run("build --base base.img --put tree:/srv/tree -o my.img").succeeds();
    let shown = ["a\\x2db.mount", "caf\\x5cxe9", "caf\\xe9", "two\\x0alines"];
    let listed = world.run("ls my.img /srv/tree").succeeds().stdout;
    let mut names: Vec<&str> = listed.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, shown);
    let paths = |json: &str| -> Vec<String> {
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let rows = json.get("paths").unwrap_or(&json).as_array().unwrap();
        let mut paths: Vec<String> = rows.iter().map(|row| row["path"].as_str().unwrap().to_owned()).collect();
        paths.sort_unstable();
        paths.retain(|path| path.starts_with("/srv/tree/"));
        paths
    };
    let expected: Vec<String> = shown.iter().map(|name| format!("/srv/tree/{name}")).collect();
    assert_eq!(paths(&world.run("ls my.img /srv/tree --json").succeeds().stdout), expected);
    assert_eq!(paths(&world.run("diff --json base.img my.img").stdout), expected);
}

/// A label and the name of a file whose entry has a wrong type, each with what would steer a terminal.
#[test]
fn names_in_findings_and_labels_steer_no_terminal_and_can_be_had_back() {
    let world = World::empty();
    world.file("tree/etc/os-release", "ID=test\n").file("app", "app\n");
    let (label, name) = (&b"a\x1b[1m\xe9"[..], &b"\x1b[31mcaf\xe9"[..]);
    fs::write(world.path("tree/etc").join(OsStr::from_bytes(name)), "x").unwrap();
    let image = world.path("my.img");
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    let options = ["-q", "-F", "-O", "^metadata_csum,^dir_index", "-E", "root_owner=0:0", "-d"];
    let mkfs = judge("mkfs.ext4").args(options).arg(world.path("tree")).arg("-L").arg(OsStr::from_bytes(label));
    mkfs.arg(&image).succeed();
    let mut bytes = fs::read(&image).unwrap();
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    // file_type lies before the name: the file is said to be a directory.
    assert_eq!(std::mem::replace(&mut bytes[at - 1], 2), 1);
    fs::write(&image, bytes).unwrap();

    let (label, name) = ("`a\\x1b[1m\\xe9`", "`\\x1b[31mcaf\\xe9`");
    let is_control = |character: char| character.is_control() && character != '\n';
    let without_control = |run: Run| {
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(!text.contains(is_control) && !text.contains('\u{fffd}'), "{text:?}");
        text
    };
    let check = without_control(world.run("check my.img"));
    assert!(check.contains(&format!("the whole disk (ext4 {label}): inode ")), "{check}");
    assert!(check.contains(&format!(": {name} is listed as ")), "{check}");
    let build = without_control(world.run("build --base my.img --put app:/srv/app -o out.img").succeeds());
    assert!(build.contains(label) && build.contains(name), "{build}");
    // In JSON, where each `\` is two.
    let [label, name] = [label, name].map(|text| text.replace('\\', "\\\\"));
    let check = without_control(world.run("check my.img --json"));
    assert!(check.contains(&label) && check.contains(&name), "{check}");
    let inspect = without_control(world.run("inspect my.img --json").succeeds());
    assert!(inspect.contains(&format!("\"label\": \"{}\"", label.trim_matches('`'))), "{inspect}");
    without_control(world.run("inspect my.img").succeeds());
}

#[test]
fn ls_and_cat_cross_into_boot_and_the_esp() {
    let world = World::new();
    let names = |path: &str| -> Vec<String> {
        let listing = world.run(&format!("ls base.img {path}")).succeeds().stdout;
        listing.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/boot/efi/EFI"), ["BOOT", "ubuntu"]);
    assert_eq!(names("/boot/grub"), ["grub.cfg", "x86_64-efi"]);
    assert_eq!(names("/boot/efi/../efi/efi/UBUNTU"), ["grub.cfg", "grubx64.efi"]);
    world
        .run("cat base.img /boot/efi/EFI/ubuntu/grub.cfg")
        .succeeds()
        .prints("search.fs_label BOOT root\nconfigfile ($root)/grub/grub.cfg\n");
}

#[test]
fn cat_prints_files_and_follows_links_inside_the_guest() {
    let world = World::new();
    world.run("cat base.img /etc/hostname /etc/timezone").succeeds().prints("ubuntu\nEtc/UTC\n");
    world.run("cat base.img /opt/outside/hostname").succeeds().prints("ubuntu\n");
    world.run("cat base.img /opt/upwards/hostname").succeeds().prints("ubuntu\n");
    world.run("cat base.img /etc/machine-id").succeeds().prints("");
    world.refuses("cat base.img /etc", "error: `/etc` is a directory\n");
    world.refuses("cat base.img /dev/null", "error: `/dev/null` is not a regular file\n");
    world.refuses("cat base.img /nope", "error: `/nope` is not in the guest\n");
    world.refuses(
        "cat base.img /etc/localtime",
        "error: `/etc/localtime` goes through the symlink `/etc/localtime`, whose target \
         `/usr/share/zoneinfo/Etc/UTC` is not in the guest\n",
    );
}

#[test]
fn get_copies_a_file_with_its_mode_and_time() {
    let world = World::new();
    world.run("get base.img /usr/bin/sudo").succeeds().says("copied /usr/bin/sudo to sudo (1 file, 175.7 KiB)\n");
    let metadata = fs::metadata(world.path("sudo")).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (0o755, FIXTURE_TIME));
    world.run(&format!("get base.img {} large", LARGE_FILE.0)).succeeds();
    assert!(fs::read(world.path("large")).unwrap()[..1_000_000] == noise_of_the_fixture());
    world.refuses(
        "get base.img /usr/bin/sudo",
        "error: `sudo` is there already\nhint: remove it, or give another destination\n",
    );
    world.refuses(
        "get base.img /etc/hostname none/x",
        "error: `none/x` cannot be written\n  cause: no such file or directory\n",
    );
    world.refuses("get base.img /dev/null", "error: `/dev/null` is neither a file nor a directory\n");
    world.refuses("get base.img /", "error: `/` has no name of its own\nhint: give the new folder one\n");
}

#[test]
fn get_writes_a_file_to_standard_output_for_a_dash() {
    let world = World::new();
    world.run("get base.img /etc/hostname -").succeeds().prints("ubuntu\n").says("");
    world.refuses(
        "get base.img /etc -",
        "error: `/etc` is a directory, which `-`, standard output, cannot take\n\
         hint: name a folder that it is to be; `./-` is one of the name `-`\n",
    );
    assert_eq!(world.names(), ["base.img"]);
    world.run("get base.img /etc/hostname ./-").succeeds().prints("");
    assert_eq!(fs::read_to_string(world.path("-")).unwrap(), "ubuntu\n");
}

fn noise_of_the_fixture() -> Vec<u8> {
    noise(0x1a46e_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1_000_000)
}

#[test]
fn get_copies_a_tree_and_never_follows_a_symlink() {
    let world = World::new();
    world.run("get base.img /opt opt").succeeds().says("copied /opt to opt (1 directory, 3 symlinks, 0 B)\n");
    assert_eq!(fs::read_link(world.path("opt/outside")).unwrap().to_str(), Some("/etc"));
    assert_eq!(fs::read_link(world.path("opt/upwards")).unwrap().to_str(), Some("../../../../../../etc"));
    world.run("get base.img /etc").succeeds();
    assert_eq!(fs::read_to_string(world.path("etc/ssh/sshd_config")).unwrap().lines().count(), 2);
    assert_eq!(fs::read_link(world.path("etc/os-release")).unwrap().to_str(), Some("../usr/lib/os-release"));
    assert_eq!(fs::symlink_metadata(world.path("etc/cloud")).unwrap().mtime(), FIXTURE_TIME);
    let names = ["base.img", "etc", "opt"];
    assert_eq!(world.names(), names);
    // Through a link of the guest: what it points to in the guest, under the name asked for.
    world.run("get base.img /opt/outside/hostname").succeeds();
    assert_eq!(fs::read_to_string(world.path("hostname")).unwrap(), "ubuntu\n");
}

#[test]
fn get_keeps_holes_and_hard_links() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let content = world.file("content", vec![7u8; 10_000]).path("content");
    let content = content.display();
    let commands = format!(
        "mkdir /srv/kept\nwrite {content} /srv/kept/sparse\nsif /srv/kept/sparse size 0x10000000000\n\
         write {content} /srv/kept/one\nln /srv/kept/one /srv/kept/two\nsif /srv/kept/one links_count 2\n",
    );
    world.file("commands", commands);
    let disk = world.path("my.img");
    let place = format!("{}?offset={}", disk.display(), partition_range(&disk, ROOT).start);
    judge("debugfs").args(["-w", "-f"]).arg(world.path("commands")).arg(place).succeed();
    // A tebibyte of zeros would fill the disk.
    world.run("get my.img /srv/kept").succeeds().says("copied /srv/kept to kept (3 files, 1 directory, 1.0 TiB)\n");
    let metadata = |name: &str| fs::metadata(world.path("kept").join(name)).unwrap();
    assert_eq!(metadata("sparse").len(), 1 << 40);
    assert!(metadata("sparse").blocks() * 512 <= 64 << 10, "{} blocks", metadata("sparse").blocks());
    let mut content = vec![0u8; 12_000];
    File::open(world.path("kept/sparse")).unwrap().read_exact_at(&mut content, 0).unwrap();
    assert!(content[..10_000].iter().all(|&byte| byte == 7) && content[10_000..].iter().all(|&byte| byte == 0));
    assert_eq!((metadata("one").ino(), metadata("one").nlink()), (metadata("two").ino(), 2));
    assert_eq!(fs::read(world.path("kept/two")).unwrap(), vec![7u8; 10_000]);
}

#[test]
fn get_does_not_write_through_a_symlink_of_the_host() {
    let world = World::new();
    fs::create_dir(world.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere/file", world.path("hostname")).unwrap();
    world.refuses(
        "get base.img /etc/hostname",
        "error: `hostname` is there already\nhint: remove it, or give another destination\n",
    );
    assert_eq!(fs::read_dir(world.path("elsewhere")).unwrap().count(), 0);
}

/// It said nothing until it was done.
#[test]
fn check_says_on_a_terminal_what_it_looks_at() {
    let world = World::new();
    let program = world.command("check base.img").get_program().to_owned();
    let line = format!("{} check {}", program.to_str().unwrap(), world.path("base.img").display());
    let said = judge("script").args(["-qec", &line, "/dev/null"]).succeed().stdout;
    for stage in ["looking at the image's tables", "looking at the partition table", "looking at partition 1 (ext4"] {
        assert!(said.contains(stage), "{stage}: {said:?}");
    }
}

#[test]
fn check_finds_nothing_in_a_sound_image() {
    let world = World::new();
    world.run("check base.img").succeeds().prints("").says(
        "nothing is wrong with `base.img`: qcow2, GPT, partition 1 (ext4 `cloudimg-rootfs`), partition 15 (fat `UEFI`), \
         partition 16 (ext4 `BOOT`)\n",
    );
}

#[test]
fn check_finds_what_is_wrong_on_each_layer() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let file = File::options().read(true).write(true).open(world.path("my.img")).unwrap();
    let flip = |offset: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
    };
    // A byte of the primary GPT's header.
    flip(512 + 57);
    let run = world.run("check my.img");
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.starts_with("GPT: "), "{}{}", run.stdout, run.stderr);
    flip(512 + 57);

    // The checksum of the root directory's inode: the second inode of the table.
    let range = partition_range(&world.path("my.img"), ROOT);
    let dump = world.debugfs("my.img", ROOT, "imap <2>");
    let location = dump.split_once("located at block ").unwrap().1;
    let (block, offset) = location.split_once(", offset 0x").unwrap();
    let offset = u64::from_str_radix(offset.trim(), 16).unwrap();
    flip(range.start + block.parse::<u64>().unwrap() * 4096 + offset + 0x7c);
    let run = world.run("check my.img");
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("inode 2"), "{}{}", run.stdout, run.stderr);
    assert!(world.run("check my.img --json").stdout.contains("\"problem\": "));
}

#[test]
fn check_finds_a_wrong_refcount() {
    let world = World::with_copy(&Options::default());
    let file = File::options().read(true).write(true).open(world.path("my.img")).unwrap();
    let mut table = [0; 8];
    file.read_exact_at(&mut table, 48).unwrap();
    let mut block = [0; 8];
    file.read_exact_at(&mut block, u64::from_be_bytes(table)).unwrap();
    file.write_all_at(&7u16.to_be_bytes(), u64::from_be_bytes(block)).unwrap();
    let run = world.run("check my.img");
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.starts_with("qcow2: "), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.ends_with("1 thing is wrong with `my.img`\n"), "{}", run.stderr);
}

#[test]
fn check_ends_with_2_where_it_cannot_look() {
    let world = World::empty();
    world.file("text", "hello\n");
    world.refuses("check none.img", "error: `none.img` cannot be read\n  cause: no such file or directory\n");
    assert_eq!(world.run("check text").code, Some(2));
}

#[test]
fn completions_and_manual_pages_come_from_the_definition() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&format!("completions {shell}")).succeeds().stdout;
        for word in ["customize", "init", "explain", "timeout", "human-readable"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        // The others are told no values of what is not a flag.
        assert!(script.contains("in-use") || !["bash", "zsh"].contains(&shell), "{shell}");
    }
    fs::create_dir(world.path("man")).unwrap();
    world.run("man man").succeeds();
    let page = fs::read_to_string(world.path("man/imgraft-build.1")).unwrap();
    assert!(page.contains("recipe") && page.contains("\\-\\-timeout") && world.path("man/imgraft.1").exists());
    for (command, text) in [("init", "pyproject.toml"), ("explain", "in\\-use"), ("ls", "human\\-readable")] {
        let page = fs::read_to_string(world.path(&format!("man/imgraft-{command}.1"))).unwrap();
        assert!(page.contains(text), "{command}: {page}");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    let world = World::empty();
    assert!(world.run("--help").succeeds().stdout.contains("Exit codes:\n  0  done; nothing is wrong\n"));
    for command in ["build", "customize", "inspect", "ls", "cat", "get", "check", "completions", "init", "explain"] {
        let help = world.run(&format!("{command} --help")).succeeds().stdout;
        assert!(help.contains("Examples:\n  imgraft "), "{command}: {help}");
    }
}
