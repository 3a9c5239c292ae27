//! `imgraft seed`, and what of `cloud-localds` needs no original beside it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use crate::support::World;
use testkit::judge::{assert_fsck_vfat_clean, assert_qemu_img_check, judge};

fn world() -> World {
    let world = World::empty();
    world.file("user.yaml", "#cloud-config\n").file("other.yaml", "#cloud-config\nhostname: b\n");
    world.file("net.yaml", "version: 2\nethernets:\n  eth0: {dhcp4: true}\n").file("meta.yaml", "instance-id: a\n");
    world
}

#[test]
fn seeds_are_found_by_their_label() {
    let world = world();
    world
        .run("seed iso --user-data user.yaml --network-config net.yaml --hostname web -o seed.iso")
        .succeeds()
        .prints("")
        .says("made `seed.iso`: an ISO 9660 with user-data, meta-data and network-config\n");
    world.run("-q seed vfat --user-data user.yaml --vendor-data user.yaml -o seed.img").succeeds().says("");
    assert_fsck_vfat_clean(&world.path("seed.img"));
    for name in ["seed.iso", "seed.img"] {
        let said = judge("blkid").args(["-p", "-o", "value", "-s", "LABEL"]).arg(world.path(name)).succeed();
        assert_eq!(said.stdout, "cidata\n", "{name}");
    }
    let meta_data = judge("isoinfo").args(["-R", "-x", "/meta-data", "-i"]).arg(world.path("seed.iso")).succeed();
    assert!(meta_data.stdout.contains("\"local-hostname\": \"web\""), "{meta_data}");

    world.run("seed tar --user-data user.yaml --meta-data meta.yaml -o seed.tar").succeeds();
    let listed = judge("tar").arg("-tf").arg(world.path("seed.tar")).succeed();
    assert_eq!(listed.stdout, "user-data\nmeta-data\n");
}

#[test]
fn the_same_content_gives_the_same_bytes_and_another_one_another_instance() {
    let world = world();
    let make = |arguments: &str, epoch: Option<&str>| {
        let variables: Vec<(&str, &str)> = epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)).into_iter().collect();
        world.run_with(&format!("seed {arguments} -o out"), &variables).succeeds();
        fs::read(world.path("out")).unwrap()
    };
    for kind in ["iso", "vfat", "tar"] {
        let one = make(&format!("{kind} --user-data user.yaml"), None);
        world.modified("user.yaml", 1_000_000_000).mode("user.yaml", 0o600);
        assert!(make(&format!("{kind} --user-data user.yaml"), None) == one, "{kind}");
        assert!(make(&format!("{kind} --user-data user.yaml"), Some("315532800")) == one, "{kind}");
        assert!(make(&format!("{kind} --user-data user.yaml"), Some("1700000000")) != one, "{kind}");
        assert!(make(&format!("{kind} --user-data other.yaml"), None) != one, "{kind}");
    }
}

#[test]
fn a_seed_can_come_from_a_pipe_and_go_into_one() {
    let world = world();
    let mut command = world.command("cloud-localds -d qcow2 - -");
    command.stdin(fs::File::open(world.path("user.yaml")).unwrap()).stdout(Stdio::piped());
    fs::write(world.path("seed.qcow2"), command.output().unwrap().stdout).unwrap();
    assert_qemu_img_check(&world.path("seed.qcow2"));

    let mut command = world.command("seed iso --user-data - -o -");
    command.stdin(fs::File::open(world.path("user.yaml")).unwrap()).stdout(Stdio::piped());
    fs::write(world.path("piped.iso"), command.output().unwrap().stdout).unwrap();
    world.run("seed iso --user-data user.yaml -o named.iso").succeeds();
    assert!(fs::read(world.path("piped.iso")).unwrap() == fs::read(world.path("named.iso")).unwrap());
}

#[test]
fn what_has_the_name_keeps_its_mode_or_all_of_itself() {
    let world = world();
    world.file("seed.img", "before").mode("seed.img", 0o640);
    symlink("seed.img", world.path("link")).unwrap();
    // As the original does it: with 1, and not with what `imgraft` ends with.
    let run = world.run("cloud-localds link missing");
    let said = "cloud-localds: cannot read 'missing': no such file or directory\nmissing: failed to copy\n";
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), said));
    assert_eq!(fs::read(world.path("seed.img")).unwrap(), b"before");
    world.run("cloud-localds link user.yaml").succeeds().says("");
    assert!(world.path("link").is_symlink());
    let metadata = fs::metadata(world.path("seed.img")).unwrap();
    assert!(metadata.permissions().mode() & 0o7777 == 0o640 && metadata.len() > 6);
    world.refuses(
        "seed iso --user-data missing -o seed.img",
        "error: `missing` cannot be read\n  cause: no such file or directory\n",
    );
    world.refuses(
        "seed iso --user-data - --vendor-data - -o x",
        "error: standard input is one file and not two\nhint: give `-` once\n",
    );
}

#[test]
fn a_payload_of_any_size_fits() {
    let world = world();
    let file = fs::File::create(world.path("large")).unwrap();
    file.set_len(40 << 20).unwrap();
    world.run("cloud-localds -f vfat seed.img large").succeeds();
    assert_fsck_vfat_clean(&world.path("seed.img"));
    let listed = judge("mdir").args(["-b", "-i"]).arg(world.path("seed.img")).arg("::").succeed();
    assert_eq!(listed.stdout, "::/user-data\n::/meta-data\n");
    file.set_len(4 << 30).unwrap();
    let run = world.run("seed iso --user-data large --meta-data meta.yaml -o seed.iso");
    run.says(
        "error: `seed.iso` was not made\n  cause: making an ISO 9660\n  cause: the file `user-data` is too large for ISO 9660: 4294967296 bytes\n",
    );
}
