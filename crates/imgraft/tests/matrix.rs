//! `imgraft matrix` and `imgraft collect`: the images of a recipe's cells.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::ci::{ci_judges, library, yaml};
use crate::support::{ROOT, World, assert_sound};
use testkit::judge::judge;

const RECIPE: &str = r#"
output = "app-{matrix.tenant}-{matrix.edition}.img"

[matrix]
tenant = ["north", "south"]
edition = ["full", "small"]
exclude = [{ tenant = "south", edition = "small" }]

[base]
file = "base.img"

[inputs.app]
file = "app-{matrix.edition}"

[[step]]
put = "app"
to = "/usr/local/bin/app"
mode = "0755"

[[step]]
write = "/etc/tenant"
text = "{matrix.tenant}\n"
"#;

const IMAGES: [&str; 3] = ["app-north-full.img", "app-north-small.img", "app-south-full.img"];

fn world() -> World {
    let world = World::new();
    world.file("fleet.toml", RECIPE).file("app-full", "full\n").file("app-small", "small\n");
    world
}

/// The result of each cell, in their order.
fn results(stdout: &str) -> Vec<String> {
    let outcomes: Vec<Value> = serde_json::from_str(stdout).unwrap();
    outcomes.iter().map(|outcome| outcome["result"].as_str().unwrap().to_owned()).collect()
}

fn sha256(world: &World, name: &str) -> String {
    judge("sha256sum").arg(world.path(name)).succeed().stdout.split(' ').next().unwrap().to_owned()
}

#[test]
fn each_cell_is_the_image_that_its_recipe_alone_would_be() {
    let world = world();
    let run = world.run("matrix fleet.toml").succeeds();
    assert!(run.stdout.starts_with("3 cells: 3 built in "), "{}", run.stdout);
    for (image, tenant, edition) in
        [(IMAGES[0], "north", "full"), (IMAGES[1], "north", "small"), (IMAGES[2], "south", "full")]
    {
        assert_sound(&world.path(image));
        assert_eq!(world.content(image, ROOT, "/etc/tenant"), format!("{tenant}\n").into_bytes());
        assert_eq!(world.content(image, ROOT, "/usr/local/bin/app"), format!("{edition}\n").into_bytes());
        let (_, rest) = RECIPE.split_once("[base]").unwrap();
        let alone = rest.replace("{matrix.tenant}", tenant).replace("{matrix.edition}", edition);
        world.file("alone.toml", format!("output = \"alone.img\"\n[base]{alone}"));
        world.run("build alone.toml").succeeds();
        judge("cmp").args([world.path(image), world.path("alone.img")]).succeed();
        let record: Value =
            serde_json::from_slice(&fs::read(world.path(&format!("{image}.cell.json"))).unwrap()).unwrap();
        assert_eq!(record["sha256"], sha256(&world, image).as_str());
        assert_eq!(record["base"], sha256(&world, "base.img").as_str());
        assert_eq!(record["cell"], format!("tenant={tenant},edition={edition}"));
    }
}

#[test]
fn only_what_is_out_of_date_is_built() {
    let world = world();
    let build =
        |arguments: &str| results(&world.run(&format!("matrix fleet.toml --json {arguments}")).succeeds().stdout);
    let [old, new] = ["up-to-date", "built"];
    assert_eq!(build(""), [new, new, new]);
    let before = world.contents();
    assert_eq!(build(""), [old, old, old]);
    assert_eq!(world.contents(), before, "nothing was touched");
    // The same content at another time is the same.
    world.file("app-small", "small\n").modified("app-small", 1_600_000_000);
    assert_eq!(build(""), [old, old, old]);
    world.file("app-small", "smaller\n");
    assert_eq!(build(""), [old, new, old]);
    assert_eq!(world.content(IMAGES[1], ROOT, "/usr/local/bin/app"), b"smaller\n");
    world.mode("app-full", 0o700);
    assert_eq!(build("--cell edition=full"), [new, new]);
    // A new value of an axis, and a comment, leave the others as they are.
    let wider = RECIPE.replace("\"south\"]", "\"south\", \"west\"] # new");
    world.file("fleet.toml", &wider);
    assert_eq!(build(""), [old, old, old, new, new]);
    world.file("fleet.toml", wider.replace("/etc/tenant", "/etc/customer"));
    assert_eq!(build("--cell tenant=north"), [new, new]);
    assert_eq!(build("--cell tenant=north --rebuild"), [new, new]);
    fs::write(world.path(IMAGES[0]), "cut").unwrap();
    fs::remove_file(world.path(&format!("{}.cell.json", IMAGES[1]))).unwrap();
    assert_eq!(build("--cell tenant=north"), [new, new]);
    let run = world.run_with("matrix fleet.toml --cell tenant=north --json", &[("SOURCE_DATE_EPOCH", "1700000000")]);
    assert_eq!(results(&run.succeeds().stdout), [new, new]);
}

#[test]
fn a_cell_that_fails_keeps_no_other_one_from_being_built() {
    let world = world();
    fs::remove_file(world.path("app-small")).unwrap();
    let run = world.run("matrix fleet.toml");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stdout.contains("tenant=north,edition=small (app-north-small.img): "), "{}", run.stdout);
    assert!(run.stdout.contains("3 cells: 2 built, 1 failed in "), "{}", run.stdout);
    assert!(run.stdout.contains("app-small"), "{}", run.stdout);
    assert!(!world.path(IMAGES[1]).exists() && world.path(IMAGES[0]).exists() && world.path(IMAGES[2]).exists());
    world.file("app-small", "small\n");
    let run = world.run("matrix fleet.toml").succeeds();
    assert!(run.stdout.starts_with("3 cells: 1 built, 2 up to date in "), "{}", run.stdout);

    // A base that is not there is of its own cells only.
    let two = "output = 'of-{matrix.base}'\nmatrix.base = ['base.img', 'none.img']\nbase.file = '{matrix.base}'\n\
               [[step]]\nmkdir = '/srv/x'\n";
    world.file("two.toml", two);
    let run = world.run("matrix two.toml");
    assert_eq!(run.code, Some(2));
    assert!(run.stdout.contains("none.img") && run.stdout.contains("2 cells: 1 built, 1 failed"), "{}", run.stdout);
}

#[test]
fn parts_of_a_fleet_come_together_and_what_is_missing_is_named() {
    let world = world();
    let missing = |code, said: &[&str]| {
        let run = world.run("collect fleet.toml");
        assert_eq!(run.code, Some(code), "{}{}", run.stdout, run.stderr);
        for text in said {
            assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
        }
    };
    missing(1, &["3 cells: 3 missing\n"]);
    world.run("matrix fleet.toml --shard 1/2").succeeds();
    missing(
        1,
        &["tenant=north,edition=small (app-north-small.img): it is not there\n", "3 cells: 2 there, 1 missing\n"],
    );
    // One that is started twice changes nothing.
    world.run("matrix fleet.toml --shard 1/2").succeeds();
    let gitlab = [("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "2")];
    world.run_with("matrix fleet.toml --shard auto", &gitlab).succeeds();
    missing(0, &["3 cells: 3 there\n"]);
    // Neither inputs nor the base are needed.
    for name in ["app-full", "app-small", "base.img"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    missing(0, &[]);
    let mut image = fs::read(world.path(IMAGES[0])).unwrap();
    *image.last_mut().unwrap() ^= 1;
    world.file(IMAGES[0], image);
    fs::copy(world.path(&format!("{}.cell.json", IMAGES[0])), world.path(&format!("{}.cell.json", IMAGES[2]))).unwrap();
    missing(1, &["its SHA-256 is another one\n", "it is of another cell\n", "3 cells: 1 there, 2 damaged\n"]);
    world.file("fleet.toml", RECIPE.replace("0755", "0700"));
    missing(1, &["it was made of another recipe\n"]);
    for record in ["", "{}", "[[[[", "null"] {
        world.file(&format!("{}.cell.json", IMAGES[1]), record);
        missing(1, &["nothing beside it says what it is\n"]);
    }
    // One that nobody writes to.
    let fifo = world.path(&format!("{}.cell.json", IMAGES[1]));
    fs::remove_file(&fifo).unwrap();
    judge("mkfifo").arg(&fifo).succeed();
    missing(1, &["nothing beside it says what it is\n"]);
}

#[test]
fn cells_are_listed_for_people_and_for_github() {
    let world = world();
    let run = world.run("matrix fleet.toml --list").succeeds();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "tenant=north,edition=full  app-north-full.img");
    assert_eq!(lines.len(), 3);
    let list: Value = serde_json::from_str(&world.run("matrix fleet.toml --list-json").succeeds().stdout).unwrap();
    let cells = list["include"].as_array().unwrap();
    assert_eq!(cells.len(), 3);
    for cell in cells {
        assert!(cell["tenant"].is_string() && cell["edition"].is_string());
        let run = world.run(&format!("matrix fleet.toml --list --cell {}", cell["cell"].as_str().unwrap())).succeeds();
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    }
}

#[test]
fn what_cannot_be_a_fleet_is_refused_before_anything_is_built() {
    let world = world();
    world.file("same.toml", RECIPE.replace("-{matrix.edition}.img", ".img"));
    world.file("alone.toml", "base.file = 'base.img'\noutput = 'x.img'\n");
    world.file("slip.toml", RECIPE.replace("{matrix.tenant}\\n", "{matrix.tenat}\\n"));
    let names = world.names();
    for (arguments, words) in [
        ("matrix same.toml", "two cells have the same image `app-north.img`"),
        ("matrix alone.toml", "`alone.toml` has no `[matrix]`"),
        ("matrix slip.toml", "`{matrix.tenat}` stands for nothing"),
        ("matrix fleet.toml --cell tennant=north", "the matrix has no axis `tennant`\nhint: did you mean `tenant`?"),
        ("matrix fleet.toml --cell tenant=nort", "the axis `tenant` has no value `nort`\nhint: did you mean `north`?"),
        ("matrix fleet.toml --cell tenant=south,edition=small", "no cell of the matrix has all these values"),
        ("matrix fleet.toml --shard 3/2", "expected K/N"),
        ("matrix fleet.toml --shard auto", "SLURM_ARRAY_TASK_ID"),
        ("matrix fleet.toml --input other=app-full", "the recipe has no input `other`"),
        ("build fleet.toml", "build them with `imgraft matrix fleet.toml`"),
    ] {
        let run = world.run(arguments);
        assert_eq!(run.code, Some(2), "{arguments}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{arguments}: {}", run.stderr);
        assert_eq!(world.names(), names, "{arguments}");
    }
}

#[test]
fn thin_images_are_the_difference_and_however_many_are_built_at_a_time_the_same() {
    let world = world();
    let thin = RECIPE.replace("output = \"app-", "[output]\noverlay = true\nfile = \"thin-");
    world.file("fleet.toml", thin);
    world.run("matrix fleet.toml --jobs 1").succeeds();
    let images = IMAGES.map(|image| image.replace("app-", "thin-"));
    let one_at_a_time = images.clone().map(|image| sha256(&world, &image));
    world.run("matrix fleet.toml --jobs 8 --rebuild").succeeds();
    assert_eq!(images.clone().map(|image| sha256(&world, &image)), one_at_a_time);
    for image in &images {
        assert!(fs::metadata(world.path(image)).unwrap().len() < 2_000_000);
        judge("qemu-img").arg("check").arg(world.path(image)).succeed();
    }
}

#[test]
fn a_delta_of_each_image_makes_it_again() {
    let world = world();
    world.run("matrix fleet.toml").succeeds();
    let run = world.run("matrix fleet.toml --delta").succeeds();
    assert!(run.stdout.starts_with("3 cells: 3 built in "), "{}", run.stdout);
    for image in IMAGES {
        world.run(&format!("delta apply base.img {image}.delta -o again.img")).succeeds();
        judge("cmp").args([world.path(image), world.path("again.img")]).succeed();
        fs::remove_file(world.path("again.img")).unwrap();
    }
    let names = world.names();
    let run = world.run("matrix fleet.toml --delta").succeeds();
    assert!(run.stdout.starts_with("3 cells: 3 up to date in "), "{}", run.stdout);
    // The images are not needed, and nothing else was left.
    IMAGES.iter().for_each(|image| fs::remove_file(world.path(image)).unwrap());
    assert_eq!(world.run("collect fleet.toml --delta").succeeds().stdout, "3 cells: 3 there\n");
    assert_eq!(world.names().len() + IMAGES.len(), names.len());
    assert!(names.iter().all(|name| !name.contains("work")), "{names:?}");
    fs::write(world.path(&format!("{}.delta", IMAGES[0])), "cut").unwrap();
    assert_eq!(world.run("collect fleet.toml --delta").code, Some(1));

    world.file("thin.toml", RECIPE.replace("output = ", "output.overlay = true\noutput.file = "));
    let run = world.run("matrix thin.toml --delta");
    assert!(run.code == Some(2) && run.stderr.contains("leave out `--delta`"), "{}", run.stderr);
}

/// The manifest of the book: what Kubernetes would take, and its command in each of its pods.
#[test]
fn the_indexed_job_of_kubernetes_builds_all_cells() {
    const JOB: &str = "../../examples/kubernetes/fleet.yaml";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(JOB);
    let world = World::new();
    if let Some(judges) = ci_judges() {
        library("kubernetes", &judges, &path).succeed();
        let wrong = fs::read_to_string(&path).unwrap().replace("completions:", "completion:");
        world.file("wrong.yaml", wrong);
        assert!(!library("kubernetes", &judges, &world.path("wrong.yaml")).run().status.success());
    }
    let job = yaml(&path);
    let spec = &job["spec"];
    let container = &spec["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap();
    assert!(image.ends_with(concat!("imgraft:", env!("CARGO_PKG_VERSION"))), "{image}");
    let words: Vec<&str> = container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let count = spec["completions"].as_u64().unwrap();
    let recipe = "output = '{matrix.n}.img'\nmatrix.n = { from = 1, to = 9 }\nbase.file = 'base.img'\n\
                  [[step]]\nwrite = '/etc/n'\ntext = '{matrix.n}'\n";
    world.file("fleet.toml", recipe);
    for index in 0..count {
        let variable = [("JOB_COMPLETION_INDEX", &*index.to_string())];
        let run = world.run_with(&words.join(" "), &variable).succeeds();
        let cells = if index == 0 { "2 cells: 2 built in " } else { "1 cell: 1 built in " };
        assert!(run.stdout.starts_with(cells), "{index}: {}", run.stdout);
    }
    world.run("collect fleet.toml").succeeds();
}
