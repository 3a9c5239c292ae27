//! The verbs on a real command line: what each makes of files, as `debugfs` and the kernel see it.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{BOOT, ROOT, Run, World, assert_sound, noise};
use testkit::fixture::{FIXTURE_TIME, LARGE_FILE, Options};
use testkit::judge::judge;

const BUILD: &str = "build --base base.img -o out.img";

/// Builds with these flags, and has every judge look at it.
#[track_caller]
fn build(world: &World, flags: &[&str]) -> Run {
    let run = world.run_words(BUILD, flags).succeeds();
    assert_sound(&world.path("out.img"));
    run
}

/// Whether `debugfs` finds something.
fn is_there(world: &World, path: &str) -> bool {
    world.debugfs("out.img", ROOT, &format!("stat {path}")).contains("Inode:")
}

#[test]
fn later_changes_see_what_earlier_ones_did_in_the_order_of_the_command_line() {
    let world = World::new();
    world.file("app", "app\n");
    let flags = [
        "--write",
        "/srv/a:one",
        "--chmod",
        "0600:/srv/a",
        "--remove",
        "/etc/hostname",
        "--put",
        "app:/etc/hostname",
        "--append",
        "/srv/a:two",
        "--copy",
        "/srv/a:/srv/b",
        "--chown",
        "www-data:33:/srv/b",
        "--write",
        "/srv/a:three",
        "--move",
        "/srv/b:/srv/c",
    ];
    build(&world, &flags).says(
        "wrote /srv/a (0644 0:0, 3 B)\n\
         changed the mode of /srv/a from 0644 to 0600\n\
         removed /etc/hostname\n\
         put app at /etc/hostname (0644 0:0, 4 B)\n\
         appended to /srv/a\n\
         copied /srv/a to /srv/b\n\
         changed the owner of /srv/b from 0:0 to 33:33\n\
         wrote /srv/a (0600 0:0, 5 B), in place of the old content\n\
         moved /srv/b to /srv/c\n\
         built out.img (…)\n",
    );
    assert_eq!(world.content("out.img", ROOT, "/srv/a"), b"three");
    assert_eq!(world.content("out.img", ROOT, "/srv/c"), b"one\ntwo\n");
    assert_eq!(world.content("out.img", ROOT, "/etc/hostname"), b"app\n");
    let (a, c) = (world.stat("out.img", ROOT, "/srv/a"), world.stat("out.img", ROOT, "/srv/c"));
    assert_eq!((a.mode.as_str(), a.owner, c.mode.as_str(), c.owner), ("0600", (0, 0), "0600", (33, 33)));
    // Nothing has a source whose time it could have: it is that of the base's file system.
    assert_eq!((a.modified, c.modified), (FIXTURE_TIME as u32, FIXTURE_TIME as u32));
    assert!(!is_there(&world, "/srv/b"));
}

#[test]
fn a_file_that_is_written_keeps_what_it_was_but_for_its_content() {
    let world = World::new();
    let before = world.stat("base.img", ROOT, "/etc/shadow");
    let flags = ["--write", "/etc/shadow:x\n", "--write", "/bin/python3:p", "--write", "/boot/grub/grub.cfg:b\n"];
    build(&world, &[&flags[..], &["--write", "/boot/efi/EFI/ubuntu/grub.cfg:e\n", "--write", "/opt/n/e/w:"]].concat());
    let after = world.stat("out.img", ROOT, "/etc/shadow");
    assert_eq!(before, after);
    // Another name of the same file has the same content.
    assert_eq!(world.content("out.img", ROOT, "/usr/bin/python3.12"), b"p");
    assert_eq!(world.content("out.img", BOOT, "/grub/grub.cfg"), b"b\n");
    world.run("cat out.img /boot/efi/EFI/ubuntu/grub.cfg /opt/n/e/w").succeeds().prints("e\n");
    assert_eq!(world.stat("out.img", ROOT, "/opt/n/e").mode, "0755");
    world.run_words(BUILD, &["--write", "/etc/localtime:x"]).says(
        "error: `/etc/localtime` goes through the symlink `/etc/localtime`, whose target \
         `/usr/share/zoneinfo/Etc/UTC` is not in the guest\n\
         hint: symlinks are followed inside the guest only: put something at `/usr/share/zoneinfo/Etc/UTC` first\n",
    );
}

#[test]
fn a_line_is_appended_in_the_way_that_the_files_lines_end() {
    let world = World::new();
    let flags = [
        "--write",
        "/srv/dos:a\r\nb",
        "--append",
        "/srv/dos:c",
        "--append",
        "/srv/new:first",
        "--append",
        "/srv/new:a:b\n",
        "--write",
        "/srv/empty:",
        "--append",
        "/srv/empty:x",
        "--append",
        "/boot/efi/EFI/ubuntu/grub.cfg:boot",
    ];
    build(&world, &flags);
    assert_eq!(world.content("out.img", ROOT, "/srv/dos"), b"a\r\nb\r\nc\r\n");
    assert_eq!(world.content("out.img", ROOT, "/srv/new"), b"first\na:b\n");
    assert_eq!(world.content("out.img", ROOT, "/srv/empty"), b"x\n");
    let run = world.run("cat out.img /boot/efi/EFI/ubuntu/grub.cfg").succeeds();
    assert!(run.stdout.ends_with("($root)/grub/grub.cfg\nboot\n"), "{}", run.stdout);
}

#[test]
fn directories_are_made_and_those_that_are_there_stay() {
    let world = World::new();
    let flags = [
        "--mkdir",
        "/srv/a/b:0750:www-data:shadow",
        "--mkdir",
        "/etc",
        "--mkdir",
        "/var/tmp:0700",
        "--mkdir",
        "/boot/new",
    ];
    build(&world, &flags).says(
        "made /srv/a/ (0755 0:0)\n\
         made /srv/a/b/ (0750 33:42)\n\
         kept /etc/ (0755 0:0), which existed\n\
         kept /var/tmp/ (0700 0:0), which existed\n\
         made /boot/new/ (0755 0:0)\n\
         built out.img (…)\n",
    );
    let made = world.stat("out.img", ROOT, "/srv/a/b");
    assert_eq!((made.mode.as_str(), made.owner), ("0750", (33, 42)));
    assert_eq!(world.stat("out.img", ROOT, "/etc"), world.stat("base.img", ROOT, "/etc"));
    world
        .refuses("build --base base.img -o x.img --mkdir /etc/hostname", "error: `/etc/hostname` is not a directory\n");
}

#[test]
fn what_a_pattern_stands_for_is_removed_and_nothing_else() {
    let world = World::new();
    let flags =
        ["--remove", "/usr/share/many/file-00[0-4]?", "--remove", "/var/lib/dpkg/info", "--remove", "/nothing/*"];
    build(&world, &[&flags[..], &["--remove", "/opt/outside", "--remove", "/usr/*/git"]].concat()).says(
        "removed /usr/share/many/file-00[0-4]? (50 matches)\n\
         removed /var/lib/dpkg/info\n\
         removed nothing: /nothing/* is not in the guest\n\
         removed /opt/outside\n\
         removed /usr/bin/git\n\
         built out.img (…)\n",
    );
    assert!(!is_there(&world, "/usr/share/many/file-0049") && is_there(&world, "/usr/share/many/file-0050"));
    assert!(!is_there(&world, "/var/lib/dpkg/info") && is_there(&world, "/var/lib/dpkg/status"));
    // Not what the symlink pointed to, and not the other names of the file.
    assert!(is_there(&world, "/etc/hostname") && is_there(&world, "/usr/lib/git-receive-pack"));
    world
        .refuses("build --base base.img -o x.img --remove /boot", "error: the guest mounts a file system at `/boot`\n");
    let run = world.run_words(BUILD, &["--remove", "/../"]);
    assert!(run.stderr.contains("`/` is the whole guest and cannot be removed"), "{}", run.stderr);
    assert_eq!(run.code, Some(2));
    build(&world, &["--remove", "/boot/efi/EFI"]);
    world.run("ls out.img /boot/efi").succeeds().prints("");
}

#[test]
fn what_was_changed_can_go_with_all_around_it() {
    let world = World::new();
    let flags =
        ["--chmod", "0700:/usr/share/many", "--write", "/boot/efi/efi/UBUNTU/GRUB.CFG:x", "--remove", "/usr/share"];
    build(&world, &[&flags[..], &["--chown", "1:1:/etc/cloud/cloud.cfg.d", "--move", "/etc/cloud:/srv/"]].concat());
    assert!(
        !is_there(&world, "/usr/share") && !is_there(&world, "/etc/cloud") && is_there(&world, "/srv/cloud/cloud.cfg")
    );
    world.run("cat out.img /boot/efi/EFI/ubuntu/grub.cfg").succeeds().prints("x");
}

#[test]
fn links_are_forced_and_go_into_directories() {
    let world = World::new();
    build(
        &world,
        &[
            "--link",
            "dash:/usr/bin/ls:/usr/local/bin/vi:/srv",
            "--link",
            "/a:/opt/upwards/hostname",
            "--link",
            "x:/etc/localtime",
        ],
    )
    .says(
        "linked /usr/bin/ls, /usr/local/bin/vi, /srv/dash to dash\n\
             linked /etc/hostname to /a\n\
             linked /etc/localtime to x\n\
             built out.img (…)\n",
    );
    for (path, target) in
        [("/usr/bin/ls", "dash"), ("/srv/dash", "dash"), ("/etc/hostname", "/a"), ("/etc/localtime", "x")]
    {
        let stat = world.debugfs("out.img", ROOT, &format!("stat {path}"));
        assert!(stat.contains("Type: symlink") && stat.contains(&format!("Fast link dest: \"{target}\"")), "{stat}");
    }
    world.refuses(
        "build --base base.img -o x.img --link a:/boot/efi/link",
        "error: `/boot/efi/link` on partition 15 (fat `UEFI`)\n  cause: a symlink on a FAT is not supported\n",
    );
}

#[test]
fn a_hard_link_is_another_name_of_the_same_file() {
    let world = World::new();
    let flags = [
        "--hardlink",
        "/etc/hostname:/usr/local/bin/host:/srv:/etc/fstab:/opt/new/name",
        // A symlink is linked itself, and a name of the same file stays.
        "--hardlink",
        "/usr/bin/sh:/srv/sh",
        "--hardlink",
        "/usr/bin/python3:/usr/bin/python3.12:/usr/bin/python3",
    ];
    let before = world.stat("base.img", ROOT, "/etc/hostname").inode;
    build(&world, &flags).says(
        "made /opt/new/ (0755 0:0)\n\
         hard linked /usr/local/bin/host, /srv/hostname, /etc/fstab, /opt/new/name to /etc/hostname\n\
         hard linked /srv/sh to /usr/bin/sh\n\
         hard linked /usr/bin/python3.12, /usr/bin/python3 to /usr/bin/python3\n\
         built out.img (…)\n",
    );
    for path in ["/etc/hostname", "/usr/local/bin/host", "/srv/hostname", "/etc/fstab", "/opt/new/name"] {
        let stat = world.debugfs("out.img", ROOT, &format!("stat {path}"));
        assert!(stat.contains("Links: 5 "), "{path}: {stat}");
        assert_eq!(world.stat("out.img", ROOT, path).inode, before, "{path}");
    }
    assert_eq!(world.content("out.img", ROOT, "/opt/new/name"), world.content("base.img", ROOT, "/etc/hostname"));
    let link = world.debugfs("out.img", ROOT, "stat /srv/sh");
    assert!(link.contains("Type: symlink") && link.contains("Links: 2 "), "{link}");
    assert!(link.contains("Fast link dest: \"dash\""), "{link}");
    let python = world.debugfs("out.img", ROOT, "stat /usr/bin/python3");
    assert!(python.contains("Links: 2 "), "{python}");
}

#[test]
fn a_recipe_makes_hard_links_and_what_cannot_be_one_is_refused() {
    let world = World::new();
    let step = "[[step]]\nhardlink = \"/srv/name\"\ntarget = \"/etc/hostname\"\n";
    world.file("r.toml", format!("[base]\nfile = \"base.img\"\n{step}"));
    world.run("build r.toml -o out.img").succeeds();
    assert_sound(&world.path("out.img"));
    let inode = world.stat("out.img", ROOT, "/srv/name").inode;
    assert_eq!(inode, world.stat("out.img", ROOT, "/etc/hostname").inode);
    assert!(world.debugfs("out.img", ROOT, "stat /srv/name").contains("Links: 2 "));
    fs::remove_file(world.path("out.img")).unwrap();
    for (flag, message) in [
        ("/none:/srv/a", "`/none` is not in the guest\n"),
        (
            "/etc/hostname:/etc/cloud/build.info/x",
            "`/etc/cloud/build.info/x`: `/etc/cloud/build.info` is not a directory\n",
        ),
        (
            "/etc:/srv/etc",
            "`/etc` is a directory, which cannot have hard links\nhint: use `link` to make a symlink to it\n",
        ),
        (
            "/etc/hostname:/boot/name",
            "`/etc/hostname` is on partition 1 (ext4 `cloudimg-rootfs`) and `/boot/name` on partition 16 \
             (ext4 `BOOT`): a hard link cannot cross file systems\n\
             hint: use `copy` for a copy of the file, or `link` for a symlink to it\n",
        ),
        (
            "/boot/efi/EFI/BOOT/BOOTX64.EFI:/boot/efi/a",
            "`/boot/efi/a` is on a FAT file system, which has no hard links\n",
        ),
    ] {
        world.refuses(&format!("build --base base.img -o x.img --hardlink {flag}"), &format!("error: {message}"));
    }
    let run = world.run("build --base base.img -o x.img --hardlink /etc/hostname");
    assert!(run.stderr.contains("expected TARGET:LINK, such as `/usr/bin/vim:/usr/local/bin/vi`"), "{}", run.stderr);
    assert_eq!(run.code, Some(2));
}

#[test]
fn modes_and_owners_are_those_that_were_asked_for() {
    let world = World::new();
    let flags = [
        "--chmod",
        "04711:/usr/bin/cat",
        "--chown",
        "0:0:/usr/bin/sudo",
        "--chown",
        "www-data:www-data:/usr/bin/ping",
        "--chmod",
        "0700:/opt/outside",
    ];
    build(&world, &flags);
    assert_eq!(world.stat("out.img", ROOT, "/usr/bin/cat").mode, "04711");
    // As the kernel does it: a new owner takes away what was granted to who runs the program.
    assert_eq!(world.stat("out.img", ROOT, "/usr/bin/sudo").mode, "0755");
    let ping = world.debugfs("out.img", ROOT, "stat /usr/bin/ping");
    assert!(ping.contains("User:    33") && !ping.contains("security.capability"), "{ping}");
    assert_eq!(world.stat("out.img", ROOT, "/etc").mode, "0700");
    // The time of the content is as it was.
    assert_eq!(world.stat("out.img", ROOT, "/usr/bin/cat").modified, FIXTURE_TIME as u32);
    let run = world.run_words(BUILD, &["--chmod", "755:/srv"]);
    assert!(run.stderr.contains("a mode is octal and begins with 0: write `0755`"), "{}", run.stderr);
    assert_eq!(run.code, Some(2));
    world.refuses(
        "build --base base.img -o x.img --chown nobody:nobody:/srv",
        "error: the guest has no group `nobody`: it is not in its `/etc/group`\nhint: a number is taken as it is\n",
    );
    world.refuses("build --base base.img -o x.img --chmod 0600:/none", "error: `/none` is not in the guest\n");
}

#[test]
fn a_tree_is_copied_with_all_that_is_known_of_it() {
    let world = World::new();
    build(
        &world,
        &[
            "--copy",
            "/usr/bin:/srv/",
            "--copy",
            "/usr/share/doc:/opt/doc",
            "--copy",
            "/dev/null:/srv/null",
            "--copy",
            "/var/lib/sparse.img:/srv",
        ],
    );
    for program in ["bash", "sudo", "python3"] {
        let (before, after) = (format!("/usr/bin/{program}"), format!("/srv/bin/{program}"));
        let (old, new) = (world.stat("base.img", ROOT, &before), world.stat("out.img", ROOT, &after));
        assert_eq!((old.mode, old.owner, old.modified), (new.mode, new.owner, new.modified), "{program}");
        assert!(world.content("out.img", ROOT, &before) == world.content("out.img", ROOT, &after));
    }
    let one = world.stat("out.img", ROOT, "/srv/bin/python3").inode;
    assert_eq!(one, world.stat("out.img", ROOT, "/srv/bin/python3.12").inode);
    assert!(one != world.stat("out.img", ROOT, "/usr/bin/python3.12").inode);
    assert!(world.debugfs("out.img", ROOT, "stat /srv/bin/ping").contains("security.capability"));
    assert!(world.debugfs("out.img", ROOT, "stat /srv/bin/sh").contains("Fast link dest: \"dash\""));
    assert!(world.debugfs("out.img", ROOT, "stat /opt/doc/attributes").contains("grafted"));
    assert!(world.debugfs("out.img", ROOT, "stat /srv/null").contains("Type: character special"));
    let blocks = |path: &str| {
        let stat = world.debugfs("out.img", ROOT, &format!("stat {path}"));
        stat.split_once("Blockcount: ").unwrap().1.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert!(
        world.content("out.img", ROOT, "/srv/sparse.img") == world.content("base.img", ROOT, "/var/lib/sparse.img")
    );
    assert!(blocks("/srv/sparse.img") <= blocks("/var/lib/sparse.img"));
    world.refuses(
        "build --base base.img -o x.img --copy /usr:/usr/lib/usr",
        "error: `/usr` cannot be copied into itself, to `/usr/lib/usr`\n",
    );
}

#[test]
fn a_move_is_a_rename_or_goes_to_another_file_system() {
    let world = World::new();
    let large = world.content("base.img", ROOT, LARGE_FILE.0);
    let before = world.stat("base.img", ROOT, LARGE_FILE.0).inode;
    let flags = [
        "--move",
        "/usr/lib/large.bin:/usr/bin/cat",
        "--move",
        "/etc/cloud:/boot",
        "--move",
        "/boot/vmlinuz:/boot/efi/old",
        "--move",
        "/boot/config-6.8.0-45-generic:/boot/efi/EFI/",
    ];
    let run = world.run_words(BUILD, &flags);
    assert!(run.stderr.contains("a symlink on a FAT"), "{}", run.stderr);
    let flags = [flags[0], flags[1], flags[2], flags[3], flags[6], flags[7]];
    build(&world, &flags);
    assert_eq!(world.stat("out.img", ROOT, "/usr/bin/cat").inode, before);
    assert!(world.content("out.img", ROOT, "/usr/bin/cat") == large);
    assert!(!is_there(&world, "/usr/lib/large.bin") && !is_there(&world, "/etc/cloud"));
    let build_info = world.content("base.img", ROOT, "/etc/cloud/build.info");
    assert_eq!(world.content("out.img", BOOT, "/cloud/build.info"), build_info);
    let run = world.run("cat out.img /boot/efi/EFI/config-6.8.0-45-generic").succeeds();
    assert_eq!(run.stdout, "CONFIG_EXT4_FS=y\n".repeat(2000));
    for (flag, message) in [
        ("/etc:/etc/cloud/x", "`/etc` cannot be moved into itself, to `/etc/cloud/x`"),
        ("/boot:/srv/", "the guest mounts a file system at `/boot`"),
        ("/etc/hostname:/nowhere/../x", "`/nowhere/../x` is not in the guest"),
        ("/none:/srv", "`/none` is not in the guest"),
    ] {
        world.refuses(&format!("build --base base.img -o x.img --move {flag}"), &format!("error: {message}\n"));
    }
}

#[test]
fn matches_are_replaced_and_a_pattern_that_matches_nothing_is_warned_of() {
    let world = World::new();
    let flags = ["--replace", r"/etc/ssh/sshd_config:^#?(UsePAM) .*:$1 no", "--replace", "/etc/hosts:nothing:x"];
    build(&world, &flags).says(
        "warning: nothing in `/etc/hosts` matches `nothing`: the file stays as it was\n\
         replaced 1 match in /etc/ssh/sshd_config\n\
         replaced 0 matches in /etc/hosts\n\
         built out.img (…)\n",
    );
    let config = world.content("out.img", ROOT, "/etc/ssh/sshd_config");
    assert_eq!(config, b"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM no\n");
    let run = world.run_words(BUILD, &["--replace", "/etc/hosts:(:x"]);
    assert!(run.stderr.contains("invalid regular expression: unclosed group"), "{}", run.stderr);
}

#[test]
fn files_are_emptied_and_scrubbed() {
    let world = World::new();
    world.file("secret", noise(99, 300_000));
    let flags = [
        "--truncate",
        "/var/log/dpkg.log",
        "--truncate-recursive",
        "/usr/share/doc",
        "--touch",
        "/srv/new",
        "--touch",
        "/etc/hosts",
    ];
    build(&world, &flags).says(
        "emptied /var/log/dpkg.log\n\
         emptied 2 files below /usr/share/doc\n\
         touched /srv/new\n\
         touched /etc/hosts\n\
         built out.img (…)\n",
    );
    assert_eq!(world.content("out.img", ROOT, "/var/log/dpkg.log"), b"");
    assert_eq!(world.content("out.img", ROOT, "/srv/new"), b"");
    let text = world.debugfs("out.img", ROOT, "stat /usr/share/doc/attributes");
    assert!(text.contains("Size: 0") && text.contains("grafted"), "{text}");

    // Of a file that was scrubbed nothing is left on the disk; of one that was removed all is.
    let is_on_disk = |image: &str| {
        testkit::partition::extract_partition(&world.path(image), ROOT, &world.path("disk"));
        let disk = fs::read(world.path("disk")).unwrap();
        let piece = &noise(99, 300_000)[4096 * 3..][..4096];
        disk.chunks(4096).any(|block| block == piece)
    };
    world.run("build --base base.img -o one.img --put secret:/srv/secret").succeeds();
    world.run("build --base one.img -o two.img --remove /srv/secret").succeeds();
    world.run("build --base one.img -o three.img --scrub /srv/secret").succeeds();
    assert_sound(&world.path("three.img"));
    assert_eq!(["one.img", "two.img", "three.img"].map(is_on_disk), [true, true, false]);
    world.refuses(
        "build --base base.img -o x.img --scrub /usr/bin/python3",
        "error: `/usr/bin/python3` has 2 names, and the others would keep its content\n\
         hint: `remove` the others first\n",
    );
}

#[test]
fn an_archive_is_unpacked_as_tar_would() {
    let world = World::empty();
    world.file("tree/etc/new.conf", "new\n").mode("tree/etc/new.conf", 0o640);
    world.file("tree/opt/large", noise(5, 3_000_000)).file("tree/bin/tool", "tool\n");
    let long = format!("tree/opt/{}/{}", "d".repeat(120), "f".repeat(120));
    world.file(&long, "long\n").modified("tree/opt/large", 1_234_567_890);
    symlink("../etc/new.conf", world.path("tree/opt/link")).unwrap();
    fs::hard_link(world.path("tree/opt/large"), world.path("tree/opt/same")).unwrap();
    judge("mkfifo").arg(world.path("tree/opt/fifo")).succeed();
    symlink(testkit::fixture::small_cloud_image(&Options::default()), world.path("base.img")).unwrap();
    for format in ["gnu", "pax", "ustar"] {
        let tar = judge("tar").args(["--format", format, "--owner=ada:1234", "--group=x:5678", "--sort=name", "-cf"]);
        let exclude = if format == "ustar" { "--exclude=ddd*" } else { "--exclude=nothing" };
        tar.arg(world.path("a.tar")).arg(exclude).arg("-C").arg(world.path("tree")).arg(".").succeed();
        build(&world, &["--tar", "a.tar:/"]);
        let conf = world.stat("out.img", ROOT, "/etc/new.conf");
        assert_eq!((conf.mode.as_str(), conf.owner), ("0640", (1234, 5678)), "{format}");
        // Through the guest's symlink `/bin`, which stays one; and directories that were there are as they were.
        assert_eq!(world.content("out.img", ROOT, "/usr/bin/tool"), b"tool\n");
        assert_eq!(world.stat("out.img", ROOT, "/etc"), world.stat("base.img", ROOT, "/etc"));
        let large = world.stat("out.img", ROOT, "/opt/large");
        assert_eq!((large.modified, large.inode), (1_234_567_890, world.stat("out.img", ROOT, "/opt/same").inode));
        assert!(world.content("out.img", ROOT, "/opt/large") == noise(5, 3_000_000), "{format}");
        assert!(world.debugfs("out.img", ROOT, "stat /opt/link").contains("../etc/new.conf"));
        assert!(world.debugfs("out.img", ROOT, "stat /opt/fifo").contains("Type: FIFO"));
        if format != "ustar" {
            assert_eq!(world.content("out.img", ROOT, &long["tree".len()..]), b"long\n", "{format}");
        }
    }
}

/// Records of pax were split at newlines, fractions of times before 1970 were added instead of taken away, and a
/// directory behind its files in the archive did not get its mode.
#[test]
fn what_pax_says_is_taken_by_its_length_and_a_directory_behind_its_files_gets_its_mode() {
    let world = World::empty();
    symlink(testkit::fixture::small_cloud_image(&Options::default()), world.path("base.img")).unwrap();
    let name = format!("late/{}\n20 path=/etc/evil\n", "n".repeat(120));
    world.file(&name, "x\n").mode("late", 0o751);
    let tar = judge("tar").args(["--format=pax", "--xattrs", "--owner=7", "--group=8", "--mtime=@-1.5"]);
    let tar = tar.arg("--pax-option=comment=a\nb=c\n12 mode=0777").arg("--no-recursion").arg("-cf");
    tar.arg(world.path("a.tar")).arg("-C").arg(world.path(".")).arg(&name).arg("late").succeed();
    build(&world, &["--tar", "a.tar:/srv"]);
    // The name is a folder, whose own name ends in a newline, and so on: all of them are where they were.
    let long = "n".repeat(120);
    let first = world.debugfs("out.img", ROOT, "ls -p /srv/late");
    assert!(first.contains(&format!("/{long}\n20 path=//")), "{first}");
    assert!(!world.debugfs("out.img", ROOT, "ls -p /etc").contains("evil"));
    let late = world.stat("out.img", ROOT, "/srv/late");
    assert_eq!((late.mode.as_str(), late.owner), ("0751", (7, 8)));
    // -2 s and 500,000,000 ns, which stand above the two bits of the epoch.
    let stat = world.debugfs("out.img", ROOT, "stat /srv/late");
    assert!(stat.contains("mtime: 0xfffffffe:77359400"), "{stat}");
}

/// The EFI system partition has neither modes nor owners; GNU's archives have times before 1970 in base 256.
#[test]
fn directories_behind_their_files_are_unpacked_on_a_fat_and_old_times_are_kept() {
    let world = World::empty();
    symlink(testkit::fixture::small_cloud_image(&Options::default()), world.path("base.img")).unwrap();
    world.file("EFI/tools/shell", "x\n");
    let tar = judge("tar").args(["--format=gnu", "--mtime=@-2", "--no-recursion", "-cf"]).arg(world.path("a.tar"));
    tar.arg("-C").arg(world.path(".")).args(["EFI/tools/shell", "EFI/tools"]).succeed();
    build(&world, &["--tar", "a.tar:/boot/efi", "--tar", "a.tar:/srv"]);
    world.run("cat out.img /boot/efi/EFI/tools/shell").succeeds().prints("x\n");
    let stat = world.debugfs("out.img", ROOT, "stat /srv/EFI/tools/shell");
    assert!(stat.contains("mtime: 0xfffffffe:00000000"), "{stat}");
}

/// Each header of an archive was bounded, and not all that are about one file.
#[test]
fn an_archive_that_says_much_of_one_file_in_many_headers_is_refused() {
    let world = World::empty();
    symlink(testkit::fixture::small_cloud_image(&Options::default()), world.path("base.img")).unwrap();
    let program = "import sys, tarfile\n\
        block = lambda n: tarfile.TarInfo._create_pax_generic_header({'comment': 'x' * n}, tarfile.XHDTYPE, 'utf-8')\n\
        end = tarfile.TarInfo('f').tobuf(tarfile.USTAR_FORMAT) + bytes(1024)\n\
        open(sys.argv[1], 'wb').write(block(1000000) * int(sys.argv[2]) + end)\n";
    for (headers, code) in [("1", 0), ("2", 2)] {
        judge("python3").args(["-c", program]).arg(world.path("a.tar")).arg(headers).succeed();
        let run = world.run("build --base base.img -o out.img --tar a.tar:/srv");
        assert_eq!(run.code, Some(code), "{headers}: {}", run.stderr);
        let says = |part: &str| run.stderr.contains(part);
        let is_refused = says("the headers of one file take ") && says(" bytes, more than 1 MiB");
        assert!(code == 0 || is_refused, "{}", run.stderr);
    }
}

#[test]
fn what_is_no_archive_or_not_to_be_unpacked_is_named() {
    let world = World::new();
    world.file("text", "hello\n".repeat(1000)).file("tree/a", noise(1, 100_000)).file("up/x", "x");
    let tar = |arguments: &[&str]| judge("tar").args(arguments).arg("-C").arg(world.path("tree")).arg("a").succeed();
    tar(&["-czf", world.path("a.tgz").to_str().unwrap()]);
    tar(&["--transform=s,^,../,", "-P", "-cf", world.path("up.tar").to_str().unwrap()]);
    tar(&["-cf", world.path("cut.tar").to_str().unwrap()]);
    let cut = fs::read(world.path("cut.tar")).unwrap();
    fs::write(world.path("cut.tar"), &cut[..50_000]).unwrap();
    tar(&["-cf", world.path("kind.tar").to_str().unwrap()]);
    for (name, start) in [
        ("text", "error: cannot unpack `text`: "),
        ("a.tgz", "error: `a.tgz` is compressed with gzip\nhint: run `gunzip a.tgz` first\n"),
        ("up.tar", "error: `../a` in the archive is outside the directory to unpack in\n"),
        ("cut.tar", "error: cannot unpack `cut.tar`: a file ends at byte 100512, and the archive at byte 50000\n"),
        ("tree", "error: `tree` is a directory: only files, directories and symlinks can be put\n"),
    ] {
        let run = world.run(&format!("build --base base.img -o x.img --tar {name}:/srv"));
        assert!(run.stderr.starts_with(start), "{name}: {}", run.stderr);
        assert_eq!(run.code, Some(2));
    }
    let run = world.run("build --base base.img -o x.img --tar kind.tar:/usr/bin/bash");
    assert_eq!(run.stderr, "error: `/usr/bin/bash` is not a directory\n");
    assert!(!world.names().contains(&"x.img".to_owned()));
}

#[test]
fn who_owns_a_file_on_the_host_owns_it_in_the_guest_only_where_that_is_asked_for() {
    let world = World::new();
    world.file("app", "app\n");
    if testkit::is_root() {
        std::os::unix::fs::chown(world.path("app"), Some(1234), Some(5678)).unwrap();
    }
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(world.path("app")).unwrap());
    build(&world, &["--put", "app:/srv/a", "--keep-owner", "--put", "app:/srv/b:0600:33:33"]);
    assert_eq!(world.stat("out.img", ROOT, "/srv/a").owner.0, owner);
    assert_eq!(world.stat("out.img", ROOT, "/srv/b").owner, (33, 33));
    build(&world, &["--put", "app:/srv/a"]);
    assert_eq!(world.stat("out.img", ROOT, "/srv/a").owner, (0, 0));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_the_room_and_writes_nothing() {
    let world = World::with_copy(&Options::default());
    world.file("app", noise(1, 1_500_000));
    let before = world.contents();
    let flags = "customize my.img --dry-run --put app:/opt/a/app --write /boot/x:hello";
    let run = world.run(flags).succeeds().says("");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        ["made /opt/a/ (0755 0:0)", "put app at /opt/a/app (0644 0:0, 1.4 MiB)", "wrote /boot/x (0644 0:0, 5 B)"]
    );
    assert!(lines[3].starts_with("partition 1 (ext4 `cloudimg-rootfs`) needs 1.4 MiB of "), "{}", lines[3]);
    assert!(lines[3].contains(" that are free, and 2 of ") && lines[3].ends_with(" inodes"), "{}", lines[3]);
    assert!(lines[4].starts_with("partition 16 (ext4 `BOOT`) needs 4.0 KiB of "), "{}", lines[4]);
    assert_eq!(lines[5..], ["this was a dry run: nothing was written"]);
    let run = world.run(&format!("{flags} --json")).succeeds();
    for part in ["\"dry_run\": true", "\"verb\": \"write\"", "\"needed_inodes\": 2", "\"available_bytes\": "] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    // A build needs no name for what is not made.
    world.run("build --base my.img --dry-run --remove /etc/hostname").succeeds();
    let run = world.run("build --base my.img --dry-run --chmod 0644:/none");
    assert_eq!((run.code, run.stderr.as_str()), (Some(2), "error: `/none` is not in the guest\n"));
    assert!(before == world.contents());
}

#[test]
fn one_change_that_cannot_be_is_none_of_them() {
    let world = World::with_copy(&Options::default());
    for (flag, cause) in [
        ("--chmod 0644:/none", "`/none` is not in the guest"),
        ("--user root", "the guest already has a user `root`"),
        (
            "--timezone Mars/Base",
            "the guest has no time zone `Mars/Base`: there is no file `/usr/share/zoneinfo/Mars/Base`",
        ),
        ("--replace /etc/none:a:b", "`/etc/none` is not in the guest"),
        ("--truncate /etc", "`/etc` is a directory"),
        ("--tar none:/", "`none` cannot be read"),
    ] {
        let before = world.contents();
        let run = world.run(&format!("customize my.img --write /srv/a:x --remove /opt {flag}"));
        assert_eq!(run.code, Some(2), "{flag}");
        let start = format!("error: `my.img` was not changed\n  cause: {cause}\n");
        assert!(run.stderr.starts_with(&start), "{flag}: {}", run.stderr);
        assert!(before == world.contents(), "{flag}");
    }
}

#[test]
fn no_space_for_what_is_copied_or_unpacked_is_said_as_for_what_is_put() {
    let world = World::new();
    let mut flags = Vec::new();
    for number in 0..20 {
        flags.extend(["--copy".to_owned(), format!("/usr/lib/large.bin:/srv/{number}")]);
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let run = world.run_words(BUILD, &flags);
    assert!(run.stderr.starts_with("error: no space left in the guest: partition 1 (ext4 `cloudimg-rootfs`) needs "));
    let end =
        "hint: `--size` makes room in the root, such as `--size +2G`\nfor more, run `imgraft explain guest-full`\n";
    assert!(run.stderr.ends_with(end), "{}", run.stderr);
    assert_eq!(run.code, Some(2));
}

#[test]
fn a_guest_that_enforces_selinux_is_told_of_files_without_labels() {
    let world = World::new();
    let enforcing = ["--write", "/etc/selinux/config:SELINUX=enforcing\n"];
    let warning = "warning: the guest enforces SELinux and new files have no labels (its SELinux was set up just now): `relabel` has \
                   them labelled at the first boot\n";
    let run = build(&world, &enforcing);
    assert!(run.stderr.starts_with(warning), "{}", run.stderr);
    let run = build(&world, &[&enforcing[..], &["--relabel"]].concat());
    assert!(!run.stderr.contains("SELinux and"), "{}", run.stderr);
    assert_eq!(world.content("out.img", ROOT, "/.autorelabel"), b"");
}

#[test]
fn the_same_changes_give_the_same_bytes() {
    let world = World::new();
    let flags = [
        "--write",
        "/srv/a:x",
        "--user",
        "ada",
        "--password",
        "root:password:secret",
        "--first-boot-command",
        "true",
        "--copy",
        "/usr/share/many:/srv/",
        "--remove",
        "/usr/share/many",
    ];
    let build = |name: &str| {
        let arguments = format!("build --base base.img -o {name}");
        world.run_words(&arguments, &flags).succeeds();
        fs::read(world.path(name)).unwrap()
    };
    assert!(build("one.img") == build("two.img"));
    assert_sound(&world.path("one.img"));
}

/// What the kernel shows of the root before and after, as root.
#[cfg(feature = "full-tests")]
#[test]
fn nothing_but_what_was_asked_for_is_another_for_the_kernel() {
    use testkit::mount::Mount;
    use testkit::partition::{extract_disk, partition_range};
    use testkit::tree::{Tree, walk_kernel};

    let world = World::new();
    let tree = |image: &str| -> Tree {
        extract_disk(&world.path(image), &world.path("disk"));
        let mount = Mount::read_only(&world.path("disk"), &partition_range(&world.path(image), ROOT));
        walk_kernel(&mount.path())
    };
    let flags = [
        "--write",
        "/etc/motd:x",
        "--append",
        "/etc/hosts:1 a",
        "--mkdir",
        "/srv/d",
        "--remove",
        "/var/log/dpkg.log",
        "--link",
        "a:/srv/l",
        "--chmod",
        "0600:/etc/fstab",
        "--chown",
        "1:1:/etc/shells",
        "--copy",
        "/usr/bin/cat:/srv/d/",
        "--move",
        "/usr/bin/ls:/usr/bin/dir",
        "--truncate",
        "/etc/timezone",
        "--scrub",
        "/etc/cloud/build.info",
        "--hostname",
        "web",
        "--user",
        "ada:groups=sudo",
        "--password",
        "ada:disabled",
    ];
    build(&world, &flags);
    let (before, after) = (tree("base.img"), tree("out.img"));
    let paths: std::collections::BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
    let changed: Vec<String> = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    let expected = [
        "etc/cloud/build.info",
        "etc/fstab",
        "etc/group",
        "etc/gshadow",
        "etc/hostname",
        "etc/hosts",
        "etc/motd",
        "etc/passwd",
        "etc/shadow",
        "etc/shells",
        "etc/timezone",
        "home",
        "home/ada",
        "srv",
        "srv/d",
        "srv/d/cat",
        "srv/l",
        "usr/bin/dir",
        "usr/bin/ls",
        "var/log/dpkg.log",
    ];
    assert_eq!(changed, expected);
    // These have one directory more in them, and nothing else is another.
    for directory in ["home", "srv"] {
        let (mut old, new) = (before[directory.as_bytes()].clone(), &after[directory.as_bytes()]);
        old.links += 1;
        assert_eq!(&old, new, "{directory}");
    }
}

#[test]
fn what_may_surprise_is_warned_of() {
    let world = World::new();
    world.file("app", "#!/bin/sh\n");
    let build = "build --base base.img -o out.img";
    let run = world.run(&format!("{build} --put app:/usr/local/bin/app")).succeeds();
    let warning = "warning: `/usr/local/bin/app` has no execute bit, so that nobody can run it by its name: give it a \
                   mode such as 0755\n";
    assert!(run.stderr.starts_with(warning), "{}", run.stderr);
    for quiet in [
        "--put app:/usr/local/bin/app:0755",
        "--put app:/usr/local/bin/app --chmod 0755:/usr/local/bin/app",
        "--put app:/usr/local/bin/app --remove /usr/local/bin/app",
        "--put app:/srv/app",
        "--append /etc/hosts:x",
    ] {
        let run = world.run(&format!("{build} {quiet}")).succeeds();
        assert!(!run.stderr.contains("warning"), "{quiet}: {}", run.stderr);
    }
    let run = world.run(&format!("{build} --append /etc/new.conf:x")).succeeds();
    let warning = "warning: `/etc/new.conf` did not exist: `append` made it, with mode 0644 and owner root\n";
    assert!(run.stderr.starts_with(warning), "{}", run.stderr);
}
