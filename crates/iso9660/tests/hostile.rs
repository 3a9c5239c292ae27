//! Bytes that nobody should trust: every one is an answer or an error, and never more than that.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use iso9660::{Directory, Iso, Kind, Names, Node, Options, create};
use storage::{Memory, ReadAt};

fn image() -> Vec<u8> {
    let file = |length: usize| Node::File { permissions: 0o644, content: Arc::new(Memory::from(vec![b'x'; length])) };
    let below = Directory { permissions: 0o755, entries: [("leaf".to_owned(), file(10))].into() };
    // A name for which the record has no room, so that there is a continuation.
    let long = "€".repeat(64);
    let entries = [
        ("user-data".to_owned(), file(3000)),
        (long, file(0)),
        ("a".to_owned(), Node::Directory(below.clone())),
        ("b".to_owned(), Node::Directory(below)),
    ];
    let root = Directory { permissions: 0o755, entries: entries.into() };
    let image = create(&root, &Options { volume_id: "cidata", seconds: 0 }).unwrap();
    let mut bytes = vec![0; image.size_bytes() as usize];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Reads whatever can be read, and returns how many entries there were.
fn exercise(bytes: Vec<u8>) -> usize {
    let size = bytes.len() as u64;
    let Ok(iso) = Iso::open(Memory::from(bytes)) else { return 0 };
    let mut count = 0;
    for names in [Names::Plain, Names::RockRidge, Names::Joliet] {
        let mut files = Vec::new();
        let _ = iso.walk(names, &mut |path, entry| {
            assert!(!path.split(|&byte| byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")));
            count += 1;
            if entry.kind == Kind::Regular {
                files.push(entry.clone());
            }
        });
        for file in files {
            let Ok(content) = iso.content(&file) else { continue };
            assert_eq!(content.size_bytes(), file.size_bytes);
            for part in content.parts() {
                assert!(part.size_bytes() <= size);
                part.read_at(part.size_bytes() - 1, &mut [0]).unwrap();
            }
        }
        let _ = iso.find(names, &["a", "leaf"]);
    }
    count
}

#[test]
fn any_byte_can_be_any_other() {
    let image = image();
    assert_eq!(exercise(image.clone()), 18);
    for at in (16 * 2048..image.len()).filter(|&at| image[at] != 0 || at % 64 < 2) {
        for value in [0, 1, 0x7f, 0x80, 0xff, image[at] ^ 1, image[at].wrapping_add(1)] {
            let mut changed = image.clone();
            changed[at] = value;
            exercise(changed);
        }
    }
}

#[test]
fn an_image_can_end_anywhere() {
    let image = image();
    for end in (0..image.len()).step_by(97) {
        exercise(image[..end].to_vec());
    }
}

#[test]
fn a_directory_that_is_in_itself_is_met_once() {
    let mut image = image();
    let root = u32::from_le_bytes(image[16 * 2048 + 0x9e..][..4].try_into().unwrap());
    // Plain names are sorted: `.`, `..`, `A`.
    let directory = root as usize * 2048;
    let second = directory + usize::from(image[directory]);
    let third = second + usize::from(image[second]);
    assert_eq!(image[third + 33], b'A');
    image[third + 2..third + 6].copy_from_slice(&root.to_le_bytes());
    let iso = Iso::open(Memory::from(image)).unwrap();
    let error = iso.walk(Names::RockRidge, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.to_string(), format!("directory in block {root}: it is in the tree more than once"));
}

#[test]
fn a_continuation_of_itself_ends() {
    let mut image = image();
    // The entry that continues the long name's record becomes one that is continued by itself.
    let at = image.windows(4).rposition(|window| window == b"CE\x1c\x01").unwrap();
    let entry: [u8; 28] = image[at..at + 28].try_into().unwrap();
    let block = u32::from_le_bytes(entry[4..8].try_into().unwrap()) as usize;
    let offset = u32::from_le_bytes(entry[12..16].try_into().unwrap()) as usize;
    image[block * 2048 + offset..][..28].copy_from_slice(&entry);
    let iso = Iso::open(Memory::from(image)).unwrap();
    let error = iso.walk(Names::RockRidge, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("continuation number 9"), "{error}");
}
