//! Commands in the guest, as far as nothing is run.

use crate::support::World;
use testkit::fixture::Options;

const HINT: &str = "hint: let commands use it with `--network`, or with `network = true` at the top of the recipe\n";

#[test]
fn what_needs_the_network_is_refused_without_it_and_nothing_is_changed() {
    let world = World::with_copy(&Options::default());
    for (step, flag) in [("install jq curl", "--install jq,curl"), ("update", "--update")] {
        world.refuses(
            &format!("customize my.img --mkdir /srv/a {flag}"),
            &format!(
                "error: `my.img` was not changed\n  cause: `{step}` needs the network, which commands in the guest \
                 may not use\n{HINT}"
            ),
        );
    }
    // The command line wins over the recipe.
    world.file("r.toml", "network = true\noutput = \"out.img\"\n[base]\nfile = \"my.img\"\n[[step]]\nupdate = true\n");
    for arguments in ["build r.toml --no-network", "build r.toml --network --no-network"] {
        world.refuses(
            arguments,
            &format!("error: `update` needs the network, which commands in the guest may not use\n{HINT}"),
        );
    }
}

#[test]
fn a_name_that_is_no_packages_is_refused_where_it_is_typed() {
    let world = World::with_copy(&Options::default());
    for flag in ["--install", "--uninstall"] {
        let run = world.run_words("customize my.img --network", &[flag, "jq;reboot"]);
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("`jq;reboot` is not a valid package name: use letters"), "{}", run.stderr);
    }
    let recipe = "[base]\nfile = \"my.img\"\n[[step]]\ninstall = [\"jq\", \"--purge\"]\nsnapshot = \"yesterday\"\n";
    let run = world.file("r.toml", recipe).run("build r.toml -o out.img");
    assert_eq!(run.code, Some(2));
    for problem in ["`--purge` is not a valid package name", "`yesterday` is not a moment of an archive"] {
        assert!(run.stderr.contains(problem), "{}", run.stderr);
    }
}

/// All that it lacks here is the network.
#[test]
fn the_recipe_of_autonoe_with_node_can_be_read() {
    let world = World::with_copy(&Options::default());
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/autonoe-node.toml");
    world.file("app", "#!/bin/sh\n");
    world.refuses(
        &format!("build {recipe} --base my.img --input autonoe=app --no-network -o out.img"),
        &format!("error: `install nodejs npm` needs the network, which commands in the guest may not use\n{HINT}"),
    );
}

/// As the flags have it, so has the recipe.
#[test]
fn limits_that_are_none_are_named() {
    let world = World::with_copy(&Options::default());
    for (flag, value, said) in [
        ("--timeout", "soon", "`soon` is not a time: write seconds, or a number and s, m or h, such as `90` or `5m`"),
        ("--memory", "2", "`2` is too little memory for any program: give it 16.0 MiB or more"),
        ("--memory", "lots", "`lots` is not an amount of memory: write a number with M or G, such as `512M` or `2G`"),
    ] {
        let run = world.run(&format!("customize my.img {flag} {value} --run true"));
        assert!(run.code == Some(2) && run.stderr.contains(said), "{}", run.stderr);
        let key = flag.trim_start_matches('-');
        world.file("r.toml", format!("{key} = \"{value}\"\noutput = \"out.img\"\n[base]\nfile = \"my.img\"\n"));
        let run = world.run("build r.toml");
        assert!(
            run.code == Some(2) && run.stderr.contains(said) && run.stderr.contains(" --> r.toml:1:"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn help_says_what_commands_have_and_have_not() {
    let world = World::empty();
    for command in ["build", "customize"] {
        let help = world.run_with(&format!("{command} --help"), &[("COLUMNS", "100")]).succeeds().stdout;
        let help = help.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        for text in [
            "--network",
            "--no-network",
            "--timeout <TIME>",
            "--memory <SIZE>",
            "--run <COMMAND>",
            "--update",
            "services do not start",
            "no network without --network",
        ] {
            assert!(help.contains(text), "{text}: {help}");
        }
    }
}
