//! Reports to draw in tests, with names that would do harm as markup or would say something else than they are.

use customize::{PackageChanges, Upgrade};
use graft::{Change, Comparison, Differences, DiskMap, Extent, Finding, PartitionChange};
use guest::diff::{
    BlockAccount, Count, Facts, OutsideChange, PathChange, PathChangeKind, Property, TableChange, UnexplainedPlace,
    VolumeAccount,
};
use guest::{FileKind, Package};
use judge::Stage;
use judge::verdict::{Boot, Span, StageTime};

use super::{ImageFile, ImageReport, Made, Published};

/// What a name may have in it that a page must not do.
pub(super) const EVIL: &str =
    "</code><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";
/// A name that would read as `exe.txt` backwards, with a newline as [`guest::Printable`] has it.
pub(super) const TURNED: &str = "/srv/\u{202e}txt.exe\u{2066}\\x0a`x`";

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// All that a report refers to.
pub(super) struct Sample {
    pub(super) comparison: Comparison,
    pub(super) blocks: BlockAccount,
    pub(super) warnings: Vec<String>,
}

pub(super) fn made() -> Made {
    Made { version: "1.2.3".to_owned(), date: "2026-11-28 20:15 UTC".to_owned() }
}

fn facts(kind: FileKind, size_bytes: Option<u64>) -> Facts {
    let target = (kind == FileKind::Symlink).then(|| format!("../{EVIL}"));
    let mode = "0644".to_owned();
    Facts { kind, mode, uid: 0, gid: 0, size_bytes, modified: (0, 0), links: Some(1), target, device: None }
}

fn path(change: PathChangeKind, path: &str, base: Option<Facts>, image: Option<Facts>) -> PathChange {
    let what = if change == PathChangeKind::Changed { vec!["content", "size", "modified"] } else { Vec::new() };
    let problem = (change == PathChangeKind::Unknown).then(|| "its inode 12 is damaged".to_owned());
    PathChange {
        change,
        path: path.to_owned(),
        volume: "partition 1".to_owned(),
        what,
        base,
        image,
        problem,
        file: None,
    }
}

/// A file that is new.
pub(super) fn added(name: &str, size_bytes: u64) -> PathChange {
    path(PathChangeKind::Added, name, None, Some(facts(FileKind::Regular, Some(size_bytes))))
}

fn partition(number: u32, label: &str, kind: &'static str, place: [u64; 2], used: [Option<u64>; 2]) -> PartitionChange {
    let [first_byte, size_bytes] = place;
    let extent = |size_bytes: u64, used_bytes: Option<u64>| {
        let free_bytes = used_bytes.map(|used| size_bytes - used);
        Some(Extent { first_byte, size_bytes, is_in_parts: false, used_bytes, free_bytes })
    };
    PartitionChange {
        number: Some(number),
        logical_volume: None,
        name: format!("partition {number} ({kind} `{label}`)"),
        file_system: (!kind.is_empty()).then_some(kind),
        label: (!label.is_empty()).then(|| label.to_owned()),
        r#type: Some(if kind.is_empty() { "BIOS boot" } else { "Linux filesystem" }.to_owned()),
        mounted_at: (kind == "ext4").then(|| "/".to_owned()),
        base: extent(size_bytes, used[0]),
        image: extent(size_bytes, used[1]),
        changed_bytes: 900 * MIB,
    }
}

/// A disk laid out as Ubuntu's is, with the differences of one that got packages and files.
pub(super) fn sample(more: impl IntoIterator<Item = PathChange>) -> Sample {
    let mut map = DiskMap { column_bytes: GIB * 7 / 2 / 1000, changed_bytes: vec![0; 1000] };
    for (column, changed_bytes) in map.changed_bytes.iter_mut().enumerate().skip(300) {
        if column < 420 || column.is_multiple_of(37) {
            *changed_bytes = map.column_bytes * (column as u64 * 7 % 10 + 1) / 10;
        }
    }
    let file = |bytes| Some(facts(FileKind::Regular, Some(bytes)));
    let mut paths = vec![
        path(PathChangeKind::Changed, "/etc/hosts", file(221), file(187)),
        path(PathChangeKind::Added, "/etc/alternatives/node", None, Some(facts(FileKind::Symlink, Some(20)))),
        path(PathChangeKind::Added, "/srv", None, Some(facts(FileKind::Directory, None))),
        added(&format!("/srv/{EVIL}"), 1234),
        added(TURNED, 5),
        path(PathChangeKind::Removed, "/var/cache/apt/pkgcache.bin", file(40 * MIB), None),
        path(PathChangeKind::Unknown, "/var/lib/broken", None, None),
    ];
    let libraries =
        (0..20).map(|at| added(&format!("/usr/lib/x86_64-linux-gnu/libexample-{at}.so.{at}"), at * 300_001));
    paths.extend(libraries.chain(more));
    let package = |name: &str, version: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
    };
    let comparison = Comparison {
        disk_bytes: Change { from: GIB * 3, to: GIB * 7 / 2 },
        system: Some(format!("Ubuntu 24.04.1 LTS {EVIL}")),
        partitions: vec![
            partition(14, "", "", [MIB, 4 * MIB], [None, None]),
            partition(15, "UEFI", "fat", [5 * MIB, 106 * MIB], [Some(6 * MIB), Some(6 * MIB)]),
            partition(16, "BOOT", "ext4", [111 * MIB, 913 * MIB], [Some(120 * MIB), Some(80 * MIB)]),
            partition(1, "cloudimg-rootfs", "ext4", [GIB, GIB * 5 / 2], [Some(1500 * MIB), Some(1700 * MIB)]),
        ],
        map,
        states: Vec::new(),
        packages: Some(PackageChanges {
            installed: vec![package("nodejs", "18.19.1+dfsg-6ubuntu5"), package(EVIL, "1")],
            upgraded: vec![Upgrade {
                name: "libc6".to_owned(),
                architecture: "amd64".to_owned(),
                from: "2.39-0ubuntu8.3".to_owned(),
                to: "2.39-0ubuntu8.4".to_owned(),
            }],
            removed: vec![package("nano", "7.2-2build1")],
        }),
        differences: Differences {
            partition_table: vec![TableChange {
                partition: Some(1),
                property: Property {
                    name: "size".to_owned(),
                    base: "2147483648".to_owned(),
                    image: "2684354560".to_owned(),
                },
            }],
            outside: vec![OutsideChange { place: "backup GPT", first_byte: 0xdfff_be00, sectors: 33 }],
            volumes: Vec::new(),
            paths,
        },
    };
    let volume = VolumeAccount {
        volume: format!("partition 1 (ext4 `{EVIL}`)"),
        block_size_bytes: 4096,
        inodes: 27,
        metadata_blocks: 41,
        data_blocks: 26_856,
        unexplained_blocks: 1,
        kinds: vec![Count { kind: "content of files", blocks: 26_856 }, Count { kind: "inode tables", blocks: 5 }],
        ..VolumeAccount::default()
    };
    let unexplained = UnexplainedPlace {
        place: "partition 1".to_owned(),
        ..UnexplainedPlace::of(1234..1235, format!("inode 12 (`/etc/{EVIL}`)"), "its content differs")
    };
    let blocks = BlockAccount {
        volumes: vec![volume],
        outside: comparison.differences.outside.clone(),
        unexplained: vec![unexplained],
        unexplained_blocks: 1,
    };
    Sample { comparison, blocks, warnings: vec![format!("`/srv/{EVIL}` is not what it seems")] }
}

impl Sample {
    /// The report about it, with every section that a page may have.
    pub(super) fn report(&self) -> ImageReport<'_> {
        let file = |path: &str, bytes| ImageFile {
            path: path.to_owned(),
            format: Some("qcow2".to_owned()),
            file_size_bytes: Some(bytes),
            sha256: Some("9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de".to_owned()),
        };
        let finding = |code: &'static str, path: &str| Finding {
            code,
            path: path.to_owned(),
            message: format!("`libssl.so.1.1` is needed and was looked for in `/usr/lib` {EVIL}"),
            hint: "put a binary that was built for this release".to_owned(),
        };
        let stages = Stage::ALL
            .into_iter()
            .zip(0..)
            .map(|(stage, at)| StageTime { stage, at: std::time::Duration::from_secs(at * 4) });
        let span = |name: &str, at_s, took_s| Span { name: name.to_owned(), at_s, took_s, is_failed: false };
        ImageReport {
            image: file(&format!("my {EVIL}.img"), 290_455_552),
            base: file("noble-server-cloudimg-amd64.img", 274_726_912),
            published: Some(Published {
                name: "ubuntu:24.04/server 20260826 (amd64)".to_owned(),
                address: "https://example.org/noble/20260826/noble-server-cloudimg-amd64.img".to_owned(),
                digest: "sha256:9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de".to_owned(),
                verified: "signed by D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81 at 2026-08-26T22:34:07Z".to_owned(),
                lock: Some("recipes/imgraft.lock".to_owned()),
            }),
            dry_run: false,
            verdict: "27 inodes, 41 metadata blocks, 26,856 data blocks; 1 unexplained block".to_owned(),
            operations: &[],
            warnings: &self.warnings,
            comparison: &self.comparison,
            blocks: &self.blocks,
            findings: vec![finding("library-missing", "/usr/local/bin/app"), finding("machine-id", "/etc/machine-id")],
            boots: vec![Boot {
                name: "first boot".to_owned(),
                end_s: 50.0,
                stages: stages.collect(),
                modules: vec![span(EVIL, 20.0, 5.5), span("init-network/config-ssh", 26.0, 11.2)],
                ..Boot::default()
            }],
        }
    }
}
