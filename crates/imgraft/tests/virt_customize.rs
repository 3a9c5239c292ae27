//! `virt-customize`, typed as always: without the original, against what it was observed to say and do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Output};

use crate::support::{BOOT, ROOT, World, assert_sound};
use testkit::fixture::Options;
use testkit::judge::{assert_e2fsck_clean, judge};

/// What the original says to command lines that are wrong.
const OBSERVED: &str = include_str!("observed/virt-customize-1.48.2.txt");

/// The command lines of [`OBSERVED`], and what is said to them.
fn observed() -> impl Iterator<Item = (&'static str, String)> {
    let blocks = OBSERVED.split("\n\n").filter(|block| block.starts_with('$'));
    blocks.map(|block| {
        let (line, text) = block.split_once('\n').unwrap();
        (line.trim_start_matches('$').trim_start(), format!("{}\n", text.trim_end()))
    })
}

/// A folder with the fixture as `disk.img`, and the files that command lines name.
fn world() -> World {
    let world = World::with_copy(&Options::default());
    fs::rename(world.path("my.img"), world.path("disk.img")).unwrap();
    world.file("nested", "mkdir /a\ncommands-from-file x\n").file("unknown", "# x\n\n  mkdir /a\nfrobnicate /b\n");
    world.file("tool", "add disk.img\n").file("no-argument", "chmod\n").file("autonoe", "#!/bin/sh\n");
    world.mode("autonoe", 0o700);
    world
}

/// `virt-customize` with these arguments; only what `words` splits has blanks in it.
fn virt_customize(world: &World, arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = world.command("virt-customize").args(arguments).output().unwrap();
    Said {
        code: status.code().unwrap(),
        stdout: without_seconds(&String::from_utf8(stdout).unwrap()),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self
    }

    /// It changed nothing and said this.
    #[track_caller]
    fn refuses(self, stderr: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (1, stderr), "{}", self.stdout);
    }
}

/// `[   0.3] ` as `[…] `.
fn without_seconds(text: &str) -> String {
    let line = |line: &str| match line.split_once("] ") {
        Some((seconds, rest)) if seconds.len() == 7 && seconds.starts_with('[') => format!("[…] {rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn wrong_command_lines_are_answered_in_the_originals_words() {
    let world = world();
    let before = world.contents();
    let mut count = 0;
    for (line, text) in observed() {
        let said = virt_customize(&world, &line.split_ascii_whitespace().collect::<Vec<_>>());
        assert_eq!((said.code, said.stdout.as_str(), said.stderr), (1, "", text), "virt-customize {line}");
        count += 1;
    }
    assert!(count >= 60, "{count}");
    assert!(before == world.contents());
}

#[test]
fn what_needs_subscription_manager_is_refused_by_name_before_anything_is_said_or_done() {
    let world = world();
    let before = world.contents();
    let selectors = ["--sm-attach=auto", "--sm-credentials=me:password:x"];
    for option in selectors.into_iter().chain(["--sm-register", "--sm-remove", "--sm-unregister"]) {
        let name = option.split('=').next().unwrap();
        let said = virt_customize(&world, &["-a", "disk.img", "--mkdir", "/a", option]);
        assert_eq!(said.stdout, "");
        said.refuses(&format!(
            "virt-customize: error: {name} needs subscription-manager in the guest, which imgraft does not run\n\
             hint: nothing was changed; `--run-command` runs it with what you give it\n"
        ));
    }
    assert!(before == world.contents());
}

#[test]
fn packages_without_a_network_or_with_a_wrong_name_are_refused_before_anything_is_done() {
    let world = world();
    let before = world.contents();
    for (option, step) in [("--install=nginx,jq", "install nginx jq"), ("--update", "update")] {
        let said = virt_customize(&world, &["-a", "disk.img", "--mkdir", "/a", "--no-network", option]);
        assert_eq!(said.stdout, "[…] Examining the guest ...\n");
        said.refuses(&format!(
            "virt-customize: error: `{step}` needs the network, which commands in the guest may not use\n\
             hint: leave out `--no-network`\n"
        ));
    }
    world.file("commands", "mkdir /a\nuninstall nano;reboot\n");
    for (arguments, option) in
        [(["--install", "nano;reboot"], "install"), (["--commands-from-file", "commands"], "uninstall")]
    {
        let said = virt_customize(&world, &[&["-a", "disk.img"][..], &arguments].concat());
        assert!(
            said.code == 1
                && said.stderr.starts_with(&format!(
                    "virt-customize: error: --{option}: `nano;reboot` is not a valid package name: "
                )),
            "{said:?}"
        );
    }
    fs::remove_file(world.path("commands")).unwrap();
    assert!(before == world.contents());
}

/// The lines of the issue, typed by a shell that finds nothing but what `install-compat` made, and a `sudo`.
#[test]
fn the_lines_of_everybodys_notes_give_an_image_and_a_seed() {
    let world = World::with_copy(&Options::default());
    fs::rename(world.path("my.img"), world.path("autonoe-ubuntu-24.04.img")).unwrap();
    world.file("to/autonoe", "#!/bin/sh\n").mode("to/autonoe", 0o700);
    world.file("user-data.yaml", "#cloud-config\n{}\n");
    world.file("bin/sudo", "#!/bin/sh\nexec \"$@\"\n").mode("bin/sudo", 0o755);
    world.run("install-compat bin").succeeds();
    let script = "\
export LIBGUESTFS_BACKEND=direct
export LIBGUESTFS_BACKEND_SETTINGS=force_tcg
sudo virt-customize --no-network -a autonoe-ubuntu-24.04.img \\
  --copy-in /path/to/autonoe:/usr/local/bin \\
  --chmod 0755:/usr/local/bin/autonoe
cloud-localds seed.iso user-data.yaml
";
    let script = script.replace("/path/to/", &format!("{}/", world.path("to").display()));
    let output = Command::new("/bin/sh")
        .args(["-e", "-c", &script])
        .current_dir(world.folder())
        .env("PATH", world.path("bin"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let copied = format!("Copying: {}/autonoe to /usr/local/bin", world.path("to").display());
    assert_eq!(
        without_seconds(&String::from_utf8(output.stdout).unwrap()),
        format!(
            "[…] Examining the guest ...\n[…] {copied}\n\
             […] Changing permissions of /usr/local/bin/autonoe to 0755\n[…] Finishing off\n"
        )
    );
    let image = "autonoe-ubuntu-24.04.img";
    assert_eq!(world.content(image, ROOT, "/usr/local/bin/autonoe"), b"#!/bin/sh\n");
    let stat = world.stat(image, ROOT, "/usr/local/bin/autonoe");
    assert_eq!((stat.mode.as_str(), stat.owner), ("0755", (0, 0)));
    assert_sound(&world.path(image));
    let seed = fs::read(world.path("seed.iso")).unwrap();
    assert_eq!(&seed[0x8001..0x8006], b"CD001");
}

#[test]
fn operations_are_carried_out_in_their_order_and_each_sees_what_was_done_before() {
    let world = world();
    let said = virt_customize(
        &world,
        &[
            "-a",
            "disk.img",
            "--mkdir",
            "/srv/a",
            "--write",
            "/srv/a/one:1",
            "--copy",
            "/srv/a/one:/srv/a/two",
            "--append-line",
            "/srv/a/two:second",
            "--move",
            "/srv/a/two:/boot/two",
            "--link",
            "one:/srv/a/link",
            "--chmod",
            "0600:/srv/a/link",
            "--chown",
            "7:8:/srv/a/one",
            "--delete",
            "/srv/a/{x,l*}",
        ],
    )
    .succeeds();
    assert_eq!(
        said.stdout,
        "[…] Examining the guest ...\n[…] Making directory: /srv/a\n[…] Writing: /srv/a/one\n\
         […] Copying (in image): /srv/a/one to /srv/a/two\n[…] Appending line to /srv/a/two\n\
         […] Moving: /srv/a/two -> /boot/two\n[…] Linking: /srv/a/link -> one\n\
         […] Changing permissions of /srv/a/link to 0600\n[…] Changing owner of /srv/a/one to 7:8\n\
         […] Deleting: /srv/a/{x,l*}\n[…] Finishing off\n"
    );
    assert_eq!(world.content("disk.img", BOOT, "/two"), b"1\nsecond\n");
    let one = world.stat("disk.img", ROOT, "/srv/a/one");
    assert_eq!((one.mode.as_str(), one.owner), ("0600", (7, 8)));
    assert_sound(&world.path("disk.img"));
}

#[test]
fn an_error_leaves_the_image_as_it_was() {
    let world = world();
    let before = world.contents();
    let said = virt_customize(&world, &["-a", "disk.img", "--write", "/srv/x:1", "--truncate", "/srv/nothing"]);
    assert_eq!(said.stdout, "[…] Examining the guest ...\n[…] Writing: /srv/x\n[…] Truncating: /srv/nothing\n");
    said.refuses("virt-customize: error: `/srv/nothing` is not in the guest\n");
    assert!(before == world.contents());
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let world = world();
    let before = world.contents();
    let said = virt_customize(&world, &["-n", "-a", "disk.img", "--write", "/srv/x:1"]).succeeds();
    assert_eq!(said.stdout, "[…] Examining the guest ...\n[…] Writing: /srv/x\n[…] Finishing off\n");
    assert!(before == world.contents());
    let quiet = virt_customize(&world, &["-q", "-n", "-a", "disk.img", "--write", "/srv/x:1"]).succeeds();
    assert_eq!(quiet.stdout, "");
}

#[test]
fn a_mode_without_a_leading_zero_is_refused_or_read_as_decimal() {
    let world = world();
    virt_customize(&world, &["-a", "disk.img", "--chmod", "755:/etc/fstab"]).refuses(
        "virt-customize: error: --chmod: `755` does not begin with 0, and virt-customize reads it as decimal\n\
         hint: write `0755`, or take it so with `--decimal-modes`\n",
    );
    virt_customize(&world, &["-a", "disk.img", "--chmod", "755:/etc/fstab", "--decimal-modes"]).succeeds();
    assert_eq!(world.stat("disk.img", ROOT, "/etc/fstab").mode, "01363");
}

#[test]
fn owners_are_roots_unless_they_are_to_be_kept() {
    let world = world();
    let host = fs::metadata(world.path("autonoe")).unwrap();
    if testkit::is_root() {
        std::os::unix::fs::chown(world.path("autonoe"), Some(1234), Some(5678)).unwrap();
    }
    let line = ["-a", "disk.img", "--copy-in", "autonoe:/srv", "--upload", "autonoe:/srv/up"];
    virt_customize(&world, &line).succeeds();
    for path in ["/srv/autonoe", "/srv/up"] {
        let stat = world.stat("disk.img", ROOT, path);
        assert_eq!((stat.mode.as_str(), stat.owner), ("0700", (0, 0)), "{path}");
    }
    virt_customize(&world, &[&line[..], &["--keep-owner"]].concat()).succeeds();
    let owner = if testkit::is_root() { (1234, 5678) } else { (host.uid(), host.gid()) };
    assert_eq!(world.stat("disk.img", ROOT, "/srv/up").owner, owner);
    assert_eq!(world.stat("disk.img", ROOT, "/srv/autonoe").owner, owner);
}

#[test]
fn what_changes_is_compressed_unless_it_is_to_be_plain() {
    let world = world();
    world.file("large", "all the same ".repeat(300_000));
    fs::copy(world.path("disk.img"), world.path("plain.img")).unwrap();
    let before = fs::metadata(world.path("disk.img")).unwrap().len();
    virt_customize(&world, &["-a", "disk.img", "--copy-in", "large:/srv"]).succeeds();
    virt_customize(&world, &["-a", "plain.img", "--copy-in", "large:/srv", "--plain-clusters"]).succeeds();
    let grew = |image: &str| fs::metadata(world.path(image)).unwrap().len().saturating_sub(before);
    assert!(grew("disk.img") < 2_000_000, "{}", grew("disk.img"));
    assert!(grew("plain.img") > 3_900_000, "{}", grew("plain.img"));
}

#[test]
fn the_identity_stays_blank_unless_it_is_to_be_set() {
    let world = world();
    virt_customize(&world, &["-a", "disk.img", "--write", "/etc/machine-id:", "--mkdir", "/var/lib/urandom"])
        .succeeds();
    virt_customize(&world, &["-a", "disk.img", "--touch", "/srv/x"]).succeeds();
    assert_eq!(world.content("disk.img", ROOT, "/etc/machine-id"), b"");
    let line = ["-a", "disk.img", "--set-machine-id", "--set-random-seed"];
    let said = virt_customize(&world, &line).succeeds();
    assert_eq!(
        said.stdout,
        "[…] Examining the guest ...\n[…] Setting a random seed\n\
         […] Setting the machine ID in /etc/machine-id\n[…] Finishing off\n"
    );
    let id = world.content("disk.img", ROOT, "/etc/machine-id");
    assert!(id.len() == 33 && id[..32].iter().all(u8::is_ascii_hexdigit), "{id:?}");
    let seed = world.stat("disk.img", ROOT, "/var/lib/urandom/random-seed");
    assert_eq!((seed.mode.as_str(), seed.owner), ("0600", (0, 0)));
    // One that is there stays.
    virt_customize(&world, &line).succeeds();
    assert_eq!(world.content("disk.img", ROOT, "/etc/machine-id"), id);
}

#[test]
fn perl_edits_line_by_line_and_is_needed_for_nothing_else() {
    let world = world();
    let write = ["-a", "disk.img", "--write", "/srv/x:a\nb\nc\n"];
    virt_customize(&world, &[&write[..], &["--edit", "/srv/x:s/b/$lineno/; $_ = '' if /c/"]].concat()).succeeds();
    assert_eq!(world.content("disk.img", ROOT, "/srv/x"), b"a\n2\n");

    let without_perl = |arguments: &[&str]| {
        world.command("virt-customize").args(arguments).env("PATH", "/nonexistent").output().unwrap()
    };
    let output = without_perl(&["-a", "disk.img", "--edit", "/srv/x:s/a/b/"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("there is no `perl` on this machine"), "{stderr}");
    assert!(without_perl(&["-a", "disk.img", "--replace", "/srv/x:^a:A"]).status.success());
    assert_eq!(world.content("disk.img", ROOT, "/srv/x"), b"A\n2\n");

    let wrong = virt_customize(&world, &["-a", "disk.img", "--edit", "/srv/x:die 'no'"]);
    assert_eq!(wrong.code, 1);
    assert_eq!(world.content("disk.img", ROOT, "/srv/x"), b"A\n2\n");
}

#[test]
fn a_disk_without_a_system_is_left_alone_beside_one_that_has_it() {
    let world = world();
    world.file("data.raw", vec![0; 1 << 20]);
    let before = fs::metadata(world.path("data.raw")).unwrap().modified().unwrap();
    virt_customize(&world, &["-a", "data.raw", "-a", "disk.img", "--touch", "/srv/x"]).succeeds();
    assert_eq!(fs::metadata(world.path("data.raw")).unwrap().modified().unwrap(), before);
    virt_customize(&world, &["-a", "data.raw", "--touch", "/srv/x"])
        .refuses("virt-customize: error: no operating systems were found in the guest image\n");
}

#[test]
fn a_qcow2_that_is_said_or_named_to_be_raw_is_told_of() {
    let world = world();
    virt_customize(&world, &["--format", "raw", "-a", "disk.img", "--touch", "/srv/x"]).refuses(
        "virt-customize: error: no operating systems were found in the guest image\n\
         hint: `disk.img` is qcow2, and `--format raw` hides what is in it: leave that out\n",
    );
    fs::rename(world.path("disk.img"), world.path("disk.raw")).unwrap();
    let said = virt_customize(&world, &["-a", "disk.raw", "--touch", "/srv/x"]).succeeds();
    let warning = "virt-customize: warning: disk.raw is qcow2 and not raw: QEMU needs format=qcow2, or `imgraft \
                   convert` makes a raw image of it\n";
    assert!(said.stdout.contains(warning), "{}", said.stdout);
}

#[test]
fn a_new_system_takes_no_notice_of_what_is_for_windows() {
    let world = world();
    let said = virt_customize(&world, &["-a", "disk.img", "--inject-virtio-win", "virtio.iso"]).succeeds();
    assert_eq!(
        said.stdout,
        "[…] Examining the guest ...\nvirt-customize: warning: --inject-virtio-win ignored for non-Windows guest\n\
         […] Finishing off\n"
    );
}

#[test]
fn what_has_no_effect_is_said_to_whoever_wants_to_know() {
    let world = world();
    let line = ["-v", "--no-network", "-m", "2048", "-x", "-n", "-a", "disk.img", "--touch", "/srv/x"];
    let mut command = world.command("virt-customize");
    let output = command.args(line).env("LIBGUESTFS_BACKEND", "direct").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    for text in [
        "LIBGUESTFS_BACKEND has no effect: no appliance is started",
        "--memsize has no effect: no appliance is started",
        "-x has no effect: there is no libguestfs",
        "touched /srv/x",
    ] {
        assert!(stderr.contains(&format!("virt-customize: debug: {text}\n")), "{text}: {stderr}");
    }
    let silent = virt_customize(&world, &["-m", "2048", "-n", "-a", "disk.img", "--touch", "/srv/x"]);
    assert_eq!(silent.succeeds().stdout.lines().count(), 3);
}

#[test]
fn two_runs_are_the_same_bytes() {
    let (one, other) = (world(), world());
    let line = ["-a", "disk.img", "--copy-in", "autonoe:/srv", "--password", "root:password:x", "--hostname", "web"];
    for world in [&one, &other] {
        world.modified("autonoe", 1_700_000_000);
        virt_customize(world, &line).succeeds();
    }
    assert!(fs::read(one.path("disk.img")).unwrap() == fs::read(other.path("disk.img")).unwrap());
}

#[test]
fn links_are_made_for_each_name_and_replace_nothing_else() {
    let world = World::empty();
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_imgraft")).unwrap();
    world.run("install-compat bin").succeeds();
    for name in ["virt-customize", "cloud-localds"] {
        assert_eq!(fs::read_link(world.path(&format!("bin/{name}"))).unwrap(), program);
    }
    let version = Command::new(world.path("bin/virt-customize")).arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("virt-customize 1.48.2 (imgraft "));
    // Again, and over a link to another imgraft.
    fs::remove_file(world.path("bin/cloud-localds")).unwrap();
    symlink("/nowhere/imgraft", world.path("bin/cloud-localds")).unwrap();
    let on_path = [("PATH", world.path("bin").to_str().unwrap().to_owned())];
    let on_path: Vec<(&str, &str)> = on_path.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let folder = fs::canonicalize(world.path("bin")).unwrap();
    let folder = folder.display();
    world.run_with("install-compat bin", &on_path).succeeds().says(&format!(
        "made {folder}/cloud-localds -> {program}\nmade {folder}/virt-customize -> {program}\n{folder} is on PATH\n",
        program = program.display()
    ));

    fs::remove_file(world.path("bin/virt-customize")).unwrap();
    world.file("bin/virt-customize", "theirs");
    world.refuses(
        "install-compat bin",
        &format!(
            "error: `{folder}/virt-customize` is there and is not a link to imgraft\n\
             hint: choose another folder, or replace it with `--force`\n"
        ),
    );
    world.run_with("install-compat --force bin", &[("PATH", "/nonexistent")]).succeeds().says(&format!(
        "made {folder}/cloud-localds -> {program}\nmade {folder}/virt-customize -> {program}\n\
         {folder} is not on PATH: add it, before the others\n",
        program = program.display()
    ));
    assert_eq!(fs::metadata(world.path("bin/virt-customize")).unwrap().permissions().mode() & 0o111, 0o111);
}

/// Where the systems of [`two_systems`] begin, in bytes.
pub(crate) const SYSTEMS: [u64; 2] = [1 << 20, 40 << 20];

/// A folder with `below.raw`, which has a Debian and a Fedora with SELinux, and `disk.img`, an overlay of it.
pub(crate) fn two_systems() -> World {
    let world = World::empty();
    for (id, hosts) in [
        ("debian", "127.0.0.1\tlocalhost\n127.0.1.1\told\n10.0.0.9 db old  web # of old\n# old\n::1 older localhost\n"),
        ("fedora", "127.0.0.1 localhost\n127.0.1.1 old\n"),
    ] {
        let tree = format!("t/{id}");
        let file = |path: &str, content: &str| world.file(&format!("{tree}/{path}"), content);
        for folder in ["bin", "tmp", "root", "usr/sbin", "var/log"] {
            fs::create_dir_all(world.path(&format!("{tree}/{folder}"))).unwrap();
        }
        file("etc/os-release", &format!("ID={id}\nNAME={id}\nVERSION_ID=39\nPRETTY_NAME={id}\n"));
        file(&format!("etc/{id}_version"), "12.0\n");
        file("etc/fstab", &format!("LABEL={id} / ext4 defaults 0 1\n"));
        file("etc/hostname", "old\n");
        file("etc/hosts", hosts);
        for (name, mode) in [("old", 0o640), ("setuid", 0o4755), ("read-only", 0o400)] {
            let name = format!("{tree}/srv/{name}");
            world.file(&name, "content\n").mode(&name, mode).modified(&name, 1_000_000_000);
        }
        for (name, content) in [("a", "full\n"), ("sub/b", "full\n"), ("sub/.c", "full\n"), ("sub/empty", "")] {
            file(&format!("srv/full/{name}"), content);
        }
        let srv = world.path(&format!("{tree}/srv"));
        fs::hard_link(srv.join("full/a"), srv.join("other")).unwrap();
        for (target, link) in [("../old", "full/file"), ("/etc", "full/folder"), ("old", "link")] {
            symlink(target, srv.join(link)).unwrap();
        }
    }
    world.file("t/fedora/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
    world.file("t/fedora/usr/sbin/load_policy", "");
    let below = world.path("below.raw");
    fs::File::create(&below).unwrap().set_len(80 << 20).unwrap();
    world.file("script", "label: gpt\n1MiB,32MiB\n40MiB,32MiB\n");
    let script = fs::File::open(world.path("script")).unwrap();
    judge("sfdisk").args(["-q", "--no-reread", "--no-tell-kernel"]).arg(&below).stdin(script).succeed();
    for (id, offset) in ["debian", "fedora"].into_iter().zip(SYSTEMS) {
        let options = format!("offset={offset},root_owner=0:0");
        let tree = world.path(&format!("t/{id}"));
        judge("mkfs.ext4")
            .args(["-q", "-F", "-L", id, "-E", &options, "-d"])
            .arg(tree)
            .arg(&below)
            .arg("32M")
            .succeed();
    }
    let line = ["create", "-q", "-f", "qcow2", "-b", "below.raw", "-F", "raw"];
    judge("qemu-img").args(line).arg(world.path("disk.img")).succeed();
    fs::remove_dir_all(world.path("t")).unwrap();
    world
}

/// As the original does: each system on the disk gets everything. Unlike there, all of them or none.
#[test]
fn each_of_several_systems_is_changed_or_none_is() {
    let world = two_systems();
    let before = world.contents();
    // It is in the first system only when the second one comes to it.
    let line = ["-a", "disk.img", "--write", "/srv/new:x", "--delete", "/etc/debian_version"];
    let said = virt_customize(&world, &[&line[..], &["--truncate", "/etc/fedora_version"]].concat());
    said.refuses("virt-customize: error: `/etc/fedora_version` is not in the guest\n");
    let said = virt_customize(&world, &["-a", "disk.img", "--write", "/etc/x:y", "--truncate", "/etc/debian_version"]);
    assert!(said.stdout.contains("Changing the system on partition 2 (ext4 `fedora`)\n"), "{}", said.stdout);
    said.refuses("virt-customize: error: `/etc/debian_version` is not in the guest\n");
    assert!(before == world.contents());

    let line = ["-a", "disk.img", "--write", "/srv/new:x", "--hostname", "web.example.org", "--selinux-relabel"];
    let said = virt_customize(&world, &line).succeeds();
    let [debian, fedora] = ["1 (ext4 `debian`)", "2 (ext4 `fedora`)"].map(|system| {
        format!(
            "[…] Changing the system on partition {system}\n[…] Writing: /srv/new\n\
             […] Setting the hostname: web.example.org\n"
        )
    });
    assert_eq!(
        said.stdout,
        format!(
            "[…] Examining the guest ...\n[…] Reading the backing file below.raw, which stays as it is\n{debian}{fedora}\
             […] Asking the guest for SELinux relabelling at its next boot\n[…] Finishing off\n"
        )
    );
    judge("qemu-img")
        .args(["convert", "-O", "raw"])
        .args(["disk.img", "whole.raw"].map(|name| world.path(name)))
        .succeed();
    for (index, offset) in SYSTEMS.into_iter().enumerate() {
        let content = |path: &str| {
            let place = format!("{}?offset={offset}", world.path("whole.raw").display());
            judge("debugfs").args(["-R", &format!("cat {path}")]).arg(place).succeed().stdout
        };
        assert_eq!((content("/srv/new").as_str(), content("/etc/hostname").as_str()), ("x", "web.example.org\n"));
        let hosts = ["127.0.1.1\tweb.example.org\n", "127.0.1.1 old\n"][index];
        assert!(content("/etc/hosts").contains(hosts), "{}", content("/etc/hosts"));
        assert_e2fsck_clean(&world.path("whole.raw"), offset);
    }
    // The program itself does not choose one.
    world.refuses(
        "customize disk.img --allow-backing --touch /srv/x",
        "error: `disk.img` was not changed\n  cause: `disk.img` cannot be used\n  cause: there are several \
         root file systems on the disk: partition 1 (ext4 `debian`), partition 2 (ext4 `fedora`)\n",
    );
}

/// `qemu-img create -b base.img`, then customize: by names that begin at the folder of each file.
#[test]
fn a_chain_of_three_is_opened_and_only_its_top_is_changed() {
    let world = world();
    fs::create_dir(world.path("images")).unwrap();
    for (below, name) in [("../disk.img", "images/middle.qcow2"), ("middle.qcow2", "images/top.qcow2")] {
        let line = ["create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2"];
        judge("qemu-img").args(line).arg(world.path(name)).succeed();
    }
    let read = |name: &str| fs::read(world.path(name)).unwrap();
    let before = ["disk.img", "images/middle.qcow2"].map(read);
    // The same is refused by the program that is not spoken to as virt-customize.
    let run = world.run("customize images/top.qcow2 --touch /srv/x");
    assert!(run.code == Some(2) && run.stderr.contains("--allow-backing"), "{}", run.stderr);

    let line = ["-a", "images/top.qcow2", "--write", "/srv/x:in the chain\n"];
    let said = virt_customize(&world, &line).succeeds();
    assert_eq!(
        said.stdout,
        "[…] Examining the guest ...\n\
         […] Reading the backing file images/middle.qcow2, which stays as it is\n\
         […] Reading the backing file images/../disk.img, which stays as it is\n\
         […] Writing: /srv/x\n[…] Finishing off\n"
    );
    assert!(before == ["disk.img", "images/middle.qcow2"].map(read), "a file under the image was changed");
    judge("qemu-img").args(["check", "-q"]).arg(world.path("images/top.qcow2")).succeed();
    world.run("convert images/top.qcow2 whole.img --allow-backing").succeeds();
    let both = ["images/top.qcow2", "whole.img"].map(|name| world.path(name));
    judge("qemu-img").args(["compare", "-q"]).args(both).succeed();
    assert_sound(&world.path("whole.img"));
    assert_eq!(world.content("whole.img", ROOT, "/srv/x"), b"in the chain\n");
    // What the option once did is done anyway.
    virt_customize(&world, &[&line[..], &["--allow-backing"]].concat()).succeeds();
}

#[test]
fn a_hostname_is_written_where_the_original_writes_it_for_the_system() {
    let hosts = "127.0.0.1 localhost\n127.0.1.1 web.lan web webs # web\n";
    for (os, info, warns) in [
        ("debian", None, false),
        ("fedora", Some("CHASSIS=vm\nPRETTY_HOSTNAME=db.example.org\n"), false),
        ("opensuse-leap", None, false),
        ("alpine", None, true),
        ("plan10", None, true),
    ] {
        let world = world();
        let [release, written] = [format!("/usr/lib/os-release:ID={os}\n"), format!("/etc/hosts:{hosts}")];
        let line = [
            "-q",
            "-a",
            "disk.img",
            "--write",
            release.as_str(),
            "--write",
            written.as_str(),
            "--write",
            "/etc/hostname:web.lan\n",
        ];
        virt_customize(&world, &line).succeeds();
        if info.is_some() {
            let old = "/etc/machine-info:PRETTY_HOSTNAME=web\nCHASSIS=vm\n";
            virt_customize(&world, &["-q", "-a", "disk.img", "--write", old]).succeeds();
        }
        let said = virt_customize(&world, &["-a", "disk.img", "--hostname", "db.example.org"]).succeeds();
        let warning = "virt-customize: warning: hostname could not be set for this type of guest\n";
        assert_eq!(said.stdout.contains(warning), warns, "{os}: {}", said.stdout);
        let text = |path: &str| String::from_utf8(world.content("disk.img", ROOT, path)).unwrap();
        assert_eq!(text("/etc/hostname"), if warns { "web.lan\n" } else { "db.example.org\n" }, "{os}");
        let renamed = "127.0.0.1 localhost\n127.0.1.1 db.example.org db webs # web\n";
        assert_eq!(text("/etc/hosts"), if os == "debian" { renamed } else { hosts }, "{os}");
        if let Some(info) = info {
            assert_eq!(text("/etc/machine-info"), info, "{os}");
        }
    }
}

#[test]
fn touching_a_directory_and_emptying_below_a_file_are_refused() {
    let world = world();
    let before = world.contents();
    virt_customize(&world, &["-a", "disk.img", "--touch", "/etc"])
        .refuses("virt-customize: error: `/etc` is a directory\n");
    virt_customize(&world, &["-a", "disk.img", "--link", "fstab:/etc/link", "--touch", "/etc/link"])
        .refuses("virt-customize: error: `/etc/link` is not a regular file\n");
    virt_customize(&world, &["-a", "disk.img", "--truncate-recursive", "/etc/fstab"])
        .refuses("virt-customize: error: `/etc/fstab` is not a directory\n");
    assert!(before == world.contents());
}

#[test]
fn labels_are_asked_for_where_there_is_selinux_and_warned_of_by_the_option_of_this_program() {
    let world = world();
    let said = virt_customize(&world, &["-a", "disk.img", "--touch", "/srv/x", "--selinux-relabel"]).succeeds();
    assert!(!said.stdout.contains("relabel"), "{}", said.stdout);
    let config = "/etc/selinux/config:SELINUX=enforcing\n";
    let line = ["-a", "disk.img", "--mkdir", "/etc/selinux", "--write", config];
    let said = virt_customize(&world, &line).succeeds();
    let unlabelled = "virt-customize: warning: the guest enforces SELinux and what is new has no label: ";
    assert!(said.stdout.contains(&format!("{unlabelled}`--selinux-relabel` has it labelled at the next boot\n")));
    let line = ["-a", "disk.img", "--touch", "/srv/y", "--selinux-relabel"];
    let said = virt_customize(&world, &line).succeeds();
    let why = "nothing was relabelled, since there is no /usr/sbin/load_policy in the guest\n";
    assert!(said.stdout.contains(&format!("{unlabelled}{why}")), "{}", said.stdout);
    assert!(!said.stdout.contains("next boot"), "{}", said.stdout);

    let policy = ["-q", "-a", "disk.img", "--mkdir", "/usr/sbin", "--write", "/usr/sbin/load_policy:"];
    virt_customize(&world, &policy).succeeds();
    let said = virt_customize(&world, &line).succeeds();
    assert_eq!(
        said.stdout,
        "[…] Examining the guest ...\n[…] Running touch: /srv/y\n\
         […] Asking the guest for SELinux relabelling at its next boot\n[…] Finishing off\n"
    );
    assert_eq!(world.content("disk.img", ROOT, "/.autorelabel"), b"");
    virt_customize(&world, &["-q", "-a", "disk.img", "--delete", "/.autorelabel"]).succeeds();
    // That nothing is to be labelled wins, before and after.
    for options in [["--no-selinux-relabel", "--selinux-relabel"], ["--selinux-relabel", "--no-selinux-relabel"]] {
        let said = virt_customize(&world, &[&line[..4], &options[..]].concat()).succeeds();
        assert!(!said.stdout.contains("relabelling"), "{}", said.stdout);
        virt_customize(&world, &["-q", "-a", "disk.img", "--truncate", "/.autorelabel"])
            .refuses("virt-customize: error: `/.autorelabel` is not in the guest\n");
    }
}

/// Lines and patterns of a MiB, which is the limit of a file of commands. Without bounds each takes minutes or gigabytes.
#[test]
fn a_file_of_commands_cannot_take_the_time_or_the_memory_of_the_host() {
    let world = world();
    let before = fs::read(world.path("disk.img")).unwrap();
    let delete = |pattern: String| format!("delete /{pattern}\n");
    let too_many =
        "--delete: the braces stand for too many paths: 4096 can be\nhint: use several `--delete`, or `*` and `?`";
    for (name, text, said) in [
        ("itself", "commands-from-file itself\n".to_owned(), "cannot be used in command files"),
        ("cut", "commands-from-fil cut\n".to_owned(), "command 'commands-from-fil' not valid"),
        ("flood", "mkdir /a\n".repeat(200_000), "flood: larger than 1048576 bytes"),
        ("empty-lines", "\n".repeat(1 << 21), "empty-lines: larger than 1048576 bytes"),
        ("goes-on", format!("mkdir /{}", "\\\n".repeat(500_000)), "a name of 500000 bytes, the longest is 255"),
        ("long", format!("mkdir /{}\n", "x".repeat(1_000_000)), "a name of 1000000 bytes, the longest is 255"),
        ("open", delete("{".repeat(1_000_000)), "a name of 1000000 bytes, the longest is 255"),
        ("closed", delete("{a}".repeat(300_000)), too_many),
        ("nested", delete("{a,".repeat(200_000) + &"}".repeat(200_000)), too_many),
        ("copied", delete("{a,b}".repeat(11) + &"x".repeat(1_000_000)), too_many),
        ("many", delete("{a,b}".repeat(20)), too_many),
        ("nul", "mkdir /a\0b\n".to_owned(), "a path cannot have a NUL byte in it"),
    ] {
        world.file(name, &text);
        let start = std::time::Instant::now();
        let ended = virt_customize(&world, &["-q", "-a", "disk.img", "--commands-from-file", name]);
        let end = &ended.stderr[ended.stderr.len().saturating_sub(300)..];
        assert!(ended.code == 1 && end.contains(said), "{name}: {} {end}", ended.code);
        assert!(start.elapsed().as_secs() < 30, "{name}: {:?}", start.elapsed());
    }
    assert!(before == fs::read(world.path("disk.img")).unwrap());
}

/// Names that are cut short: 1.48's getopt takes one where it is the only one, and lists all where it is not.
#[test]
fn options_that_are_cut_short_are_taken_or_listed() {
    let world = world();
    virt_customize(&world, &["-q", "-a", "disk.img", "--touc", "/srv/a", "--writ=/srv/b:1"]).succeeds();
    let before = world.contents();
    for (option, said) in [
        ("--commands-from", "requires an argument"),
        ("--t", "is ambiguous; possibilities:"),
        ("--=", "is ambiguous; possibilities:"),
        ("--touch-", "unrecognized option '--touch-'"),
    ] {
        let ended = virt_customize(&world, &["-a", "disk.img", option]);
        assert!(ended.code == 1 && ended.stderr.contains(said), "{option}: {}", ended.stderr);
    }
    let long = format!("--{}", "t".repeat(100_000));
    let ended = virt_customize(&world, &["-a", "disk.img", &long]);
    assert!(ended.code == 1 && ended.stderr.contains("unrecognized option"), "{}", ended.stderr.len());
    assert!(before == world.contents());
}
