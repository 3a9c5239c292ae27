//! `imgraft cache`: what is kept, whether it is right, and what goes.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use crate::support::{Run, World};
use rustix::fs::{FlockOperation, flock};
use testkit::judge::judge;

/// A cache, `cache`, that somebody has put files of these many bytes into, each an hour before the next one.
fn stocked(sizes: &[usize]) -> (World, Vec<String>) {
    let world = World::empty();
    fs::create_dir_all(world.path("cache/sha256")).unwrap();
    let names = sizes.iter().enumerate().map(|(index, &size)| {
        world.file("new", vec![index as u8; size]);
        let said = judge("sha256sum").arg(world.path("new")).succeed();
        let hex = said.stdout.split(' ').next().unwrap().to_owned();
        fs::rename(world.path("new"), world.path(&format!("cache/sha256/{hex}"))).unwrap();
        let age = Duration::from_secs(3600 * (sizes.len() - index) as u64 - 1800);
        let file = File::open(world.path(&format!("cache/sha256/{hex}"))).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        hex
    });
    let names = names.collect();
    (world, names)
}

fn cache(world: &World, arguments: &str) -> Run {
    world.run(&format!("cache {arguments} --cache-dir cache"))
}

fn fails(world: &World, arguments: &str, code: i32) -> Run {
    let run = cache(world, arguments);
    assert_eq!(run.code, Some(code), "{arguments}: {}", run.stderr);
    run
}

fn json(run: &Run) -> serde_json::Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
}

fn files(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path("cache/sha256")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_list_is_a_table_or_json() {
    let (world, names) = stocked(&[1_500_000, 2048]);
    fs::write(world.path(&format!("cache/sha256/{}.part", "ab".repeat(32))), "some").unwrap();
    let run = cache(&world, "list").succeeds().says("2 files and 1 part, 1.4 MiB in `cache`\n");
    let lines: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
    let digest = |name: &str| format!("sha256:{}…", &name[..16]);
    assert_eq!(lines[0].iter().filter(|cell| !cell.is_empty()).collect::<Vec<_>>()[0], &"SIZE");
    for (line, cells) in [
        (1, ["2.0 KiB".to_owned(), digest(&names[1]), "-".to_owned()]),
        (2, ["1.4 MiB".to_owned(), digest(&names[0]), "-".to_owned()]),
        (3, ["4 B".to_owned(), digest(&"ab".repeat(32)), "(a part)".to_owned()]),
    ] {
        for cell in cells {
            assert!(lines[line].contains(&&*cell), "{cell}: {:?}", lines[line]);
        }
    }
    let report = json(&cache(&world, "list --json").succeeds());
    assert_eq!(report["folder"], "cache");
    assert_eq!(report["size_bytes"], 1_500_000 + 2048 + 4);
    assert_eq!(report["entries"][0]["digest"], format!("sha256:{}", names[1]));
    assert_eq!(report["entries"][0]["path"], format!("cache/sha256/{}", names[1]));
    assert_eq!(report["entries"][1]["size_bytes"], 1_500_000);
    assert_eq!(report["parts"][0]["have_bytes"], 4);
}

#[test]
fn the_folder_is_that_of_the_flag_the_variable_or_the_system() {
    let world = World::empty();
    let home = world.path("home").display().to_string();
    let at = |variables: &[(&str, &str)], arguments: &str| {
        let mut command = world.command(&format!("cache list --json {arguments}"));
        for name in ["IMGRAFT_CACHE_DIR", "XDG_CACHE_HOME", "HOME"] {
            command.env_remove(name);
        }
        let output = command.envs(variables.iter().copied()).output().unwrap();
        match output.status.code() {
            Some(0) => serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["folder"]
                .as_str()
                .unwrap()
                .to_owned(),
            code => format!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    };
    let all = [("HOME", &*home), ("XDG_CACHE_HOME", "/x"), ("IMGRAFT_CACHE_DIR", "/i")];
    assert_eq!(at(&all, "--cache-dir /flag"), "/flag");
    assert_eq!(at(&all, ""), "/i");
    if cfg!(target_os = "linux") {
        assert_eq!(at(&all[..2], ""), "/x/imgraft");
        // The specification wants those that are not absolute to be ignored.
        assert_eq!(at(&[all[0], ("XDG_CACHE_HOME", "x")], ""), format!("{home}/.cache/imgraft"));
        assert_eq!(
            at(&[all[0], ("XDG_CACHE_HOME", ""), ("IMGRAFT_CACHE_DIR", "")], ""),
            format!("{home}/.cache/imgraft")
        );
    }
    assert_eq!(
        at(&[], ""),
        "Some(2): error: there is no folder to keep fetched files in: HOME is not set\n\
         hint: say where with `--cache-dir` or IMGRAFT_CACHE_DIR\n"
    );
}

#[test]
fn an_empty_cache_is_fine() {
    let world = World::empty();
    for arguments in ["list", "verify"] {
        cache(&world, arguments).succeeds().prints("").says("nothing is in `cache`\n");
    }
    cache(&world, "prune --all").succeeds().prints("").says("freed 0 B; 0 B are left\n");
    assert!(!world.path("cache").exists());
}

#[test]
fn damage_is_found_and_removed() {
    let (world, names) = stocked(&[1000, 2000, 3000]);
    cache(&world, "verify").succeeds().prints("").says("3 files are right, 5.8 KiB were read\n");
    let path = format!("cache/sha256/{}", names[1]);
    world.mode(&path, 0o644).file(&path, vec![7; 2000]);
    let said = judge("sha256sum").arg(world.path(&path)).succeed();
    let found = format!("sha256:{}…", &said.stdout[..16]);
    let run = fails(&world, "verify", 1).prints(&format!("{path}: damaged, it is {found} by now\n"));
    assert!(run.stderr.starts_with("2 files are right and 1 is damaged, 5.8 KiB were read\n"), "{}", run.stderr);
    let report = json(&fails(&world, "verify --json", 1));
    assert_eq!(report["right"], 2);
    assert_eq!(report["damaged"][0]["digest"], format!("sha256:{}", names[1]));
    assert_eq!(report["damaged"][0]["found"], format!("sha256:{}", &said.stdout[..64]));
    assert_eq!(report["damaged"][0]["removed"], false);
    cache(&world, "verify --remove")
        .succeeds()
        .prints(&format!("{path}: damaged, it is {found} by now, and removed\n"));
    cache(&world, "verify").succeeds().says("2 files are right, 3.9 KiB were read\n");
    // What cannot be read is neither right nor wrong.
    let path = world.path(&format!("cache/sha256/{}", "cd".repeat(32)));
    fs::create_dir(&path).unwrap();
    cache(&world, "verify").succeeds();
    fs::remove_dir(&path).unwrap();
    fs::remove_dir_all(world.path("cache/sha256")).unwrap();
    symlink("nowhere/x", world.path("cache/sha256")).unwrap();
    cache(&world, "verify").succeeds();
    fs::remove_file(world.path("cache/sha256")).unwrap();
    fs::write(world.path("cache/sha256"), "").unwrap();
    let run = fails(&world, "verify", 2);
    assert!(run.stderr.starts_with("error: reading `cache/sha256`\n"), "{}", run.stderr);
    fails(&world, "list", 2);
}

#[test]
fn what_goes_is_what_was_said() {
    let (world, names) = stocked(&[1000, 2000, 3000]);
    let before = files(&world);
    let run = cache(&world, "prune --older-than 2h --dry-run").succeeds().says("would free 1000 B; 4.8 KiB are left\n");
    assert!(run.stdout.starts_with(&format!("would remove sha256:{}… (1000 B, last used ", &names[0][..16])));
    assert_eq!(files(&world), before);
    let run = cache(&world, "prune --older-than 2h").succeeds().prints("");
    assert!(run.stderr.ends_with("freed 1000 B; 4.8 KiB are left\n"), "{}", run.stderr);
    let mut left = names[1..].to_vec();
    left.sort();
    assert_eq!(files(&world), left);
    let report = json(&cache(&world, "prune --larger-than 3K --json").succeeds());
    assert_eq!((&report["freed_bytes"], &report["left_bytes"]), (&2000.into(), &3000.into()));
    assert_eq!(report["entries"][0]["digest"], format!("sha256:{}", names[1]));
    assert_eq!(files(&world), [names[2].clone()]);
    cache(&world, "prune --all").succeeds();
    assert_eq!(files(&world), [""; 0]);
}

#[test]
fn what_a_lock_names_stays() {
    let (world, names) = stocked(&[1000, 2000, 3000]);
    world.file("imgraft.lock", format!("[[base]]\nname = \"a\"\ndigest = \"sha256:{}\"\n", names[1]));
    world.file("other.json", format!("{{\"digest\":\"sha256:{}\"}}", names[2]));
    cache(&world, "prune --keep imgraft.lock --keep other.json").succeeds();
    let mut left = names[1..].to_vec();
    left.sort();
    assert_eq!(files(&world), left);
    cache(&world, "prune --all --keep imgraft.lock").succeeds();
    assert_eq!(files(&world), [names[1].clone()]);

    world.file("empty.lock", "# nothing yet\n");
    for (name, error) in [
        ("empty.lock", "error: `empty.lock` names nothing by a digest\n"),
        ("missing.lock", "error: `missing.lock` cannot be read\n"),
    ] {
        let run = fails(&world, &format!("prune --keep {name}"), 2);
        assert!(run.stderr.starts_with(error), "{}", run.stderr);
    }
    assert_eq!(files(&world), [names[1].clone()]);
    fails(&world, "prune", 2);
}

#[test]
fn what_another_process_uses_stays() {
    let (world, names) = stocked(&[1000, 2000]);
    let file = File::open(world.path(&format!("cache/sha256/{}", names[0]))).unwrap();
    flock(&file, FlockOperation::LockShared).unwrap();
    let run = cache(&world, "prune --all").succeeds();
    let kept =
        format!("kept sha256:{}…, which another process uses\nfreed 2.0 KiB; 1000 B are left\n", &names[0][..16]);
    assert!(run.stderr.ends_with(&kept.replace("2.0 KiB", "1.9 KiB")), "{}", run.stderr);
    assert_eq!(files(&world), [names[0].clone()]);
}
