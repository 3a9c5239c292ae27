//! Reading files with holes.

use storage::{ExtentKind, ReadAt};

/// Fills `buffer` with the bytes at `offset`, and says whether they are a hole: the host is not asked for the bytes of
/// one, for which it would take memory.
pub(crate) fn read(storage: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> storage::Result<bool> {
    if !buffer.is_empty() {
        let extent = storage.extent_at(offset)?;
        if extent.kind == ExtentKind::Zero && extent.length_bytes >= buffer.len() as u64 {
            buffer.fill(0);
            return Ok(true);
        }
    }
    storage.read_at(offset, buffer)?;
    Ok(false)
}
