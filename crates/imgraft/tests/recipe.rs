//! Recipes: what they make, and what is said of one that is wrong.

use std::fs;

use crate::support::{ROOT, World, assert_sound};

const AUTONOE: &str = include_str!("../../../recipes/autonoe.toml");

#[test]
fn the_autonoe_recipe_makes_the_autonoe_image() {
    let world = World::new();
    world.file("recipes/autonoe.toml", AUTONOE).file("dist/autonoe", "\x7fELF").modified("dist/autonoe", 1_600_000_000);
    let arguments = "build recipes/autonoe.toml --base base.img --input autonoe=dist/autonoe";
    world.run(&format!("{arguments} -o autonoe.img")).succeeds().says(
        "put dist/autonoe at /usr/local/bin/autonoe (0755 0:0, 4 B)\n\
         kept cloud-init, openssh-server, git, curl, ca-certificates\n\
         built autonoe.img (…)\n",
    );
    assert_sound(&world.path("autonoe.img"));
    let stat = world.stat("autonoe.img", ROOT, "/usr/local/bin/autonoe");
    assert_eq!((stat.mode.as_str(), stat.owner), ("0755", (0, 0)));

    // Without `-o`, it is what the recipe says, in the current folder.
    world.run(arguments).succeeds();
    let (named, unnamed) = (world.path("autonoe.img"), world.path("autonoe-ubuntu-24.04.img"));
    assert!(fs::read(named).unwrap() == fs::read(unnamed).unwrap());
}

#[test]
fn the_recipe_of_the_folder_is_the_default_and_its_paths_begin_there() {
    let world = World::new();
    world.file("dist/app", "app\n").file(
        "imgraft.toml",
        "output = \"out.img\"\nbase.file = \"base.img\"\ninputs.app.file = \"dist/app\"\n\
         [[step]]\nput = \"app\"\nto = \"/opt/\"\n",
    );
    world.run("build").succeeds().says("put dist/app at /opt/app (0644 0:0, 4 B)\nbuilt out.img (…)\n");
}

#[test]
fn flags_and_recipe_combine_and_flags_come_last() {
    let world = World::new();
    world.file("one", "one\n").file("two", "two\n").file(
        "r.toml",
        "output = \"r.img\"\n[inputs.app]\nfile = \"missing\"\n[[step]]\nput = \"app\"\nto = \"/opt/app\"\nmode = \"0700\"\n",
    );
    let flags = "--base base.img --input app=one --put two:/opt/app -o out.img";
    world.run(&format!("build r.toml {flags}")).succeeds().says(
        "put one at /opt/app (0700 0:0, 4 B)\n\
         put two at /opt/app (0644 0:0, 4 B), in place of the old one\n\
         built out.img (…)\n",
    );
    assert_eq!(world.content("out.img", ROOT, "/opt/app"), b"two\n");
    assert_sound(&world.path("out.img"));
}

#[test]
fn another_base_than_the_recipe_asks_for_is_warned_of() {
    let world = World::new();
    world.file("r.toml", "[base]\nname = \"debian:12\"\n");
    world.run("build r.toml --base base.img -o out.img").succeeds().says(
        "warning: the recipe asks for debian:12, the base is Ubuntu 24.04.1 LTS\n\
         built out.img (…)\n",
    );
}

#[test]
fn a_release_may_go_by_its_codename() {
    let world = World::new();
    world.file("r.toml", "[base]\nname = \"ubuntu:noble\"\n");
    world.run("build r.toml --base base.img -o out.img").succeeds().says("built out.img (…)\n");
}

#[test]
fn a_package_that_is_to_be_kept_and_is_not_there_is_an_error() {
    let world = World::new();
    world.file("r.toml", "[keep]\npackages = [\"git\", \"snapd\", \"nginx\"]\n");
    world.refuses(
        "build r.toml --base base.img -o out.img",
        "error: packages `snapd`, `nginx` are not installed in the image\n",
    );
}

#[test]
fn a_base_that_is_not_in_the_catalogue_is_refused_by_name() {
    let world = World::new();
    for (base, said) in [
        (
            "name = \"ubuntu:24.40\"",
            "error: there is no release `24.40` of ubuntu in the catalogue\nhint: did you mean `ubuntu:24.04`?\n",
        ),
        (
            "name = \"debian:12\"\nvariant = \"server\"",
            "error: there is no variant `server` of debian\nhint: there are `generic`, `genericcloud`, `nocloud`\n",
        ),
        (
            "name = \"debian:12/generic\"\nvariant = \"nocloud\"",
            "error: the recipe's base is `debian:12/generic`, and its variant `nocloud`\nhint: give only one of them\n",
        ),
    ] {
        world.file("r.toml", format!("output = \"x.img\"\n[base]\n{base}\n"));
        world.refuses("build r.toml", said);
    }
}

#[test]
fn inputs_that_are_missing_or_unknown_are_named() {
    let world = World::new();
    world.file("autonoe.toml", AUTONOE).file("autonoe", "x");
    world.refuses(
        "build autonoe.toml --base base.img",
        "error: input `autonoe` (the autonoe binary, built for amd64) has no file\n\
         hint: give it with `--input autonoe=PATH`\n",
    );
    world.refuses(
        "build autonoe.toml --base base.img --input autonoi=autonoe",
        "error: the recipe has no input `autonoi`\nhint: did you mean `autonoe`?\n",
    );
    world.refuses(
        "build autonoe.toml --base base.img --input autonoe=autonoe --input autonoe=x",
        "error: input `autonoe` is given twice\n",
    );
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_known_one() {
    let world = World::new();
    world.file("r.toml", "# mine\noutptu = \"x.img\"\n\n[[step]]\nput = \"app\"\nto = \"/opt/app\"\nmode = 755\n");
    world.refuses(
        "build r.toml --base base.img",
        concat!(
            "error: unknown key `outptu`\n",
            " --> r.toml:2:1\n",
            "  |\n",
            "2 | outptu = \"x.img\"\n",
            "  | ^^^^^^ a recipe has no such key\n",
            "  |\n",
            "  = hint: did you mean `output`?\n",
            "\n",
            "error: there is no input `app`\n",
            " --> r.toml:5:7\n",
            "  |\n",
            "5 | put = \"app\"\n",
            "  |       ^^^^^\n",
            "  |\n",
            "  = hint: declare it with `[inputs.app]`\n",
            "\n",
            "error: a mode is a string of octal digits\n",
            " --> r.toml:7:8\n",
            "  |\n",
            "7 | mode = 755\n",
            "  |        ^^^ this is an integer\n",
            "  |\n",
            "  = hint: write `mode = \"0755\"`\n",
        ),
    );
}

#[test]
fn what_is_no_toml_is_shown() {
    let world = World::new();
    world.file("r.toml", "output = \"x.img\n");
    let run = world.run("build r.toml");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains(" --> r.toml:1:"), "{}", run.stderr);
    world.refuses(
        "build none.toml",
        "error: the recipe `none.toml` cannot be read\n  cause: no such file or directory\n",
    );
    world.refuses(
        "build base.img",
        "error: `base.img` is too large for a recipe\n\
         hint: an image that is to be changed goes to `imgraft customize`, a base to `--base`\n",
    );
    world.refuses(
        "build",
        "error: there is no recipe: `imgraft.toml` is not in this folder\n\
         hint: name one with `imgraft build RECIPE`, write one with `imgraft init`, or do without: \
         `imgraft build --base IMAGE --put SRC:DEST -o IMAGE`\n",
    );
}

#[test]
fn a_build_without_a_change_says_so() {
    World::new().refuses(
        "build --base base.img -o out.img",
        "error: there is nothing to do: no change is asked for\n\
         hint: say one, such as `--put SRC:DEST` or `--size +2G`, or name a recipe; \
         `imgraft convert base.img out.img` makes the same disk in another file\n",
    );
}

#[test]
fn a_file_in_place_of_a_name_is_told_where_it_goes() {
    let world = World::new();
    world.file("app", "x").file(
        "r.toml",
        "[base]\nname = \"noble.img\"\n[[step]]\nput = \"dist/x.tar\"\nto = \"/opt/x\"\n[[step]]\nexec = \"a\"\n",
    );
    let run = world.run("build r.toml -o out.img");
    assert_eq!(run.code, Some(2));
    for hint in [
        "  = hint: if you mean a file of yours, write `file = \"noble.img\"`\n",
        "  = hint: a recipe uses files by name: declare `[inputs.x]` with `file = \"dist/x.tar\"`, and write \
         `put = \"x\"` here\n",
        "  = hint: that is `run = \"COMMAND\"` or `run-script = INPUT` in a `[[step]]`; \
         `first-boot-command = \"COMMAND\"` has the guest do it when it first boots\n",
    ] {
        assert!(run.stderr.contains(hint), "{hint}\n{}", run.stderr);
    }
    // As it is said, it works.
    world.file(
        "r.toml",
        "[base]\nfile = \"base.img\"\n[inputs.x]\nfile = \"app\"\n[[step]]\nput = \"x\"\nto = \"/opt/x\"\n",
    );
    world.run("build r.toml -o out.img").succeeds();
}

#[test]
fn words_of_other_programs_are_told_what_they_are_here() {
    let world = World::new();
    for (flag, said) in [
        (
            "--run-command",
            "error: `imgraft build` has no `--run-command` (a command or a script in the guest, as virt-customize, Packer and \
             Docker run one)\nhint: that is `--run COMMAND` of `imgraft build` and `imgraft customize`, or \
             `--run-script FILE`; `--first-boot-command COMMAND` has the guest do it when it first boots\n",
        ),
        (
            "--copy-in",
            "error: `imgraft build` has no `--copy-in` (a file or a tree of the host that goes into the guest)\n\
             hint: that is `--put SRC:DEST` here; where DEST ends in `/`, SRC goes into it\n",
        ),
    ] {
        world.refuses(&format!("build --base base.img {flag} a:b -o out.img"), said);
    }
    // A slip is still one, and a word that nobody has gets no advice at all.
    let run = world.run("build --base base.img --putt a:/b -o out.img");
    assert!(run.stderr.contains("--put") && run.code == Some(2), "{}", run.stderr);
    let run = world.run("build --base base.img --zebra a -o out.img");
    assert!(!run.stderr.contains("tip:") && run.code == Some(2), "{}", run.stderr);
}
