//! `imgraft seed check`, and the look before a seed is written.

use std::fs::{self, File};
use std::process::{Output, Stdio};

use crate::support::World;
use testkit::judge::judge;

const RIGHT: &str = "#cloud-config\nhostname: web\nruncmd:\n- echo hi\n";
const WRONG: &str = "#cloud-config\npackage:\n- nginx\n";
const WARNED: &str = "#cloud-config\nhostname: web\nhostname: web\n";

fn world() -> World {
    let world = World::empty();
    world.file("right.yaml", RIGHT).file("wrong.yaml", WRONG).file("warned.yaml", WARNED);
    world.file("net.yaml", "version: 2\nethernets:\n  eth0: {dhcp4: true}\n");
    world
}

fn output(world: &World, arguments: &str) -> (i32, String, String) {
    let Output { status, stdout, stderr } = world.command(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn what_is_wrong_is_shown_in_its_line() {
    let world = world();
    let (code, stdout, stderr) = output(&world, "seed check wrong.yaml");
    let expected = "\
error: there is no key `package`
 --> wrong.yaml:2:1
  |
2 | package:
  | ^^^^^^^ did you mean `packages`?

";
    assert_eq!((code, stdout.as_str()), (1, expected));
    assert_eq!(stderr, "`wrong.yaml` is user-data by its content: cloud-config\n1 error\n");

    let (code, stdout, stderr) = output(&world, "seed check right.yaml net.yaml");
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert_eq!(
        stderr,
        "`right.yaml` is user-data by its content: cloud-config\n`net.yaml` is network-config by its name: network version \
         2\nnothing is wrong\n"
    );
}

#[test]
fn the_exit_code_says_how_it_is() {
    let world = world();
    for (arguments, expected) in [
        ("seed check right.yaml", 0),
        ("seed check warned.yaml", 0),
        ("seed check --strict warned.yaml", 1),
        ("seed check wrong.yaml", 1),
        ("seed check right.yaml wrong.yaml", 1),
        ("seed check --as network-config right.yaml", 1),
        ("seed check not-there.yaml", 2),
        ("seed check - -", 2),
        ("seed check", 2),
    ] {
        let (code, _, stderr) = output(&world, arguments);
        assert_eq!(code, expected, "{arguments}: {stderr}");
    }
}

/// 21 KB, in which aliases bring 10,200 brackets that are one in the other.
#[test]
fn a_small_text_that_is_deep_by_aliases_is_refused() {
    let (open, close) = ("[".repeat(120), "]".repeat(120));
    let mut text = format!("#cloud-config\na0: &a0 {open}{close}\n");
    for line in 1..85 {
        text += &format!("a{line}: &a{line} {open} *a{} {close}\n", line - 1);
    }
    let world = world();
    world.file("deep.yaml", &text);
    let message = "error: the text is nested more than 128 deep, counting what aliases stand for\n";
    for role in ["user-data", "vendor-data", "network-config", "meta-data"] {
        let (code, stdout, stderr) = output(&world, &format!("seed check --as {role} deep.yaml"));
        // What is behind the limit was not looked at.
        assert_eq!(code, 2, "{role}: {stdout}{stderr}");
        assert!(stdout.starts_with(message) && stdout.contains("deep.yaml:3:"), "{role}: {stdout}");
    }
    for option in ["--user-data deep.yaml", "--user ada --user-data deep.yaml", "--user ada --network-config deep.yaml"]
    {
        let (code, stdout, stderr) = output(&world, &format!("seed iso {option} -o seed.iso"));
        assert_eq!(code, 2, "{option}: {stdout}{stderr}");
        assert!(stderr.contains("nested more than 128 deep"), "{option}: {stdout}{stderr}");
        assert!(!world.path("seed.iso").exists());
    }
}

#[test]
fn what_a_text_says_in_its_first_line_goes_before_what_its_name_is_like() {
    let world = world();
    let network = "version: 2\nethernets:\n  eth0: {dhcp4: true}\n";
    for (name, text, expected) in [
        ("x-networking.yaml", RIGHT, "user-data by its content"),
        ("netplan-setup.sh", "#!/bin/sh\n", "user-data by its content"),
        ("my-network-config.yaml", RIGHT, "user-data by its content"),
        ("y-networking.yaml", network, "network-config by its name"),
        ("network-config", RIGHT, "network-config by its name"),
        ("net.yaml", network, "network-config by its name"),
        ("some.yaml", network, "network-config by its content"),
    ] {
        world.file(name, text);
        let (_, _, stderr) = output(&world, &format!("seed check {name}"));
        assert!(stderr.starts_with(&format!("`{name}` is {expected}: ")), "{name}: {stderr}");
    }
}

#[test]
fn json_says_all_of_it() {
    let world = world();
    let (code, stdout, _) = output(&world, "seed check --json wrong.yaml warned.yaml");
    assert_eq!(code, 1);
    let said: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(said["errors"], 1);
    assert_eq!(said["warnings"], 1);
    assert_eq!(said["files"][0]["kinds"][0], "cloud-config");
    let finding = &said["findings"][0];
    assert_eq!((&finding["file"], &finding["line"], &finding["column"]), (&"wrong.yaml".into(), &2.into(), &1.into()));
    assert_eq!((&finding["severity"], &finding["rule"]), (&"error".into(), &"schema".into()));
    assert_eq!(said["findings"][1]["rule"], "duplicate-key");
}

#[test]
fn standard_input_is_a_file_like_others() {
    let world = world();
    let mut command = world.command("seed check --as user-data -");
    let output = command.stdin(File::open(world.path("wrong.yaml")).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("--> -:2:1"), "{output:?}");
}

#[test]
fn folders_and_media_are_looked_into() {
    let world = world();
    fs::create_dir(world.path("seed")).unwrap();
    fs::copy(world.path("wrong.yaml"), world.path("seed/user-data")).unwrap();
    let (code, stdout, _) = output(&world, "seed check seed");
    assert_eq!(code, 1);
    assert!(stdout.contains("--> seed/user-data:2:1"), "{stdout}");
    assert!(stdout.contains("`seed`: cloud-init ignores this seed: it has no `meta-data`"), "{stdout}");

    for kind in ["iso", "vfat", "tar"] {
        world.run(&format!("-q seed {kind} --no-check --user-data wrong.yaml -o medium")).succeeds();
        let (code, stdout, stderr) = output(&world, "seed check medium");
        assert_eq!(code, 1, "{kind}");
        assert!(stdout.contains("--> medium:user-data:2:1"), "{kind}: {stdout}");
        assert!(stderr.contains("`medium:meta-data` is meta-data by its name"), "{kind}: {stderr}");
    }
    // As others make them.
    let path = |name| world.path(name);
    judge("cloud-localds").arg(path("other.iso")).arg(path("wrong.yaml")).succeed();
    judge("cloud-localds").args(["-d", "qcow2", "-f", "vfat"]).arg(path("other.img")).arg(path("wrong.yaml")).succeed();
    judge("genisoimage").args(["-quiet", "-V", "Seed", "-r", "-o"]).arg(path("label.iso")).arg(path("seed")).succeed();
    for name in ["other.iso", "other.img"] {
        let (code, stdout, _) = output(&world, &format!("seed check {name}"));
        assert_eq!(code, 1, "{name}");
        assert!(stdout.contains(&format!("--> {name}:user-data:2:1")), "{name}: {stdout}");
        assert!(!stdout.contains("label"), "{name}: {stdout}");
    }
    let (_, stdout, _) = output(&world, "seed check label.iso");
    assert!(stdout.contains("cloud-init does not find this disk: its label is `Seed`"), "{stdout}");
}

#[test]
fn a_wrong_seed_is_not_written_unless_that_is_asked_for() {
    let world = world();
    for kind in ["iso", "vfat", "tar"] {
        let (code, _, stderr) = output(&world, &format!("seed {kind} --user-data wrong.yaml -o out"));
        assert_eq!(code, 2, "{kind}");
        assert!(stderr.contains("--> wrong.yaml:2:1"), "{kind}: {stderr}");
        assert!(stderr.ends_with("no seed was made; `--no-check` takes it as it is\n"), "{kind}: {stderr}");
        assert!(!world.path("out").exists(), "{kind}");
        let (code, _, stderr) = output(&world, &format!("seed {kind} --no-check --user-data wrong.yaml -o out"));
        assert_eq!((code, stderr.contains("error")), (0, false), "{kind}");
        fs::remove_file(world.path("out")).unwrap();
    }
    let (code, _, stderr) = output(&world, "seed iso --user-data warned.yaml -o out");
    assert_eq!(code, 0);
    assert!(stderr.starts_with("warning: the key `hostname` occurs again below: this one is ignored"), "{stderr}");
    // The original looks at nothing.
    let (code, _, stderr) = output(&world, "cloud-localds out2 wrong.yaml");
    assert_eq!((code, stderr.contains("package")), (0, false), "{stderr}");
}

#[test]
fn no_guest_gets_a_wrong_seed_unless_that_is_asked_for() {
    let world = World::new();
    world.file("recipe/wrong.yaml", WRONG).file("recipe/app.toml", "[boot]\nuser-data = 'wrong.yaml'\n");
    let advice = "no seed was made; `--no-check` takes it as it is\n";
    for arguments in [
        "boot base.img --user-data recipe/wrong.yaml",
        "seed serve --user-data recipe/wrong.yaml",
        "test base.img --user-data recipe/wrong.yaml",
        "test base.img --recipe recipe/app.toml",
    ] {
        let (ended, stdout, stderr) = output(&world, arguments);
        assert_eq!((ended, stdout.as_str()), (2, ""), "{arguments}: {stderr}");
        assert!(stderr.contains("--> recipe/wrong.yaml:2:1"), "{arguments}: {stderr}");
        assert!(stderr.ends_with(advice), "{arguments}: {stderr}");
    }
    let (ended, stdout, _) =
        output(&world, "boot base.img --no-check --user-data recipe/wrong.yaml --keep files --print-command");
    assert!(ended == 0 && stdout.contains("seed.iso"), "{stdout}");
    let seed = world.path("files/seed.iso");
    let written = judge("isoinfo").args(["-R", "-x", "/user-data", "-i"]).arg(seed).succeed().stdout;
    assert_eq!(written, WRONG);
}
