//! What `xfs_tree` does with an input: it breaks a sound XFS, makes the checksums right again, and looks at it, edits
//! it and accounts for what differs.
//!
//! Errors are fine, panics are bugs.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use storage::{Memory, Overlay, ReadAt, WriteAt};
use testkit::hostile::{Piece, seal, xfs_group_pieces, xfs_pieces};
use xfs::{Attributes, Expectations, Expected, FileKind, FileSystem, Special, Time, Times};

use super::input::Input;

/// How much of the copy-on-write blocks is kept.
const OVERLAY_BYTES: u64 = 64 << 20;
/// The most changes that an input makes before the image is opened.
const MAX_CHANGES: u8 = 16;
/// The most edits of one input.
const MAX_EDITS: u8 = 24;
/// The most names that are looked at: a broken tree may have any number of ways.
const MAX_NAMES: usize = 3000;
/// The most blocks that are accounted for.
const MAX_BLOCKS: u64 = 20_000;

/// What an edit is drawn from.
pub(crate) type Draw<'a> = &'a mut dyn FnMut(usize) -> usize;

struct Seed {
    image: Arc<Memory>,
    pieces: Vec<Piece>,
}

fn seed() -> &'static Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    SEED.get_or_init(|| {
        let mut bytes = Vec::new();
        let packed = &include_bytes!("../seeds/xfs.gz")[..];
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("a packed image");
        let pieces = [xfs_pieces(&bytes), xfs_group_pieces(&bytes)].concat();
        Seed { image: Arc::new(Memory::from(bytes)), pieces }
    })
}

fn overlay(image: &Arc<Memory>) -> Arc<Overlay<Arc<Memory>>> {
    let no_spill = || Err(std::io::ErrorKind::StorageFull.into());
    Arc::new(Overlay::new(Arc::clone(image), OVERLAY_BYTES, Box::new(no_spill)))
}

/// Does what `input` says.
///
/// # Panics
///
/// Where there is a bug.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let seed = seed();
    let disk = overlay(&seed.image);
    for _ in 0..input.byte() % (MAX_CHANGES + 1) {
        let piece = input.choose(&seed.pieces);
        let mut bytes = vec![0; piece.length];
        disk.read_at(piece.offset, &mut bytes).expect("a structure is within the image");
        let at = usize::from(input.u16()) % piece.length;
        let how = input.byte();
        let end = piece.length.min(at + (1 << (how & 3)));
        for byte in &mut bytes[at..end] {
            *byte = if how & 4 == 0 { input.byte() } else { byte.wrapping_add(input.byte()) };
        }
        seal(&mut bytes, piece.checksum);
        disk.write_at(piece.offset, &bytes).expect("a structure is within the image");
    }
    let Ok(mut broken) = FileSystem::open(Arc::clone(&disk)) else { return };
    let edits = input.byte() % (MAX_EDITS + 1);
    exercise(&mut broken, edits.into(), &mut |below| usize::from(input.u16()) % below.max(1));
    let Ok(sound) = FileSystem::open(overlay(&seed.image)) else { return };
    account(&sound, &broken);
}

/// Looks at all there is, edits some of it, and stores that.
pub(crate) fn exercise<S: WriteAt>(disk: &mut FileSystem<S>, edits: usize, draw: Draw<'_>) {
    let names = names(disk);
    let root = disk.superblock().root();
    let content = vec![1; 30_000];
    let attributes = Attributes { permissions: 0o644, uid: 1, gid: 2, modified: Time { seconds: 3, nanoseconds: 4 } };
    for _ in 0..edits {
        let Some((directory, name, inode)) = names.get(draw(names.len())) else { break };
        let (directory, inode) = (*directory, *inode);
        let length = draw(content.len());
        let _ = match draw(15) {
            0 => disk.remove_file(directory, name),
            1 => disk.remove_tree(directory, name),
            2 => disk.rename((directory, name), (root, b"renamed")),
            3 => disk.write_file_at(inode, draw(3_000_000) as u64, &content[..length]),
            4 => disk.truncate(inode, draw(300_000) as u64),
            5 => disk.set_xattr(inode, b"trusted.new", &content[..length]),
            6 => disk.set_xattr(inode, b"security.selinux", b"system_u:object_r:bin_t:s0"),
            7 => disk.remove_xattr(inode, b"trusted.new"),
            8 => disk.set_attributes(inode, &attributes),
            9 => disk.set_times(inode, &Times { modified: Some(Time::default()), ..Times::default() }),
            10 => disk.link(inode, root, b"linked"),
            11 => disk.create_directory(directory, b"new directory", &attributes).map(drop),
            12 => disk.create_symlink(directory, b"new link", &vec![b't'; length % 1200], &attributes).map(drop),
            13 => disk.create_special(directory, b"new FIFO", Special::Fifo, &attributes).map(drop),
            _ => {
                let mut source = &content[..length];
                disk.create_file(directory, b"new file", &attributes, length as u64, &mut source).map(drop)
            }
        };
    }
    if draw(8) == 1 {
        let _ = disk.grow(disk.superblock().blocks() + 100_000);
    }
    let _ = disk.flush();
}

/// The names of all that is there, with their directories; of each, what can be read is read.
fn names<S: WriteAt>(disk: &FileSystem<S>) -> Vec<(u64, Vec<u8>, u64)> {
    let mut found = Vec::new();
    let mut left = vec![disk.superblock().root()];
    let mut buffer = [0; 5000];
    while let (Some(directory), true) = (left.pop(), found.len() < MAX_NAMES) {
        for entry in disk.read_directory(directory).unwrap_or_default() {
            if entry.kind == Some(FileKind::Directory) {
                left.push(entry.inode);
            }
            let _ = disk.xattrs(entry.inode);
            match disk.inode(entry.inode).and_then(|inode| inode.kind()) {
                Ok(FileKind::Symlink) => drop(disk.read_link(entry.inode)),
                Ok(FileKind::Regular) => drop(disk.read_file_at(entry.inode, 0, &mut buffer)),
                _ => {}
            }
            found.push((directory, entry.name, entry.inode));
        }
    }
    found
}

/// Accounts for everything: some files may differ, others may not.
pub(crate) fn account<A: WriteAt, B: WriteAt>(before: &FileSystem<A>, after: &FileSystem<B>) {
    let inode = |_, number: u64| if number.is_multiple_of(3) { Expected::Nothing } else { Expected::Anything };
    let all = 0..after.superblock().blocks().min(MAX_BLOCKS);
    let _ = xfs::account(before, after, &[all], &Expectations { inode: &inode, is_strict: true });
}
