//! What is shown on a terminal of how far something is: it never goes back, and comes to its end.

use crate::support::{World, noise};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;

/// What `imgraft` shows on a terminal of its own, 200 columns wide.
fn shown(world: &World, arguments: &str) -> String {
    let program = world.command(arguments).get_program().to_str().unwrap().to_owned();
    let line = format!("cd {} && stty cols 200 && {program} {arguments}", world.folder().display());
    judge("script").args(["-qec", &line, "/dev/null"]).succeed().stdout
}

/// The percentages of the bar that is called `what`, in the order in which they were drawn.
fn percentages(shown: &str, what: &str) -> Vec<u64> {
    let drawings = shown.split(['\r', '\n']).filter_map(|drawing| drawing.split_once(what));
    let percentage = |(_, rest): (&str, &str)| rest.split_once('%')?.0.split_whitespace().last()?.parse().ok();
    drawings.filter_map(percentage).collect()
}

#[test]
fn bars_never_go_back_and_end_at_the_end_and_a_sync_is_told_of() {
    for format in [crate::support::qcow2(), Format::Raw] {
        let world = World::with_copy(&Options { format, ..Options::default() });
        world.file("large", noise(3, 8 << 20));
        for arguments in [
            "build --base my.img --put large:/srv/large -o out.img",
            "customize my.img --put large:/srv/large",
            "convert my.img other.vmdk",
        ] {
            let shown = shown(&world, arguments);
            if !arguments.starts_with("convert") {
                let percentages = percentages(&shown, "checking what was changed");
                assert!(!percentages.is_empty() && percentages.is_sorted(), "{arguments}: {percentages:?} {shown:?}");
            }
            for what in ["putting", "writing"] {
                let percentages = percentages(&shown, what);
                if what == "putting" && arguments.starts_with("convert") {
                    assert_eq!(percentages, [0; 0], "{shown:?}");
                    continue;
                }
                assert!(percentages.is_sorted(), "{arguments}: {what} {percentages:?}");
                assert_eq!(percentages.last(), Some(&100), "{arguments}: {what} {shown:?}");
            }
            let sync = shown.rfind("writing to disk").unwrap_or_else(|| panic!("{arguments}: {shown:?}"));
            assert!(shown.rfind("100%").is_some_and(|end| end < sync), "{arguments}: {shown:?}");
        }
    }
}

#[test]
fn a_check_says_how_far_it_is() {
    let world = World::with_copy(&Options::default());
    let shown = shown(&world, "check my.img");
    let percentages = percentages(&shown, "looking at partition 1 (ext4 `cloudimg-rootfs`)");
    assert!(!percentages.is_empty() && percentages.is_sorted(), "{percentages:?} {shown:?}");
}

#[test]
fn a_copy_out_of_an_image_says_how_much_it_has_copied() {
    let world = World::with_copy(&Options::default());
    world.file("large", noise(3, 8 << 20));
    world.run("customize my.img --put large:/srv/large").succeeds();
    for arguments in ["get my.img /srv/large large.out", "get my.img /srv srv.out"] {
        let shown = shown(&world, arguments);
        assert!(shown.contains("copying 1 file, 8.0 MiB"), "{arguments}: {shown:?}");
    }
}

/// Where nobody watches, there is no character that moves a cursor, and what is soon over says nothing more than it does
/// elsewhere.
#[test]
fn in_the_log_of_ci_there_are_lines_and_nothing_else() {
    let world = World::with_copy(&Options::default());
    world.file("large", noise(3, 8 << 20));
    for arguments in
        ["build --base my.img --put large:/srv/large -o out.img", "check my.img", "convert my.img other.vmdk"]
    {
        for variables in [&[("CI", "true")][..], &[]] {
            let run = world.run_with(arguments, variables).succeeds();
            assert!(!run.stderr.contains(['\r', '\x1b']), "{arguments}: {:?}", run.stderr);
        }
    }
}
