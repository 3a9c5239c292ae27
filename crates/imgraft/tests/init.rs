//! `imgraft init`: the recipe that it writes is one that builds.

use std::fs;

use crate::support::{ROOT, World, assert_sound};

/// The beginning of a program for Linux and `machine`, and no more.
fn program(machine: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    bytes.extend(machine.to_le_bytes());
    bytes.extend([0; 44]);
    bytes
}

const AMD64: u16 = 62;
const ARM64: u16 = 183;

#[test]
fn a_project_with_a_program_gets_a_recipe_that_puts_it_into_an_image() {
    let world = World::new();
    world.file("Cargo.toml", "[package]\nname = \"my-app\"\nversion = \"0.1.0\"\n");
    world.file("target/release/my-app", program(AMD64)).mode("target/release/my-app", 0o755);
    world.file("target/release/other", program(AMD64)).mode("target/release/other", 0o755);
    world.file("target/release/libmy_app.so", program(AMD64)).mode("target/release/libmy_app.so", 0o755);
    world
        .run("init")
        .succeeds()
        .prints("")
        .says("wrote imgraft.toml: target/release/my-app goes into ubuntu:24.04 for amd64\nnext: imgraft build\n");
    world.run("build --base base.img").succeeds();
    let image = "my-app-ubuntu-24.04.img";
    assert_sound(&world.path(image));
    assert!(world.content(image, ROOT, "/usr/local/bin/my-app") == program(AMD64));
    assert_eq!(world.stat(image, ROOT, "/usr/local/bin/my-app").mode, "0755");
    // Nothing is written over.
    let recipe = fs::read_to_string(world.path("imgraft.toml")).unwrap();
    world.file("imgraft.toml", format!("{recipe}# mine\n"));
    world.refuses(
        "init",
        "error: there is a recipe already: `imgraft.toml`\nhint: `imgraft build` builds what it says; `imgraft init` \
         replaces nothing\n",
    );
    world.refuses(
        "init none",
        "error: the folder `none` cannot be read\n  cause: no such file or directory\nhint: name the folder of a project, \
         or make one with `mkdir`\n",
    );
}

#[test]
fn each_kind_of_project_is_seen_and_what_it_lacks_is_said() {
    let world = World::new();
    for (folder, files, said, next) in [
        (
            "go",
            &[("go.mod", "module example.com/me/app/v2\n")][..],
            "bin/app goes",
            "go build -o bin/app && imgraft build go/imgraft.toml",
        ),
        (
            "rust",
            &[("Cargo.toml", "[package]\nname = \"app\"\n")][..],
            "target/release/app goes",
            "cargo build --release && imgraft build rust/imgraft.toml",
        ),
        (
            "node",
            &[("package.json", "{\"name\": \"@me/site\"}"), ("dist/index.html", "hello\n")][..],
            "dist goes",
            "imgraft build node/imgraft.toml",
        ),
        (
            "python",
            &[("pyproject.toml", "[project]\nname = \"tool\"\n")][..],
            "a text goes",
            "imgraft build python/imgraft.toml",
        ),
        ("two words", &[("notes", "")][..], "a text goes", "imgraft build 'two words/imgraft.toml'"),
    ] {
        for (name, content) in files {
            world.file(&format!("{folder}/{name}"), content);
        }
        let run = world.run_words("init", &[folder]).succeeds();
        let host = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let expected = format!("wrote {folder}/imgraft.toml: {said} into ubuntu:24.04 for {host}\nnext: {next}\n");
        run.says(&expected);
    }
    // What was missing is made, as the line says that is next.
    world.file("go/bin/app", program(AMD64));
    world.run("build go/imgraft.toml --base base.img -o go.img").succeeds();
    assert!(world.content("go.img", ROOT, "/usr/local/bin/app") == program(AMD64));
    world.run("build node/imgraft.toml --base base.img -o node.img").succeeds();
    assert_eq!(world.content("node.img", ROOT, "/opt/site/index.html"), b"hello\n");
    world.run("build python/imgraft.toml --base base.img -o python.img").succeeds();
    assert_eq!(world.content("python.img", ROOT, "/etc/motd"), b"tool\n");
}

#[test]
fn the_base_is_for_the_machine_that_the_program_is_for() {
    let world = World::empty();
    let is_arm = cfg!(target_arch = "aarch64");
    let (own, other) = if is_arm { (ARM64, AMD64) } else { (AMD64, ARM64) };
    let (own_name, other_name) = if is_arm { ("arm64", "amd64") } else { ("amd64", "arm64") };
    let recipe = |world: &World| fs::read_to_string(world.path("p/imgraft.toml")).unwrap();
    world.file("p/package.json", "{\"name\": \"app\"}");
    world.file("p/dist/app_linux_b/app", program(other)).mode("p/dist/app_linux_b/app", 0o755);
    let run = world.run("init p").succeeds();
    assert!(run.stderr.contains("dist/app_linux_b/app goes into ubuntu:24.04 for "), "{}", run.stderr);
    assert!(recipe(&world).contains(&format!("arch = \"{other_name}\"")), "{}", recipe(&world));
    // One that this machine can try is taken first.
    fs::remove_file(world.path("p/imgraft.toml")).unwrap();
    world.file("p/dist/app_linux_z/app", program(own)).mode("p/dist/app_linux_z/app", 0o755);
    world.run("init p").succeeds();
    assert!(recipe(&world).contains(&format!("arch = \"{own_name}\"")), "{}", recipe(&world));
    // Several programs of other names are named.
    let world = World::empty();
    world
        .file("p/bin/one", program(own))
        .mode("p/bin/one", 0o755)
        .file("p/bin/two", program(own))
        .mode("p/bin/two", 0o755);
    let run = world.run("init p").succeeds();
    assert!(run.stderr.contains("warning: there are several programs, and none is called `p`: "), "{}", run.stderr);
    assert!(run.stderr.contains("`bin/one` or `bin/two`"), "{}", run.stderr);
}

/// What is a comment in the recipe is right, too, for who takes the `#` away.
#[test]
fn what_is_commented_out_can_be_used() {
    let world = World::new();
    for folder in ["app", "dist"] {
        world.file(&format!("{folder}/notes"), "");
    }
    world.file("dist/package.json", "{\"name\": \"site\"}").file("dist/dist/x", "");
    for (folder, name) in [("app", "app"), ("dist", "site")] {
        world.run(&format!("init {folder}")).succeeds();
        let recipe = fs::read_to_string(world.path(&format!("{folder}/imgraft.toml"))).unwrap();
        let is_toml = |line: &str| {
            line.starts_with(['[', '"']) || line.contains(" = ") || line.contains("=/") || line.contains("=multi")
        };
        let used: String = recipe
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if is_toml(rest) => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert!(used.contains("\nnetwork = true") && used.contains("\n[[boot.command]]\n"), "{used}");
        assert!(
            used.matches("[[step]]").count()
                == recipe.matches("\n[[step]]").count() + recipe.matches("# [[step]]").count()
        );
        world.file(&format!("{folder}/imgraft.toml"), &used).file("program", program(AMD64));
        let input =
            if used.contains(&format!("[inputs.{name}]")) { format!("--input {name}=program") } else { String::new() };
        let run = world.run(&format!("build {folder}/imgraft.toml --base base.img --no-network --dry-run {input}"));
        assert!(run.stderr.contains("needs the network, which commands in the guest may not use"), "{}", run.stderr);
    }
}
