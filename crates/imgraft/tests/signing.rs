//! Signatures of documents: `ssh-keygen` accepts ours, and `imgraft verify` accepts its own, and nothing else.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use testkit::judge::judge;

use crate::support::World;

const BUILD: &str = "build --base base.img --put app:/usr/bin/app:0755 -o my.img --manifest my.img.manifest.json \
                     --provenance my.json --sign key";
const VERIFY: &str = "verify my.img --digest-only";

/// A world with a file to put and a key of this kind, as `key` and `key.pub`.
fn world(kind: &[&str]) -> World {
    let world = World::new();
    world.file("app", "app\n").modified("app", 1_600_000_000);
    key(&world, "key", kind);
    world
}

fn key(world: &World, name: &str, kind: &[&str]) {
    judge("ssh-keygen").args(["-q", "-N", "", "-C", "me", "-t"]).args(kind).arg("-f").arg(world.path(name)).succeed();
}

fn signed() -> World {
    let world = world(&["ed25519"]);
    world.run(BUILD).succeeds();
    world
}

/// `ssh-keygen -Y sign` signs `name` with `key` in a namespace.
fn sign(world: &World, key: &str, namespace: &str, name: &str) {
    let _ = fs::remove_file(world.path(&format!("{name}.sig")));
    let keygen = judge("ssh-keygen").args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(world.path(key));
    keygen.arg(world.path(name)).succeed();
}

/// The command line of `ssh-keygen` that verifies `name`, whose bytes are its standard input.
fn keygen_verifies(world: &World, namespace: &str, name: &str) {
    let script = "ssh-keygen -Y verify -f \"$1\" -I me@here -n \"$2\" -s \"$3.sig\" <\"$3\"";
    let run = judge("sh").args(["-c", script, "sh"]).arg(world.path("allowed")).arg(namespace).arg(world.path(name));
    assert!(run.succeed().stdout.starts_with("Good \""));
}

fn public(world: &World, name: &str) -> String {
    fs::read_to_string(world.path(&format!("{name}.pub"))).unwrap()
}

/// What `verify` says of a signature that does not count.
#[track_caller]
fn refused(world: &World, signer: &str, why: &str) {
    let run = world.run(&format!("{VERIFY} --signer {signer}"));
    assert_eq!(run.code, Some(1), "{signer}: {}{}", run.stdout, run.stderr);
    assert!(run.stdout.starts_with("! the signature `my.img.manifest.json.sig` does not count: "), "{}", run.stdout);
    assert!(run.stdout.contains(why), "{why}: {}", run.stdout);
    assert!(run.stdout.contains("\nmy.img.manifest.json is not trusted\nnot checked: anything else"), "{}", run.stdout);
}

/// What `verify` and `build` say of what they cannot use.
#[track_caller]
fn unusable(world: &World, arguments: &str, why: &str) {
    let run = world.run(arguments);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments}: {}", run.stderr);
    assert!(run.stderr.contains(why), "{arguments}: {why}: {}", run.stderr);
}

#[test]
fn ssh_keygen_accepts_our_signatures_and_we_accept_its_own() {
    for (kind, algorithm) in [
        (&["ed25519"][..], "ssh-ed25519"),
        (&["ecdsa", "-b", "256"], "ecdsa-sha2-nistp256"),
        (&["ecdsa", "-b", "384"], "ecdsa-sha2-nistp384"),
        (&["ecdsa", "-b", "521"], "ecdsa-sha2-nistp521"),
        (&["rsa", "-b", "2048"], "ssh-rsa"),
    ] {
        let world = world(kind);
        world.run(BUILD).succeeds();
        world.file("allowed", format!("me@here namespaces=\"imgraft-*\" {}", public(&world, "key")));
        keygen_verifies(&world, "imgraft-manifest", "my.img.manifest.json");
        keygen_verifies(&world, "imgraft-provenance", "my.json");
        let ours = fs::read(world.path("my.img.manifest.json.sig")).unwrap();
        let fingerprint = judge("ssh-keygen").arg("-lf").arg(world.path("key.pub")).succeed().stdout;
        let fingerprint = fingerprint.split(' ').nth(1).unwrap().to_owned();
        for signer in ["key.pub", "allowed --identity me@here"] {
            let run = world.run(&format!("verify my.img --base base.img --signer {signer}")).succeeds();
            let by = if signer == "key.pub" { "" } else { "me@here with " };
            let said = format!("my.img.manifest.json is signed by {by}{algorithm} {fingerprint}\n");
            assert!(run.stdout.starts_with(&said) && !run.stdout.contains("not checked"), "{kind:?}: {}", run.stdout);
        }
        sign(&world, "key", "imgraft-manifest", "my.img.manifest.json");
        world.run("verify my.img --base base.img --signer allowed --identity me@here").succeeds();
        // The same key and the same build: the same signature, except for the one curve whose library draws a number.
        for name in ["my.img", "my.json", "my.img.manifest.json", "my.img.manifest.json.sig", "my.json.sig"] {
            fs::remove_file(world.path(name)).unwrap();
        }
        world.run(BUILD).succeeds();
        let is_same = ours == fs::read(world.path("my.img.manifest.json.sig")).unwrap();
        assert_eq!(is_same, algorithm != "ecdsa-sha2-nistp521", "{kind:?}");
    }
}

/// OpenSSH leaves out the leading zeros of the secret number, and one key of P-521 in two has some.
#[test]
fn a_key_of_p521_counts_whatever_its_number_is() {
    let world = world(&["ecdsa", "-b", "521"]);
    world.run("build --base base.img --put app:/a -o a.img --manifest m.json --sign key").succeeds();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do rm -f k k.pub; ssh-keygen -q -t ecdsa -b 521 -N '' -f k || exit 1;
                  \"$1\" build --base base.img --put app:/a --manifest m.json --sign k -o a.img 2>&1 || exit 1; done";
    let run = judge("sh").args(["-c", script, "sh", env!("CARGO_BIN_EXE_imgraft")]).current_dir(world.folder());
    run.succeed();
}

#[test]
fn what_was_not_signed_so_does_not_count() {
    let world = signed();
    key(&world, "other", &["ed25519"]);
    let line = |options: &str, key: &str| format!("me@here {options} {}", public(&world, key));
    world.file("allowed", line("", "key"));
    for identity in ["you@here", "me@here,you@here", "ME@HERE", "*"] {
        refused(&world, &format!("allowed --identity {identity}"), &format!("which no line has for `{identity}`"));
    }
    refused(&world, "other.pub", "which is not the one of the signer");
    world.file("allowed", line("", "other"));
    refused(&world, "allowed --identity me@here", "which no line has for `me@here`");
    for (options, why) in [
        ("valid-before=\"20200101Z\"", "line 1 let it sign until an earlier time"),
        ("valid-after=\"29991231235959Z\"", "line 1 lets it sign from a later time on"),
        ("namespaces=\"git,file\"", "line 1 lets it sign in the namespaces `git,file` only"),
        ("namespaces=\"imgraft-*,!imgraft-manifest\"", "lets it sign in the namespaces"),
        ("cert-authority", "line 1 has it as a `cert-authority`, and certificates are not supported"),
    ] {
        world.file("allowed", line(options, "key"));
        refused(&world, "allowed --identity me@here", why);
        // So says the other judge.
        let script = "ssh-keygen -Y verify -f allowed -I me@here -n imgraft-manifest -s my.img.manifest.json.sig \
                      <my.img.manifest.json 2>&1 && exit 1; exit 0";
        judge("sh").args(["-c", script]).current_dir(world.folder()).succeed();
        // A line that lets it counts, whatever the others say.
        world.file("allowed", format!("{}{}", line(options, "key"), line("valid-after=\"20200101Z\"", "key")));
        world.run(&format!("{VERIFY} --signer allowed --identity me@here")).succeeds();
    }

    // Another kind of document, by the same key.
    let manifest = world.path("my.img.manifest.json");
    let ours = fs::read(world.path("my.img.manifest.json.sig")).unwrap();
    sign(&world, "key", "file", "my.img.manifest.json");
    refused(
        &world,
        "key.pub",
        "it was made in the namespace `file`, and what counts here is signed in `imgraft-manifest`",
    );
    // A byte more, which JSON would not even show.
    fs::write(world.path("my.img.manifest.json.sig"), ours).unwrap();
    let text = fs::read(&manifest).unwrap();
    fs::write(&manifest, [&text[..], b"\n"].concat()).unwrap();
    refused(&world, "key.pub", "the file is not what was signed with the key SHA256:");
    // A manifest that is none is not looked at before its signature is.
    fs::write(&manifest, "{").unwrap();
    refused(&world, "key.pub", "the file is not what was signed");
    let run = world.run(&format!("{VERIFY} --signer key.pub --json"));
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &said["verdict"]), (Some(1), &Value::from("mismatch")));
    assert_eq!(said["checked"]["image_digest"], false);
}

#[test]
fn a_weak_key_signs_nothing() {
    let world = signed();
    key(&world, "weak", &["rsa", "-b", "1024"]);
    unusable(
        &world,
        "build --base base.img --put app:/a -o a.img --manifest m.json --sign weak",
        "its RSA key has 1024 bits",
    );
    sign(&world, "weak", "imgraft-manifest", "my.img.manifest.json");
    refused(&world, "weak.pub", "its RSA key has 1024 bits, and 2048 to 4096 count");
}

#[test]
fn what_is_no_signature_is_told_from_one_that_does_not_count() {
    let world = signed();
    let verify = format!("{VERIFY} --signer key.pub");
    let signature = world.path("my.img.manifest.json.sig");
    let good = fs::read_to_string(&signature).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let body = lines[1..lines.len() - 1].join("\n");
    for (text, why) in [
        (String::new(), "it is no signature"),
        (good[..good.len() / 2].to_owned(), "it is no signature"),
        (good.replace(lines[lines.len() - 2], ""), "it is no signature"),
        (good.replace("SSH SIGNATURE", "PGP SIGNATURE"), "it is no signature"),
        (good.replace(&body, &"A".repeat(1 << 20)), "it is larger than 16384 bytes"),
        (good.replace(&body, &["AAAA"; 100].join("\n\n")), "it is no signature"),
        // Lengths that lie: of the key, and of the namespace.
        (good.replace("U1NIU0lHAAAAAQAAADM", "U1NIU0lHAAAAAf///zM"), "it is no signature"),
        (good.replace("U1NIU0lHAAAAAQ", "U1NIU0lHAAAAAg"), "it is no signature"),
    ] {
        assert_ne!(text, good);
        fs::write(&signature, &text).unwrap();
        unusable(&world, &verify, why);
    }
    // No end on the disk.
    fs::File::create(&signature).unwrap().set_len(1 << 40).unwrap();
    unusable(&world, &verify, "it is larger than 16384 bytes");
    fs::remove_file(&signature).unwrap();
    unusable(&world, &verify, "the signature `my.img.manifest.json.sig` cannot be read");

    fs::write(&signature, &good).unwrap();
    world.file("allowed", format!("me@here {}", public(&world, "key")));
    unusable(&world, &format!("{VERIFY} --signer allowed"), "say whose it has to be with `--identity NAME`");
    unusable(&world, &format!("{verify} --identity me@here"), "it is a public key, which says no identity");
    world.file("allowed", "me@here valid-before=\"20300101\" ssh-ed25519 AAAA");
    unusable(&world, &format!("{VERIFY} --signer allowed --identity a"), "line 1: `valid-before` has no time zone");
    fs::File::create(world.path("allowed")).unwrap().set_len(1 << 40).unwrap();
    unusable(&world, &format!("{VERIFY} --signer allowed --identity a"), "it is larger than 1048576 bytes");
}

#[test]
fn a_key_that_cannot_be_used_leaves_nothing_behind_and_is_not_told_of() {
    let world = world(&["ed25519"]);
    let build = |key: &str| format!("build --base base.img --put app:/a -o a.img --manifest m.json --sign {key}");
    judge("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "secret", "-f"]).arg(world.path("locked")).succeed();
    judge("ssh-keygen").args(["-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f"]).arg(world.path("pem")).succeed();
    judge("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(world.path("open")).succeed();
    world.mode("open", 0o640);
    let text = fs::read_to_string(world.path("key")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    world.file("cut", lines[..lines.len() - 2].join("\n")).mode("cut", 0o600);
    // The secret half belongs to another public half: its last lines are another key's.
    let other = fs::read_to_string(world.path("open")).unwrap();
    let other: Vec<&str> = other.lines().collect();
    let mixed = [&lines[..3], &other[3..]].concat().join("\n") + "\n";
    world.file("mixed", mixed).mode("mixed", 0o600);
    world.file("empty", "").mode("empty", 0o600);
    let names = world.names();
    for (key, why) in [
        ("none", "the key `none` cannot be used"),
        ("locked", "it has a passphrase, which is not asked for"),
        ("locked", "`ssh-keygen -Y sign -n imgraft-manifest -f locked MANIFEST` writes MANIFEST.sig"),
        ("pem", "`ssh-keygen -p -f pem` writes a key of SSH in that format"),
        ("open", "others may read it, its mode is 0640"),
        ("key.pub", "it is a public key, and signing takes the secret one"),
        ("cut", "it cannot be read: "),
        ("mixed", "it cannot be read: "),
        ("empty", "it is not in OpenSSH's own format"),
        ("base.img", "cannot be used"),
    ] {
        if key == "key.pub" {
            world.mode(key, 0o600);
        }
        let run = world.run(&build(key));
        assert_eq!(run.code, Some(2), "{key}");
        assert!(run.stderr.contains(why) || key == "base.img", "{key}: {why}: {}", run.stderr);
        let secrets = text.lines().chain(other.iter().copied()).filter(|line| !line.starts_with("---"));
        assert!(secrets.filter(|line| line.len() > 8).all(|line| !run.stderr.contains(line)), "{}", run.stderr);
        assert_eq!(world.names(), names, "{key}");
    }
    unusable(&world, "build --base base.img --put app:/a -o a.img --sign key", "there is nothing to sign");
    // The signature has a place of its own, or nothing is made.
    let run = world.run("build --base base.img --put app:/a -o m.json.sig --manifest m.json --sign key");
    assert!(run.code == Some(2) && run.stderr.contains("is the name of two files"), "{}", run.stderr);
    fs::create_dir(world.path("m.json.sig")).unwrap();
    let run = world.run(&build("key"));
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(!world.path("a.img").exists() && !world.path("m.json").exists());
}

#[test]
fn without_a_base_nothing_looks_like_a_full_verification() {
    let world = signed();
    unusable(&world, "verify my.img", "give the base with `--base`: the manifest names `base.img` with the SHA-256 ");
    let run = world.run("verify my.img --digest-only").succeeds();
    assert_eq!(
        run.stdout,
        "my.img has the digest that my.img.manifest.json says, and no more is known\n\
         not checked: who made my.img.manifest.json (no --signer; its signature is `my.img.manifest.json.sig`)\n\
         not checked: whether the image is base.img and exactly the changes that the manifest lists (no --base)\n"
    );
    let json = |arguments: &str| -> Value {
        serde_json::from_str(&world.run(&format!("verify my.img --json {arguments}")).stdout).unwrap()
    };
    let said = json("--digest-only");
    assert_eq!(said["verdict"], "digest-only-match");
    assert_eq!(said["checked"]["changes"], false);
    assert_eq!(said["not_checked"].as_array().unwrap().len(), 2);
    let said = json("--base base.img --signer key.pub");
    assert_eq!((&said["verdict"], &said["not_checked"]), (&Value::from("match"), &Value::Array(Vec::new())));
    assert!(said["checked"].as_object().unwrap().values().all(|value| value == true), "{said}");
    let run = world.run("verify my.img --digest-only --base base.img");
    assert!(run.code == Some(2) && run.stderr.contains("--base"), "{}", run.stderr);
}

/// The agent has the key, and what it signs counts as what we sign does.
#[test]
fn what_an_agent_signs_by_hand_counts() {
    let world = world(&["ed25519"]);
    world.run("build --base base.img --put app:/a -o my.img --manifest my.img.manifest.json").succeeds();
    let script = "eval $(ssh-agent -s) >/dev/null && trap 'ssh-agent -k >/dev/null' EXIT
                  ssh-add -q key && mv key gone && ssh-keygen -q -Y sign -n imgraft-manifest -f key.pub my.img.manifest.json";
    judge("sh").args(["-c", script]).current_dir(world.folder()).succeed();
    let signature: PathBuf = world.path("my.img.manifest.json.sig");
    assert!(signature.exists());
    world.run("verify my.img --base base.img --signer key.pub").succeeds();
}
