//! File systems that `mkfs.vfat` made, edited at random; `fsck.vfat` and mtools look at the result.

#![allow(clippy::unwrap_used, reason = "in tests, helpers included")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use fat::{Error, FatType, FileKind, FileSystem, Resource, Time};
use proptest::prelude::*;
use storage::Memory;
use testkit::judge::{assert_fsck_vfat_clean, judge};

/// 2023-11-14 22:13:20 UTC.
const MODIFIED: Time = Time { seconds: 1_700_000_000, nanoseconds: 0 };

/// The arguments of `mkfs.vfat`, and the size in bytes.
const KINDS: [(&[&str], u64, FatType); 4] = [
    (&["-F", "12", "-n", "CIDATA"], 2 << 20, FatType::Fat12),
    (&["-F", "16", "-n", "CIDATA", "-r", "64"], 16 << 20, FatType::Fat16),
    (&["-F", "32", "-n", "CIDATA", "-s", "1"], 40 << 20, FatType::Fat32),
    (&["-F", "32", "-n", "CIDATA", "-s", "8"], 300 << 20, FatType::Fat32),
];

fn format(arguments: &[&str], size: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fat");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    judge("mkfs.vfat").args(["--invariant"]).args(arguments).arg(&path).succeed();
    std::fs::read(path).unwrap()
}

fn open(bytes: Vec<u8>) -> (std::sync::Arc<Memory>, FileSystem<std::sync::Arc<Memory>>) {
    let memory = std::sync::Arc::new(Memory::from(bytes));
    (std::sync::Arc::clone(&memory), FileSystem::open(memory).unwrap())
}

fn bytes_of(filesystem: FileSystem<std::sync::Arc<Memory>>, memory: std::sync::Arc<Memory>) -> Vec<u8> {
    drop(filesystem);
    std::sync::Arc::into_inner(memory).unwrap().into_bytes()
}

/// Path → content, none of a directory.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

fn components(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

/// The tree as we read it.
fn ours(filesystem: &FileSystem<std::sync::Arc<Memory>>) -> Tree {
    fn walk(filesystem: &FileSystem<std::sync::Arc<Memory>>, path: &str, tree: &mut Tree) {
        for entry in filesystem.read_directory(&components(path)).unwrap() {
            let inside = format!("{path}/{}", entry.name);
            let content = match entry.metadata.kind {
                FileKind::Directory => {
                    walk(filesystem, &inside, tree);
                    None
                }
                FileKind::Regular => {
                    let mut content = Vec::new();
                    filesystem.reader(&components(&inside)).unwrap().read_to_end(&mut content).unwrap();
                    assert_eq!(content.len() as u64, entry.metadata.size_bytes);
                    Some(content)
                }
            };
            tree.insert(inside, content);
        }
    }
    let mut tree = Tree::new();
    walk(filesystem, "", &mut tree);
    tree
}

/// The tree as mtools reads it; `fsck.vfat` must have nothing to say.
fn theirs(bytes: &[u8]) -> Tree {
    fn walk(folder: &Path, root: &Path, tree: &mut Tree) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("/{}", path.strip_prefix(root).unwrap().to_str().unwrap());
            if path.is_dir() {
                walk(&path, root, tree);
                tree.insert(name, None);
            } else {
                let modified = path.metadata().unwrap().modified().unwrap();
                let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
                assert_eq!(seconds, MODIFIED.seconds, "{name}");
                tree.insert(name, Some(std::fs::read(&path).unwrap()));
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("fat");
    std::fs::write(&image, bytes).unwrap();
    assert_fsck_vfat_clean(&image);
    assert_eq!(open(bytes.to_vec()).1.check().unwrap(), []);
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    judge("mcopy")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .args(["-s", "-n", "-m", "-i"])
        .arg(&image)
        .arg("::/")
        .arg(&root)
        .succeed();
    let mut tree = Tree::new();
    walk(&root, &root, &mut tree);
    tree
}

/// Bytes that tell which file they are of.
fn content(seed: u32, size: usize) -> Vec<u8> {
    (0..size as u32).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8).collect()
}

#[derive(Clone, Debug)]
enum Step {
    CreateFile { directory: usize, name: usize, size: usize },
    CreateDirectory { directory: usize, name: usize },
    Replace { file: usize, size: usize },
    Remove { entry: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![Just(0usize), 1usize..600, 0usize..40_000];
    prop_oneof![
        4 => (any::<usize>(), 0usize..60, size.clone())
            .prop_map(|(directory, name, size)| Step::CreateFile { directory, name, size }),
        2 => (any::<usize>(), 0usize..60).prop_map(|(directory, name)| Step::CreateDirectory { directory, name }),
        2 => (any::<usize>(), size).prop_map(|(file, size)| Step::Replace { file, size }),
        2 => any::<usize>().prop_map(|entry| Step::Remove { entry }),
    ]
}

/// Sixty names: short, long, longer, mixed, not ASCII.
fn name(index: usize) -> String {
    match index % 6 {
        0 => format!("FILE{index}.TXT"),
        1 => format!("lower{index}.cfg"),
        2 => format!("Mixed Case {index}.conf"),
        3 => format!("größe-{index}-🦀.yaml"),
        4 => format!("{index}-{}", "long name ".repeat(index / 3).trim_end()),
        _ => format!(".config.d.{index}"),
    }
}

fn pick<T>(items: &[T], index: usize) -> Option<&T> {
    items.get(index.checked_rem(items.len())?)
}

/// Does the step to both, and sees that they agree on whether it can be done.
fn apply(filesystem: &mut FileSystem<std::sync::Arc<Memory>>, tree: &mut Tree, seed: u32, step: &Step) {
    let mut directories: Vec<String> = vec![String::new()];
    directories.extend(tree.iter().filter(|(_, content)| content.is_none()).map(|(path, _)| path.clone()));
    match *step {
        Step::CreateFile { directory, name: index, size } => {
            let path = format!("{}/{}", pick(&directories, directory).unwrap(), name(index));
            let content = content(seed, size);
            match filesystem.create_file(&components(&path), MODIFIED, size as u64, &mut &content[..]) {
                Ok(()) => assert_eq!(tree.insert(path, Some(content)), None),
                Err(Error::Exists { .. }) => assert!(tree.contains_key(&path), "{path}"),
                Err(Error::NoSpace { needed, available, .. }) => assert!(needed > available),
                Err(error) => panic!("{path}: {error}"),
            }
        }
        Step::CreateDirectory { directory, name: index } => {
            let path = format!("{}/{}", pick(&directories, directory).unwrap(), name(index));
            if path.len() > 200 {
                return;
            }
            match filesystem.create_directory(&components(&path), MODIFIED) {
                Ok(()) => assert_eq!(tree.insert(path, None), None),
                Err(Error::Exists { .. }) => assert!(tree.contains_key(&path), "{path}"),
                Err(Error::NoSpace { needed, available, .. }) => assert!(needed > available),
                Err(error) => panic!("{path}: {error}"),
            }
        }
        Step::Replace { file, size } => {
            let files: Vec<_> = tree.iter().filter(|(_, c)| c.is_some()).map(|(path, _)| path.clone()).collect();
            let Some(path) = pick(&files, file) else { return };
            let content = content(seed, size);
            match filesystem.replace_file(&components(path), MODIFIED, size as u64, &mut &content[..]) {
                Ok(()) => drop(tree.insert(path.clone(), Some(content))),
                Err(Error::NoSpace { needed, available, .. }) => assert!(needed > available),
                Err(error) => panic!("{path}: {error}"),
            }
        }
        Step::Remove { entry } => {
            let paths: Vec<_> = tree.keys().cloned().collect();
            let Some(path) = pick(&paths, entry) else { return };
            let below = format!("{path}/");
            let names = components(path);
            if tree[path].is_some() {
                assert!(matches!(filesystem.remove_directory(&names), Err(Error::NotADirectory { .. })));
                filesystem.remove_file(&names).unwrap();
            } else if tree.keys().any(|other| other.starts_with(&below)) {
                assert!(matches!(filesystem.remove_file(&names), Err(Error::IsADirectory { .. })));
                assert!(matches!(filesystem.remove_directory(&names), Err(Error::NotEmpty { .. })));
                return;
            } else {
                filesystem.remove_directory(&names).unwrap();
            }
            tree.remove(path);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_sequence_of_edits_is_what_fsck_and_mtools_see(
        kind in 0usize..3,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (arguments, size, fat_type) = KINDS[kind];
        let good = format(arguments, size);
        let mut images = Vec::new();
        for _ in 0..2 {
            let (memory, mut filesystem) = open(good.clone());
            prop_assert_eq!(filesystem.fat_type(), fat_type);
            let mut tree = Tree::new();
            for (seed, step) in (0..).zip(&steps) {
                apply(&mut filesystem, &mut tree, seed, step);
            }
            prop_assert_eq!(&ours(&filesystem), &tree);
            filesystem.flush().unwrap();
            images.push((bytes_of(filesystem, memory), tree));
        }
        let (again, _) = images.pop().unwrap();
        let (bytes, tree) = images.pop().unwrap();
        prop_assert!(bytes == again, "two runs gave different bytes");
        // mtools has no surrogates, and writes an underline for each.
        let tree: Tree = tree.into_iter().map(|(path, content)| (path.replace('🦀', "__"), content)).collect();
        let theirs = theirs(&bytes);
        prop_assert_eq!(theirs.keys().collect::<Vec<_>>(), tree.keys().collect::<Vec<_>>());
        prop_assert!(theirs == tree, "the contents differ");
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the bytes, and whatever is done to them, it ends and does not panic.
    #[test]
    fn no_bytes_make_it_panic(
        kind in 0usize..3,
        changes in prop::collection::vec((0usize..4, 0usize..70_000, any::<u8>()), 1..30),
    ) {
        static USED: std::sync::OnceLock<[Vec<u8>; 3]> = std::sync::OnceLock::new();
        let mut bytes = USED.get_or_init(|| [0, 1, 2].map(used))[kind].clone();
        let filesystem_start = layout(&bytes);
        for (area, at, value) in changes {
            // The boot sector, the first FAT, the root and what follows it.
            let at = match area {
                0 => at % 90,
                1 => filesystem_start.0 + at % 512,
                _ => filesystem_start.1 + at,
            };
            bytes[at] = value;
        }
        let memory = std::sync::Arc::new(Memory::from(bytes));
        if let Ok(mut filesystem) = FileSystem::open(memory) {
            hammer(&mut filesystem);
        }
    }
}

/// The offsets of the first FAT and of what follows the last one.
fn layout(bytes: &[u8]) -> (usize, usize) {
    let field = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let fat_sectors = if field(0x16) == 0 { field(0x24) } else { field(0x16) };
    (field(14) * field(11), (field(14) + 2 * fat_sectors) * field(11))
}

fn used(kind: usize) -> Vec<u8> {
    let (memory, mut filesystem) = open(format(KINDS[kind].0, KINDS[kind].1));
    filesystem.create_directory(&["A Long Directory Name"], MODIFIED).unwrap();
    for index in 0..20 {
        let data = content(index as u32, index * 700);
        for path in [vec![name(index)], vec!["A Long Directory Name".to_owned(), name(index)]] {
            filesystem.create_file(&path, MODIFIED, data.len() as u64, &mut &data[..]).unwrap();
        }
    }
    bytes_of(filesystem, memory)
}

/// Does everything there is to a file system, and ignores what it says.
fn hammer(filesystem: &mut FileSystem<std::sync::Arc<Memory>>) {
    let _ = (filesystem.label(), filesystem.free_bytes(), filesystem.metadata(&["nothing"]));
    let mut paths: Vec<Vec<String>> = vec![Vec::new()];
    let mut at = 0;
    while at < paths.len().min(60) {
        let path = paths[at].clone();
        at += 1;
        for entry in filesystem.read_directory(&path).into_iter().flatten() {
            let inside: Vec<String> = path.iter().cloned().chain([entry.name]).collect();
            let _ = (filesystem.metadata(&inside), filesystem.read_file_at(&inside, 5000, &mut [0; 9000]));
            if let Ok(reader) = filesystem.reader(&inside) {
                let _ = reader.take(1 << 20).read_to_end(&mut Vec::new());
            }
            paths.push(inside);
        }
    }
    for path in paths.iter().take(80) {
        let inside: Vec<String> = path.iter().cloned().chain(["a new file.txt".to_owned()]).collect();
        let _ = filesystem.create_file(&inside, MODIFIED, 3000, &mut &[7; 3000][..]);
        let _ = filesystem.replace_file(path, MODIFIED, 4000, &mut &[7; 4000][..]);
        let below: Vec<String> = path.iter().cloned().chain(["new".to_owned()]).collect();
        let _ = filesystem.create_directory(&below, MODIFIED);
        let _ = filesystem.remove_file(path);
        let _ = filesystem.remove_directory(path);
    }
    let _ = filesystem.flush();
}

#[test]
fn labels_sizes_and_free_space_are_those_of_minfo_and_fsck() {
    for (arguments, size, fat_type) in KINDS {
        let (_, filesystem) = open(format(arguments, size));
        assert_eq!((filesystem.fat_type(), filesystem.label().unwrap().as_slice()), (fat_type, &b"CIDATA"[..]));
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("fat");
        std::fs::write(&image, format(arguments, size)).unwrap();
        let said = judge("fsck.vfat").args(["-n", "-v"]).arg(&image).succeed().stdout;
        // "…: 0 files, 1/80628 clusters"
        let counts = said.lines().last().unwrap().rsplit_once(", ").unwrap().1;
        let (used, all) = counts.trim_end_matches(" clusters").split_once('/').unwrap();
        let [used, all] = [used, all].map(|count| count.parse::<u64>().unwrap());
        let cluster = u64::from(filesystem.cluster_size_bytes());
        assert_eq!(filesystem.size_bytes(), all * cluster, "{said}");
        assert_eq!(filesystem.free_bytes().unwrap(), (all - used) * cluster, "{said}");
    }
    let unlabelled = open(format(&["-F", "32"], 40 << 20)).1;
    assert_eq!(unlabelled.label().unwrap(), b"");
}

#[test]
fn what_mtools_wrote_is_read_and_edited() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("fat");
    std::fs::write(&image, format(KINDS[2].0, KINDS[2].1)).unwrap();
    let source = folder.path().join("Boot Loader.efi");
    std::fs::write(&source, content(1, 100_000)).unwrap();
    judge("mmd").arg("-i").arg(&image).args(["::/EFI", "::/EFI/BOOT"]).succeed();
    judge("mcopy").arg("-i").arg(&image).arg(&source).arg("::/EFI/BOOT/").succeed();
    let (memory, mut filesystem) = open(std::fs::read(&image).unwrap());
    let path = ["efi", "Boot", "BOOT LOADER.EFI"];
    assert_eq!(filesystem.metadata(&path).unwrap().size_bytes, 100_000);
    assert_eq!(filesystem.metadata(&["efi"]).unwrap().kind, FileKind::Directory);
    let mut part = [0; 5000];
    for offset in [0, 511, 95_000, 99_999, 4000, 100_000, u64::MAX] {
        let length = filesystem.read_file_at(&path, offset, &mut part).unwrap();
        let rest = 100_000u64.saturating_sub(offset) as usize;
        assert_eq!(length, rest.min(5000));
        assert_eq!(part[..length], content(1, 100_000)[100_000 - rest..][..length]);
    }
    filesystem.replace_file(&path, MODIFIED, 3, &mut &b"new"[..]).unwrap();
    assert_eq!(filesystem.metadata(&path).unwrap().modified, MODIFIED);
    let tree = theirs(&bytes_of(filesystem, memory));
    assert_eq!(tree["/EFI/BOOT/Boot Loader.efi"].as_deref(), Some(&b"new"[..]));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let (memory, mut filesystem) = open(format(KINDS[0].0, KINDS[0].1));
    let (free, cluster) = (filesystem.free_bytes().unwrap(), u64::from(filesystem.cluster_size_bytes()));
    filesystem.create_directory(&["d"], MODIFIED).unwrap();
    let before = bytes_of(filesystem, memory);
    let (memory, mut filesystem) = open(before.clone());
    let error = filesystem.create_file(&["d", "big"], MODIFIED, free, &mut std::io::repeat(1)).unwrap_err();
    let left = free / cluster - 1;
    let expected = format!("no space on the FAT file system: needed={} available={left} clusters", left + 1);
    assert_eq!(error.to_string(), expected);
    assert!(bytes_of(filesystem, memory) == before);

    // Exactly what is left does fit, and then not one directory more.
    let (memory, mut filesystem) = open(before);
    filesystem.create_file(&["d", "big"], MODIFIED, free - cluster, &mut std::io::repeat(1)).unwrap();
    assert_eq!(filesystem.free_bytes().unwrap(), 0);
    let error = filesystem.create_directory(&["e"], MODIFIED).unwrap_err();
    assert!(matches!(error, Error::NoSpace { needed: 1, available: 0, what: Resource::Clusters }));
    filesystem.create_file(&["empty"], MODIFIED, 0, &mut std::io::empty()).unwrap();
    let too_large = filesystem.create_file(&["x"], MODIFIED, 1 << 32, &mut std::io::empty()).unwrap_err();
    assert!(matches!(too_large, Error::TooLarge { .. }));
    theirs(&bytes_of(filesystem, memory));
}

#[test]
fn a_full_root_of_fixed_size_is_refused_by_its_slots() {
    let (memory, mut filesystem) = open(format(KINDS[1].0, KINDS[1].1));
    // 64 slots, of which the label has one.
    for index in 0..62 {
        filesystem.create_file(&[format!("F{index}")], MODIFIED, 0, &mut std::io::empty()).unwrap();
    }
    let error = filesystem.create_file(&["a longer name"], MODIFIED, 0, &mut std::io::empty()).unwrap_err();
    assert!(matches!(error, Error::NoSpace { needed: 2, available: 1, what: Resource::DirectorySlots }), "{error}");
    filesystem.create_file(&["LAST"], MODIFIED, 0, &mut std::io::empty()).unwrap();
    assert_eq!(theirs(&bytes_of(filesystem, memory)).len(), 63);
}

#[test]
fn a_directory_grows_past_a_cluster_and_a_name_past_all() {
    let (memory, mut filesystem) = open(format(KINDS[2].0, KINDS[2].1));
    filesystem.create_directory(&["d"], MODIFIED).unwrap();
    for index in 0..40 {
        let name = format!("{index:03}{}", "x".repeat(240));
        filesystem.create_file(&["d", &name], MODIFIED, 1, &mut &b"1"[..]).unwrap();
    }
    assert_eq!(filesystem.read_directory(&["d"]).unwrap().len(), 40);
    assert_eq!(theirs(&bytes_of(filesystem, memory)).len(), 41);
}

#[test]
fn content_that_ends_early_leaves_no_file() {
    let (memory, mut filesystem) = open(format(KINDS[2].0, KINDS[2].1));
    let free = filesystem.free_bytes().unwrap();
    let error = filesystem.create_file(&["f"], MODIFIED, 200_000, &mut &[1; 150_000][..]).unwrap_err();
    assert!(matches!(error, Error::Content(_)));
    assert!(matches!(filesystem.metadata(&["f"]), Err(Error::NotFound { .. })));
    assert_eq!(filesystem.free_bytes().unwrap(), free);
    assert_eq!(theirs(&bytes_of(filesystem, memory)), Tree::new());
}

#[test]
fn errors_name_the_path() {
    let (_, mut filesystem) = open(format(KINDS[2].0, KINDS[2].1));
    filesystem.create_file(&["file"], MODIFIED, 0, &mut std::io::empty()).unwrap();
    let create = |fs: &mut FileSystem<_>, path: &[&str]| fs.create_directory(path, MODIFIED).unwrap_err().to_string();
    assert_eq!(create(&mut filesystem, &["FILE"]), "`FILE` exists already");
    assert_eq!(create(&mut filesystem, &["file", "x"]), "`file` is not a directory");
    assert_eq!(create(&mut filesystem, &["no", "x"]), "`no` does not exist");
    assert_eq!(create(&mut filesystem, &["a:b"]), "the name `a:b` has a character that FAT does not allow");
    assert_eq!(create(&mut filesystem, &[".."]), "the name `..` is not a valid name");
    assert_eq!(filesystem.remove_file::<&str>(&[]).unwrap_err().to_string(), "`` is a directory");
    assert_eq!(filesystem.metadata(&["a", "b"]).unwrap_err().to_string(), "`a` does not exist");
}

#[test]
fn a_loop_of_clusters_ends_with_an_error() {
    let (memory, mut filesystem) = open(format(KINDS[2].0, KINDS[2].1));
    filesystem.create_directory(&["d"], MODIFIED).unwrap();
    filesystem.create_file(&["f"], MODIFIED, 2000, &mut std::io::repeat(b'x')).unwrap();
    let mut bytes = bytes_of(filesystem, memory);
    let fat = layout(&bytes).0;
    // The directory is cluster 3, followed by itself; the file is clusters 4 to 7, and ends after 5.
    bytes[fat + 12..fat + 16].copy_from_slice(&3u32.to_le_bytes());
    bytes[fat + 20..fat + 24].copy_from_slice(&0x0fff_ffffu32.to_le_bytes());
    let (_, filesystem) = open(bytes);
    let error = filesystem.read_directory(&["d"]).unwrap_err().to_string();
    assert_eq!(error, "directory d: it has more than 4096 clusters, or a loop of them");
    let error = filesystem.read_file_at(&["f"], 0, &mut [0; 2000]).unwrap_err().to_string();
    assert_eq!(error, "file f: its clusters end after 2, before its size");
}
