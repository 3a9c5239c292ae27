//! What is in the cache is right, or noticed.
#![allow(clippy::disallowed_methods, reason = "ages are counted from now")]

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use crate::support::{Diary, PATH, World, noise, sha256};
use catalogue::cache::{Claim, Found, Rule, Verdict};
use catalogue::{Cache, Client, Digest, Download, Entry, Transport};
use testkit::judge::judge;
use testkit::site::Fault;

/// A cache with files of these many bytes, each used an hour after the one before it, the last one right now.
fn stocked(sizes: &[usize]) -> (World, Vec<Digest>) {
    let world = World::new();
    let client = world.client();
    let digests: Vec<Digest> = sizes
        .iter()
        .enumerate()
        .map(|(index, &size)| {
            let bytes = noise(size, index as u64);
            world.site.put(PATH, bytes.clone());
            let name = format!("number {index}");
            let download = Download { name, ..world.download(&bytes) };
            let entry: Entry = client.fetch(&download, &world.cache, &Diary::default()).unwrap();
            *entry.digest()
        })
        .collect();
    for (index, digest) in digests.iter().enumerate() {
        let age = Duration::from_secs(3600 * (sizes.len() - 1 - index) as u64);
        let note = File::options().append(true).open(world.cache.path_of(digest).with_extension("json")).unwrap();
        note.set_modified(SystemTime::now() - age).unwrap();
    }
    (world, digests)
}

fn is_right(cache: &Cache, digest: &Digest) -> bool {
    match cache.find(digest).unwrap() {
        Found::Entry(_) => true,
        Found::Damaged { .. } => false,
        found => panic!("{found:?}"),
    }
}

/// Writes to an entry as whoever may not do so.
fn damage(cache: &Cache, digest: &Digest, change: impl FnOnce(&File)) {
    let path = cache.path_of(digest);
    let changed = || fs::metadata(&path).map(|metadata| (metadata.ctime(), metadata.ctime_nsec())).unwrap();
    let before = changed();
    // The system's times may move in steps of some milliseconds.
    while changed() == before {
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
    let file = File::options().read(true).write(true).open(&path).unwrap();
    change(&file);
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn damage_is_noticed_and_fetched_again() {
    let bytes = noise(500_000, 1);
    let world = World::with(&bytes);
    let digest = sha256(&bytes);
    type Change = fn(&File);
    let changes: [(&str, Change); 5] = [
        ("a byte", |file| file.write_all_at(&[0; 1], 250_000).unwrap()),
        ("cut", |file| file.set_len(499_999).unwrap()),
        ("longer", |file| file.set_len(500_001).unwrap()),
        ("empty", |file| file.set_len(0).unwrap()),
        ("a byte, and the time put back", |file| {
            let modified = file.metadata().unwrap().modified().unwrap();
            file.write_all_at(&[0; 1], 250_000).unwrap();
            file.set_modified(modified).unwrap();
        }),
    ];
    for (what, change) in changes {
        world.fetch(&bytes).unwrap();
        damage(&world.cache, &digest, change);
        assert!(!is_right(&world.cache, &digest), "{what}");
        world.fetch(&bytes).unwrap();
        world.assert_holds(&bytes);
    }
    assert_eq!(world.site.requests().len(), 1 + 5);
}

#[test]
fn what_was_damaged_stays_readable_for_who_has_it_open() {
    let bytes = noise(1000, 2);
    let world = World::with(&bytes);
    let before = world.fetch(&bytes).unwrap();
    damage(&world.cache, before.digest(), |file| file.set_len(10).unwrap());
    world.fetch(&bytes).unwrap();
    assert_eq!((before.file().metadata().unwrap().len(), before.size_bytes()), (10, 1000));
    world.assert_holds(&bytes);
}

#[test]
fn a_file_is_read_once_and_its_times_are_trusted_from_then_on() {
    let (world, digests) = stocked(&[1000]);
    let path = world.cache.path_of(&digests[0]);
    let note = path.with_extension("json");
    let text = fs::read_to_string(&note).unwrap();
    assert!(is_right(&world.cache, &digests[0]));
    assert_eq!(fs::read_to_string(&note).unwrap(), text);
    // A file that was touched is read, and noted anew.
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(is_right(&world.cache, &digests[0]));
    let touched = fs::read_to_string(&note).unwrap();
    assert_ne!(touched, text);
    assert!(touched.contains("number 0"), "{touched}");
    // A note that is no note is none.
    for text in ["", "{", "[]", "{\"stamp\":7}", &"x".repeat(100_000)] {
        fs::write(&note, text).unwrap();
        assert!(is_right(&world.cache, &digests[0]));
        damage(&world.cache, &digests[0], |file| file.set_len(10).unwrap());
        fs::write(&note, text).unwrap();
        assert!(!is_right(&world.cache, &digests[0]));
        damage(&world.cache, &digests[0], |file| file.write_all_at(&noise(1000, 0), 0).unwrap());
    }
}

#[test]
fn a_file_that_somebody_puts_there_is_as_good() {
    let bytes = noise(100_000, 3);
    let world = World::new();
    fs::write(world.path("noble.img"), &bytes).unwrap();
    // Its name is what sha256sum says.
    let said = judge("sha256sum").arg(world.path("noble.img")).succeed();
    let folder = world.cache.folder().join("sha256");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(world.path("noble.img"), folder.join(said.stdout.split(' ').next().unwrap())).unwrap();
    world.fetch(&bytes).unwrap();
    world.assert_holds(&bytes);
    assert_eq!(world.site.requests().len(), 0);
}

#[test]
fn what_is_no_file_is_not_taken_for_one() {
    let bytes = noise(10, 4);
    let world = World::with(&bytes);
    let path = world.cache.path_of(&sha256(&bytes));
    fs::create_dir_all(&path).unwrap();
    let error = world.fetch(&bytes).unwrap_err();
    assert_eq!(error.to_string(), format!("opening `{}`", path.display()));
    fs::remove_dir(&path).unwrap();
    fs::write(world.path("elsewhere"), &bytes).unwrap();
    std::os::unix::fs::symlink(world.path("elsewhere"), &path).unwrap();
    assert!(world.fetch(&bytes).is_err());
    fs::remove_file(&path).unwrap();
    // Nobody waits for whoever writes into a pipe.
    judge("mkfifo").arg(&path).succeed();
    assert!(world.fetch(&bytes).is_err());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let world = World::with(b"x");
    fs::write(world.path("file"), "").unwrap();
    let cache = Cache::new(world.path("file"));
    let error = world.client().fetch(&world.download(b"x"), &cache, &Diary::default()).unwrap_err();
    assert!(error.to_string().contains(&format!("`{}/sha256", world.path("file").display())), "{error}");
}

#[test]
fn the_list_has_what_is_there_and_what_was_used_last_comes_first() {
    let (world, digests) = stocked(&[3000, 1000, 2000]);
    fs::write(world.cache.folder().join("sha256/README"), "not ours").unwrap();
    let listing = world.cache.list().unwrap();
    let found: Vec<_> = listing.entries.iter().map(|entry| (entry.digest, entry.size_bytes)).collect();
    assert_eq!(found, [(digests[2], 2000), (digests[1], 1000), (digests[0], 3000)]);
    assert_eq!(listing.entries[0].name.as_deref(), Some("number 2"));
    assert_eq!(listing.entries[0].url.as_deref(), Some(&*world.site.url(PATH)));
    assert_eq!(listing.parts, []);
    // Its use makes the last one the first.
    assert!(is_right(&world.cache, &digests[0]));
    assert_eq!(world.cache.list().unwrap().entries[0].digest, digests[0]);
    // To look at all bytes is no use.
    assert_eq!(world.cache.check(&digests[1], false).unwrap(), Verdict::Right);
    assert_eq!(world.cache.list().unwrap().entries[2].digest, digests[1]);

    let bytes = noise(1000, 9);
    world.site.put(PATH, bytes.clone()).once(PATH, Fault::Cut { after_bytes: 700 });
    world.site.once(PATH, Fault::Status { code: 404, retry_after: None });
    assert!(world.fetch(&bytes).is_err());
    let parts = world.cache.list().unwrap().parts;
    assert_eq!((parts.len(), parts[0].digest, parts[0].have_bytes), (1, sha256(&bytes), 700));
    assert_eq!(parts[0].total_bytes, Some(1000));
    assert_eq!(Cache::new(world.path("nowhere")).list().unwrap(), Default::default());
}

#[test]
fn a_check_reads_all_of_it() {
    let (world, digests) = stocked(&[1000, 2000]);
    damage(&world.cache, &digests[0], |file| file.write_all_at(b"x", 7).unwrap());
    let found = Verdict::Damaged { found: Box::new(sha256(&fs::read(world.cache.path_of(&digests[0])).unwrap())) };
    assert_eq!(world.cache.check(&digests[0], false).unwrap(), found);
    assert_eq!(world.cache.check(&digests[0], true).unwrap(), found);
    assert_eq!(world.cache.check(&digests[0], true).unwrap(), Verdict::Gone);
    assert_eq!(world.cache.check(&digests[1], true).unwrap(), Verdict::Right);
    assert_eq!(world.names(), [digests[1].hex(), format!("{}.json", digests[1].hex())]);
}

/// Which of [`stocked`]'s entries go by a rule, and how many bytes are left.
fn pruned(sizes: &[usize], rule: impl FnOnce(&[Digest]) -> Rule) -> (Vec<usize>, u64) {
    let (world, digests) = stocked(sizes);
    let rule = rule(&digests);
    let now = SystemTime::now();
    let planned = world.cache.prune(&rule, now, true).unwrap();
    assert_eq!(world.cache.list().unwrap().entries.len(), sizes.len());
    let done = world.cache.prune(&rule, now, false).unwrap();
    assert_eq!((&planned.entries, planned.left_bytes), (&done.entries, done.left_bytes));
    let left = world.cache.list().unwrap().entries;
    assert_eq!(left.iter().map(|entry| entry.size_bytes).sum::<u64>(), done.left_bytes);
    assert_eq!(world.names().len(), left.len() * 2);
    let gone = digests.iter().enumerate().filter(|(_, digest)| done.entries.iter().any(|e| e.digest == **digest));
    (gone.map(|(index, _)| index).collect(), done.left_bytes)
}

#[test]
fn what_is_pruned_is_what_the_rule_says() {
    let sizes = [1000, 2000, 3000, 4000];
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600 - 1800));
    let rule = Rule::default;
    assert_eq!(pruned(&sizes, |_| rule()), (vec![], 10_000));
    assert_eq!(pruned(&sizes, |_| Rule { all: true, ..rule() }), (vec![0, 1, 2, 3], 0));
    assert_eq!(pruned(&sizes, |_| Rule { older_than: hours(2), ..rule() }), (vec![0, 1], 7000));
    for (larger_than_bytes, gone, left) in [
        (10_000, vec![], 10_000),
        (9_999, vec![0], 9000),
        (7_000, vec![0, 1], 7000),
        // What was used longer ago does not stay in the place of what was used later.
        (6_000, vec![0, 1, 2], 4000),
        (3_999, vec![0, 1, 2, 3], 0),
    ] {
        let rule = Rule { larger_than_bytes: Some(larger_than_bytes), ..rule() };
        assert_eq!(pruned(&sizes, |_| rule), (gone, left), "{larger_than_bytes}");
    }
    let keep = |digests: &[Digest]| BTreeSet::from([digests[0], digests[2]]);
    assert_eq!(pruned(&sizes, |digests| Rule { all: true, keep: keep(digests), ..rule() }), (vec![1, 3], 4000));
    let rule = |digests: &[Digest]| Rule { larger_than_bytes: Some(8000), keep: keep(digests), ..rule() };
    assert_eq!(pruned(&sizes, rule), (vec![1], 8000));
}

#[test]
fn what_is_in_use_or_on_its_way_is_not_pruned() {
    let (world, digests) = stocked(&[1000, 2000]);
    let Found::Entry(entry) = world.cache.find(&digests[0]).unwrap() else { panic!("it is there") };
    let Claim::Part(mut part) = world.cache.claim(&sha256(b"other"), &mut |_, _| {}).unwrap() else {
        panic!("it is not there")
    };
    part.append(b"oth").unwrap();
    let all = Rule { all: true, ..Rule::default() };
    let now = SystemTime::now();
    let done = world.cache.prune(&all, now, false).unwrap();
    assert_eq!((done.entries.len(), done.parts.len(), done.in_use.len(), done.left_bytes), (1, 0, 1, 1000));
    assert_eq!(done.in_use[0].digest, digests[0]);
    drop((entry, part));
    let done = world.cache.prune(&all, now, false).unwrap();
    assert_eq!((done.entries.len(), done.parts.len(), done.in_use.len(), done.left_bytes), (1, 1, 0, 0));
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn old_parts_go_with_old_entries() {
    let world = World::new();
    let Claim::Part(mut part) = world.cache.claim(&sha256(b"other"), &mut |_, _| {}).unwrap() else {
        panic!("it is not there")
    };
    part.append(b"oth").unwrap();
    drop(part);
    let rule = Rule { older_than: Some(Duration::from_secs(3600)), ..Rule::default() };
    let now = SystemTime::now();
    assert_eq!(world.cache.prune(&rule, now, false).unwrap().parts.len(), 0);
    let later = now + Duration::from_secs(3601);
    assert_eq!(world.cache.prune(&rule, later, false).unwrap().parts.len(), 1);
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn threads_that_want_the_same_file_fetch_it_once() {
    let bytes = noise(2_000_000, 5);
    let world = World::with(&bytes);
    let waiting = std::thread::scope(|scope| {
        let fetch = || {
            let diary = Diary::default();
            let client = Client::new(world.options());
            client.fetch(&world.download(&bytes), &world.cache, &diary).unwrap();
            diary.lines().last().unwrap() == "cached 2000000"
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|waited| *waited).count()
    });
    world.assert_holds(&bytes);
    assert_eq!((waiting, world.site.requests().len()), (7, 1));
}

#[test]
fn notes_without_files_go_and_what_is_not_ours_stays() {
    let (world, digests) = stocked(&[1000]);
    let folder = world.cache.folder().join("sha256");
    let hex = sha256(b"gone").hex();
    for name in [format!("{hex}.json"), format!("{hex}.part.json"), format!("{hex}.json.123")] {
        fs::write(folder.join(name), "{}").unwrap();
    }
    fs::write(folder.join(format!("{}.json.123", digests[0].hex())), "{").unwrap();
    fs::write(folder.join("mine.json"), "{}").unwrap();
    world.cache.prune(&Rule::default(), SystemTime::now(), true).unwrap();
    assert_eq!(world.names().len(), 7);
    world.cache.prune(&Rule::default(), SystemTime::now(), false).unwrap();
    let mut left = vec![digests[0].hex(), format!("{}.json", digests[0].hex()), "mine.json".to_owned()];
    left.sort();
    assert_eq!(world.names(), left);
}
