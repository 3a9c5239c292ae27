//! Commands in the guest that take minutes, on real bases: needs root and the network.
#![cfg(feature = "full-tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use testkit::judge::{assert_e2fsck_clean, assert_qemu_img_check, assert_sgdisk_clean, judge};
use testkit::mount::Mount;
use testkit::partition::{extract_disk, partition_range};

use crate::support::guests::{ONE_PROCESSOR, with_base};
use crate::support::{ROOT, World, assert_sound};

const LISTING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/listing.py");

/// Paths whose content is left as it was before the command, with all below them; and the listing itself.
const LEFT_OUT: [&str; 9] = [
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/log",
    "/var/cache/ldconfig",
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/lib/apt/lists",
    "/srv/listing",
];

/// What the listing says of each path.
fn by_path(listing: &str) -> BTreeMap<String, Value> {
    let lines = listing.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let facts = lines.map(|facts| (facts["path"].as_str().unwrap().to_owned(), facts));
    let is_left_out = |path: &str| {
        let mut left_out = LEFT_OUT.iter();
        left_out.any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    facts.filter(|(path, _)| !is_left_out(path)).collect()
}

/// The listing of an image's root as the kernel has it.
fn listed_by_kernel(world: &World, image: &str) -> BTreeMap<String, Value> {
    let disk = world.path("disk.tmp");
    extract_disk(&world.path(image), &disk);
    let mount = Mount::read_only(&disk, &partition_range(&world.path(image), ROOT));
    by_path(&judge("python3").arg(LISTING).arg(mount.path()).succeed().stdout)
}

/// The names in each directory that has any.
fn names_by_folder(listing: &BTreeMap<String, Value>) -> BTreeMap<String, BTreeSet<String>> {
    let mut folders = BTreeMap::<_, BTreeSet<_>>::new();
    for (folder, name) in listing.keys().filter_map(|path| path.rsplit_once('/')) {
        folders.entry(folder.to_owned()).or_default().insert(name.to_owned());
    }
    folders
}

/// A command sees its own changes in the scratch tree. What it saw last is what the kernel finds in the image.
#[test]
#[ignore = "several hundred packages: ./test long"]
fn the_image_has_what_the_command_saw_of_several_hundred_packages() {
    let world = with_base();
    let listing = fs::read_to_string(LISTING).unwrap();
    let script = format!(
        "set -e\napt-get -qq update\nexport DEBIAN_FRONTEND=noninteractive\n\
         apt-get -qq --no-install-recommends install nodejs npm >/dev/null\n\
         echo x >/etc/made\npython3 - / >/srv/listing <<'END'\n{listing}END\n"
    );
    let build = "build --base base.img --size +2G --network -o out.img";
    world.run_words(build, &["--run", &script]).succeeds();
    assert_sound(&world.path("out.img"));
    let mut seen = by_path(&String::from_utf8(world.content("out.img", ROOT, "/srv/listing")).unwrap());
    let mut kept = listed_by_kernel(&world, "out.img");
    assert!(seen.keys().filter(|path| path.starts_with("/usr/share/nodejs/")).count() > 1000);
    // What is newer than the build has its time.
    let time = |facts: &Value| facts["modified"].as_i64().unwrap();
    let built = time(&kept["/etc/made"]);
    for facts in seen.values_mut() {
        facts["modified"] = time(facts).min(built).into();
    }
    // And a directory whose names are the same as before keeps its time, whatever came and went.
    let before = listed_by_kernel(&world, "base.img");
    let (names_before, names) = (names_by_folder(&before), names_by_folder(&seen));
    let is_as_before = |path: &str| names_before.get(path) == names.get(path);
    let is_directory = |facts: &Value| facts["mode"].as_u64().unwrap() & 0o170_000 == 0o040_000;
    let unchanged = before.iter().filter(|(path, facts)| is_directory(facts) && is_as_before(path));
    let unchanged: Vec<(String, Value)> =
        unchanged.map(|(path, facts)| (path.clone(), facts["modified"].clone())).collect();
    for (path, modified) in unchanged {
        if let Some(facts) = seen.get_mut(&path) {
            facts["modified"] = modified;
        }
    }
    for facts in [&mut seen, &mut kept] {
        // Folders of mounts, what was put in for the command alone, and the folder of the listing itself.
        for path in ["/", "/boot", "/dev", "/proc", "/srv", "/sys", "/etc/resolv.conf", "/usr/sbin/policy-rc.d"] {
            facts.remove(path);
        }
        facts.retain(|path, _| !["/dev/", "/proc/", "/sys/", "/boot/"].iter().any(|folder| path.starts_with(folder)));
    }
    let differ: Vec<_> = seen.keys().chain(kept.keys()).filter(|path| seen.get(*path) != kept.get(*path)).collect();
    let shown = |path: &&String| format!("{path}\n  seen {:?}\n  kept {:?}\n", seen.get(*path), kept.get(*path));
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.iter().take(20).map(shown).collect::<String>());
}

/// Makes a repository of one package for dnf and zypper, and one for pacman.
const REPOSITORIES: &str = r#"
set -e
mkdir -p /srv/rpm /srv/pacman/hello/opt /etc/yum.repos.d /etc/zypp/repos.d
cat >/tmp/hello.spec <<'END'
Name: hello-rpm
Version: 1
Release: 1
Summary: A test
License: MIT
BuildArch: noarch
%description
A test.
%install
mkdir -p %{buildroot}/opt
echo "hello from rpm" >%{buildroot}/opt/hello-rpm
%files
/opt/hello-rpm
END
rpmbuild -bb --quiet --define '_rpmdir /srv/rpm' --define '_topdir /tmp/top' /tmp/hello.spec
# zypper refuses a system without a C library.
sed -e 's/hello-rpm/glibc/' -e '/^%install/,/^echo/d' -e '/^.opt/d' /tmp/hello.spec >/tmp/glibc.spec
rpmbuild -bb --quiet --define '_rpmdir /srv/rpm' --define '_topdir /tmp/top' /tmp/glibc.spec
createrepo_c -q /srv/rpm
for folder in /etc/yum.repos.d /etc/zypp/repos.d; do
    printf '[local]\nname=local\nbaseurl=file:///srv/rpm\nenabled=1\ngpgcheck=0\nrepo_gpgcheck=0\n' >$folder/local.repo
done
cd /srv/pacman
echo "hello from pacman" >hello/opt/hello-pacman
printf 'pkgname = hello-pacman\npkgver = 1-1\npkgdesc = A test\nbuilddate = 1700000000\nsize = 18\narch = any\n' >hello/.PKGINFO
tar -C hello -czf hello-pacman-1-1-any.pkg.tar.gz .PKGINFO opt
repo-add test.db.tar.gz hello-pacman-1-1-any.pkg.tar.gz
printf '[options]\nArchitecture = auto\nSigLevel = Never\n[test]\nServer = file:///srv/pacman\n' >/etc/pacman.conf
"#;

/// dnf, zypper and pacman themselves, which Debian has as packages too, in a guest that says it is of their distribution.
#[test]
#[ignore = "several hundred packages: ./test long"]
fn package_managers_of_other_distributions_do_what_they_are_asked_for() {
    let world = with_base();
    let packages = "dnf,zypper,rpm,createrepo-c,pacman-package-manager,makepkg,file,libarchive-tools";
    let build = format!("build --base base.img --size +1G --network --install {packages} -o managers.img");
    world.run_words(&build, &["--run", REPOSITORIES]).succeeds();
    for (id, package, text) in [
        ("fedora", "hello-rpm", "hello from rpm\n"),
        ("opensuse-leap", "hello-rpm", "hello from rpm\n"),
        ("arch", "hello-pacman", "hello from pacman\n"),
    ] {
        let (path, image) = (format!("/opt/{package}"), format!("{id}.img"));
        world.file("os-release", format!("ID={id}\n"));
        let build = "build --base managers.img --network --put os-release:/usr/lib/os-release -o";
        world.run_words(build, &[&image, "--install", package]).succeeds();
        assert_sound(&world.path(&image));
        assert_eq!(world.content(&image, ROOT, &path), text.as_bytes(), "{id}");
        let logs = world.run(&format!("ls {image} /var/log")).succeeds().stdout;
        for log in ["dnf", "hawkey", "zypp", "pacman"] {
            assert!(!logs.contains(log), "{id}: {logs}");
        }
        world.run(&format!("customize {image} --network --update")).succeeds();
        world.run(&format!("customize {image} --uninstall {package}")).succeeds();
        assert_eq!(world.run(&format!("ls {image} {path}")).code, Some(2), "{id}");
        assert_sound(&world.path(&image));
    }
}

/// What Autonoe's users do at first boot today: `node` and `npm` are there when the guest first starts.
#[test]
#[ignore = "several hundred packages and a boot: ./test long"]
fn node_is_baked_in_and_runs_at_the_first_boot() {
    let world = with_base();
    let recipe = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/autonoe-node.toml"));
    symlink(recipe.canonicalize().unwrap(), world.path("node.toml")).unwrap();
    let build =
        format!("build node.toml --base base.img --input autonoe={} -o node.img", env!("CARGO_BIN_EXE_imgraft"));
    world.run(&build).succeeds();
    assert_sound(&world.path("node.img"));
    let test = world.run_words("test node.img --recipe node.toml", &ONE_PROCESSOR).succeeds();
    for check in ["`node --version` succeeds", "`autonoe --version` succeeds"] {
        assert!(test.stdout.contains(&format!("  ok       {check}\n")), "{}", test.stdout);
    }
}

/// A guest for another processor runs through the emulator that this machine has registered.
#[test]
#[ignore = "an emulated processor: ./test long"]
fn a_guest_for_arm64_installs_a_package() {
    let base = std::env::var_os("IMGRAFT_TEST_ARM64_BASE").expect("IMGRAFT_TEST_ARM64_BASE names a base for arm64");
    let world = World::empty();
    symlink(fs::canonicalize(base).unwrap(), world.path("base.img")).unwrap();
    let build = "build --base base.img --network --install jq -o out.img --verify-reproducible";
    world.run_words(build, &["--run", "uname -m >/etc/machine; echo '{\"a\": 7}' | jq .a >/etc/answer"]).succeeds();
    // The base has a root and nothing else.
    let disk = world.path("disk.tmp");
    extract_disk(&world.path("out.img"), &disk);
    assert_qemu_img_check(&world.path("out.img"));
    assert_sgdisk_clean(&disk);
    assert_e2fsck_clean(&disk, partition_range(&disk, ROOT).start);
    assert_eq!(world.content("out.img", ROOT, "/etc/machine"), b"aarch64\n");
    assert_eq!(world.content("out.img", ROOT, "/etc/answer"), b"7\n");
    world.file("jq", world.content("out.img", ROOT, "/usr/bin/jq"));
    let machine = judge("file").arg("-b").arg(world.path("jq")).succeed().stdout;
    assert!(machine.contains("ARM aarch64"), "{machine}");
}
