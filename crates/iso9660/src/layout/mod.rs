//! The bytes, each structure once.

mod descriptor;
mod number;
mod record;
mod susp;

pub(crate) use descriptor::{
    DESCRIPTOR_BOOT, DESCRIPTOR_PRIMARY, DESCRIPTOR_SUPPLEMENTARY, DESCRIPTOR_TERMINATOR, JOLIET_ESCAPES,
    RawVolumeDescriptor, STANDARD_ID,
};
pub(crate) use number::{BothU16, BothU32};
pub(crate) use record::{
    FLAG_ASSOCIATED, FLAG_DIRECTORY, FLAG_MULTI_EXTENT, RECORD_HEADER_BYTES, RawDirectoryRecord, RawPathTableRecord,
};
pub(crate) use susp::{
    NAME_CONTINUE, NAME_CURRENT, NAME_PARENT, RawChildLink, RawContinuation, RawPosix, RawPosixStart, RawSuspHeader,
    SL_ROOT, TF_MODIFY,
};
