//! Errors that need more than a line lead to a text.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::support::World;
use testkit::fixture::Options;
use testkit::judge::judge;

#[test]
fn each_code_has_a_text_and_no_other_has() {
    let world = World::empty();
    let list = world.run("explain").succeeds().says("").stdout;
    let codes: Vec<&str> = list.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        codes,
        [
            "backing-file",
            "damaged",
            "file-system",
            "guest-full",
            "host-full",
            "in-use",
            "limits",
            "no-runner",
            "unverified"
        ]
    );
    for code in codes {
        let text = world.run(&format!("explain {code}")).succeeds().says("").stdout;
        assert!(text.lines().count() > 5, "{code}: {text}");
        let help = world.run("explain --help").succeeds().stdout;
        assert!(help.contains(&format!("- {code}:")), "{code}: {help}");
    }
    let run = world.run("explain in-us");
    assert!(run.code == Some(2) && run.stderr.contains("'in-use'"), "{}", run.stderr);
}

/// What the command line says of each case that can be had without a virtual machine, a publisher or root; those of
/// fetching are in `fetch.rs`, those of commands in the guest in `limits_full.rs`.
#[test]
fn an_error_ends_with_the_code_that_explains_it() {
    let world = World::with_copy(&Options::default());
    let ends = |line: &str, code: &str| {
        let run = world.run(line);
        assert_eq!(run.code, Some(2), "{line}");
        assert!(run.stderr.ends_with(&format!("\nfor more, run `imgraft explain {code}`\n")), "{line}: {}", run.stderr);
    };
    let make = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"];
    judge("qemu-img").args(make).arg(world.path("my.img")).arg(world.path("thin.img")).succeed();
    ends("ls thin.img", "backing-file");
    let huge = File::create(world.path("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    ends("customize my.img --put huge:/srv/huge", "guest-full");
    // The magic number of an f2fs.
    let volume = File::create(world.path("volume.img")).unwrap();
    volume.set_len(1 << 20).unwrap();
    volume.write_all_at(&[0x10, 0x20, 0xf5, 0xf2], 1024).unwrap();
    ends("ls volume.img", "file-system");
    // The root can be read, and that is all.
    fs::create_dir_all(world.path("tree/etc")).unwrap();
    world.file("tree/etc/os-release", "ID=fedora\n");
    world.file("app", "1");
    File::create(world.path("btrfs.img")).unwrap().set_len(128 << 20).unwrap();
    judge("mkfs.btrfs").args(["-q", "--rootdir"]).arg(world.path("tree")).arg(world.path("btrfs.img")).succeed();
    world.run("cat btrfs.img /etc/os-release").prints("ID=fedora\n");
    ends("build --base btrfs.img --put app:/srv/app -o out.img", "file-system");
    let cut = World::with_copy(&Options::default());
    let file = File::options().write(true).open(cut.path("my.img")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let run = cut.run("ls my.img");
    assert!(run.stderr.ends_with("\nfor more, run `imgraft explain damaged`\n"), "{}", run.stderr);
    // A command that fails by itself has told why.
    let run = world.run("ls my.img /nope");
    assert!(!run.stderr.contains("explain"), "{}", run.stderr);
}
