//! Servers that do one wrong thing after the other, as they come: the file is whole and right, or not there.

use std::fs;
use std::time::Duration;

use crate::support::{Diary, PATH, World, noise, sha256};
use catalogue::transport::Options;
use catalogue::{Client, Download, Transport};
use testkit::site::Fault;

/// How many of them there are.
/// How many fetches there are.
fn rounds() -> u64 {
    testkit::rounds(cfg!(feature = "full-tests"), [60, 300, 3000])
}

/// Numbers that are nowhere the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn fault(&mut self, size: u64, other: &[u8]) -> Fault {
        let text = |text: String| text;
        match self.below(17) {
            0..=3 => Fault::Cut { after_bytes: self.below(size + 1) },
            4 => Fault::Status { code: 503, retry_after: None },
            5 => Fault::Status { code: 404, retry_after: None },
            6 => Fault::ContentLength(text(self.below(size + 10).to_string())),
            7 => {
                let first = self.below(size + 1);
                Fault::ContentRange(text(format!("bytes {first}-{}/{size}", first + self.below(size + 1))))
            }
            8 => Fault::Chunked,
            9 => Fault::UntilClosed,
            10 => Fault::NoRange,
            11 => Fault::IgnoreIfRange,
            12 => Fault::NoValidators,
            13 => Fault::NoEtag,
            14 => Fault::Change(other.to_vec().into()),
            15 => Fault::Hangup,
            _ => Fault::Garbage,
        }
    }
}

#[test]
fn whatever_servers_do_the_file_is_right_or_not_there() {
    let mut fetched = 0;
    let world = World::new();
    let mirror = World::new();
    let mut options = world.options();
    options.roots.extra = vec![mirror.site.authority()];
    options.retry.longest_pause = Duration::from_millis(2);
    let rounds = rounds();
    for round in 0..rounds {
        let mut random = Random(round);
        // Some fit into a buffer, some do not.
        let largest = if random.one_in(3) { 1000 } else { 700_000 };
        let size = random.below(largest) + 1;
        let bytes = noise(size as usize, round * 2 + 1);
        let other = noise(if random.one_in(2) { size } else { random.below(size) + 1 } as usize, round * 2 + 2);
        for site in [&world.site, &mirror.site] {
            site.heal(PATH).put(PATH, bytes.clone());
            for _ in 0..random.below(9) {
                let count = random.below(3);
                let faults: Vec<Fault> = (0..count).map(|_| random.fault(size, &other)).collect();
                site.once_all(PATH, faults);
            }
        }
        if random.one_in(3) {
            let path = world.cache.path_of(&sha256(&bytes)).with_extension("part");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let have = random.below(size + 100) as usize;
            let source = if random.one_in(2) { &bytes } else { &other };
            fs::write(&path, &source[..have.min(source.len())]).unwrap();
        }
        let urls = vec![world.site.url(PATH), mirror.site.url(PATH)];
        let size_bytes = random.one_in(2).then_some(size);
        let download = Download { urls, size_bytes, ..world.download(&bytes) };
        let diary = Diary::default();
        let fetch = |options: Options| Client::new(options).fetch(&download, &world.cache, &diary);
        let result = fetch(options.clone());
        let path = world.cache.path_of(&sha256(&bytes));
        if result.is_err() {
            assert!(!path.exists(), "round {round}: {:#?}", diary.lines());
            // Nothing that they did is in the way of the file once they behave.
            for site in [&world.site, &mirror.site] {
                site.heal(PATH).put(PATH, bytes.clone());
            }
            fetch(options.clone()).unwrap_or_else(|error| panic!("round {round}: {error}: {:#?}", diary.lines()));
        } else {
            fetched += 1;
        }
        assert!(fs::read(&path).unwrap() == bytes, "round {round}: {:#?}", diary.lines());
        fs::remove_dir_all(world.cache.folder()).unwrap();
    }
    // It is no test where nothing or everything works.
    assert!((rounds / 4..rounds).contains(&fetched), "{fetched} of {rounds}");
}
