//! What an image is called by its recipe, and the file beside it that says its digest.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{World, assert_sound};
use testkit::judge::judge;

const AUTONOE: &str = include_str!("../../../recipes/autonoe.toml");

/// `sha256sum -c` accepts the file, in the image's folder.
fn assert_checksum(world: &World, file: &str) {
    let folder = world.path(file).parent().unwrap().to_owned();
    let name = world.path(file).file_name().unwrap().to_owned();
    judge("sha256sum").args(["--strict", "-c"]).arg(name).current_dir(folder).succeed();
}

#[test]
fn a_release_of_autonoe_is_named_as_autonoe_names_it() {
    let world = World::new();
    world.file("recipes/autonoe.toml", AUTONOE).file("dist/autonoe", "\x7fELF");
    let build = "build recipes/autonoe.toml --base base.img --input autonoe=dist/autonoe";
    world.run(&format!("{build} --release-version v1.2.3 --sha256")).succeeds().says(
        "put dist/autonoe at /usr/local/bin/autonoe (0644 0:0, 4 B)\n\
         kept cloud-init, openssh-server, git, curl, ca-certificates\n\
         wrote autonoe-1.2.3-ubuntu-24.04.img.sha256\n\
         built autonoe-1.2.3-ubuntu-24.04.img (…)\n"
            .replace("0644", "0755")
            .as_str(),
    );
    assert_sound(&world.path("autonoe-1.2.3-ubuntu-24.04.img"));
    assert_checksum(&world, "autonoe-1.2.3-ubuntu-24.04.img.sha256");
    // A snapshot is the same image under its own name, without a digest unless it is asked for.
    world.run(build).succeeds();
    let (snapshot, release) = (world.path("autonoe-ubuntu-24.04.img"), world.path("autonoe-1.2.3-ubuntu-24.04.img"));
    assert!(fs::read(snapshot).unwrap() == fs::read(release).unwrap());
    assert_eq!(
        world.names(),
        [
            "autonoe-1.2.3-ubuntu-24.04.img",
            "autonoe-1.2.3-ubuntu-24.04.img.sha256",
            "autonoe-ubuntu-24.04.img",
            "base.img",
            "dist",
            "recipes",
        ]
    );
}

#[test]
fn all_placeholders_of_a_name_are_known() {
    let world = World::new();
    world.file("dist/app-1.0-rc.1", "app\n").file(
        "repo/r.toml",
        "output = '{{x}}_{version}_{date}_{arch}_{base.version}_{git.sha}.img'\n\
         inputs.app.file = '../dist/app-{version}'\n[[step]]\nput = 'app'\nto = '/opt/app'\n",
    );
    let git = |arguments: &[&str]| {
        let git = judge("git").args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]);
        git.args(arguments).current_dir(world.path("repo")).succeed().stdout.trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let build = "build repo/r.toml --base base.img --release-version 1.0-rc.1 --arch amd64";
    let name = |commit: &str| format!("{{x}}_1.0-rc.1_2023-11-14_amd64_24.04_{commit}.img");
    let builds = |recipe: &str, commit: &str| {
        let build = build.replace("repo/r.toml", recipe);
        world.run_with(&build, &[("SOURCE_DATE_EPOCH", "1700000000")]).succeeds();
        fs::remove_file(world.path(&name(commit))).unwrap_or_else(|error| panic!("{error}: {:?}", world.names()));
    };
    builds("repo/r.toml", &commit);
    // As `git gc` leaves it, in a branch whose name is a path, and in a linked worktree.
    git(&["pack-refs", "--all"]);
    builds("repo/r.toml", &commit);
    git(&["checkout", "-q", "-b", "a/b"]);
    git(&["worktree", "add", "-q", "-b", "other", "../other"]);
    fs::copy(world.path("repo/r.toml"), world.path("other/r.toml")).unwrap();
    git(&["-C", "../other", "commit", "-q", "--allow-empty", "-m", "y"]);
    let other = git(&["-C", "../other", "rev-parse", "HEAD"]);
    assert_ne!(other, commit);
    builds("repo/r.toml", &commit);
    builds("other/r.toml", &other);
    git(&["-C", "../other", "checkout", "-q", "--detach", "HEAD~"]);
    builds("other/r.toml", &commit);
}

#[test]
fn a_placeholder_that_stands_for_nothing_is_shown_in_its_place() {
    let world = World::new();
    world.file("r.toml", "output = 'a-{versoin}.img'\n");
    world.refuses(
        "build r.toml --base base.img",
        concat!(
            "error: unknown placeholder `{versoin}`\n",
            " --> r.toml:1:13\n",
            "  |\n",
            "1 | output = 'a-{versoin}.img'\n",
            "  |             ^^^^^^^^^\n",
            "  |\n",
            "  = hint: did you mean `version`?\n",
        ),
    );
    let told = |name: &str, message: &str, hint: &str, column: usize| {
        let marks = "^".repeat(name.len());
        format!(
            "error: {message}\n --> r.toml:1:{column}\n  |\n1 | output = 'a-{name}.img'\n  |             {marks}\n  |\n  = hint: {hint}\n"
        )
    };
    for (name, message, hint) in [
        ("{version}", "no version is given for `{version}`", "give it with `--release-version VERSION`"),
        (
            "{arch}",
            "the base is a file, and nothing says which machine it is for",
            "say it with `--arch`, such as `--arch amd64`",
        ),
        (
            "{git.sha}",
            &format!("`{}` is in no git repository", fs::canonicalize(world.folder()).unwrap().display()),
            "`{git.sha}` is the commit that is checked out where the recipe is",
        ),
    ] {
        world.file("r.toml", format!("output = 'a-{name}.img'\n"));
        world.refuses("build r.toml --base base.img", &told(name, message, hint, 13));
    }
    // What names the image on the command line asks nothing of the recipe's name.
    world.run("build r.toml --base base.img -o out.img").succeeds();
}

#[test]
fn a_version_is_part_of_a_name() {
    let world = World::new();
    world
        .file("r.toml", "[output]\nfile = 'a.img'\nrelease = 'a-{version}.img'\n")
        .file("plain.toml", "output = 'a.img'\n");
    world.refuses(
        "build r.toml --base base.img --release-version ../x",
        "error: `--release-version ../x` is not a version\n  cause: `{version}` would be \"../x\", which cannot be part of a \
         file's name: expected letters, digits and any of `._+~-`\n",
    );
    world.refuses(
        "build plain.toml --base base.img --release-version 1",
        "error: `--release-version` changes nothing: `plain.toml` has no `{version}`\n\
         hint: write `release = \"NAME-{version}.img\"` into the table `[output]` of the recipe\n",
    );
    world.refuses(
        "build --base base.img --mkdir /x -o out.img --release-version 1",
        "error: `--release-version` changes nothing: there is no recipe\n\
         hint: without one, the name of the new image is what `-o` says\n",
    );
    // Only the `v` of a tag is none of the version.
    for (given, name) in [("v2.0", "a-2.0.img"), ("vnext", "a-vnext.img"), ("2.0", "a-2.0.img")] {
        world.run(&format!("build r.toml --base base.img --release-version {given}")).succeeds();
        fs::remove_file(world.path(name)).unwrap();
    }
}

#[test]
fn a_digest_is_beside_the_image_and_is_the_images() {
    let world = World::new();
    world.file("one", "1\n").file("two", "2\n");
    // A name that sha256sum has to escape, a second build in place of the first, and one through a symlink.
    for (name, file) in [("a\\b.img", "one"), ("out.img", "one"), ("out.img", "two")] {
        let sha256 =
            world.run_words(&format!("build --base base.img --put {file}:/etc/motd --sha256 --json -o"), &[name]);
        let report: serde_json::Value = serde_json::from_str(&sha256.succeeds().stdout).unwrap();
        assert_eq!(report["checksum_file"], format!("{name}.sha256"));
        let digest = judge("sha256sum").arg(world.path(name)).succeed().stdout;
        assert_eq!(report["sha256"], digest.trim_start_matches('\\').split(' ').next().unwrap());
        assert_checksum(&world, &format!("{name}.sha256"));
    }
    fs::create_dir(world.path("sub")).unwrap();
    symlink("../out.img", world.path("sub/link.img")).unwrap();
    world.run("build --base base.img --put one:/etc/motd --sha256 -o sub/link.img").succeeds();
    assert_checksum(&world, "sub/link.img.sha256");
    // Nothing is made where the digest cannot be.
    fs::create_dir(world.path("new.img.sha256")).unwrap();
    let run = world.run("build --base base.img --put one:/etc/motd --sha256 -o new.img");
    assert!(run.code == Some(2) && run.stderr.contains("`new.img.sha256` is a directory"), "{}", run.stderr);
    assert!(!world.path("new.img").exists());
}
