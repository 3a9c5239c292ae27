//! From names to digests, on sites in memory that speak as the real ones do.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::gnupg::Home;
use crate::memory::Memory;
use catalogue::openpgp::Fingerprint;
use catalogue::time::Time;
use catalogue::{Base, Catalogue, FindError, Finder, KeySources, Name, Verified};

const UBUNTU: &str = "https://cloud-images.ubuntu.com";
const DEBIAN: &str = "https://cloud.debian.org/images/cloud/bookworm";
const RELEASE: &str = "https://cloud-images.ubuntu.com/releases/noble/release";
const PRODUCT: &str = "com.ubuntu.cloud:server:24.04:amd64";
const PRODUCTS: &str = "streams/v1/com.ubuntu.cloud:released:download";
/// 2026-08-01.
const NOW: Time = Time(1_785_542_400);

/// A site and a user with a keyring.
struct World {
    memory: Memory,
    home: Home,
    keys: KeySources,
    key: Fingerprint,
    mirror: Option<String>,
    insecure: bool,
    details: RefCell<Vec<String>>,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        let key = home.key("a");
        std::fs::write(home.path("keyring"), home.export(&["a"])).unwrap();
        let keys =
            KeySources { keyring: Some(home.path("keyring")), signers: vec![key], root: Some(home.path("root")) };
        let (memory, details) = (Memory::default(), RefCell::default());
        Self { memory, home, keys, key, mirror: None, insecure: false, details }
    }

    fn find(&self, name: &str) -> Result<Base, FindError> {
        self.find_for(name, "amd64")
    }

    fn find_for(&self, name: &str, architecture: &str) -> Result<Base, FindError> {
        let catalogue = Catalogue::builtin();
        let finder = Finder {
            catalogue,
            transport: &self.memory,
            keys: &self.keys,
            mirror: self.mirror.as_deref(),
            now: NOW,
            insecure: self.insecure,
            detail: &|text| self.details.borrow_mut().push(text.to_owned()),
        };
        finder.find(&Name::parse(catalogue, name).unwrap(), architecture)
    }

    /// What is said of a name that is not found.
    fn refusal(&self, name: &str) -> String {
        let error = self.find(name).unwrap_err();
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        text.replace(&self.key.to_string(), "KEY")
    }

    fn signed(&self, text: &str) -> Vec<u8> {
        self.home.sign_at("20260726T000000", text.as_bytes(), &["--clear-sign"])
    }

    /// Puts an index with these builds of 24.04 on the site.
    fn put_streams(&self, builds: &[(&str, u8)]) {
        let index = format!(
            r#"{{"format":"index:1.0","index":{{"com.ubuntu.cloud:released:download":{{"format":"products:1.0","path":"{PRODUCTS}.json"}}}}}}"#
        );
        self.memory.put(&format!("{UBUNTU}/releases/streams/v1/index.sjson"), self.signed(&index));
        let versions: Vec<String> = builds
            .iter()
            .map(|(serial, byte)| {
                let path = format!("server/releases/noble/release-{serial}/ubuntu-24.04-server-cloudimg-amd64.img");
                let sha256 = hex(*byte);
                format!(
                    r#""{serial}":{{"items":{{"disk1.img":{{"ftype":"disk1.img","path":"{path}","sha256":"{sha256}","size":7}}}},"label":"release"}}"#
                )
            })
            .collect();
        let products = format!(
            r#"{{"format":"products:1.0","products":{{"{PRODUCT}":{{"arch":"amd64","versions":{{{}}}}}}}}}"#,
            versions.join(",")
        );
        self.memory.put(&format!("{UBUNTU}/releases/{PRODUCTS}.sjson"), self.signed(&products));
    }

    /// Puts a folder with a signed list on the site.
    fn put_folder(&self, folder: &str, lines: &str) {
        let (list, signature) = self.list(lines);
        self.memory.put(&format!("{folder}/SHA256SUMS"), list);
        self.memory.put(&format!("{folder}/SHA256SUMS.gpg"), signature);
    }

    fn list(&self, lines: &str) -> (Vec<u8>, Vec<u8>) {
        let signature = self.home.sign_at("20260726T000000", lines.as_bytes(), &["--armor", "--detach-sign"]);
        (lines.as_bytes().to_vec(), signature)
    }

    fn signature(&self) -> Verified {
        Verified::Signature { signer: self.key, signed: "2026-07-26T00:00:00Z".to_owned() }
    }
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn image_line(byte: u8) -> String {
    format!(
        "{} *ubuntu-24.04-server-cloudimg-arm64.img\n{} *ubuntu-24.04-server-cloudimg-amd64.img\n",
        hex(1),
        hex(byte)
    )
}

#[test]
fn the_newest_build_of_the_index_is_found() {
    let world = World::new();
    world.put_streams(&[("20260701", 0xaa), ("20260725", 0xbb), ("20260725.1", 0xcc)]);
    let base = world.find("ubuntu:24.04").unwrap();
    assert_eq!(
        base,
        Base {
            name: "ubuntu:24.04/server".to_owned(),
            architecture: "amd64".to_owned(),
            serial: Some("20260725.1".to_owned()),
            address: format!(
                "{UBUNTU}/releases/server/releases/noble/release-20260725.1/ubuntu-24.04-server-cloudimg-amd64.img"
            ),
            digest: format!("sha256:{}", hex(0xcc)).parse().unwrap(),
            size_bytes: Some(7),
            verified: world.signature(),
        }
    );
    let asked = [
        format!("{UBUNTU}/releases/streams/v1/index.sjson"),
        format!("{UBUNTU}/releases/streams/v1/com.ubuntu.cloud:released:download.sjson"),
    ];
    assert_eq!(world.memory.asked(), asked);
    // A pin chooses another one.
    assert_eq!(world.find("noble@20260701").unwrap().digest.hex(), hex(0xaa));
    let by_digest = world.find(&format!("noble@sha256:{}", hex(0xbb))).unwrap();
    assert_eq!(by_digest.serial.as_deref(), Some("20260725"));
}

#[test]
fn what_the_index_does_not_have_is_looked_for_in_the_folder() {
    let world = World::new();
    // A mirror without an index.
    world.put_folder(RELEASE, &image_line(0xdd));
    let base = world.find("noble").unwrap();
    assert_eq!((base.digest.hex(), base.serial, base.size_bytes), (hex(0xdd), None, None));
    assert_eq!(base.address, format!("{RELEASE}/ubuntu-24.04-server-cloudimg-amd64.img"));
    assert_eq!(base.verified, world.signature());
    assert!(world.details.borrow().iter().any(|text| text.ends_with("(no such file): looking in the folder")));
    // An old build, which the index has no more.
    world.put_streams(&[("20260725", 0xbb)]);
    world.put_folder(&format!("{RELEASE}-20240423"), &image_line(0xee));
    let base = world.find("noble@20240423").unwrap();
    assert_eq!((base.digest.hex(), base.serial.as_deref()), (hex(0xee), Some("20240423")));
    assert_eq!(base.address, format!("{RELEASE}-20240423/ubuntu-24.04-server-cloudimg-amd64.img"));
    // A digest that is the newest one's.
    assert_eq!(world.find(&format!("noble@sha256:{}", hex(0xdd))).unwrap().digest.hex(), hex(0xdd));
    let error = world.find(&format!("noble@sha256:{}", hex(0xff))).unwrap_err();
    assert_eq!(error.to_string(), format!("`{RELEASE}/SHA256SUMS` has no image of sha256:{}", hex(0xff)));
    // Another variant.
    world.put_folder(
        &format!("{UBUNTU}/minimal/daily/noble/current"),
        &format!("{} *noble-minimal-cloudimg-amd64.img\n", hex(0x11)),
    );
    assert_eq!(world.find("noble/minimal-daily").unwrap().digest.hex(), hex(0x11));
}

#[test]
fn a_list_without_the_file_is_refused() {
    let world = World::new();
    world.put_folder(RELEASE, &format!("{} *ubuntu-24.04-server-cloudimg-arm64.img\n", hex(1)));
    assert_eq!(
        world.refusal("noble"),
        format!(
            "the image cannot be found in `{RELEASE}/SHA256SUMS`: the list does not have \
             `ubuntu-24.04-server-cloudimg-amd64.img`"
        )
    );
}

#[test]
fn an_index_that_is_not_trusted_ends_the_search() {
    let world = World::new();
    world.put_streams(&[("20260725", 0xbb)]);
    world.put_folder(RELEASE, &image_line(0xdd));
    let url = format!("{UBUNTU}/releases/{PRODUCTS}.sjson");
    let good = world.memory_of(&url);
    let other = Home::new();
    let other_key = other.key("b");
    let by_other = other.sign_at("20260726T000000", b"{}", &["--clear-sign"]);
    let unsigned = "{\"format\":\"products:1.0\"}".to_owned();
    for (document, reason) in [
        (good.replace(&hex(0xbb), &hex(0xba)), "the signature is bad: KEY did not sign this".to_owned()),
        (String::from_utf8(by_other).unwrap(), format!("the signature was made by another key, {other_key}")),
        (unsigned, "there is no signature".to_owned()),
        (
            good.replace("-----END", "----END"),
            "the signature cannot be read: the document does not end with its signature".to_owned(),
        ),
        (format!("{{}}\n{good}"), "there is no signature".to_owned()),
        (
            format!("{good}{{}}\n"),
            "the signature cannot be read: the document does not end with its signature".to_owned(),
        ),
    ] {
        world.memory.put(&url, document);
        assert_eq!(world.refusal("noble"), format!("`{url}` is not trusted: {reason}"));
    }
    world.memory.put(&url, good);
    world.find("noble").unwrap();
}

#[test]
fn a_list_that_is_not_trusted_is_refused_and_may_be_taken_all_the_same() {
    let mut world = World::new();
    world.put_folder(RELEASE, &image_line(0xdd));
    let list = format!("{RELEASE}/SHA256SUMS");
    world.memory.put(&list, image_line(0xde));
    assert_eq!(world.refusal("noble"), format!("`{list}` is not trusted: the signature is bad: KEY did not sign this"));
    world.memory.remove(&format!("{list}.gpg"));
    assert_eq!(world.refusal("noble"), format!("`{list}.gpg`: the server answers 404 (no such file)"));
    world.insecure = true;
    world.memory.asked();
    let base = world.find("noble").unwrap();
    assert_eq!((base.digest.hex(), base.verified), (hex(0xde), Verified::Nothing));
    assert!(!world.memory.asked().contains(&format!("{list}.gpg")));
}

#[test]
fn a_list_that_is_replaced_meanwhile_is_asked_for_again() {
    let world = World::new();
    let (list, _) = world.list(&image_line(1));
    let (newer_list, newer_signature) = world.list(&image_line(2));
    let url = format!("{RELEASE}/SHA256SUMS");
    world.memory.put(&url, list);
    world.memory.then(&url, newer_list);
    world.memory.put(&format!("{url}.gpg"), newer_signature);
    assert_eq!(world.find("noble").unwrap().digest.hex(), hex(2));
}

#[test]
fn debians_list_is_taken_for_tls_and_said_to_be_unsigned() {
    let mut world = World::new();
    let line = |file: &str, byte: u8| format!("{}  {file}\n", hex(byte).repeat(2));
    world.memory.put(&format!("{DEBIAN}/latest/SHA512SUMS"), line("debian-12-genericcloud-amd64.qcow2", 0x22));
    let base = world.find("bookworm").unwrap();
    assert_eq!((base.digest.to_string(), base.serial), (format!("sha512:{}", hex(0x22).repeat(2)), None));
    assert_eq!(base.address, format!("{DEBIAN}/latest/debian-12-genericcloud-amd64.qcow2"));
    assert_eq!(base.verified, Verified::Tls);
    assert_eq!(base.verified.to_string(), "unsigned: its digest comes from a list that was fetched over TLS");

    // Where the newest build says which one it is, that one's folder has it for longer.
    let manifest = include_bytes!("published/debian-12-generic-amd64-20260316-2418.json");
    world.memory.put(&format!("{DEBIAN}/latest/debian-12-generic-amd64.json"), manifest);
    let file = "debian-12-generic-amd64-20260316-2418.qcow2";
    world.memory.put(&format!("{DEBIAN}/20260316-2418/SHA512SUMS"), line(file, 0x33));
    let base = world.find("debian:12/generic").unwrap();
    assert_eq!(base.serial.as_deref(), Some("20260316-2418"));
    assert_eq!(base.address, format!("{DEBIAN}/20260316-2418/{file}"));
    assert_eq!(world.find("debian:12/generic@20260316-2418").unwrap(), base);

    world.mirror = Some("http://mirror.example/debian/".to_owned());
    let mirrored = "http://mirror.example/debian/images/cloud/bookworm/latest/SHA512SUMS";
    world.memory.put(mirrored, line("debian-12-genericcloud-amd64.qcow2", 0x44));
    assert_eq!(world.refusal("bookworm"), format!("`{mirrored}` is unsigned and was not fetched over TLS"));
    world.insecure = true;
    let base = world.find("bookworm").unwrap();
    assert_eq!(base.verified, Verified::Nothing);
    // The lock is everybody's, the mirror is not.
    assert_eq!(base.address, format!("{DEBIAN}/latest/debian-12-genericcloud-amd64.qcow2"));
    let site = "https://cloud.debian.org";
    assert_eq!(base.download(site, None).urls, [base.address.as_str()]);
    assert_eq!(
        base.download(site, world.mirror.as_deref()).urls,
        ["http://mirror.example/debian/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"]
    );
}

#[test]
fn canonicals_own_signature_is_taken_with_its_key_from_a_key_server() {
    let mut world = World::new();
    world.keys = KeySources { keyring: None, signers: Vec::new(), root: Some(world.home.path("root")) };
    let list = include_bytes!("published/noble-release-20260725.SHA256SUMS");
    world.memory.put(&format!("{RELEASE}/SHA256SUMS"), list);
    let signature = include_bytes!("published/noble-release-20260725.SHA256SUMS.gpg");
    world.memory.put(&format!("{RELEASE}/SHA256SUMS.gpg"), signature);
    assert_eq!(
        world.refusal("noble"),
        "no keyring on this machine has the keys, and they could not be fetched: \
         `https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x4A3CE3CD565D7EB5C810E2B97FF3F408476CF100`: \
         the server answers 404 (no such file)"
    );
    let key_url =
        |fingerprint: &str| format!("https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x{fingerprint}");
    let signing = "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81";
    let builder = "4A3CE3CD565D7EB5C810E2B97FF3F408476CF100";
    // Whatever the server gives in its place, only the key with the fingerprint is taken.
    let another = include_bytes!("published/ubuntu-cloud-image-builder.asc");
    world.memory.put(&key_url(signing), another);
    let refusal = world.refusal("noble");
    assert!(refusal.contains("they could not be fetched"), "{refusal}");
    world.memory.put(&key_url(builder), another);
    assert_eq!(
        world.refusal("noble"),
        format!("`{RELEASE}/SHA256SUMS` is not trusted: the signature was made by another key, {signing}")
    );
    world.memory.put(&key_url(signing), include_bytes!("published/uec-image-automatic-signing-key.asc"));
    let base = world.find("noble").unwrap();
    // As `grep` finds it in the list, and `gpgv` says of its signature.
    assert_eq!(base.digest.hex(), "d1940f7d69d343355e183dff1e08a59852d32e7309baa7a4bad8365b11b005ac");
    assert_eq!(base.verified.to_string(), "signed by D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81 at 2026-07-25T22:34:07Z");
}

#[test]
fn keys_come_from_the_machines_keyring_before_the_key_server() {
    let mut world = World::new();
    world.put_folder(RELEASE, &image_line(0xdd));
    let folder = world.home.path("root/usr/share/keyrings");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::rename(world.home.path("keyring"), folder.join("ubuntu-cloudimage-keyring.gpg")).unwrap();
    world.keys.keyring = None;
    assert_eq!(world.find("noble").unwrap().verified, world.signature());
    assert!(!world.memory.asked().iter().any(|url| url.contains("keyserver")));
}

#[test]
fn a_keyring_that_is_none_or_has_other_keys_is_named() {
    let mut world = World::new();
    world.put_folder(RELEASE, &image_line(0xdd));
    let path = world.home.path("keyring");
    let named = path.display();
    world.keys.signers.clear();
    assert_eq!(
        world.refusal("noble"),
        format!(
            "`{named}` has the keys KEY, but only D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81, \
             4A3CE3CD565D7EB5C810E2B97FF3F408476CF100 may sign"
        )
    );
    std::fs::write(&path, "hello\n").unwrap();
    let reason = "it has no armored block of this kind";
    assert_eq!(world.refusal("noble"), format!("`{named}` is not a keyring: {reason}"));
    world.keys.keyring = Some(PathBuf::from("/nonexistent"));
    assert_eq!(world.refusal("noble"), "the keyring `/nonexistent` cannot be read: entity not found");
}

impl World {
    fn memory_of(&self, url: &str) -> String {
        use catalogue::Transport;
        String::from_utf8(self.memory.small(url, u64::MAX).unwrap()).unwrap()
    }
}

#[test]
fn fedoras_list_carries_its_signature() {
    let mut world = World::new();
    world.keys = KeySources { keyring: None, signers: Vec::new(), root: Some(world.home.path("root")) };
    let images = "https://dl.fedoraproject.org/pub/fedora/linux/releases/44/Cloud/aarch64/images";
    let list = include_str!("published/fedora-44-1.7-aarch64-CHECKSUM");
    let url = format!("{images}/Fedora-Cloud-44-1.7-aarch64-CHECKSUM");
    world.memory.put(&url, list);
    let key = "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6";
    world.memory.put(
        &format!("https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x{key}"),
        include_bytes!("published/fedora-44-primary.asc"),
    );
    let base = world.find_for("fedora:44", "arm64").unwrap();
    // As `grep` finds it in the list, and `gpg` says of its signature.
    assert_eq!(base.digest.hex(), "55c60a3b80d3616a08705afd0459e75fe9f03c54aba7a46e4002a41a72fa0d5b");
    assert_eq!(base.address, format!("{images}/Fedora-Cloud-Base-Generic-44-1.7.aarch64.qcow2"));
    assert_eq!(base.verified.to_string(), format!("signed by {key} at 2026-04-24T15:34:18Z"));
    assert_eq!(base.serial, None);
    world.memory.put(&url, list.replace("55c60a3b", "55c60a3c"));
    let error = world.find_for("fedora:44", "arm64").unwrap_err().to_string();
    assert_eq!(error, format!("`{url}` is not trusted"));
    let unsigned = list.lines().filter(|line| line.contains("SHA256 (")).collect::<Vec<_>>().join("\n");
    world.memory.put(&url, unsigned);
    assert_eq!(world.find_for("fedora:44", "arm64").unwrap_err().to_string(), format!("`{url}` is not trusted"));
}

#[test]
fn almalinux_signs_a_list_that_names_builds() {
    let world = World::new();
    let images = "https://repo.almalinux.org/almalinux/9/cloud/x86_64/images";
    let file = |name: &str| format!("AlmaLinux-9-GenericCloud-{name}.x86_64.qcow2");
    let lines = format!(
        "{}  {}\n{}  {}\n{}  {}\n",
        hex(0x11),
        file("9.7-20251118"),
        hex(0x22),
        file("9.8-20260526"),
        hex(0x22),
        file("latest")
    );
    let (list, signature) = world.list(&lines);
    world.memory.put(&format!("{images}/CHECKSUM"), list);
    world.memory.put(&format!("{images}/CHECKSUM.asc"), signature);
    // Its name is that which it keeps.
    let base = world.find("almalinux:9").unwrap();
    assert_eq!((base.digest.hex(), base.serial.as_deref()), (hex(0x22), Some("9.8-20260526")));
    assert_eq!(base.address, format!("{images}/{}", file("9.8-20260526")));
    assert_eq!(base.verified, world.signature());
    let older = world.find("almalinux:9@9.7-20251118").unwrap();
    assert_eq!((older.digest.hex(), older.address), (hex(0x11), format!("{images}/{}", file("9.7-20251118"))));
    let by_digest = world.find(&format!("almalinux:9@sha256:{}", hex(0x11))).unwrap();
    assert_eq!(by_digest.serial.as_deref(), Some("9.7-20251118"));
    assert_eq!(
        world.refusal("almalinux:9@9.6-20250522"),
        format!("the image cannot be found in `{images}/CHECKSUM`: the list does not have `{}`", file("9.6-20250522"))
    );
}

/// Lists that are not signed, in the forms in which they are published.
#[test]
fn other_lists_are_taken_for_tls() {
    let world = World::new();
    let is = |name: &str, architecture: &str, url: &str, list: &str, expected: (&str, &str, Option<&str>)| {
        world.memory.put(url, list.as_bytes());
        let base = world.find_for(name, architecture).unwrap();
        let folder = url.rsplit_once('/').unwrap().0;
        let (digest, file, serial) = expected;
        let address = if file.starts_with("https:") { file.to_owned() } else { format!("{folder}/{file}") };
        assert_eq!(
            (&base.digest.hex()[..], &base.address, base.serial.as_deref()),
            (digest, &address, serial),
            "{name}"
        );
        assert_eq!(base.verified, Verified::Tls, "{name}");
    };
    let (a, b) = (hex(0xaa), hex(0xbb));
    let rocky = "https://dl.rockylinux.org/pub/rocky/9/images/x86_64/CHECKSUM";
    // The names of a list of September 2026.
    let list = format!(
        "SHA256 (Rocky-9-EC2-Base-9.8-20260525.0.x86_64.qcow2) = {b}\nSHA256 (Rocky-9-EC2-Base.latest.x86_64.qcow2) = {b}\n\
         SHA256 (Rocky-9-GenericCloud-Base-9.8-20260525.0.x86_64.qcow2) = {a}\n\
         SHA256 (Rocky-9-GenericCloud-Base.latest.x86_64.qcow2) = {a}\n\
         SHA256 (Rocky-9-GenericCloud-LVM-9.7-20251110.0.x86_64.qcow2) = {b}\n"
    );
    let dated = "Rocky-9-GenericCloud-Base-9.8-20260525.0.x86_64.qcow2";
    is("rocky:9", "amd64", rocky, &list, (&a, dated, Some("9.8-20260525.0")));
    let dated = "Rocky-9-GenericCloud-LVM-9.7-20251110.0.x86_64.qcow2";
    is("rocky:9/lvm", "amd64", rocky, &list, (&b, dated, Some("9.7-20251110.0")));
    let list = format!(
        "SHA256 (CentOS-Stream-GenericCloud-9-20260526.0.x86_64.qcow2) = {a}\n\
         SHA256 (CentOS-Stream-GenericCloud-9-20260302.0.x86_64.qcow2) = {b}\n"
    );
    let centos = "https://cloud.centos.org/centos/9-stream/x86_64/images/CHECKSUM";
    let dated = "CentOS-Stream-GenericCloud-9-20260526.0.x86_64.qcow2";
    is("centos:9", "amd64", centos, &list, (&a, dated, Some("20260526.0")));
    let list = include_str!("published/opensuse-leap-16.0.sha256");
    let opensuse = "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.aarch64-Cloud.qcow2.sha256";
    let (digest, dated) = list.trim_end().split_once("  ").unwrap();
    is("opensuse-leap:16.0", "arm64", opensuse, list, (digest, dated, Some("18.7")));
    let alpine = "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-x86_64-uefi-cloudinit-r0.qcow2";
    is("alpine:3.23", "amd64", &format!("{alpine}.sha512"), &format!("{a}{a}\n"), (&format!("{a}{a}"), alpine, None));
    let arch = "https://geo.mirror.pkgbuild.com/images/latest/Arch-Linux-x86_64-cloudimg.qcow2";
    let list = format!("{a}  Arch-Linux-x86_64-cloudimg.qcow2\n");
    is("arch:latest", "amd64", &format!("{arch}.SHA256"), &list, (&a, arch, None));
    let amazon = "https://cdn.amazonlinux.com/al2023/os-images";
    let file = "al2023-kvm-2023.12.20260917.1-kernel-6.1-x86_64.xfs.gpt.qcow2";
    let expected = format!("{amazon}/2023.12.20260917.1/kvm/{file}");
    let list = format!("{a}  {file}\n{b}  al2023-kvm-2023.12.20260917.1-kernel-6.12-x86_64.xfs.gpt.qcow2\n");
    let sums = format!("{amazon}/latest/kvm/SHA256SUMS");
    is("amzn:2023", "amd64", &sums, &list, (&a, &expected, Some("2023.12.20260917.1")));
    assert_eq!(
        world.refusal("amzn:2023@2023.1.1"),
        format!("`{amazon}/2023.1.1/kvm/SHA256SUMS`: the server answers 404 (no such file)")
    );
    world.memory.put(&sums, "");
    let missing = "al2023-kvm-*-kernel-6.1-x86_64.xfs.gpt.qcow2";
    assert_eq!(
        world.refusal("amzn:2023"),
        format!("the image cannot be found in `{sums}`: the list does not have `{missing}`")
    );
}
