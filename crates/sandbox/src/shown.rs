//! What stat(2) shows of a file, as each kind of program wants it in its memory.

use rustix::fs::{Statx, StatxTimestamp};

use crate::doors::Layout;

/// A structure of the kernel's that is filled by offsets. Machines of all kinds that the sandbox knows are
/// little-endian.
struct Structure(Vec<u8>);

impl Structure {
    fn new(length: usize) -> Self {
        Self(vec![0; length])
    }

    fn put<const N: usize>(mut self, offset: usize, value: [u8; N]) -> Self {
        if let Some(place) = self.0.get_mut(offset..offset + N) {
            place.copy_from_slice(&value);
        }
        self
    }

    fn u32(self, offset: usize, value: u32) -> Self {
        self.put(offset, value.to_le_bytes())
    }

    fn u64(self, offset: usize, value: u64) -> Self {
        self.put(offset, value.to_le_bytes())
    }

    /// A time of 64-bit programs: access, change of content, change of inode.
    fn times(self, offset: usize, status: &Statx) -> Self {
        let times = [status.stx_atime, status.stx_mtime, status.stx_ctime];
        times.iter().enumerate().fold(self, |structure, (index, time)| {
            let offset = offset + 16 * index;
            structure.put(offset, time.tv_sec.to_le_bytes()).u64(offset + 8, time.tv_nsec.into())
        })
    }

    fn timestamp(self, offset: usize, time: &StatxTimestamp) -> Self {
        self.put(offset, time.tv_sec.to_le_bytes()).u32(offset + 8, time.tv_nsec)
    }
}

/// The bytes of a file's status with other owners.
pub(crate) fn bytes(layout: Layout, status: &Statx, [uid, gid]: [u32; 2]) -> Vec<u8> {
    let device = rustix::fs::makedev(status.stx_dev_major, status.stx_dev_minor);
    let node = rustix::fs::makedev(status.stx_rdev_major, status.stx_rdev_minor);
    let mode = u32::from(status.stx_mode);
    let structure = match layout {
        // `struct stat` of arch/x86/include/uapi/asm/stat.h.
        Layout::X86_64 => Structure::new(144)
            .u64(0, device)
            .u64(8, status.stx_ino)
            .u64(16, status.stx_nlink.into())
            .u32(24, mode)
            .u32(28, uid)
            .u32(32, gid)
            .u64(40, node)
            .u64(48, status.stx_size)
            .u64(56, status.stx_blksize.into())
            .u64(64, status.stx_blocks)
            .times(72, status),
        // `struct stat64` of the same file, for 32-bit programs; what is too long for its fields is cut as by the kernel.
        Layout::I386 => {
            let times = [status.stx_atime, status.stx_mtime, status.stx_ctime];
            let structure = Structure::new(96)
                .u64(0, device)
                .u32(12, status.stx_ino as u32)
                .u32(16, mode)
                .u32(20, status.stx_nlink)
                .u32(24, uid)
                .u32(28, gid)
                .u64(32, node)
                .u64(44, status.stx_size)
                .u32(52, status.stx_blksize)
                .u64(56, status.stx_blocks)
                .u64(88, status.stx_ino);
            times.iter().enumerate().fold(structure, |structure, (index, time)| {
                structure.u32(64 + 8 * index, time.tv_sec as u32).u32(68 + 8 * index, time.tv_nsec)
            })
        }
        // `struct stat` of include/uapi/asm-generic/stat.h.
        Layout::Generic => Structure::new(128)
            .u64(0, device)
            .u64(8, status.stx_ino)
            .u32(16, mode)
            .u32(20, status.stx_nlink)
            .u32(24, uid)
            .u32(28, gid)
            .u64(32, node)
            .u64(48, status.stx_size)
            .u32(56, status.stx_blksize)
            .u64(64, status.stx_blocks)
            .times(72, status),
        // `struct statx`, the same everywhere.
        Layout::Statx => Structure::new(256)
            .u32(0, status.stx_mask)
            .u32(4, status.stx_blksize)
            .u64(8, status.stx_attributes.bits())
            .u32(16, status.stx_nlink)
            .u32(20, uid)
            .u32(24, gid)
            .put(28, status.stx_mode.to_le_bytes())
            .u64(32, status.stx_ino)
            .u64(40, status.stx_size)
            .u64(48, status.stx_blocks)
            .u64(56, status.stx_attributes_mask.bits())
            .timestamp(64, &status.stx_atime)
            .timestamp(80, &status.stx_btime)
            .timestamp(96, &status.stx_ctime)
            .timestamp(112, &status.stx_mtime)
            .u32(128, status.stx_rdev_major)
            .u32(132, status.stx_rdev_minor)
            .u32(136, status.stx_dev_major)
            .u32(140, status.stx_dev_minor)
            .u64(144, status.stx_mnt_id),
    };
    structure.0
}
