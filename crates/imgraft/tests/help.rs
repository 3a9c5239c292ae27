//! What `--help` looks like where it is read.

use crate::support::World;

const COMMANDS: [&str; 25] = [
    "",
    "build",
    "matrix",
    "collect",
    "customize",
    "resize",
    "convert",
    "export",
    "delta apply",
    "init",
    "explain",
    "ls",
    "inspect",
    "get",
    "check",
    "diff",
    "report",
    "verify",
    "fetch",
    "publish",
    "boot",
    "test",
    "seed iso",
    "seed check",
    "cache prune",
];

/// Lines were broken in the source, and then again by the terminal's width: every other one had a few words.
#[test]
fn help_is_wrapped_once() {
    let world = World::empty();
    for width in [80, 100] {
        for command in COMMANDS {
            let help =
                world.run_with(&format!("{command} --help"), &[("COLUMNS", &width.to_string())]).succeeds().stdout;
            let lines: Vec<&str> = help.lines().collect();
            for pair in lines.windows(2) {
                let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
                if !is_prose(pair[0]) || !is_prose(pair[1]) {
                    continue;
                }
                let word = pair[1].split(' ').next().unwrap();
                let with_word = pair[0].chars().count() + 1 + word.chars().count();
                assert!(with_word > width, "{command}, {width} columns: {pair:?}");
            }
        }
    }
}

#[test]
fn examples_come_before_long_lists_of_options() {
    let world = World::empty();
    for command in ["build", "customize", "boot", "test", "seed iso", "seed vfat", "seed tar", "seed serve"] {
        let help = world.run(&format!("{command} --help")).succeeds().stdout;
        let place =
            |heading: &str| help.find(&format!("\n{heading}:\n")).unwrap_or_else(|| panic!("{heading}: {help}"));
        assert!(place("Examples") < place("Options"), "{command}: {help}");
        assert_eq!(help.matches("\nExamples:\n").count(), 1, "{command}: {help}");
    }
}
