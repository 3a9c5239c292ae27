//! The data that an image claims to have, compared with what its file can hold.

use crate::error::{Error, Result};
use crate::{Image, Kind};

/// The data in bytes that a file of any size may claim: reading that much does no harm.
const CLAIM_MIN_BYTES: u64 = 1 << 30;

/// Refuses an image whose tables refer to the same bytes again and again, and one with such an image under it.
///
/// With one cluster of data, a table of 2 MiB can claim half a TiB, and to copy that disk would take hours. No program
/// writes such tables.
pub(crate) fn refuse_false_claims(image: &Image) -> Result<()> {
    for layer in std::iter::successors(Some(image), |layer| layer.backing()) {
        match &layer.kind {
            Kind::Qcow2(qcow2) => qcow2.refuse_false_claims()?,
            Kind::Vmdk(vmdk) => vmdk.refuse_false_claims()?,
            Kind::Raw(_) | Kind::Vhd(_) => {}
        }
    }
    Ok(())
}

/// The most data in bytes that a file may claim if each of its bytes decompresses to at most `ratio` bytes.
pub(crate) fn claim_max(file_size_bytes: u64, ratio: u64) -> u64 {
    file_size_bytes.saturating_mul(ratio).max(CLAIM_MIN_BYTES)
}

/// Refuses `object`, which claims more than `most`.
pub(crate) fn refuse(object: &str, claimed_bytes: u64, most: u64) -> Result<()> {
    if claimed_bytes <= most {
        return Ok(());
    }
    let problem =
        format!("its tables claim {claimed_bytes} bytes of data, more than the {most} that its file can hold");
    Err(Error::corrupt(object, problem))
}
