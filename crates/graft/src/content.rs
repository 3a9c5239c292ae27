//! A user's file as content that is read more than once.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use storage::{FileStorage, Memory, ReadAt};

use crate::disk::temporary_folder;
use crate::output::Folder;

/// Up to this, content is kept in memory, in bytes: what happens to the file then is no matter.
const MEMORY_BYTES: u64 = 4 << 20;

/// The content of the file at `path`, which may be a pipe.
pub fn of_file(path: &Path) -> io::Result<Arc<dyn ReadAt>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if metadata.is_file() && metadata.len() > MEMORY_BYTES {
        return Ok(Arc::new(FileStorage::new(file)?));
    }
    of_stream(file)
}

/// What `stream` gives up to its end.
pub fn of_stream(mut stream: impl Read) -> io::Result<Arc<dyn ReadAt>> {
    let mut bytes = Vec::new();
    stream.by_ref().take(MEMORY_BYTES).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < MEMORY_BYTES {
        return Ok(Arc::new(Memory::from(bytes)));
    }
    let mut file = Folder::open(&temporary_folder())?.unnamed_file()?;
    io::copy(&mut bytes.as_slice().chain(stream), &mut file)?;
    file.rewind()?;
    Ok(Arc::new(FileStorage::new(file)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_from_memory_and_from_a_file() {
        for length in [0, 10, MEMORY_BYTES - 1, MEMORY_BYTES, MEMORY_BYTES + 10] {
            let bytes: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), &bytes).unwrap();
            for content in [of_stream(bytes.as_slice()).unwrap(), of_file(path.path()).unwrap()] {
                let mut read = vec![0; content.size_bytes() as usize];
                content.read_at(0, &mut read).unwrap();
                assert!(read == bytes, "{length}");
            }
        }
        assert!(of_file(Path::new("/")).is_err());
    }
}
