//! The actions for GitHub's runners: their own steps, run as the runner does it, and the examples that use them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::ci::{assert_actionlint, assert_schema, ci_judges, yaml};
use crate::support::{World, assert_sound};
use serde_json::Value;
use testkit::judge::{find, judge};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A runner with a checkout, the folder of a world.
struct Runner {
    world: World,
    /// Programs that come before this machine's.
    bin: PathBuf,
    temporary: PathBuf,
    environment: BTreeMap<String, String>,
}

/// How the steps of an action ended.
struct Ran {
    outputs: BTreeMap<String, String>,
    /// How each step ended: `success`, `failure` or `skipped`.
    outcomes: BTreeMap<String, String>,
    log: String,
    summary: String,
    /// What is put on the path of the steps that follow.
    path: String,
}

impl Runner {
    fn new(world: World) -> Self {
        let outside = fs::canonicalize(world.folder()).unwrap();
        let bin = outside.join(".runner/bin");
        let temporary = outside.join(".runner/temp");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&temporary).unwrap();
        symlink(env!("CARGO_BIN_EXE_imgraft"), bin.join("imgraft")).unwrap();
        Self { world, bin, temporary, environment: BTreeMap::new() }
    }

    /// A program of shell.
    fn program(&self, name: &str, script: &str) -> &Self {
        self.world.file(&format!(".runner/bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        self.world.mode(&format!(".runner/bin/{name}"), 0o755);
        self
    }

    /// Runs the steps of an action. Those of other actions do nothing and have these outputs.
    fn run(&self, action: &str, given: &[(&str, &str)], others: &[(&str, &str)]) -> Ran {
        let folder = root().join("actions").join(action);
        let action = yaml(&folder.join("action.yml"));
        let mut inputs = BTreeMap::new();
        for (name, input) in action["inputs"].as_object().unwrap() {
            let value = given.iter().find(|(given, _)| given == name).map(|(_, value)| *value);
            inputs.insert(format!("inputs.{name}"), value.unwrap_or(input["default"].as_str().unwrap()).to_owned());
        }
        assert!(given.iter().all(|(name, _)| inputs.contains_key(&format!("inputs.{name}"))), "{given:?}");
        let mut ran = Ran {
            outputs: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            log: String::new(),
            summary: String::new(),
            path: String::new(),
        };
        let mut known = inputs;
        let mut has_failed = false;
        for step in action["runs"]["steps"].as_array().unwrap() {
            let id = step["id"].as_str().unwrap();
            let condition = step["if"].as_str().unwrap_or("success()");
            let outcome = if !is_so(condition, &known, has_failed) {
                "skipped"
            } else if step["uses"].is_string() {
                let with = step["with"].as_object().unwrap().values();
                with.for_each(|value| ran.log.push_str(&format!("with {}\n", filled(value.as_str().unwrap(), &known))));
                known.extend(
                    others.iter().map(|(name, value)| (format!("steps.{id}.outputs.{name}"), (*value).to_owned())),
                );
                "success"
            } else {
                let outputs = self.run_step(step, &folder, &known, &mut ran);
                match outputs {
                    Ok(outputs) => {
                        known.extend(
                            outputs.into_iter().map(|(name, value)| (format!("steps.{id}.outputs.{name}"), value)),
                        );
                        "success"
                    }
                    Err(()) => "failure",
                }
            };
            has_failed |= outcome == "failure";
            known.insert(format!("steps.{id}.outcome"), outcome.to_owned());
            ran.outcomes.insert(id.to_owned(), outcome.to_owned());
        }
        for (name, output) in action["outputs"].as_object().unwrap() {
            ran.outputs.insert(name.clone(), filled(output["value"].as_str().unwrap(), &known));
        }
        ran
    }

    /// Runs a step with nothing in its environment but what the runner and the step put there.
    fn run_step(
        &self,
        step: &Value,
        action: &Path,
        known: &BTreeMap<String, String>,
        ran: &mut Ran,
    ) -> Result<BTreeMap<String, String>, ()> {
        assert_eq!(step["shell"], "bash");
        let script = step["run"].as_str().unwrap();
        assert!(!script.contains("${{"), "what a caller says would be part of the command: {script}");
        let files = ["GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE"];
        let file = |name: &str| self.temporary.join(format!("_{name}"));
        files.iter().for_each(|name| fs::write(file(name), "").unwrap());
        fs::write(file("script.sh"), script).unwrap();
        let folder = step["working-directory"].as_str().map_or(String::new(), |folder| filled(folder, known));
        let mut command = Command::new(find("bash").expect("bash is installed"));
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(file("script.sh"));
        command.current_dir(self.world.path(&folder)).env_clear();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.bin.display());
        command.env("PATH", path).env("HOME", self.world.folder()).env("CI", "true").env("GITHUB_ACTIONS", "true");
        command.env("RUNNER_OS", "Linux").env("RUNNER_ARCH", "X64").env("RUNNER_TEMP", &self.temporary);
        command.env("GITHUB_WORKSPACE", self.world.folder()).env("GITHUB_ACTION_PATH", action);
        command.envs(files.iter().map(|name| (*name, file(name)))).envs(&self.environment);
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            command.env(name, filled(value.as_str().unwrap(), known));
        }
        let output = command.output().unwrap();
        ran.log.push_str(&String::from_utf8(output.stdout).unwrap());
        ran.log.push_str(&String::from_utf8(output.stderr).unwrap());
        ran.summary.push_str(&fs::read_to_string(file("GITHUB_STEP_SUMMARY")).unwrap());
        ran.path.push_str(&fs::read_to_string(file("GITHUB_PATH")).unwrap());
        if output.status.success() { Ok(outputs(&fs::read_to_string(file("GITHUB_OUTPUT")).unwrap())) } else { Err(()) }
    }
}

/// The values of a step's outputs, in both forms that the runner reads.
fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match (line.split_once("<<"), line.split_once('=')) {
            (Some((name, end)), _) => {
                let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
                outputs.insert(name.to_owned(), value.join("\n"));
            }
            (None, Some((name, value))) => _ = outputs.insert(name.to_owned(), value.to_owned()),
            (None, None) => panic!("{line:?}"),
        }
    }
    outputs
}

/// A text in which each `${{ NAME }}` is its value: nothing, where the step that has it did not run.
fn filled(text: &str, known: &BTreeMap<String, String>) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${{") {
        let (name, after) = after.split_once("}}").unwrap();
        filled.push_str(before);
        filled.push_str(&value(name.trim(), known));
        rest = after;
    }
    filled + rest
}

fn value(name: &str, known: &BTreeMap<String, String>) -> String {
    let is_input = name.starts_with("inputs.");
    let is_step = name.starts_with("steps.") && (name.contains(".outputs.") || name.ends_with(".outcome"));
    assert!(is_step || is_input && known.contains_key(name), "{name}");
    known.get(name).cloned().unwrap_or_default()
}

/// Whether a condition of the few forms that our actions have is true.
fn is_so(condition: &str, known: &BTreeMap<String, String>, has_failed: bool) -> bool {
    let always = condition.split(" && ").any(|part| part == "always()");
    (always || !has_failed)
        && condition.split(" && ").all(|part| {
            let compared = |operator: &str| {
                let (name, literal) = part.split_once(operator)?;
                Some(value(name.trim(), known) == literal.trim().strip_prefix('\'')?.strip_suffix('\'')?)
            };
            match part {
                "always()" | "success()" => true,
                _ => compared("==").or_else(|| Some(!compared("!=")?)).unwrap_or_else(|| panic!("{condition}")),
            }
        })
}

/// A checkout with a recipe whose base is a file.
fn checkout() -> World {
    let world = World::new();
    world.file("dist/app", "app\n").file("dist/o'dd $(touch pwned)`touch pwned`;<b>&.bin", "odd\n").file(
        "images/r.toml",
        "base.file = '../base.img'\n[output]\nfile = 'app.img'\nrelease = 'app-{version}.img'\n[inputs.app]\n[inputs.odd]\n\
         [[step]]\nput = 'app'\nto = '/opt/app'\n[[step]]\nput = 'odd'\nto = '/opt/odd'\n",
    );
    world
}

#[test]
fn the_action_builds_an_image_and_says_what_came_of_it() {
    let runner = Runner::new(checkout());
    let world = &runner.world;
    let inputs = "\n  app=dist/app\n\nodd=dist/o'dd $(touch pwned)`touch pwned`;<b>&.bin\n";
    let args = "--write '/etc/motd:a  \"b\" $(touch pwned) *'\n--mkdir /opt/new --compress=1";
    let ran = runner.run(
        "build",
        &[
            ("recipe", "images/r.toml"),
            ("inputs", inputs),
            ("release-version", "v1.2"),
            ("size", "+16M"),
            ("args", args),
            ("cache", "false"),
            ("documents", "true"),
        ],
        &[],
    );
    assert_eq!(ran.outcomes["build"], "success", "{}", ran.log);
    assert_eq!((ran.outcomes["cache"].as_str(), ran.outcomes["test"].as_str()), ("skipped", "skipped"));
    let image = world.path("app-1.2.img").canonicalize().unwrap();
    assert_sound(&image);
    assert_eq!(world.content("app-1.2.img", 1, "/etc/motd"), b"a  \"b\" $(touch pwned) *");
    assert_eq!(world.content("app-1.2.img", 1, "/opt/odd"), b"odd\n");
    assert!(!world.path("pwned").exists() && !world.path("images/pwned").exists());
    judge("sha256sum").args(["--strict", "-c", "app-1.2.img.sha256"]).current_dir(world.folder()).succeed();
    let digest = judge("sha256sum").arg(&image).succeed().stdout;
    for (name, expected) in [
        ("image", image.to_str().unwrap()),
        ("sha256", digest.split(' ').next().unwrap()),
        ("base", "images/../base.img"),
        ("report", ""),
        ("junit", ""),
        ("cache-hit", ""),
    ] {
        assert_eq!(ran.outputs[name], expected, "{name}");
    }
    // What `actions/attest` takes, about this image.
    assert_eq!(ran.outputs["predicate-type"], "https://slsa.dev/provenance/v1");
    for (name, key) in [("predicate", "buildDefinition"), ("sbom", "spdxVersion"), ("manifest", "outputs")] {
        assert!(ran.outputs[name].starts_with(&format!("{}.", image.display())), "{}", ran.outputs[name]);
        let text = fs::read_to_string(&ran.outputs[name]).unwrap();
        assert!(!serde_json::from_str::<Value>(&text).unwrap()[key].is_null(), "{name}: {text}");
    }
    world.run("verify app-1.2.img --base base.img").succeeds();
    for text in [
        "<h3>app-1.2.img</h3>",
        "✅ built and checked",
        "<td>images/../base.img</td>",
        &format!("<code>{}</code>", ran.outputs["sha256"]),
        "put dist/app at /opt/app",
        "$(touch pwned)`touch pwned`;&lt;b&gt;&amp;.bin",
    ] {
        assert!(ran.summary.contains(text), "{text}\n{}", ran.summary);
    }
    assert!(!ran.summary.contains("<b>") && ran.summary.contains("qcow2, "), "{}", ran.summary);
}

#[test]
fn what_is_wrong_is_shown_beside_the_recipe_and_in_the_summary() {
    let runner = Runner::new(checkout());
    runner.world.file("sub/imgraft.toml", "outptu = 'x'\n");
    let ran = runner.run("build", &[("working-directory", "sub"), ("cache", "false")], &[]);
    let outcome = |id: &str| ran.outcomes[id].as_str();
    assert_eq!(
        (outcome("prepare"), outcome("build"), outcome("summary")),
        ("success", "failure", "success"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("::error file=sub/imgraft.toml,line=1,col=1,title=imgraft%3A recipe::unknown key"),
        "{}",
        ran.log
    );
    assert!(ran.summary.contains("❌ no image was made"), "{}", ran.summary);
    assert_eq!(ran.outputs["image"], "");
    let ran = runner.run("build", &[("recipe", "images/r.toml"), ("args", "--write '/a"), ("cache", "false")], &[]);
    assert!(ran.log.contains("::error title=imgraft::the input `args` is not understood"), "{}", ran.log);
    let ran = runner.run("build", &[("cache", "yes")], &[]);
    assert!(
        ran.log.contains("::error title=imgraft::the input `cache` is `yes`, and not true or false"),
        "{}",
        ran.log
    );
}

#[test]
fn an_image_is_booted_and_judged() {
    let world = checkout();
    // What plays the guest, in place of QEMU.
    let consoles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../judge/tests/consoles");
    world.file("guest/console", fs::read(consoles.join("good.txt")).unwrap());
    world.file("guest/answers.json", crate::judge_without_qemu::answers().to_string());
    let runner = Runner::new(world);
    let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_qemu.py");
    let python = find("python3").expect("python3 is installed");
    let guest = fs::canonicalize(runner.world.path("guest")).unwrap();
    let script = format!("FAKE_QEMU={} exec {} {} \"$@\"", guest.display(), python.display(), fake.display());
    runner.program("qemu-system-x86_64", &script);
    let machine = ("test-args", "--arch x86_64 --accel tcg --firmware bios --network restricted");
    let test = |runner: &Runner| {
        let inputs = [("recipe", "images/r.toml"), ("inputs", "app=dist/app\nodd=dist/app"), ("test", "true")];
        runner.run("build", &[&inputs[..], &[("html", "report.html"), ("cache", "false"), machine]].concat(), &[])
    };
    let ran = test(&runner);
    assert_eq!(ran.outcomes["test"], "success", "{}", ran.log);
    assert!(ran.summary.contains("✅ built, checked, booted"), "{}", ran.summary);
    judge("xmllint").args(["--noout"]).arg(&ran.outputs["junit"]).succeed();
    for (output, name, says) in
        [("report", "report.html", "/opt/app"), ("boot-report", "report-boot.html", "cloud-init")]
    {
        let page = runner.world.path(name);
        assert_eq!(Path::new(&ran.outputs[output]), page.canonicalize().unwrap());
        assert!(fs::read_to_string(page).unwrap().contains(says), "{name}");
    }
    // A service that is expected and not there.
    let recipe = fs::read_to_string(runner.world.path("images/r.toml")).unwrap();
    runner.world.file("images/r.toml", format!("{recipe}[boot]\nservices = ['nginx']\n"));
    let ran = test(&runner);
    assert_eq!(ran.outcomes["test"], "failure", "{}", ran.log);
    assert!(ran.log.contains("::error title=imgraft::app.img does not boot as it should"), "{}", ran.log);
    assert!(ran.summary.contains("❌ built and checked, but") && ran.summary.contains("nginx"), "{}", ran.summary);
}

#[test]
fn the_base_is_cached_by_what_the_lock_says() {
    let runner = Runner::new(checkout());
    let inputs = [("recipe", "images/r.toml"), ("inputs", "app=dist/app\nodd=dist/app")];
    let ran = runner.run("build", &inputs, &[("cache-hit", "true")]);
    assert!(ran.log.contains("no base is cached: there is no images/imgraft.lock"), "{}", ran.log);
    assert_eq!((ran.outcomes["cache"].as_str(), ran.outputs["cache-hit"].as_str()), ("skipped", ""));
    runner.world.file("images/imgraft.lock", "version = 1\n");
    let ran = runner.run("build", &inputs, &[("cache-hit", "true")]);
    let digest = judge("sha256sum").arg(runner.world.path("images/imgraft.lock")).succeed().stdout;
    let key = format!("with imgraft-Linux-X64-{}\n", digest.split(' ').next().unwrap());
    assert!(ran.log.contains(&key) && ran.log.contains("/.cache/imgraft\n"), "{key}{}", ran.log);
    assert_eq!(ran.outputs["cache-hit"], "true");
    // What the recipe asks of the catalogue has to be in it.
    runner.world.file("images/r.toml", "output = 'x.img'\nbase.name = 'ubuntu:24.04'\n");
    let ran = runner.run("build", &[("recipe", "images/r.toml")], &[]);
    assert!(ran.log.contains("::error title=imgraft::the lock `images/imgraft.lock` does not have"), "{}", ran.log);
}

#[test]
fn restricted_user_namespaces_are_allowed_where_the_machine_is_thrown_away() {
    let mut runner = Runner::new(checkout());
    runner.program("sysctl", "case \"$*\" in *-w*) echo \"$@\" >>sysctl.log ;; *) echo 1 ;; esac");
    runner.program("sudo", "shift\nexec \"$@\"");
    let inputs = [("recipe", "images/r.toml"), ("inputs", "app=dist/app\nodd=dist/app"), ("cache", "false")];
    let both = "kernel.apparmor_restrict_unprivileged_userns=0 kernel.apparmor_restrict_unprivileged_unconfined=0";
    // Nothing is restricted for root.
    runner.program("id", "echo 0");
    let ran = runner.run("build", &inputs, &[]);
    assert_eq!(ran.outcomes["build"], "success", "{}", ran.log);
    assert!(!ran.log.contains("user namespaces") && !runner.world.path("sysctl.log").exists(), "{}", ran.log);
    runner.program("id", "echo 1000");
    let ran = runner.run("build", &inputs, &[]);
    let hint = format!(
        "::notice title=imgraft::this runner restricts user namespaces, and commands in the guest need them%0Ahint: sudo sysctl -q -w {both}"
    );
    assert!(ran.log.contains(&hint), "{}", ran.log);
    runner.environment.insert("RUNNER_ENVIRONMENT".to_owned(), "github-hosted".to_owned());
    let ran = runner.run("build", &inputs, &[]);
    assert!(ran.log.contains(&format!("set {both}: commands in the guest need user namespaces")), "{}", ran.log);
    let said = fs::read_to_string(runner.world.path("sysctl.log")).unwrap();
    assert_eq!(said, format!("-q -w {both}\n"));
}

/// A release as `scripts/release` makes it, of a program that says no more than its version; its SHA-256.
fn release(world: &World, folder: &str) -> String {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let name = format!("imgraft-0.1.0-{target}");
    let file = |path: &str, content: &str| _ = world.file(&format!("{folder}/{name}/{path}"), content);
    file("imgraft", "#!/bin/sh\necho imgraft 0.1.0\n");
    world.mode(&format!("{folder}/{name}/imgraft"), 0o755);
    for path in ["man/imgraft.1", "completions/imgraft.bash", "completions/_imgraft", "completions/imgraft.fish"] {
        file(path, "x");
    }
    for path in ["THIRD-PARTY-LICENSES", "LICENSE-MIT", "LICENSE-APACHE"] {
        file(path, "x");
    }
    let archive = format!("{name}.tar.gz");
    judge("tar").args(["-czf", &archive, &name]).current_dir(world.path(folder)).succeed();
    let sums = judge("sha256sum").arg(&archive).current_dir(world.path(folder)).succeed().stdout;
    world.file(&format!("{folder}/SHA256SUMS"), &sums);
    sums.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_release_is_installed_and_on_the_path() {
    let mut runner = Runner::new(World::empty());
    let digest = release(&runner.world, "releases/download/v0.1.0");
    release(&runner.world, "releases/latest/download");
    let releases = fs::canonicalize(runner.world.path("releases")).unwrap();
    runner.environment.insert("IMGRAFT_RELEASES".to_owned(), format!("file://{}", releases.display()));
    let given: [&[(&str, &str)]; 2] = [&[], &[("version", "v0.1.0"), ("checksum", &digest)]];
    for inputs in given {
        let ran = runner.run("setup", inputs, &[]);
        assert_eq!(ran.outcomes["setup"], "success", "{}", ran.log);
        assert_eq!(ran.outputs["version"], "0.1.0");
        let program = Path::new(&ran.outputs["path"]);
        assert_eq!(ran.path, format!("{}\n", program.parent().unwrap().display()));
        assert_eq!(judge("sh").args(["-c", "exec \"$0\" --version"]).arg(program).succeed().stdout, "imgraft 0.1.0\n");
        fs::remove_file(program).unwrap();
    }
    let wrong = "0".repeat(64);
    for inputs in [[("version", "0.1.0"), ("checksum", &*wrong)], [("version", "9.9.9; touch pwned"), ("checksum", "")]]
    {
        let ran = runner.run("setup", &inputs, &[]);
        assert_eq!(ran.outcomes["setup"], "failure", "{}", ran.log);
        assert!(!runner.temporary.join("imgraft/bin/imgraft").exists() && !runner.world.path("pwned").exists());
    }
}

/// The workflows and pipelines that are shown to users.
const GITHUB: &str = "examples/github/build-cloud-image.yml";
const FORGEJO: &str = "examples/forgejo/build-cloud-image.yml";
const GITLAB: &str = "examples/gitlab/.gitlab-ci.yml";

#[test]
fn the_examples_say_nothing_that_the_actions_do_not_know() {
    let mut uses = 0;
    for example in [GITHUB, FORGEJO] {
        let text = fs::read_to_string(root().join(example)).unwrap();
        for job in yaml(&root().join(example))["jobs"].as_object().unwrap().values() {
            for step in job["steps"].as_array().unwrap() {
                let ours = step["uses"].as_str().and_then(|uses| uses.split_once("imgraft/imgraft/actions/"));
                let Some((name, tag)) = ours.and_then(|(_, action)| action.split_once('@')) else { continue };
                uses += 1;
                assert_eq!(tag, concat!("v", env!("CARGO_PKG_VERSION")), "{example}");
                let action = yaml(&root().join("actions").join(name).join("action.yml"));
                for input in step["with"].as_object().into_iter().flatten().map(|(input, _)| input) {
                    assert!(action["inputs"][input].is_object(), "{example}: {name} has no input {input}");
                }
                let Some(id) = step["id"].as_str() else { continue };
                for used in text.split(&format!("steps.{id}.outputs.")).skip(1) {
                    let output: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
                    assert!(action["outputs"][&output].is_object(), "{example}: {name} has no output {output}");
                }
            }
        }
    }
    assert_eq!(uses, 4);
}

/// The commands of the pipeline work: they are run where a job of GitLab's would run them.
#[test]
fn the_pipeline_of_gitlab_builds_what_it_says() {
    let runner = Runner::new(World::new());
    let world = &runner.world;
    world.file("dist/autonoe", "\x7fELF").file("recipes/autonoe.toml", AUTONOE);
    let pipeline = yaml(&root().join(GITLAB));
    let lines = pipeline["cloud-image"]["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    // The base is a file here, and nothing is booted.
    let script: Vec<String> = lines
        .filter(|line| !line.starts_with("imgraft test"))
        .map(|line| line.replace("--locked", "--base base.img"))
        .collect();
    assert_eq!(script.len() + 1, pipeline["cloud-image"]["script"].as_array().unwrap().len());
    for (tag, image) in [("", "autonoe-ubuntu-24.04.img"), ("v1.2.3", "autonoe-1.2.3-ubuntu-24.04.img")] {
        let mut command = Command::new(find("bash").expect("bash is installed"));
        command.args(["-eo", "pipefail", "-c", &script.join("\n")]).current_dir(world.folder());
        let path = format!("{}:{}", runner.bin.display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("CI_COMMIT_TAG", tag).env_remove("GITHUB_ACTIONS");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        judge("sha256sum")
            .args(["--strict", "-c"])
            .arg(format!("{image}.sha256"))
            .current_dir(world.folder())
            .succeed();
    }
}

const AUTONOE: &str = include_str!("../../../recipes/autonoe.toml");

#[test]
fn each_service_would_accept_its_files() {
    let Some(judges) = ci_judges() else { return };
    let root = root();
    let path = |name: &str| root.join(name);
    let (github, forgejo) = (path(GITHUB), path(FORGEJO));
    // Forgejo has labels and addresses of its own, and all else of GitHub.
    let world = World::empty();
    let text = fs::read_to_string(&forgejo).unwrap().replace("runs-on: docker", "runs-on: ubuntu-24.04");
    world.file("w.yml", text.replace("https://data.forgejo.org/", "").replace("https://github.com/imgraft", "imgraft"));
    assert_actionlint(&judges, &[&github, &world.path("w.yml")]);
    assert_schema(&judges.join("github-workflows.json"), &[&github, &forgejo]);
    assert_schema(&judges.join("gitlab-ci.json"), &[&path(GITLAB)]);
    let actions = ["actions/setup/action.yml", "actions/build/action.yml"].map(path);
    assert_schema(&judges.join("github-actions.json"), &[&actions[0], &actions[1]]);
}
