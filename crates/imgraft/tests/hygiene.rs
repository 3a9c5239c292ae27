//! `inspect --hygiene`, `--clean`, and what is said at the end of a build: fit and hygiene.

use std::fs;

use serde_json::Value;
use testkit::fixture::{Format, Options};
use testkit::judge::judge;
use testkit::partition::{extract_disk, partition_range};

use crate::support::{ROOT, World, assert_sound};

/// The findings of `inspect --hygiene --json`, code and path.
fn findings(world: &World, image: &str) -> Vec<(String, String)> {
    let run = world.run(&format!("inspect --hygiene --json {image}"));
    let findings: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.code, Some(if findings.is_empty() { 0 } else { 1 }));
    let word = |finding: &Value, key: &str| {
        let word = finding[key].as_str().unwrap();
        assert!(!word.is_empty());
        word.to_owned()
    };
    findings
        .iter()
        .map(|finding| {
            word(finding, "message");
            word(finding, "hint");
            (word(finding, "code"), word(finding, "path"))
        })
        .collect()
}

/// Traces of all kinds that `--clean` mends, as flags.
fn traces() -> Vec<&'static str> {
    vec![
        "--write",
        "/etc/machine-id:0123456789abcdef0123456789abcdef",
        "--write",
        "/etc/ssh/ssh_host_rsa_key:THE-KEY-OF-THIS-HOST",
        "--write",
        "/root/.bash_history:export THE_HISTORY_OF_ROOT=1",
        "--write",
        "/var/lib/systemd/random-seed:THE-SEED-OF-ALL",
        "--write",
        "/var/lib/cloud/instances/i-1/obj.pkl:x",
        "--link",
        "/var/lib/cloud/instances/i-1:/var/lib/cloud/instance",
        "--write",
        "/var/log/syslog:a line",
        "--write",
        "/var/log/syslog.1:a line",
        "--write",
        "/var/log/journal/0123456789abcdef0123456789abcdef/system.journal:LPKSHHRH",
        "--write",
        "/var/cache/apt/archives/jq_1.7_amd64.deb:deb",
        "--write",
        "/tmp/left:over",
        "--write",
        "/etc/shadow-:root:*:1:0:99999:7:::",
        "--write",
        "/usr/local/bin/tool:text",
        "--chmod",
        "04777:/usr/local/bin/tool",
        "--write",
        "/usr/local/bin/theirs:text",
        "--chown",
        "1001:1001:/usr/local/bin/theirs",
    ]
}

const CODES: [&str; 12] = [
    "machine-id",
    "ssh-host-key",
    "random-seed",
    "shell-history",
    "cloud-init-state",
    "cloud-init-state",
    "journal",
    "package-cache",
    "temporary-file",
    "account-backup",
    "log",
    "ordinary-owner",
];

#[test]
fn after_clean_nothing_is_found_and_every_judge_is_content() {
    let world = World::new();
    let said = world.run("inspect --hygiene base.img").says("").prints(
        "log: `/var/log/dpkg.log` is a log from before the image's first boot\n  \
         mend: `--truncate /var/log/dpkg.log`, or `--clean`\n",
    );
    assert_eq!(said.code, Some(1));
    world.run_words("build --base base.img -o used.img", &traces()).succeeds();
    let mut codes: Vec<String> = findings(&world, "used.img").into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes.pop().as_deref(), Some("world-writable"));
    assert_eq!(codes, CODES);
    // Both the image and one that is built of it.
    fs::copy(world.path("used.img"), world.path("my.img")).unwrap();
    let run = world.run("customize my.img --clean").succeeds();
    assert!(
        run.stderr.contains("cleaned: removed 10 paths, emptied 3 files and gave 2 programs back to root\n"),
        "{}",
        run.stderr
    );
    assert!(run.proof.is_some(), "{}", run.stderr);
    world.run("build --base used.img --clean --verify-reproducible -o new.img").succeeds();
    for image in ["my.img", "new.img"] {
        assert_eq!(findings(&world, image), []);
        let note = format!("nothing in `{image}` belongs to one machine only\n");
        world.run(&format!("inspect --hygiene {image}")).succeeds().prints("").says(&note);
        assert_sound(&world.path(image));
        let log = world.debugfs(image, ROOT, "ls -l /var/log");
        assert!(log.contains(" syslog\n") && !log.contains("syslog.1"), "{log}");
        assert_eq!(world.content(image, ROOT, "/var/log/syslog"), b"");
        assert_eq!(world.stat(image, ROOT, "/usr/local/bin/tool").mode, "04775");
        assert_eq!(world.stat(image, ROOT, "/usr/local/bin/theirs").owner, (0, 0));
        // What is secret is not left in free blocks, either.
        extract_disk(&world.path(image), &world.path("disk.raw"));
        for (secret, is_there) in
            [("THE-KEY-OF-THIS-HOST", false), ("THE-SEED-OF-ALL", false), ("cloudimg-rootfs", true)]
        {
            let found = judge("grep").args(["-c", "-a", secret]).arg(world.path("disk.raw")).run();
            assert_eq!(found.status.success(), is_there, "{secret} in {image}");
        }
    }
    // A second time there is nothing to do, and nothing is changed.
    let before = fs::read(world.path("my.img")).unwrap();
    let run = world.run("customize my.img --clean --dry-run").succeeds();
    assert!(run.stdout.contains("cleaned: there was nothing to do\n"), "{}", run.stdout);
    assert!(before == fs::read(world.path("my.img")).unwrap());
}

#[test]
fn a_recipe_has_a_key_for_it_and_it_comes_last() {
    let world = World::new();
    world.file(
        "imgraft.toml",
        "output = \"my.img\"\nclean = true\n[base]\nfile = \"base.img\"\n\
         [[step]]\nwrite = \"/etc/machine-id\"\ntext = \"0123456789abcdef0123456789abcdef\"\n",
    );
    let run = world.run_words("build imgraft.toml", &["--write", "/root/.bash_history:ls"]).succeeds();
    assert!(run.stderr.contains("cleaned: removed 1 path and emptied 2 files\n"), "{}", run.stderr);
    assert_eq!(findings(&world, "my.img"), []);
    world.file("imgraft.toml", "output = \"my.img\"\nclean = \"yes\"\nbase.file = \"base.img\"\n");
    let run = world.run("build");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("`clean` should be a boolean"), "{}", run.stderr);
}

#[test]
fn a_build_tells_what_it_left_and_not_what_the_base_has() {
    let world = World::new();
    let run = world.run_words("build --base base.img -o used.img", &["--write", "/root/.bash_history:ls"]).succeeds();
    let warning = "warning: `/root/.bash_history` has what somebody typed; the base does not have it\n\
                   hint: `--remove /root/.bash_history`, or `--clean`\n";
    assert!(run.stderr.ends_with(warning), "{}", run.stderr);
    // The account is asked for, and the history is the base's now.
    let run =
        world.run_words("build --base used.img -o next.img --json --user ada", &["--write", "/tmp/x:y"]).succeeds();
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let codes: Vec<&str> = report["hygiene"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["temporary-file"]);
    assert_eq!(report.get("fit"), None);
    let all: Vec<String> = findings(&world, "next.img").into_iter().map(|(code, _)| code).collect();
    assert_eq!(all, ["shell-history", "temporary-file", "log", "account"]);
    // Asked for or not: whoever looks at the image learns of it, and `--clean` leaves accounts alone.
    world.run("customize next.img --clean").succeeds();
    let all: Vec<String> = findings(&world, "next.img").into_iter().map(|(code, _)| code).collect();
    assert_eq!(all, ["account"]);
}

/// A base with this machine's C library.
fn world_with_programs() -> World {
    let world = World::new();
    let said = judge("ldd").arg("/usr/bin/env").succeed().stdout;
    let files = said.lines().flat_map(|line| line.split_ascii_whitespace().find(|word| word.starts_with('/')));
    let put = |file: &str| format!("{}:{file}:0755", fs::canonicalize(file).unwrap().display());
    let puts: Vec<String> = files.chain(["/usr/bin/env"]).map(put).collect();
    let words: Vec<&str> = puts.iter().flat_map(|put| ["--put", put]).collect();
    world.run_words("build --base base.img -o programs.img", &words).succeeds();
    world
}

#[test]
fn what_does_not_fit_is_a_warning_and_strictly_a_refusal() {
    let world = world_with_programs();
    let env = fs::read("/usr/bin/env").unwrap();
    let mut foreign = env.clone();
    foreign[18] = if env[18] == 62 { 183 } else { 62 };
    world.file("fits", &env).file("foreign", &foreign).file("script", "#!/usr/bin/perl6\n");
    let arguments = "--base programs.img --put fits:/usr/local/bin/fits:0755 --put foreign:/usr/local/bin/foreign:0755 \
                     --put script:/usr/local/bin/script:0755 -o my.img";
    let run = world.run(&format!("build {arguments}")).succeeds();
    let (other, ours) = if env[18] == 62 { ("aarch64", "x86_64") } else { ("x86_64", "aarch64") };
    let machine = format!("`/usr/local/bin/foreign` is for {other}, and the guest is for {ours}: it cannot run there");
    let script = "the script `/usr/local/bin/script` runs by `/usr/bin/perl6`, which the guest does not have";
    assert!(
        run.stderr.ends_with(&format!(
            "warning: {machine}\nhint: build it for {ours}, or take a base for {other}\nwarning: {script}\n\
             hint: name a program of the guest in its first line, or have the guest get that one with `--network \
             --install PACKAGE`\n"
        )),
        "{}",
        run.stderr
    );
    fs::remove_file(world.path("my.img")).unwrap();
    world.refuses(
        &format!("build {arguments} --strict"),
        &format!(
            "error: what is put does not fit the guest\n  cause: {machine}\n  cause: {script}\n\
             hint: without `--strict` these are warnings, each with what to do\n"
        ),
    );
    world.run("build --base programs.img --put fits:/usr/local/bin/fits:0755 -o my.img --strict").succeeds().says(
        "put fits at /usr/local/bin/fits (0755 0:0, 47.0 KiB)\nbuilt my.img (…)\n"
            .replace("47.0 KiB", &recipe::ByteSize(env.len() as u64).to_string())
            .as_str(),
    );
    // In place, all or nothing.
    let run = world.run("customize my.img --put script:/usr/local/bin/script:0755 --strict");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains(script), "{}", run.stderr);
    assert!(!world.run("ls my.img /usr/local/bin").succeeds().stdout.contains("script"));
}

#[test]
fn a_guest_that_was_cut_off_is_told_and_any_change_mends_it() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let start = partition_range(&world.path("my.img"), ROOT).start;
    let place = format!("{}?offset={start}", world.path("my.img").display());
    judge("debugfs").args(["-w", "-R", "feature needs_recovery"]).arg(place).succeed();
    assert_eq!(findings(&world, "my.img")[0], ("dirty-journal".to_owned(), "/".to_owned()));
    world.run("customize my.img --clean").succeeds();
    assert_eq!(findings(&world, "my.img"), []);
    assert_sound(&world.path("my.img"));
}

/// What the field expects of such a tool: each operation of virt-sysprep's has its line in the documentation.
#[cfg(feature = "full-tests")]
#[test]
fn every_operation_of_virt_sysprep_has_its_line() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hygiene.md")).unwrap();
    let table = guide.split_once("| operation | here |").unwrap().1;
    let said = judge("virt-sysprep").arg("--list-operations").succeed().stdout;
    let operations: Vec<&str> = said.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    assert!(operations.len() > 30, "{said}");
    for operation in operations {
        assert!(table.contains(&format!("`{operation}`")), "docs/hygiene.md does not have `{operation}`");
    }
}
