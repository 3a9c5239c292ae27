//! Bases by name, from sites that speak as the real ones do, over HTTPS.

use std::fs;

use crate::gnupg::Home;
use crate::publisher::{IMAGE, PRODUCTS, Publisher, RELEASE, run};
use crate::support::World;
use catalogue::Digest;
use catalogue::cache::Algorithm;

fn sha256(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).hex()
}

const UNVERIFIED: &str = "for more, run `imgraft explain unverified`\n";

#[test]
fn a_name_of_the_index_is_fetched_once_and_works_offline() {
    let (world, publisher) = (World::empty(), Publisher::new());
    publisher.put_streams(&[("20260701", b"old"), ("20260725", b"newest")]);
    let arguments = publisher.arguments(&world);
    let fetched = run(&world, &format!("fetch ubuntu:24.04 --arch amd64 -o out.img {arguments}")).succeeds();
    let path = format!("cache/sha256/{}", sha256(b"newest"));
    assert_eq!(
        publisher.said(&world, &fetched),
        format!(
            "fetching ubuntu:24.04/server 20260725 (amd64) (6 B) from SITE/releases/server/releases/noble/\
             release-20260725/{IMAGE}\n\
             ubuntu:24.04/server 20260725 (amd64): signed by KEY at 2024-01-01T00:00:00Z\n\
             wrote out.img (6 B)\n"
        )
    );
    assert_eq!(fs::read(world.path("out.img")).unwrap(), b"newest");

    let printed = run(&world, &format!("fetch noble --arch amd64 --print-path {arguments}")).succeeds();
    assert_eq!(printed.stdout, format!("{}\n", world.path(&path).display()));
    let image_url = format!("/releases/server/releases/noble/release-20260725/{IMAGE}");
    assert_eq!(publisher.site.requests_of(&image_url).len(), 1, "it is in the cache");

    let before = publisher.site.requests().len();
    let offline = run(&world, &format!("fetch noble --arch amd64 --offline --json {arguments}")).succeeds();
    assert_eq!(publisher.site.requests().len(), before, "nobody is asked");
    let report: serde_json::Value = serde_json::from_str(&offline.stdout).unwrap();
    assert_eq!(report["name"], "ubuntu:24.04/server");
    assert_eq!(report["serial"], "20260725");
    assert_eq!(report["digest"], format!("sha256:{}", sha256(b"newest")));
    assert_eq!(report["verified"], "signature");
    assert_eq!(report["signer"], publisher.key.to_string());
    assert_eq!(report["size_bytes"], 6);

    // An old build, by its serial; and what is not there.
    run(&world, &format!("fetch noble@20260701 --arch amd64 -o old.img {arguments}")).succeeds();
    assert_eq!(fs::read(world.path("old.img")).unwrap(), b"old");
    let unknown = run(&world, &format!("fetch jammy --arch amd64 --offline {arguments}"));
    assert_eq!(
        (unknown.code, unknown.stderr.as_str()),
        (
            Some(2),
            "error: the cache does not know what `ubuntu:22.04/server` (amd64) is, and the network is not used offline\n\
             hint: run it once without `--offline`: the cache knows it from then on\n"
        )
    );
}

#[test]
fn a_folder_with_a_signed_list_is_enough() {
    let (world, publisher) = (World::empty(), Publisher::new());
    publisher.put_folder(RELEASE, IMAGE, b"image");
    publisher.put_folder(&format!("{RELEASE}-20240423"), IMAGE, b"older");
    let arguments = publisher.arguments(&world);
    let fetched = run(&world, &format!("fetch noble --arch amd64 -o out.img {arguments}")).succeeds();
    assert_eq!(fs::read(world.path("out.img")).unwrap(), b"image");
    assert!(publisher.said(&world, &fetched).contains("(amd64): signed by KEY at 2024-01-01T00:00:00Z\n"));
    run(&world, &format!("fetch noble@20240423 --arch amd64 -o old.img {arguments}")).succeeds();
    assert_eq!(fs::read(world.path("old.img")).unwrap(), b"older");
    // Where there is neither, the folder is what is missing.
    let missing = run(&world, &format!("fetch jammy --arch amd64 {arguments}"));
    assert_eq!(
        publisher.said(&world, &missing),
        "error: `ubuntu:22.04/server` was not found\n  cause: `SITE/releases/jammy/release/SHA256SUMS`: the server \
         answers 404 (no such file)\n"
    );
}

/// It was the publisher that could not be reached, of whom nobody had asked.
#[test]
fn a_proxy_that_does_not_answer_is_named() {
    let world = World::empty();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let proxy = format!("http://ada:secret@127.0.0.1:{port}");
    let refused = world.run_with("fetch jammy --arch amd64 --cache-dir cache", &[("https_proxy", &proxy)]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let first = format!(
        "error: `ubuntu:22.04/server` could not be looked up: the proxy `127.0.0.1:{port}` could not be reached\n"
    );
    assert!(refused.stderr.starts_with(&first), "{}", refused.stderr);
    assert!(!refused.stderr.contains("secret"), "{}", refused.stderr);
}

#[test]
fn a_certificate_that_is_not_trusted_is_not_a_base_that_is_not_there() {
    let world = World::empty();
    let site = testkit::site::Site::https();
    let line = format!("fetch jammy --arch amd64 --mirror {} --cache-dir cache", site.url(""));
    // Authorities there are, and the site's is none of them.
    let other = testkit::site::Site::https();
    let authority = other.authority();
    let refused = world.run_with(&line, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let first = "error: `ubuntu:22.04/server` could not be looked up: a certificate is not trusted\n  cause: ";
    assert!(refused.stderr.starts_with(first), "{}", refused.stderr);
    assert!(refused.stderr.contains("its certificate is not trusted ("), "{}", refused.stderr);
    assert!(refused.stderr.contains("--ca FILE"), "{}", refused.stderr);
}

/// It was said that the base was not found, which nobody had been asked.
#[test]
fn a_publisher_that_cannot_be_reached_is_not_a_base_that_is_not_there() {
    let world = World::empty();
    // A port that nobody listens at: it was ours a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = run(&world, &format!("fetch jammy --arch amd64 --mirror http://127.0.0.1:{port} --cache-dir cache"));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.starts_with(
            "error: `ubuntu:22.04/server` could not be looked up: its publisher could not be reached\n  cause: "
        ),
        "{}",
        refused.stderr
    );
    for word in ["no connection could be made", "https_proxy", "--offline", "--base FILE", "--mirror"] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
}

#[test]
fn what_is_not_trusted_is_not_used() {
    let (world, publisher) = (World::empty(), Publisher::new());
    let list = format!("{} *{IMAGE}\n", sha256(b"image"));
    publisher.site.put(&format!("{RELEASE}/{IMAGE}"), &b"image"[..]);
    let expired = publisher.home.key_at("20200101T000000", "expired", "ed25519", "sign", "20210101T000000");
    let revoked = publisher.home.key("revoked");
    let by = |user: &str, time: &str| {
        publisher.home.sign_at(time, list.as_bytes(), &["--local-user", user, "--detach-sign"])
    };
    let of_expired = by("expired", "20200601T000000");
    let of_revoked = by("revoked", "20240101T000000");
    publisher.home.revoke(revoked);
    let other = Home::new();
    let other_key = other.key("other");
    let of_other = other.sign(list.as_bytes(), &["--detach-sign"]);
    fs::write(publisher.keyring(), publisher.home.export(&["publisher", "expired", "revoked"])).unwrap();
    let arguments = format!("{} --signer {expired} --signer {revoked}", publisher.arguments(&world));
    let without = "00".repeat(32) + " *another.img\n";
    for (name, list, signature, cause) in [
        (
            "wrong signature",
            list.as_str(),
            publisher.detached("another", &[]),
            "`SITE/releases/noble/release/SHA256SUMS` is not trusted\n  cause: the signature is bad: KEY did not sign this",
        ),
        (
            "expired key",
            &list,
            of_expired,
            &format!(
                "`SITE/releases/noble/release/SHA256SUMS` is not trusted\n  cause: the key {expired} expired at \
                 2021-01-01T00:00:00Z"
            ),
        ),
        (
            "revoked key",
            &list,
            of_revoked,
            &format!("`SITE/releases/noble/release/SHA256SUMS` is not trusted\n  cause: the key {revoked} was revoked"),
        ),
        (
            "another key",
            &list,
            of_other,
            &format!(
                "`SITE/releases/noble/release/SHA256SUMS` is not trusted\n  cause: the signature was made by another key, \
                 {other_key}"
            ),
        ),
        (
            "weak digest",
            &list,
            publisher.weak(&list),
            "`SITE/releases/noble/release/SHA256SUMS` is not trusted\n  cause: the signature uses a SHA1 digest, which \
             is too weak",
        ),
        (
            "no such file",
            &without,
            publisher.detached(&without, &[]),
            &format!(
                "the image cannot be found in `SITE/releases/noble/release/SHA256SUMS`\n  cause: the list does not have \
                 `{IMAGE}`"
            ),
        ),
    ] {
        publisher.put_list(RELEASE, list, &signature);
        let refused = run(&world, &format!("fetch noble --arch amd64 -o out.img {arguments}"));
        assert_eq!(
            publisher.said(&world, &refused),
            format!(
                "error: `ubuntu:24.04/server` was not found\n  cause: {cause}\n{}",
                if name == "no such file" { "" } else { UNVERIFIED }
            ),
            "{name}"
        );
        assert_eq!(refused.code, Some(2), "{name}");
        assert!(!world.path("out.img").exists(), "{name}");
    }
    assert_eq!(publisher.site.requests_of(&format!("{RELEASE}/{IMAGE}")).len(), 0, "the signature comes first");

    // The list is right, and the image is not what it says.
    publisher.put_list(RELEASE, &list, &publisher.detached(&list, &[]));
    publisher.site.put(&format!("{RELEASE}/{IMAGE}"), &b"imagf"[..]);
    let refused = run(&world, &format!("fetch noble --arch amd64 -o out.img {arguments}"));
    assert_eq!(refused.code, Some(2));
    let said = publisher.said(&world, &refused);
    let digests = format!("is sha256:{}, not sha256:{}", sha256(b"imagf"), sha256(b"image"));
    assert!(said.contains(&format!("`SITE{RELEASE}/{IMAGE}` {digests}")) && said.ends_with(UNVERIFIED), "{said}");
    assert!(!world.path("out.img").exists());
}

#[test]
fn an_index_that_was_changed_is_not_trusted_and_may_be_taken_loudly() {
    let (world, publisher) = (World::empty(), Publisher::new());
    publisher.put_streams(&[("20260725", b"image")]);
    let arguments = publisher.arguments(&world);
    let good = String::from_utf8(publisher.inline("x")).unwrap();
    assert!(good.contains("PGP SIGNATURE"));
    publisher.site.put(PRODUCTS, good.replace("\nx\n", "\ny\n"));
    let refused = run(&world, &format!("fetch noble --arch amd64 {arguments}"));
    assert_eq!(
        publisher.said(&world, &refused),
        format!(
            "error: `ubuntu:24.04/server` was not found\n  cause: `SITE{PRODUCTS}` is not trusted\n  cause: the \
             signature is bad: KEY did not sign this\n{UNVERIFIED}"
        )
    );
    publisher.put_folder(RELEASE, IMAGE, b"image");
    publisher.site.remove("/releases/streams/v1/index.sjson").remove(&format!("{RELEASE}/SHA256SUMS.gpg"));
    let taken = run(&world, &format!("fetch noble --arch amd64 --insecure --json {arguments}")).succeeds();
    let warning = "warning: ubuntu:24.04/server (amd64) is not verified: anybody could have sent it\n";
    assert!(taken.stderr.contains(warning), "{}", taken.stderr);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&taken.stdout).unwrap()["verified"], "nothing");
}

#[test]
fn debians_bases_are_unsigned_and_said_to_be() {
    let (world, publisher) = (World::empty(), Publisher::new());
    let folder = "/images/cloud/bookworm/20260316-2418";
    let file = "debian-12-generic-amd64-20260316-2418.qcow2";
    let sha512 = Digest::of(Algorithm::Sha512, b"debian").hex();
    let manifest = include_bytes!("../../catalogue/tests/published/debian-12-generic-amd64-20260316-2418.json");
    publisher.site.put("/images/cloud/bookworm/latest/debian-12-generic-amd64.json", &manifest[..]);
    publisher.site.put(&format!("{folder}/SHA512SUMS"), format!("{sha512}  {file}\n"));
    publisher.site.put(&format!("{folder}/{file}"), &b"debian"[..]);
    let mirror = publisher.site.url("");
    let network = publisher.network(&world);
    let fetched =
        run(&world, &format!("fetch debian:12/generic --arch amd64 -o d.qcow2 --mirror {mirror} {network}")).succeeds();
    assert_eq!(fs::read(world.path("d.qcow2")).unwrap(), b"debian");
    let said =
        "debian:12/generic 20260316-2418 (amd64): unsigned: its digest comes from a list that was fetched over TLS\n";
    assert!(fetched.stderr.contains(said), "{}", fetched.stderr);
}

#[test]
fn an_address_has_a_digest() {
    let (world, publisher) = (World::empty(), Publisher::new());
    publisher.site.put("/x/disk.img", &b"disk"[..]);
    let (url, network) = (publisher.site.url("/x/disk.img"), publisher.network(&world));
    let digest = sha256(b"disk");
    run(&world, &format!("fetch {url}#sha256:{digest} -o a.img {network}")).succeeds();
    run(&world, &format!("fetch {url} --sha256 {digest} -o b.img {network}")).succeeds();
    assert_eq!(fs::read(world.path("a.img")).unwrap(), b"disk");
    assert_eq!(fs::read(world.path("b.img")).unwrap(), b"disk");
    let without = run(&world, &format!("fetch {url} {network}"));
    assert_eq!(
        publisher.said(&world, &without),
        "error: the address `SITE/x/disk.img` has no digest\n\
         hint: add it to the address, as in `https://…#sha256:…`: imgraft uses nothing that it cannot verify\n"
    );
    let wrong = run(&world, &format!("fetch {url}#sha256:{} -o c.img {network}", "00".repeat(32)));
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains(&format!("is sha256:{digest}, not sha256:{}", "00".repeat(32))), "{}", wrong.stderr);
    assert!(!world.path("c.img").exists());
}

#[test]
fn the_catalogue_is_listed_and_what_is_not_in_it_is_named() {
    let world = World::empty();
    let listed = run(&world, "fetch --list").succeeds();
    for section in [
        "debian (amd64, arm64; unsigned, over TLS)\n\
         \x20 debian:12        bookworm\n\
         \x20 debian:13        trixie\n\
         \x20 /generic         for any machine\n\
         \x20 /genericcloud    for virtual machines, unless another one is named\n\
         \x20 /nocloud         without cloud-init; root logs in without a password\n",
        "fedora (amd64, arm64; signed)\n\
         \x20 fedora:43\n\
         \x20 fedora:44\n\
         \x20 /generic         for any cloud, with cloud-init, unless another one is named\n",
        "ubuntu (amd64, arm64; signed)\n\
         \x20 ubuntu:22.04     jammy\n\
         \x20 ubuntu:24.04     noble\n\
         \x20 ubuntu:26.04     resolute\n\
         \x20 /minimal         less than the server, as released\n\
         \x20 /minimal-daily   less than the server, as built today\n\
         \x20 /server          the server, as released, unless another one is named\n\
         \x20 /server-daily    the server, as built today\n",
    ] {
        assert!(listed.stdout.contains(section), "{}", listed.stdout);
    }
    let json: serde_json::Value = serde_json::from_str(&run(&world, "fetch --list --json").stdout).unwrap();
    // Ten distributions, each with its releases.
    assert_eq!(json.as_array().unwrap().len(), 20);
    for (name, said) in [
        (
            "ubuntu:24.40",
            "error: there is no release `24.40` of ubuntu in the catalogue\nhint: did you mean `ubuntu:24.04`?\n",
        ),
        ("nobel", "error: `nobel` is neither a name of the catalogue nor an address\nhint: did you mean `noble`?\n"),
        ("noble --arch sparc", "error: ubuntu is not published for `sparc`\nhint: there are `amd64`, `arm64`\n"),
    ] {
        let refused = run(&world, &format!("fetch {name}"));
        assert_eq!((refused.code, refused.stderr.as_str()), (Some(2), said), "{name}");
    }
}

#[test]
fn a_mirror_may_be_configured() {
    let (world, publisher) = (World::empty(), Publisher::new());
    publisher.put_folder(RELEASE, IMAGE, b"image");
    let config = format!(
        "[mirror.ubuntu]\nurl = \"{}\"\nkeyring = \"{}\"\nsigners = [\"{}\"]\n",
        publisher.site.url(""),
        publisher.keyring().display(),
        publisher.key
    );
    world.file("home/.config/imgraft/config.toml", &config);
    let network = publisher.network(&world);
    run(&world, &format!("fetch noble --arch amd64 -o out.img {network}")).succeeds();
    assert_eq!(fs::read(world.path("out.img")).unwrap(), b"image");
    world.file("home/.config/imgraft/config.toml", config.replace("url", "adress"));
    let refused = run(&world, &format!("fetch noble --arch amd64 {network}"));
    assert!(
        refused.stderr.starts_with(&format!(
            "error: the configuration `{}` cannot be read\n  cause: TOML parse error at line 2",
            world.path("home/.config/imgraft/config.toml").display()
        )),
        "{}",
        refused.stderr
    );
}

impl Publisher {
    /// A signature of a SHA-1, by an RSA key, as one of Ed25519 needs a longer digest.
    fn weak(&self, text: &str) -> Vec<u8> {
        self.home.key_at("20200101T000000", "weak", "rsa2048", "sign", "never");
        self.home.sign(text.as_bytes(), &["--local-user", "weak", "--digest-algo", "SHA1", "--detach-sign"])
    }
}
