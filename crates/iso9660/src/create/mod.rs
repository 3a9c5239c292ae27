//! Writing: the tree is laid out twice, first for the sizes and then with the places.

mod directory;
mod name;
mod path_table;
mod plan;
mod susp;

use std::sync::Arc;

use storage::{ReadAt, Sequence};
use zerocopy::{FromZeros, IntoBytes};

use crate::layout::{
    DESCRIPTOR_PRIMARY, DESCRIPTOR_SUPPLEMENTARY, DESCRIPTOR_TERMINATOR, JOLIET_ESCAPES, RawVolumeDescriptor,
    STANDARD_ID,
};
use crate::{BLOCK_BYTES, Directory, Error, FIRST_DESCRIPTOR_BLOCK, time};
use directory::{Places, Written};
use plan::Plan;

/// What a volume is besides its tree.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The volume's name: at most 32 printable characters of ASCII. Joliet has the first 16.
    pub volume_id: &'a str,
    /// The time of the volume and of everything on it, in seconds since 1970.
    pub seconds: i64,
}

/// The directories' names: those of ECMA-119 followed by Rock Ridge, or Joliet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    RockRidge,
    Joliet,
}

const SPACES: [Space; 2] = [Space::RockRidge, Space::Joliet];
/// Two volume descriptors and their end.
const DESCRIPTORS: u64 = 3;

/// An image with the tree `root`, all of which is owned by root.
///
/// # Errors
///
/// [`Error::InvalidName`] for a name that one of the name spaces cannot have, [`Error::TooLarge`] for a
/// file of 4 GiB or more and for too large a volume, [`Error::Unsupported`] for directories more than
/// eight deep or more than 65,535 of them.
pub fn create(root: &Directory, options: &Options<'_>) -> Result<Sequence, Error> {
    check_volume_id(options.volume_id)?;
    let plan = Plan::new(root)?;
    let mut next = FIRST_DESCRIPTOR_BLOCK + DESCRIPTORS;
    let mut take = |size_bytes: u64| {
        let block = next;
        next += size_bytes.div_ceil(BLOCK_BYTES);
        block
    };

    let table_sizes = SPACES.map(|space| path_table::size_bytes(&plan, space));
    let table_blocks = table_sizes.map(|size| [take(size), take(size)]);
    let unplaced = Places::unknown(&plan);
    let directories = SPACES.map(|space| {
        let sizes = (0..plan.directories.len()).map(|index| Written::new(&plan, space, index, &unplaced, options));
        sizes.map(|written| (take(written.size_bytes()), written.directory.len() as u64)).collect::<Vec<_>>()
    });
    let files: Vec<u64> =
        plan.files.iter().map(|file| if file.size_bytes == 0 { 0 } else { take(file.size_bytes) }).collect();
    let blocks = u32::try_from(next).map_err(|_| Error::TooLarge {
        object: "the volume".to_owned(),
        size_bytes: next.saturating_mul(BLOCK_BYTES),
    })?;
    let places = directories.map(|directories| Places { directories, files: files.clone() });

    let mut image = Sequence::new();
    image.push_zeros(FIRST_DESCRIPTOR_BLOCK * BLOCK_BYTES);
    for (index, space) in SPACES.into_iter().enumerate() {
        let mut raw = descriptor(space, options);
        raw.volume_space_size = blocks.into();
        raw.path_table_size = (table_sizes[index] as u32).into();
        raw.location_of_l_path_table = (table_blocks[index][0] as u32).into();
        raw.location_of_m_path_table = (table_blocks[index][1] as u32).into();
        raw.root_directory_record = directory::root_record(&places[index], options);
        image.push_bytes(raw.as_bytes().to_vec());
    }
    image.push_bytes(terminator().as_bytes().to_vec());
    for (index, space) in SPACES.into_iter().enumerate() {
        for table in path_table::tables(&plan, space, &places[index]) {
            image.push_bytes(table);
            image.pad_to(BLOCK_BYTES);
        }
    }
    for (index, space) in SPACES.into_iter().enumerate() {
        for number in 0..plan.directories.len() {
            let written = Written::new(&plan, space, number, &places[index], options);
            image.push_bytes([written.directory, written.continuation].concat());
            image.pad_to(BLOCK_BYTES);
        }
    }
    for file in plan.files {
        image.push(Arc::clone(file.content));
        image.pad_to(BLOCK_BYTES);
    }
    debug_assert_eq!(image.size_bytes(), u64::from(blocks) * BLOCK_BYTES);
    Ok(image)
}

fn check_volume_id(id: &str) -> Result<(), Error> {
    if id.len() > 32 || !id.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        let problem = "is not a valid volume name: it must have at most 32 printable ASCII characters";
        return Err(Error::InvalidName { name: id.to_owned(), problem });
    }
    Ok(())
}

/// The descriptor without what is known of places and sizes.
fn descriptor(space: Space, options: &Options<'_>) -> RawVolumeDescriptor {
    let mut raw = RawVolumeDescriptor::new_zeroed();
    raw.standard_identifier = STANDARD_ID;
    raw.volume_descriptor_version = 1;
    put_text(&mut raw.system_identifier, "LINUX", space);
    put_text(&mut raw.volume_identifier, options.volume_id, space);
    match space {
        Space::RockRidge => raw.volume_descriptor_type = DESCRIPTOR_PRIMARY,
        Space::Joliet => {
            raw.volume_descriptor_type = DESCRIPTOR_SUPPLEMENTARY;
            raw.escape_sequences[..3].copy_from_slice(&JOLIET_ESCAPES[2]);
        }
    }
    raw.volume_set_size = 1.into();
    raw.volume_sequence_number = 1.into();
    raw.logical_block_size = (BLOCK_BYTES as u16).into();
    for field in [&mut raw.volume_set_identifier, &mut raw.publisher_identifier, &mut raw.data_preparer_identifier] {
        put_text(field, "", space);
    }
    put_text(&mut raw.application_identifier, "IMGRAFT", space);
    let files =
        [&mut raw.copyright_file_identifier, &mut raw.abstract_file_identifier, &mut raw.bibliographic_file_identifier];
    for field in files {
        put_text(field, "", space);
    }
    let time = time::to_digits(options.seconds);
    raw.volume_creation = time;
    raw.volume_modification = time;
    raw.volume_effective = time;
    // It never expires.
    raw.volume_expiration = *b"0000000000000000\0";
    raw.file_structure_version = 1;
    raw
}

fn terminator() -> RawVolumeDescriptor {
    let mut raw = RawVolumeDescriptor::new_zeroed();
    raw.volume_descriptor_type = DESCRIPTOR_TERMINATOR;
    raw.standard_identifier = STANDARD_ID;
    raw.volume_descriptor_version = 1;
    raw
}

/// Puts as much of an ASCII text as the field has room for, padded with blanks.
fn put_text(field: &mut [u8], text: &str, space: Space) {
    match space {
        Space::RockRidge => {
            field.fill(b' ');
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text.as_bytes()[..length]);
        }
        Space::Joliet => {
            let characters = text.bytes().chain(std::iter::repeat(b' '));
            field
                .chunks_exact_mut(2)
                .zip(characters)
                .for_each(|(pair, character)| pair.copy_from_slice(&[0, character]));
        }
    }
}
