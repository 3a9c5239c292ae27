//! Limits of commands in the guest, on a real base, named by `IMGRAFT_TEST_BASE`: needs root.
#![cfg(feature = "full-tests")]

use std::fs;

use crate::support::World;
use crate::support::guests::with_less;

/// Takes 400 MB of memory, or more, in one piece.
const EAT: &str = "perl -e '$n = 400e6; $x = q(x) x $n; sleep 1'";

fn customize(world: &World, flags: &str, script: &str) -> crate::support::Run {
    world.run_words(&format!("customize my.img {flags}"), &["--run", script])
}

#[test]
fn a_limit_that_is_reached_is_named_with_what_raises_it() {
    let world = with_less();
    fs::copy(world.path("base.img"), world.path("my.img")).unwrap();
    let before = fs::read(world.path("my.img")).unwrap();
    for runner in ["namespaces", "unpack"] {
        let run = customize(
            &world,
            &format!("--runner {runner} --timeout 2s"),
            "trap '' TERM INT; echo x >/etc/x; sleep 7382",
        );
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("` took longer than 2 s, which is the limit\n"), "{runner}: {}", run.stderr);
        assert!(
            run.stderr.contains("`--timeout TIME`, or `timeout` at the top of the recipe, gives it longer\n"),
            "{}",
            run.stderr
        );
        assert!(run.stderr.ends_with("\nfor more, run `imgraft explain limits`\n"), "{}", run.stderr);
    }
    // Several processes that are small each are too much together; they wait for each other to be there.
    let many = "for i in 1 2 3 4; do perl -e '$n = 60e6; $x = q(x) x $n; sleep 600' & done; wait";
    let run = customize(&world, "--memory 150M --timeout 10m", many);
    assert!(run.stderr.contains("` needed more memory than 150.0 MiB, which is the limit\n"), "{}", run.stderr);
    assert!(
        run.stderr.contains("`--memory SIZE`, or `memory` at the top of the recipe, gives it more\n"),
        "{}",
        run.stderr
    );
    // One that asks for too much is either ended or has its own word for it.
    let run = customize(&world, "--memory 150M --timeout 10m", EAT);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let is_named = ["`--memory SIZE`, or `memory`", "`--memory` or the recipe limits memory"];
    assert!(is_named.iter().any(|words| run.stderr.contains(words)), "{}", run.stderr);
    assert!(fs::read(world.path("my.img")).unwrap() == before);
    // The limit is for each step by itself, and who stays within it is not touched.
    let steps = ["--run", "sleep 2", "--run", "sleep 2", "--run", "echo done >/etc/done"];
    world.run_words("customize my.img --timeout 60 --memory 1G", &steps).succeeds();
    world.run("cat my.img /etc/done").succeeds().prints("done\n");
}

#[test]
fn a_recipe_has_limits_and_the_command_line_wins() {
    let world = with_less();
    let recipe = "timeout = \"1s\"\nmemory = \"64M\"\noutput = \"out.img\"\n[base]\nfile = \"base.img\"\n[[step]]\nrun = \"sleep 3\"\n";
    world.file("r.toml", recipe);
    let run = world.run("build r.toml");
    assert!(run.stderr.contains("`run sleep 3` took longer than 1 s, which is the limit\n"), "{}", run.stderr);
    assert!(run.code == Some(2) && !world.path("out.img").exists());
    world.run("build r.toml --timeout 10m").succeeds();
    fs::remove_file(world.path("out.img")).unwrap();
    world.file("r.toml", recipe.replace("sleep 3", EAT).replace("1s", "10m"));
    let run = world.run("build r.toml");
    assert!(run.code == Some(2) && run.stderr.contains("`--memory"), "{}", run.stderr);
    world.run("build r.toml --memory 2G").succeeds();
}

/// In the log of CI there is a line now and then, and no character that moves a cursor.
#[test]
fn a_long_step_is_told_of_in_ci() {
    let world = with_less();
    let output =
        world.command("build --base base.img -o out.img").args(["--run", "sleep 15"]).env("CI", "true").output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(said.lines().any(|line| line.starts_with("run sleep 15: ") && line.ends_with(" so far")), "{said}");
    assert!(!said.contains(['\r', '\x1b']), "{said:?}");
}
