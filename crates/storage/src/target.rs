use crate::{Error, FileStorage, Operation, ReadAt, Reason, Result, WriteAt, check_range};

/// A file that is changed in place: writes can be made durable, and the size can change.
///
/// A write past the end makes the file larger, with zeros between the old end and the write.
pub trait Target: WriteAt {
    /// Makes the file `size_bytes` long: cuts it, or adds zeros after the old end.
    ///
    /// # Errors
    ///
    /// The error of the layer below, as for a write of no bytes at `size_bytes`.
    fn set_size(&self, size_bytes: u64) -> Result<()>;

    /// Returns once all earlier writes and the size are durable. No later write becomes durable before them.
    ///
    /// # Errors
    ///
    /// The error of the layer below, as for a write of no bytes. It is then unknown which writes are durable.
    fn sync(&self) -> Result<()>;

    /// Writes the `length_bytes` bytes of `source` from `source_offset` on at `offset`.
    ///
    /// # Errors
    ///
    /// The error of the read or the write; a part may have been written.
    fn copy_from(&self, offset: u64, source: &dyn ReadAt, source_offset: u64, length_bytes: u64) -> Result<()> {
        check_range(Operation::Read, source_offset, length_bytes, source.size_bytes())?;
        crate::in_steps(length_bytes, |done, step| {
            source.read_at(source_offset + done, step)?;
            self.write_at(offset + done, step)
        })
    }
}

impl Target for FileStorage {
    fn set_size(&self, size_bytes: u64) -> Result<()> {
        self.file().set_len(size_bytes).map_err(|error| Error::writing(size_bytes, 0, Reason::Io(error)))
    }

    fn sync(&self) -> Result<()> {
        // This syncs the size, which is needed to read the bytes again, and not the file's times.
        self.file().sync_data().map_err(|error| Error::writing(0, 0, Reason::Io(error)))
    }

    fn copy_from(&self, offset: u64, source: &dyn ReadAt, source_offset: u64, length_bytes: u64) -> Result<()> {
        crate::copy(source, source_offset, self.file(), offset, length_bytes)
    }
}

impl<T: Target + ?Sized> Target for &T {
    fn set_size(&self, size_bytes: u64) -> Result<()> {
        (**self).set_size(size_bytes)
    }

    fn sync(&self) -> Result<()> {
        (**self).sync()
    }

    fn copy_from(&self, offset: u64, source: &dyn ReadAt, source_offset: u64, length_bytes: u64) -> Result<()> {
        (**self).copy_from(offset, source, source_offset, length_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Extended, Memory, Overlay, Window};

    #[test]
    fn a_file_takes_bytes_of_every_layer() {
        let bytes: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        let source: Arc<dyn ReadAt> = Arc::new(FileStorage::new(file).unwrap());
        let base = Extended::new(Memory::from(vec![3; 70_000]), 400_000);
        let overlay = Overlay::new(base, 8192, Box::new(tempfile::tempfile));
        overlay.write_from(4096, &source, 5, 120_000).unwrap();
        overlay.write_at(200_000, &bytes[..90_000]).unwrap();
        overlay.write_at(20_000, b"graft").unwrap();
        let window = Window::new(&overlay, 100, 399_000).unwrap();
        let mut expected = vec![0; 399_000];
        window.read_at(0, &mut expected).unwrap();

        let target = FileStorage::new(tempfile::tempfile().unwrap()).unwrap();
        for (from, to) in [(0, 399_000), (4000, 200_123), (123_456, 123_457), (250_000, 250_000)] {
            target.set_size(0).unwrap();
            target.copy_from(1000, &window, from, to - from).unwrap();
            target.sync().unwrap();
            let copied = FileStorage::new(target.file().try_clone().unwrap()).unwrap();
            assert_eq!(copied.size_bytes(), if from == to { 0 } else { 1000 + to - from });
            let mut found = vec![0; (to - from) as usize];
            copied.read_at(1000.min(copied.size_bytes()), &mut found).unwrap();
            assert!(found == expected[from as usize..to as usize], "{from}..{to}");
        }
        assert!(target.copy_from(0, &window, 398_000, 1001).is_err());
    }
}
