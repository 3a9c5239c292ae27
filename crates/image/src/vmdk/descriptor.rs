//! "The Descriptor File": a text inside or beside a VMDK file that describes the disk.

use crate::error::{Error, Result};

/// The longest descriptor that is read, in bytes, as in QEMU.
pub(crate) const DESCRIPTOR_MAX_BYTES: u64 = 1 << 20;
/// The parent's content ID in a disk without a parent.
const NO_PARENT: u32 = u32::MAX;

/// The fields that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) create_type: String,
}

impl Descriptor {
    /// Reads the text in `bytes`, which ends at the first zero byte.
    ///
    /// # Errors
    ///
    /// [`Error::BackingFile`] for a disk that needs a parent disk, [`Error::Unsupported`] for a disk that is in other
    /// files, [`Error::Corrupt`] for a text without the fields that every descriptor has.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let text = String::from_utf8_lossy(&bytes[..end]);
        let value = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
            })
        };
        let missing = |name: &str| Error::corrupt("VMDK descriptor", format!("{name} is missing"));
        let create_type = value("createType").ok_or_else(|| missing("createType"))?;
        let parent = value("parentCID").ok_or_else(|| missing("parentCID"))?;
        match u32::from_str_radix(&parent, 16) {
            Ok(NO_PARENT) => {}
            Ok(_) => {
                let name = value("parentFileNameHint").unwrap_or_else(|| format!("parentCID={parent}"));
                return Err(Error::BackingFile { name });
            }
            Err(_) => return Err(Error::corrupt("VMDK descriptor", format!("parentCID={parent:?} is not a number"))),
        }
        let is_one_file = ["monolithicSparse", "streamOptimized"].iter().any(|name| create_type == *name);
        if !is_one_file {
            return Err(Error::unsupported(format!(
                "a VMDK image of createType={create_type:?}, whose disk is in other files,"
            )));
        }
        if text.lines().filter(|line| is_extent(line)).count() > 1 {
            return Err(Error::unsupported("a VMDK image of several extents"));
        }
        Ok(Self { create_type })
    }
}

/// Whether a line describes an extent: an access mode, a number of sectors, a kind and a name.
fn is_extent(line: &str) -> bool {
    let access = line.split_ascii_whitespace().next().unwrap_or_default();
    ["RW", "RDONLY", "NOACCESS"].contains(&access)
}

/// The descriptor of a new stream of `capacity` sectors with the content ID `cid`.
pub(crate) fn new_descriptor(capacity: u64, cid: u32) -> String {
    // The geometry of a disk at an LSI Logic adapter. VMware itself uses it for larger disks.
    const HEADS: u64 = 255;
    const SECTORS: u64 = 63;
    let cylinders = capacity.div_ceil(HEADS * SECTORS).min(65535);
    // The extent is this file itself. No program looks for the extent of a stream by its name.
    format!(
        "# Disk DescriptorFile\n\
         version=1\n\
         CID={cid:08x}\n\
         parentCID=ffffffff\n\
         createType=\"streamOptimized\"\n\
         \n\
         # Extent description\n\
         RW {capacity} SPARSE \"generated-stream.vmdk\"\n\
         \n\
         # The Disk Data Base\n\
         #DDB\n\
         \n\
         ddb.virtualHWVersion = \"4\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"{HEADS}\"\n\
         ddb.geometry.sectors = \"{SECTORS}\"\n\
         ddb.adapterType = \"lsilogic\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match Descriptor::parse(text.as_bytes()) {
            Ok(descriptor) => descriptor.create_type,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn disks_in_one_file_are_taken_and_others_refused_by_name() {
        assert_eq!(parsed(&new_descriptor(2048, 7)), "streamOptimized");
        let with = |fields: &str| parsed(&format!("# Disk DescriptorFile\n{fields}\n\0garbage=1\n"));
        assert_eq!(with("parentCID = ffffffff\r\ncreateType = \"monolithicSparse\"\r"), "monolithicSparse");
        assert_eq!(
            with("parentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\""),
            "a VMDK image of createType=\"twoGbMaxExtentFlat\", whose disk is in other files, is not supported"
        );
        let child = "parentCID=12345678\nparentFileNameHint=\"base.vmdk\"\ncreateType=\"monolithicSparse\"";
        assert!(with(child).starts_with("the image needs backing_file=\"base.vmdk\""));
        assert_eq!(with("parentCID=ffffffff"), "corrupt VMDK descriptor: createType is missing");
        assert_eq!(with("createType=\"x\""), "corrupt VMDK descriptor: parentCID is missing");
        assert_eq!(with("createType=\"x\"\nparentCID=no"), "corrupt VMDK descriptor: parentCID=\"no\" is not a number");
        let two = "parentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW 1 SPARSE \"a\"\nRW 1 SPARSE \"b\"";
        assert_eq!(with(two), "a VMDK image of several extents is not supported");
    }
}
