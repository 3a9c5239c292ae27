//! All that can be done with a file system: looked at whole, checked, edited, looked at again.

use std::collections::HashSet;
use std::sync::OnceLock;

use ext4::{Attributes, Error, FileKind, FileSystem, InodeNumber, Special, Time, Times};
use storage::WriteAt;

use super::input::Input;
use super::seed::Broken;

/// The most entries that are visited: a broken tree may have any number of ways.
const MAX_ENTRIES: usize = 1500;
/// The most edits of one input.
const MAX_EDITS: usize = 24;
/// Files up to this size are read whole, larger ones here and there, in bytes.
const WHOLE_BYTES: u64 = 1 << 16;

/// Attributes that are set and removed: of each prefix that is stored in its own way.
const XATTRS: &[&[u8]] = &[
    b"user.in-inode",
    b"user.block",
    b"user.one",
    b"user.new",
    b"security.selinux",
    b"security.capability",
    b"trusted.overlay.opaque",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"nothing.known",
];

/// An entry of the tree.
struct Place {
    parent: InodeNumber,
    name: Vec<u8>,
    inode: InodeNumber,
}

/// Opens, looks, checks, edits as `input` says, and looks again.
pub(crate) fn exercise(storage: &Broken, input: &mut Input<'_>) {
    let Ok(mut filesystem) = FileSystem::open(Broken::clone(storage)) else { return };
    let findings = filesystem.check();
    let places = walk(&filesystem);
    // That what is understood can be told.
    let _ = (filesystem.superblock().features(), filesystem.superblock().label());
    let was_sound = matches!(&findings, Ok(findings) if findings.is_empty());
    let mut edits = 0;
    while !input.is_empty() && edits < MAX_EDITS {
        edits += 1;
        let result = edit(&mut filesystem, &places, input);
        trace(format_args!("= {result:?}"));
        match result {
            Ok(()) => {}
            Err(error) if leaves_all_as_it_was(&error) => {}
            // What is in memory is not to be written after this one.
            Err(_) => return,
        }
    }
    if filesystem.flush().is_err() {
        return;
    }
    drop(filesystem);
    let filesystem = match FileSystem::open(Broken::clone(storage)) {
        Ok(filesystem) => filesystem,
        Err(error) if was_sound => panic!("a sound file system does not open after {edits} edits: {error}"),
        Err(_) => return,
    };
    walk(&filesystem);
    match filesystem.check() {
        Ok(found) if was_sound && !found.is_empty() => {
            panic!("a sound file system is not after {edits} edits: {found:#?}")
        }
        Err(error) if was_sound => panic!("a sound file system cannot be checked after {edits} edits: {error}"),
        _ => {}
    }
}

/// With TRACE in the environment, what an input does.
#[allow(clippy::disallowed_methods, reason = "whoever debugs sets it")]
fn trace(text: std::fmt::Arguments<'_>) {
    static WANTED: OnceLock<bool> = OnceLock::new();
    if *WANTED.get_or_init(|| std::env::var_os("TRACE").is_some()) {
        eprintln!("{text}");
    }
}

fn leaves_all_as_it_was(error: &Error) -> bool {
    matches!(
        error,
        Error::Exists { .. }
            | Error::NotFound
            | Error::NoSpace { .. }
            | Error::NotADirectory(_)
            | Error::IsADirectory(_)
            | Error::NotEmpty(_)
            | Error::IntoItself(_)
            | Error::BadName
            | Error::TooLarge { .. }
    )
}

/// Visits the tree and reads all of it that has a bound; returns what is in it.
fn walk<S: WriteAt>(filesystem: &FileSystem<S>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut directories = vec![InodeNumber::ROOT];
    let mut seen = HashSet::new();
    let mut next = 0;
    while let Some(&directory) = directories.get(next) {
        next += 1;
        let Ok(entries) = filesystem.read_directory(directory) else { continue };
        for (index, entry) in entries.into_iter().enumerate() {
            if places.len() == MAX_ENTRIES {
                return places;
            }
            if index % 16 == 0 {
                let _ = filesystem.lookup(directory, &entry.name);
            }
            if seen.insert(entry.inode) {
                look_at(filesystem, entry.inode, &mut directories);
            }
            places.push(Place { parent: directory, name: entry.name, inode: entry.inode });
        }
        let _ = filesystem.lookup(directory, b"a name that is not there");
    }
    places
}

fn look_at<S: WriteAt>(filesystem: &FileSystem<S>, number: InodeNumber, directories: &mut Vec<InodeNumber>) {
    let Ok(inode) = filesystem.inode(number) else { return };
    let _ = filesystem.xattrs(number);
    match inode.kind() {
        Ok(FileKind::Directory) => directories.push(number),
        Ok(FileKind::Symlink) => drop(filesystem.read_link(number)),
        Ok(FileKind::Regular) => {
            let size = inode.size_bytes();
            let ends = [0, size / 2, size.saturating_sub(3000)];
            let offsets: &[u64] = if size <= WHOLE_BYTES { &[0] } else { &ends };
            let mut buffer = vec![0; size.min(WHOLE_BYTES) as usize];
            for &offset in offsets {
                let _ = filesystem.read_file_at(number, offset, &mut buffer);
            }
        }
        _ => drop((inode.device(), inode.modified())),
    }
}

fn edit<S: WriteAt>(filesystem: &mut FileSystem<S>, places: &[Place], input: &mut Input<'_>) -> Result<(), Error> {
    let root = Place { parent: InodeNumber::ROOT, name: b"none".to_vec(), inode: InodeNumber::ROOT };
    let what = input.byte();
    let place = |input: &mut Input<'_>| if places.is_empty() { &root } else { input.choose(places) };
    let from = place(input);
    let seconds = i64::from(input.byte()) << 24;
    let attributes =
        Attributes { permissions: 0o644, uid: 1 << 17, gid: 5, modified: Time { seconds, nanoseconds: 7 } };
    let mut name = b"new-".to_vec();
    name.resize(4 + usize::from(input.byte()), b'n');
    let (offset, size) = (u64::from(input.u16()) << (what >> 5), u64::from(input.u16()));
    let content = vec![what; size as usize];
    trace(format_args!(
        "edit {}: inode {} `{}` in {}, name of {}, offset {offset}, size {size}",
        what & 31,
        from.inode,
        from.name.escape_ascii(),
        from.parent,
        name.len()
    ));
    // The number of what an edit before removed is refused, and ends the input.
    if filesystem.inode(from.inode).is_ok_and(|inode| inode.links() == 0) {
        return Err(Error::NotFound);
    }
    match what & 31 {
        0 => drop(filesystem.create_file(from.parent, &name, &attributes, size, &mut &content[..])?),
        1 => drop(filesystem.create_directory(from.parent, &name, &attributes)?),
        2 => drop(filesystem.create_symlink(from.parent, &name, &content, &attributes)?),
        3 => {
            let special = Special::CharDevice { major: size as u32, minor: offset as u32 };
            filesystem.create_special(from.parent, &name, special, &attributes)?;
        }
        4 => filesystem.remove_file(from.parent, &from.name)?,
        5 => filesystem.remove_directory(from.parent, &from.name)?,
        6 => filesystem.remove_tree(from.parent, &from.name)?,
        7 => filesystem.link(from.inode, place(input).parent, &name)?,
        8 => filesystem.rename(from.parent, &from.name, place(input).parent, &name)?,
        9 => {
            let to = place(input);
            filesystem.rename(from.parent, &from.name, to.parent, &to.name)?;
        }
        10 => filesystem.write_file_at(from.inode, offset, &content)?,
        11 => filesystem.truncate(from.inode, offset)?,
        12 => filesystem.punch_hole(from.inode, offset..offset + size)?,
        13 => filesystem.preallocate(from.inode, offset..offset + size)?,
        14 => filesystem.set_attributes(from.inode, &attributes)?,
        15 => filesystem.set_times(from.inode, &Times { accessed: Some(attributes.modified), ..Times::default() })?,
        // Below the directory itself and not beside it.
        16 => drop(filesystem.create_file(from.inode, &name, &attributes, size, &mut &content[..])?),
        17 => drop(filesystem.create_directory(from.inode, &name, &attributes)?),
        18 => {
            // Enough of them for a directory to grow.
            for number in 0..size % 100 {
                let name = [&name[..name.len().min(200)], number.to_string().as_bytes()].concat();
                filesystem.create_file(from.parent, &name, &attributes, 0, &mut &b""[..])?;
            }
        }
        19 => filesystem.flush()?,
        20 => filesystem.set_xattr(from.inode, XATTRS[offset as usize % XATTRS.len()], &content)?,
        21 => filesystem.remove_xattr(from.inode, XATTRS[offset as usize % XATTRS.len()])?,
        _ => return Err(Error::NotFound),
    }
    Ok(())
}
