//! `imgraft boot` as far as it gets without QEMU: what it chooses, prints and refuses.

use crate::support;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;

use crate::support::World;
use testkit::fixture::Options;
use testkit::judge::judge;

impl World {
    /// The line that is printed for these arguments.
    fn line(&self, arguments: &str) -> String {
        self.run(&format!("boot --print-command {arguments}")).succeeds().stdout
    }
}

/// The values of an option in a printed line.
fn values<'a>(line: &'a str, option: &str) -> Vec<&'a str> {
    let start = format!("  {option} ");
    line.lines().filter_map(|line| line.strip_prefix(&start)).map(|value| value.trim_end_matches(" \\")).collect()
}

#[test]
fn the_line_has_the_image_as_it_is() {
    let world = World::new();
    judge("qemu-img").args(["convert", "-O", "raw"]).arg(world.path("base.img")).arg(world.path("raw.img")).succeed();
    let convert = |format: &str, options: &str, name: &str| {
        let judge = judge("qemu-img").args(["convert", "-O", format, "-o", options]);
        judge.arg(world.path("raw.img")).arg(world.path(name)).succeed();
    };
    convert("vmdk", "subformat=streamOptimized", "a.vmdk");
    convert("vpc", "subformat=fixed,force_size=on", "a.vhd");
    let folder = world.folder().display();
    for (name, format) in [("base.img", "qcow2"), ("raw.img", "raw"), ("a.vmdk", "vmdk"), ("a.vhd", "vpc")] {
        let line = world.line(name);
        assert!(line.starts_with("qemu-system-x86_64 \\\n"), "{line}");
        let drive = format!("if=virtio,file={folder}/{name},format={format},snapshot=on,cache=unsafe");
        assert_eq!(values(&line, "-drive"), [drive], "{line}");
        assert_eq!(values(&line, "-serial"), ["mon:stdio"]);
        // A socket would be in a folder that is gone.
        assert!(!line.contains("socket"), "{line}");
    }
}

#[test]
fn flags_are_in_the_line() {
    let world = World::new();
    let line = world.line("base.img --cpus 3 --memory 512 --accel tcg --network restricted --forward 0.0.0.0:18080:80");
    assert_eq!((values(&line, "-smp"), values(&line, "-m")), (vec!["3"], vec!["512M"]));
    let netdev = values(&line, "-netdev").remove(0);
    assert!(netdev.starts_with("user,id=net,restrict=on,hostfwd=tcp:0.0.0.0:18080-:80,"), "{netdev}");
    assert!(netdev.contains("-:22"), "{netdev}");
    let line = world.line("base.img --network none");
    assert_eq!((values(&line, "-nic"), values(&line, "-netdev")), (vec!["none"], vec![]));
    let line = world.line("base.img --persist");
    assert!(!line.contains("snapshot"), "{line}");
    let line = world.line("base.img --seed-url http://10.0.2.2:8000/a,b/");
    let serial = "'type=1,serial=ds=nocloud;dsmode=net;s=http://10.0.2.2:8000/a,,b/'";
    assert_eq!(values(&line, "-smbios"), [serial]);
}

#[test]
fn a_firmware_is_found_by_its_descriptor() {
    let world = World::new();
    let (code, variables) = (world.path("code.fd"), world.path("vars.fd"));
    // As docs/interop/firmware.json of QEMU has it.
    let descriptor = format!(
        r#"{{ "description": "", "interface-types": ["uefi"], "features": [], "tags": [],
            "mapping": {{ "device": "flash",
                "executable": {{ "filename": "{}", "format": "raw" }},
                "nvram-template": {{ "filename": "{}", "format": "raw" }} }},
            "targets": [{{ "architecture": "aarch64", "machines": ["virt-*"] }}] }}"#,
        code.display(),
        variables.display()
    );
    world.file("code.fd", "").file("vars.fd", "").file("config/qemu/firmware/00-mine.json", descriptor);
    let config = world.path("config");
    let run =
        world.run_with("boot --print-command base.img --arch arm64", &[("XDG_CONFIG_HOME", config.to_str().unwrap())]);
    let line = run.succeeds().stdout;
    assert!(line.starts_with("qemu-system-aarch64 \\\n  -nodefaults"), "{line}");
    assert!(values(&line, "-machine")[0].starts_with("virt"), "{line}");
    let drives = values(&line, "-drive");
    assert_eq!(drives[0], format!("if=pflash,format=raw,readonly=on,file={}", code.display()));
    assert_eq!(drives[1], format!("if=pflash,format=raw,file={},snapshot=on,cache=unsafe", variables.display()));
}

#[test]
fn what_is_chosen_is_said_with_its_reason() {
    let world = World::new();
    let said =
        world.run("boot --print-command base.img --accel tcg --arch x86_64 --forward 18022:22").succeeds().stderr;
    let expected = "\
guest        x86_64: you say so
accelerator  tcg: you say so
firmware     BIOS: the image has a BIOS boot partition
seed         none; `--user NAME --ssh-key FILE` makes one
image        stays as it is; `--persist` lets the guest change it
ssh          ssh -p 18022 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null USER@localhost
";
    assert_eq!(said, expected);
}

#[test]
fn files_for_a_printed_line_stay_where_the_user_says() {
    let world = World::new();
    let run = world.run("boot --print-command base.img --user ada --keep files");
    assert!(run.stderr.contains("`ada` cannot log in: there is neither a key nor a password"), "{}", run.stderr);
    // Without a folder of the user's, one is made, and it is said where.
    fs::create_dir(world.path("tmp")).unwrap();
    let tmp = world.path("tmp");
    let run = world.run_with("boot --print-command base.img --user ada", &[("TMPDIR", tmp.to_str().unwrap())]);
    let run = run.succeeds();
    let made = fs::read_dir(&tmp).unwrap().next().unwrap().unwrap().path();
    assert!(run.stderr.contains(&format!("files        in `{}`, and stay there", made.display())), "{}", run.stderr);
    let seed = format!("if=virtio,file={},format=raw,readonly=on", made.join("seed.iso").display());
    assert_eq!(values(&run.stdout, "-drive")[1], seed);
    judge("isoinfo").args(["-f", "-i"]).arg(made.join("seed.iso")).succeed();
    let line = world.line("base.img --user ada --direct-kernel --append one=1 --append two --keep files");
    let files = world.path("files");
    assert_eq!(values(&line, "-kernel"), [files.join("vmlinuz").to_str().unwrap()]);
    assert_eq!(values(&line, "-append"), ["'root=LABEL=cloudimg-rootfs ro console=ttyS0 one=1 two'"]);
    let drives = values(&line, "-drive");
    assert_eq!(drives[1], format!("if=virtio,file={},format=raw,readonly=on", files.join("seed.iso").display()));
    // As the guest has them, by debugfs; the seed as isoinfo reads it.
    let kernel = world.content("base.img", support::BOOT, "/vmlinuz-6.8.0-45-generic");
    assert!(fs::read(files.join("vmlinuz")).unwrap() == kernel, "another kernel");
    let user_data =
        judge("isoinfo").args(["-R", "-x", "/user-data", "-i"]).arg(files.join("seed.iso")).succeed().stdout;
    assert!(user_data.starts_with("#cloud-config\n") && user_data.contains("ada"), "{user_data}");
}

#[test]
fn the_line_is_the_same_in_each_folder() {
    let world = World::new();
    world.file("seed.iso", "seed").file("below/here", "");
    symlink("base.img", world.path("link.img")).unwrap();
    let line = world.line("link.img --seed seed.iso --keep .");
    let drives = values(&line, "-drive");
    for (drive, name) in drives.iter().zip(["link.img", "seed.iso"]) {
        let path = world.path(name);
        assert!(drive.contains(&format!("file={},", path.display())), "{drive}");
    }
}

#[test]
fn what_cannot_start_is_refused() {
    let world = World::with_copy(&Options::default());
    judge("gzip").arg("-k").arg(world.path("my.img")).succeed();
    world.refuses(
        "boot my.img.gz",
        "error: `my.img.gz` is compressed with gzip, which QEMU does not read\n\
         hint: `imgraft convert my.img.gz disk.qcow2` makes an image of it that starts\n",
    );
    let backed = world.path("thin.qcow2");
    judge("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "my.img"]).arg(&backed).succeed();
    let run = world.run("boot --print-command thin.qcow2");
    assert_eq!((run.code, run.stderr.contains("--allow-backing")), (Some(2), true), "{}", run.stderr);
    assert!(world.line("thin.qcow2 --allow-backing").contains("format=qcow2"));
    let vmdk = world.path("my.vmdk");
    judge("qemu-img")
        .args(["convert", "-O", "vmdk", "-o", "subformat=streamOptimized"])
        .arg(world.path("my.img"))
        .arg(vmdk)
        .succeed();
    world.refuses(
        "boot my.vmdk --persist",
        "error: `my.vmdk` is a compressed VMDK, which QEMU cannot write to\n\
         hint: start it without `--persist`, or a qcow2 of it: `imgraft convert` makes one\n",
    );
    world.file("text", "no image at all");
    let run = world.run("boot text");
    assert_eq!((run.code, run.stderr.contains("not a disk image")), (Some(2), true), "{}", run.stderr);
}

#[test]
fn wishes_that_do_not_fit_are_refused() {
    let world = World::new();
    world.file("seed.iso", "");
    for (arguments, said) in [
        ("--seed seed.iso --user ada", "a seed that is there and flags that make one"),
        ("--network none --forward 8080:80", "without a network, no port leads into the guest"),
        ("--arch arm64 --firmware bios", "there is no BIOS for machines of aarch64"),
        ("--firmware bios --secure-boot", "a BIOS knows no secure boot"),
        ("--seed-url ftp://a/", "ftp://a/"),
        ("--append x", "--direct-kernel"),
        ("--memory 1", "is not a size of memory"),
        ("--cpus 0", "0"),
        ("--accel xen", "unknown accelerator `xen`: use kvm, hvf or tcg"),
        ("--seed seed.iso --seed-url http://a/", "cannot be used with"),
    ] {
        let run = world.run(&format!("boot --print-command base.img {arguments}"));
        assert_eq!((run.code, run.stderr.contains(said)), (Some(2), true), "{arguments}: {}", run.stderr);
    }
    let run = world.run("boot --print-command base.img --seed none.iso");
    assert_eq!((run.code, run.stderr.contains("`none.iso` cannot be read")), (Some(2), true), "{}", run.stderr);
}

#[test]
fn a_port_that_is_used_is_said_before_qemu_starts() {
    let world = World::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = world.run(&format!("boot base.img --forward {port}:80"));
    assert_eq!((run.code, run.stderr.contains("address already in use")), (Some(2), true), "{}", run.stderr);
}

#[test]
fn a_host_without_qemu_is_told_which_package_has_it() {
    let world = World::new();
    let tmp = world.path("tmp");
    fs::create_dir(&tmp).unwrap();
    let arguments = "boot base.img --accel tcg --arch x86_64 --user ada";
    let run = world.run_with(arguments, &[("PATH", "/nonexistent"), ("TMPDIR", tmp.to_str().unwrap())]);
    assert_eq!(run.code, Some(2));
    let end = "\
error: `base.img` was not started
  cause: `qemu-system-x86_64`, which runs x86_64 guests, is not installed (Debian's package `qemu-system-x86`)
hint: on Debian and Ubuntu: `sudo apt install qemu-system-x86`
";
    assert!(run.stderr.ends_with(end), "{}", run.stderr);
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}
