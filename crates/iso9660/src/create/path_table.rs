use zerocopy::IntoBytes;

use super::Space;
use super::directory::Places;
use super::plan::{Plan, Target};
use crate::layout::RawPathTableRecord;

/// The size of a path table, which is the same in both byte orders.
pub(super) fn size_bytes(plan: &Plan<'_>, space: Space) -> u64 {
    order(plan, space).iter().map(|(_, _, name)| 8 + name.len().next_multiple_of(2) as u64).sum()
}

/// The path table, little-endian and big-endian.
pub(super) fn tables(plan: &Plan<'_>, space: Space, places: &Places) -> [Vec<u8>; 2] {
    let mut tables = [Vec::new(), Vec::new()];
    for (directory, parent, name) in order(plan, space) {
        let (block, parent) = (places.directories[directory].0 as u32, parent as u16);
        let orders = [(block.to_le_bytes(), parent.to_le_bytes()), (block.to_be_bytes(), parent.to_be_bytes())];
        for (table, (location_of_extent, parent_directory_number)) in tables.iter_mut().zip(orders) {
            let raw = RawPathTableRecord {
                length_of_directory_identifier: name.len() as u8,
                extended_attribute_record_length: 0,
                location_of_extent,
                parent_directory_number,
            };
            table.extend_from_slice(raw.as_bytes());
            table.extend_from_slice(name);
            table.resize(table.len().next_multiple_of(2), 0);
        }
    }
    tables
}

/// Each directory with its parent's number in the table and its name: level by level, in the order of
/// the parents, then of the names.
fn order<'a>(plan: &'a Plan<'_>, space: Space) -> Vec<(usize, usize, &'a [u8])> {
    let mut order: Vec<(usize, usize, &[u8])> = vec![(0, 1, &[0])];
    let mut next = 0;
    while let Some(&(directory, _, _)) = order.get(next) {
        next += 1;
        for entry in plan.directories[directory].sorted(space) {
            if let Target::Directory(index) = entry.target {
                order.push((index, next, entry.in_space(space)));
            }
        }
    }
    order
}
