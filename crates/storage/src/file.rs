use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::{Error, Extent, ExtentKind, Operation, ReadAt, Reason, Result, WriteAt, check_range};

/// A host file as storage.
///
/// The reported size is the file's size when this was made; writes may go past it and do not change it.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    size_bytes: u64,
}

impl FileStorage {
    /// The storage of `file`, which stays open as long as this lives.
    ///
    /// # Errors
    ///
    /// The host's error if it cannot tell the file's size.
    pub fn new(file: File) -> std::io::Result<Self> {
        let size_bytes = file.metadata()?.len();
        Ok(Self { file, size_bytes })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl ReadAt for FileStorage {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(Operation::Read, offset, buffer.len() as u64, self.size_bytes)?;
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| Error::reading(offset, buffer.len() as u64, Reason::Io(error)))
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_range(Operation::Read, offset, 1, self.size_bytes)?;
        let rest = self.size_bytes - offset;
        let data_from = match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset)) {
            Ok(position) => position,
            // No data follows.
            Err(rustix::io::Errno::NXIO) => return Ok(Extent { kind: ExtentKind::Zero, length_bytes: rest }),
            // The file system has no holes.
            Err(_) => return Ok(Extent { kind: ExtentKind::Data, length_bytes: rest }),
        };
        if data_from > offset {
            return Ok(Extent { kind: ExtentKind::Zero, length_bytes: (data_from - offset).min(rest) });
        }
        let hole_from = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Hole(offset)).unwrap_or(self.size_bytes);
        Ok(Extent { kind: ExtentKind::Data, length_bytes: (hole_from - offset).clamp(1, rest) })
    }

    fn host_file(&self) -> Option<(&File, u64)> {
        Some((&self.file, 0))
    }
}

impl WriteAt for FileStorage {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        write_host(&self.file, offset, data)
    }

    fn write_from(&self, offset: u64, source: &Arc<dyn ReadAt>, source_offset: u64, length_bytes: u64) -> Result<()> {
        copy(source, source_offset, &self.file, offset, length_bytes)
    }
}

/// Copies `length_bytes` bytes from `source` to the host file `target`, inside the kernel if they are in a host
/// file, too.
///
/// # Errors
///
/// The error of the read or the write; a part may have been written.
pub fn copy(
    source: &dyn ReadAt,
    source_offset: u64,
    target: &File,
    target_offset: u64,
    length_bytes: u64,
) -> Result<()> {
    source.copy_to(source_offset, length_bytes, target, target_offset)
}

/// Writes all of `data` at `offset` of a host file.
pub(crate) fn write_host(file: &File, offset: u64, data: &[u8]) -> Result<()> {
    file.write_all_at(data, offset).map_err(|error| Error::writing(offset, data.len() as u64, Reason::Io(error)))
}

/// Lets the kernel copy as much as it can and returns how much that was. The caller copies the rest, and gets a
/// real error there.
pub(crate) fn copy_in_kernel(
    source: &File,
    source_offset: u64,
    target: &File,
    target_offset: u64,
    length_bytes: u64,
) -> u64 {
    let (mut from, mut to) = (source_offset, target_offset);
    let mut done = 0;
    while done < length_bytes {
        let step = usize::try_from(length_bytes - done).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), step) {
            Ok(copied) if copied > 0 => done += copied as u64,
            _ => break,
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_reported_and_data_is_copied() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[7; 4096], 64 << 10).unwrap();
        let storage = FileStorage::new(file).unwrap();
        // A host file system may report no holes; its answers must still be consistent.
        let mut offset = 0;
        while offset < storage.size_bytes() {
            let extent = storage.extent_at(offset).unwrap();
            let mut bytes = vec![1; extent.length_bytes as usize];
            storage.read_at(offset, &mut bytes).unwrap();
            assert!(extent.kind == ExtentKind::Data || bytes.iter().all(|&byte| byte == 0));
            offset += extent.length_bytes;
        }
        assert_eq!(offset, 1 << 20);

        let target = tempfile::tempfile().unwrap();
        copy(&storage, 64 << 10, &target, 10, 4096).unwrap();
        let mut bytes = vec![0; 4106];
        target.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes[..10].iter().all(|&b| b == 0) && bytes[10..].iter().all(|&b| b == 7));
        assert!(copy(&storage, 1 << 20, &target, 0, 1).is_err());

        let target = FileStorage::new(target).unwrap();
        let source: Arc<dyn ReadAt> = Arc::new(storage);
        target.write_from(3, &source, (64 << 10) + 4000, 200).unwrap();
        target.read_at(0, &mut bytes).unwrap();
        assert!(bytes[3..99].iter().all(|&b| b == 7) && bytes[99..203].iter().all(|&b| b == 0) && bytes[203] == 7);
    }
}
