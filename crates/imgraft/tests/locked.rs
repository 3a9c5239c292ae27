//! Builds upon bases that go by a name, and the lock that says which bytes these were.

use std::fs;

use crate::publisher::{IMAGE, Publisher, RELEASE, run};
use crate::support::{ROOT, World, assert_sound};
use catalogue::Digest;
use catalogue::cache::Algorithm;

const AUTONOE: &str = include_str!("../../../recipes/autonoe.toml");

/// A folder with the recipe and the binary, and a site with two builds of its base, the second of which is the small
/// cloud image with a file more at its end, so that both are good images.
fn world() -> (World, Publisher) {
    let (world, publisher) = (World::empty(), Publisher::new());
    world.file("recipes/autonoe.toml", AUTONOE).file("autonoe", "\x7fELF").modified("autonoe", 1_600_000_000);
    (world, publisher)
}

fn newer(image: &[u8]) -> Vec<u8> {
    [image, &[0; 65536]].concat()
}

const BUILD: &str = "build recipes/autonoe.toml --input autonoe=autonoe";

#[test]
fn the_shipped_recipe_needs_a_network_and_the_binary_and_is_locked_from_then_on() {
    let (world, publisher) = world();
    let image = publisher.image.clone();
    publisher.put_streams(&[("20260701", &image)]);
    let arguments = publisher.arguments(&world);

    let built = run(&world, &format!("{BUILD} -o one.img {arguments}")).succeeds();
    let said = publisher.said(&world, &built);
    assert!(said.contains("ubuntu:24.04/server 20260701 (amd64): signed by KEY at 2024-01-01T00:00:00Z\n"), "{said}");
    assert!(said.contains("\nwrote recipes/imgraft.lock\n"), "{said}");
    assert_sound(&world.path("one.img"));
    assert_eq!(world.content("one.img", ROOT, "/usr/local/bin/autonoe"), b"\x7fELF");
    let lock = fs::read_to_string(world.path("recipes/imgraft.lock")).unwrap();
    let digest = Digest::of(Algorithm::Sha256, &image);
    let record = format!(
        "[[base]]\nname = \"ubuntu:24.04/server\"\narch = \"amd64\"\nserial = \"20260701\"\naddress = \
         \"https://cloud-images.ubuntu.com/releases/server/releases/noble/release-20260701/{IMAGE}\"\ndigest = \
         \"{digest}\"\nsize = {}\nverified = \"signature\"\nsigner = \"{}\"\nsigned = \"2024-01-01T00:00:00Z\"\n",
        image.len(),
        publisher.key
    );
    assert!(lock.ends_with(&format!("version = 1\n\n{record}")), "{lock}");

    // A newer build makes no difference, and nobody has to be asked.
    publisher.put_streams(&[("20260701", &image), ("20260725", &newer(&image))]);
    let before = publisher.site.requests().len();
    run(&world, &format!("{BUILD} -o two.img --locked --offline {arguments}")).succeeds();
    assert_eq!(publisher.site.requests().len(), before);
    assert!(fs::read(world.path("one.img")).unwrap() == fs::read(world.path("two.img")).unwrap());
    assert_eq!(fs::read_to_string(world.path("recipes/imgraft.lock")).unwrap(), lock);

    // Until it is wanted.
    let new_digest = Digest::of(Algorithm::Sha256, &newer(&image));
    let changes = format!(
        "ubuntu:24.04/server (amd64)\n  build    20260701\n        -> 20260725\n  digest   {digest}\n        -> \
         {new_digest}\n  address  https://cloud-images.ubuntu.com/releases/server/releases/noble/release-20260701/{IMAGE}\n        \
         -> https://cloud-images.ubuntu.com/releases/server/releases/noble/release-20260725/{IMAGE}\n"
    );
    let dry = run(&world, &format!("update recipes/autonoe.toml --dry-run {arguments}")).succeeds();
    assert_eq!(dry.stdout, format!("{changes}this was a dry run: recipes/imgraft.lock is as it was\n"));
    assert_eq!(fs::read_to_string(world.path("recipes/imgraft.lock")).unwrap(), lock);
    let updated = run(&world, &format!("update recipes/autonoe.toml {arguments}")).succeeds();
    assert_eq!(updated.stdout, format!("{changes}wrote recipes/imgraft.lock\n"));
    let again = run(&world, &format!("update recipes/autonoe.toml {arguments}")).succeeds();
    assert_eq!(again.stdout, "ubuntu:24.04/server (amd64): recipes/imgraft.lock has the newest build, 20260725\n");
    let json = run(&world, &format!("update recipes/autonoe.toml --json {arguments}")).succeeds();
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&report["changed"], &report["to"]["serial"]), (&false.into(), &"20260725".into()));
    run(&world, &format!("{BUILD} -o three.img --locked {arguments}")).succeeds();
}

#[test]
fn a_build_that_has_to_be_locked_fails_where_it_is_not() {
    let (world, publisher) = world();
    publisher.put_streams(&[("20260701", b"one"), ("20260725", b"two")]);
    let arguments = publisher.arguments(&world);
    let hint = "hint: `imgraft update` writes it; without `--locked`, this does\n";
    let build = format!("{BUILD} -o x.img --locked {arguments}");
    let missing = run(&world, &build);
    assert_eq!(missing.stderr, format!("error: there is no lock: `recipes/imgraft.lock`\n{hint}"));
    assert_eq!((missing.code, publisher.site.requests().len()), (Some(2), 0));

    run(&world, &format!("update recipes/autonoe.toml {arguments}")).succeeds();
    let lock = fs::read_to_string(world.path("recipes/imgraft.lock")).unwrap();
    for (from, to, error) in [
        (
            "ubuntu:24.04\"",
            "ubuntu:24.04@20260701\"",
            "the recipe asks for `ubuntu:24.04/server@20260701`, and the lock `recipes/imgraft.lock` has \
             ubuntu:24.04/server 20260725 (amd64)",
        ),
        (
            "ubuntu:24.04\"",
            "ubuntu:22.04\"",
            "the lock `recipes/imgraft.lock` does not have `ubuntu:22.04/server` (amd64)",
        ),
        (
            "variant = \"server\"",
            "variant = \"minimal\"",
            "the lock `recipes/imgraft.lock` does not have `ubuntu:24.04/minimal` (amd64)",
        ),
        (
            "arch = \"amd64\"",
            "arch = \"arm64\"",
            "the lock `recipes/imgraft.lock` does not have `ubuntu:24.04/server` (arm64)",
        ),
    ] {
        world.file("recipes/autonoe.toml", AUTONOE.replacen(from, to, 1));
        let refused = run(&world, &build);
        assert_eq!(refused.stderr, format!("error: {error}\n{hint}"), "{to}");
    }
    // Without it, the pinned build is found, and locked.
    world.file("recipes/autonoe.toml", AUTONOE.replacen("ubuntu:24.04\"", "ubuntu:24.04@20260701\"", 1));
    let refused = run(&world, &format!("{BUILD} -o x.img {arguments}"));
    assert!(refused.stderr.contains("cannot be used"), "`one` is no image: {}", refused.stderr);
    let pinned = fs::read_to_string(world.path("recipes/imgraft.lock")).unwrap();
    assert!(pinned.contains("serial = \"20260701\"") && lock.contains("serial = \"20260725\""), "{pinned}");

    world.file("recipes/imgraft.lock", "version = 9\n");
    let refused = run(&world, &build);
    assert_eq!(
        refused.stderr,
        "error: the lock `recipes/imgraft.lock` cannot be read\n  cause: it has version 9, but only version 1 is \
         supported\nhint: `imgraft update` writes a new one where there is none\n"
    );
}

#[test]
fn a_build_that_is_gone_is_said_to_be_and_what_to_do() {
    let (world, publisher) = world();
    publisher.put_streams(&[("20260701", b"one")]);
    let arguments = publisher.arguments(&world);
    run(&world, &format!("update recipes/autonoe.toml {arguments}")).succeeds();
    let path = format!("/releases/server/releases/noble/release-20260701/{IMAGE}");
    publisher.site.remove(&path);
    let refused = run(&world, &format!("{BUILD} -o x.img {arguments}"));
    assert_eq!(
        publisher.said(&world, &refused),
        format!(
            "error: `SITE{path}`: the server answers 404 (no such file)\n\
             hint: publishers remove old builds: `imgraft update` has the lock say the newest one\n"
        )
    );
}

#[test]
fn what_was_taken_without_being_verified_is_recorded() {
    let (world, publisher) = world();
    publisher.put_folder(RELEASE, IMAGE, &publisher.image);
    publisher.site.remove(&format!("{RELEASE}/SHA256SUMS.gpg"));
    let arguments = publisher.arguments(&world);
    let refused = run(&world, &format!("{BUILD} -o x.img {arguments}"));
    assert_eq!((refused.code, world.path("x.img").exists()), (Some(2), false));
    assert!(!world.path("recipes/imgraft.lock").exists());
    let warning = "warning: ubuntu:24.04/server (amd64) is not verified: anybody could have sent it\n";
    let built = run(&world, &format!("{BUILD} -o x.img --insecure {arguments}")).succeeds();
    assert!(built.stderr.contains(warning), "{}", built.stderr);
    let lock = fs::read_to_string(world.path("recipes/imgraft.lock")).unwrap();
    assert!(lock.contains("verified = \"nothing\"\n") && !lock.contains("signer"), "{lock}");
    // It is as loud the next time.
    let built = run(&world, &format!("{BUILD} -o y.img --locked --offline {arguments}")).succeeds();
    assert!(built.stderr.contains(warning), "{}", built.stderr);
}

#[test]
fn a_base_on_the_command_line_may_be_a_name_or_an_address() {
    let (world, publisher) = world();
    let image = publisher.image.clone();
    publisher.put_streams(&[("20260701", &image)]);
    let arguments = publisher.arguments(&world);
    world.file("app", "app\n");
    run(&world, &format!("build --base noble --arch amd64 --put app:/srv/app -o one.img {arguments}")).succeeds();
    assert_eq!(world.content("one.img", ROOT, "/srv/app"), b"app\n");
    assert!(!world.path("imgraft.lock").exists(), "only a recipe is locked");

    let url = publisher.site.url(&format!("/releases/server/releases/noble/release-20260701/{IMAGE}"));
    let digest = Digest::of(Algorithm::Sha256, &image);
    run(&world, &format!("build --base {url}#{digest} --put app:/srv/app -o two.img --offline {arguments}")).succeeds();
    assert!(fs::read(world.path("one.img")).unwrap() == fs::read(world.path("two.img")).unwrap());

    // A file comes before a name, and a path that is nearly a name says so.
    fs::write(world.path("noble"), &image).unwrap();
    let requests = publisher.site.requests().len();
    run(&world, "build --base noble --put app:/srv/app -o three.img").succeeds();
    assert_eq!(publisher.site.requests().len(), requests);
    let refused = run(&world, "build --base nobel --put app:/srv/app -o four.img");
    assert_eq!(
        refused.stderr,
        "error: `nobel` cannot be read\n  cause: no such file or directory\nhint: did you mean the base `noble`?\n"
    );
    let refused = run(&world, "build --base ubuntu:24.05 --put app:/srv/app -o four.img");
    assert_eq!(
        refused.stderr,
        "error: there is no release `24.05` of ubuntu in the catalogue\nhint: did you mean `ubuntu:24.04`?\n"
    );
}

#[test]
fn a_dry_run_writes_no_lock() {
    let (world, publisher) = world();
    publisher.put_streams(&[("20260701", &publisher.image)]);
    let arguments = publisher.arguments(&world);
    run(&world, &format!("{BUILD} --dry-run {arguments}")).succeeds();
    assert!(!world.path("recipes/imgraft.lock").exists());
    let refused = run(&world, &format!("update recipes/none.toml {arguments}"));
    assert_eq!(
        refused.stderr,
        "error: the recipe `recipes/none.toml` cannot be read\n  cause: no such file or directory\n"
    );
    world.file("r.toml", "base.file = \"x\"\n");
    let refused = run(&world, &format!("update r.toml {arguments}"));
    assert_eq!(
        refused.stderr,
        "error: the recipe `r.toml` begins with no base that goes by a name\nhint: `base.name` is what a lock is for\n"
    );
}
