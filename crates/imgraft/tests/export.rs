//! `imgraft export`: what other programs say of the files.

use std::fs;
use std::path::Path;

use serde_json::Value;
use testkit::judge::judge;

use crate::support::{Run, World};

/// A world with a disk of 4 MiB that has an EFI system partition by `sgdisk`, with noise in it, and a seed.
fn world() -> World {
    let world = World::empty();
    let disk = world.path("disk.raw");
    world.file("disk.raw", [vec![0; 1 << 20], crate::support::noise(1, 1 << 20), vec![0; 2 << 20]].concat());
    judge("sgdisk").args(["-n", "1:2048:+1M", "-t", "1:ef00"]).arg(&disk).succeed();
    world.file("user-data", "#cloud-config\n{}\n");
    world.run("seed iso -o my.iso --user-data user-data").succeeds();
    world
}

const IMAGE: &str = "disk.raw --arch x86_64";

fn export(world: &World, target: &str, more: &str) -> Run {
    world.run(&format!("export {target} {IMAGE} -o {target} {more}")).succeeds()
}

fn qemu_img(arguments: &[&str], world: &World) {
    judge("qemu-img").args(arguments).current_dir(world.folder()).succeed();
}

fn python(program: &str, file: &Path) -> String {
    judge("/usr/bin/python3").args(["-c", program]).arg(file).succeed().stdout
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The disk is in each folder what the image is, every digest is right, and a second run makes the same bytes.
#[test]
fn every_target_has_the_disk_and_right_digests_and_the_same_bytes_again() {
    let world = world();
    for (target, disk, format) in [
        ("azure", "disk.vhd", "vpc"),
        ("aws", "disk.vmdk", "vmdk"),
        ("openstack", "disk.qcow2", "qcow2"),
        ("proxmox", "disk.qcow2", "qcow2"),
        ("libvirt", "disk.qcow2", "qcow2"),
        ("lima", "disk.qcow2", "qcow2"),
        ("incus", "disk.qcow2", "qcow2"),
    ] {
        export(&world, target, "");
        let path = format!("{target}/{disk}");
        qemu_img(&["compare", "-f", "raw", "-F", format, "disk.raw", &path], &world);
        if format != "vpc" {
            qemu_img(&["check", &path], &world);
        }
        judge("sha256sum").args(["-c", "--strict", "SHA256SUMS"]).current_dir(world.path(target)).succeed();
        let first: Vec<Vec<u8>> = names(&world.path(target)).iter().map(|name| read(&world, target, name)).collect();
        export(&world, target, "--force");
        let again: Vec<Vec<u8>> = names(&world.path(target)).iter().map(|name| read(&world, target, name)).collect();
        assert!(first == again, "{target}");
    }
}

fn read(world: &World, folder: &str, name: &str) -> Vec<u8> {
    fs::read(world.path(folder).join(name)).unwrap()
}

fn text(world: &World, folder: &str, name: &str) -> String {
    String::from_utf8(read(world, folder, name)).unwrap()
}

#[test]
fn libvirt_takes_the_domain_whatever_its_name_is() {
    let world = world();
    for (number, name) in ["my app", "<&\"'>", "../../x ]]></title>"].into_iter().enumerate() {
        let folder = format!("domain-{number}");
        world.run_words(&format!("export libvirt {IMAGE} --seed my.iso -o {folder}"), &["--name", name]).succeeds();
        let xml = names(&world.path(&folder)).into_iter().find(|name| name.ends_with(".xml")).unwrap();
        let path = world.path(&folder).join(&xml);
        judge("virt-xml-validate").arg(&path).arg("domain").succeed();
        // libvirt itself, with a driver that has no machines.
        judge("virsh").args(["--connect", "test:///default", "define"]).arg(&path).succeed();
        let ask = |what: &str| judge("xmllint").args(["--xpath", what]).arg(&path).succeed().stdout;
        assert_eq!(ask("string(/domain/title)").trim_end(), name);
        assert_eq!(ask("count(//disk[@device='cdrom'])").trim(), "1");
        let slug = xml.strip_suffix(".xml").unwrap();
        assert_eq!(
            ask("string(//disk[@device='cdrom']/source/@file)").trim(),
            format!("/var/lib/libvirt/images/{slug}-seed.iso")
        );
        assert!(read(&world, &folder, &format!("{slug}-seed.iso")) == fs::read(world.path("my.iso")).unwrap());
    }
}

#[test]
fn an_ova_is_an_archive_whose_manifest_is_right() {
    let world = world();
    let said = world.run_words(&format!("export vmware {IMAGE} --seed my.iso -o ova"), &["--name", "My <&\"'> app"]);
    let said = said.succeeds();
    assert_eq!(
        said.stdout,
        "cd ova\ngovc import.ova -name=my-app my-app.ova\novftool --name=my-app my-app.ova vi://HOST\n"
    );
    assert_eq!(names(&world.path("ova")), ["README.txt", "SHA256SUMS", "my-app.ova"]);
    let list = judge("tar").args(["-tf", "ova/my-app.ova"]).current_dir(world.folder()).succeed().stdout;
    assert_eq!(list, "my-app.ovf\nmy-app.mf\nmy-app-disk1.vmdk\nmy-app-seed.iso\n");
    fs::create_dir(world.path("in")).unwrap();
    judge("tar").args(["-xf", "../ova/my-app.ova"]).current_dir(world.path("in")).succeed();
    qemu_img(&["compare", "-f", "raw", "-F", "vmdk", "disk.raw", "in/my-app-disk1.vmdk"], &world);
    // The manifest as `sha256sum --tag` has it but for the blanks.
    let manifest = text(&world, "in", "my-app.mf").replace("SHA256(", "SHA256 (").replace(")= ", ") = ");
    world.file("in/tagged", manifest);
    let checked = judge("sha256sum").args(["-c", "--strict", "tagged"]).current_dir(world.path("in")).succeed().stdout;
    assert_eq!(checked.lines().count(), 3, "{checked}");
    let descriptor = world.path("in/my-app.ovf");
    let ask = |what: &str| judge("xmllint").args(["--xpath", what]).arg(&descriptor).succeed().stdout;
    assert_eq!(ask("string(//*[local-name()='VirtualSystem']/*[local-name()='Name'])").trim_end(), "My <&\"'> app");
    assert_eq!(ask("string(//*[local-name()='Disk']/@*[local-name()='capacity'])").trim(), (4 << 20).to_string());
}

/// virt-v2v reads OVAs to convert their machines: it verifies the manifest and says what it found.
#[test]
#[cfg(feature = "full-tests")]
fn virt_v2v_finds_the_machine_in_an_ova() {
    let world = world();
    world.run_words(&format!("export vmware {IMAGE} --seed my.iso -o ova"), &["--name", "My <&\"'> app"]).succeeds();
    let ova = world.path("ova/my-app.ova");
    let said = judge("virt-v2v").args(["-i", "ova", "--print-source"]).arg(&ova).succeed().stdout;
    let said: Vec<&str> = said.lines().map(str::trim).collect();
    for line in [
        "source name: My <&\"'> app",
        "memory: 2147483648 (bytes)",
        "nr vCPUs: 2",
        "firmware: uefi",
        "0 [scsi]",
        "CD-ROM [sata] in slot 0",
        "Bridge \"VM Network\" [vmxnet3]",
    ] {
        assert!(said.contains(&line), "{line}: {said:?}");
    }
    // Another disk than the manifest's is found out.
    let mut bytes = fs::read(&ova).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&ova, bytes).unwrap();
    assert!(!judge("virt-v2v").args(["-i", "ova", "--print-source"]).arg(&ova).run().status.success());
}

#[test]
fn botocore_takes_the_parameters_of_import_snapshot() {
    let world = world();
    world.run_words(&format!("export aws {IMAGE} -o aws --bucket my-images"), &["--name", "a \"b\" \\ <c>"]).succeeds();
    let program = "\
import json, sys
import botocore.session
from botocore.validate import ParamValidator
shape = botocore.session.Session().get_service_model('ec2').operation_model('ImportSnapshot').input_shape
container = json.load(open(sys.argv[1]))
report = ParamValidator().validate({'DiskContainer': container}, shape)
assert not report.has_errors(), report.generate_report()
known = shape.members['DiskContainer'].members
assert set(container) <= set(known) and set(container['UserBucket']) <= set(known['UserBucket'].members)
print(container['Description'], container['UserBucket']['S3Bucket'], container['UserBucket']['S3Key'])
";
    let said = python(program, &world.path("aws/containers.json"));
    assert_eq!(said, "a \"b\" \\ <c> my-images a-b-c.vmdk\n");
}

#[test]
fn yaml_and_archives_say_what_they_should() {
    let world = world();
    let name = "a: \"b\" #c 'd' \\ {e} [f] & * !";
    world.run_words(&format!("export lima {IMAGE} -o lima"), &["--name", name]).succeeds();
    let load = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let lima: Value = serde_json::from_str(&python(load, &world.path("lima/a-b-c-d-e-f.yaml"))).unwrap();
    let sums = text(&world, "lima", "SHA256SUMS");
    let line = sums.lines().find(|line| line.ends_with(".qcow2")).unwrap();
    assert_eq!((&lima["message"], &lima["firmware"]["legacyBIOS"]), (&name.into(), &false.into()));
    assert_eq!(lima["images"][0]["digest"], format!("sha256:{}", &line[..64]));
    assert_eq!(lima["images"][0]["location"], "./a-b-c-d-e-f.qcow2");

    let epoch = [("SOURCE_DATE_EPOCH", "1700000000")];
    world.run_with(&format!("export incus {IMAGE} -o incus"), &epoch).succeeds();
    judge("xz").arg("-t").arg(world.path("incus/disk-metadata.tar.xz")).succeed();
    let list = judge("tar").args(["-tvf", "incus/disk-metadata.tar.xz", "--utc"]).current_dir(world.folder());
    let list = list.succeed().stdout;
    assert!(list.contains("2023-11-14 22:13 metadata.yaml"), "{list}");
    let yaml = judge("tar").args(["-xOf", "incus/disk-metadata.tar.xz"]).current_dir(world.folder()).succeed().stdout;
    world.file("metadata.yaml", yaml);
    let metadata: Value = serde_json::from_str(&python(load, &world.path("metadata.yaml"))).unwrap();
    assert_eq!((&metadata["architecture"], &metadata["creation_date"]), (&"x86_64".into(), &1_700_000_000.into()));

    world.run(&format!("export openstack {IMAGE} -o openstack")).succeeds();
    let body: Value = serde_json::from_str(&text(&world, "openstack", "disk.json")).unwrap();
    assert_eq!((&body["min_disk"], &body["hw_firmware_type"]), (&1.into(), &"uefi".into()));
}

/// What Google asks for is whole GiB: this is the one target whose disk is larger than the image.
#[test]
fn google_gets_its_archive() {
    let world = world();
    let said = export(&world, "gcp", "--bucket my-images --json");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["virtual_size_bytes"], 1 << 30);
    assert_eq!(
        report["commands"][1],
        "gcloud compute images create disk --source-uri=gs://my-images/disk.tar.gz --architecture=X86_64 \
         --guest-os-features=VIRTIO_SCSI_MULTIQUEUE,UEFI_COMPATIBLE"
    );
    assert_eq!(report["placeholders"], Value::Array(Vec::new()));
    let list = judge("tar").args(["-tzf", "gcp/disk.tar.gz"]).current_dir(world.folder()).succeed().stdout;
    assert_eq!(list, "disk.raw\n");
}

#[test]
fn what_cannot_be_exported_is_refused_and_leaves_nothing() {
    let world = world();
    world.file("text", "no image\n").file("there/file", "").file("no.iso", "no seed\n");
    for (arguments, stderr) in [
        (
            "export lima disk.raw -o x",
            "error: `disk.raw` does not tell which processor it is for\n\
             hint: say it with `--arch x86_64` or `--arch aarch64`\n",
        ),
        (
            "export vmware disk.raw --arch aarch64 -o x",
            "error: `disk.raw` is for aarch64, and VMware has no machines of that here\n",
        ),
        (
            "export lima disk.raw --arch x86_64 -o there",
            "error: `there` is there already\nhint: give another folder, or replace this one with `--force`\n",
        ),
        ("export lima disk.raw --arch x86_64 -o text --force", "error: `text` is not a folder, and is not replaced\n"),
        (
            "export libvirt disk.raw --arch x86_64 -o x --seed no.iso",
            "error: `no.iso` is not an ISO 9660 image of at most 1 GiB\nhint: `imgraft seed iso` makes one\n",
        ),
        (
            "export lima disk.raw --arch x86_64 -o x --seed my.iso",
            "error: Lima takes no seed as a medium\n\
             hint: Lima makes its own, and scripts of `provision` in the YAML run at each start\n",
        ),
        (
            "export lima disk.raw --arch x86_64 -o x --bucket my-images",
            "error: no bucket is used on the way to Lima\nhint: leave out `--bucket`\n",
        ),
    ] {
        world.refuses(arguments, stderr);
    }
    let before = world.contents();
    for (arguments, name) in [("export vbox disk.raw -o x", "x"), (&*format!("export lima {IMAGE} -o x"), "a\nb")] {
        assert_eq!(world.run_words(arguments, &["--name", name]).code, Some(2), "{arguments}");
    }
    assert!(before == world.contents());
}

#[test]
fn the_list_says_of_each_target_what_it_needs_and_what_was_not_tried() {
    let world = World::empty();
    let list: Value = serde_json::from_str(&world.run("export --list --json").succeeds().stdout).unwrap();
    let text = world.run("export --list").succeeds().stdout;
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 9);
    for target in list {
        for key in ["target", "needs", "judged_by", "not_tried"] {
            let value = target[key].as_str().unwrap();
            assert!(!value.is_empty() && text.contains(value), "{key}: {value}");
        }
    }
}
