//! Extended attributes: entries, values, shared blocks, and the inodes that hold values.

use std::collections::HashSet;

use storage::{Printable, ReadAt};

use super::Check;
use crate::error::{Object, Result};
use crate::features::{compat, incompat};
use crate::inode::{Inode, InodeNumber};
use crate::layout::inode::EXT4_EA_INODE_FL;
use crate::xattr::store::header_of;
use crate::xattr::{Attribute, Entry, HEADER_BYTES, Value, entry_hash, read_entries, signed_entry_hash};

impl<S: ReadAt> Check<'_, S> {
    /// Checks an inode's attributes, and claims their block.
    pub(super) fn claim_attributes(&mut self, inode: &Inode) -> Result<()> {
        let object = Object::Inode(inode.number());
        match inode.body_entries() {
            Ok((entries, end)) => self.entries(inode, object, &entries, end, false)?,
            Err(error) => self.report_error(error)?,
        }
        let Some(block) = inode.xattr_block() else { return Ok(()) };
        if !self.filesystem.superblock().has_compat(compat::EXT_ATTR) {
            self.report(object, format!("i_file_acl={block}, but the file system is without ext_attr"));
        }
        // Many can share a block: it is read once for all of them.
        if inode.body_entries().is_ok_and(|(entries, _)| !entries.is_empty()) {
            self.with_both.push((block, inode.number()));
        }
        if let Some(known) = self.xattr_blocks.get_mut(&block) {
            known.iter_mut().for_each(|(_, found)| *found += 1);
            return Ok(());
        }
        let bytes = match self.filesystem.read_xattr_block(inode, block) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.xattr_blocks.insert(block, None);
                return self.report_error(error);
            }
        };
        self.xattr_blocks.insert(block, Some((header_of(&bytes).h_refcount.get(), 1)));
        if self.claim(block, 1) > 0 {
            self.report(Object::Block(block), "an attribute block that something else claims too");
        }
        match read_entries(&bytes, HEADER_BYTES, Object::Block(block)) {
            Ok((entries, end)) => self.entries(inode, Object::Block(block), &entries, end, true),
            Err(error) => self.report_error(error),
        }
    }

    /// What the inode's attributes are charged with, in blocks; `None` where they cannot be read. What is in a block
    /// that inodes share is looked at once.
    pub(super) fn attribute_blocks(&mut self, inode: &Inode) -> Result<Option<u64>> {
        let filesystem = self.filesystem;
        let Some(body) = Self::readable(filesystem.body_charge(inode, &mut self.known_values))? else {
            return Ok(None);
        };
        let Some(block) = inode.xattr_block() else { return Ok(Some(body.blocks)) };
        let known = match self.xattr_charges.get(&block) {
            Some(known) => *known,
            None => {
                let charge = Self::readable(filesystem.xattr_block_charge(inode, &mut self.known_values))?;
                *self.xattr_charges.entry(block).or_insert(charge.map(|charge| charge.blocks))
            }
        };
        Ok(known.map(|charge| body.blocks + charge))
    }

    /// No attribute is in the body and in the block.
    pub(super) fn names_twice(&mut self) -> Result<()> {
        let mut with_both = std::mem::take(&mut self.with_both);
        with_both.sort_unstable();
        for sharing in with_both.chunk_by(|one, next| one.0 == next.0) {
            // What is wrong with the lists themselves is found apart from this.
            let Some(first) = Self::readable(self.filesystem.inode(sharing[0].1))? else { continue };
            let Some(in_block) = Self::readable(self.filesystem.block_attributes(&first))? else { continue };
            let in_block: HashSet<_> = in_block.iter().map(Attribute::order).collect();
            for (_, number) in sharing {
                let Some(inode) = Self::readable(self.filesystem.inode(*number))? else { continue };
                let Some(body) = Self::readable(inode.body_attributes())? else { continue };
                if body.iter().any(|attribute| in_block.contains(&attribute.order())) {
                    let problem = "two attributes of the same name, in the inode and in its block";
                    self.report(Object::Inode(*number), problem);
                }
            }
        }
        Ok(())
    }

    /// Checks a list of entries that ends at byte `end` of its area.
    fn entries(&mut self, inode: &Inode, object: Object, entries: &[Entry], end: usize, in_block: bool) -> Result<()> {
        let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
        for entry in entries {
            if in_block && entry.raw.e_name_index == 0 {
                self.report(object, "an attribute with e_name_index=0");
            }
            match &entry.attribute.value {
                Value::Here(value) => {
                    self.entry_hash(object, entry, value, in_block);
                    if !value.is_empty() {
                        let from = usize::from(entry.raw.e_value_offs.get());
                        taken.push(from..from + value.len().next_multiple_of(4));
                    }
                }
                Value::Inode { number, .. } => self.value(inode, *number, &entry.attribute)?,
            }
        }
        taken.sort_by_key(|value| value.start);
        let overlaps = taken.windows(2).any(|pair| pair[0].end > pair[1].start);
        if overlaps || taken.first().is_some_and(|value| value.start < end) {
            self.report(object, "the values of its attributes overlap");
        }
        // The kernel does not find one that is not where it looks.
        if in_block && !entries.is_sorted_by(|one, next| one.attribute.order() < next.attribute.order()) {
            self.report(object, "attributes that are not in order");
        }
        Ok(())
    }

    /// The hash of an entry whose value is beside it; in the body there need not be one.
    fn entry_hash(&mut self, object: Object, entry: &Entry, value: &[u8], in_block: bool) {
        let Entry { raw, attribute } = entry;
        let (stored, computed) = (raw.e_hash.get(), entry_hash(&attribute.suffix, value));
        let is_right = stored == computed || stored == signed_entry_hash(&attribute.suffix, value);
        if !is_right && (in_block || stored != 0) {
            let name = Printable(&attribute.name()).to_string();
            self.report(object, format!("attribute `{name}`: e_hash={stored:#x}, computed {computed:#x}"));
        }
    }

    /// Checks a value in an inode of its own.
    fn value(&mut self, owner: &Inode, number: InodeNumber, attribute: &Attribute) -> Result<()> {
        if !self.filesystem.superblock().has_incompat(incompat::EA_INODE) {
            let problem = format!("e_value_inum={number}, but the file system is without ea_inode");
            self.report(Object::Inode(owner.number()), problem);
        }
        let held = self.known_values.is_counted(self.filesystem, owner, attribute);
        // One finding is enough for a value inode that is wrong.
        let is_counted = held.as_ref().is_ok_and(|is_counted| *is_counted);
        let known = self.value_inodes.entry(number).or_insert((0, true));
        *known = (known.0 + 1, known.1 && is_counted);
        held.map_or_else(|error| self.report_error(error), |_| Ok(()))
    }

    /// Inodes that hold values, against what refers to them.
    pub(super) fn value_references(&mut self) -> Result<()> {
        for (number, (found, is_counted)) in std::mem::take(&mut self.value_inodes) {
            let Ok(inode) = self.filesystem.inode(number) else { continue };
            if !inode.has_flag(EXT4_EA_INODE_FL) {
                continue;
            }
            let state = self.state(number);
            state.names = state.links;
            if state.links != 1 {
                let links = state.links;
                self.report(Object::Inode(number), format!("i_links_count={links}, expected 1"));
            }
            if !is_counted {
                continue;
            }
            if inode.references() != found {
                let counted = inode.references();
                let problem = format!("counts {counted} references, but {found} attributes have it");
                self.report(Object::Inode(number), problem);
            }
            // Inodes can share the blocks of their values, or have none.
            let blocks = inode.size_bytes().div_ceil(self.filesystem.block_size());
            let Some(left) = self.left_value_blocks.checked_sub(blocks) else {
                self.report(
                    Object::Inode(number),
                    "not looked at: values of attributes have more blocks than there are",
                );
                continue;
            };
            self.left_value_blocks = left;
            match self.filesystem.held_value(&inode) {
                Ok((_, computed)) if inode.value_hash() != computed => {
                    self.report_error(inode.wrong_value_hash(computed))?;
                }
                Ok(_) => {}
                Err(error) => self.report_error(error)?,
            }
        }
        Ok(())
    }
}
