//! What is written, as other programs read it; what other programs write, as it is read here.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use iso9660::{Directory, Iso, Kind, Names, Node, Options, create};
use storage::{FileStorage, Memory, ReadAt};
use tempfile::TempDir;
use testkit::judge::judge;

const OPTIONS: Options<'_> = Options { volume_id: "cidata", seconds: 1_713_895_509 };

fn file(content: &[u8], permissions: u16) -> Node {
    Node::File { permissions, content: Arc::new(Memory::from(content.to_vec())) }
}

fn directory(entries: impl IntoIterator<Item = (String, Node)>) -> Directory {
    Directory { permissions: 0o755, entries: entries.into_iter().collect() }
}

/// Names of many lengths, directories that take several blocks, and content at the edges of blocks.
fn tree() -> Directory {
    let long_name = "€".repeat(60) + ".txt";
    let many = (0..200).map(|number| (format!("a file with number {number}"), file(&vec![b'x'; number * 30], 0o600)));
    let deep = ["six", "five", "four", "three", "two", "one"]
        .into_iter()
        .fold(directory([("leaf".to_owned(), file(b"deep\n", 0o4755))]), |below, name| {
            directory([(name.to_owned(), Node::Directory(below))])
        });
    directory([
        ("user-data".to_owned(), file(b"#cloud-config\n", 0o644)),
        ("user-date".to_owned(), file(b"", 0o640)),
        (long_name, file(&[7; 2048], 0o644)),
        ("many".to_owned(), Node::Directory(directory(many))),
        ("deep".to_owned(), Node::Directory(deep)),
        ("empty".to_owned(), Node::Directory(directory([]))),
    ])
}

/// Path → content, mode and kind; directories have no content.
type Seen = BTreeMap<String, (Option<Vec<u8>>, u32)>;

fn expected(root: &Directory, prefix: &str, seen: &mut Seen) {
    for (name, node) in &root.entries {
        let path = format!("{prefix}{name}");
        match node {
            Node::File { permissions, content } => {
                let mut bytes = vec![0; content.size_bytes() as usize];
                content.read_at(0, &mut bytes).unwrap();
                seen.insert(path, (Some(bytes), u32::from(*permissions)));
            }
            Node::Directory(below) => {
                expected(below, &format!("{path}/"), seen);
                seen.insert(path, (None, u32::from(below.permissions)));
            }
        }
    }
}

fn read<S: ReadAt>(iso: &Iso<S>, names: Names) -> Seen {
    let mut entries = Vec::new();
    iso.walk(names, &mut |path, entry| entries.push((String::from_utf8(path.to_vec()).unwrap(), entry.clone())))
        .unwrap();
    let content = |entry: &iso9660::Entry| {
        let content = iso.content(entry).unwrap();
        let mut bytes = Vec::new();
        for part in content.parts() {
            let from = bytes.len();
            bytes.resize(from + part.size_bytes() as usize, 0);
            part.read_at(0, &mut bytes[from..]).unwrap();
        }
        bytes
    };
    let seen = |entry: &iso9660::Entry| {
        let bytes = (entry.kind == Kind::Regular).then(|| content(entry));
        (bytes, entry.posix.map_or(0, |(permissions, ..)| u32::from(permissions)))
    };
    entries.iter().map(|(path, entry)| (path.clone(), seen(entry))).collect()
}

fn without_modes(seen: &Seen) -> Vec<(&String, &Option<Vec<u8>>)> {
    seen.iter().map(|(path, (content, _))| (path, content)).collect()
}

fn written(root: &Directory) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.iso");
    fs::write(&path, bytes(root)).unwrap();
    (folder, path)
}

fn bytes(root: &Directory) -> Vec<u8> {
    let image = create(root, &OPTIONS).unwrap();
    let mut bytes = vec![0; image.size_bytes() as usize];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read_by_all_names() {
    let root = tree();
    let mut seen = Seen::new();
    expected(&root, "", &mut seen);
    let iso = Iso::open(create(&root, &OPTIONS).unwrap()).unwrap();
    assert!(iso.volume_id() == "cidata" && iso.has(Names::RockRidge) && iso.has(Names::Joliet));
    assert_eq!(read(&iso, Names::RockRidge), seen);
    assert_eq!(without_modes(&read(&iso, Names::Joliet)), without_modes(&seen));
    assert_eq!(read(&iso, Names::Plain).len(), seen.len());
    assert_eq!(iso.find(Names::Plain, &["USER_DAT"]).unwrap().size_bytes, 14);
    assert_eq!(iso.find(Names::RockRidge, &["user-data"]).unwrap().modified, Some(OPTIONS.seconds));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    assert!(bytes(&tree()) == bytes(&tree()));
}

/// `xorriso` copies the tree out, with modes and times, by the names of Rock Ridge; and looks at the
/// image as libisofs has it.
#[test]
fn xorriso_finds_the_tree_that_was_written() {
    let root = tree();
    let mut seen = Seen::new();
    expected(&root, "", &mut seen);
    let (folder, image) = written(&root);
    let out = folder.path().join("out");
    let said = judge("xorriso").args(["-indev", path(&image), "-osirrox", "on", "-extract", "/", path(&out)]).succeed();
    assert!(!said.stderr.contains("WARNING") && !said.stderr.contains("SORRY"), "{said}");

    let mut found = Seen::new();
    walk(&out, "", &mut found);
    assert_eq!(found, seen);
    assert!(said.stderr.contains("Volume id    : 'cidata'"), "{said}");
}

#[test]
fn isoinfo_finds_the_same_names_in_both_name_spaces() {
    let (_folder, image) = written(&tree());
    let mut seen = Seen::new();
    expected(&tree(), "", &mut seen);
    for names in ["-R", "-J"] {
        let said = judge("isoinfo").args(["-f", names, "-i", path(&image)]).succeed();
        let mut paths: Vec<String> = said.stdout.lines().map(|line| line.trim_start_matches('/').to_owned()).collect();
        paths.sort();
        // It writes what is no ASCII in names of Joliet in the locale's characters, and there are none.
        let mut expected: Vec<String> = seen.keys().cloned().collect();
        if names == "-J" {
            paths.retain(|path| !path.contains(".txt"));
            expected.retain(|path| !path.contains(".txt"));
        }
        assert_eq!(paths, expected, "{names}");
        let extracted =
            judge("isoinfo").args(["-x", "/many/a file with number 199", names, "-i", path(&image)]).succeed();
        assert_eq!(extracted.stdout.len(), 199 * 30, "{names}");
    }
    let description = judge("isoinfo").args(["-d", "-i", path(&image)]).succeed().stdout;
    for line in ["Volume id: cidata", "Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found"] {
        assert!(description.contains(line), "{description}");
    }
}

#[test]
fn blkid_and_file_find_the_label() {
    let (_folder, image) = written(&tree());
    let said = judge("blkid").args(["-p", "-o", "export", path(&image)]).succeed().stdout;
    assert!(said.contains("LABEL=cidata\n") && said.contains("TYPE=iso9660\n"), "{said}");
    assert!(said.contains("UUID=2024-04-23-18-05-09-00\n"), "{said}");
}

/// Paths, sizes and links of images that others have written.
#[test]
fn images_of_other_writers_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("a/b/c/d/e/f/g/h/i")).unwrap();
    fs::write(source.join("a/b/c/d/e/f/g/h/i/deep"), "deep").unwrap();
    fs::write(source.join("user-data"), "#cloud-config\n").unwrap();
    fs::write(source.join(format!("{}.long", "n".repeat(200))), vec![3; 5000]).unwrap();
    fs::set_permissions(source.join("user-data"), fs::Permissions::from_mode(0o640)).unwrap();
    for (link, target) in [("absolute", "/etc/passwd"), ("relative", "../a/./b"), ("root", "/"), ("here", ".")] {
        symlink(target, source.join(link)).unwrap();
    }
    symlink("x/".repeat(40) + "end", source.join("far")).unwrap();
    let mut expected = Seen::new();
    walk(&source, "", &mut expected);

    let image = folder.path().join("image.iso");
    for (program, arguments) in [
        ("genisoimage", &["-quiet", "-rational-rock"][..]),
        ("genisoimage", &["-quiet", "-rock", "-joliet", "-joliet-long"]),
        ("xorriso", &["-as", "mkisofs", "-quiet", "-rock", "-joliet"]),
        ("xorriso", &["-as", "mkisofs", "-quiet", "-rock", "-D"]),
    ] {
        let _ = fs::remove_file(&image);
        judge(program).args(arguments).args(["-V", "cidata", "-o", path(&image), path(&source)]).succeed();
        let iso = Iso::open(FileStorage::new(fs::File::open(&image).unwrap()).unwrap()).unwrap();
        let mut found = read(&iso, Names::RockRidge);
        // Where directories that are too deep were moved to.
        found.retain(|path, _| !path.starts_with("rr_moved"));
        assert_eq!(without_modes(&found), without_modes(&expected), "{program} {arguments:?}");
        for (link, target) in [("absolute", "/etc/passwd"), ("relative", "../a/./b"), ("root", "/"), ("here", ".")] {
            let entry = iso.find(Names::RockRidge, &[link]).unwrap();
            assert_eq!(entry.kind, Kind::Symlink(target.into()), "{program} {arguments:?}");
        }
        let far = iso.find(Names::RockRidge, &["far"]).unwrap();
        assert_eq!(far.kind, Kind::Symlink(("x/".repeat(40) + "end").into()), "{program} {arguments:?}");
        if arguments.contains(&"-joliet") {
            assert!(read(&iso, Names::Joliet).contains_key("user-data"));
        }
        if arguments[1] == "-rock" {
            assert_eq!(iso.find(Names::RockRidge, &["user-data"]).unwrap().posix.unwrap().0, 0o640);
        }
    }
}

/// Files of less than 4 GiB have one extent with every writer, so that one with two is put together here.
#[test]
fn a_file_in_several_extents_is_one() {
    let root = directory([("a".to_owned(), file(&[1; 2048], 0o644)), ("b".to_owned(), file(&[2; 100], 0o644))]);
    let mut image = bytes(&root);
    let marker = b"A.;1";
    // The first one's record says that it goes on, in that of `b`.
    let at = image.windows(4).position(|window| window == marker).unwrap() - 33;
    image[at + 25] |= 0x80;
    let iso = Iso::open(Memory::from(image)).unwrap();
    let found = read(&iso, Names::RockRidge);
    assert_eq!(found.len(), 1);
    assert_eq!(found["a"].0.as_deref(), Some(&[vec![1; 2048], vec![2; 100]].concat()[..]));
}

fn walk(folder: &Path, prefix: &str, seen: &mut Seen) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        let permissions = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            walk(&entry.path(), &format!("{path}/"), seen);
        }
        let content = metadata.is_file().then(|| fs::read(entry.path()).unwrap());
        seen.insert(path, (content, permissions));
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
