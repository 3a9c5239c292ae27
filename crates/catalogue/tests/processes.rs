//! Several processes and one cache. The processes are this very test, started again by itself.
#![allow(clippy::disallowed_methods, reason = "a process is told by its environment what it is to do")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{Diary, PATH, World, noise, sha256};
use catalogue::cache::Rule;
use catalogue::transport::{Options, Retry, Roots};
use catalogue::{Cache, Client, Download, Transport};
use testkit::site::Fault;

const SIZE: usize = 4_000_000;

/// Runs this test again, as one who fetches the file of `world` whose digest is that of `bytes`.
fn start(test: &str, world: &World, bytes: &[u8]) -> Child {
    command(test, world, bytes).spawn().unwrap()
}

fn command(test: &str, world: &World, bytes: &[u8]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("processes::{test}"), "--nocapture"]).stdin(Stdio::null()).stdout(Stdio::null());
    command
        .env("FETCH_URL", world.site.url(PATH))
        .env("FETCH_DIGEST", sha256(bytes).to_string())
        .env("FETCH_CACHE", world.cache.folder())
        .env("FETCH_ROOTS", world.site.authority());
    command
}

/// The same with files of `kib` KiB at most, and a process that hears of it.
fn start_with_limit(test: &str, world: &World, bytes: &[u8], kib: u32) -> Child {
    let plain = command(test, world, bytes);
    let mut command = Command::new("/bin/bash");
    command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"")).arg("bash");
    command.arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// What a process does that was started to fetch something; says whether it was.
fn fetched() -> bool {
    let Some(url) = std::env::var("FETCH_URL").ok() else { return false };
    let variable = |name: &str| std::env::var(name).unwrap();
    let options = Options {
        roots: Roots { file: Some(PathBuf::from(variable("FETCH_ROOTS"))), ..Roots::default() },
        retry: Retry { first_pause: Duration::from_millis(1), ..Retry::default() },
        ..Options::default()
    };
    let digest = variable("FETCH_DIGEST").parse().unwrap();
    let download = Download { name: "noble".to_owned(), urls: vec![url], digest, size_bytes: None };
    let cache = Cache::new(variable("FETCH_CACHE"));
    let entry = Client::new(options).fetch(&download, &cache, &Diary::default()).unwrap();
    assert_eq!(entry.digest(), &digest);
    true
}

#[test]
fn ten_processes_fetch_one_file_once() {
    if fetched() {
        return;
    }
    let bytes = noise(SIZE, 1);
    let world = World::with(&bytes);
    let processes: Vec<Child> = (0..10).map(|_| start("ten_processes_fetch_one_file_once", &world, &bytes)).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    world.assert_holds(&bytes);
    let requests = world.site.requests();
    assert_eq!((requests.len(), requests[0].sent_bytes), (1, SIZE as u64));
}

#[test]
fn ten_processes_fetch_a_damaged_file_once() {
    if fetched() {
        return;
    }
    let bytes = noise(SIZE, 2);
    let world = World::with(&bytes);
    let path = world.cache.path_of(&sha256(&bytes));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, noise(SIZE, 3)).unwrap();
    let processes: Vec<Child> =
        (0..10).map(|_| start("ten_processes_fetch_a_damaged_file_once", &world, &bytes)).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    world.assert_holds(&bytes);
    assert_eq!(world.site.requests().len(), 1);
}

#[test]
fn what_a_killed_process_leaves_is_gone_on_with_by_who_waits() {
    if fetched() {
        return;
    }
    let bytes = noise(SIZE, 4);
    let world = World::with(&bytes);
    // The first one has 3 MB, and then nothing comes.
    world.site.once(PATH, Fault::Stall { after_bytes: 3_000_000 });
    let name = "what_a_killed_process_leaves_is_gone_on_with_by_who_waits";
    let mut first = start(name, &world, &bytes);
    // What is sent goes to the file in pieces of 256 KiB.
    let has_most = || world.part_bytes(&bytes).is_some_and(|have| have > 2_500_000);
    while !has_most() {
        thread::sleep(Duration::from_millis(5));
    }
    let mut second = start(name, &world, &bytes);
    let mut third = start(name, &world, &bytes);
    first.kill().unwrap();
    assert!(!first.wait().unwrap().success());
    assert!(second.wait().unwrap().success() && third.wait().unwrap().success());
    world.assert_holds(&bytes);
    let requests = world.site.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].sent_bytes < 1_500_000, "{requests:?}");
}

#[test]
fn killed_at_any_moment_and_started_again_the_file_is_whole_or_not_there() {
    if fetched() {
        return;
    }
    let bytes = noise(SIZE, 5);
    let world = World::with(&bytes);
    let name = "killed_at_any_moment_and_started_again_the_file_is_whole_or_not_there";
    // Each time somewhat later, until one has come to its end; each begins where the one before it was killed.
    for round in 0..1000 {
        let mut process = start(name, &world, &bytes);
        thread::sleep(Duration::from_millis(5 + round));
        let _ = process.kill();
        let ended = process.wait().unwrap().success();
        let path = world.cache.path_of(&sha256(&bytes));
        assert!(!path.exists() || std::fs::read(&path).unwrap() == bytes, "half a file after round {round}");
        if ended {
            // A kill between the rename and the end leaves a note behind, which goes with the next `prune`.
            assert_eq!(std::fs::read(&path).unwrap().len(), SIZE);
            world.cache.prune(&Rule::default(), std::time::SystemTime::now(), false).unwrap();
            world.assert_holds(&bytes);
            return;
        }
    }
    panic!("it never came to its end");
}

#[test]
fn a_write_that_fails_is_told_and_gone_on_from() {
    if fetched() {
        return;
    }
    let bytes = noise(SIZE, 6);
    let world = World::with(&bytes);
    let name = "a_write_that_fails_is_told_and_gone_on_from";
    let output = start_with_limit(name, &world, &bytes, 2000).wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("doing: \"writing\""), "{stderr}");
    assert!(stderr.contains("FileTooLarge") || stderr.contains("File too large"), "{stderr}");
    world.assert_has_none(&bytes);
    // The last buffer that was written whole ends before the limit.
    let have = world.part_bytes(&bytes).unwrap();
    assert!((1..=2000 << 10).contains(&have), "{have}");
    assert!(start(name, &world, &bytes).wait().unwrap().success());
    world.assert_holds(&bytes);
    assert_eq!(world.site.requests()[1].header("range"), Some(&*format!("bytes={have}-")));
}

#[test]
fn whoever_prunes_takes_nothing_from_who_fetches() {
    if fetched() {
        return;
    }
    let bytes = noise(1_000_000, 7);
    let world = World::with(&bytes);
    let everything = Rule { all: true, ..Rule::default() };
    let mut removed = 0;
    for _ in 0..10 {
        let mut process = start("whoever_prunes_takes_nothing_from_who_fetches", &world, &bytes);
        let status = loop {
            let pruned = world.cache.prune(&everything, std::time::SystemTime::now(), false).unwrap();
            removed += pruned.entries.len();
            assert!(pruned.parts.iter().all(|part| part.have_bytes == 0), "{pruned:?}");
            if let Some(status) = process.try_wait().unwrap() {
                break status;
            }
        };
        assert!(status.success());
    }
    world.cache.prune(&everything, std::time::SystemTime::now(), false).unwrap();
    assert!(removed <= 10 && world.site.requests().len() >= removed);
}
