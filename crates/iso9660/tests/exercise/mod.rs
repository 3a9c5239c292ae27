//! An image, and everything that can be done with what is left of it; for the tests and the fuzz target.

use std::sync::Arc;

use iso9660::{Directory, Iso, Kind, Names, Node, Options, create};
use storage::{Memory, ReadAt};

/// A sound image with directories, a continued record and an empty file.
pub(crate) fn image() -> Vec<u8> {
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
pub(crate) fn read_all(bytes: Vec<u8>) -> usize {
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

/// Changes the places that `input` says, three bytes each, and reads what can be read.
pub(crate) fn broken(input: &[u8]) -> usize {
    const DESCRIPTORS: usize = 16 * 2048;
    let mut image = image();
    let behind = image.len() - DESCRIPTORS;
    for change in input.chunks_exact(3) {
        let offset = usize::from(u16::from_be_bytes([change[0], change[1]])) % behind;
        image[DESCRIPTORS + offset] = change[2];
    }
    read_all(image)
}
