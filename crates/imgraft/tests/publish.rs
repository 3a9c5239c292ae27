//! `imgraft publish`, and bases in registries, with Debian's `docker-registry`.

use std::fs;

use testkit::fixture::Options;
use testkit::judge::judge;
use testkit::site::DockerRegistry;

use crate::support::{ROOT, Run, World, noise};

/// Runs `imgraft` as somebody who is logged in.
fn run(server: &DockerRegistry, world: &World, arguments: &str) -> Run {
    let login = server.login_file();
    world.run_with(arguments, &[("REGISTRY_AUTH_FILE", login.to_str().unwrap())])
}

#[test]
fn what_is_published_is_a_base_by_its_digest() {
    let (server, world) = (DockerRegistry::start(), World::with_copy(&Options::default()));
    let ca = server.authority();
    let (name, ca) = (format!("oci://{}/team/my", server.host()), format!("--ca {}", ca.display()));
    for (shape, tag) in [("artifact", "1.0"), ("container-disk", "disk")] {
        let published = run(&server, &world, &format!("publish my.img {name}:{tag} --as {shape} {ca}")).succeeds();
        let reference = published.stdout.trim();
        assert!(reference.starts_with(&format!("{name}@sha256:")), "{reference}");
        world.file("app", noise(1, 10_000)).modified("app", 1_600_000_000);
        let build = "--put app:/usr/bin/app -o";
        run(&server, &world, &format!("build --base {reference} {ca} {build} {tag}.img")).succeeds();
        run(&server, &world, &format!("build --base my.img {build} own.img")).succeeds();
        assert!(fs::read(world.path("own.img")).unwrap() == fs::read(world.path(&format!("{tag}.img"))).unwrap());
        assert!(world.content("own.img", ROOT, "/usr/bin/app") == noise(1, 10_000));
        // A tag is not enough, and it is said what would be.
        let refused = run(&server, &world, &format!("build --base {name}:{tag} {ca} {build} x.img"));
        assert_eq!(refused.code, Some(2));
        let digest = reference.split_once('@').unwrap().1;
        assert!(refused.stderr.contains("has no digest") && refused.stderr.contains(digest), "{}", refused.stderr);
    }
    let json = run(&server, &world, &format!("publish my.img {name}:again {ca} --json")).succeeds().stdout;
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&said["published"][0]["sent_bytes"], &said["shape"]), (&0.into(), &"artifact".into()));
}

#[test]
fn who_may_not_publish_is_told_what_to_do_and_nothing_is_there() {
    let (server, world) = (DockerRegistry::start(), World::with_copy(&Options::default()));
    let name = format!("oci://{}/team/my:1.0", server.host());
    let ca = format!("--ca {}", server.authority().display());
    let refused = world.run_with(&format!("publish my.img {name} {ca}"), &[("REGISTRY_AUTH_FILE", "/nonexistent")]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--password-stdin"), "{}", refused.stderr);
    world.file("text", "no image\n");
    assert_eq!(run(&server, &world, &format!("publish text {name} {ca} --as container-disk")).code, Some(2));
    let untrusted = run(&server, &world, &format!("publish my.img {name}"));
    assert!(untrusted.code == Some(2) && untrusted.stderr.contains("certificate"), "{}", untrusted.stderr);
    let login = format!("{}:{}", DockerRegistry::USER, DockerRegistry::PASSWORD);
    let tags = judge("skopeo").args(["list-tags", "--creds", &login, "--cert-dir"]).arg(server.authorities());
    let tags = tags.arg(format!("docker://{}/team/my", server.host())).run();
    assert!(!tags.status.success(), "{tags}");
}
