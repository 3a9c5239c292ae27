//! Messages as GitHub's runners read them, and findings as SARIF.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::World;
use serde_json::{Value, json};

const WRONG: &str = "#cloud-config\npackage:\n- nginx\n";

/// How it ends, what it prints and what it says, on a runner that has the world's folder checked out.
fn on_github(world: &World, arguments: &str) -> (Option<i32>, String, String) {
    let mut command = world.command(arguments);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", world.folder());
    text(command.output().unwrap())
}

fn text(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn problems_of_a_recipe_are_shown_beside_it() {
    let world = World::new();
    world
        .file("recipes/r, 1%.toml", "outptu = 'x'\n")
        .file("r.toml", "outptu = 'x'\n\n[[step]]\nput = 'a'\nto = '/a'\n");
    let expected = "::error file=r.toml,line=1,col=1,title=imgraft%3A recipe::unknown key `outptu`%0Aa recipe has no such \
                    key%0Ahint: did you mean `output`?\n\
                    ::error file=r.toml,line=4,col=7,title=imgraft%3A recipe::there is no input `a`%0Ahint: declare it with \
                    `[inputs.a]`\n";
    let (code, stdout, stderr) = on_github(&world, "build r.toml --base base.img");
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(2), "", expected));
    // The flag says it before the environment does.
    let run = world.run("build r.toml --base base.img --message-format github");
    assert_eq!((run.code, run.stderr.as_str()), (Some(2), expected));
    let (_, _, stderr) = on_github(&world, "--message-format human build r.toml --base base.img");
    assert!(stderr.starts_with("error: unknown key `outptu`\n --> r.toml:1:1\n"), "{stderr}");
    // From another folder, the file is the one of the checkout; and a name may have what separates properties.
    let mut command = world.command("build --base ../base.img");
    command.arg("r, 1%.toml").current_dir(world.path("recipes"));
    let output = command.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", world.folder()).output().unwrap();
    let (_, _, stderr) = text(output);
    assert!(stderr.starts_with("::error file=recipes/r%2C 1%25.toml,line=1,col=1,title="), "{stderr}");
}

#[test]
fn other_failures_and_warnings_are_shown_too() {
    let world = World::new();
    world.file("r.toml", "[base]\nname = 'debian:12'\n");
    let (code, _, stderr) = on_github(&world, "build r.toml --base base.img -o out.img");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.starts_with("::warning title=imgraft::the recipe asks for debian:12, the base is Ubuntu 24.04.1 LTS\n"),
        "{stderr}"
    );
    let (code, _, stderr) = on_github(&world, "build none.toml");
    assert_eq!(
        (code, stderr.as_str()),
        (Some(2), "::error title=imgraft::the recipe `none.toml` cannot be read%0Acause: no such file or directory\n")
    );
    let (code, _, stderr) = on_github(&world, "build --zebra");
    assert_eq!(code, Some(2));
    assert!(stderr.starts_with("::error title=imgraft::unexpected argument '--zebra' found%0A"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    // What is asked for is printed as it is.
    let (code, stdout, stderr) = on_github(&world, "--version");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("imgraft "), "{stdout}");
}

#[test]
fn findings_in_a_seed_are_shown_beside_it() {
    let world = World::empty();
    world.file("seeds/wrong.yaml", WRONG);
    let (code, stdout, _) = on_github(&world, "seed check seeds/wrong.yaml");
    let expected = "::error file=seeds/wrong.yaml,line=2,col=1,title=imgraft%3A schema::there is no key `package`%0Adid you \
                    mean `packages`?\n";
    assert_eq!((code, stdout.as_str()), (Some(1), expected));
    let (code, _, stderr) = on_github(&world, "seed iso --user-data seeds/wrong.yaml -o seed.iso");
    assert_eq!(code, Some(2));
    assert!(stderr.contains(expected.trim_end()), "{stderr}");
}

/// The log that `seed check` writes of files.
fn sarif(world: &World, arguments: &str, code: i32) -> Value {
    let run = world.run(&format!("seed check {arguments} --sarif out/found.sarif"));
    assert_eq!(run.code, Some(code), "{}{}", run.stdout, run.stderr);
    serde_json::from_slice(&fs::read(world.path("out/found.sarif")).unwrap()).unwrap()
}

#[test]
fn findings_are_sarif() {
    let world = World::empty();
    world.file("out/found.sarif", "an older one").file("a b/é.yaml", WRONG).file("right.yaml", "#cloud-config\n{}\n");
    fs::rename(world.path("a b/é.yaml"), world.path("é,1.yaml")).unwrap();
    let log = sarif(&world, "é,1.yaml", 1);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"], json!([{ "id": "schema" }]));
    assert_eq!(
        run["results"],
        json!([{
            "ruleId": "schema",
            "level": "error",
            "message": { "text": "there is no key `package`\ndid you mean `packages`?" },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": "%C3%A9%2C1.yaml" },
                "region": { "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 8 },
            } }],
        }])
    );
    assert_official(&world, &log);
    // A log without results has services close what they showed before.
    let log = sarif(&world, "right.yaml", 0);
    assert_eq!(log["runs"][0]["results"], json!([]));
    assert_official(&world, &log);
    // A file on a medium is none that a service could show.
    world.run("seed iso --user-data é,1.yaml --no-check -o seed.iso").succeeds();
    let log = sarif(&world, "seed.iso", 1);
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["locations"], Value::Null);
    assert_eq!(
        result["message"]["text"],
        "seed.iso:user-data:2:1: there is no key `package`\ndid you mean `packages`?"
    );
    assert_official(&world, &log);
}

#[test]
fn a_log_that_cannot_be_written_is_said() {
    let world = World::empty();
    world.file("wrong.yaml", WRONG);
    let run = world.run("seed check wrong.yaml --sarif none/found.sarif");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("error: `none/found.sarif` cannot be written\n"), "{}", run.stderr);
}

/// The schema of SARIF accepts the log, where `scripts/ci-judges` has fetched it.
fn assert_official(world: &World, log: &Value) {
    let Some(judges) = crate::support::ci::ci_judges() else { return };
    let log = {
        world.file("log.json", log.to_string());
        world.path("log.json")
    };
    crate::support::ci::assert_schema(&judges.join("sarif-2.1.0.json"), &[Path::new(&log)]);
}
