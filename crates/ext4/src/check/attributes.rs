//! Extended attributes: entries, values, shared blocks, and the inodes that hold values.

use storage::ReadAt;

use super::Check;
use crate::error::{Object, Result};
use crate::inode::{Inode, InodeNumber};
use crate::xattr::{Entry, HEADER_BYTES, Value, entry_hash, read_entries};
use crate::xattr_store::header_of;

impl<S: ReadAt> Check<'_, S> {
    /// Checks an inode's attributes, and claims their block.
    pub(super) fn claim_attributes(&mut self, inode: &Inode) -> Result<()> {
        let object = Object::Inode(inode.number());
        match inode.body_entries() {
            Ok((entries, end)) => self.entries(inode, object, &entries, end, false)?,
            Err(error) => self.report_error(error)?,
        }
        let Some(block) = inode.xattr_block() else { return Ok(()) };
        if let Some((_, found)) = self.xattr_blocks.get_mut(&block) {
            *found += 1;
            return Ok(());
        }
        let bytes = match self.filesystem.read_xattr_block(inode, block) {
            Ok(bytes) => bytes,
            Err(error) => return self.report_error(error),
        };
        self.xattr_blocks.insert(block, (header_of(&bytes).h_refcount.get(), 1));
        if self.claim(block, 1) > 0 {
            self.report(Object::Block(block), "an attribute block that something else claims too");
        }
        match read_entries(&bytes, HEADER_BYTES, Object::Block(block)) {
            Ok((entries, end)) => self.entries(inode, Object::Block(block), &entries, end, true),
            Err(error) => self.report_error(error),
        }
    }

    /// Checks a list of entries that ends at byte `end` of its area.
    fn entries(&mut self, inode: &Inode, object: Object, entries: &[Entry], end: usize, in_block: bool) -> Result<()> {
        let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
        for Entry { raw, attribute } in entries {
            let name = String::from_utf8_lossy(&attribute.name()).into_owned();
            let stored = raw.e_hash.get();
            match &attribute.value {
                Value::Here(value) => {
                    let computed = entry_hash(&attribute.suffix, value);
                    // In the body there need not be one.
                    if stored != computed && (in_block || stored != 0) && attribute.suffix.is_ascii() {
                        self.report(object, format!("attribute `{name}`: e_hash={stored:#x}, computed {computed:#x}"));
                    }
                    if !value.is_empty() {
                        let from = usize::from(raw.e_value_offs.get());
                        taken.push(from..from + value.len());
                    }
                }
                Value::Inode { number, size_bytes, .. } => {
                    *self.value_inodes.entry(*number).or_default() += 1;
                    self.value(inode, object, &name, *number, *size_bytes)?;
                }
            }
        }
        taken.sort_by_key(|value| value.start);
        let overlaps = taken.windows(2).any(|pair| pair[0].end > pair[1].start);
        if overlaps || taken.first().is_some_and(|value| value.start < end) {
            self.report(object, "the values of its attributes overlap");
        }
        Ok(())
    }

    /// Checks a value in an inode of its own.
    fn value(&mut self, owner: &Inode, object: Object, name: &str, number: InodeNumber, size_bytes: u32) -> Result<()> {
        let filesystem = self.filesystem;
        let value = filesystem.value_inode(number).and_then(|inode| {
            let value = filesystem.value_in_inode(number, size_bytes)?;
            Ok((inode, value))
        });
        let (inode, value) = match value {
            Ok(found) => found,
            Err(error) => return self.report_error(error),
        };
        let computed = crate::checksum::crc32c(filesystem.superblock().checksum_seed(), &value);
        if inode.raw.i_atime.get() != computed && !inode.is_value_of(owner) {
            let stored = inode.raw.i_atime.get();
            self.report(
                object,
                format!("attribute `{name}` in inode {number}: hash={stored:#x}, computed {computed:#x}"),
            );
        }
        Ok(())
    }

    /// Inodes that hold values, against what refers to them.
    pub(super) fn value_references(&mut self) -> Result<()> {
        for (number, found) in std::mem::take(&mut self.value_inodes) {
            let Ok(inode) = self.filesystem.value_inode(number) else { continue };
            // One that names its owner has no count.
            let is_counted = inode.raw.i_mtime.get() == 0;
            if is_counted && inode.references() != found {
                let counted = inode.references();
                self.report(
                    Object::Inode(number),
                    format!("counts {counted} references, but {found} attributes have it"),
                );
            }
            let state = self.state(number);
            state.names = state.links;
        }
        Ok(())
    }
}
