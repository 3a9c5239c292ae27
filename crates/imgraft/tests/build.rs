//! `imgraft build`: what a new image has in it.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use crate::support::{BOOT, ESP, ROOT, World, assert_sound, noise};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;
use testkit::partition::extract_partition;

#[test]
fn a_file_is_put_where_it_was_asked_for_and_every_judge_is_content() {
    let world = World::new();
    let content = noise(1, 3_000_001);
    world.file("app", &content).modified("app", 1_600_000_000);
    world.run("build --base base.img --put app:/usr/local/bin/app:0755 -o out.img").succeeds().prints("").says(
        "put app at /usr/local/bin/app (0755 0:0, 2.8 MiB)\n\
         built out.img (…)\n",
    );
    assert_sound(&world.path("out.img"));
    assert!(world.content("out.img", ROOT, "/usr/local/bin/app") == content);
    let stat = world.stat("out.img", ROOT, "/usr/local/bin/app");
    assert_eq!((stat.mode.as_str(), stat.owner, stat.modified), ("0755", (0, 0), 1_600_000_000));
    assert_eq!(fs::metadata(world.path("out.img")).unwrap().permissions().mode() & 0o7777, 0o644);
}

#[test]
fn the_owner_is_root_and_the_mode_the_hosts_unless_asked() {
    let world = World::new();
    world.file("tool", "#!/bin/sh\n").mode("tool", 0o4750);
    world.file("conf", "x\n");
    let puts = "--put tool:/usr/bin/tool --put conf:/etc/conf:0640:root:syslog --put conf:/etc/conf2::33:1234";
    world.run(&format!("build --base base.img {puts} -o out.img")).succeeds();
    assert_sound(&world.path("out.img"));
    let mode_and_owner = |path| {
        let stat = world.stat("out.img", ROOT, path);
        (stat.mode, stat.owner)
    };
    assert_eq!(mode_and_owner("/usr/bin/tool"), ("04750".to_owned(), (0, 0)));
    assert_eq!(mode_and_owner("/etc/conf"), ("0640".to_owned(), (0, 110)));
    assert_eq!(mode_and_owner("/etc/conf2"), ("0644".to_owned(), (33, 1234)));
}

#[test]
fn files_reach_boot_and_the_esp_by_the_guests_fstab() {
    let world = World::new();
    world.file("kernel", noise(2, 500_000)).file("loader.efi", noise(3, 100_000));
    let puts = "--put kernel:/boot/vmlinuz-new --put loader.efi:/boot/efi/EFI/new/loader.efi";
    world.run(&format!("build --base base.img {puts} -o out.img")).succeeds().says(
        "put kernel at /boot/vmlinuz-new (0644 0:0, 488.2 KiB)\n\
         made /boot/efi/EFI/new/ (0755 0:0)\n\
         put loader.efi at /boot/efi/EFI/new/loader.efi (0644 0:0, 97.6 KiB)\n\
         built out.img (…)\n",
    );
    assert_sound(&world.path("out.img"));
    assert!(world.content("out.img", BOOT, "/vmlinuz-new") == noise(2, 500_000));
    let esp = world.path("esp");
    extract_partition(&world.path("out.img"), ESP, &esp);
    let copied = judge("mtype").arg("-i").arg(&esp).arg("::EFI/new/loader.efi").succeed().stdout_bytes;
    assert!(copied == noise(3, 100_000));
}

#[test]
fn a_directory_goes_in_whole() {
    let world = World::new();
    world.file("site/index.html", "<p>\n").file("site/deep/er/leaf", "leaf\n").mode("site/deep/er/leaf", 0o600);
    world.mode("site", 0o755).mode("site/deep", 0o750).mode("site/deep/er", 0o755);
    symlink("/etc/passwd", world.path("site/absolute")).unwrap();
    symlink("deep/er", world.path("site/relative")).unwrap();
    world.run("build --base base.img --put site:/srv/www -o out.img").succeeds().says(
        "put site at /srv/www (0:0, 2 files, 3 directories, 2 symlinks, 9 B)\n\
         built out.img (…)\n",
    );
    assert_sound(&world.path("out.img"));
    let listing = world.run("ls -R out.img /srv/www").succeeds().stdout;
    let lines: Vec<String> = listing
        .lines()
        .map(|line| match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            [mode, _, user, group, size, _, _, ref name @ ..] => {
                format!("{mode} {user}:{group} {size} {}", name.join(" "))
            }
            _ => line.to_owned(),
        })
        .collect();
    assert_eq!(
        lines,
        [
            "/srv/www:",
            "lrwxrwxrwx root:root 11 absolute -> /etc/passwd",
            "drwxr-x--- root:root 4096 deep",
            "-rw-r--r-- root:root 4 index.html",
            "lrwxrwxrwx root:root 7 relative -> deep/er",
            "",
            "/srv/www/deep:",
            "drwxr-xr-x root:root 4096 er",
            "",
            "/srv/www/deep/er:",
            "-rw------- root:root 5 leaf",
        ]
    );
}

#[test]
fn a_directory_is_merged_into_one_that_is_there_whose_own_mode_stays() {
    let world = World::new();
    world.file("over/hostname", "grafted\n").file("over/new", "new\n").mode("over", 0o700);
    world.run("build --base base.img --put over:/etc -o out.img").succeeds();
    assert_sound(&world.path("out.img"));
    assert_eq!(world.content("out.img", ROOT, "/etc/hostname"), b"grafted\n");
    assert_eq!(world.content("out.img", ROOT, "/etc/new"), b"new\n");
    assert_eq!(world.content("out.img", ROOT, "/etc/timezone"), b"Etc/UTC\n");
    let (before, after) = (world.stat("base.img", ROOT, "/etc"), world.stat("out.img", ROOT, "/etc"));
    assert_eq!(before, after);
}

#[test]
fn a_whole_root_is_grafted_over_the_guests() {
    let world = World::new();
    world.file("rootfs/bin/tool", "tool\n").file("rootfs/etc/tool.conf", "conf\n").file("rootfs/new", "new\n");
    world.file("rootfs/boot/efi/EFI/UBUNTU/GRUB.CFG", "grub\n").file("rootfs/boot/config", "config\n");
    world.run("build --base base.img --put rootfs:/ -o out.img").succeeds().says(
        "warning: `/usr/bin/tool` has no execute bit, so that nobody can run it by its name: give it a mode such as 0755\n\
         put rootfs at / (0:0, 5 files, 26 B)\n\
         built out.img (…)\n",
    );
    assert_sound(&world.path("out.img"));
    // `/bin` is a symlink of the guest, and stays one.
    assert_eq!(world.content("out.img", ROOT, "/usr/bin/tool"), b"tool\n");
    assert_eq!(world.content("out.img", BOOT, "/config"), b"config\n");
    world.run("cat out.img /boot/efi/EFI/ubuntu/grub.cfg /new").succeeds().prints("grub\nnew\n");
}

#[test]
fn a_mode_for_a_tree_lets_directories_be_entered() {
    let world = World::new();
    world.file("site/a", "a\n").mode("site/a", 0o700).mode("site", 0o700);
    world.run("build --base base.img --put site:/srv/www:0644:www-data:www-data -o out.img").succeeds();
    let directory = world.stat("out.img", ROOT, "/srv/www");
    let file = world.stat("out.img", ROOT, "/srv/www/a");
    assert_eq!((directory.mode.as_str(), directory.owner), ("0755", (33, 33)));
    assert_eq!((file.mode.as_str(), file.owner), ("0644", (33, 33)));
}

#[test]
fn a_slash_or_an_existing_directory_means_into_and_missing_ones_are_made() {
    let world = World::new();
    world.file("app", "app\n").file("tree/a", "a\n");
    let puts = "--put app:/usr/local/bin --put app:/opt/new/er/ --put tree:/srv/ --put app:/bin --put app:/opt/x/y";
    world.run(&format!("build --base base.img {puts} -o out.img")).succeeds().says(
        "warning: `/usr/local/bin/app` and one more have no execute bit, so that nobody can run it by its name: give it a mode such as 0755\n\
         put app at /usr/local/bin/app (0644 0:0, 4 B)\n\
         made /opt/new/ (0755 0:0)\n\
         made /opt/new/er/ (0755 0:0)\n\
         put app at /opt/new/er/app (0644 0:0, 4 B)\n\
         put tree at /srv/tree (0:0, 1 file, 1 directory, 2 B)\n\
         put app at /usr/bin/app (0644 0:0, 4 B)\n\
         made /opt/x/ (0755 0:0)\n\
         put app at /opt/x/y (0644 0:0, 4 B)\n\
         built out.img (…)\n",
    );
    assert_sound(&world.path("out.img"));
    let made = world.stat("out.img", ROOT, "/opt/new");
    assert_eq!((made.mode.as_str(), made.owner), ("0755", (0, 0)));
}

#[test]
fn later_puts_see_what_earlier_ones_made() {
    let world = World::new();
    world.file("a", "a\n").file("b", "bb\n").file("tree/sub/keep", "k\n");
    symlink("sub", world.path("tree/link")).unwrap();
    let puts = "--put tree:/opt/t --put a:/opt/t/link/a --put b:/opt/t/sub/a --put b:/opt/t/link";
    world.run(&format!("build --base base.img {puts} -o out.img")).succeeds().says(
        "put tree at /opt/t (0:0, 1 file, 2 directories, 1 symlink, 2 B)\n\
         put a at /opt/t/sub/a (0644 0:0, 2 B)\n\
         put b at /opt/t/sub/a (0644 0:0, 3 B), in place of the old one\n\
         put b at /opt/t/sub/b (0644 0:0, 3 B)\n\
         built out.img (…)\n",
    );
    assert_sound(&world.path("out.img"));
    assert_eq!(world.content("out.img", ROOT, "/opt/t/sub/a"), b"bb\n");
}

#[test]
fn a_file_that_is_replaced_is_a_new_one_and_its_other_names_keep_the_old() {
    let world = World::new();
    world.file("python", "#!/bin/sh\n").file("zone", "TZ\n");
    let old = world.content("base.img", ROOT, "/usr/bin/python3.12");
    let puts = "--put python:/usr/bin/python3 --put zone:/etc/localtime";
    world.run(&format!("build --base base.img {puts} -o out.img")).succeeds().says(
        "warning: `/usr/bin/python3` has no execute bit, so that nobody can run it by its name: give it a mode such as 0755\n\
         put python at /usr/bin/python3 (0644 0:0, 10 B), in place of the old one\n\
         put zone at /etc/localtime (0644 0:0, 3 B), in place of the old one\n\
         built out.img (…)\n",
    );
    assert_sound(&world.path("out.img"));
    assert_eq!(world.content("out.img", ROOT, "/usr/bin/python3"), b"#!/bin/sh\n");
    assert!(world.content("out.img", ROOT, "/usr/bin/python3.12") == old);
    assert_eq!(world.content("out.img", ROOT, "/etc/localtime"), b"TZ\n");
}

#[test]
fn an_absolute_symlink_of_the_guest_leads_into_the_guest() {
    let world = World::new();
    let name = format!("imgraft-test-{}", std::process::id());
    world.file(&name, "inside\n");
    let puts = format!("--put {name}:/opt/outside --put {name}:/opt/upwards/{name}-2");
    world.run(&format!("build --base base.img {puts} -o out.img")).succeeds().says(&format!(
        "put {name} at /etc/{name} (0644 0:0, 7 B)\n\
         put {name} at /etc/{name}-2 (0644 0:0, 7 B)\n\
         built out.img (…)\n"
    ));
    assert_eq!(world.content("out.img", ROOT, &format!("/etc/{name}")), b"inside\n");
    assert!(!fs::exists(format!("/etc/{name}")).unwrap() && !fs::exists(format!("/etc/{name}-2")).unwrap());
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let world = World::new();
    world.file("app", noise(7, 2_000_000)).file("tree/a", "a\n").file("tree/b/c", "c\n");
    for name in ["app", "tree/a", "tree/b/c", "tree/b", "tree"] {
        world.modified(name, 1_600_000_000);
    }
    let arguments = "build --base base.img --put app:/usr/bin/ --put tree:/srv/tree --put app:/boot/efi/app -o";
    world.run(&format!("{arguments} one.img")).succeeds();
    let taskset = judge("taskset").args(["-c", "0", env!("CARGO_BIN_EXE_imgraft")]);
    let on_one_core = arguments.replace("base.img", world.path("base.img").to_str().unwrap());
    let absolute = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let on_one_core = on_one_core
        .split(' ')
        .map(|word| match word.split_once(":/") {
            Some((source, destination)) => format!("{}:/{destination}", absolute(source)),
            None => word.to_owned(),
        })
        .chain([absolute("two.img")]);
    taskset.args(on_one_core).succeed();
    assert!(fs::read(world.path("one.img")).unwrap() == fs::read(world.path("two.img")).unwrap());
}

#[test]
fn source_date_epoch_is_the_time_of_everything_new() {
    let world = World::new();
    world.file("tree/a", "a\n");
    let build = |output: &str, modified| {
        world.modified("tree/a", modified).modified("tree", modified);
        let arguments = format!("build --base base.img --put tree:/opt/new/tree -o {output}");
        world.run_with(&arguments, &[("SOURCE_DATE_EPOCH", "1234567890")]).succeeds();
    };
    build("one.img", 1_500_000_000);
    build("two.img", 1_600_000_000);
    assert!(fs::read(world.path("one.img")).unwrap() == fs::read(world.path("two.img")).unwrap());
    for path in ["/opt/new", "/opt/new/tree", "/opt/new/tree/a"] {
        assert_eq!(world.stat("one.img", ROOT, path).modified, 1_234_567_890, "{path}");
    }
    assert_eq!(world.stat("one.img", ROOT, "/opt"), world.stat("base.img", ROOT, "/opt"));
}

#[test]
fn new_clusters_are_compressed_unless_asked() {
    let world = World::new();
    world.file("text", "compress me\n".repeat(100_000));
    let clusters = |compress: &str| -> (u64, u64) {
        let run = world.run(&format!("build --base base.img --put text:/srv/ -o out.img --json {compress}")).succeeds();
        let number = |name: &str| -> u64 {
            let rest = run.stdout.split_once(&format!("\"{name}\": ")).unwrap().1;
            rest.split([',', '\n']).next().unwrap().parse().unwrap()
        };
        assert_sound(&world.path("out.img"));
        (number("compressed"), number("plain"))
    };
    let (compressed, plain) = clusters("");
    assert!(compressed > 0 && plain == 0, "{compressed} {plain}");
    let (compressed, plain) = clusters("--compress none");
    assert!(compressed == 0 && plain > 0, "{compressed} {plain}");
    clusters("--compress 1");
}

#[test]
fn every_kind_of_base_is_built_upon() {
    let qcow2 = |compat, cluster_size_bytes, compression_type, compressed| Format::Qcow2 {
        compat,
        cluster_size_bytes,
        compression_type,
        compressed,
    };
    for (format, features) in [
        (qcow2("0.10", 64 << 10, "zlib", true), testkit::fixture::NOBLE_FEATURES),
        (qcow2("1.1", 64 << 10, "zstd", true), testkit::fixture::UBUNTU_26_04_FEATURES),
        (qcow2("1.1", 4 << 10, "zlib", false), testkit::fixture::NOBLE_FEATURES),
    ] {
        let options = Options { format, features: features.to_owned(), ..Options::default() };
        let world = World::with_copy(&options);
        world.file("app", noise(13, 2_000_000));
        world.run("build --base my.img --put app:/usr/bin/app --put app:/boot/app -o out.img").succeeds();
        assert_sound(&world.path("out.img"));
        assert!(world.content("out.img", ROOT, "/usr/bin/app") == noise(13, 2_000_000), "{options:?}");
        assert!(world.content("out.img", BOOT, "/app") == noise(13, 2_000_000), "{options:?}");
    }
}

#[test]
fn a_raw_base_gives_a_raw_image() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    world.file("app", "app\n");
    world.run("build --base my.img --put app:/srv/ -o out.img").succeeds();
    assert_sound(&world.path("out.img"));
    assert_eq!(world.content("out.img", ROOT, "/srv/app"), b"app\n");
    let info = judge("qemu-img").arg("info").arg(world.path("out.img")).succeed().stdout;
    assert!(info.contains("file format: raw"), "{info}");
}

#[test]
fn a_disk_without_a_partition_table_is_a_guest_too() {
    let world = World::empty();
    world.file("app", "app\n").file("root/etc/os-release", "ID=alpine\nVERSION_ID=3.20\n").file("root/bin/sh", "x");
    File::create(world.path("my.img")).unwrap().set_len(16 << 20).unwrap();
    let mkfs = judge("mkfs.ext4").args(["-q", "-F", "-O", "^64bit", "-d"]);
    mkfs.arg(world.path("root")).arg(world.path("my.img")).succeed();
    world.run("build --base my.img --put app:/usr/bin/app -o out.img").succeeds();
    testkit::judge::assert_e2fsck_clean(&world.path("out.img"), 0);
    world.run("cat out.img /usr/bin/app").succeeds().prints("app\n");
    let inspect = world.run("inspect out.img").succeeds().stdout;
    assert!(inspect.contains("system       alpine 3.20 (alpine:3.20)\n"), "{inspect}");
    assert!(inspect.contains("\nwhole disk        ext4                /  "), "{inspect}");
    world.run("check out.img").succeeds().says("nothing is wrong with `out.img`: raw, the whole disk (ext4)\n");
}

#[test]
fn an_image_that_is_there_is_replaced_and_a_symlink_to_it_stays() {
    let world = World::new();
    world.file("app", "app\n").file("images/old.img", "old");
    symlink("images/old.img", world.path("out.img")).unwrap();
    world.run("build --base base.img --put app:/srv/ -o out.img").succeeds();
    assert_eq!(fs::read_link(world.path("out.img")).unwrap().to_str(), Some("images/old.img"));
    assert_sound(&world.path("images/old.img"));
    assert_eq!(fs::read_dir(world.path("images")).unwrap().count(), 1);
}

#[test]
fn the_report_is_json_and_quiet_is_quiet() {
    let world = World::new();
    world.file("app", "app\n");
    let run = world.run("build -q --base base.img --put app:/opt/a/app:0755 -o out.img --json").succeeds().says("");
    let report: String = run
        .stdout
        .lines()
        .filter(|line| {
            !["file_size_bytes", "kept", "compressed", "zero", "available"].iter().any(|name| line.contains(name))
        })
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    // The account of each block is looked at elsewhere.
    let (start, rest) = report.split_once("\"changed\": {\n").unwrap();
    let report = format!("{start}{}", &rest[rest.find("\"warnings\"").unwrap()..]);
    assert_eq!(
        report,
        "{\n\"output\": \"out.img\",\n\"base\": \"base.img\",\n\"format\": \"qcow2\",\n\"virtual_size_bytes\": 383778816,\n\"operations\": [\n{\n\
         \"verb\": \"put\",\n\"done\": \"put app at /opt/a/app (0755 0:0, 4 B)\",\n\"source\": \"app\",\n\"destination\": \"/opt/a/app\",\n\"mode\": \"0755\",\n\"uid\": 0,\n\"gid\": 0,\n\
         \"files\": 1,\n\"directories\": 0,\n\"symlinks\": 0,\n\"size_bytes\": 4,\n\"replaced\": 0,\n\"parents\": [\n\
         \"/opt/a\"\n]\n}\n],\n\"room\": [\n{\n\"volume\": \"partition 1 (ext4 `cloudimg-rootfs`)\",\n\
         \"needed_bytes\": 8192,\n\"needed_inodes\": 2,\n}\n],\n\"checked\": [\n\"partition 1 (ext4 `cloudimg-rootfs`)\"\n],\n\
         \"warnings\": [],\n\"clusters\": {\n\"plain\": 0,\n}\n}\n"
    );
}

#[test]
fn what_may_not_be_wanted_is_warned_of() {
    let world = World::new();
    world.file("app", "app\n");
    let puts = "--put app:/var/run/app --put app:/boot/efi/app:0600";
    world.run(&format!("build --base base.img {puts} -o out.img")).succeeds().says(
        "warning: `/run/app` will be hidden at boot: the guest mounts something over `/run`\n\
         warning: `/boot/efi/app` is on a FAT file system, which has no modes: the given one is ignored\n\
         put app at /run/app (0644 0:0, 4 B)\n\
         put app at /boot/efi/app (0600 0:0, 4 B)\n\
         built out.img (…)\n",
    );
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_behind() {
    let world = World::new();
    world.file("app", noise(9, 40_000_000));
    let before = world.names();
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::INT] {
        for milliseconds in [5, 40, 120, 250, 400] {
            let mut child = world.start("build --base base.img --put app:/srv/app -o out.img");
            std::thread::sleep(Duration::from_millis(milliseconds));
            let process = rustix::process::Pid::from_child(&child);
            // It may be through already, which is a moment, too.
            let _ = rustix::process::kill_process(process, signal);
            let is_done = child.wait().unwrap().success();
            if is_done {
                fs::remove_file(world.path("out.img")).unwrap();
            }
            assert_eq!(world.names(), before, "after {milliseconds} ms");
        }
    }
}
