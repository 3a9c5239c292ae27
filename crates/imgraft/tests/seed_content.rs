//! What `imgraft seed` makes of flags and of several files: what it says itself.

use crate::support::World;
use testkit::judge::judge;

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@example.org";

/// The user-data of the seed that these arguments make.
fn user_data(world: &World, arguments: &str, more: &[&str]) -> String {
    world.run_words(&format!("seed tar --no-check {arguments} -o seed.tar"), more).succeeds();
    judge("tar").args(["-xOf"]).arg(world.path("seed.tar")).arg("user-data").succeed().stdout
}

#[test]
fn flags_are_a_cloud_config() {
    let world = World::empty();
    world.file("keys.pub", format!("# mine\n{KEY}\n\n"));
    let arguments =
        "--user ada --user bob --ssh-key keys.pub --package git,curl --package npm --timezone Europe/Berlin";
    assert_eq!(
        user_data(&world, arguments, &["--run", "echo \"a: b\" >> /x", "--ssh-key", KEY]),
        format!(
            "#cloud-config\ntimezone: \"Europe/Berlin\"\nusers:\n  - \"default\"\n\
             {0}ada{1}{0}bob{1}packages:\n  - \"git\"\n  - \"curl\"\n  - \"npm\"\n\
             runcmd:\n  - \"echo \\\"a: b\\\" >> /x\"\n",
            "  - name: \"",
            format_args!(
                "\"\n    groups: \"adm, cdrom, dip, lxd, sudo\"\n    sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n    \
                 shell: \"/bin/bash\"\n    lock_passwd: true\n    ssh_authorized_keys:\n      - \"{KEY}\"\n"
            )
        )
    );
    assert_eq!(
        user_data(&world, "--ssh-key keys.pub", &[]),
        format!("#cloud-config\nssh_authorized_keys:\n  - \"{KEY}\"\n")
    );
}

#[test]
fn one_file_is_what_it_is_and_none_is_nothing() {
    let world = World::empty();
    world.file("odd", "not for cloud-init").file("empty", "\n");
    assert_eq!(user_data(&world, "--user-data odd --hostname web", &[]), "not for cloud-init");
    assert_eq!(user_data(&world, "", &[]), "");
    assert_eq!(user_data(&world, "--user-data empty --user-data empty", &[]), "");
    assert_eq!(user_data(&world, "--user-data empty --package git", &[]), "#cloud-config\npackages:\n  - \"git\"\n");
}

#[test]
fn several_files_are_one_and_always_the_same_one() {
    let world = World::empty();
    world.file("a.yaml", "#cloud-config\npackages: [a]\n").file("run me.sh", "#!/bin/sh\ntrue\n");
    let make = |arguments: &str| user_data(&world, arguments, &["--user-data", "run me.sh"]);
    let one = make("--user-data a.yaml");
    assert!(one.starts_with("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"imgraft-"), "{one}");
    assert!(one.contains("filename=\"002-run_me.sh\""), "{one}");
    assert_eq!(make("--user-data a.yaml"), one);
    world.file("a.yaml", "#cloud-config\npackages: [b]\n");
    assert_ne!(make("--user-data a.yaml"), one);
}

#[test]
fn what_is_no_key_no_name_and_no_part_is_refused() {
    let world = World::empty();
    world.file("a.yaml", "#cloud-config\n").file("odd.yaml", "users: []\n").file("words", "these are no keys\n");
    let private = world.path("id");
    judge("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&private).succeed();
    world.refuses(
        "seed iso --ssh-key id -o x",
        "error: `id` is a private key, which stays where it is\n\
         hint: give the public one, `id.pub` as a rule; `ssh-keygen -y -f id` prints it\n",
    );
    world.run("seed iso --ssh-key id.pub -o good.iso").succeeds();
    world.refuses(
        "seed iso --ssh-key words -o x",
        "error: `words` has no keys\n  cause: `these are no keys` is not an SSH public key: a key begins with its type, as in `ssh-ed25519 AAAAC3… ada@example.org`\n",
    );
    world.refuses(
        "seed iso --user-data a.yaml --user-data odd.yaml -o x",
        "error: `odd.yaml` does not say what it is: it begins with `users: []`\n\
         hint: begin it with `#cloud-config`, with `#!` and an interpreter, or as cloud-init has it otherwise\n",
    );
    world.refuses(
        "seed iso --user-data - --user-data - -o x",
        "error: standard input is one file and not two\nhint: give `-` once\n",
    );
    for (flag, value, said) in [
        ("--user", "default", "is what cloud-init calls the image's own user"),
        ("--user", "ada:uid=1", "is more than a name"),
        ("--user", "Ada Lovelace", "is not a valid name of a user or a group"),
        ("--hostname", "a_b", "is not a valid hostname"),
        ("--timezone", "/etc", "is not a time zone"),
        ("--package", "-y", "a package's name begins with"),
        ("--run", "", "there is no command in it"),
        ("--ssh-key", "ssh-ed25519 AAAA", "is not an SSH public key: the key is cut off"),
        ("--ssh-key", "-----BEGIN RSA PRIVATE KEY-----", "this is a private key"),
    ] {
        let run = world.run_words("seed iso -o x", &[&format!("{flag}={value}")]);
        assert_eq!(run.code, Some(2), "{flag} {value}: {}", run.stderr);
        assert!(run.stderr.contains(said), "{flag} {value}: {}", run.stderr);
    }
}

#[test]
fn a_line_says_what_cannot_be_in_it() {
    let world = World::empty();
    world
        .run("seed line --url http://10.0.2.2:8000/")
        .succeeds()
        .prints("ds=nocloud;dsmode=net;s=http://10.0.2.2:8000/\n");
    world.refuses(
        "seed line --url http://a/;b",
        "error: `;` cannot be in such a line (in `http://a/;b`)\nhint: in an address it is `%3B`\n",
    );
    world.refuses(
        "seed line --url 10.0.2.2",
        "error: `10.0.2.2` is not an address that begins with `http://` or `https://`\n\
         hint: `imgraft seed serve` says the address of what it serves\n",
    );
}
