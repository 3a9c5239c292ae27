//! The same inputs give the same bytes, wherever, whenever and by whomever they are put together.

use crate::support;
use std::fs;
use std::path::Path;

use crate::support::{World, noise};
use testkit::fixture::{Format, Options};
use testkit::judge::{find, judge};

const PUTS: &str = "--put tree:/srv/tree --put app:/usr/local/bin/app:0755";
const EPOCH: (&str, &str) = ("SOURCE_DATE_EPOCH", "1700000000");

/// A copy of the image, and the files that go into it, which the file system has in another order each time.
fn world(format: Format, is_reversed: bool) -> World {
    let world = World::with_copy(&Options { format, ..Options::default() });
    let mut numbers: Vec<u64> = (0..40).collect();
    if is_reversed {
        numbers.reverse();
    }
    world.file("app", noise(1, 2_500_000)).modified("app", if is_reversed { 1_000_000_000 } else { 1_400_000_000 });
    for number in numbers {
        let name = format!("tree/{}/{number}", number % 3);
        world.file(&name, noise(number, 9000)).modified(&name, 1_500_000_000 + number * u64::from(is_reversed));
    }
    world
}

fn sha256(path: &Path) -> String {
    let said = judge("sha256sum").arg(path).succeed().stdout;
    said.split(' ').next().unwrap().to_owned()
}

/// What a build and a change in place come to in this world, run by these words.
fn made(world: &World, before: &[&str], variables: &[(&str, &str)]) -> [String; 2] {
    let commands = [format!("build --base my.img {PUTS} -o out.img"), format!("customize my.img {PUTS}")];
    for arguments in commands {
        let mut command = world.command(&arguments);
        if let [program, words @ ..] = before {
            let mut outer = std::process::Command::new(find(program).unwrap_or_else(|| panic!("no {program}")));
            outer.args(words).arg(command.get_program()).args(command.get_args()).current_dir(world.folder());
            outer.env_remove("SOURCE_DATE_EPOCH").env_remove("LD_LIBRARY_PATH");
            command = outer;
        }
        let output = command.envs([EPOCH]).envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{before:?} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
    [sha256(&world.path("out.img")), sha256(&world.path("my.img"))]
}

#[test]
fn nothing_comes_from_the_environment() {
    for format in [support::qcow2(), Format::Raw] {
        let expected = made(&world(format.clone(), false), &[], &[]);
        let variables = [("TZ", "Asia/Kathmandu"), ("LC_ALL", "tr_TR.UTF-8"), ("HOME", "/nowhere"), ("USER", "x")];
        assert_eq!(made(&world(format.clone(), true), &[], &variables), expected, "variables");
        let umask = ["sh", "-c", "umask 077; exec \"$0\" \"$@\""];
        assert_eq!(made(&world(format.clone(), true), &umask, &[]), expected, "umask");
        // As many threads as processors, of which there is one then.
        assert_eq!(made(&world(format.clone(), true), &["taskset", "-c", "0"], &[]), expected, "threads");
        if testkit::is_root() {
            let world = world(format, true);
            let arguments = |arguments: &str| format!("{arguments} {PUTS}").replace(":0755", ":0755:0:0");
            for run in [arguments("build --base my.img -o out.img"), arguments("customize my.img")] {
                world.run_as_user_with(&run, &[EPOCH]).succeeds();
            }
            assert_eq!([sha256(&world.path("out.img")), sha256(&world.path("my.img"))], expected, "user");
        }
    }
}

#[test]
fn a_build_that_is_done_twice_says_what_it_is() {
    for format in [support::qcow2(), Format::Raw] {
        let world = world(format, false);
        let build = format!("build --base my.img {PUTS} -o out.img --verify-reproducible");
        let run = world.run(&build).succeeds();
        let digest = sha256(&world.path("out.img"));
        assert!(run.stderr.contains(&format!("\nreproducible: sha256 {digest}\nbuilt out.img (")), "{}", run.stderr);
        // Each thing is said once.
        assert_eq!(run.stderr.matches("put app at ").count(), 1, "{}", run.stderr);
        let run = world.run(&format!("{build} --json -q")).succeeds().says("");
        assert!(run.stdout.contains(&format!("\n  \"sha256\": \"{digest}\"")), "{}", run.stdout);
        assert_eq!(world.names(), ["app", "my.img", "out.img", "tree"]);
    }
}

#[test]
fn an_image_that_is_not_compared_has_no_digest() {
    let world = world(support::qcow2(), false);
    let run = world.run(&format!("build --base my.img {PUTS} -o out.img --json")).succeeds();
    assert!(!run.stdout.contains("sha256") && !run.stderr.contains("sha256"), "{}{}", run.stdout, run.stderr);
    assert!(fs::metadata(world.path("out.img")).is_ok());
}
